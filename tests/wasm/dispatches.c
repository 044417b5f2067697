/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the dispatches of the benchmark kernels exactly, with handlers that return to a counting
 * loop (DISPATCH_COUNT), and lists where they go.
 *
 *   dispatches [--without TECHNIQUE,...] [--profile] FILE.wasm ARGUMENT   one module's `run`
 *   dispatches [--without TECHNIQUE,...] --check EXPECTED                 all rows of the file
 *
 * EXPECTED has a line "KERNEL ARGUMENT RESULT DISPATCHES" per kernel, modules being in
 * tests/bench/kernels; a count that rose by more than 1 % fails, one that fell asks for a new
 * line. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hostd/wasm/engine.h"
#include "hostd/wasm/ops.h"
#include "lattice/base/num.h"

#define LINES_MAX 40
#define HASH 65536u

void dispatch_seen(const uint64_t *cell);

static uint64_t seen, counts[H_COUNT + 1];
static bool profile;

/* ---- which handler a cell names ---- */

static uint32_t by_address[HASH]; /* number + 1 */

static uint32_t hash(uint64_t word)
{
    return (uint32_t)(word >> 4 ^ word >> 20) % HASH;
}

static enum handler handler_at(uint64_t word)
{
    handler_fn *const *all = exec_guarded.handlers;
    for (uint32_t h = hash(word); by_address[h]; h = (h + 1) % HASH)
        if ((uint64_t)(uintptr_t)all[by_address[h] - 1] == word)
            return (enum handler)(by_address[h] - 1);
    return H_COUNT;
}

static void index_handlers(void)
{
    for (uint32_t i = 0; i < H_COUNT; i++) {
        uint32_t h = hash((uint64_t)(uintptr_t)exec_guarded.handlers[i]);
        while (by_address[h])
            h = (h + 1) % HASH;
        by_address[h] = i + 1;
    }
}

/* ---- counting ---- */

/* Counts per cell, so that a profile can show code with how often it ran. */
struct seen_cell {
    const uint64_t *cell;
    uint64_t n;
};
static struct seen_cell cells[HASH];

static void count_cell(const uint64_t *cell)
{
    uint32_t h = hash((uint64_t)(uintptr_t)cell << 4), tries = 0;
    while (cells[h].cell && cells[h].cell != cell && tries++ < HASH)
        h = (h + 1) % HASH;
    cells[h].cell = cell;
    cells[h].n++;
}

void dispatch_seen(const uint64_t *cell)
{
    seen++;
    if (profile) {
        counts[handler_at(*cell)]++;
        count_cell(cell);
    }
}

static int by_count(const void *a, const void *b)
{
    uint64_t x = counts[*(const uint32_t *)a], y = counts[*(const uint32_t *)b];
    return (x < y) - (x > y);
}

static int by_place(const void *a, const void *b)
{
    const struct seen_cell *x = a, *y = b;
    return (x->cell > y->cell) - (x->cell < y->cell);
}

static void print_cell(const struct seen_cell *c)
{
    enum handler h = handler_at(*c->cell);
    printf("%12" PRIu64 "  %p  %-24s", c->n, (const void *)c->cell,
           h < H_COUNT ? handler_name(h) : "?");
    const char *fields = h < H_COUNT ? handler_shape(h)->fields : "....";
    for (int i = 0; i < 4; i++) {
        uint16_t v;
        memcpy(&v, (const char *)(c->cell + 1) + 2 * i, sizeof v);
        if (fields[i] == 'b') {
            int32_t distance;
            memcpy(&distance, (const char *)(c->cell + 1) + 4, sizeof distance);
            printf(" -> %p", (const void *)(c->cell + distance));
            break;
        }
        if (fields[i] != '.')
            printf(" %c:%d", fields[i], fields[i] == 'k' ? (int16_t)v : v);
    }
    printf("\n");
}

static void print_profile(void)
{
    static uint32_t order[H_COUNT];
    for (uint32_t i = 0; i < H_COUNT; i++)
        order[i] = i;
    qsort(order, H_COUNT, sizeof order[0], by_count);
    for (int i = 0; i < LINES_MAX && counts[order[i]]; i++)
        printf("%5.1f %%  %s\n", 100.0 * (double)counts[order[i]] / (double)seen,
               handler_name((enum handler)order[i]));
    qsort(cells, HASH, sizeof cells[0], by_place);
    for (uint32_t i = 0; i < HASH; i++)
        if (cells[i].cell && cells[i].n * 1000 > seen)
            print_cell(&cells[i]);
}

