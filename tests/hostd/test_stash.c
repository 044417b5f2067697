/* SPDX-License-Identifier: Apache-2.0 */
/* hostd/stash: bytes come back in order, however puts and gets mix; what cannot be kept is told once; and what is
 * freed leaves nothing behind. */
#include "hostd/stash.h"

#include <check.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"
#include "lattice/base/loop.h"
#include "lattice/base/spool.h"
#include "tests/hostd/pattern.h"

#define BLOCK 100000

static struct loop *loop;
static struct spool_disk disk;
static struct stashes *stashes;
static struct err e;

/* What came back of one stash: bytes of a sequence that repeats. */
struct got {
    struct stash *s;
    uint64_t n, want;
    uint32_t fails;
    enum err_code code;
};

static void on_data(void *user, struct span data)
{
    struct got *g = user;
    ck_assert_uint_gt(data.n, 0);
    ck_assert(are_bytes(data, g->n));
    g->n += data.n;
    if (g->n < g->want)
        stash_get(g->s);
    else
        loop_stop(loop);
}

static void on_fail(void *user, const struct err *why)
{
    struct got *g = user;
    g->fails++;
    g->code = why->code;
    loop_stop(loop);
}

static void put(struct got *g, uint64_t at)
{
    static uint8_t block[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        block[i] = byte_at(at + i);
    ck_assert_msg(stash_put(g->s, (struct span){block, BLOCK}, &e), "%s", e.text);
}

static void setup(void)
{
    loop = loop_new();
    disk = (struct spool_disk){.file_bytes_max = UINT64_MAX, .bytes_max = UINT64_MAX};
    stashes = stashes_open(loop, &disk);
    e = (struct err)ERR_INIT;
}

static void teardown(void)
{
    stashes_close(stashes);
    ck_assert_uint_eq(disk.bytes, 0);
    loop_free(loop);
}

START_TEST(bytes_come_back_in_order)
{
    struct got g[2] = {0};
    for (int k = 0; k < 2; k++)
        g[k].s = stash_new(stashes, on_data, on_fail, &g[k]);
    uint64_t at = 0;
    for (int round = 1; round <= 5; round++) {
        for (int i = 0; i < 10 * round; i++, at += BLOCK)
            for (int k = 0; k < 2; k++)
                put(&g[k], at);
        for (int k = 0; k < 2; k++) {
            g[k].want = at - (uint64_t)round; /* of the last piece some is left, or all is gone */
            stash_get(g[k].s);
            loop_run(loop);
            ck_assert_uint_ge(g[k].n, g[k].want);
        }
    }
    for (int k = 0; k < 2; k++) {
        ck_assert_uint_eq(g[k].n, at);
        stash_free(g[k].s);
    }
}
END_TEST

START_TEST(a_bound_is_told_once)
{
    struct got g = {0};
    disk.file_bytes_max = 3 * BLOCK - 1;
    g.s = stash_new(stashes, on_data, on_fail, &g);
    for (uint64_t at = 0; at < 10 * BLOCK; at += BLOCK)
        put(&g, at);
    loop_run(loop);
    stash_get(g.s); /* is not answered any more */
    put(&g, 0);
    struct got other = {.want = BLOCK};
    other.s = stash_new(stashes, on_data, on_fail, &other);
    put(&other, 0);
    stash_get(other.s);
    loop_run(loop); /* by now the thread has dealt with the first, too */
    ck_assert_uint_eq(other.n, BLOCK);
    ck_assert_uint_eq(g.fails, 1);
    ck_assert_int_eq(g.code, ERR_LIMIT);
    ck_assert_uint_eq(g.n, 0);
    stash_free(g.s);
    stash_free(other.s);
}
END_TEST

START_TEST(a_disk_that_refuses_is_told)
{
    struct got g = {0};
    disk.folder = "/nowhere/at/all";
    g.s = stash_new(stashes, on_data, on_fail, &g);
    put(&g, 0);
    loop_run(loop);
    ck_assert_uint_eq(g.fails, 1);
    ck_assert_int_ne(g.code, ERR_LIMIT);
    stash_free(g.s);
}
END_TEST

START_TEST(what_the_disk_does_not_take_in_time_is_bounded)
{
    struct got g = {0};
    bool ok = true;
    static uint8_t block[1u << 20];
    g.s = stash_new(stashes, on_data, on_fail, &g);
    ck_assert(!stash_put(g.s, (struct span){block, (size_t)STASH_PENDING_BYTES_MAX + 1}, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    for (int i = 0; ok && i < 16; i++) /* well within it */
        ok = stash_put(g.s, (struct span){block, sizeof block}, &e);
    ck_assert(ok);
    stash_free(g.s);
}
END_TEST

/* With bytes unwritten, bytes on disk, a piece on its way, a failure on its way. */
START_TEST(whatever_is_freed_says_nothing)
{
    struct got g = {0};
    bool works = _i == 0;
    disk.file_bytes_max = works ? UINT64_MAX : 0;
    for (int i = 0; i < 200; i++) {
        g.s = stash_new(stashes, on_data, on_fail, &g);
        put(&g, 0);
        if (i % 2)
            stash_get(g.s);
        while (works && i % 6 == 0 && disk.bytes == 0)
            ; /* it will be written */
        stash_free(g.s);
        loop_drain(loop);
    }
    ck_assert_uint_eq(g.n + g.fails, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stash");
    TCase *t = tcase_create("stash");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, bytes_come_back_in_order);
    tcase_add_test(t, a_bound_is_told_once);
    tcase_add_test(t, a_disk_that_refuses_is_told);
    tcase_add_test(t, what_the_disk_does_not_take_in_time_is_bounded);
    tcase_add_loop_test(t, whatever_is_freed_says_nothing, 0, 2);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
