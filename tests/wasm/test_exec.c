/* SPDX-License-Identifier: Apache-2.0 */
/* Execution: what guests compute, how they stop (traps, fuel, host calls) and go on. Every test
 * runs with guard pages and with checked accesses. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "lattice/base/num.h"
#include "tests/wasm/guest.h"

#define GET(x) 0x20, (x)
#define SET(x) 0x21, (x)
#define TEE(x) 0x22, (x)
#define CONST(x) 0x41, (x)
#define CALL(x) 0x10, (x)
#define ADD 0x6a
#define SUB 0x6b
#define MUL 0x6c
#define VOID 0x40
#define BLOCK(type) 0x02, (type)
#define LOOP(type) 0x03, (type)
#define IF(type) 0x04, (type)
#define ELSE 0x05
#define BR(x) 0x0c, (x)
#define BR_IF(x) 0x0d, (x)

#define F_TYPE(...) TYPES(1, 0x60, __VA_ARGS__)
#define F_ONLY FUNCS(1, 0)
#define EXPORT_F EXPORTS(1, 1, 'f', 0, 0)
/* One exported function f. */
#define FUNCTION(type, ...) MODULE(type, F_ONLY, EXPORT_F, CODE(1, SIZED(0, __VA_ARGS__, END)))

/* ---- values ---- */

START_TEST(pending_operands)
{
    use_exec(_i);
    /* x, then x changes, then the old x is used; the accumulator is used again after a tee */
    const struct span bytes = FUNCTION(F_TYPE(2, I32, I32, 1, I32), GET(0), GET(1), CONST(3), MUL,
                                       TEE(0), GET(0), ADD, SUB, GET(0), ADD);
    struct guest g = guest_open(bytes, NULL);
    ck_assert_uint_eq((uint32_t)guest_call(&g, "f", ARGS(100, 5)), 100 - 30 + 15);
    guest_close(&g);
}
END_TEST

#define GET10 GET(0), GET(0), GET(0), GET(0), GET(0), GET(0), GET(0), GET(0), GET(0), GET(0)
#define ADD10 ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD, ADD

START_TEST(many_pending_operands)
{
    use_exec(_i);
    const uint8_t head[] = {HEADER, F_TYPE(1, I32, 1, I32), F_ONLY, EXPORT_F};
    const uint8_t body[] = {0,     GET10, GET10, GET10, GET10, GET10, GET10, GET10, GET10, GET10,
                            GET10, ADD10, ADD10, ADD10, ADD10, ADD10, ADD10, ADD10, ADD10, ADD10,
                            ADD,   ADD,   ADD,   ADD,   ADD,   ADD,   ADD,   ADD,   ADD,   END};
    struct buf bytes = BUF_INIT;
    buf_put(&bytes, head, sizeof head);
    buf_byte(&bytes, 10);
    buf_leb_u64(&bytes, sizeof body + 3);
    buf_byte(&bytes, 1);
    buf_leb_u64(&bytes, sizeof body);
    buf_put(&bytes, body, sizeof body);
    struct guest g = guest_open(buf_span(&bytes), NULL);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(7)), 700);
    guest_close(&g);
    buf_fini(&bytes);
}
END_TEST

#define CONST_F32(a, b, c, d) 0x43, (a), (b), (c), (d)

/* A constant takes the room of two slots in its cell: the other operand has to be elsewhere. */
START_TEST(constant_before_a_slot)
{
    use_exec(_i);
    const struct span bytes = FUNCTION(F_TYPE(2, F32, F32, 1, F32), CONST_F32(0, 0x80, 0xc8, 0x42),
                                       GET(1), 0x93 /* f32.sub */);
    struct guest g = guest_open(bytes, NULL);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(0x3f800000, 0x40000000)), 0x42c48000); /* 98.25 */
    guest_close(&g);
}
END_TEST

START_TEST(recursion)
{
    use_exec(_i);
    const struct span fib =
        FUNCTION(F_TYPE(1, I32, 1, I32), GET(0), CONST(2), 0x48, IF(I32), GET(0), ELSE, GET(0),
                 CONST(1), SUB, CALL(0), GET(0), CONST(2), SUB, CALL(0), ADD, END);
    struct guest g = guest_open(fib, NULL);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(20)), 6765);
    guest_close(&g);
}
END_TEST

