/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled for the engine as drive_engine, and with reference/names.h before it as drive_reference. */
#include "tests/fuzz/wasm/drive.h"

#include <string.h>
#include "hostd/wasm/module.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#ifdef HOSTD_TESTS_WASM_REFERENCE_NAMES_H
#define DRIVE drive_reference
#else
#define DRIVE drive_engine
#endif

#define FUEL_MAX 3000 /* less than either's depth of calls: they end at different depths */
#define STACK_BYTES (16u << 20)
#define PLACES_MAX 32
#define IMPORTS_MAX 16

/* Which NaN an operation makes is left open. */
static uint64_t known(uint8_t type, uint64_t bits)
{
    const uint64_t exponent64 = (uint64_t)0x7ff << 52, exponent32 = (uint64_t)0xff << 23;
    if (type == WASM_F64 && (bits & ~((uint64_t)1 << 63)) > exponent64)
        return exponent64 | (uint64_t)1 << 51;
    if (type == WASM_F32 && (bits & ~((uint64_t)1 << 31)) > exponent32)
        return exponent32 | (uint64_t)1 << 22;
    return bits;
}

/* Functions by their number among the exports: pointers differ. */
static void put_value(struct wasm_inst *inst, uint8_t type, const wasm_slot *v, struct buf *out)
{
    if (type == WASM_EXNREF) {
        buf_printf(out, *v ? " exception" : " null");
        return;
    }
    if (type == WASM_V128)
        buf_printf(out, " %llx", (unsigned long long)v[1]);
    if (type != WASM_FUNCREF || !*v) {
        buf_printf(out, " %llx", (unsigned long long)known(type, *v));
        return;
    }
    for (uint32_t i = 0; i < wasm_module_nexports(wasm_inst_module(inst)); i++) {
        struct wasm_extern x = wasm_inst_export(inst, i);
        if (x.kind == WASM_FUNC && (uint64_t)(uintptr_t)x.func == *v) {
            buf_printf(out, " func%u", i);
            return;
        }
    }
    buf_printf(out, " func?");
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    return (h ^ v) * 1099511628211u;
}

/* The host functions: every result depends on every argument. */
static enum wasm_host_status answer(void *user, struct wasm_vm *vm, wasm_slot *slots)
{
    const struct wasm_functype *t = *(const struct wasm_functype *const *)user;
    uint64_t h = 17;
    for (uint32_t i = 0; i < t->nparams; i++)
        h = mix(h, known(t->types[i], slots[i]));
    if (h % 64 == 5) {
        wasm_vm_set_trap(vm, "the host does not like this");
        return WASM_HOST_TRAP;
    }
    for (uint32_t i = 0; i < t->nresults; i++) {
        uint8_t type = t->types[t->nparams + i];
        h = mix(h, i);
        slots[i] = type == WASM_I32 || type == WASM_F32 ? (uint32_t)h : h;
    }
    return WASM_HOST_OK;
}

static void call(struct wasm_vm *vm, struct wasm_inst *inst, struct wasm_func *f, uint64_t slice,
                 uint32_t round, struct buf *out)
{
    static const uint64_t arguments[] = {3, UINT64_MAX, 0, 0x4010000000000001, 100, 0x80000000};
    const struct wasm_functype *t = wasm_func_type(f);
    struct err e = ERR_INIT;
    wasm_slot args[PLACES_MAX] = {0};
    for (uint32_t i = 0; i < t->nparams; i++) {
        uint64_t v = arguments[(i + round) % ARRAY_LEN(arguments)];
        uint8_t type = t->types[i];
        args[wasm_slots(t->types, i)] = type == WASM_FUNCREF || type == WASM_EXNREF ? 0
                                        : type == WASM_I32 || type == WASM_F32      ? (uint32_t)v
                                                                                    : v;
    }
    wasm_vm_reset(vm);
    wasm_vm_fuel(vm, slice, FUEL_MAX);
    if (!wasm_enter(vm, f, args, &e)) {
        buf_printf(out, " not entered\n");
        return;
    }
    enum wasm_outcome outcome;
    while ((outcome = wasm_run(vm)) == WASM_PAUSED)
        ;
    buf_printf(out, " fuel %llu:", (unsigned long long)wasm_vm_fuel_used(vm));
    if (outcome == WASM_TRAPPED)
        buf_printf(out, " %s", wasm_trap_text(wasm_vm_trap(vm)));
    const uint8_t *results = t->types + t->nparams;
    for (uint32_t i = 0; outcome == WASM_RETURNED && i < t->nresults; i++)
        put_value(inst, results[i], &wasm_vm_results(vm)[wasm_slots(results, i)], out);
    buf_printf(out, "\n");
}

