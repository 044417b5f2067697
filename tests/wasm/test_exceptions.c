/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions: who catches, across calls, instances and the host; what references keep alive, and
 * that neither throwing nor keeping grows without bound. Runs with guard pages and with checked
 * accesses. */
#include <stdlib.h>
#include "lattice/base/num.h"
#include "tests/wasm/guest.h"

#define GET(x) 0x20, (x)
#define SET(x) 0x21, (x)
#define GLOBAL_GET(x) 0x23, (x)
#define GLOBAL_SET(x) 0x24, (x)
#define CONST(x) 0x41, (x)
#define ADD 0x6a
#define SUB 0x6b
#define BLOCK(type) 0x02, (type)
#define LOOP(type) 0x03, (type)
#define IF(type) 0x04, (type)
#define BR(depth) 0x0c, (depth)
#define BR_IF(depth) 0x0d, (depth)
#define RETURN 0x0f
#define CALL(f) 0x10, (f)
#define DROP 0x1a
#define EMPTY 0x40
#define EXNREF 0x69
#define THROW(tag) 0x08, (tag)
#define THROW_REF 0x0a
#define TRY(type, nclauses) 0x1f, (type), (nclauses)
#define CATCH(tag, label) 0, (tag), (label)
#define CATCH_R(tag, label) 1, (tag), (label)
#define CATCH_ALL(label) 2, (label)
#define CATCH_ALL_R(label) 3, (label)
#define TAGS(...) SECTION(13, __VA_ARGS__)

/* Types: 0: i32 -> i32; 1: i32 i32 -> (tag 0); 2: -> i32 i32; 3: -> (tag 1). Function 0 throws
 * tag 0 with (its parameter, 7) unless that is 0, tag 1 when it is 1; 1 calls it. */
#define THROWERS                                                                          \
    SIZED(0, GET(0), CONST(1), 0x46, IF(EMPTY), THROW(1), END, GET(0), IF(EMPTY), GET(0), \
          CONST(7), THROW(0), END, CONST(5), END),                                        \
        SIZED(1, 1, I32, CONST(9), GET(0), CALL(0), ADD, END)
#define THROWER_TYPES \
    TYPES(4, 0x60, 1, I32, 1, I32, 0x60, 2, I32, I32, 0, 0x60, 0, 2, I32, I32, 0x60, 0, 0)

START_TEST(caught_by_tag_with_the_payload)
{
    use_exec(_i);
    /* c(x): 50 + thrower's result, or 50 + the payload's difference, or 2 for the other tag */
    const struct span bytes =
        MODULE(THROWER_TYPES, FUNCS(3, 0, 0, 0), TAGS(2, 0, 1, 0, 3), EXPORTS(1, 1, 'c', 0, 2),
               CODE(3, THROWERS,
                    SIZED(0, BLOCK(EMPTY), CONST(50), BLOCK(2), TRY(EMPTY, 2), CATCH(0, 0),
                          CATCH(1, 1), CONST(50), GET(0), CALL(1), ADD, RETURN, END, 0, END, SUB,
                          ADD, RETURN, END, CONST(2), END)));
    struct guest g = guest_open(bytes, NULL);
    ck_assert_uint_eq(guest_call(&g, "c", ARGS(0)), 50 + 9 + 5);
    ck_assert_uint_eq(guest_call(&g, "c", ARGS(1)), 2);
    ck_assert_uint_eq(guest_call(&g, "c", ARGS(20)), 50 + 20 - 7);
    ck_assert_uint_eq(guest_call(&g, "c", ARGS(30)), 50 + 30 - 7);
    guest_close(&g);
}
END_TEST

START_TEST(caught_into_a_loop_and_into_a_return)
{
    use_exec(_i);
    /* l(n): throws n times into a loop, which counts; r(x): what is caught is the result */
    const struct span bytes =
        MODULE(TYPES(3, 0x60, 1, I32, 1, I32, 0x60, 1, I32, 0, 0x60, 0, 0), FUNCS(2, 0, 0),
               TAGS(1, 0, 1), EXPORTS(2, 1, 'l', 0, 0, 1, 'r', 0, 1),
               CODE(2,
                    SIZED(1, 1, I32, CONST(0), LOOP(1), SET(1), GET(1), GET(0), 0x46, IF(EMPTY),
                          GET(1), RETURN, END, TRY(EMPTY, 1), CATCH(0, 0), GET(1), CONST(1), ADD,
                          THROW(0), END, 0, END, 0, END),
                    SIZED(0, CONST(3), TRY(EMPTY, 1), CATCH(0, 0), GET(0), THROW(0), END, END)));
    struct guest g = guest_open(bytes, NULL);
    ck_assert_uint_eq(guest_call(&g, "l", ARGS(1000)), 1000);
    ck_assert_uint_eq(wasm_vm_fuel_used(g.vm), 1 + 1000); /* the call, and the throws */
    ck_assert_uint_eq(guest_call(&g, "r", ARGS(77)), 77);
    guest_close(&g);
}
END_TEST

