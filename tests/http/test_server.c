/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of the HTTP server: framing, pipelining, back-pressure, deadlines, the end. */
#include "tests/http/harness.h"

/* ---- framing ---- */

START_TEST(plain_get)
{
    struct harness h;
    harness_open(&h, ANSWER_HELLO, NULL);
    harness_put(&h, "GET /a?b=c HTTP/1.1\r\nHost: h\r\nx-a:  1 \r\nx-e:\r\n\r\n");
    ck_assert_str_eq(harness_log(&h), "GET /a?b=c x-a=1 x-e=|");
    const char *got = harness_got(&h);
    ck_assert_msg(strstr(got, "\r\ncontent-length: 5\r\n\r\nhello"), "%s", got);
    ck_assert_msg(strstr(got, "\r\ndate: "), "%s", got);
    ck_assert(!http_sim_ended(h.client));
    harness_put(&h, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert_str_eq(harness_log(&h), "GET /2|");
    harness_close(&h);
}
END_TEST

/* The same bytes, cut at every place and fed one at a time. */
START_TEST(cut_anywhere)
{
    const char *req =
        "POST /p HTTP/1.1\r\nHost: h\r\nx-long: abc def\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5;ext=1\r\nhello\r\nb\r\n wide world\r\n0\r\nx-t: end\r\n\r\nGET /n HTTP/1.1\r\nHost: "
        "h\r\n\r\n";
    const char *want = "POST /p x-long=abc def|hello wide world[x-t=end];GET /n|;";
    for (size_t cut = 0; cut <= strlen(req); cut++) {
        struct harness h;
        harness_open(&h, ANSWER_END, NULL);
        http_sim_put(h.client, (struct str){req, cut});
        http_sim_put(h.client, str_of(req + cut));
        ck_assert_str_eq(harness_log(&h), want);
        harness_connect(&h);
        if (cut == 0) {
            for (size_t i = 0; i < strlen(req); i++)
                http_sim_put(h.client, (struct str){req + i, 1});
            ck_assert_str_eq(harness_log(&h), want);
        }
        harness_close(&h);
    }
}
END_TEST

START_TEST(echo_chunked)
{
    struct harness h;
    harness_open(&h, ANSWER_ECHO, NULL);
    harness_put(&h, "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n0123456789");
    const char *got = harness_got(&h);
    ck_assert_msg(strstr(got, "transfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n"), "%s", got);
    harness_put(&h, "abcdefghij");
    ck_assert_str_eq(harness_got(&h), "a\r\nabcdefghij\r\n0\r\n\r\n");
    ck_assert(!http_sim_ended(h.client));
    harness_close(&h);
}
END_TEST

START_TEST(http10)
{
    struct harness h;
    harness_open(&h, ANSWER_ECHO, NULL);
    harness_put(&h, "POST /p HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc");
    const char *got = harness_got(&h);
    ck_assert_msg(strstr(got, "connection: close\r\n\r\nabc"), "%s", got);
    ck_assert(!strstr(got, "chunked"));
    ck_assert(http_sim_ended(h.client));
    h.answer = ANSWER_HELLO;
    harness_connect(&h);
    harness_put(&h, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    ck_assert(strstr(harness_got(&h), "connection: keep-alive\r\n"));
    ck_assert(!http_sim_ended(h.client));
    harness_put(&h, "GET / HTTP/1.0\r\n\r\n");
    ck_assert(strstr(harness_got(&h), "connection: close\r\n"));
    ck_assert(http_sim_ended(h.client) && !http_sim_broken(h.client));
    harness_close(&h);
}
END_TEST

START_TEST(replies_without_body)
{
    struct harness h;
    struct err e = ERR_INIT;
    static const struct http_header five[] = {{STR_INIT("Content-Length"), STR_INIT("5")}};
    harness_open(&h, ANSWER_LATER, NULL);
    static const struct {
        const char *method;
        uint16_t status;
        bool length;
    } rows[] = {{"HEAD", 200, true}, {"GET", 204, false}, {"GET", 304, true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char req[64];
        snprintf(req, sizeof req, "%s / HTTP/1.1\r\nHost: h\r\n\r\n", rows[i].method);
        harness_put(&h, req);
        ck_assert(http_reply_head(h.open, rows[i].status, five, 1, &e));
        http_reply_body(h.open, str_span(STR("hello")));
        http_reply_end(h.open, NULL, 0);
        harness_wait(&h, 1);
        const char *got = harness_got(&h);
        ck_assert_msg(!!strstr(got, "content-length: 5") == rows[i].length, "%s", got);
        ck_assert_msg(!strstr(got, "hello") && !strstr(got, "chunked"), "%s", got);
        ck_assert_str_eq(got + strlen(got) - 4, "\r\n\r\n");
    }
    ck_assert(!http_sim_ended(h.client));
    harness_close(&h);
}
END_TEST

START_TEST(reply_fields)
{
    struct harness h;
    struct err e = ERR_INIT;
    static const struct http_header hop[] = {
        {STR_INIT("Connection"), STR_INIT("upgrade")},
        {STR_INIT("Transfer-Encoding"), STR_INIT("gzip")},
        {STR_INIT("Date"), STR_INIT("today")},
        {STR_INIT("Set-Cookie"), STR_INIT("a=1")},
        {STR_INIT("Set-Cookie"), STR_INIT("b=2")},
    };
    static const struct http_header trailers[] = {{STR_INIT("x-sum"), STR_INIT("7")},
                                                  {STR_INIT("Content-Length"), STR_INIT("7")}};
    static const struct http_header bad[][1] = {
        {{STR_INIT("a b"), STR_INIT("1")}},
        {{STR_INIT(""), STR_INIT("1")}},
        {{STR_INIT("a"), STR_INIT("x\r\ny: 1")}},
        {{STR_INIT("a"), STR_INIT("x\0y")}},
        {{STR_INIT("content-length"), STR_INIT("5, 5")}},
        {{STR_INIT("content-length"), STR_INIT("-1")}},
    };
    harness_open(&h, ANSWER_LATER, NULL);
    harness_put(&h, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!http_reply_head(h.open, 200, bad[i], 1, &e), "%zu", i);
    ck_assert(!http_reply_head(h.open, 101, NULL, 0, &e));
    ck_assert(!http_reply_started(h.open));
    ck_assert(http_reply_head(h.open, 299, hop, ARRAY_LEN(hop), &e));
    http_reply_body(h.open, str_span(STR("x")));
    http_reply_body(h.open, (struct span){NULL, 0});
    http_reply_end(MOVE(h.open), trailers, 2);
    harness_wait(&h, 1);
    ck_assert_str_eq(harness_got(&h),
                     "HTTP/1.1 299 \r\nDate: today\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
                     "transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-sum: 7\r\n\r\n");
    harness_close(&h);
}
END_TEST

/* A body that does not keep its content-length: cut when longer, broken connection when shorter. */
START_TEST(broken_promises)
{
    struct harness h;
    struct err e = ERR_INIT;
    static const struct http_header five[] = {{STR_INIT("content-length"), STR_INIT("5")}};
    harness_open(&h, ANSWER_LATER, NULL);
    harness_put(&h, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert(http_reply_head(h.open, 200, five, 1, &e));
    http_reply_body(h.open, str_span(STR("hello, HTTP/1.1 200 OK")));
    http_reply_end(MOVE(h.open), NULL, 0);
    harness_wait(&h, 1);
    const char *got = harness_got(&h);
    ck_assert_str_eq(got + strlen(got) - 9, "\r\n\r\nhello");
    ck_assert(http_sim_ended(h.client));
    harness_connect(&h);
    harness_put(&h, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert(http_reply_head(h.open, 200, five, 1, &e));
    http_reply_body(h.open, str_span(STR("hell")));
    http_reply_end(MOVE(h.open), NULL, 0);
    harness_wait(&h, 1);
    ck_assert(http_sim_broken(h.client));
    ck_assert_uint_eq(http_server_connections(h.server), 0);
    harness_close(&h);
}
END_TEST

START_TEST(expect_continue)
{
    struct harness h;
    const char *req =
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    harness_open(&h, ANSWER_END, NULL);
    harness_put(&h, req);
    ck_assert_str_eq(harness_got(&h), "HTTP/1.1 100 Continue\r\n\r\n");
    harness_put(&h, "abc");
    ck_assert(starts(harness_got(&h), "HTTP/1.1 200 OK"));
    ck_assert(!http_sim_ended(h.client));
    /* a final answer instead: what the client sends next is anybody's guess */
    h.answer = ANSWER_HELLO;
    harness_put(&h, req);
    const char *got = harness_got(&h);
    ck_assert(starts(got, "HTTP/1.1 200 OK") && strstr(got, "connection: close"));
    ck_assert(http_sim_ended(h.client));
    harness_close(&h);
}
END_TEST

/* ---- pipelining, early replies, leaving clients ---- */

START_TEST(pipelining)
{
    struct harness h;
    harness_open(&h, ANSWER_LATER, NULL);
    harness_put(&h,
                "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTT");
    ck_assert_str_eq(harness_log(&h), "GET /1|;");
    harness_put(&h, "P/1.1\r\nHost: h\r\n\r\n");
    harness_hello(&h);
    ck_assert_str_eq(harness_log(&h), "GET /2|;");
    harness_hello(&h);
    ck_assert_str_eq(harness_log(&h), "GET /3|;");
    harness_hello(&h);
    harness_got(&h);
    /* answered at once: one write carries all */
    h.answer = ANSWER_HELLO;
    harness_put(&h, "GET /4 HTTP/1.1\r\nHost: h\r\n\r\nGET /5 HTTP/1.1\r\nHost: h\r\n\r\n");
    const char *got = harness_got(&h);
    ck_assert(strstr(strstr(got, "hello") + 1, "hello"));
    harness_close(&h);
}
END_TEST

START_TEST(reads_ahead_up_to_a_bound)
{
    struct harness h;
    harness_open(&h, ANSWER_LATER, &(struct http_limits){.pipeline_bytes_max = 64});
    harness_put(&h, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert(http_sim_reads(h.client));
    harness_put(&h, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n\r\n"
                    "GET /4 HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert(!http_sim_reads(h.client));
    for (int i = 1; i <= 4; i++) {
        ck_assert_uint_eq(h.requests, (unsigned)i);
        harness_hello(&h);
    }
    ck_assert(http_sim_reads(h.client));
    ck_assert_str_eq(harness_log(&h), "GET /1|;GET /2|;GET /3|;GET /4|;");
    harness_close(&h);
}
END_TEST

START_TEST(client_leaves)
{
    struct harness h;
    harness_open(&h, ANSWER_LATER, NULL);
    harness_put(&h, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    http_sim_put_eof(h.client);
    ck_assert_uint_eq(h.gone, 1);
    ck_assert_uint_eq(h.why, HTTP_GONE_CLIENT);
    ck_assert_uint_eq(http_server_connections(h.server), 0);
    harness_connect(&h);
    harness_put(&h, "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
    http_sim_put_eof(h.client);
    ck_assert_uint_eq(h.gone, 2);
    /* whoever was answered and closed its side still gets the answer */
    h.answer = ANSWER_HELLO;
    harness_connect(&h);
    http_sim_put(h.client, STR("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"));
    http_sim_put_eof(h.client);
    harness_wait(&h, 1);
    ck_assert(starts(harness_got(&h), "HTTP/1.1 200 OK"));
    ck_assert(http_sim_ended(h.client));
    ck_assert_uint_eq(h.gone, 2);
    harness_close(&h);
}
END_TEST

START_TEST(answer_before_the_body)
{
    struct harness h;
    char many[1024];
    memset(many, 'x', sizeof many - 1);
    many[sizeof many - 1] = 0;
    harness_open(&h, ANSWER_HELLO, NULL);
    harness_put(&h, "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
    harness_put(&h, "cdeGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert_str_eq(harness_log(&h), "POST /1|GET /2|");
    harness_got(&h);
    harness_put(&h, "POST /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    for (int i = 0; i < 500 && !http_sim_ended(h.client); i++)
        harness_put(&h, many);
    ck_assert(http_sim_ended(h.client)); /* not worth reading all of it */
    ck_assert(starts(harness_got(&h), "HTTP/1.1 200 OK"));
    ck_assert(!http_sim_broken(h.client));
    harness_close(&h);
}
END_TEST

START_TEST(abort_breaks_the_connection)
{
    struct harness h;
    struct err e = ERR_INIT;
    harness_open(&h, ANSWER_LATER, NULL);
    harness_put(&h, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert(http_reply_head(h.open, 200, NULL, 0, &e));
    http_exchange_abort(MOVE(h.open));
    ck_assert(http_sim_broken(h.client));
    ck_assert_uint_eq(h.gone, 0);
    harness_close(&h);
}
END_TEST

/* ---- back-pressure ---- */

START_TEST(request_body_waits_for_its_reader)
{
    struct harness h;
    harness_open(&h, ANSWER_LATER, &(struct http_limits){.body_window_bytes = 10});
    h.hold = true;
    harness_put(&h, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\n");
    harness_put(&h, "0123456");
    ck_assert(http_sim_reads(h.client));
    harness_put(&h, "0123456");
    ck_assert(!http_sim_reads(h.client));
    harness_wait(&h, 100000); /* the client is not to blame */
    ck_assert_uint_eq(h.gone, 0);
    http_body_consumed(h.open, 5);
    ck_assert(http_sim_reads(h.client));
    harness_put(&h, "0123456");
    ck_assert_str_eq(harness_log(&h), "POST /|012345601234560123456");
    harness_close(&h);
}
END_TEST

START_TEST(reply_waits_for_the_client)
{
    struct harness h;
    struct err e = ERR_INIT;
    uint8_t block[1000] = {0};
    struct span data = {block, sizeof block};
    harness_open(&h, ANSWER_LATER,
                 &(struct http_limits){.write_high_bytes = 3000, .write_low_bytes = 500});
    http_sim_take(h.client, 0);
    harness_put(&h, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert(http_reply_head(h.open, 200, NULL, 0, &e));
    while (http_reply_body(h.open, data) < 3000) {
        harness_wait(&h, 1);
    }
    harness_wait(&h, 5000);
    ck_assert_uint_eq(h.drained, 0);
    http_sim_take(h.client, SIZE_MAX);
    harness_wait(&h, 1);
    ck_assert_uint_eq(h.drained, 1);
    http_reply_end(MOVE(h.open), NULL, 0);
    harness_wait(&h, 1);
    ck_assert(!http_sim_ended(h.client));
    harness_close(&h);
}
END_TEST

/* ---- deadlines and limits ---- */

START_TEST(deadlines)
{
    static const struct {
        const char *what, *bytes;
        uint32_t alive_ms, over_ms;
        const char *reply; /* NULL: none */
        bool gone;
    } rows[] = {
        {"silent from the start", "", 14000, 17000, NULL, false},
        {"slow head", "GET / HTTP/1.1\r\nHost", 14000, 17000, "HTTP/1.1 408 ", false},
        {"slow body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc", 29000, 32000,
         "HTTP/1.1 408 ", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct harness h;
        harness_open(&h, ANSWER_LATER, NULL);
        harness_put(&h, rows[i].bytes);
        harness_wait(&h, rows[i].alive_ms);
        ck_assert_msg(!http_sim_ended(h.client), "%s: ended early", rows[i].what);
        harness_wait(&h, rows[i].over_ms - rows[i].alive_ms);
        ck_assert_msg(http_sim_ended(h.client), "%s: still open", rows[i].what);
        const char *got = harness_got(&h);
        ck_assert_msg(rows[i].reply ? starts(got, rows[i].reply) : !*got, "%s: %s", rows[i].what,
                      got);
        ck_assert_msg(h.gone == rows[i].gone, "%s", rows[i].what);
        harness_wait(&h, 5000); /* a client that never closes is left behind */
        ck_assert_uint_eq(http_server_connections(h.server), 0);
        harness_close(&h);
    }
}
END_TEST

START_TEST(idle_deadline)
{
    struct harness h;
    harness_open(&h, ANSWER_HELLO, NULL);
    harness_put(&h, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    harness_wait(&h, 70000);
    harness_put(&h, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert_uint_eq(h.requests, 2);
    harness_wait(&h, 70000);
    ck_assert_uint_eq(http_server_connections(h.server), 1);
    harness_wait(&h, 8000);
    ck_assert_uint_eq(http_server_connections(h.server), 0);
    harness_close(&h);
}
END_TEST

START_TEST(a_pending_reply_has_no_deadline)
{
    struct harness h;
    harness_open(&h, ANSWER_LATER, NULL);
    harness_put(&h, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    harness_wait(&h, 3600000);
    ck_assert_uint_eq(h.gone, 0);
    harness_hello(&h);
    ck_assert(starts(harness_got(&h), "HTTP/1.1 200 OK"));
    harness_close(&h);
}
END_TEST

START_TEST(trickling_body)
{
    struct harness h;
    harness_open(&h, ANSWER_LATER, NULL);
    harness_put(&h, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    for (int i = 0; i < 60 && !h.gone; i++) {
        harness_put(&h, "x");
        harness_wait(&h, 1000);
    }
    ck_assert_uint_eq(h.why, HTTP_GONE_TIMEOUT);
    ck_assert_uint_eq(h.gone, 1);
    harness_close(&h);
}
END_TEST

START_TEST(client_that_does_not_read)
{
    struct harness h;
    struct err e = ERR_INIT;
    harness_open(&h, ANSWER_LATER, NULL);
    http_sim_take(h.client, 0);
    harness_put(&h, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert(http_reply_head(h.open, 200, NULL, 0, &e));
    harness_wait(&h, 29000);
    http_sim_take(h.client, 3); /* progress */
    harness_wait(&h, 29000);
    ck_assert_uint_eq(h.gone, 0);
    harness_wait(&h, 40000);
    ck_assert_uint_eq(h.gone, 1);
    ck_assert_uint_eq(h.why, HTTP_GONE_TIMEOUT);
    harness_close(&h);
}
END_TEST

START_TEST(connection_limits)
{
    struct harness h;
    struct err e = ERR_INIT;
    struct http_sim_client *c[3] = {NULL};
    harness_open(&h, ANSWER_HELLO,
                 &(struct http_limits){.connections_max = 3, .connections_per_address_max = 2});
    ck_assert(http_sim_connect(h.loop, STR("1.2.3.4:80"), STR("9.9.9.9"), &c[0], &e));
    ck_assert(!http_sim_connect(h.loop, STR("1.2.3.4:80"), STR("9.9.9.9"), &c[1], &e));
    ck_assert(http_sim_connect(h.loop, STR("1.2.3.4:80"), STR("8.8.8.8"), &c[1], &e));
    ck_assert(!http_sim_connect(h.loop, STR("1.2.3.4:80"), STR("7.7.7.7"), &c[2], &e));
    http_sim_close(c[0]);
    ck_assert(http_sim_connect(h.loop, STR("1.2.3.4:80"), STR("7.7.7.7"), &c[2], &e));
    http_server_close(MOVE(h.server));
    http_sim_close(c[1]);
    http_sim_close(c[2]);
    harness_close(&h);
}
END_TEST

START_TEST(last_request_of_a_connection)
{
    struct harness h;
    harness_open(&h, ANSWER_HELLO, &(struct http_limits){.requests_max = 2});
    harness_put(&h, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert(!strstr(harness_got(&h), "connection:"));
    ck_assert(!http_sim_ended(h.client));
    harness_put(&h, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert(strstr(harness_got(&h), "connection: close\r\n"));
    ck_assert(http_sim_ended(h.client));
    ck_assert_uint_eq(h.requests, 2);
    harness_close(&h);
}
END_TEST

/* New limits and a new user from the next request on, on connections that are open. */
START_TEST(options_change_under_way)
{
    struct harness h, other = {.answer = ANSWER_HELLO};
    struct http_server_opts opts = {
        .limits = {.headers_max = 1}, .handler = &handler, .user = &other};
    harness_open(&h, ANSWER_LATER, NULL);
    harness_put(&h, "GET /1 HTTP/1.1\r\nHost: h\r\na: b\r\n\r\n");
    http_server_change(h.server, &opts);
    harness_hello(&h);
    ck_assert(starts(harness_got(&h), "HTTP/1.1 200 "));
    harness_put(&h, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert(starts(harness_got(&h), "HTTP/1.1 200 "));
    ck_assert_uint_eq(h.requests, 1);
    ck_assert_uint_eq(other.requests, 1);
    harness_put(&h, "GET /3 HTTP/1.1\r\nHost: h\r\na: b\r\n\r\n");
    ck_assert(starts(harness_got(&h), "HTTP/1.1 431 "));
    buf_fini(&other.log);
    harness_close(&h);
}
END_TEST

/* ---- the end ---- */

static void on_stopped(void *user)
{
    ((struct harness *)user)->stopped++;
}

START_TEST(graceful_stop)
{
    struct harness h;
    struct err e = ERR_INIT;
    struct http_sim_client *busy, *late;
    harness_open(&h, ANSWER_LATER, NULL);
    ck_assert(http_sim_connect(h.loop, STR("1.2.3.4:80"), STR("9.9.9.9"), &busy, &e));
    http_sim_put(busy, STR("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"));
    http_server_stop(h.server, 60000, on_stopped, &h);
    ck_assert(http_sim_ended(h.client)); /* idle */
    ck_assert(!http_sim_connect(h.loop, STR("1.2.3.4:80"), STR("9.9.9.9"), &late, &e));
    harness_wait(&h, 1000);
    ck_assert_uint_eq(h.stopped, 0);
    harness_hello(&h);
    ck_assert(strstr((const char *)http_sim_got(busy).p, "connection: close"));
    http_sim_put_eof(busy);
    harness_wait(&h, 1);
    ck_assert_uint_eq(h.stopped, 1);
    http_sim_close(busy);
    harness_close(&h);
}
END_TEST

START_TEST(stop_sends_what_was_answered)
{
    struct harness h;
    harness_open(&h, ANSWER_HELLO, NULL);
    http_sim_put(h.client, STR("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"));
    http_server_stop(h.server, 60000, on_stopped,
                     &h); /* the reply leaves at the end of this turn */
    harness_wait(&h, 1);
    ck_assert_uint_gt(http_sim_got(h.client).n, 0);
    ck_assert(http_sim_ended(h.client));
    http_sim_put_eof(h.client);
    harness_wait(&h, 1);
    ck_assert_uint_eq(h.stopped, 1);
    harness_close(&h);
}
END_TEST

START_TEST(stop_does_not_wait_for_ever)
{
    struct harness h;
    harness_open(&h, ANSWER_LATER, NULL);
    harness_put(&h, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    http_server_stop(h.server, 500, on_stopped, &h);
    harness_wait(&h, 499);
    ck_assert_uint_eq(h.stopped, 0);
    harness_wait(&h, 2);
    ck_assert_uint_eq(h.stopped, 1);
    http_server_close(MOVE(h.server));
    ck_assert_uint_eq(h.why, HTTP_GONE_CLOSED);
    ck_assert_uint_eq(h.gone, 1);
    harness_close(&h);
}
END_TEST

START_TEST(address_in_use)
{
    struct harness h;
    struct err e = ERR_INIT;
    struct http_server *second;
    struct http_server_opts opts = {.address = STR("1.2.3.4:80"), .handler = &handler, .user = &h};
    harness_open(&h, ANSWER_HELLO, NULL);
    ck_assert(!http_server_open(h.loop, &opts, &second, &e));
    ck_assert_uint_eq(e.code, ERR_EXISTS);
    ck_assert_str_eq(e.text, "listen on 1.2.3.4:80: address already in use");
    harness_close(&h);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http server");
    TCase *t = tcase_create("sim");
    tcase_add_test(t, plain_get);
    tcase_add_test(t, cut_anywhere);
    tcase_add_test(t, echo_chunked);
    tcase_add_test(t, http10);
    tcase_add_test(t, replies_without_body);
    tcase_add_test(t, reply_fields);
    tcase_add_test(t, broken_promises);
    tcase_add_test(t, expect_continue);
    tcase_add_test(t, pipelining);
    tcase_add_test(t, reads_ahead_up_to_a_bound);
    tcase_add_test(t, client_leaves);
    tcase_add_test(t, answer_before_the_body);
    tcase_add_test(t, abort_breaks_the_connection);
    tcase_add_test(t, request_body_waits_for_its_reader);
    tcase_add_test(t, reply_waits_for_the_client);
    tcase_add_test(t, deadlines);
    tcase_add_test(t, idle_deadline);
    tcase_add_test(t, a_pending_reply_has_no_deadline);
    tcase_add_test(t, trickling_body);
    tcase_add_test(t, client_that_does_not_read);
    tcase_add_test(t, connection_limits);
    tcase_add_test(t, last_request_of_a_connection);
    tcase_add_test(t, options_change_under_way);
    tcase_add_test(t, graceful_stop);
    tcase_add_test(t, stop_sends_what_was_answered);
    tcase_add_test(t, stop_does_not_wait_for_ever);
    tcase_add_test(t, address_in_use);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
