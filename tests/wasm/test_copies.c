/* SPDX-License-Identifier: Apache-2.0 */
/* Instances copied from the state that others were marked in. */
#include <pthread.h>
#include "lattice/base/num.h"
#include "tests/wasm/guest.h"

#define GET_GLOBAL(x) 0x23, (x)
#define SET_GLOBAL(x) 0x24, (x)
#define CONST(x) 0x41, (x)
#define ADD 0x6a
#define BUMP(x) GET_GLOBAL(x), CONST(1), ADD, SET_GLOBAL(x), GET_GLOBAL(x)
#define LOAD(x) CONST(0), 0x2d, 0, (x)
#define STORE(x) 0x3a, 0, (x)

/* "call": calls table 0's first function, which is the other instance's. "own": bumps a global and adds what a byte
 * of memory holds, that the start function wrote after it had grown the memory. "ref": the function in a global. */
static const struct span outer =
    MODULE(TYPES(2, 0x60, 0, 1, I32, 0x60, 0, 0), FUNCS(4, 0, 0, 1, 0), TABLES(1, FUNCREF, 0, 2),
           MEMORIES(1, 0, 1), GLOBALS(2, I32, 1, CONST(5), END, FUNCREF, 0, 0xd2, 1, END),
           EXPORTS(5, 1, 't', 1, 0, 4, 'c', 'a', 'l', 'l', 0, 0, 3, 'o', 'w', 'n', 0, 1, 1, 'm', 2,
                   0, 3, 'r', 'e', 'f', 0, 3),
           START(2), ELEMS(1, 0, CONST(1), END, 1, 1),
           CODE(4, SIZED(0, CONST(0), 0x11, 0, 0, END), SIZED(0, BUMP(0), LOAD(7), ADD, END),
                SIZED(0, CONST(1), 0x40, 0, 0x1a, CONST(0), CONST(32), STORE(7), END),
                SIZED(0, CONST(0), GET_GLOBAL(1), 0x26, 0, CONST(0), 0x11, 0, 0, END)));

/* Puts a function of its own, which bumps its own global, into the table it imports. */
static const struct span inner =
    MODULE(TYPES(1, 0x60, 0, 1, I32), IMPORTS(1, 0, 1, 't', 1, FUNCREF, 0, 2), FUNCS(1, 0),
           GLOBALS(1, I32, 1, CONST(10), END), ELEMS(1, 0, CONST(0), END, 1, 0),
           CODE(1, SIZED(0, BUMP(0), END)));

struct pair {
    struct wasm_module *modules[2];
    struct wasm_inst *of[2];
    struct wasm_vm *vm;
};

static struct guest as_guest(const struct pair *p, struct wasm_inst *inst)
{
    return (struct guest){p->modules[0], inst, p->vm};
}

static wasm_slot call(const struct pair *p, struct wasm_inst *inst, const char *name)
{
    struct guest g = as_guest(p, inst);
    return guest_call(&g, name, NULL);
}

static struct wasm_extern table_of(const struct pair *p, struct wasm_inst *inst)
{
    struct guest g = as_guest(p, inst);
    return guest_export(&g, "t");
}

/* Started, used once, and marked. */
static struct pair pair_open(void)
{
    struct err e = ERR_INIT;
    struct pair p;
    p.modules[0] = wasm_module_load(outer, false, NULL, &e);
    ck_assert_msg(p.modules[0], "%s", e.text);
    p.modules[1] = wasm_module_load(inner, false, NULL, &e);
    ck_assert_msg(p.modules[1], "%s", e.text);
    p.vm = wasm_vm_new(NULL, &e);
    p.of[0] = wasm_instantiate(p.modules[0], NULL, NULL, &e);
    ck_assert_msg(p.of[0], "%s", e.text);
    struct wasm_extern table = table_of(&p, p.of[0]);
    p.of[1] = wasm_instantiate(p.modules[1], &table, NULL, &e);
    ck_assert_msg(p.of[1], "%s", e.text);
    ck_assert(wasm_enter(p.vm, wasm_inst_start(p.of[0]), NULL, &e));
    ck_assert_int_eq(wasm_run(p.vm), WASM_RETURNED);
    ck_assert_uint_eq(call(&p, p.of[0], "call"), 11);
    ck_assert_uint_eq(call(&p, p.of[0], "own"), 6 + 32);
    ck_assert(!wasm_inst_copyable(p.of[0]));
    for (int k = 0; k < 2; k++)
        ck_assert_msg(wasm_inst_mark(p.of[k], NULL, &e) && wasm_inst_copyable(p.of[k]), "%s",
                      e.text);
    return p;
}

