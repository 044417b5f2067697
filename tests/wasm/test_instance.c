/* SPDX-License-Identifier: Apache-2.0 */
/* Instances: imports and their types, segments, calls between instances, marking and rewinding,
 * memories. */
#include <pthread.h>
#include "lattice/base/num.h"
#include "tests/wasm/guest.h"

#define GET(x) 0x20, (x)
#define CONST(x) 0x41, (x)
#define CALL(x) 0x10, (x)
#define LOAD8 0x2d, 0, 0
#define STORE8 0x3a, 0, 0
#define VOID_TYPE TYPES(1, 0x60, 0, 0)

/* A memory of 1 to 4 pages, a global, a table of 2 and something to change each of them. */
static const struct span state = MODULE(
    TYPES(3, 0x60, 1, I32, 1, I32, 0x60, 2, I32, I32, 0, 0x60, 0, 1, I32), FUNCS(5, 0, 1, 0, 2, 2),
    TABLES(1, FUNCREF, 0, 2), MEMORIES(1, 1, 1, 4), GLOBALS(1, I32, 1, CONST(7), END),
    EXPORTS(6, 1, 'r', 0, 0, 1, 'w', 0, 1, 1, 'g', 0, 2, 1, 'b', 0, 3, 1, 'c', 0, 4, 1, 'm', 2, 0),
    ELEMS(1, 1, 0, 1, 0), DATA_COUNT(1),
    CODE(5,
         /* r(a): byte at a */
         SIZED(0, GET(0), LOAD8, END),
         /* w(a, v) */
         SIZED(0, GET(0), GET(1), STORE8, END),
         /* g(n): grow the memory */
         SIZED(0, GET(0), 0x40, 0, END),
         /* b: count the global up, fill table 0[1] from the segment, copy the data, drop both,
         * grow the table */
         SIZED(0, 0x23, 0, CONST(1), 0x6a, 0x24, 0, CONST(1), CONST(0), CONST(1), 0xfc, 12, 0, 0,
               CONST(32), CONST(0), CONST(3), 0xfc, 8, 0, 0, 0xfc, 13, 0, 0xfc, 9, 0, 0xd0, FUNCREF,
               CONST(5), 0xfc, 15, 0, END),
         /* c: global + table size + 100 when table 0[1] is set */
         SIZED(0, 0x23, 0, 0xfc, 16, 0, 0x6a, CONST(1), 0x25, 0, 0xd1, 0x45, CONST(50), 0x6c, 0x6a,
               END)),
    DATAS(1, 1, 3, 'a', 'b', 'c'));

/* ---- memories ---- */

START_TEST(memories_start_empty)
{
    use_exec(_i);
    for (int round = 0; round < 3; round++) {
        struct guest g = guest_open(state, NULL);
        struct wasm_memory *m = guest_export(&g, "m").memory;
        ck_assert_uint_eq(guest_call(&g, "r", ARGS(60000)), 0);
        ck_assert_uint_eq(guest_call(&g, "g", ARGS(2)), 1);
        ck_assert_uint_eq(guest_call(&g, "r", ARGS(3 * 65536 - 1)), 0);
        guest_call(&g, "w", ARGS(60000, 1));
        guest_call(&g, "w", ARGS(3 * 65536 - 1, 1));
        ck_assert_uint_eq(guest_call(&g, "r", ARGS(3 * 65536 - 1)), 1);
        ck_assert_int_eq(guest_trap(&g, "r", ARGS(3 * 65536)), WASM_TRAP_MEMORY);
        ck_assert_uint_eq(guest_call(&g, "g", ARGS(2)), UINT32_MAX);
        ck_assert_uint_eq(guest_call(&g, "g", ARGS(UINT32_MAX)), UINT32_MAX);
        ck_assert_uint_eq(wasm_memory_size(m), 3 * 65536);
        guest_close(&g); /* the next round gets its reservation */
    }
}
END_TEST

START_TEST(host_view_is_bounded)
{
    use_exec(_i);
    struct guest g = guest_open(state, NULL);
    struct wasm_memory *m = guest_export(&g, "m").memory;
    ck_assert_ptr_nonnull(wasm_memory_at(m, 0, 65536));
    ck_assert_ptr_nonnull(wasm_memory_at(m, 65536, 0));
    ck_assert_ptr_null(wasm_memory_at(m, 65536, 1));
    ck_assert_ptr_null(wasm_memory_at(m, 1, 65536));
    ck_assert_ptr_null(wasm_memory_at(m, UINT64_MAX, 2));
    ck_assert_ptr_null(wasm_memory_at(m, 2, UINT64_MAX));
    guest_close(&g);
}
END_TEST

