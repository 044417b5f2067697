/* SPDX-License-Identifier: Apache-2.0 */
/* Values to bytes and back: the wire form of wRPC 0.0.1, which is the component model's value encoding plus futures,
 * streams and handles. It is not self-describing: both sides know the types.
 * Decoding runs one walker twice over the same bytes. The first run only checks and counts, so that missing bytes cost
 * nothing but that run, nothing is allocated for a length before its bytes are there, and all nodes of the tuple then
 * come from one allocation; the second run cannot fail and fills them.
 * Keeps: what decodes is a well-formed value of its type; strings and bytes borrow from the input. */
#include "wrpc/wit.h"

#include <assert.h>
#include <stdlib.h>
#include "lattice/base/num.h"

/* ---- LEB128 of the wire ---- */

/* Negative numbers that need every byte of their width have two forms. All wasmCloud 1.x is built with leb128-tokio
 * up to 0.1.6, which reads only the bits zero-extended, as if they were unsigned; from 0.1.7 on it reads only the
 * canonical form. Peers of the two kinds cannot pass each other such numbers, and we side with the releases that we
 * must work with. Reading takes both. The only place that chooses. */
static void put_signed(struct buf *out, int64_t v, uint32_t bits)
{
    uint32_t full_bytes = (bits + 6) / 7;
    int64_t least_short = -(INT64_C(1) << (7 * (full_bytes - 1) - 1));
    if (v >= least_short)
        buf_leb_s64(out, v);
    else
        buf_leb_u64(out, (uint64_t)v & (UINT64_MAX >> (64 - bits)));
}

static uint32_t int_bits(enum wit_kind kind)
{
    switch (kind) {
    case WIT_S16:
    case WIT_U16:
        return 16;
    case WIT_S64:
    case WIT_U64:
        return 64;
    default:
        return 32;
    }
}

/* ---- encoding ---- */

struct encoder {
    struct buf *out;
    struct wit_pendings *pend;
    struct wit_path path;
    struct err *e;
};

static bool path_push(struct wit_path *path, struct err *e)
{
    if (path->n == WIT_PATH_MAX)
        return err_set(e, ERR_LIMIT, "async value nested deeper than %d", WIT_PATH_MAX);
    path->n++;
    return true;
}

static bool add_pending(struct wit_pendings *pend, const struct wit_pending *p, struct err *e)
{
    if (!pend)
        return err_set(e, ERR_UNSUPPORTED, "no place for a %s here", wit_kind_name(p->type->kind));
    if (pend->n == ARRAY_LEN(pend->at))
        return err_set(e, ERR_LIMIT, "more than %zu async values", ARRAY_LEN(pend->at));
    pend->at[pend->n++] = *p;
    return true;
}

static bool refuse_async_elements(const struct wit_type *t, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "async values inside a %s cannot travel",
                   wit_kind_name(t->kind));
}

static bool encode(struct encoder *c, const struct wit_type *t, const struct wit_value *v);

static bool encode_cases(struct encoder *c, const struct wit_type *t, const struct wit_value *v)
{
    assert(v->n == t->ncases);
    if (t->has_async && !path_push(&c->path, c->e))
        return false;
    for (uint32_t i = 0; i < t->ncases; i++) {
        if (t->has_async)
            c->path.i[c->path.n - 1] = i;
        if (!encode(c, t->cases[i].type, &v->v[i]))
            return false;
    }
    if (t->has_async)
        c->path.n--;
    return true;
}

static bool encode_list(struct encoder *c, const struct wit_type *t, const struct wit_value *v)
{
    buf_leb_u64(c->out, v->n);
    if (wit_is_bytes(t->elem)) {
        buf_put(c->out, v->p, v->n);
        return true;
    }
    if (t->has_async)
        return refuse_async_elements(t, c->e);
    for (uint32_t i = 0; i < v->n && !c->out->full; i++)
        if (!encode(c, t->elem, &v->v[i]))
            return false;
    return true;
}

/* Case number, then the payload if that case has one. */
static bool encode_case(struct encoder *c, uint32_t n, const struct wit_type *payload,
                        const struct wit_value *v)
{
    buf_leb_u64(c->out, n);
    return !payload || encode(c, payload, v->v);
}

