/* SPDX-License-Identifier: Apache-2.0 */
/* Lower: values into a guest, to flat core values or to memory. Strings and lists need the guest to allocate, which
 * is a guest call like any other, so the walk over the values is kept as data (struct lowering) and stops there.
 * Keeps: an address from the guest is checked when it arrives, and becomes a pointer anew for every store, because
 * memory may have grown; a flat sequence is zeroed before, so positions that a case does not use are zero.
 * Spec: CanonicalABI.md "Storing", "Flat Lowering"; component-model.md 5.3. */
#include "hostd/component/guest.h"

#include <assert.h>
#include "lattice/base/num.h"

static struct wasm_memory *memory_of(struct comp_inst *g)
{
    return core_memory(g, g->lowering.side.opts->memory);
}

static void store(struct comp_inst *g, struct place at, uint64_t v, uint32_t bytes)
{
    if (at.flat)
        g->lowering.flat[at.at] = v;
    else
        memcpy(wasm_memory_base(memory_of(g)) + at.at, &v, bytes);
}

static void store_pair(struct comp_inst *g, struct place at, uint32_t pointer, uint32_t length)
{
    store(g, at, pointer, 4);
    store(g, (struct place){at.flat, at.at + (at.flat ? 1 : 4)}, length, 4);
}

static void descend(struct comp_inst *g, const struct wit_type *t, const struct wit_value *values,
                    uint32_t n, struct place at)
{
    struct lowering *l = &g->lowering;
    assert(l->depth < LOWER_DEPTH);
    l->level[l->depth++] = (struct lower_level){t, values, 0, n, at};
}

/* ---- allocation ---- */

static enum lower_status want(struct comp_inst *g, uint32_t old, uint32_t old_bytes, uint32_t align,
                              uint32_t bytes)
{
    wasm_slot args[4] = {old, old_bytes, align, bytes};
    memcpy(g->lowering.realloc_args, args, sizeof args);
    return LOWER_REALLOC;
}

static enum lower_status begin_list(struct comp_inst *g, const struct wit_type *t,
                                    const struct wit_value *v, struct place at)
{
    struct lowering *l = &g->lowering;
    uint64_t bytes = (uint64_t)v->n * t->elem->size;
    if (bytes > COMP_LIST_BYTES_MAX) {
        guest_trap(g, "list of %llu bytes is too long", (unsigned long long)bytes);
        return LOWER_TRAP;
    }
    l->want = WANT_LIST;
    l->type = t;
    l->value = v;
    l->place = at;
    return want(g, 0, 0, t->elem->align, (uint32_t)bytes);
}

#define TEXT_BYTES_MAX (1u << 30) /* above this even the sums of text_plan could wrap */

static enum lower_status begin_text(struct comp_inst *g, const struct wit_value *v, struct place at)
{
    struct lowering *l = &g->lowering;
    if (v->n && v->aux == 0 && !utf8_valid(v->p, v->n)) { /* else it was lifted, and checked then */
        guest_trap(g, "the host's string is not UTF-8");
        return LOWER_TRAP;
    }
    if (v->n <= TEXT_BYTES_MAX)
        l->text = text_plan(v, l->side.opts->encoding);
    if (v->n > TEXT_BYTES_MAX || !text_plan_ok(&l->text)) {
        guest_trap(g, "string of %u bytes is too long", v->n);
        return LOWER_TRAP;
    }
    l->want = WANT_TEXT;
    l->value = v;
    l->place = at;
    l->text_step = 0;
    return want(g, 0, 0, l->text.align, l->text.alloc);
}

/* ---- handles ---- */

static bool lower_own(struct comp_inst *g, uint32_t resource, const struct wit_value *v,
                      uint32_t *out)
{
    struct handle h = {.resource = resource, .own = true, .obj = v->obj};
    return handle_add(g, g->lowering.side.instance, h, out);
}

