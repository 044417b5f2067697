/* SPDX-License-Identifier: Apache-2.0 */
/* Typed function references: calls through them, branches on them, locals that must be set first,
 * and when types of two modules are the same. Runs with guard pages and with checked accesses. */
#include <stdlib.h>
#include "lattice/base/num.h"
#include "tests/wasm/guest.h"

#define REF(x) 0x64, (x)
#define REF_NULL(x) 0x63, (x)
#define GET(x) 0x20, (x)
#define CONST(x) 0x41, (x)
#define ADD 0x6a
#define CALL_REF(x) 0x14, (x)
#define RETURN_CALL_REF(x) 0x15, (x)
#define NULL_OF(x) 0xd0, (x)
#define FUNC(x) 0xd2, (x)
#define AS_NON_NULL 0xd4
#define BR_ON_NULL(x) 0xd5, (x)
#define BR_ON_NON_NULL(x) 0xd6, (x)

/* type 0: i32 -> i32; type 1: (ref null 0), i32 -> i32. Function 0 adds 5; the others take a
 * reference and a number, and are called by 5 (with function 0) and 6 (with null). */
#define CALLERS_TYPES TYPES(2, 0x60, 1, I32, 1, I32, 0x60, 2, REF_NULL(0), I32, 1, I32)
static const struct span callers = MODULE(
    CALLERS_TYPES, FUNCS(7, 0, 1, 1, 1, 1, 0, 0), TABLES(1, REF_NULL(1), 0, 4),
    EXPORTS(2, 1, 'f', 0, 5, 1, 'n', 0, 6),
    /* flags 6: active, table, type, expressions */
    ELEMS(2, 3, 0, 1, 0, 6, 0, CONST(0), END, REF_NULL(1), 4, FUNC(1), END, FUNC(2), END, FUNC(3),
          END, FUNC(4), END),
    CODE(7, SIZED(0, GET(0), CONST(5), ADD, END),
         /* a call, with operands of the caller below */
         SIZED(0, CONST(32), GET(1), GET(0), CALL_REF(0), ADD, END),
         SIZED(0, GET(1), GET(0), RETURN_CALL_REF(0), END),
         /* branches when null, out of a block that leaves a value */
         SIZED(0, 0x02, I32, CONST(7), GET(1), GET(0), BR_ON_NULL(0), CALL_REF(0), ADD, END, END),
         /* branches with the reference when it is not null */
         SIZED(0, 0x02, REF(0), GET(0), BR_ON_NON_NULL(0), CONST(9), 0x0f, END, 0x1a, GET(1),
               GET(0), AS_NON_NULL, CALL_REF(0), END),
         SIZED(0, FUNC(0), CONST(20), GET(0), 0x25, 0, CALL_REF(1), END),
         SIZED(0, NULL_OF(0), CONST(20), GET(0), 0x25, 0, CALL_REF(1), END)));

START_TEST(calls_and_branches)
{
    use_exec(_i);
    struct guest g = guest_open(callers, NULL);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(0)), 32 + 25);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(1)), 25);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(2)), 7 + 25);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(3)), 25);
    ck_assert_int_eq(guest_trap(&g, "n", ARGS(0)), WASM_TRAP_NULL_FUNC);
    ck_assert_int_eq(guest_trap(&g, "n", ARGS(1)), WASM_TRAP_NULL_FUNC);
    ck_assert_uint_eq(guest_call(&g, "n", ARGS(2)), 20);
    ck_assert_uint_eq(guest_call(&g, "n", ARGS(3)), 9);
    guest_close(&g);
}
END_TEST

START_TEST(traps)
{
    use_exec(_i);
    const struct span bytes = MODULE(TYPES(1, 0x60, 0, 0), FUNCS(1, 0), EXPORTS(1, 1, 'f', 0, 0),
                                     CODE(1, SIZED(0, NULL_OF(0), AS_NON_NULL, 0x1a, END)));
    struct guest g = guest_open(bytes, NULL);
    ck_assert_int_eq(guest_trap(&g, "f", NULL), WASM_TRAP_NULL_REF);
    guest_close(&g);
}
END_TEST

START_TEST(tail_calls_use_no_stack)
{
    use_exec(_i);
    /* f(n, f, sum): n == 0 ? sum : f(n - 1, f, sum + 1), called with itself by g */
    const struct span bytes =
        MODULE(TYPES(2, 0x60, 3, I32, FUNCREF, I32, 1, I32, 0x60, 1, I32, 1, I32), FUNCS(2, 0, 1),
               EXPORTS(1, 1, 'g', 0, 1), ELEMS(1, 3, 0, 1, 0),
               CODE(2,
                    SIZED(0, GET(0), 0x45, 0x04, I32, GET(2), 0x05, GET(0), CONST(1), 0x6b, GET(1),
                          GET(2), CONST(1), ADD, FUNC(0), RETURN_CALL_REF(0), END, END),
                    SIZED(0, GET(0), NULL_OF(FUNCREF), CONST(0), FUNC(0), CALL_REF(0), END)));
    struct guest g = guest_open(bytes, NULL);
    ck_assert_uint_eq(guest_call(&g, "g", ARGS(1000000)), 1000000);
    guest_close(&g);
}
END_TEST