static void put_flags(struct buf *out, const struct wit_type *t, const struct wit_value *v)
{
    uint32_t n = (t->ncases + 7) / 8;
    if (t->ncases > 64) {
        assert(v->n == n);
        buf_put(out, v->p, n);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        buf_byte(out, (uint8_t)(v->u64 >> (8 * i)));
}

static void put_little_endian(struct buf *out, uint64_t v, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        buf_byte(out, (uint8_t)(v >> (8 * i)));
}

static void put_char(struct buf *out, uint32_t scalar)
{
    uint8_t utf8[4];
    buf_put(out, utf8, wit_utf8_put(scalar, utf8));
}

static bool encode_handle(struct encoder *c, const struct wit_type *t, const struct wit_value *v)
{
    if (v->n == 0 && v->obj)
        return err_set(c->e, ERR_UNSUPPORTED, "a handle of '%.*s' cannot leave its host",
                       STR_ARG(t->resource->name));
    buf_leb_u64(c->out, v->n);
    buf_put(c->out, v->p, v->n);
    return true;
}

/* Futures and streams are never sent ready: readers of other languages disagree on that form. */
static bool encode_async(struct encoder *c, const struct wit_type *t, const struct wit_value *v)
{
    struct wit_pending p = {.path = c->path, .type = t, .index = v->n, .value = v};
    buf_byte(c->out, 0);
    return add_pending(c->pend, &p, c->e);
}

static bool encode(struct encoder *c, const struct wit_type *t, const struct wit_value *v)
{
    switch (t->kind) {
    case WIT_BOOL:
    case WIT_U8:
    case WIT_S8:
        buf_byte(c->out, (uint8_t)v->u64);
        return true;
    case WIT_U16:
    case WIT_U32:
    case WIT_U64:
        buf_leb_u64(c->out, v->u64);
        return true;
    case WIT_S16:
    case WIT_S32:
    case WIT_S64:
        put_signed(c->out, v->s64, int_bits(t->kind));
        return true;
    case WIT_F32:
    case WIT_F64:
        put_little_endian(c->out, v->u64, t->size);
        return true;
    case WIT_CHAR:
        put_char(c->out, (uint32_t)v->u64);
        return true;
    case WIT_STRING:
        buf_leb_u64(c->out, v->n);
        buf_put(c->out, v->p, v->n);
        return true;
    case WIT_LIST:
        return encode_list(c, t, v);
    case WIT_RECORD:
    case WIT_TUPLE:
        return encode_cases(c, t, v);
    case WIT_VARIANT:
    case WIT_ENUM:
        assert(v->n < t->ncases);
        return encode_case(c, v->n, t->cases[v->n].type, v);
    case WIT_OPTION:
        return encode_case(c, v->n, v->n ? t->elem : NULL, v);
    case WIT_RESULT:
        return encode_case(c, v->n, v->n ? t->err : t->elem, v);
    case WIT_FLAGS:
        put_flags(c->out, t, v);
        return true;
    case WIT_OWN:
    case WIT_BORROW:
        return encode_handle(c, t, v);
    case WIT_FUTURE:
    case WIT_STREAM:
        return encode_async(c, t, v);
    case WIT_FIXED_LIST:
        return err_set(c->e, ERR_UNSUPPORTED, "lists of fixed length have no wire form");
    }
    abort(); /* every kind is above */
}

bool wit_encode(const struct wit_type *const *types, const struct wit_value *values, size_t n,
                struct buf *out, struct wit_pendings *pend, struct err *e)
{
    struct encoder c = {.out = out, .pend = pend, .path = {.n = 1}, .e = e};
    if (pend)
        pend->n = 0;
    for (size_t i = 0; i < n; i++) {
        c.path.i[0] = (uint32_t)i;
        if (!encode(&c, types[i], &values[i]))
            return false;
    }
    return buf_ok(out, e);
}

/* ---- decoding ---- */

struct decoder {
    const uint8_t *start, *p, *end;
    size_t wanted; /* when bytes are missing: at least this many from the start are needed */
    struct wit_value
        *nodes; /* NULL in the first run, which counts; then what is left of the allocation */
    size_t nnodes, nodes_max;
    struct wit_pendings *pend, counted; /* the first run adds to `counted` */
    struct wit_path path;
    struct err *e;
};

static bool bad(struct decoder *d, const struct wit_type *t, const char *what)
{
    return err_set(d->e, ERR_INVALID, "byte %zu: %s: %s", (size_t)(d->p - d->start),
                   wit_kind_name(t->kind), what);
}

/* Are n bytes there? If not, fails without an error: more may come. */
static bool need(struct decoder *d, uint64_t n)
{
    if (n <= (uint64_t)(d->end - d->p))
        return true;
    if (n > WIT_BYTES_MAX)
        return err_set(d->e, ERR_LIMIT, "byte %zu: a value of %llu bytes, limit is %u",
                       (size_t)(d->p - d->start), (unsigned long long)n, WIT_BYTES_MAX);
    d->wanted = (size_t)(d->p - d->start) + (size_t)n;
    return false;
}

/* The next number of up to `bits` bits: its raw bits, and how many bytes it took. The bits of a full-length number
 * beyond `bits` come out too, for the caller to judge. */
static bool leb(struct decoder *d, const struct wit_type *t, uint32_t bits, uint64_t *out,
                uint32_t *nbytes, uint8_t *last)
{
    uint32_t full_bytes = (bits + 6) / 7;
    uint64_t v = 0;
    for (uint32_t i = 0; i < full_bytes; i++) {
        if (!need(d, i + 1))
            return false;
        uint8_t byte = d->p[i];
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        *out = v;
        *nbytes = i + 1;
        *last = byte;
        return true;
    }
    return bad(d, t, "number is too long");
}

static bool get_unsigned(struct decoder *d, const struct wit_type *t, uint32_t bits, uint64_t *out)
{
    uint32_t nbytes;
    uint8_t last;
    if (d->p < d->end && !(*d->p & 0x80)) {
        *out = *d->p++;
        return true;
    }
    if (!leb(d, t, bits, out, &nbytes, &last))
        return false;
    uint32_t used_bits = bits - 7 * (nbytes - 1); /* of the last byte of a full-length number */
    if (used_bits < 7 && last >> used_bits)
        return bad(d, t, "number is too large");
    d->p += nbytes;
    return true;
}

/* A number shorter than the full length is sign-extended. A full-length one may be canonical (the unused bits of the
 * last byte repeat the sign) or zero-extended (they are zero): see put_signed. */
static bool get_signed(struct decoder *d, const struct wit_type *t, uint32_t bits, int64_t *out)
{
    uint32_t nbytes, shift;
    uint64_t v;
    uint8_t last;
    if (!leb(d, t, bits, &v, &nbytes, &last))
        return false;
    uint32_t used_bits = bits - 7 * (nbytes - 1);
    if (used_bits > 7) {
        shift = 64 - 7 * nbytes;
    } else {
        uint8_t unused = (uint8_t)(last >> used_bits), ones = (uint8_t)(0x7f >> used_bits);
        bool negative = (last >> (used_bits - 1)) & 1;
        if (unused != 0 && !(unused == ones && negative))
            return bad(d, t, "number is too large");
        shift = 64 - bits;
    }
    *out = (int64_t)(v << shift) >> shift;
    d->p += nbytes;
    return true;
}

static bool get_byte(struct decoder *d, uint8_t *out)
{
    if (!need(d, 1))
        return false;
    *out = *d->p++;
    return true;
}

/* n bytes as a view. */
static bool get_view(struct decoder *d, uint64_t n, struct wit_value *out)
{
    if (!need(d, n))
        return false;
    out->p = n ? d->p : NULL;
    out->n = (uint32_t)n;
    d->p += n;
    return true;
}

static bool get_bytes(struct decoder *d, const struct wit_type *t, struct wit_value *out)
{
    uint64_t n;
    return get_unsigned(d, t, 32, &n) && get_view(d, n, out);
}

static bool get_string(struct decoder *d, const struct wit_type *t, struct wit_value *out)
{
    if (!get_bytes(d, t, out))
        return false;
    if (!d->nodes && !utf8_valid(out->p, out->n))
        return bad(d, t, "invalid UTF-8");
    return true;
}

static bool get_char(struct decoder *d, const struct wit_type *t, uint64_t *out)
{
    if (!need(d, 1))
        return false;
    uint8_t lead = *d->p;
    uint32_t n = lead < 0x80   ? 1
                 : lead < 0xc2 ? 0
                 : lead < 0xe0 ? 2
                 : lead < 0xf0 ? 3
                 : lead < 0xf5 ? 4
                               : 0;
    if (n == 0)
        return bad(d, t, "invalid UTF-8");
    if (!need(d, n))
        return false;
    if (!utf8_valid(d->p, n))
        return bad(d, t, "invalid UTF-8");
    uint64_t v = n == 1 ? lead : lead & (0x7fu >> n);
    for (uint32_t i = 1; i < n; i++)
        v = v << 6 | (d->p[i] & 0x3f);
    *out = v;
    d->p += n;
    return true;
}

static bool get_little_endian(struct decoder *d, uint32_t bytes, uint64_t *out)
{
    uint64_t v = 0;
    if (!need(d, bytes))
        return false;
    for (uint32_t i = 0; i < bytes; i++)
        v |= (uint64_t)d->p[i] << (8 * i);
    d->p += bytes;
    *out = v;
    return true;
}

static bool get_flags(struct decoder *d, const struct wit_type *t, struct wit_value *out)
{
    uint32_t n = (t->ncases + 7) / 8, spare_bits = 8 * n - t->ncases;
    if (!need(d, n))
        return false;
    if (d->p[n - 1] >> (8 - spare_bits))
        return bad(d, t, "unknown flag");
    if (t->ncases > 64)
        return get_view(d, n, out);
    return get_little_endian(d, n, &out->u64);
}

/* Room for n child nodes: in the first run they are counted and all share one scratch node. */
static bool get_nodes(struct decoder *d, uint64_t n, struct wit_value **out)
{
    if (n > d->nodes_max - d->nnodes)
        return err_set(d->e, ERR_LIMIT, "byte %zu: values of more than %zu parts",
                       (size_t)(d->p - d->start), d->nodes_max);
    *out = d->nodes ? d->nodes + d->nnodes : NULL;
    d->nnodes += n;
    return true;
}

static bool decode(struct decoder *d, const struct wit_type *t, struct wit_value *out);

static bool decode_elements(struct decoder *d, const struct wit_type *t, uint64_t n,
                            struct wit_value *out)
{
    struct wit_value *nodes = NULL, scratch;
    if (t->elem->has_async)
        return refuse_async_elements(t, d->e);
    if (!need(d, n * t->elem->wire_min) || !get_nodes(d, n, &nodes))
        return false;
    for (uint64_t i = 0; i < n; i++)
        if (!decode(d, t->elem, nodes ? &nodes[i] : &scratch))
            return false;
    out->v = nodes;
    return true;
}

static bool decode_list(struct decoder *d, const struct wit_type *t, struct wit_value *out)
{
    uint64_t n;
    if (wit_is_bytes(t->elem))
        return get_bytes(d, t, out);
    if (!get_unsigned(d, t, 32, &n) || !decode_elements(d, t, n, out))
        return false;
    out->n = (uint32_t)n;
    return true;
}

static bool decode_cases(struct decoder *d, const struct wit_type *t, struct wit_value *out)
{
    struct wit_value *nodes = NULL, scratch;
    if (!get_nodes(d, t->ncases, &nodes) || (t->has_async && !path_push(&d->path, d->e)))
        return false;
    for (uint32_t i = 0; i < t->ncases; i++) {
        if (t->has_async)
            d->path.i[d->path.n - 1] = i;
        if (!decode(d, t->cases[i].type, nodes ? &nodes[i] : &scratch))
            return false;
    }
    if (t->has_async)
        d->path.n--;
    out->v = nodes;
    out->n = t->ncases;
    return true;
}

static bool decode_payload(struct decoder *d, const struct wit_type *payload, uint32_t n,
                           struct wit_value *out)
{
    struct wit_value *node = NULL, scratch;
    out->n = n;
    out->v = NULL;
    if (!payload)
        return true;
    if (!get_nodes(d, 1, &node) || !decode(d, payload, node ? node : &scratch))
        return false;
    out->v = node;
    return true;
}

static bool decode_variant(struct decoder *d, const struct wit_type *t, struct wit_value *out)
{
    uint64_t n;
    if (!get_unsigned(d, t, 32, &n))
        return false;
    if (n >= t->ncases)
        return bad(d, t, "no such case");
    return decode_payload(d, t->cases[n].type, (uint32_t)n, out);
}

/* The one byte before an option's, result's or future's payload. */
static bool get_bit(struct decoder *d, const struct wit_type *t, uint32_t *out)
{
    uint8_t byte;
    if (!get_byte(d, &byte))
        return false;
    if (byte > 1)
        return bad(d, t, "first byte is neither 0 nor 1");
    *out = byte;
    return true;
}

static bool decode_pending(struct decoder *d, const struct wit_type *t, struct wit_value *out)
{
    struct wit_pendings *pend = d->nodes || !d->pend ? d->pend : &d->counted;
    struct wit_pending p = {.path = d->path, .type = t, .index = pend ? pend->n : 0};
    *out = (struct wit_value){.v = NULL, .n = p.index};
    return add_pending(pend, &p, d->e);
}

static bool decode_future(struct decoder *d, const struct wit_type *t, struct wit_value *out)
{
    uint32_t ready;
    if (!get_bit(d, t, &ready))
        return false;
    return ready ? decode_payload(d, t->elem, WIT_READY, out) : decode_pending(d, t, out);
}

/* The mark of a pending stream is the count of an empty list. */
static bool decode_stream(struct decoder *d, const struct wit_type *t, struct wit_value *out)
{
    uint64_t n;
    if (!get_unsigned(d, t, 32, &n))
        return false;
    if (n == 0)
        return decode_pending(d, t, out);
    out->v = NULL;
    if (t->elem && !(wit_is_bytes(t->elem) ? get_view(d, n, out) : decode_elements(d, t, n, out)))
        return false;
    out->n = WIT_READY;
    out->aux = (uint32_t)n;
    return true;
}

static bool decode(struct decoder *d, const struct wit_type *t, struct wit_value *out)
{
    uint8_t byte;
    uint32_t bit;
    switch (t->kind) {
    case WIT_BOOL:
        if (!get_bit(d, t, &bit))
            return false;
        out->u64 = bit;
        return true;
    case WIT_U8:
    case WIT_S8:
        if (!get_byte(d, &byte))
            return false;
        out->s64 = t->kind == WIT_S8 ? (int8_t)byte : byte;
        return true;
    case WIT_U16:
    case WIT_U32:
    case WIT_U64:
        return get_unsigned(d, t, int_bits(t->kind), &out->u64);
    case WIT_S16:
    case WIT_S32:
    case WIT_S64:
        return get_signed(d, t, int_bits(t->kind), &out->s64);
    case WIT_F32:
    case WIT_F64:
        return get_little_endian(d, t->size, &out->u64);
    case WIT_CHAR:
        return get_char(d, t, &out->u64);
    case WIT_STRING:
        return get_string(d, t, out);
    case WIT_LIST:
        return decode_list(d, t, out);
    case WIT_RECORD:
    case WIT_TUPLE:
        return decode_cases(d, t, out);
    case WIT_VARIANT:
    case WIT_ENUM:
        return decode_variant(d, t, out);
    case WIT_OPTION:
        return get_bit(d, t, &bit) && decode_payload(d, bit ? t->elem : NULL, bit, out);
    case WIT_RESULT:
        return get_bit(d, t, &bit) && decode_payload(d, bit ? t->err : t->elem, bit, out);
    case WIT_FLAGS:
        return get_flags(d, t, out);
    case WIT_OWN:
    case WIT_BORROW:
        return get_bytes(d, t, out);
    case WIT_FUTURE:
        return decode_future(d, t, out);
    case WIT_STREAM:
        return decode_stream(d, t, out);
    case WIT_FIXED_LIST:
        return err_set(d->e, ERR_UNSUPPORTED, "lists of fixed length have no wire form");
    }
    abort(); /* every kind is above */
}

/* One run over the whole tuple. values: NULL in the first. */
static bool run(struct decoder *d, const struct wit_type *const *types, size_t n,
                struct wit_value *values)
{
    d->p = d->start;
    d->nnodes = 0;
    d->path.n = 1;
    for (size_t i = 0; i < n; i++) {
        struct wit_value scratch;
        d->path.i[0] = (uint32_t)i;
        if (values)
            values[i] = (struct wit_value){.u64 = 0};
        if (!decode(d, types[i], values ? &values[i] : &scratch))
            return false;
    }
    return true;
}

bool wit_decode(const struct wit_type *const *types, size_t n, struct span in, struct arena *a,
                struct wit_value *values, size_t *used, struct wit_pendings *pend, struct err *e)
{
    static const uint8_t nothing[1];
    const uint8_t *start = in.n ? in.p : nothing;
    struct decoder d = {.start = start, .end = start + in.n, .pend = pend, .e = e};
    d.nodes_max = (a->max_bytes - a->used_bytes) / sizeof(struct wit_value);
    e->code = ERR_NONE;
    if (!run(&d, types, n, NULL)) {
        if (e->code == ERR_NONE)
            *used = d.wanted;
        return false;
    }
    d.nodes = arena_array(a, struct wit_value, d.nnodes);
    if (!d.nodes)
        return arena_full(a, e);
    d.nodes_max = d.nnodes;
    if (pend)
        pend->n = 0;
    bool filled = run(&d, types, n, values);
    assert(filled);
    *used = (size_t)(d.p - d.start);
    return true;
}
