/* SPDX-License-Identifier: Apache-2.0 */
/* Lift and lower against the model of the Canonical ABI (tests/fuzz/component/model.h), for random types: what is
 * lowered (flat values, memory, handles, the questions to realloc, which may lie) and what is lifted from it again,
 * and what comes of lifting arbitrary flat values and memory. Either both trap or both agree. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "tests/fuzz/component/abi_guest.h"
#include "tests/fuzz/component/choice.h"
#include "tests/fuzz/component/model.h"

#define DEPTH_MAX 4
#define NODES_MAX 400u
#define RESULT_AT 40000u /* allocations begin far below */
#define BUDGET 20000u    /* values lifted from hostile memory */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct round {
    struct abi_guest *g;
    struct choice choice;
    struct model m;
    const struct abi *abi;
    const struct wit_type *type; /* the tuple of parameters, or the result */
    bool params;
};

static void disagree(const struct round *r, const char *what)
{
    struct buf text = BUF_INIT;
    wit_type_text(r->type, &text);
    wasm_vm_trap_report(r->g->inst.vm, &text);
    fprintf(stderr, "%s: %s %.*s\n", what, r->params ? "parameters" : "result", (int)text.n,
            (const char *)text.p);
    abort();
}

static void same(const struct round *r, const struct buf *a, const struct buf *b, const char *what)
{
    if (a->n != b->n || (a->n && memcmp(a->p, b->p, a->n) != 0))
        disagree(r, what);
}

/* ---- states of both sides ---- */

static void same_handles(const struct round *r)
{
    const struct handles *h = &r->g->instance.handles;
    if (r->m.nhandles + 1 != MAX(h->n, 1u))
        disagree(r, "number of handles");
    for (uint32_t i = 1; i <= r->m.nhandles; i++) {
        const struct model_handle *want = &r->m.handles[i];
        if (h->at[i].resource != want->resource)
            disagree(r, "handle's resource");
        if (want->resource != NONE && (h->at[i].own != want->own || h->at[i].obj != want->obj ||
                                       h->at[i].lends != want->lends))
            disagree(r, "handle");
    }
}

static void same_memory(const struct round *r)
{
    if (memcmp(r->g->memory, r->m.mem, MODEL_MEMORY) != 0)
        disagree(r, "memory");
}

/* Runs a lowering of the guest's to its end, answering realloc. */
static bool finish(struct round *r, enum lower_status s, struct allocator *a)
{
    while (s == LOWER_REALLOC) {
        const wasm_slot *args = r->g->inst.lowering.realloc_args;
        uint32_t at = allocator_answer(a, r->g->memory, (uint32_t)args[0], (uint32_t)args[1],
                                       (uint32_t)args[2], (uint32_t)args[3]);
        s = lower_resume(&r->g->inst, at);
    }
    return s == LOWER_DONE;
}

/* ---- lowering, then lifting what was lowered ---- */

static void lift_again(struct round *r, const uint64_t *flat, const struct wit_value *v,
                       bool compare_value);

static void lower_value(struct round *r)
{
    struct wit_value v = choose_value(&r->choice, r->type);
    struct comp_inst *g = &r->g->inst;
    struct allocator mine = {.next = 8 + choose(&r->choice, 64)};
    uint32_t out_pointer = choose(&r->choice, 8) ? RESULT_AT : 65500 + choose(&r->choice, 40);
    if (choose(&r->choice, 4) == 1) {
        mine.lie_at = 1 + choose(&r->choice, 4);
        mine.lie = choose(&r->choice, 2) ? MODEL_MEMORY - choose(&r->choice, 20)
                                         : choose(&r->choice, 250) * 7;
    }
    r->m.allocator = mine;
    uint64_t flat[COMP_FLAT_PARAMS + 1] = {0};
    g->lowering.side = abi_guest_side(r->g);
    g->lowering.call = &r->g->frame;
    enum lower_status s =
        r->params ? lower_params(g, r->abi, v.v) : lower_result(g, r->abi, &v, out_pointer);
    bool done = finish(r, s, &mine);
    bool wanted = r->params ? model_lower_params(&r->m, r->type, v.v, flat)
                            : model_lower_result(&r->m, r->type, &v, out_pointer, flat);
    if (done != wanted)
        disagree(r, wanted ? "lowering traps" : "lowering does not trap");
    same(r, &mine.log, &r->m.allocator.log, "questions to realloc");
    if (done) {
        same_memory(r);
        same_handles(r);
        if (memcmp(flat, g->lowering.flat, sizeof flat) != 0)
            disagree(r, "flat values");
        if (!r->params && r->abi->result_spill)
            flat[0] = out_pointer;
        lift_again(r, flat, &v, !mine.lie_at && mine.next <= RESULT_AT);
    }
    buf_fini(&mine.log);
    buf_fini(&r->m.allocator.log);
}

/* ---- lifting ---- */

/* The guest's answer, written down; false: trapped. *full: for want of room, which the model does not know. */
static bool lift_by_guest(struct round *r, const uint64_t *flat, struct buf *out, bool *full)
{
    struct lifting l = {.g = &r->g->inst,
                        .side = abi_guest_side(r->g),
                        .frame = &r->g->frame,
                        .flat = flat,
                        .memory = core_memory(&r->g->inst, r->g->opts.memory),
                        .arena = &r->g->frame.arena};
    const struct wit_value *args = NULL;
    struct wit_value v = {0};
    bool ok = r->params ? lift_params(&l, r->abi, &args) : lift_result(&l, r->abi, &v);
    if (r->params)
        v = (struct wit_value){.v = args, .n = r->type->ncases};
    if (ok)
        value_dump(r->type, &v, out);
    struct buf text = BUF_INIT;
    wasm_vm_trap_report(r->g->inst.vm, &text);
    buf_byte(&text, 0);
    *full = !ok && strstr((const char *)text.p, "take more than");
    buf_fini(&text);
    return ok;
}

