/* SPDX-License-Identifier: Apache-2.0 */
/* Strings of the model: sequences of scalar values. */
#include "tests/fuzz/component/model.h"

#include <assert.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define TAG (1u << 31)

struct scalars {
    uint32_t *at;
    uint32_t n;
};

static void scalars_fini(struct scalars *s)
{
    free(s->at);
}

/* False: not well-formed. */
static bool decode_utf8(const uint8_t *p, uint32_t n, struct scalars *out)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    for (uint32_t i = 0; i < n;) {
        uint32_t b = p[i], length = b < 0x80       ? 1
                                    : b >> 5 == 6  ? 2
                                    : b >> 4 == 14 ? 3
                                    : b >> 3 == 30 ? 4
                                                   : 0;
        if (length == 0 || length > n - i)
            return false;
        uint32_t c = length == 1 ? b : b & (0x7fu >> length);
        for (uint32_t k = 1; k < length; k++) {
            if (p[i + k] >> 6 != 2)
                return false;
            c = c << 6 | (p[i + k] & 0x3f);
        }
        if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return false;
        out->at[out->n++] = c;
        i += length;
    }
    return true;
}

static bool decode_utf16(const uint8_t *p, uint32_t units, struct scalars *out)
{
    for (uint32_t i = 0; i < units; i++) {
        uint32_t c = p[2 * i] | (uint32_t)p[2 * i + 1] << 8;
        if (c >= 0xdc00 && c <= 0xdfff)
            return false;
        if (c >= 0xd800 && c <= 0xdbff) {
            if (++i == units)
                return false;
            uint32_t low = p[2 * i] | (uint32_t)p[2 * i + 1] << 8;
            if (low < 0xdc00 || low > 0xdfff)
                return false;
            c = 0x10000 + (c - 0xd800) * 0x400 + (low - 0xdc00);
        }
        out->at[out->n++] = c;
    }
    return true;
}

static void decode_latin1(const uint8_t *p, uint32_t n, struct scalars *out)
{
    for (uint32_t i = 0; i < n; i++)
        out->at[out->n++] = p[i];
}

static void encode_utf8(const struct scalars *s, struct buf *out)
{
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t c = s->at[i];
        int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
        buf_byte(out, (uint8_t)(lead[more] | c >> 6 * more));
        while (more-- > 0)
            buf_byte(out, (uint8_t)(0x80 | (c >> 6 * more & 0x3f)));
    }
}

static void put_unit(struct buf *out, uint32_t unit)
{
    buf_byte(out, (uint8_t)unit);
    buf_byte(out, (uint8_t)(unit >> 8));
}

static void encode_utf16(const struct scalars *s, struct buf *out)
{
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t c = s->at[i];
        if (c < 0x10000) {
            put_unit(out, c);
        } else {
            put_unit(out, 0xd800 + (c - 0x10000) / 0x400);
            put_unit(out, 0xdc00 + (c - 0x10000) % 0x400);
        }
    }
}

static uint32_t greatest(const struct scalars *s)
{
    uint32_t c = 0;
    for (uint32_t i = 0; i < s->n; i++)
        c = MAX(c, s->at[i]);
    return c;
}

/* ---- loading ---- */

bool model_load_string(struct model *m, uint32_t pointer, uint32_t length, struct buf *out)
{
    bool wide = m->encoding == ENC_UTF16 || (m->encoding == ENC_LATIN1_UTF16 && (length & TAG));
    uint32_t units = m->encoding == ENC_LATIN1_UTF16 ? length & ~TAG : length;
    uint64_t bytes = (uint64_t)units * (wide ? 2 : 1);
    bool ok = true;
    if (m->encoding != ENC_UTF8 && pointer % 2 != 0)
        return false;
    if (pointer + bytes > MODEL_MEMORY)
        return false;
    AUTO(scalars_fini) struct scalars s = {xcalloc(units + 1, sizeof(uint32_t)), 0};
    if (wide)
        ok = decode_utf16(m->mem + pointer, units, &s);
    else if (m->encoding == ENC_UTF8)
        ok = decode_utf8(m->mem + pointer, units, &s);
    else
        decode_latin1(m->mem + pointer, units, &s);
    struct buf text = BUF_INIT;
    if (ok)
        encode_utf8(&s, &text);
    dump_number(text.n, out);
    buf_put(out, text.p, text.n);
    buf_fini(&text);
    return ok;
}

/* ---- storing: each as the specification spells it ---- */

struct source {
    struct scalars s;
    uint32_t units; /* of the source encoding */
    struct buf utf8, utf16;
};

static bool put(struct model *m, uint32_t pointer, const struct buf *bytes)
{
    if (bytes->n)
        memcpy(m->mem + pointer, bytes->p, bytes->n);
    return true;
}