START_TEST(limits_are_kept)
{
    use_exec(_i);
    struct err e = ERR_INIT;
    struct wasm_module *m = wasm_module_load(state, false, NULL, &e);
    struct wasm_inst *i =
        wasm_instantiate(m, NULL, &(struct wasm_limits){.table_elems_max = 1}, &e);
    ck_assert(!i && e.code == ERR_LIMIT);
    i = wasm_instantiate(m, NULL, &(struct wasm_limits){.memory_pages_max = 2}, &e);
    struct wasm_vm *vm = wasm_vm_new(NULL, &e);
    struct guest g = {m, i, vm};
    ck_assert_uint_eq(guest_call(&g, "g", ARGS(1)), 1);
    ck_assert_uint_eq(guest_call(&g, "g", ARGS(1)), UINT32_MAX);
    guest_close(&g);
}
END_TEST

/* ---- mark and rewind ---- */

START_TEST(rewinding)
{
    use_exec(_i);
    struct err e = ERR_INIT;
    struct guest g = guest_open(state, NULL);
    guest_call(&g, "w", ARGS(100, 42));
    ck_assert_msg(wasm_inst_mark(g.inst, NULL, &e), "%s", e.text);
    for (int round = 0; round < 3; round++) {
        ck_assert_uint_eq(guest_call(&g, "c", NULL), 9);
        guest_call(&g, "b", NULL);
        ck_assert_uint_eq(guest_call(&g, "c", NULL), 8 + 7 + 50);
        ck_assert_uint_eq(guest_call(&g, "r", ARGS(34)), 'c');
        ck_assert_int_eq(guest_trap(&g, "b", NULL), WASM_TRAP_TABLE); /* dropped */
        guest_call(&g, "w", ARGS(100, 1));
        guest_call(&g, "w", ARGS(50000, 1));
        ck_assert_uint_eq(guest_call(&g, "g", ARGS(1)), 1);
        guest_call(&g, "w", ARGS(65536, 1));
        ck_assert_msg(wasm_inst_rewind(g.inst, &e), "%s", e.text);
        ck_assert_uint_eq(guest_call(&g, "r", ARGS(100)), 42);
        ck_assert_uint_eq(guest_call(&g, "r", ARGS(34)), 0);
        ck_assert_uint_eq(guest_call(&g, "r", ARGS(50000)), 0);
        ck_assert_int_eq(guest_trap(&g, "r", ARGS(65536)), WASM_TRAP_MEMORY);
        ck_assert_uint_eq(guest_call(&g, "g", ARGS(1)), 1);
        ck_assert_uint_eq(guest_call(&g, "r", ARGS(65536)), 0);
        ck_assert(wasm_inst_rewind(g.inst, &e));
    }
    guest_close(&g);
}
END_TEST

START_TEST(rewinding_many_pages)
{
    use_exec(_i);
    const struct span big = MODULE(VOID_TYPE, MEMORIES(1, 0, 64), EXPORTS(1, 1, 'm', 2, 0));
    struct err e = ERR_INIT;
    struct guest g = guest_open(big, NULL);
    struct wasm_memory *m = guest_export(&g, "m").memory;
    size_t size = wasm_memory_size(m);
    for (size_t i = 0; i < size; i += 512)
        wasm_memory_base(m)[i] = (uint8_t)(i >> 12);
    ck_assert_msg(wasm_inst_mark(g.inst, NULL, &e), "%s", e.text);
    for (int round = 0; round < 2; round++) {
        memset(wasm_memory_base(m), 0xee, size);
        ck_assert_msg(wasm_inst_rewind(g.inst, &e), "%s", e.text);
        for (size_t i = 0; i < size; i += 512)
            ck_assert_uint_eq(wasm_memory_base(m)[i], (uint8_t)(i >> 12));
    }
    guest_close(&g);
}
END_TEST

START_TEST(images_are_shared_when_equal)
{
    use_exec(_i);
    struct err e = ERR_INIT;
    struct guest a = guest_open(state, NULL);
    struct guest b = guest_of(wasm_module_ref(a.module), NULL);
    struct guest c = guest_of(wasm_module_ref(a.module), NULL);
    guest_call(&a, "w", ARGS(5, 1));
    guest_call(&b, "w", ARGS(5, 1));
    guest_call(&c, "w", ARGS(5, 2));
    ck_assert(wasm_inst_mark(a.inst, NULL, &e));
    ck_assert(wasm_inst_mark(b.inst, a.inst, &e));
    ck_assert(wasm_inst_mark(c.inst, a.inst, &e));
    ck_assert_ptr_eq(a.inst->memory->image, b.inst->memory->image);
    ck_assert_ptr_ne(a.inst->memory->image, c.inst->memory->image);
    guest_close(&a);
    guest_call(&b, "w", ARGS(5, 9));
    ck_assert(wasm_inst_rewind(b.inst, &e) && wasm_inst_rewind(c.inst, &e));
    ck_assert_uint_eq(guest_call(&b, "r", ARGS(5)), 1);
    ck_assert_uint_eq(guest_call(&c, "r", ARGS(5)), 2);
    guest_close(&b);
    guest_close(&c);
}
END_TEST