START_TEST(rethrown_by_reference)
{
    use_exec(_i);
    /* c(x): catches everything by reference, throws that again through a call, catches tag 0 */
    const struct span bytes =
        MODULE(TYPES(5, 0x60, 1, I32, 1, I32, 0x60, 2, I32, I32, 0, 0x60, 0, 2, I32, I32, 0x60, 0,
                     0, 0x60, 1, EXNREF, 0),
               FUNCS(4, 0, 0, 4, 0), TAGS(2, 0, 1, 0, 3), EXPORTS(1, 1, 'c', 0, 3),
               CODE(4, THROWERS, SIZED(0, GET(0), THROW_REF, END),
                    SIZED(0, BLOCK(2), TRY(EMPTY, 1), CATCH(0, 0), BLOCK(EXNREF), TRY(EMPTY, 1),
                          CATCH_ALL_R(0), GET(0), CALL(1), RETURN, END, 0, END, CALL(2), END, 0,
                          END, SUB, END)));
    struct guest g = guest_open(bytes, NULL);
    ck_assert_uint_eq(guest_call(&g, "c", ARGS(0)), 14);
    ck_assert_uint_eq(guest_call(&g, "c", ARGS(40)), 33);
    ck_assert_int_eq(guest_trap(&g, "c", ARGS(1)), WASM_TRAP_EXCEPTION); /* the other tag */
    guest_close(&g);
}
END_TEST

static bool says(const struct buf *text, const char *what)
{
    return memmem(text->p, text->n, what, strlen(what)) != NULL;
}

START_TEST(uncaught_is_a_trap_that_names_the_tag)
{
    use_exec(_i);
    const struct span bytes =
        MODULE(THROWER_TYPES, FUNCS(2, 0, 0), TAGS(2, 0, 1, 0, 3),
               EXPORTS(2, 1, 'f', 0, 1, 4, 'o', 'o', 'p', 's', 4, 1), CODE(2, THROWERS));
    struct guest g = guest_open(bytes, NULL);
    struct buf text = BUF_INIT;
    guest_enter(&g, "f", ARGS(1));
    ck_assert_int_eq(wasm_run(g.vm), WASM_TRAPPED);
    ck_assert_int_eq(wasm_vm_trap(g.vm), WASM_TRAP_EXCEPTION);
    wasm_vm_trap_report(g.vm, &text);
    ck_assert(says(&text, "uncaught exception: tag 1 oops at 0x"));
    ck_assert(says(&text, "in function (func 0), called from at 0x"));
    buf_fini(&text);
    wasm_vm_reset(g.vm);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(0)), 14);
    guest_close(&g);
}
END_TEST

START_TEST(null_and_traps_are_not_caught)
{
    use_exec(_i);
    const struct span bytes =
        MODULE(TYPES(1, 0x60, 0, 0), FUNCS(2, 0, 0), EXPORTS(2, 1, 'n', 0, 0, 1, 'u', 0, 1),
               CODE(2, SIZED(0, TRY(EMPTY, 1), CATCH_ALL(0), 0xd0, EXNREF, THROW_REF, END, END),
                    SIZED(0, TRY(EMPTY, 1), CATCH_ALL(0), 0, END, END)));
    struct guest g = guest_open(bytes, NULL);
    ck_assert_int_eq(guest_trap(&g, "n", NULL), WASM_TRAP_NULL_REF);
    ck_assert_int_eq(guest_trap(&g, "u", NULL), WASM_TRAP_UNREACHABLE);
    guest_close(&g);
}
END_TEST

/* ---- instances and the host ---- */

