/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client: whom it may ask, and requests to servers of our own on the same loop. */
#include "lattice/http/http_client_int.h"

#include <check.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"
#include "lattice/base/buf.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "lattice/http/http_server.h"

/* ---- whom it may ask ---- */

static bool fits(const char *patterns, const char *scheme, const char *authority)
{
    struct http_target t;
    struct err e = ERR_INIT;
    ck_assert_msg(http_allow_check(str_of(patterns), &e), "%s", e.text);
    ck_assert_msg(http_target_parse(str_of(scheme), str_of(authority), &t, &e), "%s", e.text);
    return http_allow_fits(str_of(patterns), &t);
}

START_TEST(patterns_name_scheme_host_and_port)
{
    static const struct {
        const char *patterns, *scheme, *authority;
        bool fits;
    } rows[] = {
        {"", "http", "a.org", false},
        {"*", "http", "a.org:99", true},
        {"a.org", "https", "a.org", true},
        {"a.org", "https", "A.ORG:8443", true},
        {"a.org", "http", "b.a.org", false},
        {"a.org", "http", "a.org.evil.net", false},
        {"a.org:443", "", "a.org", true},
        {"a.org:443", "http", "a.org", false},
        {"a.org:*", "http", "a.org:5", true},
        {"https://a.org", "http", "a.org:443", false},
        {"https://a.org", "HTTPS", "a.org:1", true},
        {"https://*", "http", "a.org", false},
        {"*.a.org", "http", "b.a.org", true},
        {"*.a.org", "http", "c.b.a.org", true},
        {"*.a.org", "http", "a.org", false},
        {"*.a.org", "http", "xa.org", false},
        {"x.org, a.org:80 ,y.org", "http", "a.org", true},
        {"[::1]:80", "http", "[::1]", true},
        {"[::1]:80", "http", "[::1]:81", false},
        {"127.0.0.1", "http", "127.0.0.1:5", true},
        {"*:80", "http", "anything", true},
        {"*:80", "https", "anything", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(fits(rows[i].patterns, rows[i].scheme, rows[i].authority) == rows[i].fits,
                      "row %zu", i);
}
END_TEST

START_TEST(what_is_no_pattern_or_authority_is_refused)
{
    static const char *const patterns[] = {"a b",     "ftp://a", "a.org:0", "a.org:65536",
                                           "a.org:x", "a.*",     "**",      "http://a.org/path",
                                           ":80",     "*a.org",  "u@h"};
    static const char *const authorities[] = {"",      ":80",  "a:",   "u@h",      "a b",
                                              "a/b",   "a:0",  "a:-1", "a:123456", "[::1",
                                              "[x y]", "a%41", "a#b"};
    struct http_target t;
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        struct err e = ERR_INIT;
        ck_assert_msg(!http_allow_check(str_of(patterns[i]), &e), "%s", patterns[i]);
        ck_assert_ptr_nonnull(strstr(e.text, "is no pattern"));
    }
    for (size_t i = 0; i < ARRAY_LEN(authorities); i++) {
        struct err e = ERR_INIT;
        ck_assert_msg(!http_target_parse(STR("http"), str_of(authorities[i]), &t, &e), "%s",
                      authorities[i]);
    }
}
END_TEST

/* ---- requests to a server of ours ---- */

struct rig {
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    struct str authority;
    int requests, open; /* fetches that have not ended */
};

struct seen {
    struct rig *rig;
    struct http_fetch *fetch;
    uint16_t status;
    struct buf body;
    char end[64]; /* "done" or the failure's name */
    bool free_in_head, hold;
};

static void settled(struct seen *s, const char *how)
{
    snprintf(s->end, sizeof s->end, "%s", how);
    if (--s->rig->open == 0)
        loop_stop(s->rig->loop);
}

static void on_head(void *user, uint16_t status, const struct http_fetch_field *fields, size_t n)
{
    struct seen *s = user;
    (void)fields;
    ck_assert_uint_gt(n, 0);
    s->status = status;
    if (s->free_in_head) {
        http_fetch_free(MOVE(s->fetch));
        settled(s, "freed");
    }
}

static void on_body(void *user, struct span data)
{
    struct seen *s = user;
    buf_put(&s->body, data.p, data.n);
    if (!s->hold)
        http_fetch_consumed(s->fetch, data.n);
}

static void on_end(void *user, const struct http_fetch_field *trailers, size_t n)
{
    (void)trailers;
    (void)n;
    settled(user, "done");
}

static void on_fail(void *user, enum http_failure why, const char *text)
{
    ck_assert(*text);
    settled(user, http_failure_name(why));
}

static void on_sent(void *user, size_t n)
{
    (void)user;
    ck_assert_uint_gt(n, 0);
}

static const struct http_fetch_handler handler = {on_head, on_body, on_end, on_fail, on_sent};

/* Answers with as many bytes as the path says. */
static void on_request(void *user, struct http_exchange *x)
{
    struct rig *r = user;
    static uint8_t zeros[1 << 20];
    struct err e = ERR_INIT;
    struct str path = http_exchange_head(x)->path;
    uint64_t n = 0;
    r->requests++;
    if (str_eqz(path, "/silent"))
        return;
    str_u64(str_sub(path, 1, path.n), &n);
    http_reply_full(x, 200, NULL, 0, (struct span){zeros, MIN(n, sizeof zeros)}, &e);
}

static void ignore_body(void *user, struct http_exchange *x, struct span data)
{
    (void)user;
    http_body_consumed(x, data.n);
}

static void ignore_end(void *user, struct http_exchange *x, const struct http_header *t, size_t n)
{
    (void)user;
    (void)x;
    (void)t;
    (void)n;
}

static void ignore(void *user, struct http_exchange *x)
{
    (void)user;
    (void)x;
}

static void ignore_gone(void *user, struct http_exchange *x, enum http_gone why)
{
    (void)user;
    (void)x;
    (void)why;
}

static const struct http_handler server_handler = {
    .request = on_request,
    .body = ignore_body,
    .body_end = ignore_end,
    .drained = ignore,
    .gone = ignore_gone,
};

static void open_rig(struct rig *r, const char *allow)
{
    struct err e = ERR_INIT;
    *r = (struct rig){.loop = loop_new()};
    struct http_client_opts opts = {.loop = r->loop, .allow = allow};
    ck_assert_msg(http_client_open(&opts, &r->client, &e), "%s", e.text);
    struct http_server_opts server = {
        .address = STR("127.0.0.1:0"), .handler = &server_handler, .user = r};
    ck_assert_msg(http_server_open(r->loop, &server, &r->server, &e), "%s", e.text);
    r->authority = http_server_address(r->server);
}

static void close_rig(struct rig *r)
{
    http_client_close(r->client);
    http_server_close(r->server);
    loop_free(r->loop);
}

static enum http_failure ask(struct rig *r, struct seen *s, const char *path,
                             uint64_t first_byte_ms)
{
    enum http_failure why = HTTP_FAIL_INTERNAL;
    struct err e = ERR_INIT;
    struct http_fetch_opts o = {.method = STR("GET"),
                                .scheme = STR("http"),
                                .authority = r->authority,
                                .path_with_query = str_of(path),
                                .first_byte_ms = first_byte_ms,
                                .handler = &handler,
                                .user = s};
    s->rig = r;
    s->fetch = http_fetch_open(r->client, &o, &why, &e);
    r->open += s->fetch != NULL;
    return why;
}

static void seen_fini(struct seen *s)
{
    http_fetch_free(s->fetch);
    buf_fini(&s->body);
}

START_TEST(responses_come_whole)
{
    struct rig r;
    struct seen a = {0}, b = {0};
    open_rig(&r, "127.0.0.1");
    ask(&r, &a, "/1000000", 0);
    ask(&r, &b, "/3", 0);
    loop_run(r.loop);
    ck_assert_uint_eq(a.status, 200);
    ck_assert_uint_eq(a.body.n, 1000000);
    ck_assert_uint_eq(b.body.n, 3);
    ck_assert_str_eq(a.end, "done");
    ck_assert_str_eq(b.end, "done");
    seen_fini(&a);
    seen_fini(&b);
    close_rig(&r);
}
END_TEST

static void stop(void *user)
{
    loop_stop(user);
}

START_TEST(a_slow_reader_stops_the_sender)
{
    struct rig r;
    struct seen a = {.hold = true};
    open_rig(&r, "127.0.0.1");
    ask(&r, &a, "/1000000", 0);
    while (a.body.n < HTTP_FETCH_WINDOW) {
        loop_after(r.loop, 5, stop, r.loop);
        loop_run(r.loop);
    }
    loop_after(r.loop, 50, stop, r.loop);
    loop_run(r.loop);
    ck_assert_uint_lt(a.body.n, HTTP_FETCH_WINDOW + 32768);
    a.hold = false;
    http_fetch_consumed(a.fetch, a.body.n);
    loop_run(r.loop);
    ck_assert_uint_eq(a.body.n, 1000000);
    ck_assert_str_eq(a.end, "done");
    seen_fini(&a);
    close_rig(&r);
}
END_TEST

START_TEST(a_fetch_may_be_freed_in_its_callback)
{
    struct rig r;
    struct seen a = {.free_in_head = true}, b = {0};
    open_rig(&r, "127.0.0.1");
    ask(&r, &a, "/1000000", 0);
    ask(&r, &b, "/1000000", 0);
    loop_run(r.loop);
    ck_assert_uint_eq(a.body.n, 0);
    ck_assert_uint_eq(b.body.n, 1000000);
    seen_fini(&b);
    close_rig(&r);
}
END_TEST

START_TEST(a_server_that_says_nothing_is_given_up)
{
    struct rig r;
    struct seen a = {0};
    open_rig(&r, "127.0.0.1");
    ask(&r, &a, "/silent", 50);
    loop_run(r.loop);
    ck_assert_str_eq(a.end, "connection-read-timeout");
    seen_fini(&a);
    close_rig(&r);
}
END_TEST

START_TEST(only_allowed_servers_are_asked)
{
    struct rig r;
    struct seen a = {0};
    open_rig(&r, "example.org,127.0.0.2");
    ck_assert_int_eq(ask(&r, &a, "/1", 0), HTTP_FAIL_DENIED);
    ck_assert_ptr_null(a.fetch);
    ck_assert_int_eq(r.requests, 0);
    close_rig(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http/client");
    TCase *c = tcase_create("client");
    tcase_add_test(c, patterns_name_scheme_host_and_port);
    tcase_add_test(c, what_is_no_pattern_or_authority_is_refused);
    tcase_add_test(c, responses_come_whole);
    tcase_add_test(c, a_slow_reader_stops_the_sender);
    tcase_add_test(c, a_fetch_may_be_freed_in_its_callback);
    tcase_add_test(c, a_server_that_says_nothing_is_given_up);
    tcase_add_test(c, only_allowed_servers_are_asked);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