/* ---- calls between instances ---- */

/* imports o.w and o.r; has its own memory; f(a, v): stores v + 1 in its own memory at a, o.w(a,
 * v), then o.r(a) + own byte at a */
static const struct span importer =
    MODULE(TYPES(3, 0x60, 1, I32, 1, I32, 0x60, 2, I32, I32, 0, 0x60, 2, I32, I32, 1, I32),
           IMPORTS(2, 1, 'o', 1, 'r', 0, 0, 1, 'o', 1, 'w', 0, 1), FUNCS(1, 2), MEMORIES(1, 0, 1),
           EXPORTS(2, 1, 'f', 0, 2, 1, 'm', 2, 0),
           CODE(1, SIZED(0, GET(0), GET(1), CONST(1), 0x6a, STORE8, GET(0), GET(1), CALL(1), GET(0),
                         CALL(0), GET(0), LOAD8, 0x6a, END)));

START_TEST(calls_between_instances)
{
    use_exec(_i == 1);
    struct guest owner = guest_open(state, NULL);
    if (_i == 2)
        use_exec(1); /* one guarded, the other checked */
    const struct wasm_extern imports[] = {guest_export(&owner, "r"), guest_export(&owner, "w")};
    struct guest g = guest_open(importer, imports);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(10, 20)), 41);
    ck_assert_uint_eq(wasm_memory_base(guest_export(&owner, "m").memory)[10], 20);
    ck_assert_uint_eq(wasm_memory_base(guest_export(&g, "m").memory)[10], 21);
    /* a trap in the callee is told with both */
    guest_call(&owner, "g", ARGS(1));
    guest_enter(&g, "f", ARGS(70000, 1));
    ck_assert_int_eq(wasm_run(g.vm), WASM_TRAPPED);
    wasm_vm_reset(g.vm);
    guest_close(&g);
    guest_close(&owner);
}
END_TEST

START_TEST(foreign_frames_are_traced)
{
    use_exec(_i);
    const struct span thrower =
        MODULE(VOID_TYPE, FUNCS(1, 0), EXPORTS(1, 1, 't', 0, 0), CODE(1, SIZED(0, 0x00, END)));
    const struct span caller = MODULE(VOID_TYPE, IMPORTS(1, 1, 'o', 1, 't', 0, 0), FUNCS(1, 0),
                                      EXPORTS(1, 1, 'u', 0, 1), CODE(1, SIZED(0, CALL(0), END)));
    struct guest t = guest_open(thrower, NULL);
    const struct wasm_extern import = guest_export(&t, "t");
    struct guest u = guest_open(caller, &import);
    guest_enter(&u, "u", NULL);
    ck_assert_int_eq(wasm_run(u.vm), WASM_TRAPPED);
    struct buf text = BUF_INIT;
    wasm_vm_trap_report(u.vm, &text);
    const char *from = memmem(text.p, text.n, " in t (func 0), called from at ", 31);
    ck_assert_msg(from != NULL, "%.*s", STR_ARG(buf_view(&text)));
    ck_assert_ptr_nonnull(memmem(text.p, text.n, " in u (func 1)", 14));
    buf_fini(&text);
    guest_close(&u);
    guest_close(&t);
}
END_TEST

/* ---- threads ---- */

static void *run_in_thread(void *module)
{
    wasm_thread_init();
    for (int round = 0; round < 20; round++) {
        struct guest g = guest_of(wasm_module_ref(module), NULL);
        guest_call(&g, "w", ARGS(9, 8));
        if (guest_call(&g, "r", ARGS(9)) != 8 ||
            guest_trap(&g, "r", ARGS(65536)) != WASM_TRAP_MEMORY)
            return module;
        guest_close(&g);
    }
    return NULL;
}

START_TEST(threads_share_a_module)
{
    use_exec(_i);
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct err e = ERR_INIT;
    struct wasm_module *m = wasm_module_load(state, true, NULL, &e);
    for (int t = 0; t < THREADS; t++)
        pthread_create(&threads[t], NULL, run_in_thread, m);
    for (int t = 0; t < THREADS; t++) {
        void *failed;
        pthread_join(threads[t], &failed);
        ck_assert_ptr_null(failed);
    }
    wasm_module_unref(m);
}
END_TEST

