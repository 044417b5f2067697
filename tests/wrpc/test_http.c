/* SPDX-License-Identifier: Apache-2.0 */
/* wrpc:http root bytes, both ways, and cut at every byte. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "lattice/base/num.h"
#include "wrpc/http.h"

static struct arena arena;
static struct buf out;
static struct err e;

static void setup(void)
{
    arena_init(&arena, 1 << 20);
    out = (struct buf)BUF_INIT;
    e = (struct err)ERR_INIT;
}
static void teardown(void)
{
    arena_fini(&arena);
    buf_fini(&out);
}

static void assert_hex(const char *want)
{
    struct buf hex = BUF_INIT;
    for (size_t i = 0; i < out.n; i++)
        buf_printf(&hex, "%s%02x", i ? " " : "", out.p[i]);
    buf_byte(&hex, 0);
    ck_assert_str_eq((char *)hex.p, want);
    buf_fini(&hex);
}

static void assert_field(const struct http_field *f, const char *name, const char *value)
{
    ck_assert(str_eqz(f->name, name));
    ck_assert(str_eqz(f->value, value));
}

/* An exact heap copy of the first n bytes, so that reading past them is seen. */
static struct span cut(size_t n)
{
    uint8_t *p = malloc(n + 1);
    memcpy(p, out.p, n);
    return (struct span){p, n};
}
static void uncut(struct span s)
{
    free((void *)(uintptr_t)s.p);
}

START_TEST(test_request)
{
    static const struct http_field fields[] = {
        {STR_INIT("Host"), STR_INIT("localhost:8080")},
        {STR_INIT("accept"), STR_INIT("*/*")},
    };
    struct http_request r = {STR("GET"),        STR("http"), STR("localhost:8080"),
                             STR("/hello?x=1"), fields,      2};
    ck_assert(http_request_encode(&r, &out, &e));
    assert_hex(
        "00 00 00 01 0a 2f 68 65 6c 6c 6f 3f 78 3d 31 01 00 01 0e 6c 6f 63 61 6c 68 6f 73 74 3a"
        " 38 30 38 30 02 04 68 6f 73 74 01 0e 6c 6f 63 61 6c 68 6f 73 74 3a 38 30 38 30 06 61 63"
        " 63 65 70 74 01 03 2a 2f 2a");
    struct http_request got;
    ck_assert(http_request_decode(buf_span(&out), &arena, &got, &e));
    ck_assert(str_eqz(got.method, "GET") && str_eqz(got.scheme, "http"));
    ck_assert(str_eq(got.authority, r.authority) && str_eq(got.path_with_query, r.path_with_query));
    ck_assert_uint_eq(got.nfields, 2);
    assert_field(&got.fields[0], "host", "localhost:8080");
    assert_field(&got.fields[1], "accept", "*/*");
    for (size_t n = 0; n < out.n; n++) {
        struct span s = cut(n);
        ck_assert(!http_request_decode(s, &arena, &got, &e));
        ck_assert_int_eq(e.code, ERR_NONE);
        uncut(s);
    }
}
END_TEST

START_TEST(test_other_method_and_scheme)
{
    struct http_request r = {STR("PURGE"), STR("ws"), STR_NONE, STR_NONE, NULL, 0}, got;
    ck_assert(http_request_encode(&r, &out, &e));
    assert_hex("00 00 09 05 50 55 52 47 45 00 01 02 02 77 73 00 00");
    ck_assert(http_request_decode(buf_span(&out), &arena, &got, &e));
    ck_assert(str_eqz(got.method, "PURGE") && str_eqz(got.scheme, "ws"));
    ck_assert(got.authority.n == 0 && got.path_with_query.n == 0 && got.nfields == 0);
}
END_TEST

START_TEST(test_methods)
{
    static const char *const names[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                        "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct http_request r = {.method = str_of(names[i])}, got;
        buf_clear(&out);
        ck_assert(http_request_encode(&r, &out, &e));
        ck_assert_uint_eq(out.p[2], i);
        ck_assert(http_request_decode(buf_span(&out), &arena, &got, &e));
        ck_assert(str_eq(got.method, r.method));
    }
}
END_TEST

