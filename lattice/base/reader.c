/* SPDX-License-Identifier: Apache-2.0 */
/* The bounded reader. Keeps: p <= end; after a failure p == end, so loops over rd_more stop. */
#include "lattice/base/reader.h"

#include <assert.h>
#include <stdio.h>

void rd_init(struct reader *r, struct span in, struct err *e)
{
    static const uint8_t nothing[1];
    const uint8_t *p = in.p ? in.p : nothing;
    *r = (struct reader){.p = p, .end = p + in.n, .start = p, .e = e};
}

bool rd_fail(struct reader *r, enum err_code code, const char *fmt, ...)
{
    if (r->failed)
        return false;
    char text[ERR_TEXT_MAX / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err_set(r->e, code, "at offset %zu: %s", rd_offset(r), text);
    r->failed = true;
    r->p = r->end;
    return false;
}

static bool have(struct reader *r, size_t n)
{
    if (r->failed)
        return false;
    return n <= rd_left(r) || rd_fail(r, ERR_INVALID, "unexpected end");
}

struct reader rd_part(struct reader *r, size_t n)
{
    struct reader part = *r;
    if (!have(r, n)) {
        part.p = part.end = r->p;
        part.failed = true;
        return part;
    }
    part.end = r->p + n;
    r->p += n;
    return part;
}

void rd_join(struct reader *r, const struct reader *part, const char *what)
{
    if (part->failed) {
        r->failed = true;
        r->p = r->end;
    } else if (part->p != part->end && !r->failed) {
        r->p = part->p; /* for the offset */
        rd_fail(r, ERR_INVALID, "%s: %zu bytes too many", what, rd_left(part));
    }
}

uint8_t rd_u8(struct reader *r)
{
    return have(r, 1) ? *r->p++ : 0;
}

uint8_t rd_peek(const struct reader *r)
{
    return rd_more(r) ? *r->p : 0;
}

/* LEB128 of `bits` significant bits; the unused bits of the last byte must be zero (or copies of the sign). */
static uint64_t leb(struct reader *r, unsigned bits, bool is_signed)
{
    const uint8_t *start = r->p;
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        if (!have(r, 1))
            return 0;
        uint8_t byte = *r->p++;
        unsigned left = bits - shift; /* value bits in this byte and beyond */
        if (left < 7) {
            uint8_t unused = (uint8_t)(0x7f & ~((1u << left) - 1));
            bool negative = is_signed && (byte >> (left - 1) & 1);
            if ((byte & 0x80) || (byte & unused) != (negative ? unused : 0)) {
                bool longer = byte & 0x80;
                r->p = start;
                rd_fail(r, ERR_INVALID, "%s",
                        longer ? "integer representation too long" : "integer too large");
                return 0;
            }
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        if (is_signed && shift + 7 < 64 && (byte & 0x40))
            v |= ~(uint64_t)0 << (shift + 7);
        return v;
    }
}

uint32_t rd_u32(struct reader *r)
{
    if (r->p < r->end && *r->p < 0x80)
        return *r->p++; /* most are one byte; after a failure p == end */
    return (uint32_t)leb(r, 32, false);
}

uint64_t rd_u64(struct reader *r)
{
    return leb(r, 64, false);
}

int32_t rd_s32(struct reader *r)
{
    return (int32_t)leb(r, 32, true);
}

int64_t rd_s33(struct reader *r)
{
    return (int64_t)leb(r, 33, true);
}

int64_t rd_s64(struct reader *r)
{
    return (int64_t)leb(r, 64, true);
}

uint32_t rd_fixed32(struct reader *r)
{
    struct span s = rd_bytes(r, 4);
    return s.n ? (uint32_t)s.p[0] | (uint32_t)s.p[1] << 8 | (uint32_t)s.p[2] << 16 |
                     (uint32_t)s.p[3] << 24
               : 0;
}

uint64_t rd_fixed64(struct reader *r)
{
    uint64_t low = rd_fixed32(r);
    return low | (uint64_t)rd_fixed32(r) << 32;
}

struct span rd_bytes(struct reader *r, size_t n)
{
    if (!have(r, n))
        return (struct span){NULL, 0};
    r->p += n;
    return (struct span){r->p - n, n};
}

struct str rd_name(struct reader *r)
{
    const uint8_t *start = r->p;
    struct span s = rd_bytes(r, rd_u32(r));
    if (rd_ok(r) && !utf8_valid(s.p, s.n)) {
        r->p = start;
        rd_fail(r, ERR_INVALID, "malformed UTF-8 encoding");
        return STR_NONE;
    }
    return span_str(s);
}

uint32_t rd_count(struct reader *r, size_t min_size, uint32_t max, const char *what)
{
    const uint8_t *start = r->p;
    uint32_t n = rd_u32(r);
    if (r->failed)
        return 0;
    if (n > max) {
        r->p = start;
        rd_fail(r, ERR_LIMIT, "%u %s, the limit is %u", n, what, max);
        return 0;
    }
    if (min_size && n > rd_left(r) / min_size) {
        rd_fail(r, ERR_INVALID, "unexpected end: %u %s cannot fit", n, what);
        return 0;
    }
    return n;
}
