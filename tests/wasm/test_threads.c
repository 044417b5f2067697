/* SPDX-License-Identifier: Apache-2.0 */
/* One module, many threads: each has its own instance and vm, all translate the same functions at
 * the same time, and these trap (also by faults), run out of stack, throw and catch. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "lattice/base/num.h"
#include "tests/wasm/guest.h"

#define THREADS 8
#define ROUNDS 10
#define KINDS 6
#define FUNCTIONS (8 * KINDS)
#define X 7

#define GET 0x20, 0
#define CONST(...) 0x41, __VA_ARGS__
#define PUT(b, ...) buf_put(b, (const uint8_t[]){__VA_ARGS__}, COUNT(__VA_ARGS__))
#define BODY(b, ...) PUT(b, SIZED(0, __VA_ARGS__, END))

static void put_section(struct buf *out, uint8_t id, struct buf *body)
{
    const uint8_t head[] = {id, (uint8_t)(body->n | 0x80), (uint8_t)(body->n >> 7)};
    buf_put(out, head, sizeof head);
    buf_put(out, body->p, body->n);
    buf_fini(body);
}

/* Function n, of i32 -> i32, is of kind n % KINDS: a sum, a division by zero, a load outside, a
 * throw that is caught and a call of the sum before, endless recursion, a throw. */
static void put_function(struct buf *code, uint8_t n)
{
    switch (n % KINDS) {
    case 0:
        BODY(code, GET, CONST(n), 0x6a);
        break;
    case 1:
        BODY(code, GET, CONST(0), 0x6d);
        break;
    case 2:
        BODY(code, CONST(0x7c), 0x28, 2, 0);
        break;
    case 3:
        BODY(code, 0x02, I32, 0x1f, 0x40, 1, 0, 0, 0, GET, 0x08, 0, END, 0x00, END, 0x10,
             (uint8_t)(n - 3));
        break;
    case 4:
        BODY(code, GET, 0x10, n);
        break;
    default:
        BODY(code, GET, 0x08, 0, 0x00);
    }
}

static const enum wasm_trap traps[KINDS] = {
    WASM_TRAP_NONE, WASM_TRAP_DIV_ZERO, WASM_TRAP_MEMORY,
    WASM_TRAP_NONE, WASM_TRAP_STACK,    WASM_TRAP_EXCEPTION,
};

static void put_module(struct buf *out)
{
    struct buf funcs = BUF_INIT, exports = BUF_INIT, code = BUF_INIT;
    PUT(out, HEADER, TYPES(2, 0x60, 1, I32, 1, I32, 0x60, 1, I32, 0));
    PUT(&funcs, FUNCTIONS);
    PUT(&exports, FUNCTIONS);
    PUT(&code, FUNCTIONS);
    for (uint8_t n = 0; n < FUNCTIONS; n++) {
        PUT(&funcs, 0);
        PUT(&exports, 2, (uint8_t)('a' + n / 10), (uint8_t)('0' + n % 10), 0, n);
        put_function(&code, n);
    }
    put_section(out, 3, &funcs);
    PUT(out, MEMORIES(1, 0, 1), SECTION(13, 1, 0, 1));
    put_section(out, 7, &exports);
    put_section(out, 10, &code);
}

struct thread {
    pthread_t id;
    pthread_barrier_t *start;
    struct wasm_module *module;
    uint32_t first; /* function it begins with */
    char problem[ERR_TEXT_MAX];
};

static bool check(struct thread *t, struct wasm_inst *inst, struct wasm_vm *vm, uint32_t n)
{
    struct err e = ERR_INIT;
    const wasm_slot x = X;
    wasm_vm_reset(vm);
    if (!wasm_enter(vm, wasm_inst_export(inst, n).func, &x, &e)) {
        snprintf(t->problem, sizeof t->problem, "%s", e.text);
        return false;
    }
    enum wasm_outcome outcome = wasm_run(vm);
    enum wasm_trap trap = wasm_vm_trap(vm), want = traps[n % KINDS];
    uint64_t result = outcome == WASM_RETURNED ? wasm_vm_results(vm)[0] : 0;
    uint64_t sum = want == WASM_TRAP_NONE ? X + n - n % KINDS : 0;
    if (trap == want && result == sum)
        return true;
    snprintf(t->problem, sizeof t->problem, "function %u: %s, result %llu", n, wasm_trap_text(trap),
             (unsigned long long)result);
    return false;
}

static void *work(void *user)
{
    struct thread *t = user;
    struct err e = ERR_INIT;
    struct wasm_inst *inst = wasm_instantiate(t->module, NULL, NULL, &e);
    struct wasm_vm *vm = wasm_vm_new(NULL, &e);
    pthread_barrier_wait(t->start);
    if (!inst || !vm)
        snprintf(t->problem, sizeof t->problem, "%s", e.text);
    for (uint32_t i = 0; i < FUNCTIONS && !t->problem[0]; i++)
        if (!check(t, inst, vm, (t->first + i) % FUNCTIONS))
            break;
    struct buf report = BUF_INIT; /* reads what others may be translating */
    if (vm)
        wasm_vm_trap_report(vm, &report);
    buf_fini(&report);
    wasm_vm_free(vm);
    wasm_inst_free(inst);
    return NULL;
}

START_TEST(translate_at_the_same_time)
{
    use_exec(_i);
    struct buf bytes = BUF_INIT;
    put_module(&bytes);
    for (int round = 0; round < ROUNDS; round++) {
        struct err e = ERR_INIT;
        struct wasm_module *m = wasm_module_load(buf_span(&bytes), false, NULL, &e);
        ck_assert_msg(m, "%s", e.text);
        struct thread threads[THREADS] = {0};
        pthread_barrier_t start;
        pthread_barrier_init(&start, NULL, THREADS);
        for (uint32_t i = 0; i < THREADS; i++) {
            threads[i].start = &start;
            threads[i].module = m;
            threads[i].first = i % 2 ? i * 5 : 0; /* some together, some not */
            ck_assert_int_eq(pthread_create(&threads[i].id, NULL, work, &threads[i]), 0);
        }
        for (uint32_t i = 0; i < THREADS; i++) {
            pthread_join(threads[i].id, NULL);
            ck_assert_msg(!threads[i].problem[0], "thread %u: %s", i, threads[i].problem);
        }
        pthread_barrier_destroy(&start);
        wasm_module_unref(m);
    }
    buf_fini(&bytes);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wasm threads");
    TCase *t = tcase_create("threads");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, translate_at_the_same_time, 0, 2);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}