START_TEST(test_names_are_merged)
{
    static const struct http_field fields[] = {{STR_INIT("a"), STR_INIT("1")},
                                               {STR_INIT("b"), STR_INIT("2")},
                                               {STR_INIT("A"), STR_INIT("3")},
                                               {STR_INIT("a"), STR_INIT("4")}};
    const struct http_field *got;
    size_t n;
    ck_assert(http_trailers_encode(fields, 4, &out, &e));
    assert_hex("01 02 01 61 03 01 31 01 33 01 34 01 62 01 01 32");
    ck_assert(http_trailers_decode(buf_span(&out), &arena, &got, &n, &e));
    ck_assert_uint_eq(n, 4);
    assert_field(&got[1], "a", "3");
    assert_field(&got[3], "b", "2");
}
END_TEST

START_TEST(test_trailers)
{
    static const struct http_field field = {STR_INIT("x"), STR_INIT("y")};
    const struct http_field *got;
    size_t n = 9;
    ck_assert(http_trailers_encode(NULL, 0, &out, &e));
    assert_hex("00");
    ck_assert(http_trailers_decode(buf_span(&out), &arena, &got, &n, &e));
    ck_assert_uint_eq(n, 0);
    buf_clear(&out);
    ck_assert(http_trailers_encode(&field, 1, &out, &e));
    assert_hex("01 01 01 78 01 01 79");
    ck_assert(!http_trailers_decode((struct span){out.p, 3}, &arena, &got, &n, &e));
    ck_assert_int_eq(e.code, ERR_NONE);
}
END_TEST

START_TEST(test_response)
{
    static const struct http_field field = {STR_INIT("Content-Type"), STR_INIT("text/plain")};
    struct http_response r = {200, &field, 1}, got;
    struct http_error error;
    bool is_error;
    ck_assert(http_response_encode(&r, &out, &e));
    assert_hex(
        "00 00 00 c8 01 01 0c 63 6f 6e 74 65 6e 74 2d 74 79 70 65 01 0a 74 65 78 74 2f 70 6c 61 69"
        " 6e");
    ck_assert(http_result_decode(buf_span(&out), &arena, &got, &error, &is_error, &e));
    ck_assert(!is_error && got.status == 200 && got.nfields == 1);
    assert_field(&got.fields[0], "content-type", "text/plain");
}
END_TEST

START_TEST(test_joined_response)
{
    static const struct http_field field = {STR_INIT("a"), STR_INIT("b")};
    static const struct http_field trailer = {STR_INIT("x"), STR_INIT("y")};
    struct http_response r = {.status = 200, .fields = &field, .nfields = 1}, got;
    struct http_error error;
    struct buf root = BUF_INIT, trailers = BUF_INIT;
    bool is_error;
    ck_assert(http_response_encode(&r, &root, &e));
    for (size_t n = 0; n < 2; n++) {
        buf_clear(&trailers);
        buf_clear(&out);
        ck_assert(http_trailers_encode(&trailer, n, &trailers, &e));
        http_response_join(buf_span(&root), str_span(STR("hey")), buf_span(&trailers), &out);
        if (n == 0)
            assert_hex("00 03 68 65 79 01 00 c8 01 01 01 61 01 01 62");
        ck_assert(http_result_decode(buf_span(&out), &arena, &got, &error, &is_error, &e));
        ck_assert(!is_error && got.status == 200 && got.nfields == 1 && got.trailers_ready);
        ck_assert(got.body.n == 3 && memcmp(got.body.p, "hey", 3) == 0);
        assert_field(&got.fields[0], "a", "b");
        ck_assert_uint_eq(got.ntrailers, n);
    }
    assert_field(&got.trailers[0], "x", "y");
    buf_fini(&root);
    buf_fini(&trailers);
}
END_TEST

START_TEST(test_bad_responses)
{
    static const uint8_t status[] = {0, 0, 0, 99, 0}, error[] = {1, 39};
    static const struct span all[] = {{status, 5}, {error, 2}};
    struct http_response r;
    struct http_error x;
    bool is_error;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        ck_assert(!http_result_decode(all[i], &arena, &r, &x, &is_error, &e));
        ck_assert_int_ne(e.code, ERR_NONE);
    }
}
END_TEST

/* ---- errors ---- */

static struct http_error decode_error(void)
{
    struct http_response r;
    struct http_error x;
    bool is_error = false;
    ck_assert_msg(http_result_decode(buf_span(&out), &arena, &r, &x, &is_error, &e), "%s", e.text);
    ck_assert(is_error);
    return x;
}

