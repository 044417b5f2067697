/* SPDX-License-Identifier: Apache-2.0 */
/* lattice/base/spool: what goes in comes out, in order, whether it went through the file or not; its bounds. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lattice/base/num.h"
#include "lattice/base/rand.h"
#include "lattice/base/spool.h"

#define MEMORY 1000u
#define PIECE_MAX 700u

static struct spool_disk disk_of(uint64_t file_bytes_max, uint64_t bytes_max)
{
    return (struct spool_disk){.file_bytes_max = file_bytes_max, .bytes_max = bytes_max};
}

static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 167 >> 3);
}

/* The n bytes of the sequence from `at` on. */
static bool put(struct spool *s, uint64_t at, size_t n, struct err *e)
{
    uint8_t *bytes = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = byte_at(at + i);
    bool ok = spool_put(s, (struct span){bytes, n}, e);
    free(bytes);
    return ok;
}

/* Takes at most n of them, which must be those from `at` on; returns how many. */
static size_t take(struct spool *s, uint64_t at, size_t n)
{
    struct span view;
    struct err e = ERR_INIT;
    ck_assert_msg(spool_peek(s, &view, &e), "%s", e.text);
    ck_assert(view.n > 0 || spool_size(s) == 0);
    n = MIN(n, view.n);
    bool same = true;
    for (size_t i = 0; i < n; i++)
        same &= view.p[i] == byte_at(at + i);
    ck_assert_msg(same, "at %llu", (unsigned long long)at);
    spool_take(s, n);
    return n;
}

/* Sets a soft limit, and returns what it was: Check itself writes files when a test ends. */
static rlim_t limit(int which, rlim_t to)
{
    struct rlimit r;
    getrlimit(which, &r);
    rlim_t was = r.rlim_cur;
    r.rlim_cur = to;
    setrlimit(which, &r);
    return was;
}

START_TEST(bytes_come_out_as_they_went_in)
{
    struct spool_disk disk = disk_of(UINT64_MAX, UINT64_MAX);
    struct spool s;
    struct err e = ERR_INIT;
    uint64_t in = 0, out = 0, most = 0;
    spool_init(&s, MEMORY, &disk);
    for (int i = 0; i < 20000; i++) { /* by turns longer and shorter */
        bool more = rand_u64() % 100 < (i / 500 % 2 ? 30 : 60);
        size_t n = rand_u64() % PIECE_MAX;
        if (more) {
            ck_assert_msg(put(&s, in, n, &e), "%s", e.text);
            in += n;
        } else {
            out += take(&s, out, n);
        }
        most = MAX(most, in - out);
        ck_assert_uint_eq(spool_size(&s), in - out);
    }
    ck_assert_uint_gt(most, 10 * MEMORY); /* or the file was never used */
    while (out < in)
        out += take(&s, out, PIECE_MAX);
    ck_assert_uint_eq(disk.bytes, 0);
    spool_fini(&s);
}
END_TEST