START_TEST(several_results)
{
    use_exec(_i);
    /* f(a, b) = (b, a, a + b) through a block with three results */
    const struct span bytes = MODULE(
        TYPES(2, 0x60, 2, I32, I32, 3, I32, I32, I32, 0x60, 0, 3, I32, I32, I32), F_ONLY, EXPORT_F,
        CODE(1, SIZED(0, BLOCK(1), GET(1), GET(0), GET(0), GET(1), ADD, BR(0), END, END)));
    struct guest g = guest_open(bytes, NULL);
    guest_call(&g, "f", ARGS(3, 4));
    const wasm_slot *r = wasm_vm_results(g.vm);
    ck_assert(r[0] == 4 && r[1] == 3 && r[2] == 7);
    guest_close(&g);
}
END_TEST

START_TEST(branch_tables)
{
    use_exec(_i);
    /* labels: the function (default), a block whose value gets 10 added, one whose value gets 20
     * added; below each value lies another operand, so that branching must move it */
    const struct span bytes =
        FUNCTION(F_TYPE(1, I32, 1, I32), BLOCK(I32), BLOCK(I32), CONST(9), CONST(1), GET(0), 0x0e,
                 2, 0, 1, 2, END, CONST(20), ADD, BR(1), END, CONST(10), ADD);
    struct guest g = guest_open(bytes, NULL);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(0)), 21);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(1)), 11);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(2)), 1);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(0xffffffff)), 1);
    guest_close(&g);
}
END_TEST

START_TEST(tail_calls_use_no_stack)
{
    use_exec(_i);
    const struct span bytes =
        FUNCTION(F_TYPE(2, I32, I32, 1, I32), GET(0), 0x45, IF(I32), GET(1), ELSE, GET(0), CONST(1),
                 SUB, GET(1), CONST(1), ADD, 0x12, 0, END);
    struct guest g = guest_open(bytes, NULL);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(1000000, 0)), 1000000);
    guest_close(&g);
}
END_TEST

/* ---- traps ---- */

static const struct {
    struct span bytes;
    enum wasm_trap trap;
} trap_rows[] = {
    {FUNCTION(F_TYPE(0, 0), 0x00), WASM_TRAP_UNREACHABLE},
    {FUNCTION(F_TYPE(0, 1, I32), CONST(1), CONST(0), 0x6d), WASM_TRAP_DIV_ZERO},
    {FUNCTION(F_TYPE(0, 1, I32), 0x41, 0x80, 0x80, 0x80, 0x80, 0x78, CONST(0x7f), 0x6d),
     WASM_TRAP_INT_OVERFLOW},
    {FUNCTION(F_TYPE(0, 1, I32), 0x43, 0, 0, 0xc0, 0x7f, 0xa8), WASM_TRAP_INT_CONVERT},
    {FUNCTION(F_TYPE(0, 1, I32), 0x43, 0, 0, 0, 0x7f, 0xa8), WASM_TRAP_INT_OVERFLOW},
    {FUNCTION(F_TYPE(0, 0), CALL(0)), WASM_TRAP_STACK},
    /* f32 at the last three bytes of the only page */
    {MODULE(F_TYPE(0, 1, F32), F_ONLY, MEMORIES(1, 0, 1), EXPORT_F,
            CODE(1, SIZED(0, 0x41, 0xfd, 0xff, 3, 0x2a, 0, 0, END))),
     WASM_TRAP_MEMORY},
    /* an offset far behind the guard */
    {MODULE(F_TYPE(0, 1, I32), F_ONLY, MEMORIES(1, 0, 1), EXPORT_F,
            CODE(1, SIZED(0, CONST(0x7f), 0x2d, 0, 0xff, 0xff, 0xff, 0xff, 0xf, END))),
     WASM_TRAP_MEMORY},
    {MODULE(F_TYPE(0, 0), F_ONLY, MEMORIES(1, 0, 1), EXPORT_F,
            CODE(1, SIZED(0, CONST(1), CONST(2), 0x3a, 0, 0x80, 0x80, 0x80, 4, END))),
     WASM_TRAP_MEMORY},
    /* call_indirect: out of the table, null, of another type */
    {MODULE(F_TYPE(0, 0), F_ONLY, TABLES(1, FUNCREF, 0, 1), EXPORT_F,
            CODE(1, SIZED(0, CONST(1), 0x11, 0, 0, END))),
     WASM_TRAP_INDIRECT_RANGE},
    {MODULE(F_TYPE(0, 0), F_ONLY, TABLES(1, FUNCREF, 0, 1), EXPORT_F,
            CODE(1, SIZED(0, CONST(0), 0x11, 0, 0, END))),
     WASM_TRAP_INDIRECT_NULL},
    {MODULE(TYPES(2, 0x60, 0, 0, 0x60, 0, 1, I32), F_ONLY, TABLES(1, FUNCREF, 0, 1), EXPORT_F,
            ELEMS(1, 0, CONST(0), END, 1, 0), CODE(1, SIZED(0, CONST(0), 0x11, 1, 0, 0x1a, END))),
     WASM_TRAP_INDIRECT_TYPE},
    {MODULE(F_TYPE(0, 1, FUNCREF), F_ONLY, TABLES(1, FUNCREF, 0, 1), EXPORT_F,
            CODE(1, SIZED(0, CONST(1), 0x25, 0, END))),
     WASM_TRAP_TABLE},
};