/* ---- imports ---- */

static void refused(struct span bytes, struct wasm_extern import, const char *why)
{
    struct err e = ERR_INIT;
    struct wasm_module *m = wasm_module_load(bytes, false, NULL, &e);
    ck_assert_msg(m, "%s", e.text);
    ck_assert_ptr_null(wasm_instantiate(m, &import, NULL, &e));
    ck_assert_msg(e.code == ERR_INVALID && strstr(e.text, why), "%s", e.text);
    wasm_module_unref(m);
}

START_TEST(import_types)
{
    const struct span func = MODULE(VOID_TYPE, IMPORTS(1, 1, 'x', 1, 'f', 0, 0)),
                      memory = MODULE(IMPORTS(1, 1, 'x', 1, 'm', 2, 1, 2, 3)),
                      table = MODULE(IMPORTS(1, 1, 'x', 1, 't', 1, EXTERNREF, 0, 1)),
                      global = MODULE(IMPORTS(1, 1, 'x', 1, 'g', 3, I32, 0));
    struct guest g = guest_open(state, NULL);
    struct wasm_extern r = guest_export(&g, "r"), m = guest_export(&g, "m"), none = {.any = NULL};
    refused(func, r, "x.f");
    refused(func, m, "x.f");
    refused(func, none, "x.f");
    refused(memory, m, "x.m"); /* too small, and its maximum too great */
    struct err e;
    struct wasm_extern t = {.kind = WASM_TABLE};
    t.table = wasm_table_new(FUNCREF, &(struct wasm_limits_type){.min = 1}, 0, &e);
    refused(table, t, "x.t");
    const wasm_slot zero = 0;
    struct wasm_extern i = {.kind = WASM_GLOBAL, .global = wasm_global_new(I32, true, &zero)};
    refused(global, i, "x.g");
    wasm_global_free(i.global);
    wasm_table_free(t.table);
    guest_close(&g);
}
END_TEST

/* A failed instantiation leaves its functions in an imported table: they must go on working. */
START_TEST(functions_of_a_failed_instance)
{
    use_exec(_i);
    const struct span failing =
        MODULE(TYPES(1, 0x60, 0, 1, I32), IMPORTS(1, 1, 'x', 1, 't', 1, FUNCREF, 0, 1), FUNCS(1, 0),
               MEMORIES(1, 0, 0), ELEMS(1, 0, CONST(0), END, 1, 0),
               CODE(1, SIZED(0, CONST(33), END)), DATAS(1, 0, CONST(0), END, 1, 'x'));
    const struct span user =
        MODULE(TYPES(1, 0x60, 0, 1, I32), IMPORTS(1, 1, 'x', 1, 't', 1, FUNCREF, 0, 1), FUNCS(1, 0),
               EXPORTS(1, 1, 'u', 0, 0), CODE(1, SIZED(0, CONST(0), 0x11, 0, 0, END)));
    struct err e = ERR_INIT;
    struct wasm_extern t = {.kind = WASM_TABLE};
    t.table = wasm_table_new(FUNCREF, &(struct wasm_limits_type){.min = 1}, 0, &e);
    struct wasm_module *m = wasm_module_load(failing, false, NULL, &e);
    ck_assert_msg(m, "%s", e.text);
    ck_assert_ptr_null(wasm_instantiate(m, &t, NULL, &e));
    ck_assert(e.code == ERR_TRAP && strstr(e.text, "out of bounds memory access"));
    wasm_module_unref(m);
    struct guest g = guest_open(user, &t);
    ck_assert_uint_eq(guest_call(&g, "u", NULL), 33);
    guest_close(&g);
    wasm_table_free(t.table);
}
END_TEST

int main(void)
{
    const TTest *const both[] = {
        memories_start_empty,
        host_view_is_bounded,
        limits_are_kept,
        rewinding,
        rewinding_many_pages,
        images_are_shared_when_equal,
        foreign_frames_are_traced,
        threads_share_a_module,
        functions_of_a_failed_instance,
    };
    Suite *suite = suite_create("wasm instance");
    TCase *tcase = tcase_create("instance");
    for (size_t i = 0; i < ARRAY_LEN(both); i++)
        tcase_add_loop_test(tcase, both[i], 0, 2);
    tcase_add_loop_test(tcase, calls_between_instances, 0, 3);
    tcase_add_test(tcase, import_types);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}
