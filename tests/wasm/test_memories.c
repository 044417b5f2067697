/* SPDX-License-Identifier: Apache-2.0 */
/* Instances with several memories: accesses, bulk operations and growth by memory index, one page
 * budget for all of them, images; then memories and tables addressed by 64 bits. Runs with guard
 * pages and with checked accesses. */
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

/* A valid module may want more than there is: that shows when it is instantiated. */
START_TEST(what_is_too_large_is_refused)
{
    const struct {
        struct span bytes;
        const char *text;
    } cases[] = {
        {MODULE(TABLES(1, FUNCREF, 0, 0xff, 0xff, 0xff, 0xff, 0x0f)),
         "table wants 4294967295 elements, the limit is 10000000"},
        {MODULE(MEMORIES(1, 4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40)),
         "memory wants 281474976710656 pages, the limit is 65536"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = ERR_INIT;
        struct wasm_module *m = wasm_module_load(cases[i].bytes, false, NULL, &e);
        ck_assert_msg(m, "%s", e.text);
        ck_assert_ptr_null(wasm_instantiate(m, NULL, NULL, &e));
        ck_assert_int_eq(e.code, ERR_LIMIT);
        ck_assert_msg(strstr(e.text, cases[i].text), "%s", e.text);
        wasm_module_unref(m);
    }
}
END_TEST

START_TEST(mappings_are_counted)
{
    use_exec(_i);
    struct guest first = guest_open(two, NULL); /* leaves a reservation in the pool */
    guest_close(&first);
    uint32_t before = wasm_mappings();
    struct guest a = guest_open(two, NULL), b = guest_open(two, NULL);
    guest_call(&a, "g", ARGS(2));
    ck_assert_uint_ge(wasm_mappings(), before + 2 * 3); /* a memory, a stack and its guard */
    guest_close(&a);
    guest_close(&b);
    ck_assert_uint_le(wasm_mappings(), before + (_i == 0 ? 3 : 0)); /* another pooled one */
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

/* ---- 64-bit addresses ---- */

/* Types: 0: i64 -> i32, 1: i64 i32 -> (), 2: i64 -> i64, 3: i64 i32 -> (). A 64-bit memory of one
 * page, at most four, and a 64-bit table of two with function 4 in place 1. */
static const struct span wide = MODULE(
    TYPES(4, 0x60, 1, I64, 1, I32, 0x60, 2, I64, I32, 0, 0x60, 1, I64, 1, I64, 0x60, 0, 1, I32),
    FUNCS(8, 0, 1, 2, 1, 3, 0, 2, 0), TABLES(1, FUNCREF, 5, 2, 3), MEMORIES(1, 5, 1, 4),
    EXPORTS(7, 1, 'l', 0, 0, 1, 's', 0, 1, 1, 'g', 0, 2, 1, 'f', 0, 3, 1, 'i', 0, 5, 1, 'h', 0, 6,
            1, 'n', 0, 7),
    ELEMS(1, 0, 0x42, 1, END, 1, 4),
    CODE(8, SIZED(0, GET(0), 0x28, 2, 8, END),                 /* l: word at +8 */
         SIZED(0, GET(0), GET(1), 0x36, 2, 8, END),            /* s: the same */
         SIZED(0, GET(0), 0x40, 0, END),                       /* g: memory.grow */
         SIZED(0, GET(0), GET(1), 0x42, 16, 0xfc, 11, 0, END), /* f: fills 16 bytes */
         SIZED(0, CONST(55), END),                             /* in the table */
         SIZED(0, GET(0), 0x11, 3, 0, END),                    /* i: call_indirect */
         SIZED(0, 0xd0, FUNCREF, GET(0), 0xfc, 15, 0, END),    /* h: table.grow */
         SIZED(0, GET(0), 0x25, 0, 0xd1, END)),                /* n: null there? */
    DATAS(1, 0, 0x42, 8, END, 1, 6));

START_TEST(wide_memory)
{
    use_exec(_i);
    const wasm_slot page = 65536, high = (wasm_slot)1 << 32;
    struct guest g = guest_open(wide, NULL);
    ck_assert_uint_eq(guest_call(&g, "l", ARGS(0)), 6);
    guest_call(&g, "s", ARGS(page - 12, 99));
    ck_assert_uint_eq(guest_call(&g, "l", ARGS(page - 12)), 99);
    ck_assert_int_eq(guest_trap(&g, "l", ARGS(page - 11)), WASM_TRAP_MEMORY);
    ck_assert_int_eq(guest_trap(&g, "l", ARGS(high)), WASM_TRAP_MEMORY);
    ck_assert_int_eq(guest_trap(&g, "s", ARGS(UINT64_MAX - 7, 1)), WASM_TRAP_MEMORY);
    guest_call(&g, "f", ARGS(8, 1));
    ck_assert_uint_eq(guest_call(&g, "l", ARGS(0)), 0x01010101);
    ck_assert_int_eq(guest_trap(&g, "f", ARGS(high, 1)), WASM_TRAP_MEMORY);
    ck_assert_uint_eq(guest_call(&g, "g", ARGS(high)), UINT64_MAX);
    ck_assert_uint_eq(guest_call(&g, "g", ARGS(3)), 1);
    ck_assert_uint_eq(guest_call(&g, "l", ARGS(4 * page - 12)), 0);
    guest_close(&g);
}
END_TEST

START_TEST(wide_table)
{
    use_exec(_i);
    const wasm_slot high = (wasm_slot)1 << 32;
    struct guest g = guest_open(wide, NULL);
    ck_assert_uint_eq(guest_call(&g, "i", ARGS(1)), 55);
    ck_assert_int_eq(guest_trap(&g, "i", ARGS(high + 1)), WASM_TRAP_INDIRECT_RANGE);
    ck_assert_int_eq(guest_trap(&g, "n", ARGS(high + 1)), WASM_TRAP_TABLE);
    ck_assert_uint_eq(guest_call(&g, "n", ARGS(0)), 1);
    ck_assert_uint_eq(guest_call(&g, "h", ARGS(high)), UINT64_MAX);
    ck_assert_uint_eq(guest_call(&g, "h", ARGS(1)), 2);
    ck_assert_uint_eq(guest_call(&g, "n", ARGS(2)), 1);
    guest_close(&g);
}
END_TEST

START_TEST(widths_are_told_apart)
{
    struct err e = ERR_INIT;
    const struct span i32_address = MODULE(TYPES(1, 0x60, 0, 0), FUNCS(1, 0), MEMORIES(1, 4, 1),
                                           CODE(1, SIZED(0, CONST(0), 0x28, 2, 0, 0x1a, END)));
    ck_assert_ptr_null(wasm_module_load(i32_address, false, NULL, &e));
    ck_assert_msg(strstr(e.text, "wants i64, found i32"), "%s", e.text);
    /* copied from a 32-bit memory into a 64-bit one: the number is an i32 */
    const struct span mixed =
        MODULE(TYPES(1, 0x60, 0, 0), FUNCS(1, 0), MEMORIES(2, 4, 1, 0, 1),
               CODE(1, SIZED(0, 0x42, 0, CONST(0), CONST(9), 0xfc, 10, 0, 1, END)));
    struct wasm_module *m = wasm_module_load(mixed, false, NULL, &e);
    ck_assert_msg(m, "%s", e.text);
    wasm_module_unref(m);
    const struct span too_great = MODULE(MEMORIES(1, 4, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40));
    ck_assert_ptr_null(wasm_module_load(too_great, false, NULL, &e));
    ck_assert_msg(strstr(e.text, "memory size must be at most"), "%s", e.text);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        accesses,         bulk,        growth,    mappings_are_counted, rewinding,
        one_memory_twice, wide_memory, wide_table};
    Suite *suite = suite_create("wasm memories");
    TCase *tcase = tcase_create("memories");
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_loop_test(tcase, tests[i], 0, 2);
    tcase_add_test(tcase, what_is_too_large_is_refused);
    tcase_add_test(tcase, widths_are_told_apart);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}
