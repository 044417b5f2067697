/* SPDX-License-Identifier: Apache-2.0 */
/* The pieces of a running guest that calls across its border need, put together without a component. */
#include "tests/fuzz/component/abi_guest.h"

#include <assert.h>
#include "lattice/base/alloc.h"

#define PAGE_BYTES 65536u
#define ARENA_BYTES ((size_t)8 << 20)
#define CALL_BYTES ((size_t)1 << 20)

const struct wit_resource guest_resources[GUEST_RESOURCES] = {
    {.name = {"own", 3}, .slot = 0},
    {.name = {"other", 5}, .slot = 1},
};
const uint32_t guest_slots[GUEST_RESOURCES] = {0, 1};
const struct canon_opts guest_options = {
    .memory = 0, .realloc = 0, .post_return = NONE, .callback = NONE};

static struct cores *make_memory(void)
{
    static const uint8_t bytes[] = {0, 'a', 's', 'm',         1, 0, 0, 0, /* a module with */
                                    5, 4,   1,   1,           1, 1, 7, 5,
                                    1, 1,   'm', WASM_MEMORY, 0}; /* a page */
    struct err e = ERR_INIT;
    struct cores *c = xalloc(sizeof *c + sizeof c->inst[0]);
    struct wasm_module *m = wasm_module_load((struct span){bytes, sizeof bytes}, false, NULL, &e);
    assert(m);
    atomic_init(&c->refs, 1);
    c->n = 1;
    c->inst[0] = wasm_instantiate(m, NULL, NULL, &e);
    assert(c->inst[0]);
    return c;
}

struct abi_guest *abi_guest(void)
{
    static struct abi_guest *only;
    struct err e = ERR_INIT;
    if (only)
        return only;
    struct abi_guest *g = only = xnew(struct abi_guest);
    wasm_init();
    g->resources[0] = (struct plan_resource){.name = guest_resources[0].name, .owner = 0};
    g->resources[1] = (struct plan_resource){.name = guest_resources[1].name, .owner = NONE};
    g->instance_plan.parent = NONE;
    g->plan = (struct plan){.ninstances = 1,
                            .instances = &g->instance_plan,
                            .nresources = GUEST_RESOURCES,
                            .resources = g->resources};
    g->linked = (struct comp_linked){.comp = &g->comp, .plan = &g->plan, .classes = g->classes};
    g->inst = (struct comp_inst){.linked = &g->linked,
                                 .plan = &g->plan,
                                 .vm = wasm_vm_new(NULL, &e),
                                 .cores = make_memory(),
                                 .instances = &g->instance,
                                 .nframes = 1};
    g->opts = (struct plan_opts){.memory = {0, 0}, .realloc = CORE_REF_NONE};
    g->memory = wasm_memory_base(core_memory(&g->inst, g->opts.memory));
    arena_init(&g->arena, ARENA_BYTES);
    arena_init(&g->frame.arena, CALL_BYTES);
    assert(g->inst.vm);
    return g;
}

void abi_guest_reset(struct abi_guest *g, enum encoding encoding, uint32_t handles_max)
{
    arena_fini(&g->arena);
    arena_init(&g->arena, ARENA_BYTES);
    arena_fini(&g->frame.arena);
    g->frame = (struct frame){.kind = FRAME_LIFT};
    arena_init(&g->frame.arena, CALL_BYTES);
    memset(g->memory, 0xa5, PAGE_BYTES);
    free(g->instance.handles.at);
    g->instance = (struct instance){.may_leave = true, .may_enter = true};
    g->inst.nhandles = g->inst.nplaces = 0;
    g->comp.limits.handles_max = handles_max;
    g->opts.encoding = encoding;
    wasm_vm_reset(g->inst.vm);
}

struct side abi_guest_side(struct abi_guest *g)
{
    return (struct side){.instance = 0, .opts = &g->opts, .res = guest_slots};
}