/* ---- running ---- */

static struct wasm_module *load(const char *path, struct err *e)
{
    static uint8_t bytes[1 << 20];
    FILE *in = fopen(path, "rb");
    if (!in) {
        err_set(e, ERR_NOT_FOUND, "cannot be opened");
        return NULL;
    }
    size_t n = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    return wasm_module_load((struct span){bytes, n}, true, NULL, e);
}

/* Sets `seen`. */
static bool run(const char *path, wasm_slot argument, uint64_t *result, struct err *e)
{
    struct wasm_module *m = load(path, e);
    struct wasm_inst *inst = m ? wasm_instantiate(m, NULL, NULL, e) : NULL;
    struct wasm_vm *vm = inst ? wasm_vm_new(NULL, e) : NULL;
    uint32_t x = vm ? wasm_module_find_export(m, STR("run")) : 0;
    seen = 0;
    bool ok = vm && wasm_enter(vm, wasm_inst_export(inst, x).func, &argument, e);
    if (ok && wasm_run(vm) != WASM_RETURNED)
        ok = err_set(e, ERR_TRAP, "%s", wasm_trap_text(wasm_vm_trap(vm)));
    if (ok)
        *result = wasm_vm_results(vm)[0];
    if (ok && profile)
        print_profile();
    wasm_vm_free(vm);
    wasm_inst_free(inst);
    wasm_module_unref(m);
    return ok;
}

static bool check_row(const char *folder, const char *kernel, wasm_slot argument, uint64_t result,
                      uint64_t expected)
{
    char path[512];
    uint64_t got = 0;
    struct err e = ERR_INIT;
    snprintf(path, sizeof path, "%s/%s.wasm", folder, kernel);
    if (!run(path, argument, &got, &e)) {
        printf("%s: %s\n", kernel, e.text);
        return false;
    }
    bool ok = got == result && seen * 100 <= expected * 101;
    printf("%s %" PRIu64 " 0x%" PRIx64 " %" PRIu64 "%s\n", kernel, argument, got, seen,
           got != result                 ? " # wrong result"
           : !ok                         ? " # more dispatches than expected"
           : seen * 101 < expected * 100 ? " # fewer: put this line there"
                                         : "");
    return ok;
}

static bool check(const char *expected)
{
    char folder[400], kernel[64];
    const char *slash = strrchr(expected, '/');
    snprintf(folder, sizeof folder, "%.*s/../bench/kernels", slash ? (int)(slash - expected) : 1,
             slash ? expected : ".");
    FILE *in = fopen(expected, "r");
    uint64_t argument, result, count;
    bool ok = in != NULL;
    while (in && fscanf(in, "%63s %" SCNu64 " %" SCNx64 " %" SCNu64, kernel, &argument, &result,
                        &count) == 4)
        ok &= check_row(folder, kernel, argument, result, count);
    if (in)
        fclose(in);
    return ok;
}

int main(int argc, char **argv)
{
    const char *expected = NULL;
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--profile") == 0)
            profile = true;
        else if (strcmp(argv[at], "--without") == 0 && at + 1 < argc) {
            if (!translate_without(argv[++at]))
                break;
        } else if (strcmp(argv[at], "--check") == 0 && at + 1 < argc)
            expected = argv[++at];
    }
    index_handlers();
    wasm_init();
    if (expected)
        return check(expected) ? 0 : 1;
    if (argc - at != 2) {
        fprintf(stderr,
                "usage: dispatches [--without TECHNIQUE,...] [--profile] FILE.wasm ARGUMENT\n"
                "       dispatches [--without TECHNIQUE,...] --check EXPECTED\n");
        return 2;
    }
    struct err e = ERR_INIT;
    uint64_t result = 0;
    if (!run(argv[at], strtoul(argv[at + 1], NULL, 10), &result, &e)) {
        fprintf(stderr, "%s: %s\n", argv[at], e.text);
        return 1;
    }
    printf("result 0x%" PRIx64 ", %" PRIu64 " dispatches\n", result, seen);
    return 0;
}