static void put_memory(struct wasm_memory *m, struct buf *out)
{
    uint64_t h = 17, size = wasm_memory_size(m);
    const uint8_t *base = wasm_memory_base(m);
    for (uint64_t i = 0; i < size; i += 8) {
        uint64_t v;
        memcpy(&v, base + i, sizeof v);
        h = mix(h, v);
    }
    buf_printf(out, " %llu bytes, hash %llx\n", (unsigned long long)size, (unsigned long long)h);
}

static void put_state(struct wasm_inst *inst, struct buf *out)
{
    for (uint32_t i = 0; i < wasm_module_nexports(wasm_inst_module(inst)); i++) {
        struct wasm_extern x = wasm_inst_export(inst, i);
        wasm_slot v[2] = {0, 0};
        if (x.kind == WASM_GLOBAL) {
            buf_printf(out, "global");
            wasm_global_get(x.global, v);
            put_value(inst, wasm_global_type(x.global), v, out);
            buf_printf(out, "\n");
        } else if (x.kind == WASM_MEMORY) {
            buf_printf(out, "memory");
            put_memory(x.memory, out);
        }
    }
}

static bool run_exports(struct wasm_vm *vm, struct wasm_inst *inst, uint64_t slice, struct buf *out)
{
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < wasm_module_nexports(wasm_inst_module(inst)); i++) {
            struct wasm_extern x = wasm_inst_export(inst, i);
            if (x.kind != WASM_FUNC)
                continue;
            buf_printf(out, "%u", i);
            call(vm, inst, x.func, slice, round, out);
            if (wasm_vm_trap(vm) == WASM_TRAP_STACK)
                return false;
        }
    }
    return true;
}

bool DRIVE(struct wasm_module *m, uint64_t slice, struct buf *out)
{
    struct err e = ERR_INIT;
    struct wasm_extern imports[IMPORTS_MAX];
    const struct wasm_functype *types[IMPORTS_MAX];
    uint32_t nimports = wasm_module_nimports(m);
    bool same = true;
    if (nimports > IMPORTS_MAX)
        return false;
    for (uint32_t i = 0; i < nimports; i++) {
        types[i] = wasm_module_import(m, i).func;
        if (!types[i])
            return false; /* only functions: nothing to free yet, for generated modules import nothing else */
    }
    for (uint32_t i = 0; i < nimports; i++)
        imports[i] = (struct wasm_extern){.kind = WASM_FUNC,
                                          .func = wasm_func_host(types[i], answer, &types[i])};
    struct wasm_vm *vm = wasm_vm_new(&(struct wasm_vm_opts){.stack_bytes = STACK_BYTES}, &e);
    struct wasm_inst *inst = wasm_instantiate(m, imports, NULL, &e);
    if (inst && vm) {
        same = run_exports(vm, inst, slice, out);
        put_state(inst, out);
    } else {
        buf_printf(out, "not instantiated\n");
    }
    wasm_inst_free(inst);
    wasm_vm_free(vm);
    for (uint32_t i = 0; i < nimports; i++)
        wasm_func_host_free(imports[i].func);
    return same;
}
