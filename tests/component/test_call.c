/* SPDX-License-Identifier: Apache-2.0 */
/* Calls between components of a composition, and resources of guests and of the host. */
#include <check.h>
#include <stdlib.h>
#include "hostd/component/guest.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "tests/component/data.h"

/* ---- compose.wat ---- */

static char logged[64];
static int parks;

static enum comp_host_status host_log(struct comp_host_call *hc, const struct wit_value *args,
                                      struct wit_value *result)
{
    if (parks > 0) {
        parks--;
        hc->state = logged;
        return COMP_HOST_PENDING;
    }
    snprintf(logged, sizeof logged, "%.*s", STR_ARG(wit_get_str(&args[0])));
    *result = wit_u64(1);
    return COMP_HOST_DONE;
}

static bool bind_log(void *user, const struct comp_link_site *site, struct str import,
                     const struct wit_func *func, comp_host_fn **fn, void **func_user,
                     struct err *e)
{
    (void)site;
    (void)user, (void)site, (void)func_user;
    if (import.n || !str_eqz(func->name, "log"))
        return err_set(e, ERR_NOT_FOUND, "only log is here");
    *fn = host_log;
    return true;
}

static const struct comp_linker log_linker = {.bind = bind_log};

START_TEST(test_composition)
{
    struct guest g = guest_of(data_read("compose"), &log_linker, NULL);
    struct wit_value args[2] = {wit_u64(3), wit_u64(4)};
    ck_assert_done(&g, "run", args);
    ck_assert_uint_eq(comp_result(g.inst)->u64, 707);
    ck_assert_str_eq(logged, "char4");
    /* the destructor's count is state of the instance, which goes on; reset takes it back */
    ck_assert_done(&g, "run", args);
    ck_assert_uint_eq(comp_result(g.inst)->u64, 714);
    ck_assert(comp_inst_reset(g.inst, NULL));
    ck_assert_done(&g, "run", args);
    ck_assert_uint_eq(comp_result(g.inst)->u64, 707);
    guest_free(&g);
}
END_TEST

START_TEST(test_parked_in_composition)
{
    struct guest g = guest_of(data_read("compose"), &log_linker, NULL);
    struct wit_value args[2] = {wit_u64(1), wit_u64(2)};
    parks = 2;
    ck_assert_int_eq(guest_call(&g, "run", args), COMP_PARKED);
    struct err e = ERR_INIT;
    ck_assert(
        !comp_call(g.inst, comp_find(g.linked, STR(""), STR("run")), args, &e)); /* one at a time */
    ck_assert_int_eq(comp_run(g.inst), COMP_PARKED);
    ck_assert_int_eq(comp_run(g.inst), COMP_DONE);
    ck_assert_uint_eq(comp_result(g.inst)->u64, 303);
    guest_free(&g);
}
END_TEST

START_TEST(test_trap_ends_the_instance)
{
    struct err e = ERR_INIT;
    struct guest g = guest_of(data_read("compose"), &log_linker, NULL);
    ck_assert_trap(&g, "twice", NULL, "unknown handle index 1");
    ck_assert_int_eq(comp_trap_kind(g.inst), WASM_TRAP_HOST);
    ck_assert_ptr_nonnull(strstr(comp_trap_text(g.inst), " in twice (func"));
    ck_assert(!comp_call(g.inst, comp_find(g.linked, STR(""), STR("run")), NULL, &e));
    ck_assert_int_eq(e.code, ERR_TRAP);
    ck_assert(!comp_inst_reset(g.inst, NULL));
    guest_free(&g);
}
END_TEST

START_TEST(test_end_from_outside)
{
    struct guest g = guest_of(data_read("compose"), &log_linker, NULL);
    struct wit_value args[2] = {wit_u64(1), wit_u64(2)};
    parks = 1;
    ck_assert_int_eq(guest_call(&g, "run", args), COMP_PARKED);
    comp_end(g.inst, WASM_TRAP_DEADLINE);
    ck_assert_int_eq(comp_run(g.inst), COMP_TRAPPED);
    ck_assert_int_eq(comp_trap_kind(g.inst), WASM_TRAP_DEADLINE);
    parks = 0;
    guest_free(&g);
}
END_TEST

/* What a start function left in the tables of handles is not in the image of its memory. */
START_TEST(test_handles_made_at_start)
{
    struct err e = ERR_INIT;
    struct guest g = guest_of(data_read("started"), NULL, NULL);
    for (int round = 0; round < 3; round++) {
        ck_assert_done(&g, "use", NULL);
        ck_assert_uint_eq(comp_result(g.inst)->u64, 42);
        if (comp_inst_reset(g.inst, NULL))
            continue;
        comp_inst_free(g.inst);
        g.inst = comp_inst_new(g.linked, NULL, &e);
        ck_assert_msg(g.inst != NULL, "%s", e.text);
    }
    guest_free(&g);
}
END_TEST

