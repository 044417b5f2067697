/* SPDX-License-Identifier: Apache-2.0 */
/* Fuel is counted in what the module says, so these numbers are the same whatever runs them: guard
 * pages or checks, every compiler, both ways of dispatch, every technique of the translator, and
 * in how many slices. One unit for each call (the host's too), throw and taken branch to a loop;
 * bytes / 64 for bulk operations, 8 bytes for an element of a table. */
#include <stdlib.h>
#include "lattice/base/num.h"
#include "tests/wasm/guest.h"

#define GET 0x20, 0
#define SET 0x21, 0
#define TEE 0x22, 0
#define CONST(...) 0x41, __VA_ARGS__
#define ADD 0x6a
#define LT_U 0x49
#define BLOCK 0x02, 0x40
#define LOOP 0x03, 0x40
#define IF 0x04, 0x40
#define BR(depth) 0x0c, (depth)
#define BR_IF(depth) 0x0d, (depth)
#define COUNT_TO(n) GET, CONST(1), ADD, TEE, CONST(n), LT_U
#define TRY_ALL(label) 0x1f, 0x40, 1, 2, (label)
#define THROW 0x08, 0
#define K65600 0xc0, 0x80, 4

/* Function 0 is a host function, 1 is `e` with the body and two locals, 2 does nothing. Memory has 4
 * pages; table 0 has 200 elements, the first two are functions 2 and 0. */
#define CASE(name, fuel, ...)                                                                 \
    {                                                                                         \
        name, fuel,                                                                           \
            MODULE(TYPES(1, 0x60, 0, 0), IMPORTS(1, 0, 1, 'h', 0, 0), FUNCS(2, 0, 0),         \
                   TABLES(1, FUNCREF, 0, 0xc8, 1), MEMORIES(1, 0, 4), SECTION(13, 1, 0, 0),   \
                   EXPORTS(1, 1, 'e', 0, 1),                                                  \
                   ELEMS(2, 0, CONST(0), END, 2, 2, 0, 1, 0, 9, 2, 2, 2, 2, 2, 2, 2, 2, 2),   \
                   DATA_COUNT(1), CODE(2, SIZED(1, 2, I32, __VA_ARGS__, END), SIZED(0, END)), \
                   DATAS(1, 1, 70, DATA70))                                                   \
    }
#define DATA10 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
#define DATA70 DATA10, DATA10, DATA10, DATA10, DATA10, DATA10, DATA10

