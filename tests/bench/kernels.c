/* SPDX-License-Identifier: Apache-2.0 */
/* Times core modules that export `run` with one i32: best and median of several runs, CPU time.
 * Usage: bench_kernels [--checked] [-n RUNS] FILE.wasm[=ARGUMENT]... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "hostd/wasm/engine.h"
#include "lattice/base/num.h"

#define RUNS_MAX 1001

/* Arguments that make the usual kernels run for about a tenth of a second. */
static const struct {
    const char *name;
    wasm_slot argument;
} arguments[] = {
    {"callind.wasm", 1500},  {"fib.wasm", 30},      {"mandel.wasm", 150}, {"matmul.wasm", 20},
    {"mix64.wasm", 1000000}, {"nbody.wasm", 80000}, {"scal.wasm", 1000},  {"sha256.wasm", 20},
    {"sieve.wasm", 5},       {"sort.wasm", 3},      {"vm.wasm", 500000},
};

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct wasm_module *load(const char *path, struct err *e)
{
    struct buf bytes = BUF_INIT;
    FILE *in = fopen(path, "rb");
    uint8_t chunk[65536];
    for (size_t n; in && (n = fread(chunk, 1, sizeof chunk, in)) > 0;)
        buf_put(&bytes, chunk, n);
    if (in)
        fclose(in);
    struct wasm_module *m = wasm_module_load(buf_span(&bytes), true, NULL, e);
    buf_fini(&bytes);
    return m;
}

/* One run in a fresh instance; the result's bits in *result. */
static bool run_once(struct wasm_module *m, struct wasm_vm *vm, wasm_slot argument, double *ms,
                     uint64_t *result, struct err *e)
{
    uint32_t x = wasm_module_find_export(m, STR("run"));
    if (x == UINT32_MAX || wasm_module_nimports(m) > 0)
        return err_set(e, ERR_UNSUPPORTED, "no `run`, or imports");
    struct wasm_inst *inst = wasm_instantiate(m, NULL, NULL, e);
    if (!inst)
        return false;
    wasm_vm_reset(vm);
    double start = cpu_ms();
    bool ok = wasm_enter(vm, wasm_inst_export(inst, x).func, &argument, e);
    if (ok && wasm_run(vm) != WASM_RETURNED)
        ok = err_set(e, ERR_TRAP, "%s", wasm_trap_text(wasm_vm_trap(vm)));
    *ms = cpu_ms() - start;
    if (ok)
        *result = wasm_vm_results(vm)[0];
    wasm_inst_free(inst);
    return ok;
}

/* Cuts "=ARGUMENT" off the path. */
static wasm_slot argument_of(char *path, const char *name)
{
    char *given = strchr(path, '=');
    if (given) {
        *given = '\0';
        return strtoul(given + 1, NULL, 10);
    }
    for (size_t i = 0; i < ARRAY_LEN(arguments); i++)
        if (strcmp(name, arguments[i].name) == 0)
            return arguments[i].argument;
    return 1;
}

static bool bench(char *path, struct wasm_vm *vm, uint32_t runs)
{
    static double ms[RUNS_MAX];
    struct err e = ERR_INIT;
    uint64_t result = 0;
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    wasm_slot argument = argument_of(path, name);
    struct wasm_module *m = load(path, &e);
    bool ok = m != NULL;
    for (uint32_t i = 0; ok && i < runs; i++)
        ok = run_once(m, vm, argument, &ms[i], &result, &e);
    wasm_module_unref(m);
    if (!ok) {
        printf("%-16s %s\n", name, e.text);
        return false;
    }
    qsort(ms, runs, sizeof ms[0], compare);
    printf("%-16s best %9.3f ms  median %9.3f ms  fuel %12llu  result 0x%llx\n", name, ms[0],
           ms[runs / 2], (unsigned long long)wasm_vm_fuel_used(vm), (unsigned long long)result);
    return true;
}

static uint32_t runs_of(const char *text)
{
    long n = strtol(text, NULL, 10);
    return (uint32_t)(n < 1 ? 1 : n > RUNS_MAX ? RUNS_MAX : n);
}

int main(int argc, char **argv)
{
    uint32_t runs = 9;
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--checked") == 0)
            memory_guarded_max(0);
        else if (strcmp(argv[at], "-n") == 0 && at + 1 < argc)
            runs = runs_of(argv[++at]);
    }
    struct err e = ERR_INIT;
    wasm_init();
    struct wasm_vm *vm = wasm_vm_new(NULL, &e);
    if (!vm || at >= argc) {
        fprintf(stderr, "usage: bench_kernels [--checked] [-n RUNS] FILE.wasm...\n");
        return 2;
    }
    bool ok = true;
    for (; at < argc; at++)
        ok &= bench(argv[at], vm, runs);
    wasm_vm_free(vm);
    return ok ? 0 : 1;
}