/* Nor is a backpressure that a call left behind. */
START_TEST(test_backpressure_ends_with_the_call)
{
    struct wit_value n = wit_u64(21);
    struct guest g = guest_of(data_read("async"), NULL, NULL);
    ck_assert_done(&g, "press", &n);
    ck_assert(comp_inst_reset(g.inst, NULL));
    ck_assert_done(&g, "double", &n);
    guest_free(&g);
}
END_TEST

START_TEST(test_handle_limit)
{
    struct err e = ERR_INIT;
    struct comp_limits limits = {.handles_max = 10};
    struct guest g = {.comp = comp_load(data_read("compose"), &limits, &e)};
    g.linked = comp_link(g.comp, &log_linker, &e);
    g.inst = comp_inst_new(g.linked, NULL, &e);
    for (uint32_t i = 0; i < 10; i++) {
        ck_assert_done(&g, "leak", NULL);
        ck_assert_uint_eq(comp_result(g.inst)->u64, i + 1);
    }
    ck_assert_uint_eq(comp_inst_stats(g.inst).handles, 10);
    ck_assert_trap(&g, "leak", NULL, "limit is 10 handles");
    guest_free(&g);
}
END_TEST

START_TEST(test_handle_limit_is_of_all_instances_together)
{
    const struct handle h = {.own = true};
    struct err e = ERR_INIT;
    struct comp_limits limits = {.handles_max = 10};
    struct guest g = {.comp = comp_load(data_read("compose"), &limits, &e)};
    uint32_t index;
    g.linked = comp_link(g.comp, &log_linker, &e);
    g.inst = comp_inst_new(g.linked, NULL, &e);
    ck_assert_uint_gt(g.inst->plan->ninstances, 1);
    for (uint32_t i = 0; i < 10; i++)
        ck_assert(handle_add(g.inst, i % 2, h, &index));
    ck_assert(!handle_add(g.inst, 1, h, &index));
    handle_remove(g.inst, 0, 3);
    ck_assert(handle_add(g.inst, 0, h, &index));
    ck_assert_uint_eq(index, 3);
    for (uint32_t i = 1; i <= 5; i++)
        handle_remove(g.inst, 0, i);
    for (uint32_t i = 0; i < 5; i++)
        ck_assert(handle_add(g.inst, 1, h, &index)); /* beside the places that are free */
    handles_clear(g.inst);
    ck_assert_uint_eq(comp_inst_stats(g.inst).handles, 0);
    ck_assert(handle_add(g.inst, 1, h, &index));
    ck_assert_uint_eq(index, 1);
    guest_free(&g);
}
END_TEST

START_TEST(test_missing_import_is_named)
{
    struct err e = ERR_INIT;
    struct comp *c = comp_load(data_read("resources"), NULL, &e);
    ck_assert_ptr_null(comp_link(c, &log_linker, &e));
    ck_assert_ptr_nonnull(
        strstr(e.text, "import \"test:host/files@1.2.3\", function \"[constructor]dir\""));
    comp_unref(c);
}
END_TEST

/* ---- resources.wat ---- */

struct files {
    int dirs, files, order[16], norder; /* drops: 1 dir, 2 file */
};

static void dir_drop(void *user, void *obj)
{
    struct files *h = user;
    h->dirs--;
    h->order[h->norder++] = 1;
    free(obj);
}

static void file_drop(void *user, void *obj)
{
    struct files *h = user;
    h->files--;
    h->order[h->norder++] = 2;
    free(obj);
}

static const struct comp_class dir_class = {"dir", dir_drop}, file_class = {"file", file_drop};

static enum comp_host_status dir_new(struct comp_host_call *hc, const struct wit_value *args,
                                     struct wit_value *result)
{
    (void)args;
    ((struct files *)hc->user)->dirs++;
    result->obj = xalloc(1);
    return COMP_HOST_DONE;
}

static enum comp_host_status dir_open(struct comp_host_call *hc, const struct wit_value *args,
                                      struct wit_value *result)
{
    ((struct files *)hc->user)->files++;
    result->obj = xalloc(1);
    comp_host_child(hc, args[0].obj, result->obj);
    return COMP_HOST_DONE;
}

static enum comp_host_status file_size(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    (void)hc, (void)args;
    *result = wit_u64(1ull << 40);
    return COMP_HOST_DONE;
}