START_TEST(test_errors)
{
    struct http_error refused = {.code = HTTP_CONNECTION_REFUSED};
    ck_assert(http_error_encode(&refused, &out, &e));
    assert_hex("01 06");
    ck_assert_int_eq(decode_error().code, HTTP_CONNECTION_REFUSED);
    buf_clear(&out);
    struct http_error internal = {.code = HTTP_INTERNAL_ERROR, .text = STR("boom")};
    ck_assert(http_error_encode(&internal, &out, &e));
    assert_hex("01 26 01 04 62 6f 6f 6d");
    struct http_error x = decode_error();
    ck_assert(x.code == HTTP_INTERNAL_ERROR && str_eqz(x.text, "boom"));
    buf_clear(&out);
    ck_assert(http_error_encode(&x, &out, &e));
    assert_hex("01 26 01 04 62 6f 6f 6d");
}
END_TEST

START_TEST(test_error_payloads)
{
    struct wit_value text = wit_str(STR("SERVFAIL")), code = wit_u64(300);
    struct wit_value dns[] = {{.v = &text, .n = 1}, {.v = &code, .n = 1}};
    struct http_error x = {.code = HTTP_DNS_ERROR, .payload = {.v = dns, .n = 2}};
    ck_assert(http_error_encode(&x, &out, &e));
    assert_hex("01 01 01 08 53 45 52 56 46 41 49 4c 01 ac 02");
    buf_clear(&out);
    struct wit_value name = wit_str(STR("a"));
    struct wit_value size[] = {{.v = &name, .n = 1}, {.n = 0}}, field = {.v = size, .n = 2};
    x = (struct http_error){.code = HTTP_REQUEST_HEADER_SIZE, .payload = {.v = &field, .n = 1}};
    ck_assert(http_error_encode(&x, &out, &e));
    assert_hex("01 16 01 01 01 61 00");
}
END_TEST

/* Every case has its name in both tables, and can be sent without a payload. */
START_TEST(test_every_error)
{
    const struct wit_type *t = http_types_get()->error_code;
    for (uint32_t i = 0; i < HTTP_ERROR_COUNT; i++) {
        struct http_error x = {.code = (enum http_error_code)i};
        ck_assert(str_eqz(t->cases[i].name, http_error_name(x.code)));
        buf_clear(&out);
        ck_assert(http_error_encode(&x, &out, &e));
        ck_assert_uint_eq(decode_error().code, i);
    }
}
END_TEST

START_TEST(test_options)
{
    static const uint8_t bytes[] = {1,    1,    0x80, 0xe0, 0xa5, 0x96, 0xbb, 0x11,
                                    1,    0x80, 0xe0, 0xa5, 0x96, 0xbb, 0x11, 1,
                                    0x80, 0xe0, 0xa5, 0x96, 0xbb, 0x11};
    const struct wit_type *t = wit_option(&arena, http_types_get()->options, &e);
    struct wit_value v;
    size_t used;
    ck_assert(wit_decode(&t, 1, (struct span){bytes, sizeof bytes}, &arena, &v, &used, NULL, &e));
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(v.v->v[i].v->u64, UINT64_C(600000000000));
    ck_assert(wit_encode(&t, &v, 1, &out, NULL, &e));
    ck_assert(out.n == sizeof bytes && memcmp(out.p, bytes, out.n) == 0);
}
END_TEST

START_TEST(test_too_many_fields)
{
    static struct http_field fields[HTTP_FIELDS_MAX + 1];
    struct http_response r = {200, fields, ARRAY_LEN(fields)};
    ck_assert(!http_response_encode(&r, &out, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, test_request);
    tcase_add_test(c, test_other_method_and_scheme);
    tcase_add_test(c, test_methods);
    tcase_add_test(c, test_names_are_merged);
    tcase_add_test(c, test_trailers);
    tcase_add_test(c, test_response);
    tcase_add_test(c, test_joined_response);
    tcase_add_test(c, test_bad_responses);
    tcase_add_test(c, test_errors);
    tcase_add_test(c, test_error_payloads);
    tcase_add_test(c, test_every_error);
    tcase_add_test(c, test_options);
    tcase_add_test(c, test_too_many_fields);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
