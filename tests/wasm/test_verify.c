/* SPDX-License-Identifier: Apache-2.0 */
/* The verifier of translated code: what the translator makes passes, and each kind of damage is named. */
#include <check.h>
#include <string.h>
#include "hostd/wasm/translate.h"
#include "lattice/base/num.h"
#include "tests/wasm/guest.h"

/* One function of everything that can be damaged: a loop, a call, a global, a br_table. */
static const struct span module = MODULE(
    TYPES(1, 0x60, 1, I32, 1, I32), FUNCS(2, 0, 0), GLOBALS(1, I32, 1, 0x41, 0, END),
    CODE(2,
         SIZED(1, 1, I32,                                                 /* locals */
               0x03, 0x40, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, END, /* loop, count down */
               0x02, 0x40, 0x20, 1, 0x0e, 1, 0, 0, END,                   /* br_table 0 0 */
               0x20, 1, 0x24, 0, 0x20, 0, 0x10, 1, END),
         SIZED(0, 0x20, 0, END)));

static struct wasm_module *m;
static struct func_code *fc;
static uint64_t cells[256];
static struct translated code;
static struct err e;

static void setup(void)
{
    m = wasm_module_load(module, false, NULL, &e);
    ck_assert_msg(m, "%s", e.text);
    ck_assert(code_prepare(m, &e));
    fc = m->code[0];
    const uint64_t *made = code_entry(fc, EXEC_GUARDED, &e);
    ck_assert(made && fc->ncells[EXEC_GUARDED] <= 256);
    code = (struct translated){.kind = EXEC_GUARDED, .cells = cells, .n = fc->ncells[EXEC_GUARDED]};
    memcpy(cells, made, code.n * sizeof *cells);
}

static void teardown(void)
{
    wasm_module_unref(m);
}

/* The first cell of the handler. */
static uint64_t *find(enum handler h)
{
    for (uint32_t i = 0; i < code.n; i++)
        if (cells[i] == (uint64_t)(uintptr_t)exec_guarded.handlers[h])
            return &cells[i];
    ck_abort_msg("no %s", handler_name(h));
    return NULL;
}

static void refuses(const char *text)
{
    ck_assert(!verify_code(fc, &code, &e));
    ck_assert_msg(strstr(e.text, text), "%s", e.text);
}

START_TEST(accepts_what_was_translated)
{
    ck_assert_msg(verify_code(fc, &code, &e), "%s", e.text);
    code.kind = EXEC_CHECKED;
    code.cells = code_entry(fc, EXEC_CHECKED, &e);
    code.n = fc->ncells[EXEC_CHECKED];
    ck_assert_msg(verify_code(fc, &code, &e), "%s", e.text);
}
END_TEST

START_TEST(names_a_cell_without_handler)
{
    cells[0]++;
    refuses("no handler");
}
END_TEST

START_TEST(names_a_slot_outside_of_the_frame)
{
    uint64_t *call = find(H_CALL);
    call[1] = (call[1] & ~(uint64_t)0xffff) | (fc->frame_slots + 1);
    refuses("slot outside of the frame");
}
END_TEST

START_TEST(names_a_write_to_the_header)
{
    uint64_t *clear = find(H_CLEAR);
    clear[1] = (clear[1] & ~(uint64_t)0xffff) | fc->param_slots;
    refuses("slot of the header");
}
END_TEST

START_TEST(names_a_branch_into_a_cell)
{
    uint64_t *table = find(H_BR_TABLE_S);
    table[2]++;
    refuses("branch to no cell");
}
END_TEST

START_TEST(names_a_table_way_that_misstates_its_direction)
{
    uint64_t *table = find(H_BR_TABLE_S);
    table[2] |= (uint64_t)1 << 32;
    refuses("misstates its direction");
}
END_TEST

START_TEST(names_an_index_of_nothing)
{
    uint64_t *set = find(H_GLOBAL_SET_S);
    set[1] |= (uint64_t)1 << 32;
    refuses("index of nothing: 1");
}
END_TEST

START_TEST(names_a_call_of_no_function)
{
    find(H_CALL)[2] += 8;
    refuses("calls no function");
}
END_TEST

START_TEST(names_a_return_cell_of_another_function)
{
    find(H_CALL)[3] = (uint64_t)(uintptr_t)m->code[1];
    refuses("misstates its function");
}
END_TEST

START_TEST(names_code_that_runs_off_its_end)
{
    code.n -= handler_shape(H_RETURN)->words;
    refuses("runs off the end");
}
END_TEST

START_TEST(names_a_clause_that_goes_on_nowhere)
{
    const struct try_region region = {0, code.n, NO_REGION, 0, 1};
    const struct catch_clause clause = {CATCH_ALL, 0, fc->frame_slots, 1};
    code.nregions = code.nclauses = 1;
    code.regions = &region;
    code.clauses = &clause;
    refuses("clause goes on at no cell");
}
END_TEST

static const struct span odd =
    MODULE(TYPES(2, 0x60, 0, 3, I32, I32, I32, 0x60, 3, I32, I32, I32, 0), FUNCS(2, 0, 0),
           TABLES(1, FUNCREF, 0, 1), SECTION(13, 1, 0, 1),
           CODE(2, SIZED(0, 0x41, 0, 0x13, 0, 0, END), /* return_call_indirect */
                SIZED(0, 0x1f, 0x40, 1, 0, 0, 0, 0x00, END, 0x00, END)));

/* Nothing is ever pushed that results could stand for: they are a host's, or were caught. */
START_TEST(results_lie_in_the_frame)
{
    /* try_table, catch */
    struct wasm_module *other = wasm_module_load(odd, false, NULL, &e);
    ck_assert_msg(other, "%s", e.text);
    ck_assert(code_prepare(other, &e));
    for (int i = 0; i < 2; i++) {
        fc = other->code[i];
        code.cells = code_entry(fc, EXEC_GUARDED, &e);
        code.n = fc->ncells[EXEC_GUARDED];
        ck_assert_msg(verify_code(fc, &code, &e), "%s", e.text);
        ck_assert_uint_ge(fc->frame_slots, FRAME_HEADER + 3);
    }
    wasm_module_unref(other);
}
END_TEST

int main(void)
{
    const TTest *const all[] = {
        accepts_what_was_translated,
        names_a_cell_without_handler,
        names_a_slot_outside_of_the_frame,
        names_a_write_to_the_header,
        names_a_branch_into_a_cell,
        names_a_table_way_that_misstates_its_direction,
        names_an_index_of_nothing,
        names_a_call_of_no_function,
        names_a_return_cell_of_another_function,
        names_code_that_runs_off_its_end,
        names_a_clause_that_goes_on_nowhere,
        results_lie_in_the_frame,
    };
    Suite *suite = suite_create("wasm verify");
    TCase *tcase = tcase_create("verify");
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        tcase_add_test(tcase, all[i]);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}