static enum comp_host_status file_close(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    (void)result;
    file_drop(hc->user, args[0].obj);
    return COMP_HOST_DONE;
}

static enum comp_host_status file_swap(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    (void)result;
    file_drop(hc->user, args[0].obj);
    file_drop(hc->user, args[1].obj);
    return COMP_HOST_DONE;
}

static const struct comp_host_func file_funcs[] = {
    {"[constructor]dir", dir_new},    {"[method]dir.open", dir_open},
    {"[method]file.size", file_size}, {"[static]file.close", file_close},
    {"[static]file.swap", file_swap},
};

/* A compatible, richer version of what the component imports. */
static const char files_text[] = "resource dir { constructor(); open: func() -> own<file>; }"
                                 "resource file { size: func() -> u64; close: static func(file: "
                                 "own<file>); swap: static func(a: own<file>, b: own<file>); "
                                 "rename: func(to: string); }";

static struct comp_host_iface files_iface;

static const struct comp_host_iface *find_files(void *user, struct str import)
{
    (void)user;
    return wit_name_compatible(import, STR("test:host/files@1.0.0")) ? &files_iface : NULL;
}

static const struct comp_class *find_files_class(void *user, struct str import, struct str resource)
{
    (void)user, (void)import;
    return str_eqz(resource, "dir") ? &dir_class : &file_class;
}

static const struct comp_linker files_linker = {.find = find_files, .find_class = find_files_class};
static struct arena types;

static void setup(void)
{
    struct err e = ERR_INIT;
    arena_init(&types, 1 << 20);
    files_iface = (struct comp_host_iface){
        wit_parse(&types, STR("test:host/files@1.5.0"), str_of(files_text), NULL, 0, &e),
        file_funcs, ARRAY_LEN(file_funcs)};
    ck_assert_msg(files_iface.types != NULL, "%s", e.text);
}

static void teardown(void)
{
    arena_fini(&types);
}

START_TEST(test_host_resources)
{
    struct files h = {0};
    struct guest g = guest_of(data_read("resources"), &files_linker, &h);
    ck_assert_done(&g, "good", NULL);
    ck_assert_uint_eq(comp_result(g.inst)->u64, 1ull << 40);
    ck_assert_int_eq(h.dirs + h.files, 0);
    guest_free(&g);
}
END_TEST

START_TEST(test_children_go_first)
{
    struct files h = {0};
    struct guest g = guest_of(data_read("resources"), &files_linker, &h);
    ck_assert_trap(&g, "child-first", NULL, "\"dir\" has children");
    ck_assert_int_eq(h.dirs, 1);
    guest_free(&g);
    ck_assert_int_eq(h.dirs + h.files, 0);
    h = (struct files){0};
    g = guest_of(data_read("resources"), &files_linker, &h);
    ck_assert_done(&g, "keep", NULL);
    ck_assert_int_eq(h.files, 1);
    guest_free(&g);
    ck_assert_int_eq(h.norder, 2);
    ck_assert_int_eq(h.order[0], 2);
    ck_assert_int_eq(h.order[1], 1);
}
END_TEST

START_TEST(test_wrong_handles)
{
    static const struct {
        const char *func, *text;
    } rows[] = {
        {"wrong-type", "different host-defined resource (it is a \"dir\", not a \"file\")"},
        {"gone", "unknown handle index 2"},
    };
    struct files h = {0};
    struct guest g = guest_of(data_read("resources"), &files_linker, &h);
    ck_assert_trap(&g, rows[_i].func, NULL, rows[_i].text);
    guest_free(&g);
    ck_assert_int_eq(h.dirs + h.files, 0);
}
END_TEST

/* It left the guest's table, and did not reach the host. */
START_TEST(test_an_object_beside_a_bad_handle_is_not_lost)
{
    static const char *const funcs[] = {"swap-with-nothing", "return-with-nothing"};
    struct files h = {0};
    struct guest g = guest_of(data_read("resources"), &files_linker, &h);
    ck_assert_trap(&g, funcs[_i], NULL, "unknown handle index 99");
    ck_assert_int_eq(h.files, 1);
    guest_free(&g);
    ck_assert_int_eq(h.files, 0);
    ck_assert_int_eq(h.order[0], 2); /* before the dir that it is of */
}
END_TEST

START_TEST(test_given_handles)
{
    struct files h = {.files = 1};
    struct wit_value own = {.obj = xalloc(1)};
    struct guest g = guest_of(data_read("resources"), &files_linker, &h);
    ck_assert_done(&g, "given", &own);
    ck_assert_int_eq(h.files, 0);
    /* a borrow can be used and dropped, but the object stays the host's */
    struct wit_value borrowed = {.obj = xalloc(1)};
    ck_assert_done(&g, "given-borrow", &borrowed);
    ck_assert_trap(&g, "given-kept", &borrowed, "borrow handles still remain");
    guest_free(&g);
    ck_assert_int_eq(h.norder, 1);
    free(borrowed.obj);
}
END_TEST