static void lift_both(struct round *r, const uint64_t *flat, struct buf *got)
{
    struct buf want = BUF_INIT;
    bool full;
    r->m.budget = BUDGET;
    bool ok = lift_by_guest(r, flat, got, &full);
    bool wanted =
        model_lift(&r->m, r->type, r->params ? COMP_FLAT_PARAMS : COMP_FLAT_RESULTS, flat, &want);
    if (!full && r->m.budget > 0) {
        if (ok != wanted)
            disagree(r, wanted ? "lifting traps" : "lifting does not trap");
        if (ok) {
            same(r, got, &want, "lifted value");
            same_handles(r);
        }
    }
    buf_fini(&want);
}

static void lift_again(struct round *r, const uint64_t *flat, const struct wit_value *v,
                       bool compare_value)
{
    struct buf got = BUF_INIT, given = BUF_INIT;
    lift_both(r, flat, &got);
    value_dump(r->type, v, &given);
    /* borrows of its own resources come to a guest as they are, not as handles */
    if (compare_value && !r->type->has_borrow)
        same(r, &got, &given, "value that went there and back");
    buf_fini(&got);
    buf_fini(&given);
}

/* Flat values as core code may leave them, over memory as it may be. */
static void lift_anything(struct round *r)
{
    uint8_t types[MODEL_FLAT_MAX];
    uint64_t flat[COMP_FLAT_PARAMS + 1] = {0};
    uint32_t max = r->params ? COMP_FLAT_PARAMS : COMP_FLAT_RESULTS,
             n = model_flatten(r->type, types);
    size_t left = (size_t)(r->choice.end - r->choice.p);
    for (uint32_t i = 0; i < 4; i++) { /* handles to find */
        struct handle h = {.resource = i & 1, .own = i < 3, .obj = &r->g->memory[i]};
        uint32_t index;
        handle_add(&r->g->inst, 0, h, &index);
        r->m.handles[++r->m.nhandles] = (struct model_handle){h.resource, h.own, 0, h.obj};
    }
    if (n > max) {
        types[0] = WASM_I32;
        n = 1;
    }
    for (uint32_t i = 0; i < n; i++) {
        flat[i] = choose(&r->choice, 3) ? choose_byte(&r->choice)
                                        : choose_value(&r->choice, wit_prim(WIT_U64)).u64;
        if (types[i] == WASM_I32 || types[i] == WASM_F32)
            flat[i] = (uint32_t)flat[i];
    }
    for (uint32_t i = 0; left > 0 && i < 4096; i++)
        r->g->memory[i] = r->m.mem[i] = r->choice.end[-(ptrdiff_t)(1 + i % left)];
    struct buf got = BUF_INIT;
    lift_both(r, flat, &got);
    buf_fini(&got);
}

/* ---- one input ---- */

static bool choose_signature(struct round *r)
{
    static const struct wit_resource *const resources[] = {&guest_resources[0],
                                                           &guest_resources[1]};
    struct wit_param params[4];
    struct err e = ERR_INIT;
    struct wit_func *f = arena_new(&r->g->arena, struct wit_func);
    struct choice *c = &r->choice;
    c->arena = &r->g->arena;
    c->resources = resources;
    c->nresources = GUEST_RESOURCES;
    r->params = choose(c, 3) != 1;
    c->borrows = r->params;
    uint32_t n = r->params ? 1 + choose(c, 4) : 0;
    uint32_t nodes = 0;
    for (uint32_t i = 0; i < n; i++) {
        params[i] = (struct wit_param){.type = choose_type(c, DEPTH_MAX)};
        if (!params[i].type)
            return false; /* more fields or depth than types may have */
        nodes += params[i].type->nodes;
    }
    const struct wit_type *result = r->params ? NULL : choose_type(c, DEPTH_MAX);
    if (nodes > NODES_MAX || (!r->params && (!result || result->nodes > NODES_MAX)))
        return false;
    *f = (struct wit_func){.nparams = n, .params = params, .result = result};
    r->abi = abi_new(&r->g->arena, f, r->params ? ABI_LIFT : ABI_LOWER, &guest_options, &e);
    assert(r->abi);
    r->type = r->params ? r->abi->params : result;
    return true;
}

static void same_layout(const struct round *r)
{
    uint8_t types[MODEL_FLAT_MAX];
    uint32_t n = model_flatten(r->type, types), max = r->params ? 16 : 1;
    if (r->type->size != model_size(r->type) || r->type->align != model_align(r->type) ||
        (r->params ? r->abi->params_spill : r->abi->result_spill) != (n > max))
        disagree(r, "layout");
    if (n <= max && memcmp(r->abi->core.types, types, n) != 0)
        disagree(r, "core signature");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t owner_is_us[] = {1, 0};
    struct round r = {.g = abi_guest(), .choice = {.p = data, .end = data + size}};
    enum encoding encoding = (enum encoding)choose(&r.choice, 3);
    abi_guest_reset(r.g, encoding, MODEL_HANDLES - 1);
    if (!choose_signature(&r))
        return 0;
    AUTO_FREE uint8_t *memory = xalloc(MODEL_MEMORY);
    memset(memory, 0xa5, MODEL_MEMORY);
    r.m = (struct model){.mem = memory, .encoding = encoding, .owner_is_us = owner_is_us};
    same_layout(&r);
    if (choose(&r.choice, 2))
        lower_value(&r);
    else
        lift_anything(&r);
    return 0;
}
