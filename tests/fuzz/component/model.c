/* SPDX-License-Identifier: Apache-2.0 */
/* Types, handles, lowering and lifting of the model. */
#include "tests/fuzz/component/model.h"

#include <assert.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* ---- realloc ---- */

uint32_t allocator_answer(struct allocator *a, uint8_t *mem, uint32_t old, uint32_t old_bytes,
                          uint32_t align, uint32_t bytes)
{
    buf_printf(&a->log, "realloc(%u, %u, %u, %u)\n", old, old_bytes, align, bytes);
    if (++a->calls == a->lie_at)
        return a->lie;
    a->next = (uint32_t)round_up(a->next, align);
    uint32_t at = a->next, moved = MIN(old_bytes, bytes);
    a->next += bytes;
    if (moved && at <= MODEL_MEMORY - moved && old <= MODEL_MEMORY - moved)
        memmove(mem + at, mem + old, moved);
    return at;
}

bool model_realloc(struct model *m, uint32_t old, uint32_t old_bytes, uint32_t align,
                   uint64_t bytes, uint32_t *pointer)
{
    *pointer = allocator_answer(&m->allocator, m->mem, old, old_bytes, align, (uint32_t)bytes);
    return *pointer % align == 0 && *pointer + bytes <= MODEL_MEMORY;
}

/* ---- what types weigh ---- */

static uint32_t discriminant(const struct wit_type *t)
{
    uint32_t n = variant_cases(t);
    return n <= 1u << 8 ? 1 : n <= 1u << 16 ? 2 : 4;
}

static uint32_t flags_bytes(const struct wit_type *t)
{
    return t->ncases <= 8 ? 1 : t->ncases <= 16 ? 2 : 4;
}

static bool is_variant(const struct wit_type *t)
{
    return t->kind == WIT_VARIANT || t->kind == WIT_ENUM || t->kind == WIT_OPTION ||
           t->kind == WIT_RESULT;
}

static bool is_record(const struct wit_type *t)
{
    return t->kind == WIT_RECORD || t->kind == WIT_TUPLE;
}

static uint32_t scalar_bytes(const struct wit_type *t)
{
    switch (t->kind) {
    case WIT_BOOL:
    case WIT_S8:
    case WIT_U8:
        return 1;
    case WIT_S16:
    case WIT_U16:
        return 2;
    case WIT_S64:
    case WIT_U64:
    case WIT_F64:
        return 8;
    case WIT_FLAGS:
        return flags_bytes(t);
    default:
        return 4;
    }
}

uint32_t model_align(const struct wit_type *t)
{
    uint32_t align = is_variant(t) ? discriminant(t) : is_record(t) ? 1 : scalar_bytes(t);
    for (uint32_t i = 0; is_record(t) && i < t->ncases; i++)
        align = MAX(align, model_align(t->cases[i].type));
    for (uint32_t i = 0; is_variant(t) && i < variant_cases(t); i++)
        if (variant_case(t, i))
            align = MAX(align, model_align(variant_case(t, i)));
    return align;
}

static uint32_t payload_offset(const struct wit_type *t)
{
    uint32_t align = 1;
    for (uint32_t i = 0; i < variant_cases(t); i++)
        if (variant_case(t, i))
            align = MAX(align, model_align(variant_case(t, i)));
    return (uint32_t)round_up(discriminant(t), align);
}

uint32_t model_size(const struct wit_type *t)
{
    uint32_t size = 0;
    if (t->kind == WIT_STRING || t->kind == WIT_LIST)
        return 8;
    if (is_record(t)) {
        for (uint32_t i = 0; i < t->ncases; i++) {
            const struct wit_type *f = t->cases[i].type;
            size = (uint32_t)round_up(size, model_align(f)) + model_size(f);
        }
        return (uint32_t)round_up(size, model_align(t));
    }
    if (!is_variant(t))
        return scalar_bytes(t);
    for (uint32_t i = 0; i < variant_cases(t); i++)
        if (variant_case(t, i))
            size = MAX(size, model_size(variant_case(t, i)));
    return (uint32_t)round_up(payload_offset(t) + size, model_align(t));
}

static uint8_t join(uint8_t a, uint8_t b)
{
    if (a == b)
        return a;
    bool a32 = a == WASM_I32 || a == WASM_F32, b32 = b == WASM_I32 || b == WASM_F32;
    return a32 && b32 ? WASM_I32 : WASM_I64;
}

