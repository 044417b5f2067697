/* SPDX-License-Identifier: Apache-2.0 */
/* Values of WIT types: deep copy, equality, readable text. A value is walked along its type; both were checked
 * where they came from, so this code asserts instead of re-checking. Depth is bounded by WIT_DEPTH_MAX. */
#include "wrpc/wit.h"

#include <assert.h>
#include <inttypes.h>
#include "lattice/base/num.h"

/* Is the value's content p, n: raw bytes? */
static bool is_bytes(const struct wit_type *t, const struct wit_value *v)
{
    switch (t->kind) {
    case WIT_STRING:
        return true;
    case WIT_LIST:
        return wit_is_bytes(t->elem);
    case WIT_FLAGS:
        return t->ncases > 64;
    case WIT_OWN:
    case WIT_BORROW:
        return v->n > 0;
    case WIT_STREAM:
        return v->n == WIT_READY && t->elem && wit_is_bytes(t->elem);
    default:
        return false;
    }
}

/* What is behind v->v: `count` values; of types[i].type for records, of one type otherwise. */
struct children {
    uint32_t count;
    const struct wit_case *types;
    const struct wit_type *type;
};

static struct children one_child(const struct wit_type *type)
{
    return (struct children){.count = type ? 1 : 0, .type = type};
}

static struct children children(const struct wit_type *t, const struct wit_value *v)
{
    switch (t->kind) {
    case WIT_LIST:
        return (struct children){.count = v->n, .type = t->elem};
    case WIT_RECORD:
    case WIT_TUPLE:
        assert(v->n == t->ncases);
        return (struct children){.count = v->n, .types = t->cases};
    case WIT_VARIANT:
    case WIT_ENUM:
        assert(v->n < t->ncases);
        return one_child(t->cases[v->n].type);
    case WIT_OPTION:
        return one_child(v->n ? t->elem : NULL);
    case WIT_RESULT:
        return one_child(v->n ? t->err : t->elem);
    case WIT_FUTURE:
        return one_child(v->n == WIT_READY ? t->elem : NULL);
    case WIT_STREAM:
        /* a stream without elements has a count, and nothing behind it */
        return v->n == WIT_READY && t->elem ? (struct children){.count = v->aux, .type = t->elem}
                                            : (struct children){.count = 0};
    default:
        return (struct children){.count = 0};
    }
}

static const struct wit_type *child_type(const struct children *c, uint32_t i)
{
    return c->types ? c->types[i].type : c->type;
}

/* Raw bytes of a ready stream are counted by aux: n says that it is ready. */
static size_t byte_count(const struct wit_type *t, const struct wit_value *v)
{
    return t->kind == WIT_STREAM ? v->aux : v->n;
}

/* Is the value complete in itself: a number, flags in a word, a host's object, an index? */
static bool is_scalar(const struct wit_type *t)
{
    return t->kind <= WIT_CHAR || t->kind == WIT_FLAGS || t->kind == WIT_OWN ||
           t->kind == WIT_BORROW;
}

/* ---- copy ---- */

static bool copy_children(struct arena *a, const struct children *c, const struct wit_value *from,
                          struct wit_value *out, struct err *e)
{
    struct wit_value *copy = arena_array(a, struct wit_value, c->count);
    if (!copy)
        return arena_full(a, e);
    for (uint32_t i = 0; i < c->count; i++)
        if (!wit_value_copy(a, child_type(c, i), &from[i], &copy[i], e))
            return false;
    out->v = copy;
    return true;
}

bool wit_value_copy(struct arena *a, const struct wit_type *t, const struct wit_value *v,
                    struct wit_value *out, struct err *e)
{
    struct wit_value copy = *v;
    if (is_bytes(t, v)) {
        copy.p = arena_span(a, (struct span){v->p, byte_count(t, v)}).p;
        if (!copy.p)
            return arena_full(a, e);
    } else if (!is_scalar(t)) {
        struct children c = children(t, v);
        copy.v = NULL;
        if (c.count && !copy_children(a, &c, v->v, &copy, e))
            return false;
    }
    *out = copy;
    return true;
}

/* ---- equality ---- */

bool wit_value_eq(const struct wit_type *t, const struct wit_value *a, const struct wit_value *b)
{
    if (is_bytes(t, a) && is_bytes(t, b)) {
        size_t n = byte_count(t, a);
        return n == byte_count(t, b) && (n == 0 || memcmp(a->p, b->p, n) == 0);
    }
    if (is_scalar(t))
        return a->u64 == b->u64 && a->n == b->n;
    if (a->n != b->n || (t->kind == WIT_STREAM && a->n == WIT_READY && a->aux != b->aux))
        return false;
    struct children c = children(t, a);
    for (uint32_t i = 0; i < c.count; i++)
        if (!wit_value_eq(child_type(&c, i), &a->v[i], &b->v[i]))
            return false;
    return true;
}

/* ---- text ---- */

size_t wit_utf8_put(uint32_t scalar, uint8_t out[4])
{
    size_t n = scalar < 0x80 ? 1 : scalar < 0x800 ? 2 : scalar < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    assert(scalar <= 0x10ffff);
    for (size_t i = n - 1; i > 0; i--, scalar >>= 6)
        out[i] = (uint8_t)(0x80 | (scalar & 0x3f));
    out[0] = (uint8_t)(lead[n] | scalar);
    return n;
}

static void text_char(uint32_t c, char quote, struct buf *out)
{
    if (c == (uint32_t)quote || c == '\\')
        buf_printf(out, "\\%c", (char)c);
    else if (c == '\n' || c == '\r' || c == '\t')
        buf_printf(out, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else if (c < 0x20 || c == 0x7f)
        buf_printf(out, "\\u{%x}", c);
    else {
        uint8_t utf8[4];
        buf_put(out, utf8, wit_utf8_put(c, utf8));
    }
}

static void text_string(struct str s, struct buf *out)
{
    buf_byte(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c < 0x80)
            text_char(c, '"', out);
        else
            buf_byte(out, c); /* part of a longer character: printed as it is */
    }
    buf_byte(out, '"');
}