static void insts_free(struct wasm_inst *const insts[2])
{
    wasm_inst_free(insts[1]);
    wasm_inst_free(insts[0]);
}

static void pair_close(struct pair *p)
{
    insts_free(p->of);
    wasm_vm_free(p->vm);
    wasm_module_unref(p->modules[1]);
    wasm_module_unref(p->modules[0]);
}

static void copy(const struct pair *p, struct wasm_inst *copies[2])
{
    struct err e = ERR_INIT;
    copies[0] = wasm_inst_copy(p->of[0], NULL, NULL, &e);
    ck_assert_msg(copies[0], "%s", e.text);
    struct wasm_extern table = table_of(p, copies[0]);
    copies[1] = wasm_inst_copy(p->of[1], &table, NULL, &e);
    ck_assert_msg(copies[1], "%s", e.text);
    wasm_insts_settle(copies, p->of, 2);
}

START_TEST(copies_go_on_from_the_mark_by_themselves)
{
    use_exec(_i);
    struct pair p = pair_open();
    ck_assert_uint_eq(call(&p, p.of[0], "call"), 12); /* after the mark: not seen by copies */
    struct wasm_inst *a[2], *b[2];
    copy(&p, a);
    copy(&p, b);
    ck_assert_uint_eq(call(&p, a[0], "call"), 12);
    ck_assert_uint_eq(call(&p, a[0], "call"), 13);
    ck_assert_uint_eq(call(&p, a[0], "own"), 7 + 32);
    ck_assert_uint_eq(call(&p, b[0], "call"), 12);
    ck_assert_uint_eq(call(&p, b[0], "own"), 7 + 32);
    ck_assert_uint_eq(call(&p, b[0], "ref"), 8 + 32); /* its own function, not the original's */
    ck_assert_uint_eq(call(&p, p.of[0], "own"), 7 + 32);
    insts_free(a);
    insts_free(b);
    pair_close(&p);
}
END_TEST

START_TEST(copies_can_be_rewound)
{
    use_exec(_i);
    struct pair p = pair_open();
    struct err e = ERR_INIT;
    struct wasm_inst *a[2];
    copy(&p, a);
    struct guest g = as_guest(&p, a[0]);
    struct wasm_memory *m = guest_export(&g, "m").memory;
    for (int round = 0; round < 3; round++) {
        ck_assert_uint_eq(wasm_memory_size(m), 2 * WASM_PAGE);
        ck_assert_uint_eq(*wasm_memory_at(m, 7, 1), 32);
        *wasm_memory_at(m, 7, 1) = 1;
        ck_assert(memory_grow(m, 1));
        ck_assert_uint_eq(call(&p, a[0], "call"), 12);
        ck_assert_uint_eq(call(&p, a[0], "ref"), 7 + 1);
        for (int k = 0; k < 2; k++)
            ck_assert_msg(wasm_inst_rewind(a[k], &e), "%s", e.text);
    }
    ck_assert_uint_eq(call(&p, a[0], "call"), 12);
    insts_free(a);
    pair_close(&p);
}
END_TEST

