/* SPDX-License-Identifier: Apache-2.0 */
/* Cells that do the work of several: each shape is made from the bytecode it is for, computes the same as the cells it
 * replaces, and uses the same fuel, also when it runs out of fuel in the middle of every loop. Every test runs with
 * guard pages and with checked accesses. */
#include <stdio.h>
#include "hostd/wasm/ops.h"
#include "lattice/base/num.h"
#include "tests/wasm/guest.h"

#define GET(x) 0x20, (x)
#define SET(x) 0x21, (x)
#define TEE(x) 0x22, (x)
#define CONST(x) 0x41, (x)
#define ADD 0x6a
#define SUB 0x6b
#define MUL 0x6c
#define AND 0x71
#define XOR 0x73
#define SHL 0x74
#define BLOCK 0x02, 0x40
#define LOOP 0x03, 0x40
#define BR(x) 0x0c, (x)
#define BR_IF(x) 0x0d, (x)
#define RETURN 0x0f
#define LOAD(offset) 0x28, 2, (offset)
#define LOAD8_U(offset) 0x2d, 0, (offset)
#define STORE(offset) 0x36, 2, (offset)
#define STORE8(offset) 0x3a, 0, (offset)

/* f(x, y) with two locals of i32 more and a memory. */
#define FUNCTION(...)                                                           \
    MODULE(TYPES(1, 0x60, 2, I32, I32, 1, I32), FUNCS(1, 0), MEMORIES(1, 0, 1), \
           EXPORTS(1, 1, 'f', 0, 0), CODE(1, SIZED(1, 2, I32, __VA_ARGS__, END)))