static bool store_copy(struct model *m, const struct buf *encoded, uint32_t align,
                       uint32_t *pointer)
{
    return model_realloc(m, 0, 0, align, encoded->n, pointer) && put(m, *pointer, encoded);
}

static bool store_to_utf8(struct model *m, const struct source *x, uint32_t worst,
                          uint32_t *pointer, uint32_t *length)
{
    *length = x->units;
    if (!model_realloc(m, 0, 0, 1, x->units, pointer))
        return false;
    if (greatest(&x->s) < 0x80)
        return put(m, *pointer, &x->utf8);
    if (!model_realloc(m, *pointer, x->units, 1, worst, pointer))
        return false;
    put(m, *pointer, &x->utf8);
    *length = (uint32_t)x->utf8.n;
    return worst <= x->utf8.n || model_realloc(m, *pointer, worst, 1, x->utf8.n, pointer);
}

static bool store_utf8_to_utf16(struct model *m, const struct source *x, uint32_t *pointer,
                                uint32_t *length)
{
    uint32_t worst = 2 * x->units;
    *length = (uint32_t)x->utf16.n / 2;
    if (!model_realloc(m, 0, 0, 2, worst, pointer))
        return false;
    put(m, *pointer, &x->utf16);
    return x->utf16.n >= worst || model_realloc(m, *pointer, worst, 2, x->utf16.n, pointer);
}

static void put_latin1(struct model *m, uint32_t pointer, const struct scalars *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        m->mem[pointer + i] = (uint8_t)s->at[i];
}

static bool store_to_latin1_or_utf16(struct model *m, const struct source *x, uint32_t *pointer,
                                     uint32_t *length)
{
    uint32_t worst = 2 * x->units;
    if (!model_realloc(m, 0, 0, 2, x->units, pointer))
        return false;
    if (greatest(&x->s) < 0x100) {
        put_latin1(m, *pointer, &x->s);
        *length = x->s.n;
        return x->s.n >= x->units || model_realloc(m, *pointer, x->units, 2, x->s.n, pointer);
    }
    if (!model_realloc(m, *pointer, x->units, 2, worst, pointer))
        return false;
    put(m, *pointer, &x->utf16);
    *length = (uint32_t)x->utf16.n / 2 | TAG;
    return worst <= x->utf16.n || model_realloc(m, *pointer, worst, 2, x->utf16.n, pointer);
}

static bool store_probably_utf16(struct model *m, const struct source *x, uint32_t *pointer,
                                 uint32_t *length)
{
    uint32_t bytes = 2 * x->units;
    if (!model_realloc(m, 0, 0, 2, bytes, pointer))
        return false;
    *length = x->units | TAG;
    if (greatest(&x->s) >= 0x100)
        return put(m, *pointer, &x->utf16);
    *length = x->units; /* the wide form need not have been there before */
    put_latin1(m, *pointer, &x->s);
    return model_realloc(m, *pointer, bytes, 1, x->units, pointer);
}

/* What the value was lifted from stands in aux (text.c): the specification's src_encoding. */
enum { FROM_UTF8, FROM_UTF16, FROM_LATIN1, FROM_TAGGED };

static bool store_source(struct model *m, const struct source *x, uint32_t from, uint32_t *pointer,
                         uint32_t *length)
{
    *length = x->units;
    switch (m->encoding) {
    case ENC_UTF8:
        if (from == FROM_UTF8)
            return store_copy(m, &x->utf8, 1, pointer);
        return store_to_utf8(m, x, x->units * (from == FROM_LATIN1 ? 2 : 3), pointer, length);
    case ENC_UTF16:
        if (from == FROM_UTF8)
            return store_utf8_to_utf16(m, x, pointer, length);
        return store_copy(m, &x->utf16, 2, pointer);
    default:
        if (from == FROM_TAGGED)
            return store_probably_utf16(m, x, pointer, length);
        return store_to_latin1_or_utf16(m, x, pointer, length); /* a copy, of latin1 */
    }
}

bool model_store_string(struct model *m, const struct wit_value *v, uint32_t *pointer,
                        uint32_t *length)
{
    struct source x = {.s = {xcalloc(v->n + 1, sizeof(uint32_t)), 0}};
    uint32_t from = v->aux & 3;
    bool ok = decode_utf8(v->p, v->n, &x.s);
    assert(ok);
    encode_utf8(&x.s, &x.utf8);
    encode_utf16(&x.s, &x.utf16);
    x.units = from == FROM_UTF8 ? v->n : from == FROM_LATIN1 ? x.s.n : (uint32_t)x.utf16.n / 2;
    ok = store_source(m, &x, from, pointer, length);
    scalars_fini(&x.s);
    buf_fini(&x.utf8);
    buf_fini(&x.utf16);
    return ok;
}