static void text_float(const struct wit_type *t, const struct wit_value *v, struct buf *out)
{
    double d;
    if (t->kind == WIT_F32) {
        float f;
        uint32_t bits = (uint32_t)v->u64;
        memcpy(&f, &bits, sizeof f);
        d = (double)f;
    } else {
        memcpy(&d, &v->u64, sizeof d);
    }
    if (d != d)
        buf_str(out, STR("nan"));
    else if (d - d != 0)
        buf_str(out, d > 0 ? STR("inf") : STR("-inf"));
    else
        buf_printf(out, "%.*g", t->kind == WIT_F32 ? 9 : 17, d);
}

static bool flag_is_set(const struct wit_type *t, const struct wit_value *v, uint32_t i)
{
    if (t->ncases > 64)
        return (v->p[i / 8] >> (i % 8)) & 1;
    return (v->u64 >> i) & 1;
}

static void text_flags(const struct wit_type *t, const struct wit_value *v, struct buf *out)
{
    const char *comma = "";
    buf_byte(out, '{');
    for (uint32_t i = 0; i < t->ncases; i++) {
        if (!flag_is_set(t, v, i))
            continue;
        buf_printf(out, "%s%.*s", comma, STR_ARG(t->cases[i].name));
        comma = ", ";
    }
    buf_byte(out, '}');
}

static void text_handle(const struct wit_type *t, const struct wit_value *v, struct buf *out)
{
    buf_printf(out, "%.*s(", STR_ARG(t->resource->name));
    for (uint32_t i = 0; i < v->n; i++)
        buf_printf(out, "%02x", v->p[i]);
    buf_byte(out, ')');
}

static void text_scalar(const struct wit_type *t, const struct wit_value *v, struct buf *out)
{
    switch (t->kind) {
    case WIT_BOOL:
        buf_str(out, v->u64 ? STR("true") : STR("false"));
        break;
    case WIT_S8:
    case WIT_S16:
    case WIT_S32:
    case WIT_S64:
        buf_printf(out, "%" PRId64, v->s64);
        break;
    case WIT_F32:
    case WIT_F64:
        text_float(t, v, out);
        break;
    case WIT_CHAR:
        buf_byte(out, '\'');
        text_char((uint32_t)v->u64, '\'', out);
        buf_byte(out, '\'');
        break;
    case WIT_FLAGS:
        text_flags(t, v, out);
        break;
    case WIT_OWN:
    case WIT_BORROW:
        text_handle(t, v, out);
        break;
    default:
        buf_printf(out, "%" PRIu64, v->u64);
    }
}

/* list<u8> and list<s8>, and streams of them, keep no values behind them. */
static void text_bytes(const struct wit_type *elem, const uint8_t *p, size_t n, struct buf *out)
{
    buf_byte(out, '[');
    for (size_t i = 0; i < n && !out->full; i++)
        buf_printf(out, "%s%d", i ? ", " : "", elem->kind == WIT_S8 ? (int8_t)p[i] : p[i]);
    buf_byte(out, ']');
}

static void text_children(const struct wit_type *t, const struct wit_value *v, const char *ends,
                          struct buf *out)
{
    struct children c = children(t, v);
    buf_byte(out, (uint8_t)ends[0]);
    for (uint32_t i = 0; i < c.count && !out->full; i++) {
        if (i)
            buf_str(out, STR(", "));
        if (t->kind == WIT_RECORD)
            buf_printf(out, "%.*s: ", STR_ARG(t->cases[i].name));
        wit_value_text(child_type(&c, i), &v->v[i], out);
    }
    buf_byte(out, (uint8_t)ends[1]);
}

/* "name" or "name(payload)". */
static void text_case(const struct wit_type *t, const struct wit_value *v, struct str name,
                      struct buf *out)
{
    buf_str(out, name);
    if (children(t, v).count)
        text_children(t, v, "()", out);
}

static void text_async(const struct wit_type *t, const struct wit_value *v, struct buf *out)
{
    if (v->n != WIT_READY)
        buf_printf(out, "%s(#%u)", wit_kind_name(t->kind), v->n);
    else if (is_bytes(t, v))
        text_bytes(t->elem, v->p, v->aux, out);
    else if (t->kind == WIT_STREAM)
        text_children(t, v, "[]", out);
    else
        text_case(t, v, STR("ready"), out);
}

void wit_value_text(const struct wit_type *t, const struct wit_value *v, struct buf *out)
{
    switch (t->kind) {
    case WIT_STRING:
        text_string(wit_get_str(v), out);
        break;
    case WIT_LIST:
        if (wit_is_bytes(t->elem))
            text_bytes(t->elem, v->p, v->n, out);
        else
            text_children(t, v, "[]", out);
        break;
    case WIT_RECORD:
        text_children(t, v, "{}", out);
        break;
    case WIT_TUPLE:
        text_children(t, v, "()", out);
        break;
    case WIT_VARIANT:
    case WIT_ENUM:
        text_case(t, v, t->cases[v->n].name, out);
        break;
    case WIT_OPTION:
        text_case(t, v, v->n ? STR("some") : STR("none"), out);
        break;
    case WIT_RESULT:
        text_case(t, v, v->n ? STR("err") : STR("ok"), out);
        break;
    case WIT_FUTURE:
    case WIT_STREAM:
        text_async(t, v, out);
        break;
    default:
        text_scalar(t, v, out);
    }
}
