/* SPDX-License-Identifier: Apache-2.0 */
/* lattice/base: values, memory, readers. Each case names the promise that it protects. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/arena.h"
#include "lattice/base/base64.h"
#include "lattice/base/buf.h"
#include "lattice/base/clock.h"
#include "lattice/base/descriptors.h"
#include "lattice/base/map.h"
#include "lattice/base/num.h"
#include "lattice/base/rand.h"
#include "lattice/base/reader.h"

START_TEST(wrapping_an_error_never_cuts_the_cause)
{
    struct err e = ERR_INIT;
    ck_assert(!err_set(&e, ERR_IO, "disk on fire"));
    for (int i = 0; i < 100; i++)
        ck_assert(!err_wrap(&e, "layer %d with a rather long explanation of what it did", i));
    size_t n = strlen(e.text);
    ck_assert_uint_lt(n, ERR_TEXT_MAX);
    ck_assert_str_eq(e.text + n - 12, "disk on fire");
    ck_assert_int_eq(e.code, ERR_IO);
}
END_TEST

START_TEST(an_error_may_be_set_from_its_own_text)
{
    struct err e = ERR_INIT;
    err_set(&e, ERR_IO, "inner");
    err_set(&e, ERR_PEER, "outer (%s)", e.text);
    ck_assert_str_eq(e.text, "outer (inner)");
}
END_TEST

START_TEST(cutting_yields_every_part_and_empty_ones)
{
    struct str rest = STR("a,,b"), part;
    ck_assert(str_cut(&rest, ',', &part) && str_eqz(part, "a"));
    ck_assert(str_cut(&rest, ',', &part) && part.n == 0);
    ck_assert(str_cut(&rest, ',', &part) && str_eqz(part, "b"));
    ck_assert(!str_cut(&rest, ',', &part));
    rest = STR("");
    ck_assert(str_cut(&rest, ',', &part) && part.n == 0);
    ck_assert(!str_cut(&rest, ',', &part));
}
END_TEST

START_TEST(numbers_are_strict)
{
    uint64_t v;
    ck_assert(str_u64(STR("18446744073709551615"), &v) && v == UINT64_MAX);
    ck_assert(!str_u64(STR("18446744073709551616"), &v));
    ck_assert(!str_u64(STR(""), &v));
    ck_assert(!str_u64(STR("-1"), &v));
    ck_assert(!str_u64(STR(" 1"), &v));
    ck_assert(!str_u64(STR("1x"), &v));
}
END_TEST

START_TEST(utf8_refuses_what_the_standard_refuses)
{
    static const struct {
        const char *bytes;
        size_t n;
        bool good;
    } rows[] = {
        {"plain ascii text", 16, true},
        {"\xc3\xa9", 2, true},
        {"\xf0\x9f\x98\x80", 4, true},
        {"\xc0\x80", 2, false},
        {"\xed\xa0\x80", 3, false},
        {"\xf4\x90\x80\x80", 4, false},
        {"\xe0\x80\x80", 3, false},
        {"\xf0\x80\x80\x80", 4, false},
        {"\x80", 1, false},
        {"\xe2\x82", 2, false},
        {"\xff", 1, false},
        {"12345678\xc3", 9, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(utf8_valid((const uint8_t *)rows[i].bytes, rows[i].n) == rows[i].good,
                      "row %zu", i);
}
END_TEST

START_TEST(escaping_makes_one_harmless_capped_line)
{
    char out[32];
    ck_assert_str_eq(str_escape(STR("a\n\"b\\\x1b\xff"), out, sizeof out),
                     "a\\x0a\\\"b\\\\\\x1b\\xff");
    ck_assert_str_eq(str_show(STR("a\n\"b\\"), out, sizeof out), "a\\x0a\"b\\");
    char big[300];
    memset(big, 'x', sizeof big);
    str_escape((struct str){big, sizeof big}, out, sizeof out);
    ck_assert_uint_lt(strlen(out), sizeof out);
    ck_assert_str_eq(out + strlen(out) - 3, "...");
}
END_TEST

START_TEST(an_arena_stops_at_its_ceiling_and_hands_out_zeroed_memory)
{
    struct arena a;
    arena_init(&a, 64 * 1024);
    size_t total = 0;
    uint8_t *p;
    while ((p = arena_alloc(&a, 100, 8))) {
        for (int i = 0; i < 100; i++)
            ck_assert_uint_eq(p[i], 0);
        memset(p, 0xee, 100);
        ck_assert_uint_eq((uintptr_t)p % 8, 0);
        total += 100;
    }
    ck_assert_uint_gt(total, 48 * 1024);
    ck_assert_uint_le(a.used_bytes, 64 * 1024);
    ck_assert_ptr_null(arena_calloc(&a, SIZE_MAX / 2, 3, 1));
    arena_reset(&a);
    p = arena_alloc(&a, 200, 1);
    for (int i = 0; i < 200; i++)
        ck_assert_uint_eq(p[i], 0);
    struct str s = arena_str(&a, STR("view"));
    ck_assert(str_eqz(s, "view") && s.p[4] == 0);
    arena_fini(&a);
}
END_TEST

START_TEST(a_buffer_past_its_ceiling_appends_nothing_and_says_so)
{
    struct buf b;
    struct err e = ERR_INIT;
    buf_init(&b, 5);
    buf_str(&b, STR("abc"));
    ck_assert(buf_ok(&b, &e));
    buf_str(&b, STR("def"));
    ck_assert_uint_eq(b.n, 3);
    buf_byte(&b, 'x'); /* sticky */
    ck_assert_uint_eq(b.n, 3);
    ck_assert(!buf_ok(&b, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    buf_fini(&b);
}
END_TEST

static uint64_t leb_round_trip(uint64_t v, bool is_signed, struct err *e)
{
    struct buf b = BUF_INIT;
    if (is_signed)
        buf_leb_s64(&b, (int64_t)v);
    else
        buf_leb_u64(&b, v);
    struct reader r;
    rd_init(&r, buf_span(&b), e);
    uint64_t got = is_signed ? (uint64_t)rd_s64(&r) : rd_u64(&r);
    ck_assert(rd_ok(&r) && rd_left(&r) == 0);
    buf_fini(&b);
    return got;
}

static void check_base64(enum base64 kind, struct span bytes, const char *text)
{
    struct buf out = BUF_INIT;
    uint8_t back[32];
    base64_encode(kind, bytes, &out);
    ck_assert_msg(str_eqz(buf_view(&out), text), "%.*s", STR_ARG(buf_view(&out)));
    ck_assert_uint_eq(base64_decode(kind, str_of(text), back), bytes.n);
    ck_assert(memcmp(back, bytes.p, bytes.n) == 0);
    ck_assert_uint_eq(base64_decode(kind, buf_view(&out), out.p), bytes.n); /* in place */
    ck_assert(memcmp(out.p, bytes.p, bytes.n) == 0);
    buf_fini(&out);
}

START_TEST(base64_goes_both_ways_and_has_one_text_only)
{
    static const struct {
        const char *bytes, *standard, *url;
    } rows[] = {
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"\xff\xef\xbe~?", "/+++fj8=", "_---fj8"},
    };
    static const char *const refused[] = {
        "Z", "Zm9vY", "Zh==", "Zm9=", "Z===", "Z=g=", "Zg ==", "Z-_+"};
    uint8_t out[32];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span bytes = str_span(str_of(rows[i].bytes));
        check_base64(BASE64_STANDARD, bytes, rows[i].standard);
        check_base64(BASE64_URL, bytes, rows[i].url);
    }
    ck_assert_uint_eq(base64_decode(BASE64_STANDARD, STR("Zg"), out), 1);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        ck_assert_msg(base64_decode(BASE64_STANDARD, str_of(refused[i]), out) == SIZE_MAX, "%s",
                      refused[i]);
    ck_assert(base64_decode(BASE64_URL, STR("Zg=="), out) == SIZE_MAX);
    ck_assert(base64_decode(BASE64_URL, ((struct str){"Zm9v\0", 5}), out) == SIZE_MAX);
}
END_TEST

