/* SPDX-License-Identifier: Apache-2.0 */
/* What it costs to hand values to a guest (lower) and to take them from it (lift), by shape: nanoseconds of a call
 * beyond those of a call that passes nothing; the least of nine rounds.
 * Usage: canon [tests/bench/canon.wasm] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "hostd/component/component.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define ROUNDS 9
#define ROUND_NS 20e6
#define ROWS 1000
#define LONG 65536
#define DIE(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct comp_inst *load(const char *path, struct comp_linked **linked)
{
    static uint8_t bytes[1 << 16];
    struct err e = ERR_INIT;
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
    if (f)
        fclose(f);
    struct comp *c = comp_load((struct span){bytes, n}, NULL, &e);
    *linked = c ? comp_link(c, NULL, &e) : NULL;
    struct comp_inst *g = *linked ? comp_inst_new(*linked, NULL, &e) : NULL;
    if (!g)
        DIE("%s: %s", path, e.text);
    comp_unref(c);
    return g;
}

static void call(struct comp_inst *g, const struct comp_func *f, const struct wit_value *arg)
{
    struct err e = ERR_INIT;
    if (!comp_call(g, f, arg, &e) || comp_run(g) != COMP_DONE)
        DIE("%s %s", e.text, comp_trap_text(g));
}

/* Of one call, in a round that takes about ROUND_NS. */
static double round_ns(struct comp_inst *g, const struct comp_func *f, const struct wit_value *arg)
{
    double begin = now_ns(), took;
    uint32_t n = 0;
    do {
        for (int i = 0; i < 16; i++)
            call(g, f, arg);
        n += 16;
        took = now_ns() - begin;
    } while (took < ROUND_NS);
    return took / n;
}

static struct wit_value rows_of(uint32_t n)
{
    static struct wit_value rows[ROWS], fields[ROWS][4];
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t values[] = {i, i * 1000003ull, 0x3f000000, i & 1};
        for (int k = 0; k < 4; k++)
            fields[i][k] = wit_u64(values[k]);
        rows[i] = (struct wit_value){.v = fields[i], .n = 4};
    }
    return (struct wit_value){.v = rows, .n = n};
}

int main(int argc, char **argv)
{
    static uint8_t text[LONG];
    memset(text, 'x', sizeof text);
    const struct {
        const char *what, *func;
        struct wit_value arg;
    } shapes[] = {
        {"lower a string of 16 B", "take-string", {.p = text, .n = 16}},
        {"lower a string of 64 KiB", "take-string", {.p = text, .n = LONG}},
        {"lower it as UTF-16", "take-utf16", {.p = text, .n = LONG}},
        {"lower 64 KiB of list<u8>", "take-bytes", {.p = text, .n = LONG}},
        {"lower a list of 1,000 records", "take-rows", rows_of(ROWS)},
        {"lift a string of 16 B", "give-string", wit_u64(16)},
        {"lift a string of 64 KiB", "give-string", wit_u64(LONG)},
        {"lift it from UTF-16", "give-utf16", wit_u64(LONG)},
        {"lift 64 KiB of list<u8>", "give-bytes", wit_u64(LONG)},
        {"lift a list of 1,000 records", "give-rows", wit_u64(ROWS)},
    };
    struct comp_linked *l;
    wasm_init();
    struct comp_inst *g = load(argc > 1 ? argv[1] : "tests/bench/canon.wasm", &l);
    const struct comp_func *nothing = comp_find(l, STR(""), STR("nothing"));
    double least[1 + ARRAY_LEN(shapes)];
    for (int r = 0; r < ROUNDS; r++) {
        for (size_t i = 0; i <= ARRAY_LEN(shapes); i++) {
            const struct comp_func *f =
                i ? comp_find(l, STR(""), str_of(shapes[i - 1].func)) : nothing;
            double ns = round_ns(g, f, i ? &shapes[i - 1].arg : NULL);
            least[i] = r ? MIN(least[i], ns) : ns;
        }
    }
    printf("%-32s %9.0f ns\n", "a call that passes nothing", least[0]);
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        printf("%-32s %9.0f ns\n", shapes[i].what, least[i + 1] - least[0]);
    comp_inst_free(g);
    comp_linked_unref(l);
    return 0;
}
