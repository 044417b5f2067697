/* SPDX-License-Identifier: Apache-2.0 */
/* What the HTTP server must refuse, and the unusual that it must not. */
#include "tests/http/harness.h"

/* Every one must be refused, or answered exactly once and never taken for two requests. */
static const struct {
    const char *what;
    struct str bytes;
    uint16_t status;
} hostile_rows[] = {
    {"bare CR in a value", STR_INIT("GET / HTTP/1.1\r\nHost: h\r\na: b\rc: d\r\n\r\n"), 400},
    {"bare LF after a field", STR_INIT("GET / HTTP/1.1\r\nHost: h\na: b\r\n\r\n"), 400},
    {"NUL in a value", STR_INIT("GET / HTTP/1.1\r\nHost: h\r\na: b\0c\r\n\r\n"), 400},
    {"folded value", STR_INIT("GET / HTTP/1.1\r\nHost: h\r\na: b\r\n c\r\n\r\n"), 400},
    {"blank before the colon", STR_INIT("GET / HTTP/1.1\r\nHost: h\r\nContent-Length : 0\r\n\r\n"),
     400},
    {"blank inside a name",
     STR_INIT("GET / HTTP/1.1\r\nHost: h\r\nTransfer Encoding: chunked\r\n\r\n"), 400},
    {"field without a name", STR_INIT("GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n"), 400},
    {"blank line first field", STR_INIT("GET / HTTP/1.1\r\n Host: h\r\n\r\n"), 400},
    {"length and coding",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: "
              "chunked\r\n\r\n0\r\n\r\n"),
     400},
    {"coding and length",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: "
              "5\r\n\r\n0\r\n\r\n"),
     400},
    {"two lengths",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
     400},
    {"the same length twice",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
     400},
    {"list of lengths", STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello"),
     400},
    {"signed length", STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello"),
     400},
    {"negative length", STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\nhello"),
     400},
    {"length with a blank",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5 0\r\n\r\nhello"), 400},
    {"hexadecimal length",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\nhello"), 400},
    {"huge length",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551617\r\n\r\n"), 400},
    {"empty length", STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n"), 400},
    {"coding in HTTP/1.0",
     STR_INIT("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400},
    {"two coding fields",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
              "chunked\r\n\r\n0\r\n\r\n"),
     400},
    {"two different coding fields",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: "
              "chunked\r\n\r\n0\r\n\r\n"),
     400},
    {"chunked is not the last",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
     400},
    {"unknown coding",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
     501},
    {"misspelt coding",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 501},
    {"coding behind a vertical tab",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n"), 400},
    {"no chunk size",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\r\n"), 400},
    {"chunk size with 0x",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
              "chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"),
     400},
    {"chunk size overflows",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
              "chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n"),
     400},
    {"bare LF after a chunk size",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
              "chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"),
     400},
    {"bare LF after chunk data",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
              "chunked\r\n\r\n5\r\nhello\n0\r\n\r\n"),
     400},
    {"junk after chunk data",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
              "chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"),
     400},
    {"bare LF in an extension",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
              "chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n"),
     400},
    {"coding with a parameter",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
     501},
    {"identity coding",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n"), 501},
    {"chunked twice",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
     400},
    {"empty coding", STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n"), 501},
    {"empty coding and a length",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello"),
     400},
    {"tab before the colon",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"), 400},
    {"coding in a folded value",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
     400},
    {"length behind a form feed",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \f5\r\n\r\nhello"), 400},
    {"chunk size with a sign",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
              "chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n"),
     400},
    {"negative chunk size",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
              "chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n"),
     400},
    {"blank before a chunk size",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n "
              "5\r\nhello\r\n0\r\n\r\n"),
     400},
    {"bare CR after a chunk size",
     STR_INIT(
         "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\rhello\r\n0\r\n\r\n"),
     400},
    {"folded trailer",
     STR_INIT(
         "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: b\r\n c\r\n\r\n"),
     400},
    {"bare LF after the last chunk",
     STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\n\r\n"), 400},
    {"absolute target without a host", STR_INIT("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"absolute target with a user", STR_INIT("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"absolute target and two Hosts",
     STR_INIT("GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400},
    {"no Host", STR_INIT("GET / HTTP/1.1\r\n\r\n"), 400},
    {"two Hosts", STR_INIT("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400},
    {"Host with a path", STR_INIT("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400},
    {"Host with a user", STR_INIT("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), 400},
    {"Host with a blank", STR_INIT("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400},
    {"no target", STR_INIT("GET HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"target without a slash", STR_INIT("GET foo HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"star for GET", STR_INIT("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"other scheme", STR_INIT("GET file:///etc HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"blank in the target", STR_INIT("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"high byte in the target", STR_INIT("GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"CONNECT", STR_INIT("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"), 501},
    {"HTTP/2 preface, spoilt", STR_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r!"), 505},
    {"HTTP/2.0", STR_INIT("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505},
    {"HTTP/0.9", STR_INIT("GET / HTTP/0.9\r\nHost: a\r\n\r\n"), 505},
    {"HTTP/1.2", STR_INIT("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 505},
    {"HTTP/1.10", STR_INIT("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), 505},
    {"lower-case version", STR_INIT("GET / http/1.1\r\nHost: a\r\n\r\n"), 400},
    {"no version", STR_INIT("GET /\r\n\r\n"), 505},
    {"unknown method", STR_INIT("GOT / HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"lower-case method", STR_INIT("get / HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"a response", STR_INIT("HTTP/1.1 200 OK\r\n\r\n"), 400},
    {"TLS", STR_INIT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 400},
    {"unknown expectation",
     STR_INIT("POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\nx"), 417},
};

START_TEST(hostile)
{
    for (size_t i = 0; i < ARRAY_LEN(hostile_rows); i++) {
        struct harness h;
        char want[32];
        harness_open(&h, ANSWER_LATER, NULL);
        http_sim_put(h.client, hostile_rows[i].bytes);
        http_sim_put(h.client, STR("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"));
        harness_wait(&h, 1);
        snprintf(want, sizeof want, "HTTP/1.1 %u ", hostile_rows[i].status);
        const char *got = harness_got(&h);
        ck_assert_msg(starts(got, want), "%s: wanted %u, got '%s'", hostile_rows[i].what,
                      hostile_rows[i].status, got);
        ck_assert_msg(!strstr(got + 1, "HTTP/1.1"), "%s: more than one answer",
                      hostile_rows[i].what);
        ck_assert_msg(http_sim_ended(h.client), "%s: connection goes on", hostile_rows[i].what);
        ck_assert_msg(!strstr(harness_log(&h), "smuggled"), "%s: smuggled", hostile_rows[i].what);
        ck_assert_msg(!h.open, "%s: exchange is still open", hostile_rows[i].what);
        harness_close(&h);
    }
}
END_TEST

static const char *const folded[] = {"GET / HTTP/1.1\r\nHost: h\r\nx-a: b\r\n c\r\n\r\n",
                                     "GET / HTTP/1.1\r\nHost: h\r\nx-a:\r\n\tc\r\n\r\n",
                                     "GET / HTTP/1.1\r\nHost: h\r\nx-a: \r\n \r\n c\r\n\r\n"};

START_TEST(folded_and_cut)
{
    const char *req = folded[_i];
    for (size_t cut = 0; cut < strlen(req); cut++) {
        struct harness h;
        harness_open(&h, ANSWER_LATER, NULL);
        http_sim_put(h.client, (struct str){req, cut});
        http_sim_put(h.client, str_of(req + cut));
        harness_wait(&h, 1);
        ck_assert_msg(starts(harness_got(&h), "HTTP/1.1 400 "), "cut at %zu: %s", cut,
                      harness_log(&h));
        harness_close(&h);
    }
}
END_TEST

/* What looks like the beginning of a folded value, and is none. */
START_TEST(empty_values_and_cut)
{
    const char *req = "GET / HTTP/1.1\r\nHost: h\r\nx:\r\nx: \r\nx:a\r\nx: \t\r\n\r\n";
    for (size_t cut = 0; cut < strlen(req); cut++) {
        struct harness h;
        harness_open(&h, ANSWER_END, NULL);
        http_sim_put(h.client, (struct str){req, cut});
        harness_put(&h, req + cut);
        ck_assert_msg(starts(harness_got(&h), "HTTP/1.1 200 "), "cut at %zu", cut);
        ck_assert_str_eq(harness_log(&h), "GET / x= x= x=a x=|;");
        harness_close(&h);
    }
}
END_TEST

/* Unusual but right. */
START_TEST(unusual)
{
    static const struct {
        const char *bytes, *log;
    } rows[] = {
        {"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET /|;"},
        {"GET / HTTP/1.1\nHost: h\r\n\r\n", "GET /|;"}, /* RFC 9112, 2.2 lets this through */
        {"GET http://a:1/b?c HTTP/1.1\r\nHost: h\r\n\r\n", "GET /b?c|;"},
        {"GET HTTP://a HTTP/1.1\r\nHost: h\r\n\r\n", "GET /|;"},
        {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS *|;"},
        {"PURGE / HTTP/1.1\r\nHost:\r\n\r\n", "PURGE /|;"},
        {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET /|;"},
        {"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "GET /|;"},
        {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "GET /|;"},
        {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab", "GET /|ab;"},
        {"GET / HTTP/1.1\r\nHost: h\r\nx: \xc3\xa4\r\n\r\n", "GET / x=\xc3\xa4|;"},
        {"GET / HTTP/1.1\r\nHost: h\r\nx:\r\nx: \r\nx:a\r\n\r\n", "GET / x= x= x=a|;"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", "POST /|;"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
         "chunked\r\n\r\n003;a=\"b\"\r\nabc\r\n0;z\r\n\r\n",
         "POST /|abc;"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct harness h;
        harness_open(&h, ANSWER_END, NULL);
        harness_put(&h, rows[i].bytes);
        const char *got = harness_got(&h);
        ck_assert_msg(starts(got, "HTTP/1.1 200 OK"), "row %zu: %s", i, got);
        ck_assert_str_eq(harness_log(&h), rows[i].log);
        harness_put(&h, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
        ck_assert_msg(starts(harness_got(&h), "HTTP/1.1 200 OK"), "row %zu: second", i);
        harness_close(&h);
    }
}
END_TEST

static void put_many(struct harness *h, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        http_sim_put(h->client, str_of(bytes));
    harness_wait(h, 1);
}

START_TEST(size_limits)
{
    static const struct http_limits limits = {
        .head_bytes_max = 1000, .headers_max = 10, .target_bytes_max = 100, .body_bytes_max = 50};
    static const struct {
        const char *first, *repeated;
        size_t n;
        const char *reply;
    } rows[] = {
        {"GET /", "x", 101, "HTTP/1.1 414 "},
        {"GET / HTTP/1.1\r\nHost: h\r\n", "a: b\r\n", 11, "HTTP/1.1 431 "},
        {"GET / HTTP/1.1\r\nHost: ", "a", 1001, "HTTP/1.1 431 "},
        {"GET / HTTP/1.1\r\nHost: h\r\na:", " ", 1001, "HTTP/1.1 431 "},
        {"", "\r\n", 600, "HTTP/1.1 431 "},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 51\r\n\r\n", "", 0, "HTTP/1.1 413 "},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", 51,
         "HTTP/1.1 413 "},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;", "x", 1001,
         "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n", 11,
         "HTTP/1.1 431 "},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct harness h;
        harness_open(&h, ANSWER_LATER, &limits);
        harness_put(&h, rows[i].first);
        put_many(&h, rows[i].repeated, rows[i].n);
        const char *got = harness_got(&h);
        ck_assert_msg(starts(got, rows[i].reply), "row %zu: %s", i, got);
        ck_assert_msg(http_sim_ended(h.client), "row %zu", i);
        ck_assert_msg(!h.open, "row %zu: handler was not told", i);
        harness_close(&h);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hostile http");
    TCase *t = tcase_create("sim");
    tcase_add_test(t, hostile);
    tcase_add_loop_test(t, folded_and_cut, 0, ARRAY_LEN(folded));
    tcase_add_test(t, empty_values_and_cut);
    tcase_add_test(t, unusual);
    tcase_add_test(t, size_limits);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