START_TEST(test_given_own_is_dropped_with_the_instance)
{
    struct files h = {.files = 1};
    struct wit_value own = {.obj = xalloc(1)};
    struct err e = ERR_INIT;
    struct guest g = guest_of(data_read("resources"), &files_linker, &h);
    ck_assert(comp_call(g.inst, comp_find(g.linked, STR(""), STR("given")), &own, &e));
    guest_free(&g); /* never ran */
    ck_assert_int_eq(h.files, 0);
}
END_TEST

/* ---- async functions (WASI 0.3), as far as they run ---- */

START_TEST(test_async_tasks_that_do_not_wait)
{
    static const struct {
        const char *func, *trap;
        uint64_t result;
    } rows[] = {
        {"double", NULL, 42},
        {"double", NULL, 42}, /* another task: another context */
        {"call", NULL, 2042}, /* 2: returned */
        {"press", NULL, 0},
        {"release", NULL, 0},
        {"double", NULL, 42},
        {"call-sync", "cannot block a synchronous task before returning", 0},
        {"twice", "called after the task has returned", 0},
        {"never", "failed to produce a result", 0},
        {"waits", "waiting of async tasks is not supported", 0},
        {"set", "async built-in `waitable-set.new` is not supported", 0},
    };
    struct wit_value n = wit_u64(21);
    struct guest g = guest_of(data_read("async"), NULL, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].trap) {
            guest_free(&g);
            g = guest_of(data_read("async"), NULL, NULL);
            ck_assert_trap(&g, rows[i].func, &n, rows[i].trap);
            continue;
        }
        ck_assert_done(&g, rows[i].func, &n);
        if (rows[i].result)
            ck_assert_uint_eq(comp_result(g.inst)->u64, rows[i].result);
    }
    guest_free(&g);
}
END_TEST

START_TEST(test_backpressure_would_wait)
{
    struct wit_value n = wit_u64(21);
    struct guest g = guest_of(data_read("async"), NULL, NULL);
    ck_assert_done(&g, "press", &n);
    ck_assert_trap(&g, "double", &n, "backpressure");
    guest_free(&g);
}
END_TEST

START_TEST(test_async_imports_are_refused_by_name)
{
    struct err e = ERR_INIT;
    /* (import "f" (func async)) (core func (canon lower (func 0))) */
    static const uint8_t bytes[] =
        "\0asm\x0d\0\1\0\7\5\1\x43\0\1\0\x0a\6\1\0\1f\1\0\x08\5\1\1\0\0\0";
    struct comp *c = comp_load((struct span){bytes, sizeof bytes - 1}, NULL, &e);
    ck_assert_msg(c != NULL, "%s", e.text);
    ck_assert_ptr_null(comp_link(c, NULL, &e));
    ck_assert_msg(e.code == ERR_UNSUPPORTED && strstr(e.text, "\"f\": async functions (WASI 0.3)"),
                  "%s", e.text);
    comp_unref(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("call");
    TCase *t = tcase_create("composition");
    tcase_add_test(t, test_composition);
    tcase_add_test(t, test_parked_in_composition);
    tcase_add_test(t, test_trap_ends_the_instance);
    tcase_add_test(t, test_end_from_outside);
    tcase_add_test(t, test_handles_made_at_start);
    tcase_add_test(t, test_backpressure_ends_with_the_call);
    tcase_add_test(t, test_handle_limit);
    tcase_add_test(t, test_handle_limit_is_of_all_instances_together);
    tcase_add_test(t, test_missing_import_is_named);
    suite_add_tcase(s, t);
    t = tcase_create("host resources");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_host_resources);
    tcase_add_test(t, test_children_go_first);
    tcase_add_loop_test(t, test_wrong_handles, 0, 2);
    tcase_add_loop_test(t, test_an_object_beside_a_bad_handle_is_not_lost, 0, 2);
    tcase_add_test(t, test_given_handles);
    tcase_add_test(t, test_given_own_is_dropped_with_the_instance);
    suite_add_tcase(s, t);
    t = tcase_create("async");
    tcase_add_test(t, test_async_tasks_that_do_not_wait);
    tcase_add_test(t, test_backpressure_would_wait);
    tcase_add_test(t, test_async_imports_are_refused_by_name);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    wasm_init();
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}
