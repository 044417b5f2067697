/* SPDX-License-Identifier: Apache-2.0 */
/* Limits and refused memory: each limit walked upwards until a module fits, with a named error on the way; and a
 * guest that asks for more than the process may have gets -1 from its instruction, not a dead process. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "lattice/base/num.h"
#include "lattice/base/space.h"
#include "tests/wasm/guest.h"

/* A memory of 3 pages, a table of 5, 4 functions of 6 locals, 2 data segments. */
static const struct span module =
    MODULE(TYPES(2, 0x60, 1, I32, 1, I32, 0x60, 0, 0), FUNCS(4, 0, 0, 1, 1),
           TABLES(1, FUNCREF, 0, 5), MEMORIES(1, 0, 3), EXPORTS(2, 1, 'm', 0, 0, 1, 't', 0, 1),
           CODE(4, SIZED(1, 5, I32, 0x20, 0, 0x40, 0, END),      /* memory.grow */
                SIZED(0, 0xd0, 0x70, 0x20, 0, 0xfc, 15, 0, END), /* table.grow */
                SIZED(0, END), SIZED(0, 0x01, 0x01, 0x01, 0x01, END)),
           DATAS(2, 1, 1, 'a', 1, 1, 'b'));

static const struct row {
    size_t field; /* of struct wasm_limits */
    uint32_t enough;
    const char *text;
} rows[] = {
#define ROW(field, enough, text)                          \
    {                                                     \
        offsetof(struct wasm_limits, field), enough, text \
    }
    ROW(module_bytes_max, 0, "bytes"),  ROW(functions_max, 4, "function"),
    ROW(body_bytes_max, 9, "bytes"),    ROW(locals_max, 6, "locals"),
    ROW(data_segments_max, 2, "data"),  ROW(table_elems_max, 5, "table"),
    ROW(memory_pages_max, 3, "memory"),
#undef ROW
};

static bool fits(const struct wasm_limits *limits, struct err *e)
{
    struct wasm_module *m = wasm_module_load(module, false, limits, e);
    struct wasm_inst *i = m ? wasm_instantiate(m, NULL, limits, e) : NULL;
    wasm_inst_free(i);
    wasm_module_unref(m);
    return i != NULL;
}

START_TEST(each_limit_is_named_until_it_suffices)
{
    const struct row *row = &rows[_i];
    uint32_t enough = row->enough ? row->enough : (uint32_t)module.n;
    for (uint32_t n = 1; n <= enough; n++) {
        struct wasm_limits limits = {.module_bytes_max = 0};
        struct err e = ERR_INIT;
        memcpy((char *)&limits + row->field, &n, sizeof n);
        bool ok = fits(&limits, &e);
        ck_assert_msg(ok == (n == enough), "%u: %s", n, e.text);
        if (!ok) {
            ck_assert_msg(e.code == ERR_LIMIT, "%u: %s", n, e.text);
            ck_assert_msg(strstr(e.text, row->text), "%u: %s", n, e.text);
        }
    }
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* No more address space than so much beyond what there is now. */
static void allow_more(size_t bytes)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    ck_assert(f && fscanf(f, "%lu", &pages) == 1);
    fclose(f);
    struct rlimit limit = {pages * space_page_bytes() + bytes, RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

START_TEST(refused_growth_is_minus_one)
{
    memory_guarded_max(1000);
    wasm_init();
    allow_more((size_t)40 << 20);
    struct guest g = guest_open(module, NULL); /* no room for a guard: its accesses are checked */
    ck_assert_uint_eq((uint32_t)guest_call(&g, "m", ARGS(10)), 3);
    ck_assert_uint_eq((uint32_t)guest_call(&g, "m", ARGS(2000)), UINT32_MAX);
    ck_assert_uint_eq((uint32_t)guest_call(&g, "m", ARGS(0)), 13);
    ck_assert_uint_eq((uint32_t)guest_call(&g, "t", ARGS(9000000)), UINT32_MAX);
    ck_assert_uint_eq((uint32_t)guest_call(&g, "t", ARGS(100)), 5);
    ck_assert_uint_eq((uint32_t)guest_call(&g, "t", ARGS(0)), 105);
    guest_close(&g);
}
END_TEST

START_TEST(refused_instances_and_stacks_are_errors)
{
    wasm_init();
    const struct span big = MODULE(MEMORIES(1, 0, 0x80, 0x10)); /* 128 MiB */
    struct err e = ERR_INIT;
    struct wasm_module *m = wasm_module_load(big, false, NULL, &e);
    ck_assert(m);
    allow_more((size_t)40 << 20);
    ck_assert_ptr_null(wasm_instantiate(m, NULL, NULL, &e));
    ck_assert_msg(e.code == ERR_LIMIT && strstr(e.text, "2048 pages"), "%s", e.text);
    ck_assert_ptr_null(wasm_vm_new(&(struct wasm_vm_opts){.stack_bytes = 64u << 20}, &e));
    ck_assert_msg(strstr(e.text, "guest stack"), "%s", e.text);
    wasm_module_unref(m);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("wasm limits");
    TCase *tcase = tcase_create("limits");
    tcase_add_loop_test(tcase, each_limit_is_named_until_it_suffices, 0, ARRAY_LEN(rows));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(tcase, refused_growth_is_minus_one);
    tcase_add_test(tcase, refused_instances_and_stacks_are_errors);
#endif
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}