static bool lower_borrow(struct comp_inst *g, uint32_t resource, const struct wit_value *v,
                         uint32_t *out)
{
    struct lowering *l = &g->lowering;
    if (g->plan->resources[resource].owner == l->side.instance) {
        *out = (uint32_t)(uintptr_t)v->obj;
        return true;
    }
    assert(l->call); /* results have no borrows: checked when decoded */
    l->call->borrows++;
    return handle_add(g, l->side.instance,
                      (struct handle){.resource = resource, .obj = v->obj, .scope = g->nframes - 1},
                      out);
}

static enum lower_status lower_handle(struct comp_inst *g, const struct wit_type *t,
                                      const struct wit_value *v, struct place at)
{
    uint32_t resource = g->lowering.side.res[t->resource->slot], index;
    bool ok = t->kind == WIT_OWN ? lower_own(g, resource, v, &index)
                                 : lower_borrow(g, resource, v, &index);
    if (!ok)
        return LOWER_TRAP;
    store(g, at, index, 4);
    return LOWER_DONE;
}

/* ---- the walk ---- */

/* Core values of 32 bits are zero-extended in their slot. */
static uint64_t scalar_bits(const struct wit_type *t, const struct wit_value *v)
{
    switch (t->kind) {
    case WIT_BOOL:
        return v->u64 != 0;
    case WIT_U64:
    case WIT_S64:
    case WIT_F64:
    case WIT_FLAGS:
        return v->u64;
    default:
        return (uint32_t)v->u64;
    }
}

/* One value, or as much of it as goes without an allocation; parts are left as a level. */
static enum lower_status lower_value(struct comp_inst *g, const struct wit_type *t,
                                     const struct wit_value *v, struct place at)
{
    for (;;) {
        switch (t->kind) {
        case WIT_STRING:
            return begin_text(g, v, at);
        case WIT_LIST:
            return begin_list(g, t, v, at);
        case WIT_RECORD:
        case WIT_TUPLE:
            descend(g, t, v->v, t->ncases, at);
            return LOWER_DONE;
        case WIT_OWN:
        case WIT_BORROW:
            return lower_handle(g, t, v, at);
        case WIT_VARIANT:
        case WIT_ENUM:
        case WIT_OPTION:
        case WIT_RESULT:
            break;
        default:
            store(g, at, scalar_bits(t, v), t->size);
            return LOWER_DONE;
        }
        store(g, at, v->n, wit_discriminant_bytes(variant_cases(t)));
        const struct wit_type *payload = variant_case(t, v->n);
        if (!payload)
            return LOWER_DONE;
        at = payload_place(t, at);
        t = payload;
        v = v->v;
    }
}

static enum lower_status lower_walk(struct comp_inst *g)
{
    struct lowering *l = &g->lowering;
    while (l->depth) {
        struct lower_level *x = &l->level[l->depth - 1];
        if (x->i == x->n) {
            l->depth--;
            continue;
        }
        bool list = x->type->kind == WIT_LIST;
        const struct wit_type *t = list ? x->type->elem : x->type->cases[x->i].type;
        struct place at = x->place;
        if (!at.flat)
            at.at = (uint32_t)round_up(at.at, t->align);
        x->place = (struct place){at.flat, at.at + (at.flat ? t->flat : t->size)};
        enum lower_status s = lower_value(g, t, &x->values[x->i++], at);
        if (s != LOWER_DONE)
            return s;
    }
    l->want = WANT_NOTHING;
    return LOWER_DONE;
}

/* ---- going on after realloc ---- */

/* A place that the guest gave us for `bytes` bytes. */
static bool given(struct comp_inst *g, uint32_t pointer, uint32_t align, uint32_t bytes)
{
    if (pointer & (align - 1))
        return guest_trap(g, "realloc return: result not aligned (0x%x)", pointer);
    if (!wasm_memory_at(memory_of(g), pointer, bytes))
        return guest_trap(g, "realloc return: beyond end of memory (%u bytes at 0x%x)", bytes,
                          pointer);
    return true;
}