uint32_t model_flatten(const struct wit_type *t, uint8_t *out)
{
    uint32_t n = 0;
    if (t->kind == WIT_STRING || t->kind == WIT_LIST) {
        out[0] = out[1] = WASM_I32;
        return 2;
    }
    if (is_record(t)) {
        for (uint32_t i = 0; i < t->ncases; i++)
            n += model_flatten(t->cases[i].type, out + n);
        return n;
    }
    if (!is_variant(t)) {
        out[0] = t->kind == WIT_F32     ? WASM_F32
                 : t->kind == WIT_F64   ? WASM_F64
                 : scalar_bytes(t) == 8 ? WASM_I64
                                        : WASM_I32;
        return 1;
    }
    out[n++] = WASM_I32;
    AUTO_FREE uint8_t *one = xalloc(MODEL_FLAT_MAX);
    for (uint32_t i = 0; i < variant_cases(t); i++) {
        uint32_t k = variant_case(t, i) ? model_flatten(variant_case(t, i), one) : 0;
        for (uint32_t j = 0; j < k; j++)
            out[1 + j] = 1 + j < n ? join(out[1 + j], one[j]) : one[j];
        n = MAX(n, 1 + k);
    }
    return n;
}

/* ---- handles ---- */

static uint32_t add_handle(struct model *m, struct model_handle h)
{
    uint32_t i = m->nfreed ? m->freed[--m->nfreed] : ++m->nhandles;
    assert(i < MODEL_HANDLES);
    m->handles[i] = h;
    return i;
}

static bool lower_handle(struct model *m, const struct wit_type *t, const struct wit_value *v,
                         uint32_t *out)
{
    uint32_t resource = t->resource->slot;
    if (t->kind == WIT_BORROW && m->owner_is_us[resource]) {
        *out = (uint32_t)(uintptr_t)v->obj;
        return true;
    }
    if (m->nfreed == 0 && m->nhandles == MODEL_HANDLES - 1)
        return false; /* as many as the limit allows */
    *out = add_handle(m, (struct model_handle){resource, t->kind == WIT_OWN, 0, v->obj});
    return true;
}

static bool lift_handle(struct model *m, const struct wit_type *t, uint32_t index, struct buf *out)
{
    if (index == 0 || index > m->nhandles || m->handles[index].resource != t->resource->slot)
        return false;
    struct model_handle *h = &m->handles[index];
    dump_number((uint64_t)(uintptr_t)h->obj, out);
    if (t->kind == WIT_BORROW) {
        h->lends++;
        return true;
    }
    if (h->lends || !h->own)
        return false;
    h->resource = NONE;
    m->freed[m->nfreed++] = index;
    return true;
}

/* ---- a place to write to or read from: memory, or flat core values ---- */

struct cursor {
    bool flat;
    uint32_t at; /* address */
    uint64_t *values;
};

static void write_bytes(struct model *m, uint32_t at, uint64_t v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        m->mem[at + i] = (uint8_t)(v >> 8 * i);
}

static uint64_t read_bytes(const struct model *m, uint32_t at, uint32_t n)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < n; i++)
        v |= (uint64_t)m->mem[at + i] << 8 * i;
    return v;
}

static bool lower(struct model *m, const struct wit_type *t, const struct wit_value *v,
                  struct cursor c);
static bool lift(struct model *m, const struct wit_type *t, struct cursor c, struct buf *out);

static uint32_t flat_count(const struct wit_type *t)
{
    AUTO_FREE uint8_t *types = xalloc(MODEL_FLAT_MAX);
    return model_flatten(t, types);
}

static struct cursor behind(struct cursor c, const struct wit_type *t)
{
    if (!c.flat) {
        c.at += model_size(t);
        return c;
    }
    uint32_t n = flat_count(t);
    c.values += n;
    return c;
}

static struct cursor aligned(struct cursor c, const struct wit_type *t)
{
    if (!c.flat)
        c.at = (uint32_t)round_up(c.at, model_align(t));
    return c;
}

static struct cursor payload_of(struct cursor c, const struct wit_type *t)
{
    if (c.flat)
        c.values++;
    else
        c.at += payload_offset(t);
    return c;
}

/* ---- lowering ---- */

static void lower_number(struct model *m, struct cursor c, uint64_t v, uint32_t bytes)
{
    if (c.flat)
        *c.values = bytes == 8 ? v : (uint32_t)v;
    else
        write_bytes(m, c.at, v, bytes);
}

static void lower_pair(struct model *m, struct cursor c, uint32_t pointer, uint32_t length)
{
    lower_number(m, c, pointer, 4);
    if (c.flat)
        c.values++;
    else
        c.at += 4;
    lower_number(m, c, length, 4);
}