START_TEST(copies_keep_the_limits)
{
    use_exec(_i);
    struct pair p = pair_open();
    struct err e = ERR_INIT;
    struct wasm_limits limits = {.memory_pages_max = 1};
    ck_assert_ptr_null(wasm_inst_copy(p.of[0], NULL, &limits, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    limits.memory_pages_max = 3;
    struct wasm_inst *a = wasm_inst_copy(p.of[0], NULL, &limits, &e);
    ck_assert_msg(a, "%s", e.text);
    struct guest g = as_guest(&p, a);
    struct wasm_memory *m = guest_export(&g, "m").memory;
    ck_assert(memory_grow(m, 1) && !memory_grow(m, 1));
    wasm_inst_free(a);
    pair_close(&p);
}
END_TEST

/* Of two pages, all bytes `fill`, marked. */
static struct wasm_memory *marked_memory(uint8_t fill)
{
    const struct wasm_limits_type type = {.min = 2};
    struct err e = ERR_INIT;
    struct wasm_memory *m = memory_new(&type, true, &e);
    ck_assert_msg(m && m->guarded, "%s", e.text);
    memset(m->base, fill, m->size_bytes);
    ck_assert_msg(memory_mark(m, NULL, &e), "%s", e.text);
    return m;
}

static struct wasm_memory *memory_like(const struct wasm_memory *of)
{
    struct err e = ERR_INIT;
    struct wasm_memory *m = memory_copy(of, &e);
    ck_assert_msg(m, "%s", e.text);
    ck_assert_uint_eq(m->size_bytes, 2 * WASM_PAGE);
    ck_assert_int_eq(memcmp(m->base, of->base, m->size_bytes), 0);
    return m;
}

/* Reservations that are kept with their image hold the image and nothing else, while there is one. */
START_TEST(what_a_guest_wrote_goes_with_it)
{
    memory_guarded_max(1000);
    wasm_init();
    struct wasm_memory *one = marked_memory(1), *two = marked_memory(2);
    struct wasm_memory *m = memory_like(one);
    m->base[5000] = m->base[WASM_PAGE] = 9;
    ck_assert(memory_grow(m, 1));
    m->base[2 * WASM_PAGE] = 9;
    const uint8_t *base = m->base;
    wasm_memory_free(m);
    m = memory_like(two);
    wasm_memory_free(m);
    m = memory_like(one);
    ck_assert_ptr_eq(m->base, base);
    ck_assert(memory_grow(m, 1));
    ck_assert_uint_eq(m->base[2 * WASM_PAGE], 0);
    memset(m->base, 9, m->size_bytes); /* too much to be kept */
    wasm_memory_free(m);
    wasm_memory_free(memory_like(one));
    wasm_memory_free(one);
    wasm_memory_free(two); /* nobody refers to the images now */
    const struct wasm_limits_type type = {.min = 3};
    struct wasm_memory *fresh[5];
    for (size_t i = 0; i < ARRAY_LEN(fresh); i++) {
        fresh[i] = memory_new(&type, true, NULL);
        for (uint64_t at = 0; at < fresh[i]->size_bytes; at++)
            if (fresh[i]->base[at])
                ck_abort_msg("memory %zu holds %u at %u", i, fresh[i]->base[at], (unsigned)at);
    }
    for (size_t i = 0; i < ARRAY_LEN(fresh); i++)
        wasm_memory_free(fresh[i]);
}
END_TEST

static void *copy_in_thread(void *user)
{
    struct pair *p = user, mine = *p;
    struct err e = ERR_INIT;
    mine.vm = wasm_vm_new(NULL, &e);
    for (int round = 0; round < 50; round++) {
        struct wasm_inst *a[2];
        copy(&mine, a);
        ck_assert_uint_eq(call(&mine, a[0], "call"), 12);
        insts_free(a);
    }
    wasm_vm_free(mine.vm);
    return NULL;
}

START_TEST(originals_may_run_meanwhile)
{
    use_exec(_i);
    struct pair p = pair_open();
    pthread_t threads[2];
    for (int t = 0; t < 2; t++)
        pthread_create(&threads[t], NULL, copy_in_thread, &p);
    for (uint32_t n = 0; n < 500; n++)
        ck_assert_uint_eq(call(&p, p.of[0], "call"), 12 + n);
    for (int t = 0; t < 2; t++)
        pthread_join(threads[t], NULL);
    pair_close(&p);
}
END_TEST

START_TEST(what_holds_exceptions_is_not_copied)
{
    struct err e = ERR_INIT;
    const struct span bytes = MODULE(GLOBALS(1, 0x69, 1, 0xd0, 0x69, END));
    struct guest g = guest_open(bytes, NULL);
    ck_assert(wasm_inst_mark(g.inst, NULL, &e) && !wasm_inst_copyable(g.inst));
    guest_close(&g);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("copies");
    tcase_add_loop_test(c, copies_go_on_from_the_mark_by_themselves, 0, EXEC_KINDS);
    tcase_add_loop_test(c, copies_can_be_rewound, 0, EXEC_KINDS);
    tcase_add_loop_test(c, copies_keep_the_limits, 0, EXEC_KINDS);
    tcase_add_test(c, what_a_guest_wrote_goes_with_it);
    tcase_add_loop_test(c, originals_may_run_meanwhile, 0, EXEC_KINDS);
    tcase_add_test(c, what_holds_exceptions_is_not_copied);
    Suite *s = suite_create("wasm/copies");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