START_TEST(what_fits_into_memory_needs_no_file)
{
    struct spool_disk disk = disk_of(0, 0);
    struct spool s;
    struct err e = ERR_INIT;
    spool_init(&s, MEMORY, &disk);
    ck_assert(put(&s, 0, MEMORY, &e));
    ck_assert(!put(&s, MEMORY, 1, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    ck_assert_uint_eq(take(&s, 0, 10), 10);
    ck_assert(put(&s, MEMORY, 10, &e));
    ck_assert_int_eq(s.fd, -1);
    spool_fini(&s);
}
END_TEST

START_TEST(without_a_disk_the_memory_is_the_limit)
{
    struct spool s;
    struct err e = ERR_INIT;
    spool_init(&s, MEMORY, NULL);
    ck_assert(put(&s, 0, MEMORY, &e));
    ck_assert(!put(&s, MEMORY, 1, &e));
    ck_assert_str_eq(e.text, "1001 bytes wait, the limit is 1000");
    ck_assert_uint_eq(spool_size(&s), MEMORY);
    spool_fini(&s);
}
END_TEST

START_TEST(one_file_is_bounded_and_all_together_are)
{
    struct spool_disk disk = disk_of(5000, 7000);
    struct spool a, b;
    struct err e = ERR_INIT;
    spool_init(&a, 0, &disk);
    spool_init(&b, 0, &disk);
    ck_assert(put(&a, 0, 5000, &e));
    ck_assert(!put(&a, 5000, 1, &e));
    ck_assert_str_eq(e.text, "5001 bytes wait, the limit is 5000");
    ck_assert(put(&b, 0, 2000, &e));
    ck_assert(!put(&b, 2000, 1, &e));
    ck_assert_str_eq(e.text, "temporary files hold 7000 bytes, the limit is 7000");
    spool_clear(&a);
    ck_assert_uint_eq(disk.bytes, 2000);
    ck_assert(put(&b, 2000, 1, &e)); /* a refused piece spoils nothing */
    ck_assert_uint_eq(take(&b, 0, 9999), 2001);
    ck_assert_uint_eq(disk.bytes, 0);
    spool_fini(&a);
    spool_fini(&b);
}
END_TEST

START_TEST(a_reader_close_behind_gives_room_back)
{
    enum { STEP = 1 << 20 };
    struct spool_disk disk = disk_of(8 * STEP, 8 * STEP);
    struct spool s;
    struct err e = ERR_INIT;
    uint64_t in = 0, out = 0;
    spool_init(&s, 0, &disk);
    for (int i = 0; i < 40; i++) { /* five times the file's bound, and never empty */
        ck_assert_msg(put(&s, in, STEP, &e), "%s", e.text);
        in += STEP;
        while (out + STEP < in)
            out += take(&s, out, STEP);
    }
    spool_fini(&s);
    ck_assert_uint_eq(disk.bytes, 0);
}
END_TEST

START_TEST(a_full_disk_is_an_error_and_harms_nothing)
{
    struct spool_disk disk = disk_of(UINT64_MAX, UINT64_MAX);
    struct spool s;
    struct err e = ERR_INIT;
    signal(SIGXFSZ,
           SIG_IGN); /* a file that must not grow is as good as a disk that cannot take it */
    rlim_t was = limit(RLIMIT_FSIZE, 4096);
    spool_init(&s, 0, &disk);
    bool small = put(&s, 0, 4000, &e), large = put(&s, 4000, 200, &e);
    limit(RLIMIT_FSIZE, was);
    ck_assert(small && !large);
    ck_assert_int_eq(e.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(e.text, "write a temporary file"));
    ck_assert_uint_eq(disk.bytes, 4000);
    ck_assert_uint_eq(take(&s, 0, 4000), 4000);
    ck_assert(put(&s, 0, 10, &e));
    spool_fini(&s);
}
END_TEST

START_TEST(the_folder_is_the_operators_choice_and_stays_empty)
{
    char folder[] = P_tmpdir "/test-spool-XXXXXX";
    struct spool_disk disk = disk_of(UINT64_MAX, UINT64_MAX);
    struct spool s;
    struct err e = ERR_INIT;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("TMPDIR", folder, 1);
    spool_init(&s, 0, &disk);
    ck_assert_msg(put(&s, 0, 10, &e), "%s", e.text);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing in it, though the file is there */
    ck_assert_uint_eq(take(&s, 0, 10), 10);
    ck_assert(!put(&s, 0, 10, &e));
    ck_assert_ptr_nonnull(strstr(e.text, folder));
    ck_assert_uint_eq(disk.bytes, 0);
    spool_fini(&s);
}
END_TEST

START_TEST(without_descriptors_it_says_so)
{
    struct spool_disk disk = disk_of(UINT64_MAX, UINT64_MAX);
    struct spool s;
    struct err e = ERR_INIT;
    rlim_t was = limit(RLIMIT_NOFILE, 0);
    spool_init(&s, 10, &disk);
    bool first = put(&s, 0, 10, &e), second = put(&s, 10, 1, &e);
    limit(RLIMIT_NOFILE, was);
    ck_assert(first && !second);
    ck_assert_int_eq(e.code, ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(e.text, "temporary file in "));
    ck_assert_uint_eq(take(&s, 0, 10), 10);
    spool_fini(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("spool");
    TCase *t = tcase_create("spool");
    tcase_add_test(t, bytes_come_out_as_they_went_in);
    tcase_add_test(t, what_fits_into_memory_needs_no_file);
    tcase_add_test(t, without_a_disk_the_memory_is_the_limit);
    tcase_add_test(t, one_file_is_bounded_and_all_together_are);
    tcase_add_test(t, a_reader_close_behind_gives_room_back);
    tcase_add_test(t, a_full_disk_is_an_error_and_harms_nothing);
    tcase_add_test(t, the_folder_is_the_operators_choice_and_stays_empty);
    tcase_add_test(t, without_descriptors_it_says_so);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