static bool lower_list(struct model *m, const struct wit_type *t, const struct wit_value *v,
                       struct cursor c)
{
    uint32_t size = model_size(t->elem), pointer;
    if (!model_realloc(m, 0, 0, model_align(t->elem), (uint64_t)v->n * size, &pointer))
        return false;
    lower_pair(m, c, pointer, v->n);
    for (uint32_t i = 0; i < v->n; i++) {
        struct wit_value byte = {0};
        if (wit_is_bytes(t->elem))
            byte.u64 = v->p[i];
        if (!lower(m, t->elem, wit_is_bytes(t->elem) ? &byte : &v->v[i],
                   (struct cursor){.at = pointer + i * size}))
            return false;
    }
    return true;
}

static bool lower_record(struct model *m, const struct wit_type *t, const struct wit_value *v,
                         struct cursor c)
{
    for (uint32_t i = 0; i < t->ncases; i++) {
        c = aligned(c, t->cases[i].type);
        if (!lower(m, t->cases[i].type, &v->v[i], c))
            return false;
        c = behind(c, t->cases[i].type);
    }
    return true;
}

static bool lower(struct model *m, const struct wit_type *t, const struct wit_value *v,
                  struct cursor c)
{
    uint32_t a, b;
    if (is_record(t))
        return lower_record(m, t, v, c);
    if (t->kind == WIT_LIST)
        return lower_list(m, t, v, c);
    if (t->kind == WIT_STRING) {
        if (!model_store_string(m, v, &a, &b))
            return false;
        lower_pair(m, c, a, b);
        return true;
    }
    if (is_variant(t)) {
        lower_number(m, c, v->n, discriminant(t));
        const struct wit_type *payload = variant_case(t, v->n);
        return !payload || lower(m, payload, v->v, payload_of(c, t));
    }
    if (t->kind == WIT_OWN || t->kind == WIT_BORROW) {
        if (!lower_handle(m, t, v, &a))
            return false;
        lower_number(m, c, a, 4);
        return true;
    }
    lower_number(m, c, v->u64, scalar_bytes(t));
    return true;
}

bool model_lower_params(struct model *m, const struct wit_type *params,
                        const struct wit_value *args, uint64_t *flat)
{
    struct wit_value all = {.v = args, .n = params->ncases};
    uint32_t pointer;
    if (flat_count(params) <= 16)
        return lower(m, params, &all, (struct cursor){.flat = true, .values = flat});
    if (!model_realloc(m, 0, 0, model_align(params), model_size(params), &pointer))
        return false;
    flat[0] = pointer;
    return lower(m, params, &all, (struct cursor){.at = pointer});
}

bool model_lower_result(struct model *m, const struct wit_type *t, const struct wit_value *v,
                        uint32_t out_pointer, uint64_t *flat)
{
    if (flat_count(t) <= 1)
        return lower(m, t, v, (struct cursor){.flat = true, .values = flat});
    if (out_pointer % model_align(t) != 0 || (uint64_t)out_pointer + model_size(t) > MODEL_MEMORY)
        return false;
    return lower(m, t, v, (struct cursor){.at = out_pointer});
}

/* ---- lifting ---- */

static uint64_t lift_number(struct model *m, struct cursor c, uint32_t bytes)
{
    if (!c.flat)
        return read_bytes(m, c.at, bytes);
    return bytes == 8 ? *c.values : (uint32_t)*c.values;
}

static bool lift_list(struct model *m, const struct wit_type *t, uint32_t pointer, uint32_t n,
                      struct buf *out)
{
    uint32_t size = model_size(t->elem);
    if (pointer % model_align(t->elem) != 0 || pointer + (uint64_t)n * size > MODEL_MEMORY)
        return false;
    dump_number(n, out);
    for (uint32_t i = 0; i < n; i++)
        if (!lift(m, t->elem, (struct cursor){.at = pointer + i * size}, out))
            return false;
    return true;
}

static bool lift_heap(struct model *m, const struct wit_type *t, struct cursor c, struct buf *out)
{
    uint32_t pointer = (uint32_t)lift_number(m, c, 4);
    if (c.flat)
        c.values++;
    else
        c.at += 4;
    uint32_t length = (uint32_t)lift_number(m, c, 4);
    return t->kind == WIT_STRING ? model_load_string(m, pointer, length, out)
                                 : lift_list(m, t, pointer, length, out);
}

