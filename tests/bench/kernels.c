/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a core module's `run` once with one i32, as tests/bench/run wants it: result, fuel, CPU time of the call.
 * Usage: kernels [--checked] FILE.wasm ARGUMENT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "hostd/wasm/engine.h"
#include "lattice/base/num.h"

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct wasm_module *load(const char *path, struct err *e)
{
    struct buf bytes = BUF_INIT;
    FILE *in = fopen(path, "rb");
    if (!in) {
        err_set(e, ERR_NOT_FOUND, "cannot be opened");
        return NULL;
    }
    uint8_t chunk[65536];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, in)) > 0;)
        buf_put(&bytes, chunk, n);
    fclose(in);
    struct wasm_module *m = wasm_module_load(buf_span(&bytes), true, NULL, e);
    buf_fini(&bytes);
    return m;
}

static bool run(struct wasm_module *m, struct wasm_vm *vm, wasm_slot argument, struct err *e)
{
    uint32_t x = wasm_module_find_export(m, STR("run"));
    if (x == UINT32_MAX || wasm_module_nimports(m) > 0)
        return err_set(e, ERR_UNSUPPORTED, "no `run`, or imports");
    struct wasm_inst *inst = wasm_instantiate(m, NULL, NULL, e);
    if (!inst)
        return false;
    double start = cpu_ms();
    bool ok = wasm_enter(vm, wasm_inst_export(inst, x).func, &argument, e);
    if (ok && wasm_run(vm) != WASM_RETURNED)
        ok = err_set(e, ERR_TRAP, "%s", wasm_trap_text(wasm_vm_trap(vm)));
    if (ok)
        printf("result 0x%llx, fuel %llu, %.3f ms\n", (unsigned long long)wasm_vm_results(vm)[0],
               (unsigned long long)wasm_vm_fuel_used(vm), cpu_ms() - start);
    wasm_inst_free(inst);
    return ok;
}

int main(int argc, char **argv)
{
    bool checked = argc > 1 && strcmp(argv[1], "--checked") == 0;
    char **args = argv + checked;
    if (argc - checked != 3) {
        fprintf(stderr, "usage: kernels [--checked] FILE.wasm ARGUMENT\n");
        return 2;
    }
    if (checked)
        memory_guarded_max(0);
    struct err e = ERR_INIT;
    const char *without = getenv("HOSTD_WITHOUT"); /* techniques of the translator */
    if (without && !translate_without(without)) {
        fprintf(stderr, "HOSTD_WITHOUT: no such technique in '%s'\n", without);
        return 2;
    }
    wasm_init();
    struct wasm_vm *vm = wasm_vm_new(NULL, &e);
    struct wasm_module *m = vm ? load(args[1], &e) : NULL;
    bool ok = m && run(m, vm, strtoul(args[2], NULL, 10), &e);
    if (!ok)
        fprintf(stderr, "%s: %s\n", args[1], e.text);
    wasm_module_unref(m);
    wasm_vm_free(vm);
    return ok ? 0 : 1;
}