/* ---- types of two modules ---- */

/* Exports f: (ref null T) -> i32 and a function h of T that returns 6, T being () -> i32. */
static const struct span giver =
    MODULE(TYPES(2, 0x60, 0, 1, I32, 0x60, 1, REF_NULL(0), 1, I32), FUNCS(2, 1, 0),
           GLOBALS(1, REF(0), 0, FUNC(1), END), EXPORTS(2, 1, 'f', 0, 0, 1, 'g', 3, 0),
           CODE(2, SIZED(0, GET(0), CALL_REF(0), CONST(1), ADD, END), SIZED(0, CONST(6), END)));

/* The same types under other numbers. */
static const struct span taker = MODULE(
    TYPES(4, 0x60, 0, 0, 0x60, 1, REF(0), 0, 0x60, 0, 1, I32, 0x60, 1, REF_NULL(2), 1, I32),
    IMPORTS(2, 1, 'x', 1, 'f', 0, 3, 1, 'x', 1, 'g', 3, REF_NULL(2), 0), FUNCS(1, 2),
    EXPORTS(1, 1, 'c', 0, 1), CODE(1, SIZED(0, 0x23, 0, CALL_REF(2), 0x23, 0, 0x10, 0, ADD, END)));

/* A function type whose parameter is of another type, and a global of another one. */
static const struct span wrong_function =
    MODULE(TYPES(2, 0x60, 0, 0, 0x60, 1, REF_NULL(0), 1, I32), IMPORTS(1, 1, 'x', 1, 'f', 0, 1));
static const struct span wrong_global =
    MODULE(TYPES(1, 0x60, 0, 0), IMPORTS(1, 1, 'x', 1, 'g', 3, REF(0), 0));
static const struct span written_global = /* of a wider type: would let others be stored */
    MODULE(TYPES(1, 0x60, 0, 1, I32), IMPORTS(1, 1, 'x', 1, 'g', 3, REF_NULL(0), 1));

static void refused(struct span bytes, struct wasm_extern import)
{
    struct err e = ERR_INIT;
    struct wasm_module *m = wasm_module_load(bytes, false, NULL, &e);
    ck_assert_msg(m, "%s", e.text);
    ck_assert_ptr_null(wasm_instantiate(m, &import, NULL, &e));
    ck_assert_msg(strstr(e.text, "incompatible import type"), "%s", e.text);
    wasm_module_unref(m);
}

START_TEST(types_of_two_modules)
{
    use_exec(_i);
    struct guest g = guest_open(giver, NULL);
    struct wasm_extern imports[] = {guest_export(&g, "f"), guest_export(&g, "g")};
    struct guest t = guest_open(taker, imports);
    ck_assert_uint_eq(guest_call(&t, "c", NULL), 6 + 7);
    refused(wrong_function, imports[0]);
    refused(wrong_global, imports[1]);
    refused(written_global, imports[1]);
    guest_close(&t);
    guest_close(&g);
}
END_TEST

START_TEST(types_that_name_themselves)
{
    /* 0 and 1 are equal, each taking references to itself; 2 takes one to 0 and is another */
    const struct span bytes =
        MODULE(TYPES(3, 0x60, 1, REF(0), 0, 0x60, 1, REF(1), 0, 0x60, 1, REF(0), 1, I32));
    const struct span shifted =
        MODULE(TYPES(3, 0x60, 0, 0, 0x60, 1, REF(1), 0, 0x60, 1, REF(1), 1, I32));
    struct err e = ERR_INIT;
    struct wasm_module *a = wasm_module_load(bytes, false, NULL, &e);
    struct wasm_module *b = wasm_module_load(shifted, false, NULL, &e);
    ck_assert_msg(a && b, "%s", e.text);
    ck_assert(wasm_functype_eq(&a->types[0], &a->types[1]));
    ck_assert(!wasm_functype_eq(&a->types[0], &a->types[2]));
    ck_assert(wasm_functype_eq(&a->types[1], &b->types[1]));
    ck_assert(wasm_functype_eq(&a->types[2], &b->types[2]));
    ck_assert(!wasm_functype_eq(&a->types[2], &b->types[1]));
    wasm_module_unref(a);
    wasm_module_unref(b);
}
END_TEST