START_TEST(traps)
{
    use_exec(_i);
    for (size_t i = 0; i < ARRAY_LEN(trap_rows); i++) {
        struct guest g = guest_open(trap_rows[i].bytes, NULL);
        for (int again = 0; again < 2; again++) {
            enum wasm_trap trap = guest_trap(&g, "f", NULL);
            ck_assert_msg(trap == trap_rows[i].trap, "row %zu: %s", i, wasm_trap_text(trap));
        }
        guest_close(&g);
    }
}
END_TEST

START_TEST(reports_name_functions)
{
    use_exec(_i);
    const struct span bytes =
        MODULE(F_TYPE(0, 0), FUNCS(2, 0, 0),
               EXPORTS(2, 4, 'm', 'a', 'i', 'n', 0, 0, 3, 'b', 'a', 'd', 0, 1),
               CODE(2, SIZED(0, CALL(1), END), SIZED(0, 0x01, 0x00, END)));
    struct guest g = guest_open(bytes, NULL);
    guest_enter(&g, "main", NULL);
    ck_assert_int_eq(wasm_run(g.vm), WASM_TRAPPED);
    ck_assert_int_eq(wasm_run(g.vm), WASM_TRAPPED);
    struct buf text = BUF_INIT;
    wasm_vm_trap_report(g.vm, &text);
    char want[160];
    const uint8_t *end = bytes.p + bytes.n;
    snprintf(
        want, sizeof want,
        "wasm trap: unreachable at 0x%zx in bad (func 1), called from at 0x%zx in main (func 0)",
        (size_t)(end - 2 - bytes.p), (size_t)(end - 8 - bytes.p));
    ck_assert_msg(str_eqz(buf_view(&text), want), "%.*s", STR_ARG(buf_view(&text)));
    buf_fini(&text);
    guest_close(&g);
}
END_TEST

static void check_report(struct guest *g, struct wasm_func *f, const wasm_slot *args,
                         const char *want)
{
    struct err e = ERR_INIT;
    struct buf text = BUF_INIT;
    wasm_vm_reset(g->vm);
    ck_assert_msg(wasm_enter(g->vm, f, args, &e), "%s", e.text);
    ck_assert_int_eq(wasm_run(g->vm), WASM_TRAPPED);
    wasm_vm_trap_report(g->vm, &text);
    ck_assert_msg(str_starts(buf_view(&text), str_of(want)), "%.*s, wanted %s",
                  STR_ARG(buf_view(&text)), want);
    buf_fini(&text);
}

