/* SPDX-License-Identifier: Apache-2.0 */
/* Runs whatever loads: every exported function with small arguments, imports bound to what their
 * types ask for, first with guard pages and then with checked accesses in short time slices.
 * Both must give the same outcome, results, fuel and memory. */
#include <stdlib.h>
#include <string.h>
#include "hostd/wasm/engine.h"
#include "lattice/base/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUEL_MAX 20000
#define CALLS_MAX 8
#define PLACES_MAX 32

/* What can be compared of one way of running. */
struct outcome {
    enum wasm_outcome outcome;
    enum wasm_trap trap;
    uint64_t fuel, result, memory;
};

static enum wasm_host_status zero_results(void *user, struct wasm_vm *vm, wasm_slot *slots)
{
    (void)vm;
    const struct wasm_functype *t = *(const struct wasm_functype *const *)user;
    memset(slots, 0, wasm_slots(t->types + t->nparams, t->nresults) * sizeof *slots);
    return WASM_HOST_OK;
}

/* Externs of the wanted types, with lifetimes of their own. */
static void make_imports(const struct wasm_module *m, struct wasm_extern *x,
                         const struct wasm_functype **types)
{
    struct err e;
    const wasm_slot zero[2] = {0, 0};
    for (uint32_t i = 0; i < wasm_module_nimports(m); i++) {
        struct wasm_extern_type t = wasm_module_import(m, i);
        x[i] = (struct wasm_extern){.kind = t.kind};
        types[i] = t.func;
        if (t.kind == WASM_FUNC)
            x[i].func = wasm_func_host(t.func, zero_results, &types[i]);
        else if (t.kind == WASM_GLOBAL && t.type < TYPE_REF_FIRST)
            x[i].global = wasm_global_new(t.type, t.mutable_, zero);
        else if (t.kind == WASM_MEMORY && t.limits.min < 16)
            x[i].memory = wasm_memory_new(&t.limits, &e);
        else if (t.kind == WASM_TABLE && t.limits.min < 1000 && t.type < TYPE_REF_FIRST)
            x[i].table = wasm_table_new(t.type, &t.limits, 0, &e);
    }
}

static void free_imports(struct wasm_extern *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        switch (x[i].kind) {
        case WASM_FUNC:
            wasm_func_host_free(x[i].func);
            break;
        case WASM_GLOBAL:
            wasm_global_free(x[i].global);
            break;
        case WASM_MEMORY:
            wasm_memory_free(x[i].memory);
            break;
        case WASM_TABLE:
            wasm_table_free(x[i].table);
            break;
        case WASM_TAG:
            break;
        }
    }
}

static bool has_references(const struct wasm_functype *t)
{
    for (uint32_t i = 0; i < (uint32_t)t->nparams + t->nresults; i++)
        if (type_is_ref(t->types[i]))
            return true;
    return false;
}

static uint64_t hash_memory(const struct wasm_inst *inst)
{
    uint64_t h = 1469598103934665603u;
    if (inst->memory)
        for (uint64_t i = 0; i < inst->memory->size_bytes; i += 8) {
            uint64_t v;
            memcpy(&v, inst->memory->base + i, sizeof v);
            h = (h ^ v) * 1099511628211u;
        }
    return h;
}

static struct outcome run(struct wasm_vm *vm, struct wasm_inst *inst, struct wasm_func *f,
                          uint64_t slice)
{
    struct err e;
    struct outcome o = {.outcome = WASM_TRAPPED};
    wasm_slot args[PLACES_MAX] = {0};
    for (uint32_t i = 0, at = 0; i < f->type->nparams; i++) {
        args[at] = type_is_ref(f->type->types[i]) ? 0 : 3 + i;
        at += type_slots(f->type->types[i]);
    }
    wasm_vm_reset(vm);
    wasm_vm_fuel(vm, slice, FUEL_MAX);
    if (!wasm_enter(vm, f, args, &e))
        return o;
    while ((o.outcome = wasm_run(vm)) == WASM_PAUSED)
        ;
    o.trap = wasm_vm_trap(vm);
    o.fuel = wasm_vm_fuel_used(vm);
    o.memory = hash_memory(inst);
    for (uint32_t i = 0; o.outcome == WASM_RETURNED && i < f->result_slots; i++)
        if (!has_references(f->type))
            o.result = (o.result ^ wasm_vm_results(vm)[i]) * 1099511628211u;
    struct buf report = BUF_INIT;
    wasm_vm_trap_report(vm, &report);
    buf_fini(&report);
    return o;
}

/* Instantiates and calls; returns how many outcomes were written. */
static uint32_t run_module(struct wasm_module *m, struct wasm_vm *vm, uint64_t slice,
                           struct outcome *out)
{
    const struct wasm_limits limits = {.table_elems_max = 10000, .memory_pages_max = 16};
    struct err e;
    uint32_t nimports = wasm_module_nimports(m), n = 0;
    struct wasm_extern *imports = xcalloc(nimports + 1, sizeof *imports);
    const struct wasm_functype **types = xcalloc(nimports + 1, sizeof *types);
    make_imports(m, imports, types);
    struct wasm_inst *inst = wasm_instantiate(m, imports, &limits, &e);
    if (inst && wasm_inst_start(inst))
        out[n++] = run(vm, inst, wasm_inst_start(inst), slice);
    for (uint32_t i = 0; inst && i < wasm_module_nexports(m) && n < CALLS_MAX; i++) {
        struct wasm_extern x = wasm_inst_export(inst, i);
        if (x.kind == WASM_FUNC && x.func->param_slots <= PLACES_MAX)
            out[n++] = run(vm, inst, x.func, slice);
    }
    wasm_inst_free(inst);
    free_imports(imports, nimports);
    free(types);
    free(imports);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct wasm_limits limits = {
        .module_bytes_max = 1 << 16, .table_elems_max = 10000, .memory_pages_max = 16};
    struct err e = ERR_INIT;
    struct wasm_module *m = wasm_module_load((struct span){data, size}, false, &limits, &e);
    if (!m)
        return 0;
    wasm_init();
    struct wasm_vm *vm = wasm_vm_new(&(struct wasm_vm_opts){.stack_bytes = 64 << 10}, &e);
    struct outcome guarded[CALLS_MAX], checked[CALLS_MAX];
    memory_guarded_max(64);
    uint32_t n = run_module(m, vm, UINT64_MAX, guarded);
    memory_guarded_max(0);
    if (run_module(m, vm, 7, checked) != n)
        abort();
    for (uint32_t i = 0; i < n; i++) {
        if (guarded[i].trap == WASM_TRAP_STACK)
            break; /* how deep they got differs, and so what they left */
        if (memcmp(&guarded[i], &checked[i], sizeof guarded[i]) != 0)
            abort();
    }
    wasm_vm_free(vm);
    wasm_module_unref(m);
    return 0;
}
