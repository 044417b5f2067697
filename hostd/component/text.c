/* SPDX-License-Identifier: Apache-2.0 */
/* Strings between guest encodings and ours. Values hold well-formed UTF-8; wit_value.aux of a lifted string keeps
 * the encoding it was lifted from and its length in that encoding's units, because the sequence of allocations that
 * storing it performs is part of the ABI (and observable by the guest).
 * Spec: CanonicalABI.md "Loading" and "Storing", strings; component-model.md 5.4. */
#include "hostd/component/guest.h"

#include <assert.h>
#include "lattice/base/num.h"

#define UTF16_TAG (1u << 31)

/* What a value was made from. */
enum source { FROM_UTF8, FROM_UTF16, FROM_LATIN1, FROM_TAGGED_UTF16 };

static uint32_t source_aux(enum source s, uint32_t units)
{
    return units << 2 | s;
}

/* ---- one character at a time ---- */

/* Well-formed input only. */
static uint32_t utf8_next(const uint8_t **p)
{
    const uint8_t *s = *p;
    if (s[0] < 0x80) {
        *p += 1;
        return s[0];
    }
    if (s[0] < 0xe0) {
        *p += 2;
        return (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu);
    }
    if (s[0] < 0xf0) {
        *p += 3;
        return (s[0] & 0xfu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
    }
    *p += 4;
    return (s[0] & 7u) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu);
}

static uint8_t *utf8_put(uint8_t *p, uint32_t c)
{
    if (c < 0x80) {
        *p++ = (uint8_t)c;
    } else if (c < 0x800) {
        *p++ = (uint8_t)(0xc0 | c >> 6);
        *p++ = (uint8_t)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *p++ = (uint8_t)(0xe0 | c >> 12);
        *p++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        *p++ = (uint8_t)(0x80 | (c & 0x3f));
    } else {
        *p++ = (uint8_t)(0xf0 | c >> 18);
        *p++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        *p++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        *p++ = (uint8_t)(0x80 | (c & 0x3f));
    }
    return p;
}

static uint32_t unit_at(const uint8_t *p, uint32_t i)
{
    return (uint32_t)p[2 * (size_t)i] | (uint32_t)p[2 * (size_t)i + 1] << 8;
}

static uint8_t *unit_put(uint8_t *p, uint32_t unit)
{
    p[0] = (uint8_t)unit;
    p[1] = (uint8_t)(unit >> 8);
    return p + 2;
}

/* ---- loading ---- */

static bool no_room(struct lifting *l)
{
    return guest_trap(l->g, "values of one call take more than %zu bytes", COMP_CALL_BYTES_MAX);
}

static bool load_utf8(struct lifting *l, const uint8_t *p, uint32_t n, struct wit_value *out)
{
    if (!utf8_valid(p, n)) {
        /* tell a cut sequence at the end from a wrong one */
        uint32_t tail = 1;
        while (tail < 4 && tail < n && (p[n - tail] & 0xc0) == 0x80)
            tail++;
        bool cut = p[n - tail] >= 0xc2 && p[n - tail] <= 0xf4 && utf8_valid(p, n - tail);
        return guest_trap(l->g, cut ? "incomplete utf-8 byte sequence" : "invalid utf-8 encoding");
    }
    struct span copy = arena_span(l->arena, (struct span){p, n});
    if (!copy.p)
        return no_room(l);
    *out = (struct wit_value){.p = copy.p, .n = n};
    return true;
}

static bool load_utf16(struct lifting *l, const uint8_t *p, uint32_t units, enum source from,
                       struct wit_value *out)
{
    uint8_t *buf = arena_array(l->arena, uint8_t, 3 * (size_t)units);
    uint8_t *q = buf;
    if (!buf)
        return no_room(l);
    for (uint32_t i = 0; i < units; i++) {
        uint32_t c = unit_at(p, i);
        if (c >= 0xd800 && c < 0xe000) {
            uint32_t low = i + 1 < units ? unit_at(p, i + 1) : 0;
            if (c >= 0xdc00 || low < 0xdc00 || low >= 0xe000)
                return guest_trap(l->g, "unpaired surrogate in utf-16 string");
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            i++;
        }
        q = utf8_put(q, c);
    }
    *out = (struct wit_value){.p = buf, .n = (uint32_t)(q - buf), .aux = source_aux(from, units)};
    return true;
}

static bool load_latin1(struct lifting *l, const uint8_t *p, uint32_t n, struct wit_value *out)
{
    uint8_t *buf = arena_array(l->arena, uint8_t, 2 * (size_t)n);
    uint8_t *q = buf;
    if (!buf)
        return no_room(l);
    for (uint32_t i = 0; i < n; i++)
        q = utf8_put(q, p[i]);
    *out =
        (struct wit_value){.p = buf, .n = (uint32_t)(q - buf), .aux = source_aux(FROM_LATIN1, n)};
    return true;
}

