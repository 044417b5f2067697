/* SPDX-License-Identifier: Apache-2.0 */
/* Lift: values out of a guest, from flat core values or from memory, into trees in the call's arena. Everything is
 * copied, since guest memory may change as soon as guest code runs again; the arena's ceiling bounds it.
 * Keeps: a value's whole extent was checked against memory before its parts are read; no guest code runs in here,
 * so memory does not move. Recursion is bounded by WIT_DEPTH_MAX.
 * Spec: CanonicalABI.md "Loading", "Flat Lifting"; component-model.md 5.3. */
#include "hostd/component/guest.h"

#include "lattice/base/num.h"

#define F32_NAN 0x7fc00000u
#define F64_NAN 0x7ff8000000000000u

/* ---- reading ---- */

/* `at` was checked with everything around it. */
static const uint8_t *mem(const struct lifting *l, struct place at)
{
    return wasm_memory_base(l->memory) + at.at;
}

static uint64_t load(const struct lifting *l, struct place at, uint32_t bytes)
{
    uint64_t v = 0;
    if (at.flat)
        return l->flat[at.at];
    memcpy(&v, mem(l, at), bytes); /* little-endian, as all our hosts are */
    return v;
}

static bool no_room(struct lifting *l)
{
    return guest_trap(l->g, "values of one call take more than %zu bytes", COMP_CALL_BYTES_MAX);
}

static bool lift_char(struct lifting *l, uint32_t c, struct wit_value *out)
{
    if (c >= 0x110000 || (c >= 0xd800 && c < 0xe000))
        return guest_trap(l->g, "invalid `char` bit pattern 0x%x", c);
    *out = wit_u64(c);
    return true;
}

static uint64_t canonical_f32(uint64_t bits)
{
    uint32_t b = (uint32_t)bits;
    return (b & 0x7fffffff) > 0x7f800000 ? F32_NAN : b;
}

static uint64_t canonical_f64(uint64_t b)
{
    return (b & INT64_MAX) > 0x7ff0000000000000 ? F64_NAN : b;
}

/* ---- handles ---- */

static bool lift_own(struct lifting *l, uint32_t resource, uint32_t index, struct wit_value *out)
{
    struct handle *h = handle_get(l->g, l->side.instance, index, resource);
    if (!h)
        return false;
    if (h->lends)
        return guest_trap(l->g, "cannot remove owned resource while borrowed");
    if (!h->own)
        return guest_trap(l->g, "handle index %u is a borrow where ownership is expected", index);
    out->obj = h->obj;
    handle_remove(l->g, l->side.instance, index);
    return true;
}

static bool lift_borrow(struct lifting *l, uint32_t resource, uint32_t index, struct wit_value *out)
{
    const struct handle *h = handle_get(l->g, l->side.instance, index, resource);
    if (!h)
        return false;
    out->obj = h->obj;
    return handle_lend(l->g, l->frame, l->side.instance, index);
}

static bool lift_value(struct lifting *l, const struct wit_type *t, struct place at,
                       struct wit_value *out);

/* ---- lists ---- */

static bool lift_list_elems(struct lifting *l, const struct wit_type *elem, uint32_t pointer,
                            uint32_t n, struct wit_value *out)
{
    struct wit_value *v = arena_array(l->arena, struct wit_value, n);
    if (!v)
        return no_room(l);
    for (uint32_t i = 0; i < n; i++)
        if (!lift_value(l, elem, (struct place){false, pointer + i * elem->size}, &v[i]))
            return false;
    *out = (struct wit_value){.v = v, .n = n};
    return true;
}

static bool lift_list(struct lifting *l, const struct wit_type *t, uint32_t pointer, uint32_t n,
                      struct wit_value *out)
{
    const struct wit_type *elem = t->elem;
    uint64_t bytes = (uint64_t)n * elem->size;
    if (bytes > COMP_LIST_BYTES_MAX)
        return guest_trap(l->g, "list content out-of-bounds: %llu bytes",
                          (unsigned long long)bytes);
    if (pointer & (elem->align - 1))
        return guest_trap(l->g, "unaligned pointer: list at 0x%x", pointer);
    const uint8_t *p = wasm_memory_at(l->memory, pointer, bytes);
    if (!p)
        return guest_trap(l->g, "list content out-of-bounds: %llu bytes at 0x%x",
                          (unsigned long long)bytes, pointer);
    if (elem->kind != WIT_U8 && elem->kind != WIT_S8)
        return lift_list_elems(l, elem, pointer, n, out);
    struct span copy = arena_span(l->arena, (struct span){p, n});
    if (!copy.p)
        return no_room(l);
    *out = (struct wit_value){.p = copy.p, .n = n};
    return true;
}

/* Strings and lists are a pointer and a length, in two slots or eight bytes. */
static bool lift_heap(struct lifting *l, const struct wit_type *t, struct place at,
                      struct wit_value *out)
{
    uint32_t pointer = (uint32_t)load(l, at, 4);
    uint32_t length = (uint32_t)load(l, (struct place){at.flat, at.at + (at.flat ? 1 : 4)}, 4);
    return t->kind == WIT_STRING ? text_load(l, pointer, length, out)
                                 : lift_list(l, t, pointer, length, out);
}

