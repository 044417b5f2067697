/* SPDX-License-Identifier: Apache-2.0 */
/* How deep calls go, and that tail calls go on for ever: also from instance to instance. Runs with
 * guard pages and with checked accesses; the numbers are the same for both, and for every build. */
#include <stdlib.h>
#include "lattice/base/num.h"
#include "tests/wasm/guest.h"

#define GET(x) 0x20, (x)
#define CONST(x) 0x41, (x)
#define ADD 0x6a
#define SUB 0x6b
#define CALL(f) 0x10, (f)
#define RETURN_CALL(f) 0x12, (f)
#define CALL_INDIRECT(type, table) 0x11, (type), (table)
#define RETURN_CALL_INDIRECT(type, table) 0x13, (type), (table)
#define CALL_REF(type) 0x14, (type)
#define RETURN_CALL_REF(type) 0x15, (type)
#define LOAD8 0x2d, 0, 0
#define IF_I32 0x04, I32
#define ELSE 0x05
#define TABLE_GET(t) 0x25, (t)
#define TO_TABLE 0x63, 0
#define TURNS 1000000

/* Type 0: i32 -> i32. `ping` owns the table of functions, with f in place 0; memory holds 100.
 * f(n): n ? tail call of table[1] : memory[0], by index; r(n): the same by reference
 * c(n): f(n) + memory[0];  d(n): r(n) + memory[0] */
static const struct span ping =
    MODULE(TYPES(1, 0x60, 1, I32, 1, I32), FUNCS(4, 0, 0, 0, 0), TABLES(1, TO_TABLE, 0, 2),
           MEMORIES(1, 0, 1), EXPORTS(4, 1, 't', 1, 0, 1, 'f', 0, 0, 1, 'c', 0, 2, 1, 'd', 0, 3),
           ELEMS(1, 6, 0, CONST(0), END, TO_TABLE, 1, 0xd2, 0, END),
           CODE(4,
                SIZED(0, GET(0), IF_I32, GET(0), CONST(1), SUB, CONST(1),
                      RETURN_CALL_INDIRECT(0, 0), ELSE, CONST(0), LOAD8, END, END),
                SIZED(0, GET(0), CONST(1), SUB, CONST(1), TABLE_GET(0), RETURN_CALL_REF(0), END),
                SIZED(0, GET(0), CALL(0), CONST(0), LOAD8, ADD, END),
                SIZED(0, GET(0), CALL(1), CONST(0), LOAD8, ADD, END)),
           DATAS(1, 0, CONST(0), END, 1, 100));

/* Imports table and f; g(n), in place 1: n ? tail call of f : memory[0], which holds 1. */
static const struct span pong = MODULE(
    TYPES(1, 0x60, 1, I32, 1, I32), IMPORTS(2, 0, 1, 't', 1, TO_TABLE, 0, 2, 0, 1, 'f', 0, 0),
    FUNCS(1, 0), MEMORIES(1, 0, 1), EXPORTS(1, 1, 'g', 0, 1),
    ELEMS(1, 6, 0, CONST(1), END, TO_TABLE, 1, 0xd2, 1, END),
    CODE(1, SIZED(0, GET(0), IF_I32, GET(0), CONST(1), SUB, RETURN_CALL(0), ELSE, CONST(0), LOAD8,
                  END, END)),
    DATAS(1, 0, CONST(0), END, 1, 1));

START_TEST(tail_calls_between_instances_use_no_stack)
{
    use_exec(_i);
    struct guest a = guest_open(ping, NULL);
    struct guest b = guest_open(
        pong, (const struct wasm_extern[]){guest_export(&a, "t"), guest_export(&a, "f")});
    ck_assert_uint_eq(guest_call(&a, "f", ARGS(TURNS)), 100);
    ck_assert_uint_eq(wasm_vm_fuel_used(a.vm), TURNS + 1);
    ck_assert_uint_eq(guest_call(&b, "g", ARGS(TURNS)), 1);
    /* the instance that called is the running one again */
    ck_assert_uint_eq(guest_call(&a, "c", ARGS(TURNS)), 100 + 100);
    ck_assert_uint_eq(guest_call(&a, "c", ARGS(TURNS + 1)), 1 + 100);
    ck_assert_uint_eq(guest_call(&a, "d", ARGS(TURNS)), 100 + 100);
    ck_assert_uint_eq(guest_call(&a, "d", ARGS(TURNS + 1)), 1 + 100);
    guest_close(&b);
    guest_close(&a);
}
END_TEST