START_TEST(leb128_round_trips_at_every_edge)
{
    struct err e = ERR_INIT;
    for (int bit = 0; bit < 64; bit++) {
        for (int d = -1; d <= 1; d++) {
            uint64_t v = ((uint64_t)1 << bit) + (uint64_t)(int64_t)d;
            ck_assert_uint_eq(leb_round_trip(v, false, &e), v);
            ck_assert_uint_eq(leb_round_trip(v, true, &e), v);
            ck_assert_uint_eq(leb_round_trip(~v, true, &e), ~v);
        }
    }
}
END_TEST

START_TEST(leb128_refuses_long_and_large_numbers)
{
    static const struct {
        const char *bytes;
        size_t n;
        char kind; /* u: u32, s: s32 */
        bool good;
    } rows[] = {
        {"\xff\xff\xff\xff\x0f", 5, 'u', true},
        {"\xff\xff\xff\xff\x1f", 5, 'u', false},
        {"\x80\x80\x80\x80\x00", 5, 'u', true},
        {"\x80\x80\x80\x80\x80\x00", 6, 'u', false},
        {"\x80\x80\x80\x80\x78", 5, 's', true},
        {"\x80\x80\x80\x80\x70", 5, 's', false},
        {"\xff\xff\xff\xff\x07", 5, 's', true},
        {"\xff\xff\xff\xff\x0f", 5, 's', false},
        {"\x80", 1, 'u', false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err e = ERR_INIT;
        struct reader r;
        rd_init(&r, (struct span){(const uint8_t *)rows[i].bytes, rows[i].n}, &e);
        if (rows[i].kind == 'u')
            rd_u32(&r);
        else
            rd_s32(&r);
        ck_assert_msg(rd_ok(&r) == rows[i].good, "row %zu", i);
    }
}
END_TEST

START_TEST(a_reader_fails_once_and_keeps_offset_and_cause)
{
    static const uint8_t bytes[] = {3, 'a', 'b', 'c', 200, 1};
    struct err e = ERR_INIT;
    struct reader r;
    rd_init(&r, (struct span){bytes, sizeof bytes}, &e);
    ck_assert(str_eqz(rd_name(&r), "abc"));
    ck_assert_uint_eq(rd_count(&r, 1, 1000, "things"), 0);
    ck_assert(!rd_ok(&r));
    ck_assert_msg(strstr(e.text, "200 things") != NULL, "%s", e.text);
    char first[ERR_TEXT_MAX];
    memcpy(first, e.text, sizeof first);
    ck_assert_uint_eq(rd_fixed64(&r), 0);
    rd_fail(&r, ERR_LIMIT, "later");
    ck_assert_str_eq(e.text, first);
}
END_TEST

START_TEST(a_part_must_be_consumed_exactly)
{
    static const uint8_t bytes[] = {1, 2, 3};
    struct err e = ERR_INIT;
    struct reader r;
    rd_init(&r, (struct span){bytes, sizeof bytes}, &e);
    struct reader part = rd_part(&r, 2);
    rd_u8(&part);
    rd_join(&r, &part, "section");
    ck_assert(!rd_ok(&r));
    ck_assert_str_eq(e.text, "at offset 1: section: 1 bytes too many");
}
END_TEST

struct item {
    char key[16];
    UT_hash_handle hh;
};

START_TEST(a_map_finds_by_view)
{
    struct item *map = NULL, *it, *tmp;
    for (int i = 0; i < 1000; i++) {
        it = xnew(struct item);
        snprintf(it->key, sizeof it->key, "key-%d", i);
        struct str key = str_of(it->key);
        MAP_ADD(map, key, it);
    }
    MAP_FIND(map, STR("key-777"), it);
    ck_assert_ptr_nonnull(it);
    ck_assert_str_eq(it->key, "key-777");
    MAP_FIND(map, STR("key-1000"), it);
    ck_assert_ptr_null(it);
    it = xnew(struct item); /* the empty key is one like others, with or without an address */
    MAP_ADD(map, STR_NONE, it);
    MAP_FIND(map, STR_NONE, it);
    ck_assert_ptr_nonnull(it);
    MAP_FIND(map, STR(""), it);
    ck_assert_ptr_nonnull(it);
    HASH_ITER(hh, map, it, tmp)
    {
        MAP_DEL(map, it);
        free(it);
    }
}
END_TEST

START_TEST(ids_have_their_shapes_and_ulids_grow)
{
    char nuid[NUID_LEN + 1], uuid[UUID_LEN + 1], last[ULID_LEN + 1], ulid[ULID_LEN + 1];
    rand_nuid(nuid);
    ck_assert_uint_eq(strlen(nuid), NUID_LEN);
    rand_uuid(uuid);
    ck_assert_uint_eq(strlen(uuid), UUID_LEN);
    ck_assert(uuid[14] == '4' && uuid[8] == '-' && uuid[23] == '-');
    rand_ulid(last);
    for (int i = 0; i < 1000; i++) {
        rand_ulid(ulid);
        ck_assert_int_lt(strcmp(last, ulid), 0);
        memcpy(last, ulid, sizeof last);
    }
}
END_TEST

START_TEST(nothing_lands_where_standard_output_was_closed)
{
    int was[3], pipes[2];
    for (int fd = 0; fd < 3; fd++) {
        was[fd] = dup(fd);
        close(fd);
    }
    descriptors_standard();
    bool ok = pipe(pipes) == 0;
    int least = ok ? pipes[0] < pipes[1] ? pipes[0] : pipes[1] : -1;
    for (int fd = 0; fd < 3; fd++)
        dup2(was[fd], fd);
    ck_assert(ok);
    ck_assert_int_gt(least, 2);
}
END_TEST

START_TEST(times_print_as_rfc3339)
{
    char out[CLOCK_TEXT_MAX];
    ck_assert_str_eq(clock_text(1735787045678901234u, out), "2025-01-02T03:04:05.678901Z");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base");
    TCase *t = tcase_create("values");
    tcase_add_test(t, wrapping_an_error_never_cuts_the_cause);
    tcase_add_test(t, an_error_may_be_set_from_its_own_text);
    tcase_add_test(t, cutting_yields_every_part_and_empty_ones);
    tcase_add_test(t, numbers_are_strict);
    tcase_add_test(t, utf8_refuses_what_the_standard_refuses);
    tcase_add_test(t, escaping_makes_one_harmless_capped_line);
    tcase_add_test(t, an_arena_stops_at_its_ceiling_and_hands_out_zeroed_memory);
    tcase_add_test(t, a_buffer_past_its_ceiling_appends_nothing_and_says_so);
    tcase_add_test(t, base64_goes_both_ways_and_has_one_text_only);
    tcase_add_test(t, leb128_round_trips_at_every_edge);
    tcase_add_test(t, leb128_refuses_long_and_large_numbers);
    tcase_add_test(t, a_reader_fails_once_and_keeps_offset_and_cause);
    tcase_add_test(t, a_part_must_be_consumed_exactly);
    tcase_add_test(t, a_map_finds_by_view);
    tcase_add_test(t, ids_have_their_shapes_and_ulids_grow);
    tcase_add_test(t, nothing_lands_where_standard_output_was_closed);
    tcase_add_test(t, times_print_as_rfc3339);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