static void list_allocated(struct comp_inst *g, uint32_t pointer)
{
    struct lowering *l = &g->lowering;
    const struct wit_type *elem = l->type->elem;
    store_pair(g, l->place, pointer, l->value->n);
    if (elem->kind != WIT_U8 && elem->kind != WIT_S8)
        descend(g, l->type, l->value->v, l->value->n, (struct place){false, pointer});
    else if (l->value->n)
        memcpy(wasm_memory_base(memory_of(g)) + pointer, l->value->p, l->value->n);
}

/* The first allocation may have to grow once before the text is written, and to shrink once after it. */
static enum lower_status text_allocated(struct comp_inst *g, uint32_t pointer)
{
    struct lowering *l = &g->lowering;
    const struct text_plan *t = &l->text;
    if (l->text_step == 0 && t->grow) {
        l->text_step = 1;
        return want(g, pointer, t->alloc, t->align, t->grow);
    }
    uint32_t room = t->grow ? t->grow : t->alloc;
    if (l->text_step <= 1) {
        text_store(t, l->value, l->side.opts->encoding, wasm_memory_base(memory_of(g)) + pointer);
        /* by spec text that turned out narrow is allocated anew even when it is empty */
        if (t->final < room || t->final_align != t->align) {
            l->text_step = 2;
            return want(g, pointer, room, t->final_align, t->final);
        }
    }
    store_pair(g, l->place, pointer, t->units);
    return LOWER_DONE;
}

enum lower_status lower_resume(struct comp_inst *g, uint32_t pointer)
{
    struct lowering *l = &g->lowering;
    enum lower_status s = LOWER_DONE;
    assert(l->want != WANT_NOTHING);
    if (!given(g, pointer, (uint32_t)l->realloc_args[2], (uint32_t)l->realloc_args[3]))
        return LOWER_TRAP;
    switch (l->want) {
    case WANT_SPILL:
        l->flat[0] = pointer;
        descend(g, l->type, l->value, l->type->ncases, (struct place){false, pointer});
        break;
    case WANT_LIST:
        list_allocated(g, pointer);
        break;
    case WANT_TEXT:
        s = text_allocated(g, pointer);
        break;
    case WANT_NOTHING:
        break;
    }
    return s == LOWER_DONE ? lower_walk(g) : s;
}

/* ---- whole signatures ---- l->side and l->call are set by the caller */

static void lower_reset(struct comp_inst *g)
{
    memset(g->lowering.flat, 0, sizeof g->lowering.flat);
    g->lowering.depth = 0;
    g->lowering.want = WANT_NOTHING;
}

enum lower_status lower_params(struct comp_inst *g, const struct abi *abi,
                               const struct wit_value *args)
{
    struct lowering *l = &g->lowering;
    lower_reset(g);
    if (!abi->params)
        return LOWER_DONE;
    if (!abi->params_spill) {
        descend(g, abi->params, args, abi->params->ncases, (struct place){true, 0});
        return lower_walk(g);
    }
    l->want = WANT_SPILL;
    l->type = abi->params;
    l->value = args;
    return want(g, 0, 0, abi->params->align, abi->params->size);
}

enum lower_status lower_result(struct comp_inst *g, const struct abi *abi,
                               const struct wit_value *result, uint32_t out_pointer)
{
    const struct wit_type *t = abi->type->result;
    struct place at = {.flat = true};
    lower_reset(g);
    if (!t)
        return LOWER_DONE;
    if (abi->result_spill) {
        if (out_pointer & (t->align - 1)) {
            guest_trap(g, "unaligned pointer: result at 0x%x", out_pointer);
            return LOWER_TRAP;
        }
        if (!wasm_memory_at(memory_of(g), out_pointer, t->size)) {
            guest_trap(g, "pointer out of bounds of memory: result at 0x%x", out_pointer);
            return LOWER_TRAP;
        }
        at = (struct place){false, out_pointer};
    }
    enum lower_status s = lower_value(g, t, result, at);
    return s == LOWER_DONE ? lower_walk(g) : s;
}