START_TEST(tail_calls_of_host_functions_return)
{
    use_exec(_i);
    const struct span bytes =
        MODULE(TYPES(1, 0x60, 1, I32, 1, I32), IMPORTS(1, 0, 1, 'h', 0, 0), FUNCS(1, 0),
               EXPORTS(1, 1, 'f', 0, 1), CODE(1, SIZED(0, GET(0), RETURN_CALL(0), END)));
    const uint8_t types[] = {WASM_I32, WASM_I32};
    struct wasm_func *h = wasm_func_host(&(struct wasm_functype){1, 1, types, NULL}, NULL, NULL);
    struct guest g =
        guest_open(bytes, (const struct wasm_extern[]){{.kind = WASM_FUNC, .func = h}});
    guest_enter(&g, "f", ARGS(5));
    ck_assert_int_eq(wasm_run(g.vm), WASM_HOST_CALL);
    ck_assert_uint_eq(wasm_vm_host(g.vm).slots[0], 5);
    wasm_host_return(g.vm, ARGS(6));
    ck_assert_int_eq(wasm_run(g.vm), WASM_RETURNED);
    ck_assert_uint_eq(wasm_vm_results(g.vm)[0], 6);
    guest_close(&g);
    wasm_func_host_free(h);
}
END_TEST

/* ---- depth ---- */

/* Global 0 counts the calls. s: by index of a function; i: by a table; b: with 40 locals, which
 * nobody touches. */
#define COUNT_ONE 0x23, 0, CONST(1), ADD, 0x24, 0
static const struct span deep =
    MODULE(TYPES(1, 0x60, 0, 0), FUNCS(3, 0, 0, 0), TABLES(1, FUNCREF, 0, 1),
           GLOBALS(1, I32, 1, CONST(0), END),
           EXPORTS(4, 1, 's', 0, 0, 1, 'i', 0, 1, 1, 'b', 0, 2, 1, 'n', 3, 0),
           ELEMS(1, 0, CONST(0), END, 1, 1),
           CODE(3, SIZED(0, COUNT_ONE, CALL(0), END),
                SIZED(0, COUNT_ONE, CONST(0), CALL_INDIRECT(0, 0), END),
                SIZED(1, 40, I64, COUNT_ONE, CALL(2), END)));

static uint32_t depth_of(struct guest *g, const char *name)
{
    wasm_slot before[2], after[2];
    wasm_global_get(guest_export(g, "n").global, before);
    ck_assert_int_eq(guest_trap(g, name, NULL), WASM_TRAP_STACK);
    wasm_global_get(guest_export(g, "n").global, after);
    return (uint32_t)(after[0] - before[0]);
}

/* 1 MiB is 131,072 slots, of which the entry's link takes 7. A frame begins 2 slots (header, and 40
 * locals in b) behind its caller's, and fits when its operands, 2 here, do too:
 * 7 + 2 * (n - 1) + 4 <= 131,072. */
START_TEST(depth_is_a_number)
{
    use_exec(_i);
    struct guest g = guest_open(deep, NULL);
    ck_assert_uint_eq(depth_of(&g, "s"), 65531);
    ck_assert_uint_eq(depth_of(&g, "i"), 65531);
    ck_assert_uint_eq(depth_of(&g, "b"), 3120);
    guest_close(&g);
}
END_TEST

START_TEST(translated_code_is_bounded)
{
    struct err e = ERR_INIT;
    struct wasm_limits limits = {.code_bytes_max = 64};
    struct wasm_module *m = wasm_module_load(deep, false, &limits, &e);
    ck_assert_msg(m, "%s", e.text);
    ck_assert_ptr_null(wasm_instantiate(m, NULL, NULL, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    wasm_module_unref(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wasm calls");
    TCase *t = tcase_create("calls");
    tcase_add_loop_test(t, tail_calls_between_instances_use_no_stack, 0, 2);
    tcase_add_loop_test(t, tail_calls_of_host_functions_return, 0, 2);
    tcase_add_loop_test(t, depth_is_a_number, 0, 2);
    tcase_add_test(t, translated_code_is_bounded);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}