/* Where guard pages are touched nobody compares: the place is found from the fault. */
START_TEST(faults_know_their_place)
{
    use_exec(_i);
    /* f(x, y): loads at x and at y;  g: calls itself, and again;  the start function: a load */
    const struct span bytes =
        MODULE(TYPES(2, 0x60, 2, I32, I32, 0, 0x60, 0, 0), FUNCS(3, 0, 1, 1), MEMORIES(1, 0, 1),
               EXPORTS(2, 1, 'f', 0, 0, 1, 'g', 0, 1), START(2),
               CODE(3, SIZED(0, GET(0), 0x28, 2, 0, 0x1a, GET(1), 0x28, 2, 0, 0x1a, END),
                    SIZED(0, CALL(1), CALL(1), END), SIZED(0, CONST(0x7c), 0x28, 2, 0, 0x1a, END)));
    struct guest g = guest_open(bytes, NULL);
    struct wasm_func *f = guest_export(&g, "f").func;
    const size_t n = bytes.n;
    char want[120];
    snprintf(want, sizeof want, "wasm trap: out of bounds memory access at 0x%zx in f (func 0)",
             n - 27);
    check_report(&g, f, ARGS(UINT32_MAX, 0), want);
    snprintf(want, sizeof want, "wasm trap: out of bounds memory access at 0x%zx in f (func 0)",
             n - 21);
    check_report(&g, f, ARGS(0, UINT32_MAX), want);
    snprintf(want, sizeof want,
             "wasm trap: call stack exhausted at 0x%zx in g (func 1), called from at 0x%zx in g",
             n - 14, n - 14);
    check_report(&g, guest_export(&g, "g").func, NULL, want);
    snprintf(want, sizeof want,
             "wasm trap: out of bounds memory access at 0x%zx in function (func 2)", n - 5);
    check_report(&g, wasm_inst_start(g.inst), NULL, want);
    guest_close(&g);
}
END_TEST

/* ---- fuel ---- */

/* f(n) takes n backward branches */
static const struct span countdown = FUNCTION(F_TYPE(1, I32, 0), LOOP(VOID), GET(0), IF(VOID),
                                              GET(0), CONST(1), SUB, SET(0), BR(1), END, END);

START_TEST(fuel_counts_and_slices)
{
    use_exec(_i);
    struct guest g = guest_open(countdown, NULL);
    guest_call(&g, "f", ARGS(1000));
    ck_assert_uint_eq(wasm_vm_fuel_used(g.vm), 1001); /* and the call */
    wasm_vm_reset(g.vm);
    wasm_vm_fuel(g.vm, 100, UINT64_MAX);
    guest_enter(&g, "f", ARGS(1000));
    int pauses = 0;
    enum wasm_outcome outcome;
    while ((outcome = wasm_run(g.vm)) == WASM_PAUSED)
        ck_assert_uint_eq(wasm_vm_fuel_used(g.vm), 100u * (unsigned)++pauses);
    ck_assert_int_eq(outcome, WASM_RETURNED);
    ck_assert_int_eq(pauses, 10);
    ck_assert_uint_eq(wasm_vm_fuel_used(g.vm), 1001);
    guest_close(&g);
}
END_TEST

START_TEST(fuel_limit_traps)
{
    use_exec(_i);
    struct guest g = guest_open(countdown, NULL);
    wasm_vm_fuel(g.vm, UINT64_MAX, 500);
    guest_enter(&g, "f", ARGS(1000));
    ck_assert_int_eq(wasm_run(g.vm), WASM_TRAPPED);
    ck_assert_int_eq(wasm_vm_trap(g.vm), WASM_TRAP_FUEL);
    ck_assert_uint_eq(wasm_vm_fuel_used(g.vm), 500);
    guest_close(&g);
}
END_TEST

static void *pauser(void *vm)
{
    wasm_vm_pause(vm);
    return NULL;
}

START_TEST(paused_by_another_thread)
{
    use_exec(_i);
    const struct span forever = FUNCTION(F_TYPE(0, 0), LOOP(VOID), BR(0), END);
    struct guest g = guest_open(forever, NULL);
    guest_enter(&g, "f", NULL);
    for (int i = 0; i < 10; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, pauser, g.vm);
        ck_assert_int_eq(wasm_run(g.vm), WASM_PAUSED);
        pthread_join(thread, NULL);
    }
    wasm_vm_trap_now(g.vm, WASM_TRAP_DEADLINE);
    ck_assert_int_eq(wasm_run(g.vm), WASM_TRAPPED);
    ck_assert_int_eq(wasm_vm_trap(g.vm), WASM_TRAP_DEADLINE);
    guest_close(&g);
}
END_TEST

/* ---- bulk operations ---- */

#define FC(n) 0xfc, (n)
static const struct span bulk =
    MODULE(F_TYPE(3, I32, I32, I32, 0), FUNCS(3, 0, 0, 0), MEMORIES(1, 0, 32),
           EXPORTS(4, 1, 'c', 0, 0, 1, 'f', 0, 1, 1, 'i', 0, 2, 1, 'm', 2, 0), DATA_COUNT(1),
           CODE(3, SIZED(0, GET(0), GET(1), GET(2), FC(10), 0, 0, END),
                SIZED(0, GET(0), GET(1), GET(2), FC(11), 0, END),
                SIZED(0, GET(0), GET(1), GET(2), FC(8), 0, 0, END)),
           DATAS(1, 1, 4, 'w', 'a', 's', 'm'));

