/* SPDX-License-Identifier: Apache-2.0 */
/* Instances with several memories: accesses, bulk operations and growth by memory index, one page
 * budget for all of them, images. Runs with guard pages and with checked accesses. */
#include <stdlib.h>
#include "lattice/base/num.h"
#include "tests/wasm/guest.h"

#define GET(x) 0x20, (x)
#define CONST(x) 0x41, (x)
#define OTHER(align) (0x40 | (align)) /* a memory index follows */

/* Memories 0 and 1 of one page, 1 with a maximum of three; a byte of data in each. Types:
 * 0: i32 -> i32, 1: i32 i32 -> (), 2: i32 i32 i32 -> (), 3: i32 -> f64, 4: i32 f64 -> () */
static const struct span two =
    MODULE(TYPES(5, 0x60, 1, I32, 1, I32, 0x60, 2, I32, I32, 0, 0x60, 3, I32, I32, I32, 0, 0x60, 1,
                 I32, 1, F64, 0x60, 2, I32, F64, 0),
           FUNCS(8, 0, 0, 1, 3, 4, 0, 2, 2), MEMORIES(2, 0, 1, 1, 1, 3),
           EXPORTS(9, 1, 'l', 0, 0, 1, 'm', 0, 1, 1, 's', 0, 2, 1, 'd', 0, 3, 1, 'e', 0, 4, 1, 'g',
                   0, 5, 1, 'c', 0, 6, 1, 'f', 0, 7, 1, 'x', 2, 1),
           CODE(8, SIZED(0, GET(0), 0x2d, 0, 0, END), /* l: byte of memory 0 */
                SIZED(0, GET(0), 0x28, OTHER(2), 1, 4, GET(0), CONST(1), 0x6a, 0x2d, OTHER(0), 1, 3,
                      0x6a, END), /* m: word at +4 and byte at +4 of memory 1 */
                SIZED(0, GET(0), GET(1), 0x36, OTHER(2), 1, 4, END),   /* s: word at +4 */
                SIZED(0, GET(0), 0x2b, OTHER(3), 1, 0, END),           /* d: f64 */
                SIZED(0, GET(0), GET(1), 0x39, OTHER(3), 1, 0, END),   /* e: f64 */
                SIZED(0, GET(0), 0x40, 1, 0x1a, 0x3f, 1, END),         /* g: grows, new size */
                SIZED(0, GET(0), GET(1), GET(2), 0xfc, 10, 0, 1, END), /* c: copies from 1 to 0 */
                SIZED(0, GET(0), GET(1), GET(2), 0xfc, 11, 1, END)),   /* f: fills in 1 */
           DATAS(2, 0, CONST(8), END, 1, 5, 2, 1, CONST(8), END, 1, 7));

START_TEST(accesses)
{
    use_exec(_i);
    struct guest g = guest_open(two, NULL);
    ck_assert_uint_eq(guest_call(&g, "l", ARGS(8)), 5);
    ck_assert_uint_eq(guest_call(&g, "m", ARGS(4)), 7 + 7);
    guest_call(&g, "s", ARGS(12, 0x01020304));
    ck_assert_uint_eq(guest_call(&g, "m", ARGS(12)), 0x01020304 + 4);
    guest_call(&g, "e", ARGS(24, 0x4004000000000000));
    ck_assert_uint_eq(guest_call(&g, "d", ARGS(24)), 0x4004000000000000);
    ck_assert_uint_eq(guest_call(&g, "l", ARGS(16)), 0); /* memory 0 saw nothing of it */
    ck_assert_int_eq(guest_trap(&g, "m", ARGS(65529)), WASM_TRAP_MEMORY);
    ck_assert_int_eq(guest_trap(&g, "s", ARGS(0xffffffff, 1)), WASM_TRAP_MEMORY);
    guest_call(&g, "s", ARGS(65528, 1));
    guest_close(&g);
}
END_TEST