/* What lies in memory before each run: nodes of a list at 16, 32 and 48, a text, a table. */
enum { TEXT = 100, TABLE = 128 };
#define TABLE_LEB 0x80, 1
static void fill(struct guest *g)
{
    uint8_t *base = g->inst->memory->base;
    memset(base, 0, 512);
    const uint32_t words[][2] = {{16, 32}, {20, 7},  {32, 48},        {36, 0x40000001},
                                 {48, 0},  {52, 70}, {TABLE + 4, 11}, {TABLE + 12, 33}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        memcpy(base + words[i][0], &words[i][1], sizeof words[i][1]);
    memcpy(base + TEXT, "\3bcd", 5);
}

static const struct shape {
    const char *name;
    enum handler handler; /* H_COUNT: any */
    struct span module;
    wasm_slot calls[3][3]; /* x, y, result */
} shapes[] = {
    {"a list's length",
     H_IF_I32_LOAD_NE_S_d_BACK,
     FUNCTION(LOOP, GET(2), CONST(1), ADD, SET(2), GET(0), LOAD(0), TEE(0), BR_IF(0), END, GET(2)),
     {{16, 0, 3}, {32, 0, 2}, {48, 0, 1}}},
    {"the same of a pinned local",
     H_IF_I32_LOAD_NE_L_p_BACK,
     FUNCTION(LOOP, GET(0), LOAD(4), GET(2), ADD, SET(2), GET(0), LOAD(0), TEE(0), BR_IF(0), END,
              GET(2)),
     {{16, 0, 7 + 0x40000001 + 70}, {32, 0, 0x40000001 + 70}, {48, 0, 70}}},
    {"a byte that is compared",
     H_IF_I32_LOAD8_U_EQ_S,
     FUNCTION(BLOCK, GET(0), LOAD8_U(0), CONST(3), 0x46, BR_IF(0), CONST(1), RETURN, END, CONST(2)),
     {{TEXT, 0, 2}, {TEXT + 1, 0, 1}, {16, 0, 1}}},
    {"a byte that is not",
     H_IF_I32_LOAD8_U_EQ_S_d,
     FUNCTION(BLOCK, GET(0), LOAD8_U(0), TEE(2), 0x45, BR_IF(0), GET(2), RETURN, END, CONST(2)),
     {{TEXT, 0, 3}, {TEXT + 1, 0, 'b'}, {TEXT + 4, 0, 2}}},
    {"a masked sum that is compared",
     H_IF_MASKED_I32_GT_U_S_d,
     FUNCTION(BLOCK, GET(0), CONST(3), ADD, CONST(15), AND, TEE(2), CONST(9), 0x4b, BR_IF(0),
              GET(2), RETURN, END, GET(2), CONST(32), ADD),
     {{6, 0, 9}, {7, 0, 42}, {UINT32_MAX, 0, 2}}},
    {"a mask in a loop",
     H_IF_MASKED_I32_NE_A_BACK,
     FUNCTION(LOOP, GET(2), GET(1), ADD, SET(2), GET(0), GET(1), SUB, SET(0), GET(0), CONST(15),
              AND, CONST(1), 0x47, BR_IF(0), END, GET(2)),
     {{5, 1, 4}, {9, 2, 8}, {16, 3, 15}}},
    {"through a pointer",
     H_LOADED_I32_LOAD8_U_S,
     FUNCTION(GET(0), LOAD(0), LOAD8_U(4)),
     {{16, 0, 1}, {32, 0, 70}, {48, 0, 0}}},
    {"a counter in memory",
     H_BUMP_S,
     FUNCTION(GET(0), GET(0), LOAD(4), CONST(1), ADD, STORE(4), GET(0), LOAD(4)),
     {{16, 0, 8}, {32, 0, 0x40000002}, {48, 0, 71}}},
    {"a counter in memory that is looked at",
     H_BUMP_S_d,
     FUNCTION(GET(0), GET(0), LOAD(4), CONST(0x7f), ADD, TEE(2), STORE(4), GET(0), LOAD(4), GET(2),
              ADD),
     {{16, 0, 12}, {32, 0, 0x80000000}, {48, 0, 138}}},
    {"another counter",
     H_COUNT,
     FUNCTION(GET(1), GET(0), LOAD(4), CONST(1), ADD, STORE(4), GET(1), LOAD(4)),
     {{16, 32, 8}, {32, 16, 0x40000002}, {48, 48, 71}}},
    {"a copied text",
     H_I32_STORE8_IF_LA_BACK,
     FUNCTION(LOOP, GET(0), CONST(1), ADD, SET(0), GET(1), CONST(1), ADD, SET(1), GET(1), GET(0),
              LOAD8_U(0), TEE(2), STORE8(0), GET(2), BR_IF(0), END, GET(1), GET(1), LOAD8_U(0), ADD,
              CONST(1), SUB, LOAD8_U(0)),
     {{TEXT, 200, 'd'}, {TEXT + 1, 300, 'd'}, {TEXT + 2, 300, 'd'}}},
    {"a constant and a branch",
     H_CONST_BR,
     FUNCTION(BLOCK, BLOCK, GET(0), BR_IF(0), CONST(5), SET(2), BR(1), END, GET(1), CONST(9), ADD,
              SET(2), BR(0), END, GET(2)),
     {{0, 7, 5}, {1, 7, 16}, {1, UINT32_MAX, 8}}},
    {"a sum and a branch back",
     H_ADD_BR_BACK,
     FUNCTION(BLOCK, LOOP, GET(0), 0x45, BR_IF(1), GET(0), CONST(1), SUB, SET(0), GET(2), CONST(3),
              ADD, SET(2), BR(0), END, END, GET(2)),
     {{0, 0, 0}, {1, 0, 3}, {100, 0, 300}}},
    {"a table that begins at 43",
     H_BR_TABLE_S,
     FUNCTION(BLOCK, BLOCK, GET(0), CONST(0x55), ADD, 0x0e, 1, 0, 1, END, CONST(1), RETURN, END,
              CONST(2)),
     {{43, 0, 1}, {42, 0, 2}, {44, 0, 2}}},
    {"a loop that counts two things",
     H_INCREMENTS_I32_NE_SS,
     FUNCTION(LOOP, GET(2), CONST(4), ADD, SET(2), GET(3), CONST(1), ADD, TEE(3), GET(0), 0x47,
              BR_IF(0), END, GET(2), GET(3), ADD),
     {{5, 0, 25}, {1, 0, 5}, {100, 0, 500}}},
    {"a loop that compares them",
     H_INCREMENT_I32_LT_S_SL,
     FUNCTION(GET(0), SET(2), LOOP, GET(2), CONST(1), ADD, SET(2), GET(3), CONST(2), ADD, TEE(3),
              GET(2), 0x48, BR_IF(0), END, GET(2), GET(3), ADD),
     {{10, 0, 40}, {1, 0, 4}, {100, 0, 400}}},
    {"a loop that counts down and up",
     H_INCREMENTS_I32_NE_SK,
     FUNCTION(LOOP, GET(2), CONST(4), ADD, SET(2), GET(0), CONST(1), SUB, TEE(0), BR_IF(0), END,
              GET(2)),
     {{5, 0, 20}, {1, 0, 4}, {100, 0, 400}}},
    {"a product and a sum",
     H_I32_MUL_I32_ADD_SSS,
     FUNCTION(GET(0), GET(1), MUL, GET(0), ADD),
     {{3, 4, 15}, {UINT32_MAX, 2, UINT32_MAX - 2}, {0, 9, 0}}},
    {"exclusive or of three",
     H_I32_XOR_I32_XOR_SAS,
     FUNCTION(GET(0), GET(0), GET(1), ADD, XOR, GET(1), XOR),
     {{3, 4, 0}, {1, 1, 2}, {UINT32_MAX, 1, 0xfffffffe}}},
    {"a byte as an index",
     H_I32_LOAD_SCALED_A,
     FUNCTION(GET(0), LOAD8_U(0), TEE(2), CONST(2), SHL, 0x28, 2, TABLE_LEB, GET(2), ADD),
     {{TEXT, 0, 36}, {TEXT + 4, 0, 0}, {16, 0, 32}}},
    {"a word as an index wraps",
     H_COUNT,
     FUNCTION(GET(0), LOAD(4), TEE(2), CONST(2), SHL, 0x28, 2, TABLE_LEB),
     {{32, 0, 11}, {20 - 4, 0, 0}, {TABLE + 20, 0, 0}}},
    {"a constant of 64 bits",
     H_IF_I64_NE_AK,
     FUNCTION(GET(0), 0xad, 0x42, 32, 0x86, GET(1), 0xad, 0x84, 0x42, 0x85, 0x80, 0x80, 0x80, 0x10,
              0x51, 0x04, I32, CONST(1), 0x05, CONST(2), END),
     {{1, 5, 1}, {0, 5, 2}, {1, 6, 2}}},
    {"a loop in a loop",
     H_COUNT,
     FUNCTION(LOOP, GET(1), SET(3), LOOP, GET(2), GET(3), ADD, SET(2), GET(3), CONST(1), SUB,
              TEE(3), BR_IF(0), END, GET(0), CONST(1), SUB, TEE(0), BR_IF(0), END, GET(2)),
     {{3, 4, 30}, {1, 1, 1}, {7, 2, 21}}},
};

/* If not, tells which handlers the code has. */
static bool has_handler(const struct guest *g, enum handler h)
{
    const struct func_code *fc = g->module->code[0];
    enum exec_kind kind = g->inst->exec;
    const uint64_t *cells = atomic_load(&fc->entry[kind]);
    for (uint32_t i = 0; i < fc->ncells[kind]; i++)
        if (cells[i] == (uint64_t)(uintptr_t)exec_of(kind)->handlers[h])
            return true;
    for (uint32_t i = 0; i < fc->ncells[kind]; i++)
        for (int k = 0; k < H_COUNT; k++)
            if (cells[i] == (uint64_t)(uintptr_t)exec_of(kind)->handlers[k])
                fprintf(stderr, "%u %s\n", i, handler_name((enum handler)k));
    return false;
}

/* All calls of the shape; the fuel they used. */
static uint64_t run(struct guest *g, const struct shape *s, uint64_t slice)
{
    uint64_t fuel = 0;
    for (size_t i = 0; i < ARRAY_LEN(s->calls); i++) {
        const wasm_slot *c = s->calls[i];
        fill(g);
        wasm_vm_reset(g->vm);
        wasm_vm_fuel(g->vm, slice, UINT64_MAX);
        guest_enter(g, "f", c);
        enum wasm_outcome outcome;
        while ((outcome = wasm_run(g->vm)) == WASM_PAUSED)
            ;
        ck_assert_msg(outcome == WASM_RETURNED, "%s, call %zu: outcome %d", s->name, i, outcome);
        uint32_t got = (uint32_t)wasm_vm_results(g->vm)[0];
        ck_assert_msg(got == (uint32_t)c[2], "%s, call %zu: %u, wanted %u", s->name, i, got,
                      (uint32_t)c[2]);
        fuel += wasm_vm_fuel_used(g->vm);
    }
    return fuel;
}

START_TEST(one_cell_does_what_several_do)
{
    const struct shape *s = &shapes[_i / 2];
    use_exec(_i % 2);
    ck_assert(translate_without(""));
    struct guest fused = guest_open(s->module, NULL);
    uint64_t fuel = run(&fused, s, UINT64_MAX);
    ck_assert_msg(s->handler == H_COUNT || has_handler(&fused, s->handler), "%s: no %s", s->name,
                  handler_name(s->handler));
    ck_assert_uint_eq(run(&fused, s, 1), fuel);
    guest_close(&fused);
    ck_assert(translate_without("pointers,bumps,load_branches,store_branches,masks,jumps,triples,"
                                "increments,steps,branches"));
    struct guest apart = guest_open(s->module, NULL);
    ck_assert_uint_eq(run(&apart, s, UINT64_MAX), fuel);
    guest_close(&apart);
    ck_assert(translate_without(""));
}
END_TEST

/* The store comes before the branch that has no fuel. */
START_TEST(stores_trap_before_branches_run_dry)
{
    use_exec(_i);
    const struct span bytes = FUNCTION(LOOP, GET(1), CONST(1), SUB, SET(2), GET(0), GET(1),
                                       STORE(0), GET(2), BR_IF(0), END, CONST(0));
    struct guest g = guest_open(bytes, NULL);
    wasm_vm_fuel(g.vm, UINT64_MAX, 1);
    ck_assert_int_eq(guest_trap(&g, "f", ARGS(0x20000, 5)), WASM_TRAP_MEMORY);
    ck_assert_msg(has_handler(&g, H_I32_STORE_IF_SL_BACK), "not in one cell");
    wasm_vm_fuel(g.vm, UINT64_MAX, 1);
    ck_assert_int_eq(guest_trap(&g, "f", ARGS(64, 5)), WASM_TRAP_FUEL);
    uint32_t stored;
    memcpy(&stored, g.inst->memory->base + 64, sizeof stored);
    ck_assert_uint_eq(stored, 5);
    guest_close(&g);
}
END_TEST

START_TEST(pointers_out_of_bounds_trap)
{
    use_exec(_i);
    const struct span bytes = FUNCTION(GET(0), LOAD(0), LOAD8_U(4));
    struct guest g = guest_open(bytes, NULL);
    memset(g.inst->memory->base + 64, 0xff, 4);
    ck_assert_int_eq(guest_trap(&g, "f", ARGS(64, 0)), WASM_TRAP_MEMORY);
    ck_assert_int_eq(guest_trap(&g, "f", ARGS(0xfffd, 0)), WASM_TRAP_MEMORY);
    guest_close(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wasm fused");
    TCase *tc = tcase_create("fused");
    tcase_add_loop_test(tc, one_cell_does_what_several_do, 0, (int)ARRAY_LEN(shapes) * 2);
    tcase_add_loop_test(tc, stores_trap_before_branches_run_dry, 0, 2);
    tcase_add_loop_test(tc, pointers_out_of_bounds_trap, 0, 2);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