/* ---- records and variants ---- */

static bool lift_fields(struct lifting *l, const struct wit_type *t, struct place at,
                        struct wit_value *out)
{
    struct wit_value *v = arena_array(l->arena, struct wit_value, t->ncases);
    if (!v)
        return no_room(l);
    for (uint32_t i = 0; i < t->ncases; i++) {
        const struct wit_type *f = t->cases[i].type;
        if (!at.flat)
            at.at = (uint32_t)round_up(at.at, f->align);
        if (!lift_value(l, f, at, &v[i]))
            return false;
        at.at += at.flat ? f->flat : f->size;
    }
    *out = (struct wit_value){.v = v, .n = t->ncases};
    return true;
}

static bool lift_variant(struct lifting *l, const struct wit_type *t, struct place at,
                         struct wit_value *out)
{
    uint32_t ncases = variant_cases(t);
    uint32_t n = (uint32_t)load(l, at, wit_discriminant_bytes(ncases));
    if (n >= ncases)
        return guest_trap(l->g, "invalid variant discriminant %u: %s has %u cases", n,
                          wit_kind_name(t->kind), ncases);
    const struct wit_type *payload = variant_case(t, n);
    *out = (struct wit_value){.n = n};
    if (!payload)
        return true;
    struct wit_value *v = arena_new(l->arena, struct wit_value);
    if (!v)
        return no_room(l);
    out->v = v;
    return lift_value(l, payload, payload_place(t, at), v);
}

static bool lift_value(struct lifting *l, const struct wit_type *t, struct place at,
                       struct wit_value *out)
{
    *out = (struct wit_value){0};
    switch (t->kind) {
    case WIT_BOOL:
        out->u64 = (uint32_t)load(l, at, 1) != 0;
        return true;
    case WIT_U8:
        out->u64 = (uint8_t)load(l, at, 1);
        return true;
    case WIT_S8:
        out->s64 = (int8_t)load(l, at, 1);
        return true;
    case WIT_U16:
        out->u64 = (uint16_t)load(l, at, 2);
        return true;
    case WIT_S16:
        out->s64 = (int16_t)load(l, at, 2);
        return true;
    case WIT_U32:
        out->u64 = (uint32_t)load(l, at, 4);
        return true;
    case WIT_S32:
        out->s64 = (int32_t)load(l, at, 4);
        return true;
    case WIT_U64:
    case WIT_S64:
        out->u64 = load(l, at, 8);
        return true;
    case WIT_F32:
        out->u64 = canonical_f32(load(l, at, 4));
        return true;
    case WIT_F64:
        out->u64 = canonical_f64(load(l, at, 8));
        return true;
    case WIT_CHAR:
        return lift_char(l, (uint32_t)load(l, at, 4), out);
    case WIT_FLAGS: /* bits beyond the labels mean nothing */
        out->u64 = load(l, at, t->size) & (UINT64_MAX >> (64 - t->ncases));
        return true;
    case WIT_OWN:
        return lift_own(l, l->side.res[t->resource->slot], (uint32_t)load(l, at, 4), out);
    case WIT_BORROW:
        return lift_borrow(l, l->side.res[t->resource->slot], (uint32_t)load(l, at, 4), out);
    case WIT_STRING:
    case WIT_LIST:
        return lift_heap(l, t, at, out);
    case WIT_RECORD:
    case WIT_TUPLE:
        return lift_fields(l, t, at, out);
    case WIT_VARIANT:
    case WIT_ENUM:
    case WIT_OPTION:
    case WIT_RESULT:
        return lift_variant(l, t, at, out);
    case WIT_FUTURE:
    case WIT_STREAM:
    case WIT_FIXED_LIST:
        break; /* refused when planned */
    }
    return guest_trap(l->g, "a %s cannot be lifted", wit_kind_name(t->kind));
}

/* ---- whole signatures ---- */

/* A value that travels through memory. */
static bool spilled(struct lifting *l, const struct wit_type *t, uint32_t pointer,
                    struct wit_value *out)
{
    if (pointer & (t->align - 1))
        return guest_trap(l->g, "unaligned pointer: values at 0x%x", pointer);
    if (!wasm_memory_at(l->memory, pointer, t->size))
        return guest_trap(l->g, "pointer out of bounds of memory: values at 0x%x", pointer);
    return lift_value(l, t, (struct place){false, pointer}, out);
}

bool lift_params(struct lifting *l, const struct abi *abi, const struct wit_value **out)
{
    struct wit_value all;
    *out = NULL;
    if (!abi->params)
        return true;
    bool ok = abi->params_spill ? spilled(l, abi->params, (uint32_t)l->flat[0], &all)
                                : lift_value(l, abi->params, (struct place){true, 0}, &all);
    *out = ok ? all.v : NULL;
    return ok;
}

bool lift_result(struct lifting *l, const struct abi *abi, struct wit_value *out)
{
    if (!abi->type->result)
        return true;
    return abi->result_spill ? spilled(l, abi->type->result, (uint32_t)l->flat[0], out)
                             : lift_value(l, abi->type->result, (struct place){true, 0}, out);
}