START_TEST(bulk)
{
    use_exec(_i);
    struct guest g = guest_open(two, NULL);
    guest_call(&g, "f", ARGS(100, 9, 50));
    guest_call(&g, "c", ARGS(0, 101, 48));
    ck_assert_uint_eq(guest_call(&g, "l", ARGS(47)), 9);
    ck_assert_uint_eq(guest_call(&g, "l", ARGS(48)), 0);
    ck_assert_int_eq(guest_trap(&g, "f", ARGS(65536, 1, 1)), WASM_TRAP_MEMORY);
    guest_call(&g, "g", ARGS(1));
    guest_call(&g, "f", ARGS(65536, 1, 65536));
    ck_assert_int_eq(guest_trap(&g, "c", ARGS(1, 65536, 65536)), WASM_TRAP_MEMORY);
    guest_call(&g, "c", ARGS(0, 65536, 65536)); /* in pieces, downwards in addresses */
    ck_assert_uint_eq(guest_call(&g, "l", ARGS(65535)), 1);
    guest_close(&g);
}
END_TEST

START_TEST(growth)
{
    use_exec(_i);
    struct err e = ERR_INIT;
    struct guest g = guest_open(two, NULL);
    ck_assert_uint_eq(guest_call(&g, "g", ARGS(3)), 1); /* beyond its maximum */
    ck_assert_uint_eq(guest_call(&g, "g", ARGS(2)), 3);
    ck_assert_int_eq(guest_trap(&g, "l", ARGS(65536)), WASM_TRAP_MEMORY);
    guest_close(&g);
    /* three pages for both together */
    g = guest_open(two, NULL);
    wasm_inst_free(g.inst);
    g.inst = wasm_instantiate(g.module, NULL, &(struct wasm_limits){.memory_pages_max = 3}, &e);
    ck_assert_msg(g.inst, "%s", e.text);
    ck_assert_uint_eq(guest_call(&g, "g", ARGS(2)), 1);
    ck_assert_uint_eq(guest_call(&g, "g", ARGS(1)), 2);
    guest_close(&g);
    struct wasm_module *m = wasm_module_load(two, false, NULL, &e);
    ck_assert_ptr_null(wasm_instantiate(m, NULL, &(struct wasm_limits){.memory_pages_max = 1}, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    wasm_module_unref(m);
}
END_TEST

START_TEST(rewinding)
{
    use_exec(_i);
    struct err e = ERR_INIT;
    struct guest g = guest_open(two, NULL);
    ck_assert_msg(wasm_inst_mark(g.inst, NULL, &e), "%s", e.text);
    for (int again = 0; again < 2; again++) {
        guest_call(&g, "s", ARGS(4, 77));
        ck_assert_uint_eq(guest_call(&g, "g", ARGS(2)), 3);
        ck_assert_msg(wasm_inst_rewind(g.inst, &e), "%s", e.text);
        ck_assert_uint_eq(guest_call(&g, "m", ARGS(4)), 14);
        ck_assert_uint_eq(guest_call(&g, "g", ARGS(0)), 1);
    }
    guest_close(&g);
}
END_TEST

START_TEST(one_memory_twice)
{
    use_exec(_i);
    /* memory 0 under two indices: growing it as memory 1 must not leave memory 0's old base */
    const struct span alias = MODULE(TYPES(1, 0x60, 1, I32, 1, I32),
                                     IMPORTS(2, 1, 'x', 1, 'm', 2, 0, 1, 1, 'x', 1, 'm', 2, 0, 1),
                                     FUNCS(1, 0), EXPORTS(1, 1, 'f', 0, 0),
                                     CODE(1, SIZED(0, CONST(2), 0x40, 1, 0x1a, GET(0), CONST(42),
                                                   0x36, 2, 0, GET(0), 0x28, OTHER(2), 1, 0, END)));
    struct guest g = guest_open(two, NULL);
    struct wasm_extern m = guest_export(&g, "x");
    struct guest a = guest_open(alias, (const struct wasm_extern[]){m, m});
    ck_assert_uint_eq(guest_call(&a, "f", ARGS(65536 + 20)), 42);
    guest_close(&a);
    guest_close(&g);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {accesses, bulk, growth, rewinding, one_memory_twice};
    Suite *suite = suite_create("wasm memories");
    TCase *tcase = tcase_create("memories");
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_loop_test(tcase, tests[i], 0, 2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}