START_TEST(bulk_in_pieces)
{
    use_exec(_i);
    struct guest g = guest_open(bulk, NULL);
    uint8_t *mem = wasm_memory_base(guest_export(&g, "m").memory);
    enum { N = 300001, SHIFT = 70001 };
    uint8_t *want = malloc(N + SHIFT);
    for (uint32_t i = 0; i < N + SHIFT; i++)
        want[i] = mem[i] = (uint8_t)(i * 7 + (i >> 8));
    wasm_vm_fuel(g.vm, 1, UINT64_MAX);
    for (int up = 0; up < 2; up++) {
        memmove(want + SHIFT * up, want + SHIFT * !up, N);
        uint64_t before = wasm_vm_fuel_used(g.vm);
        guest_enter(&g, "c", ARGS((wasm_slot)(SHIFT * up), (wasm_slot)(SHIFT * !up), N));
        int pauses = 0;
        enum wasm_outcome outcome;
        while ((outcome = wasm_run(g.vm)) == WASM_PAUSED)
            pauses++;
        ck_assert_int_eq(outcome, WASM_RETURNED);
        ck_assert_int_ge(pauses, N / 65536);
        ck_assert_uint_eq(wasm_vm_fuel_used(g.vm) - before, 1 + N / 64);
        ck_assert(memcmp(mem, want, N + SHIFT) == 0);
    }
    free(want);
    guest_close(&g);
}
END_TEST

START_TEST(bulk_bounds)
{
    use_exec(_i);
    struct guest g = guest_open(bulk, NULL);
    const uint32_t size = 32 * 65536;
    uint8_t *mem = wasm_memory_base(guest_export(&g, "m").memory);
    guest_call(&g, "f", ARGS(size - 4, 0x155, 4));
    ck_assert(mem[size - 1] == 0x55 && mem[size - 5] == 0);
    guest_call(&g, "f", ARGS(size, 1, 0));
    guest_call(&g, "i", ARGS(8, 1, 3));
    ck_assert(memcmp(mem + 8, "asm", 3) == 0);
    ck_assert_int_eq(guest_trap(&g, "f", ARGS(size - 3, 1, 4)), WASM_TRAP_MEMORY);
    ck_assert_int_eq(guest_trap(&g, "f", ARGS(size + 1, 1, 0)), WASM_TRAP_MEMORY);
    ck_assert_int_eq(guest_trap(&g, "c", ARGS(0, 0xffffffff, 2)), WASM_TRAP_MEMORY);
    ck_assert_int_eq(guest_trap(&g, "i", ARGS(0, 2, 3)), WASM_TRAP_MEMORY);
    guest_close(&g);
}
END_TEST

/* ---- host functions ---- */

/* f(a) = h(a + 1) * 2; g(a) = a + 100 */
static const struct span host_user =
    MODULE(F_TYPE(1, I32, 1, I32), IMPORTS(1, 1, 'm', 1, 'h', 0, 0), FUNCS(2, 0, 0),
           EXPORTS(2, 1, 'f', 0, 1, 1, 'g', 0, 2),
           CODE(2, SIZED(0, GET(0), CONST(1), ADD, CALL(0), CONST(2), MUL, END),
                SIZED(0, GET(0), 0x41, 0xe4, 0, ADD, END)));
static const struct wasm_functype i32_to_i32 = {1, 1, (const uint8_t[]){I32, I32}};

static enum wasm_host_status triple(void *user, struct wasm_vm *vm, wasm_slot *slots)
{
    if (slots[0] == 13) {
        wasm_vm_set_trap(vm, "unlucky %d", 13);
        return WASM_HOST_TRAP;
    }
    ++*(int *)user;
    slots[0] *= 3;
    return WASM_HOST_OK;
}