/* ---- validation ---- */

/* Types 0: () -> (), 1: i32 -> (); function 0 of type 0 with the body, function 1 of type 1. */
#define BODY(...)                                                                          \
    MODULE(TYPES(2, 0x60, 0, 0, 0x60, 1, I32, 0), FUNCS(2, 0, 1), ELEMS(1, 3, 0, 2, 0, 1), \
           CODE(2, SIZED(__VA_ARGS__, END), SIZED(0, END)))

static const struct {
    const char *text; /* NULL: valid */
    struct span bytes;
} cases[] = {
    {NULL, BODY(0, FUNC(0), CALL_REF(0))},
    {"call_ref: type mismatch: wants (ref null $type), found (ref func)",
     BODY(0, CONST(1), FUNC(0), CALL_REF(1))},
    {"call_ref: unknown type 2", BODY(0, 0x00, CALL_REF(2))},
    {"wants a reference, found i32", BODY(0, CONST(0), AS_NON_NULL, 0x1a)},
    {"the label takes no reference", BODY(0, FUNC(0), BR_ON_NON_NULL(0))},
    {NULL, BODY(0, 0x00, AS_NON_NULL, CALL_REF(0))},
    {"found a reference", BODY(0, 0x00, AS_NON_NULL, 0x45, 0x1a)},
    {NULL, BODY(1, 1, REF(0), FUNC(0), 0x21, 0, GET(0), 0x1a)},
    {"uninitialized local 0", BODY(1, 1, REF(0), GET(0), 0x1a)},
    {"uninitialized local 0", /* set only inside the block */
     BODY(1, 1, REF(0), 0x02, 0x40, FUNC(0), 0x21, 0, END, GET(0), 0x1a)},
    {NULL, BODY(1, 1, REF_NULL(0), GET(0), 0x1a)},
    {"needs an initial value", MODULE(TYPES(1, 0x60, 0, 0), TABLES(1, REF(0), 0, 1))},
    {"unknown type 1", MODULE(TYPES(2, 0x60, 1, REF(1), 0, 0x60, 0, 0))},
    {"malformed heap type", MODULE(TYPES(1, 0x60, 1, REF(I32), 0))},
    {"nullfuncref needs GC", MODULE(TYPES(1, 0x60, 1, REF(0x73), 0))},
};

START_TEST(validation)
{
    struct err e = ERR_INIT;
    struct wasm_module *m = wasm_module_load(cases[_i].bytes, false, NULL, &e);
    ck_assert_msg((m != NULL) == !cases[_i].text, "%s", e.text);
    if (!m)
        ck_assert_msg(strstr(e.text, cases[_i].text), "%s", e.text);
    wasm_module_unref(m);
}
END_TEST

START_TEST(referenced_types_are_bounded)
{
    /* TYPE_REFS_MAX + 1 different types, i32 * n -> (), then one that takes references to all */
    struct buf types = BUF_INIT, bytes = BUF_INIT;
    const uint32_t n = TYPE_REFS_MAX + 1;
    buf_leb_u64(&types, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        buf_put(&types, (uint8_t[]){0x60, (uint8_t)i}, 2);
        for (uint32_t k = 0; k < i; k++)
            buf_byte(&types, I32);
        buf_byte(&types, 0);
    }
    buf_put(&types, (uint8_t[]){0x60, (uint8_t)n}, 2);
    for (uint32_t i = 0; i < n; i++) {
        buf_byte(&types, 0x63);
        buf_leb_s64(&types, i);
    }
    buf_byte(&types, 0);
    buf_put(&bytes, (uint8_t[]){HEADER, 1}, COUNT(HEADER, 1));
    buf_leb_u64(&bytes, types.n);
    buf_put(&bytes, types.p, types.n);
    struct err e = ERR_INIT;
    ck_assert_ptr_null(wasm_module_load(buf_span(&bytes), false, NULL, &e));
    ck_assert_msg(e.code == ERR_LIMIT && strstr(e.text, "more than 64 function types"), "%s",
                  e.text);
    buf_fini(&bytes);
    buf_fini(&types);
}
END_TEST

int main(void)
{
    const TTest *const both[] = {calls_and_branches, traps, tail_calls_use_no_stack,
                                 types_of_two_modules};
    Suite *suite = suite_create("wasm refs");
    TCase *tcase = tcase_create("refs");
    for (size_t i = 0; i < ARRAY_LEN(both); i++)
        tcase_add_loop_test(tcase, both[i], 0, 2);
    tcase_add_test(tcase, types_that_name_themselves);
    tcase_add_test(tcase, referenced_types_are_bounded);
    tcase_add_loop_test(tcase, validation, 0, ARRAY_LEN(cases));
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}
