/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of a stream<u8>'s chunks: every cut, every kind of end. */
#include <check.h>
#include "lattice/base/buf.h"
#include "lattice/base/num.h"
#include "wrpc/wrpc.h"

static struct err e;

/* ---- reading a stream ---- */

struct collected {
    struct buf data;
    int runs;
};

static void collect(void *user, struct span data)
{
    struct collected *c = user;
    ck_assert_uint_gt(data.n, 0);
    buf_put(&c->data, data.p, data.n);
    c->runs++;
}

static const uint8_t stream[] = "\6hello \5world\0";

/* Cut in every possible way into three pieces. */
START_TEST(test_stream_cuts)
{
    size_t n = sizeof stream - 1;
    for (size_t i = 0; i <= n; i++) {
        for (size_t k = i; k <= n; k++) {
            struct wrpc_stream_reader r = {0};
            struct collected c = {.runs = 0};
            ck_assert(wrpc_stream_feed(&r, (struct span){stream, i}, collect, &c, &e));
            ck_assert(wrpc_stream_feed(&r, (struct span){stream + i, k - i}, collect, &c, &e));
            ck_assert(wrpc_stream_feed(&r, (struct span){stream + k, n - k}, collect, &c, &e));
            ck_assert(str_eqz(buf_view(&c.data), "hello world"));
            ck_assert(r.ended);
            buf_fini(&c.data);
        }
    }
}
END_TEST

START_TEST(test_stream_ends)
{
    static const struct {
        const char *hex_free;
        size_t n;
        bool ended;
    } rows[] = {{"", 0, false},           {"\3abc", 4, false}, {"\3ab", 3, false},
                {"\x80", 1, false},       {"\0xyz", 4, true},  {"\1a\0", 3, true},
                {"\x81\x80\0a", 4, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wrpc_stream_reader r = {0};
        struct collected c = {.runs = 0};
        struct span in = {(const uint8_t *)rows[i].hex_free, rows[i].n};
        ck_assert(wrpc_stream_feed(&r, in, collect, &c, &e));
        ck_assert_msg(r.ended == rows[i].ended, "%zu", i);
        buf_fini(&c.data);
    }
}
END_TEST

START_TEST(test_stream_malformed)
{
    static const struct span rows[] = {{(const uint8_t *)"\x80\x80\x80\x80\x80", 5},
                                       {(const uint8_t *)"\xff\xff\xff\xff\x10", 5}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wrpc_stream_reader r = {0};
        struct collected c = {.runs = 0};
        ck_assert(!wrpc_stream_feed(&r, rows[i], collect, &c, &e));
        ck_assert_int_eq(e.code, ERR_INVALID);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream");
    TCase *c = tcase_create("all");
    tcase_add_test(c, test_stream_cuts);
    tcase_add_test(c, test_stream_ends);
    tcase_add_test(c, test_stream_malformed);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
