/* SPDX-License-Identifier: Apache-2.0 */
/* How long a guest goes on after it was told to stop, whatever it is doing: microseconds from wasm_vm_pause in one
 * thread to the return of wasm_run in another, p50, p99 and the greatest; by the clock, and in time that the guest's
 * thread was running, which is what it would be on an idle core. Usage: deadline [--checked] [ROUNDS] */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "hostd/wasm/engine.h"
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"
#include "tests/wasm/endless.h"

#define ROUNDS_DEFAULT 300
#define BIG_ELEMS 1000000u
#define BIG_BODY_BYTES (1u << 20)

struct run {
    struct wasm_vm *vm;
    clockid_t cpu; /* of the guest's thread */
    uint64_t told_ns, told_cpu_ns, delay_us;
};

struct delay {
    double wall_us, cpu_us;
};

static uint64_t read_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *tell(void *user)
{
    struct run *r = user;
    struct timespec delay = {0, (long)r->delay_us * 1000};
    nanosleep(&delay, NULL);
    r->told_cpu_ns = read_ns(r->cpu);
    r->told_ns = clock_mono_ns();
    wasm_vm_pause(r->vm);
    return NULL;
}

static double us_between(uint64_t from, uint64_t to)
{
    return to > from ? (double)(to - from) / 1e3 : 0;
}

/* One guest stopped once. */
static struct delay stop_once(struct wasm_module *m, uint64_t delay_us)
{
    struct err e = ERR_INIT;
    struct wasm_inst *inst = wasm_instantiate(m, NULL, NULL, &e);
    struct run r = {.vm = wasm_vm_new(NULL, &e), .delay_us = delay_us};
    pthread_t other;
    pthread_getcpuclockid(pthread_self(), &r.cpu);
    struct wasm_func *f = inst ? wasm_inst_export(inst, 0).func : NULL;
    if (!f || !r.vm || !wasm_enter(r.vm, f, NULL, &e) || pthread_create(&other, NULL, tell, &r)) {
        fprintf(stderr, "deadline: %s\n", e.text);
        exit(1);
    }
    enum wasm_outcome outcome = wasm_run(r.vm);
    uint64_t now = clock_mono_ns(), now_cpu = read_ns(r.cpu);
    pthread_join(other, NULL);
    if (outcome != WASM_PAUSED) {
        fprintf(stderr, "deadline: the guest ended by itself\n");
        exit(1);
    }
    wasm_vm_free(r.vm);
    wasm_inst_free(inst);
    return (struct delay){us_between(r.told_ns, now), us_between(r.told_cpu_ns, now_cpu)};
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_row(const char *name, double *wall, double *cpu, uint32_t n)
{
    qsort(wall, n, sizeof *wall, by_value);
    qsort(cpu, n, sizeof *cpu, by_value);
    printf(
        "%-24s wall us p50 %7.1f p99 %8.1f max %8.1f   running us p50 %6.1f p99 %6.1f max %6.1f\n",
        name, wall[n / 2], wall[n * 99 / 100], wall[n - 1], cpu[n / 2], cpu[n * 99 / 100],
        cpu[n - 1]);
}

static void measure(const char *name, struct span bytes, uint32_t rounds)
{
    struct err e = ERR_INIT;
    struct wasm_module *m = wasm_module_load(bytes, false, NULL, &e);
    if (!m) {
        fprintf(stderr, "deadline: %s: %s\n", name, e.text);
        exit(1);
    }
    double *wall = xcalloc(rounds, sizeof *wall), *cpu = xcalloc(rounds, sizeof *cpu);
    stop_once(m, 1000); /* translates */
    for (uint32_t i = 0; i < rounds; i++) {
        struct delay d = stop_once(m, 500 + 13 * i % 2500);
        wall[i] = d.wall_us;
        cpu[i] = d.cpu_us;
    }
    print_row(name, wall, cpu, rounds);
    free(wall);
    free(cpu);
    wasm_module_unref(m);
}

/* ---- modules too large to write down ---- */

static void put_size(struct buf *b, uint32_t n)
{
    do {
        uint8_t byte = (uint8_t)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
        buf_put(b, &byte, 1);
        n >>= 7;
    } while (n);
}

static void put_section(struct buf *out, uint8_t id, struct buf *body)
{
    buf_put(out, &id, 1);
    put_size(out, (uint32_t)body->n);
    buf_put(out, body->p, body->n);
    buf_fini(body);
}

#define PUT(b, ...) buf_put(b, (const uint8_t[]){__VA_ARGS__}, COUNT(__VA_ARGS__))

static void put_head(struct buf *out)
{
    PUT(out, HEADER, TYPES(1, 0x60, 0, 0), FUNCS(1, 0));
}

/* A loop around table.init of a million elements, as indices or as expressions. */
static void table_init(bool exprs, uint32_t rounds)
{
    struct buf out = BUF_INIT, elems = BUF_INIT, code = BUF_INIT;
    put_head(&out);
    PUT(&out, TABLES(1, FUNCREF, 0, ENDLESS_ELEMS), EXPORTS(1, 1, 'e', 0, 0));
    if (exprs)
        PUT(&elems, 1, 5, FUNCREF);
    else
        PUT(&elems, 1, 1, 0);
    put_size(&elems, BIG_ELEMS);
    for (uint32_t i = 0; i < BIG_ELEMS; i++)
        if (exprs)
            PUT(&elems, 0xd2, 0, END);
        else
            PUT(&elems, 0);
    put_section(&out, 9, &elems);
    PUT(&code, 1,
        SIZED(0,
              ENDLESS_LOOP(ENDLESS_CONST(0), ENDLESS_CONST(0), ENDLESS_CONST(0xc0, 0x84, 0x3d),
                           0xfc, 0x0c, 0, 0),
              END));
    put_section(&out, 10, &code);
    measure(exprs ? "table.init, expressions" : "table.init", buf_span(&out), rounds);
    buf_fini(&out);
}

/* A loop whose body has a megabyte of instructions and no branch: fuel is not looked at inside. */
static void straight(uint32_t rounds)
{
    struct buf out = BUF_INIT, body = BUF_INIT, code = BUF_INIT;
    put_head(&out);
    PUT(&out, EXPORTS(1, 1, 'e', 0, 0));
    PUT(&body, 1, 1, I32, 0x03, 0x40);
    while (body.n < BIG_BODY_BYTES)
        PUT(&body, 0x20, 0, 0x41, 3, 0x6c, 0x21, 0);
    PUT(&body, 0x0c, 0, END, END);
    PUT(&code, 1);
    put_size(&code, (uint32_t)body.n);
    buf_put(&code, body.p, body.n);
    put_section(&out, 10, &code);
    measure("1 MiB without a branch", buf_span(&out), rounds);
    buf_fini(&body);
    buf_fini(&out);
}

int main(int argc, char **argv)
{
    uint32_t rounds = ROUNDS_DEFAULT;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--checked") == 0)
            memory_guarded_max(0);
        else
            rounds = (uint32_t)strtoul(argv[i], NULL, 10);
    }
    if (rounds == 0) {
        fprintf(stderr, "usage: deadline [--checked] [ROUNDS]\n");
        return 2;
    }
    wasm_init();
    for (size_t i = 0; i < ARRAY_LEN(endless); i++)
        measure(endless[i].name, endless[i].bytes, rounds);
    table_init(false, rounds);
    table_init(true, rounds);
    straight(rounds);
    return 0;
}