bool text_load(struct lifting *l, uint32_t pointer, uint32_t length, struct wit_value *out)
{
    enum encoding enc = l->side.opts->encoding;
    bool tagged = enc == ENC_LATIN1_UTF16 && (length & UTF16_TAG);
    bool wide = enc == ENC_UTF16 || tagged;
    uint32_t units = tagged ? length & ~UTF16_TAG : length;
    uint64_t bytes = (uint64_t)units << wide;
    if (bytes > COMP_LIST_BYTES_MAX)
        return guest_trap(l->g, "string pointer/length out of bounds of memory: %llu bytes",
                          (unsigned long long)bytes);
    if (enc != ENC_UTF8 && (pointer & 1))
        return guest_trap(l->g, "unaligned pointer: string at 0x%x", pointer);
    const uint8_t *p = wasm_memory_at(l->memory, pointer, bytes);
    if (!p)
        return guest_trap(
            l->g,
            "string content out-of-bounds: string pointer/length out of bounds of memory "
            "(%llu bytes at 0x%x)",
            (unsigned long long)bytes, pointer);
    if (enc == ENC_UTF8)
        return load_utf8(l, p, units, out);
    if (wide)
        return load_utf16(l, p, units, tagged ? FROM_TAGGED_UTF16 : FROM_UTF16, out);
    return load_latin1(l, p, units, out);
}

/* ---- storing ---- */

struct measure {
    uint32_t chars, units16;
    bool ascii, latin1;
};

static struct measure measure(const struct wit_value *v)
{
    struct measure m = {.ascii = true, .latin1 = true};
    if (!v->n)
        return m; /* p may be NULL */
    for (const uint8_t *p = v->p, *end = p + v->n; p < end; m.chars++) {
        uint32_t c = utf8_next(&p);
        m.units16 += c >= 0x10000 ? 2 : 1;
        m.ascii &= c < 0x80;
        m.latin1 &= c < 0x100;
    }
    return m;
}

static struct text_plan plan_utf8(const struct wit_value *v, enum source from, uint32_t units)
{
    struct text_plan t = {
        .alloc = v->n, .final = v->n, .units = v->n, .align = 1, .final_align = 1};
    if (from == FROM_UTF8)
        return t;
    t.alloc = units;
    if (v->n != units || (from != FROM_LATIN1 && !measure(v).ascii))
        t.grow = units * (from == FROM_LATIN1 ? 2 : 3);
    return t;
}

static struct text_plan plan_utf16(const struct wit_value *v, enum source from, uint32_t units)
{
    uint32_t used = from == FROM_UTF8 || from == FROM_LATIN1 ? measure(v).units16 : units;
    return (struct text_plan){.alloc = 2 * units,
                              .final = 2 * used,
                              .units = used,
                              .align = 2,
                              .final_align = 2,
                              .wide = true};
}

static struct text_plan plan_latin1_utf16(const struct wit_value *v, enum source from,
                                          uint32_t units)
{
    struct measure m = measure(v);
    struct text_plan t = {.alloc = units, .align = 2, .final_align = 2, .wide = !m.latin1};
    if (from == FROM_TAGGED_UTF16) {
        t.alloc = 2 * units;
        t.final_align = m.latin1 ? 1 : 2;
    } else if (!m.latin1) {
        t.grow = 2 * units;
    }
    t.final = m.latin1 ? m.chars : 2 * m.units16;
    t.units = m.latin1 ? m.chars : m.units16 | UTF16_TAG;
    return t;
}

struct text_plan text_plan(const struct wit_value *v, enum encoding to)
{
    enum source from = (enum source)(v->aux & 3);
    uint32_t units = from == FROM_UTF8 ? v->n : v->aux >> 2;
    switch (to) {
    case ENC_UTF16:
        return plan_utf16(v, from, units);
    case ENC_LATIN1_UTF16:
        return plan_latin1_utf16(v, from, units);
    default:
        return plan_utf8(v, from, units);
    }
}

bool text_plan_ok(const struct text_plan *t)
{
    return t->alloc <= COMP_LIST_BYTES_MAX && t->grow <= COMP_LIST_BYTES_MAX;
}

void text_store(const struct text_plan *t, const struct wit_value *v, enum encoding to,
                uint8_t *out)
{
    if (!v->n)
        return;
    if (to == ENC_UTF8) {
        memcpy(out, v->p, v->n);
        return;
    }
    for (const uint8_t *p = v->p, *end = p + v->n; p < end;) {
        uint32_t c = utf8_next(&p);
        if (!t->wide) {
            *out++ = (uint8_t)c;
        } else if (c < 0x10000) {
            out = unit_put(out, c);
        } else {
            out = unit_put(out, 0xd800 + ((c - 0x10000) >> 10));
            out = unit_put(out, 0xdc00 + ((c - 0x10000) & 0x3ff));
        }
    }
}