static const struct {
    const char *name;
    uint64_t fuel;
    struct span bytes;
} cases[] = {
    CASE("the call", 1, 0x01),
    CASE("a branch forward", 1, BLOCK, BR(0), END, BLOCK, GET, 0x45, BR_IF(0), END),
    CASE("a loop that is not repeated", 1, LOOP, END),
    CASE("nine branches back, when a comparison holds", 10, LOOP, COUNT_TO(10), BR_IF(0), END),
    CASE("nine, inside an if", 10, LOOP, COUNT_TO(10), IF, BR(1), END, END),
    CASE("nine, behind an exit", 10, BLOCK, LOOP, COUNT_TO(10), 0x45, BR_IF(1), BR(0), END, END),
    CASE("nine, by a table", 10, BLOCK, LOOP, COUNT_TO(10), 0x0e, 1, 1, 0, END, END),
    CASE("a loop in a loop", 1 + 2 + 3 * 4, LOOP, CONST(0), SET, LOOP, COUNT_TO(5), BR_IF(0), END,
         0x20, 1, CONST(1), ADD, 0x22, 1, CONST(3), LT_U, BR_IF(0), END),
    CASE("calls", 1 + 3, 0x10, 2, 0x10, 2, 0x10, 0),
    CASE("calls by index and by reference", 1 + 3, CONST(0), 0x11, 0, 0, CONST(1), 0x11, 0, 0, 0xd2,
         2, 0x14, 0),
    CASE("a tail call", 2, 0x12, 2),
    CASE("a tail call of the host", 2, 0x12, 0),
    CASE("a throw", 2, BLOCK, TRY_ALL(0), THROW, END, END),
    CASE("nine throws into a loop", 10, LOOP, TRY_ALL(0), COUNT_TO(10), IF, THROW, END, END, END),
    CASE("filling 63 bytes", 1, CONST(0), CONST(1), CONST(63), 0xfc, 11, 0),
    CASE("filling 1,000 bytes", 1 + 15, CONST(0), CONST(1), CONST(0xe8, 7), 0xfc, 11, 0),
    CASE("filling 65,600 bytes", 1 + 1025, CONST(0), CONST(1), CONST(K65600), 0xfc, 11, 0),
    CASE("copying 65,600 bytes up", 1 + 1025, CONST(1), CONST(0), CONST(K65600), 0xfc, 10, 0, 0),
    CASE("copying 65,600 bytes down", 1 + 1025, CONST(0), CONST(1), CONST(K65600), 0xfc, 10, 0, 0),
    CASE("70 bytes of a segment", 1 + 1, CONST(0), CONST(0), CONST(0xc6, 0), 0xfc, 8, 0, 0),
    CASE("growing memory", 1, CONST(1), 0x40, 0, 0x1a),
    CASE("filling 7 elements", 1, CONST(0), 0xd0, FUNCREF, CONST(7), 0xfc, 17, 0),
    CASE("filling 100 elements", 1 + 12, CONST(0), 0xd0, FUNCREF, CONST(0xe4, 0), 0xfc, 17, 0),
    CASE("copying 100 elements", 1 + 12, CONST(0), CONST(50), CONST(0xe4, 0), 0xfc, 14, 0, 0),
    CASE("9 elements of a segment", 1 + 1, CONST(0), CONST(0), CONST(9), 0xfc, 12, 1, 0),
    CASE("growing a table by 10,000", 1 + 1250, 0xd0, FUNCREF, CONST(0x90, 0xce, 0), 0xfc, 15, 0,
         0x1a),
};

static enum wasm_host_status nothing(void *user, struct wasm_vm *vm, wasm_slot *slots)
{
    (void)user;
    (void)vm;
    (void)slots;
    return WASM_HOST_OK;
}

static void runs_for(const char *name, struct span bytes, uint64_t fuel, uint64_t slice)
{
    struct err e = ERR_INIT;
    struct wasm_func *h = wasm_func_host(&(struct wasm_functype){0}, nothing, NULL);
    struct guest g =
        guest_open(bytes, (const struct wasm_extern[]){{.kind = WASM_FUNC, .func = h}});
    wasm_vm_fuel(g.vm, slice, UINT64_MAX);
    ck_assert(wasm_enter(g.vm, guest_export(&g, "e").func, NULL, &e));
    enum wasm_outcome outcome;
    while ((outcome = wasm_run(g.vm)) == WASM_PAUSED)
        ;
    ck_assert_msg(outcome == WASM_RETURNED, "%s: %s", name, wasm_trap_text(wasm_vm_trap(g.vm)));
    ck_assert_msg(wasm_vm_fuel_used(g.vm) == fuel, "%s: %llu units, wanted %llu", name,
                  (unsigned long long)wasm_vm_fuel_used(g.vm), (unsigned long long)fuel);
    guest_close(&g);
    wasm_func_host_free(h);
}

static void check_case(int i)
{
    for (int kind = 0; kind < 2; kind++) {
        use_exec(kind);
        runs_for(cases[i].name, cases[i].bytes, cases[i].fuel, UINT64_MAX);
        runs_for(cases[i].name, cases[i].bytes, cases[i].fuel, 1);
    }
}

START_TEST(golden)
{
    check_case(_i);
}
END_TEST

#define X(name) #name ","
static const char all_techniques[] = TECHNIQUES(X);
#undef X

START_TEST(golden_without_any_technique)
{
    ck_assert(translate_without(all_techniques));
    check_case(_i);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wasm fuel");
    TCase *t = tcase_create("fuel");
    tcase_add_loop_test(t, golden, 0, ARRAY_LEN(cases));
    tcase_add_loop_test(t, golden_without_any_technique, 0, ARRAY_LEN(cases));
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}
