/* SPDX-License-Identifier: Apache-2.0 */
/* What goes when the image cache is too big: what was used longest ago, never what somebody uses. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "hostd/image/cache.h"
#include "hostd/image/files.h"
#include "hostd/image/image.h"
#include "lattice/base/num.h"

#define BLOB_BYTES 100

static struct arena arena;
static struct err e;
static char cache[64];
static struct image_trimmed t;

static void set_up(void)
{
    arena_init(&arena, 1 << 20);
    e = (struct err)ERR_INIT;
    snprintf(cache, sizeof cache, P_tmpdir "/test-evict-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(cache));
    ck_assert_msg(cache_open(cache, &e), "%s", e.text);
}

static void tear_down(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", cache);
    ck_assert_int_eq(system(command), 0);
    arena_fini(&arena);
}

static void used(const char *path, int64_t seconds_ago)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - seconds_ago}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* A blob of BLOB_BYTES; its path is in the arena. */
static const char *blob(char letter, int64_t seconds_ago)
{
    char digest[DIGEST_LEN + 1], content[BLOB_BYTES];
    memset(content, letter, sizeof content);
    struct span bytes = {(uint8_t *)content, sizeof content};
    ck_assert(cache_put(cache, str_of(digest_of(bytes, digest)), bytes, &e));
    const char *path = arena_printf(&arena, "%s/blobs/%s", cache, digest + 7);
    used(path, seconds_ago);
    return path;
}

static bool there(const char *path)
{
    return access(path, F_OK) == 0;
}

static void trim(uint64_t bytes_max)
{
    ck_assert_msg(image_cache_trim(cache, IMAGE_CACHE_ALL, bytes_max, &t, &e), "%s", e.text);
}

START_TEST(what_was_used_longest_ago_goes_first)
{
    const char *old = blob('a', 30), *older = blob('b', 40), *young = blob('c', 10);
    trim(3 * BLOB_BYTES);
    ck_assert_uint_eq(t.removed, 0);
    ck_assert_uint_eq(t.left_bytes, 3 * BLOB_BYTES);
    trim(3 * BLOB_BYTES - 1);
    ck_assert_uint_eq(t.removed, 1);
    ck_assert(!there(older) && there(old) && there(young));
    trim(BLOB_BYTES);
    ck_assert(!there(old) && there(young));
    ck_assert_uint_eq(t.removed_bytes, BLOB_BYTES);
    trim(0);
    ck_assert(!there(young));
    ck_assert_uint_eq(t.left_bytes, 0);
}
END_TEST

START_TEST(what_is_held_stays_and_counts_as_just_used)
{
    const char *held = blob('a', 50), *other = blob('b', 40), *last = blob('c', 30);
    struct image_hold *hold = image_hold_new();
    ck_assert(image_hold_add(hold, held));
    trim(0);
    ck_assert(there(held) && !there(other) && !there(last));
    ck_assert_uint_eq(t.left_bytes, BLOB_BYTES);
    image_hold_free(hold);
    other = blob('b', 40);
    trim(BLOB_BYTES);
    ck_assert(there(held) && !there(other));
}
END_TEST

START_TEST(what_another_process_holds_stays_until_it_ends)
{
    const char *held = blob('a', 50);
    int ready[2];
    char byte;
    ck_assert_int_eq(pipe(ready), 0);
    pid_t other = fork();
    if (other == 0) {
        struct image_hold *hold = image_hold_new();
        if (image_hold_add(hold, held) && write(ready[1], "1", 1) == 1)
            pause();
        _exit(1);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    trim(0);
    ck_assert(there(held));
    kill(other, SIGKILL); /* no chance to clean up */
    waitpid(other, NULL, 0);
    trim(0);
    ck_assert(!there(held));
}
END_TEST

START_TEST(what_is_not_there_cannot_be_held)
{
    struct image_hold *hold = image_hold_new();
    ck_assert(!image_hold_add(hold, arena_printf(&arena, "%s/blobs/none", cache)));
    image_hold_free(hold);
}
END_TEST

START_TEST(tags_go_with_their_manifests)
{
    char digest[DIGEST_LEN + 1];
    const char *gone = blob('a', 50), *stays = blob('b', 10);
    struct str a = str_of(arena_printf(&arena, "sha256:%s", strrchr(gone, '/') + 1));
    struct str b = str_of(arena_printf(&arena, "sha256:%s", strrchr(stays, '/') + 1));
    ck_assert(cache_tag_put(cache, STR("x/y:1"), a, &e));
    ck_assert(cache_tag_put(cache, STR("x/y:2"), b, &e));
    trim(BLOB_BYTES);
    ck_assert(!there(gone));
    ck_assert(!cache_tag_get(cache, STR("x/y:1"), digest));
    ck_assert(cache_tag_get(cache, STR("x/y:2"), digest));
}
END_TEST

START_TEST(what_a_writer_left_behind_goes_when_it_is_old)
{
    const char *left = arena_printf(&arena, "%s/blobs/abc.X1y2Z3", cache),
               *now = arena_printf(&arena, "%s/programs/abc.X1y2Z3", cache);
    ck_assert(file_write(left, str_span(STR("half")), 0600, &e));
    ck_assert(file_write(now, str_span(STR("half")), 0600, &e));
    used(left, 2 * 3600);
    trim(1 << 20);
    ck_assert(!there(left) && there(now));
}
END_TEST

START_TEST(parts_alone)
{
    const char *image = blob('a', 50);
    char *program = cache_program(cache, str_span(STR("#!/bin/sh\n")), &e);
    ck_assert_ptr_nonnull(program);
    ck_assert(image_cache_trim(cache, IMAGE_CACHE_PROGRAMS, 0, &t, &e));
    ck_assert(there(image) && !there(program));
    free(program);
    ck_assert(image_cache_trim("/nowhere/at/all", IMAGE_CACHE_ALL, 0, &t, &e));
    ck_assert_uint_eq(t.removed, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("evict");
    TCase *c = tcase_create("cache");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, what_was_used_longest_ago_goes_first);
    tcase_add_test(c, what_is_held_stays_and_counts_as_just_used);
    tcase_add_test(c, what_another_process_holds_stays_until_it_ends);
    tcase_add_test(c, what_is_not_there_cannot_be_held);
    tcase_add_test(c, tags_go_with_their_manifests);
    tcase_add_test(c, what_a_writer_left_behind_goes_when_it_is_old);
    tcase_add_test(c, parts_alone);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
