/* SPDX-License-Identifier: Apache-2.0 */
/* One module, instance and vm for a test, opened from bytes; failing to is a failed test. */
#ifndef HOSTD_TESTS_WASM_GUEST_H
#define HOSTD_TESTS_WASM_GUEST_H

#include <check.h>
#include "hostd/wasm/engine.h"
#include "tests/wasm/bytes.h"

struct guest {
    struct wasm_module *module;
    struct wasm_inst *inst;
    struct wasm_vm *vm;
};

/* Tests run twice: `kind` 0 with guard pages, 1 with every access checked. */
static inline void use_exec(int kind)
{
    memory_guarded_max(kind == 0 ? 1000 : 0);
    wasm_init();
}

/* Takes the module. */
static inline struct guest guest_of(struct wasm_module *m, const struct wasm_extern *imports)
{
    struct err e = ERR_INIT;
    struct guest g = {.module = m};
    g.inst = wasm_instantiate(m, imports, NULL, &e);
    ck_assert_msg(g.inst, "%s", e.text);
    g.vm = wasm_vm_new(NULL, &e);
    ck_assert_msg(g.vm, "%s", e.text);
    return g;
}

static inline struct guest guest_open(struct span bytes, const struct wasm_extern *imports)
{
    struct err e = ERR_INIT;
    struct wasm_module *m = wasm_module_load(bytes, false, NULL, &e);
    ck_assert_msg(m, "%s", e.text);
    return guest_of(m, imports);
}

static inline void guest_close(struct guest *g)
{
    wasm_vm_free(g->vm);
    wasm_inst_free(g->inst);
    wasm_module_unref(g->module);
}

static inline struct wasm_extern guest_export(const struct guest *g, const char *name)
{
    uint32_t x = wasm_module_find_export(g->module, str_of(name));
    ck_assert_msg(x != UINT32_MAX, "no export %s", name);
    return wasm_inst_export(g->inst, x);
}

static inline void guest_enter(struct guest *g, const char *name, const wasm_slot *args)
{
    struct err e = ERR_INIT;
    ck_assert_msg(wasm_enter(g->vm, guest_export(g, name).func, args, &e), "%s", e.text);
}

/* A call that must return; its first result, or 0. */
static inline wasm_slot guest_call(struct guest *g, const char *name, const wasm_slot *args)
{
    guest_enter(g, name, args);
    enum wasm_outcome outcome = wasm_run(g->vm);
    ck_assert_msg(outcome == WASM_RETURNED, "%s: outcome %d, %s", name, outcome,
                  wasm_trap_text(wasm_vm_trap(g->vm)));
    return guest_export(g, name).func->type->nresults ? wasm_vm_results(g->vm)[0] : 0;
}

/* A call that must trap; the vm is ready for another one afterwards. */
static inline enum wasm_trap guest_trap(struct guest *g, const char *name, const wasm_slot *args)
{
    guest_enter(g, name, args);
    ck_assert_int_eq(wasm_run(g->vm), WASM_TRAPPED);
    enum wasm_trap trap = wasm_vm_trap(g->vm);
    wasm_vm_reset(g->vm);
    return trap;
}

#define ARGS(...) ((const wasm_slot[]){__VA_ARGS__})

#endif