START_TEST(direct_host_function)
{
    use_exec(_i);
    int calls = 0;
    struct wasm_func *h = wasm_func_host(&i32_to_i32, triple, &calls);
    struct guest g = guest_open(host_user, &(struct wasm_extern){.kind = WASM_FUNC, .func = h});
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(4)), 30);
    ck_assert_int_eq(calls, 1);
    guest_enter(&g, "f", ARGS(12));
    ck_assert_int_eq(wasm_run(g.vm), WASM_TRAPPED);
    struct buf text = BUF_INIT;
    wasm_vm_trap_report(g.vm, &text);
    const uint8_t call[] = {ADD, CALL(0)};
    const uint8_t *at = memmem(host_user.p, host_user.n, call, sizeof call);
    char want[80];
    snprintf(want, sizeof want, "wasm trap: unlucky 13 at 0x%zx in f (func 1)",
             (size_t)(at + 1 - host_user.p));
    ck_assert_msg(str_eqz(buf_view(&text), want), "%.*s", STR_ARG(buf_view(&text)));
    buf_fini(&text);
    guest_close(&g);
    wasm_func_host_free(h);
}
END_TEST

START_TEST(deferred_host_function)
{
    use_exec(_i);
    struct wasm_func *h = wasm_func_host(&i32_to_i32, NULL, &use_exec);
    struct guest g = guest_open(host_user, &(struct wasm_extern){.kind = WASM_FUNC, .func = h});
    guest_enter(&g, "f", ARGS(4));
    ck_assert_int_eq(wasm_run(g.vm), WASM_HOST_CALL);
    struct wasm_host_call call = wasm_vm_host(g.vm);
    ck_assert(call.func == h && call.slots[0] == 5 && call.caller == g.inst);
    /* meanwhile, another call, which itself stops at a host call */
    ck_assert_uint_eq(guest_call(&g, "g", ARGS(1)), 101);
    guest_enter(&g, "f", ARGS(20));
    ck_assert_int_eq(wasm_run(g.vm), WASM_HOST_CALL);
    ck_assert_uint_eq(wasm_vm_host(g.vm).slots[0], 21);
    wasm_host_return(g.vm, ARGS(50));
    ck_assert_int_eq(wasm_run(g.vm), WASM_RETURNED);
    ck_assert_uint_eq(wasm_vm_results(g.vm)[0], 100);
    /* the first one is still there, its arguments too */
    call = wasm_vm_host(g.vm);
    ck_assert_uint_eq(call.slots[0], 5);
    call.slots[0] = 8;
    wasm_host_return(g.vm, NULL);
    ck_assert_int_eq(wasm_run(g.vm), WASM_RETURNED);
    ck_assert_uint_eq(wasm_vm_results(g.vm)[0], 16);
    guest_close(&g);
    wasm_func_host_free(h);
}
END_TEST

START_TEST(trapped_inside_a_host_call)
{
    use_exec(_i);
    struct wasm_func *h = wasm_func_host(&i32_to_i32, NULL, NULL);
    struct guest g = guest_open(host_user, &(struct wasm_extern){.kind = WASM_FUNC, .func = h});
    guest_enter(&g, "f", ARGS(4));
    ck_assert_int_eq(wasm_run(g.vm), WASM_HOST_CALL);
    guest_enter(&g, "f", ARGS(5));
    ck_assert_int_eq(wasm_run(g.vm), WASM_HOST_CALL);
    wasm_vm_trap_now(g.vm, WASM_TRAP_DEADLINE);
    ck_assert_int_eq(wasm_run(g.vm), WASM_TRAPPED);
    struct buf text = BUF_INIT;
    wasm_vm_trap_report(g.vm, &text);
    ck_assert_ptr_nonnull(memmem(text.p, text.n, "called from", 11)); /* both f */
    buf_fini(&text);
    wasm_vm_reset(g.vm);
    ck_assert_uint_eq(guest_call(&g, "g", ARGS(1)), 101);
    guest_close(&g);
    wasm_func_host_free(h);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        pending_operands,
        many_pending_operands,
        constant_before_a_slot,
        recursion,
        several_results,
        branch_tables,
        tail_calls_use_no_stack,
        traps,
        reports_name_functions,
        faults_know_their_place,
        fuel_counts_and_slices,
        fuel_limit_traps,
        paused_by_another_thread,
        bulk_in_pieces,
        bulk_bounds,
        direct_host_function,
        deferred_host_function,
        trapped_inside_a_host_call,
    };
    Suite *suite = suite_create("wasm exec");
    TCase *tcase = tcase_create("exec");
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_loop_test(tcase, tests[i], 0, 2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}