START_TEST(tags_are_what_instances_share)
{
    use_exec(_i);
    const struct span throws =
        MODULE(THROWER_TYPES, FUNCS(2, 0, 0), TAGS(2, 0, 1, 0, 1),
               EXPORTS(3, 1, 'f', 0, 1, 1, 's', 4, 0, 1, 't', 4, 1),
               CODE(2, SIZED(0, GET(0), CONST(7), THROW(0), END), SIZED(0, GET(0), CALL(0), END)));
    /* imports the function and a tag, has another of the same type */
    const struct span catches =
        MODULE(THROWER_TYPES, IMPORTS(2, 0, 1, 'f', 0, 0, 0, 1, 's', 4, 0, 1), FUNCS(1, 0),
               TAGS(1, 0, 1), EXPORTS(1, 1, 'c', 0, 1),
               CODE(1, SIZED(0, BLOCK(2), BLOCK(2), TRY(EMPTY, 2), CATCH(1, 0), CATCH(0, 1), GET(0),
                             CALL(0), RETURN, END, 0, END, 0, END, ADD, END)));
    struct guest from = guest_open(throws, NULL);
    struct wasm_extern f = guest_export(&from, "f");
    struct guest g = guest_open(catches, (const struct wasm_extern[]){f, guest_export(&from, "s")});
    ck_assert_uint_eq(guest_call(&g, "c", ARGS(35)), 42);
    guest_close(&g);
    g = guest_open(catches, (const struct wasm_extern[]){f, guest_export(&from, "t")});
    ck_assert_int_eq(guest_trap(&g, "c", ARGS(35)), WASM_TRAP_EXCEPTION);
    guest_close(&g);
    guest_close(&from);
}
END_TEST

START_TEST(an_exception_ends_at_the_host)
{
    use_exec(_i);
    /* o(): calls the host inside a try; the host calls i, which throws */
    const struct span bytes = MODULE(
        TYPES(1, 0x60, 0, 0), IMPORTS(1, 0, 1, 'h', 0, 0), FUNCS(2, 0, 0), TAGS(1, 0, 0),
        EXPORTS(2, 1, 'o', 0, 1, 1, 'i', 0, 2),
        CODE(2, SIZED(0, TRY(EMPTY, 1), CATCH_ALL(0), CALL(0), END, END), SIZED(0, THROW(0), END)));
    struct wasm_func *h = wasm_func_host(&(struct wasm_functype){0}, NULL, NULL);
    struct guest g =
        guest_open(bytes, (const struct wasm_extern[]){{.kind = WASM_FUNC, .func = h}});
    guest_enter(&g, "o", NULL);
    ck_assert_int_eq(wasm_run(g.vm), WASM_HOST_CALL);
    guest_enter(&g, "i", NULL);
    ck_assert_int_eq(wasm_run(g.vm), WASM_TRAPPED);
    ck_assert_int_eq(wasm_vm_trap(g.vm), WASM_TRAP_EXCEPTION);
    guest_close(&g);
    wasm_func_host_free(h);
}
END_TEST

/* ---- references ---- */

/* Tag 0 carries i32 and exnref, global 0 and table 0 (of 4) hold exnrefs.
 * d(n): catches n exceptions by reference and drops them
 * k(n): n times: what global 0 holds becomes part of a new exception, which global 0 holds then
 * t(i): table[i] = global 0;  x(i): throws table[i], returns what it carries
 * n(): global 0 = null */
static const struct span keeper = MODULE(
    TYPES(4, 0x60, 1, I32, 1, I32, 0x60, 2, I32, EXNREF, 0, 0x60, 0, 2, I32, EXNREF, 0x60, 0, 0),
    FUNCS(5, 0, 0, 0, 0, 3), TABLES(1, EXNREF, 0, 4), TAGS(1, 0, 1),
    GLOBALS(1, EXNREF, 1, 0xd0, EXNREF, END),
    EXPORTS(5, 1, 'd', 0, 0, 1, 'k', 0, 1, 1, 't', 0, 2, 1, 'x', 0, 3, 1, 'n', 0, 4),
    CODE(5,
         SIZED(0, LOOP(EMPTY), BLOCK(EXNREF), TRY(EMPTY, 1), CATCH_ALL_R(0), GET(0), 0xd0, EXNREF,
               THROW(0), END, 0, END, DROP, GET(0), CONST(1), SUB, 0x22, 0, BR_IF(0), END, CONST(0),
               END),
         SIZED(0, LOOP(EMPTY), BLOCK(EXNREF), TRY(EMPTY, 1), CATCH_ALL_R(0), GET(0), GLOBAL_GET(0),
               THROW(0), END, 0, END, GLOBAL_SET(0), GET(0), CONST(1), SUB, 0x22, 0, BR_IF(0), END,
               CONST(0), END),
         SIZED(0, GET(0), GLOBAL_GET(0), 0x26, 0, CONST(0), END),
         SIZED(0, BLOCK(2), TRY(EMPTY, 1), CATCH(0, 0), GET(0), 0x25, 0, THROW_REF, END, 0, END,
               DROP, END),
         SIZED(0, 0xd0, EXNREF, GLOBAL_SET(0), END)));