static uint64_t canonical(const struct wit_type *t, uint64_t v)
{
    if (t->kind == WIT_F32 && (v & 0x7f800000) == 0x7f800000 && (v & 0x7fffff))
        return 0x7fc00000;
    if (t->kind == WIT_F64 && (v >> 52 & 0x7ff) == 0x7ff && (v & 0xfffffffffffff))
        return 0x7ff8000000000000;
    return v;
}

static bool lift_scalar(const struct wit_type *t, uint64_t v, struct buf *out)
{
    if (t->kind == WIT_CHAR && (v >= 0x110000 || (v >= 0xd800 && v <= 0xdfff)))
        return false;
    switch (t->kind) {
    case WIT_BOOL:
        v = v != 0;
        break;
    case WIT_S8:
        v = (uint64_t)(int64_t)(int8_t)v;
        break;
    case WIT_U8:
        v = (uint8_t)v;
        break;
    case WIT_S16:
        v = (uint64_t)(int64_t)(int16_t)v;
        break;
    case WIT_U16:
        v = (uint16_t)v;
        break;
    case WIT_S32:
        v = (uint64_t)(int64_t)(int32_t)v;
        break;
    case WIT_FLAGS:
        v &= ((uint64_t)1 << t->ncases) - 1;
        break;
    default:
        break;
    }
    dump_number(canonical(t, v), out);
    return true;
}

static bool lift(struct model *m, const struct wit_type *t, struct cursor c, struct buf *out)
{
    if (m->budget == 0 || --m->budget == 0)
        return false;
    if (is_record(t)) {
        for (uint32_t i = 0; i < t->ncases; i++) {
            c = aligned(c, t->cases[i].type);
            if (!lift(m, t->cases[i].type, c, out))
                return false;
            c = behind(c, t->cases[i].type);
        }
        return true;
    }
    if (t->kind == WIT_LIST || t->kind == WIT_STRING)
        return lift_heap(m, t, c, out);
    if (is_variant(t)) {
        uint32_t n = (uint32_t)lift_number(m, c, discriminant(t));
        if (n >= variant_cases(t))
            return false;
        dump_number(n, out);
        const struct wit_type *payload = variant_case(t, n);
        return !payload || lift(m, payload, payload_of(c, t), out);
    }
    if (t->kind == WIT_OWN || t->kind == WIT_BORROW)
        return lift_handle(m, t, (uint32_t)lift_number(m, c, 4), out);
    return lift_scalar(t, lift_number(m, c, scalar_bytes(t)), out);
}

bool model_lift(struct model *m, const struct wit_type *t, uint32_t max_flat, const uint64_t *flat,
                struct buf *out)
{
    uint64_t values[32];
    memcpy(values, flat, (max_flat + 1) * sizeof *flat);
    if (flat_count(t) <= max_flat)
        return lift(m, t, (struct cursor){.flat = true, .values = values}, out);
    uint32_t pointer = (uint32_t)flat[0];
    if (pointer % model_align(t) != 0 || (uint64_t)pointer + model_size(t) > MODEL_MEMORY)
        return false;
    return lift(m, t, (struct cursor){.at = pointer}, out);
}

/* ---- writing down ---- */

void dump_number(uint64_t v, struct buf *out)
{
    buf_put(out, &v, sizeof v);
}

void value_dump(const struct wit_type *t, const struct wit_value *v, struct buf *out)
{
    if (is_record(t)) {
        for (uint32_t i = 0; i < t->ncases; i++)
            value_dump(t->cases[i].type, &v->v[i], out);
    } else if (is_variant(t)) {
        dump_number(v->n, out);
        if (variant_case(t, v->n))
            value_dump(variant_case(t, v->n), v->v, out);
    } else if (t->kind == WIT_STRING) {
        dump_number(v->n, out);
        buf_put(out, v->p, v->n);
    } else if (t->kind == WIT_LIST) {
        dump_number(v->n, out);
        for (uint32_t i = 0; i < v->n; i++) {
            struct wit_value byte = {0};
            if (t->elem->kind == WIT_S8)
                byte.s64 = (int8_t)v->p[i];
            else if (t->elem->kind == WIT_U8)
                byte.u64 = v->p[i];
            value_dump(t->elem, wit_is_bytes(t->elem) ? &byte : &v->v[i], out);
        }
    } else if (t->kind == WIT_OWN || t->kind == WIT_BORROW) {
        dump_number((uint64_t)(uintptr_t)v->obj, out);
    } else {
        dump_number(canonical(t, v->u64), out);
    }
}
