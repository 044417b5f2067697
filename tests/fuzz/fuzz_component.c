/* SPDX-License-Identifier: Apache-2.0 */
/* Components from anybody: load, tell their world, link against a host that answers everything, instantiate, call
 * what can be called, all with little fuel and memory. */
#include "tests/component/fake_host.h"

#define FUEL 20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool callable(const struct wit_func *f)
{
    for (uint32_t i = 0; i < f->nparams; i++)
        if (f->params[i].type->has_resource)
            return false;
    return f->nparams <= 32 && !(f->result && f->result->has_resource);
}

static enum comp_outcome run(struct comp_inst *g)
{
    enum comp_outcome o;
    while ((o = comp_run(g)) == COMP_PARKED || o == COMP_PAUSED)
        ;
    return o;
}

static void call(struct comp_inst *g, struct fake_host *h, const struct comp_func *f)
{
    const struct wit_func *type = comp_func_type(f);
    struct wit_value args[32];
    struct err e = ERR_INIT;
    if (!callable(type))
        return;
    for (uint32_t i = 0; i < type->nparams; i++)
        args[i] = fake_value(h, &h->arena, type->params[i].type);
    if (comp_call(g, f, args, &e))
        run(g);
}

static void run_all(struct comp *c, struct comp_linked *l)
{
    struct err e = ERR_INIT;
    struct fake_host h = {.park = 2};
    arena_init(&h.arena, 1 << 20);
    struct comp_inst *g = comp_inst_new(l, &h, &e);
    assert(g);
    comp_fuel(g, 1000, FUEL);
    run(g);
    for (uint32_t i = 0; i < comp_nexports(c) && i < 8; i++) {
        const struct wit_iface *x = comp_export(c, i);
        for (uint32_t k = 0; k < x->nfuncs && k < 8; k++) {
            const struct comp_func *f = comp_find(l, x->name, x->funcs[k].name);
            assert(f);
            call(g, &h, f);
            comp_inst_reset(g, &h);
            comp_fuel(g, 1000, FUEL);
        }
    }
    comp_inst_free(g);
    arena_fini(&h.arena);
}

static void tell(const struct comp *c)
{
    struct buf text = {.max = 64 << 10};
    struct err e = ERR_INIT;
    assert(comp_world_text(c, &text, &e) == (e.code == ERR_NONE));
    buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct comp_limits limits = {.memory_pages_max = 64, .handles_max = 100};
    struct err e = ERR_INIT;
    wasm_init();
    struct comp *c = comp_load((struct span){data, size}, &limits, &e);
    if (c)
        tell(c);
    struct comp_linked *l = c ? comp_link(c, &fake_linker, &e) : NULL;
    if (l)
        run_all(c, l);
    assert(c && l ? e.code == ERR_NONE : e.code != ERR_NONE);
    comp_linked_unref(l);
    comp_unref(c);
    return 0;
}