START_TEST(dropped_references_are_freed)
{
    use_exec(_i);
    struct guest g = guest_open(keeper, NULL);
    ck_assert_uint_eq(guest_call(&g, "d", ARGS(200000)), 0);
    ck_assert_uint_le(g.vm->exns.bytes, 64u << 10);
    wasm_vm_reset(g.vm);
    ck_assert_uint_eq(g.vm->exns.bytes, 0);
    guest_close(&g);
}
END_TEST

START_TEST(kept_references_stay_and_are_bounded)
{
    use_exec(_i);
    struct guest g = guest_open(keeper, NULL);
    guest_call(&g, "k", ARGS(3)); /* 1, which holds 2, which holds 3 */
    guest_call(&g, "t", ARGS(2));
    guest_call(&g, "k", ARGS(1000));
    guest_call(&g, "d", ARGS(5000));
    wasm_vm_reset(g.vm);
    ck_assert_uint_eq(guest_call(&g, "x", ARGS(2)), 1);
    guest_enter(&g, "k", ARGS(1000000));
    ck_assert_int_eq(wasm_run(g.vm), WASM_TRAPPED);
    ck_assert_int_eq(wasm_vm_trap(g.vm), WASM_TRAP_HOST);
    wasm_vm_reset(g.vm);
    ck_assert_uint_le(g.vm->exns.bytes, 1u << 20);
    ck_assert_uint_eq(guest_call(&g, "x", ARGS(2)), 1);
    guest_call(&g, "n", NULL);
    guest_call(&g, "d", ARGS(5000)); /* there is room again */
    ck_assert_uint_eq(guest_call(&g, "x", ARGS(2)), 1);
    ck_assert_int_eq(guest_trap(&g, "x", ARGS(1)), WASM_TRAP_NULL_REF);
    guest_close(&g);
}
END_TEST

START_TEST(held_exceptions_survive_their_vm)
{
    use_exec(_i);
    struct err e = ERR_INIT;
    struct guest g = guest_open(keeper, NULL);
    guest_call(&g, "k", ARGS(3));
    guest_call(&g, "t", ARGS(0));
    wasm_vm_free(g.vm);
    g.vm = wasm_vm_new(NULL, &e);
    ck_assert_ptr_nonnull(g.vm);
    ck_assert_uint_eq(guest_call(&g, "x", ARGS(0)), 1);
    guest_call(&g, "n", NULL);
    guest_call(&g, "t", ARGS(0)); /* the last holder lets go */
    guest_call(&g, "d", ARGS(2000));
    guest_close(&g);
}
END_TEST

START_TEST(rewinding_puts_references_back)
{
    use_exec(_i);
    struct err e = ERR_INIT;
    struct guest g = guest_open(keeper, NULL);
    guest_call(&g, "k", ARGS(5));
    guest_call(&g, "t", ARGS(1));
    ck_assert(wasm_inst_mark(g.inst, NULL, &e));
    for (int round = 0; round < 3; round++) {
        guest_call(&g, "n", NULL);
        guest_call(&g, "t", ARGS(1));
        guest_call(&g, "k", ARGS(50));
        guest_call(&g, "t", ARGS(3));
        wasm_vm_reset(g.vm);
        ck_assert(wasm_inst_rewind(g.inst, &e));
        guest_call(&g, "d", ARGS(2000));
        ck_assert_uint_eq(guest_call(&g, "x", ARGS(1)), 1);
        ck_assert_int_eq(guest_trap(&g, "x", ARGS(3)), WASM_TRAP_NULL_REF);
    }
    guest_close(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wasm/exceptions");
    TCase *t = tcase_create("throwing");
    tcase_add_loop_test(t, caught_by_tag_with_the_payload, 0, 2);
    tcase_add_loop_test(t, caught_into_a_loop_and_into_a_return, 0, 2);
    tcase_add_loop_test(t, rethrown_by_reference, 0, 2);
    tcase_add_loop_test(t, uncaught_is_a_trap_that_names_the_tag, 0, 2);
    tcase_add_loop_test(t, null_and_traps_are_not_caught, 0, 2);
    tcase_add_loop_test(t, tags_are_what_instances_share, 0, 2);
    tcase_add_loop_test(t, an_exception_ends_at_the_host, 0, 2);
    tcase_add_loop_test(t, dropped_references_are_freed, 0, 2);
    tcase_add_loop_test(t, kept_references_stay_and_are_bounded, 0, 2);
    tcase_add_loop_test(t, held_exceptions_survive_their_vm, 0, 2);
    tcase_add_loop_test(t, rewinding_puts_references_back, 0, 2);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
