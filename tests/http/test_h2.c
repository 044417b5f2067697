/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 as a well-behaved client sees it: streams, bodies both ways and their windows, trailers, replies of every
 * kind, leaving, deadlines, and the end of a connection. */
#include "tests/http/h2_client.h"
#include "tests/http/harness.h"

static void h2_open(struct h2_client *c, struct harness *h, enum answer answer,
                    const struct http_limits *limits)
{
    harness_open(h, answer, limits);
    h2_attach(c, h->loop, h->client);
}

static void h2_close(struct h2_client *c, struct harness *h)
{
    harness_close(h);
    h2_detach(c);
}

static void ck_body(struct h2_client *c, int32_t id, const char *want)
{
    ck_assert_str_eq(h2_text(&h2_seen(c, id)->body), want);
}

START_TEST(hello_over_one_connection)
{
    struct harness h;
    struct h2_client c;
    h2_open(&c, &h, ANSWER_HELLO, NULL);
    for (int32_t id = 1; id < 20; id += 2) {
        ck_assert_int_eq(h2_get(&c, "x-n: 1"), id);
        ck_assert_uint_eq(h2_seen(&c, id)->status, 200);
        ck_assert(h2_seen(&c, id)->ended);
        ck_body(&c, id, "hello");
        ck_assert_str_eq(harness_log(&h), "GET / x-n=1|");
    }
    const char *head = h2_text(&h2_seen(&c, 1)->head);
    ck_assert(strstr(head, "x-test=1|") && strstr(head, "content-length=5|"));
    ck_assert(strstr(head, "date="));
    ck_assert_uint_eq(http_server_connections(h.server), 1);
    ck_assert_uint_eq(http_server_exchanges(h.server), 0);
    h2_close(&c, &h);
}
END_TEST

/* The preface may come in any pieces, and what only begins like it is HTTP/1.1. */
START_TEST(preface_in_pieces)
{
    struct harness h;
    struct str preface = STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    for (size_t cut = 1; cut < preface.n; cut++) {
        harness_open(&h, ANSWER_HELLO, NULL);
        http_sim_put(h.client, str_sub(preface, 0, cut));
        loop_sim_advance(h.loop, 1);
        ck_assert_uint_eq(http_sim_got(h.client).n, 0);
        http_sim_put(h.client, str_sub(preface, cut, preface.n));
        loop_sim_advance(h.loop, 1);
        ck_assert_uint_gt(http_sim_got(h.client).n, 9);
        ck_assert_uint_eq((uint8_t)http_sim_got(h.client).p[3], NGHTTP2_SETTINGS);
        harness_close(&h);
    }
    harness_open(&h, ANSWER_HELLO, NULL);
    harness_put(&h, "PR");
    harness_put(&h, "OPFIND /x HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert(starts(harness_got(&h), "HTTP/1.1 200 OK"));
    ck_assert_str_eq(harness_log(&h), "PROPFIND /x|");
    harness_close(&h);
}
END_TEST

START_TEST(can_be_turned_off)
{
    struct harness h;
    struct http_server_opts opts = {.http1_only = true, .handler = &handler, .user = &h};
    harness_open(&h, ANSWER_HELLO, NULL);
    http_server_change(h.server, &opts);
    harness_connect(&h);
    harness_put(&h, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    ck_assert(starts(harness_got(&h), "HTTP/1.1 505 "));
    harness_close(&h);
}
END_TEST

/* An exchange looks as it does in HTTP/1.1: a host field, one cookie field, an authority. */
static struct buf seen;

static void see_request(void *user, struct http_exchange *x)
{
    const struct http_head *head = http_exchange_head(x);
    (void)user;
    buf_clear(&seen);
    buf_printf(&seen, "%u %.*s %.*s %.*s", head->major, STR_ARG(head->method),
               STR_ARG(head->authority), STR_ARG(head->path));
    for (size_t i = 0; i < head->nheaders; i++)
        buf_printf(&seen, " %.*s=%.*s", STR_ARG(head->headers[i].name),
                   STR_ARG(head->headers[i].value));
    hello(x);
}

START_TEST(exchange_looks_like_any_other)
{
    struct harness h;
    struct h2_client c;
    static const struct http_handler seer = {.request = see_request,
                                             .body = on_body,
                                             .body_end = on_body_end,
                                             .drained = on_drained,
                                             .gone = on_gone};
    h2_open(&c, &h, ANSWER_HELLO, NULL);
    http_server_change(h.server, &(struct http_server_opts){.handler = &seer, .user = &h});
    h2_get(&c, ":method: GET\n:scheme: https\n:authority: a.b:81\n:path: /p?q=1\ncookie: a=1\n"
               "x-y: z\ncookie: b=2");
    ck_assert_str_eq(h2_text(&seen), "2 GET a.b:81 /p?q=1 x-y=z host=a.b:81 cookie=a=1; b=2");
    h2_get(&c, ":method: GET\n:scheme: http\n:path: /\nhost: only.host");
    ck_assert_str_eq(h2_text(&seen), "2 GET only.host / host=only.host");
    h2_get(&c, ":method: GET\n:scheme: http\n:authority: a\n:path: /\nhost: A");
    ck_assert_str_eq(h2_text(&seen), "2 GET a / host=A");
    buf_fini(&seen);
    h2_close(&c, &h);
}
END_TEST

START_TEST(echo_with_trailers)
{
    struct harness h;
    struct h2_client c;
    struct h2_body body = {.left = 100000, .trailer = true};
    h2_open(&c, &h, ANSWER_ECHO, NULL);
    int32_t id = h2_send(&c, "", &body);
    ck_assert_uint_eq(h2_seen(&c, id)->status, 200);
    ck_assert_uint_eq(h2_seen(&c, id)->body.n, 100000);
    ck_assert(h2_seen(&c, id)->ended);
    ck_assert(strstr(h2_text(&h2_seen(&c, id)->head), "[x-trailer=t]"));
    ck_assert_uint_eq(h2_seen(&c, id)->code, NGHTTP2_NO_ERROR);
    h2_close(&c, &h);
}
END_TEST

START_TEST(replies_without_body)
{
    struct harness h;
    struct h2_client c;
    struct err e = ERR_INIT;
    static const struct http_header length[] = {{STR_INIT("content-length"), STR_INIT("5")}};
    h2_open(&c, &h, ANSWER_LATER, NULL);
    int32_t id = h2_get(&c, ":method: HEAD\n:scheme: http\n:authority: h\n:path: /");
    ck_assert(http_reply_full(MOVE(h.open), 200, NULL, 0, str_span(STR("hello")), &e));
    h2_pump(&c);
    ck_assert(h2_seen(&c, id)->ended && h2_seen(&c, id)->body.n == 0);
    ck_assert(strstr(h2_text(&h2_seen(&c, id)->head), "content-length=5|"));
    /* the head of a HEAD need not wait for an end that is far away */
    id = h2_get(&c, ":method: HEAD\n:scheme: http\n:authority: h\n:path: /");
    ck_assert(http_reply_head(h.open, 200, length, 1, &e));
    h2_pump(&c);
    ck_assert_uint_eq(h2_seen(&c, id)->status, 200);
    http_reply_body(h.open, str_span(STR("hello")));
    http_reply_end(MOVE(h.open), NULL, 0);
    h2_pump(&c);
    ck_assert(h2_seen(&c, id)->ended && h2_seen(&c, id)->body.n == 0);
    id = h2_get(&c, "");
    ck_assert(http_reply_full(MOVE(h.open), 204, NULL, 0, (struct span){NULL, 0}, &e));
    h2_pump(&c);
    ck_assert(h2_seen(&c, id)->ended && h2_seen(&c, id)->status == 204);
    ck_assert(!strstr(h2_text(&h2_seen(&c, id)->head), "content-length"));
    h2_close(&c, &h);
}
END_TEST

/* Fields that frame HTTP/1.1 stay out; names are lower case. */
START_TEST(reply_fields)
{
    struct harness h;
    struct h2_client c;
    struct err e = ERR_INIT;
    static const struct http_header fields[] = {
        {STR_INIT("Connection"), STR_INIT("close")},
        {STR_INIT("X-Upper"), STR_INIT(" Value ")},
        {STR_INIT("transfer-encoding"), STR_INIT("chunked")},
        {STR_INIT("keep-alive"), STR_INIT("x")}};
    h2_open(&c, &h, ANSWER_LATER, NULL);
    int32_t id = h2_get(&c, "");
    ck_assert(http_reply_head(h.open, 201, fields, ARRAY_LEN(fields), &e));
    http_reply_body(h.open, str_span(STR("a")));
    h2_pump(&c);
    ck_assert(starts(h2_text(&h2_seen(&c, id)->head), "x-upper=Value|date="));
    ck_body(&c, id, "a"); /* what is there goes out at once */
    http_reply_body(h.open, str_span(STR("b")));
    h2_pump(&c);
    ck_body(&c, id, "ab");
    ck_assert(!h2_seen(&c, id)->ended);
    http_reply_end(MOVE(h.open), NULL, 0);
    h2_pump(&c);
    ck_assert(h2_seen(&c, id)->ended);
    h2_close(&c, &h);
}
END_TEST

START_TEST(broken_promises)
{
    struct harness h;
    struct h2_client c;
    struct err e = ERR_INIT;
    static const struct http_header five[] = {{STR_INIT("content-length"), STR_INIT("5")}};
    h2_open(&c, &h, ANSWER_LATER, NULL);
    int32_t id = h2_get(&c, "");
    ck_assert(http_reply_head(h.open, 200, five, 1, &e));
    http_reply_body(h.open, str_span(STR("hello and more")));
    http_reply_end(MOVE(h.open), NULL, 0);
    h2_pump(&c);
    ck_body(&c, id, "hello");
    id = h2_get(&c, "");
    ck_assert(http_reply_head(h.open, 200, five, 1, &e));
    http_reply_body(h.open, str_span(STR("hell")));
    h2_pump(&c);
    http_reply_end(MOVE(h.open), NULL, 0);
    h2_pump(&c);
    ck_assert_uint_eq(h2_seen(&c, id)->code, NGHTTP2_INTERNAL_ERROR);
    /* and the connection is as good as before */
    h.answer = ANSWER_HELLO;
    ck_body(&c, h2_get(&c, ""), "hello");
    h2_close(&c, &h);
}
END_TEST

START_TEST(retracted_reply)
{
    struct harness h;
    struct h2_client c;
    struct err e = ERR_INIT;
    h2_open(&c, &h, ANSWER_LATER, NULL);
    int32_t id = h2_get(&c, "");
    ck_assert(http_reply_head(h.open, 200, NULL, 0, &e));
    http_reply_body(h.open, str_span(STR("wrong")));
    ck_assert(http_reply_retract(h.open));
    ck_assert(http_reply_full(MOVE(h.open), 502, NULL, 0, str_span(STR("right")), &e));
    h2_pump(&c);
    ck_assert_uint_eq(h2_seen(&c, id)->status, 502);
    ck_body(&c, id, "right");
    id = h2_get(&c, "");
    ck_assert(http_reply_head(h.open, 200, NULL, 0, &e));
    h2_pump(&c);
    ck_assert(!http_reply_retract(h.open));
    http_exchange_abort(MOVE(h.open));
    h2_pump(&c);
    ck_assert_uint_eq(h2_seen(&c, id)->code, NGHTTP2_INTERNAL_ERROR);
    ck_assert_uint_eq(h.gone, 0);
    h2_close(&c, &h);
}
END_TEST

START_TEST(expect_continue)
{
    struct harness h;
    struct h2_client c;
    struct h2_body body = {.endless = true};
    h2_open(&c, &h, ANSWER_END, NULL);
    int32_t id = h2_send(&c, "expect: 100-continue", &body);
    ck_assert_uint_eq(h2_seen(&c, id)->interim, 100);
    ck_assert_uint_eq(h2_seen(&c, id)->status, 0);
    body = (struct h2_body){.left = 3};
    nghttp2_session_resume_data(c.session, id);
    h2_pump(&c);
    ck_assert_uint_eq(h2_seen(&c, id)->status, 200);
    h2_close(&c, &h);
}
END_TEST

/* ---- windows ---- */

START_TEST(body_waits_for_its_reader)
{
    struct harness h;
    struct h2_client c;
    struct h2_body body = {.left = 1 << 20};
    h2_open(&c, &h, ANSWER_END, &(struct http_limits){.body_window_bytes = 100000});
    h.hold = true;
    int32_t id = h2_send(&c, "", &body);
    h2_wait(&c, 1000);
    size_t got = h.log.n - strlen("POST /|");
    ck_assert_uint_eq(got, 100000);
    http_body_consumed(h.open, 60000);
    h2_pump(&c);
    ck_assert_uint_eq(h.log.n - strlen("POST /|"), 160000);
    h.hold = false;
    http_body_consumed(h.open, 100000);
    h2_pump(&c);
    ck_assert_uint_eq(h2_seen(&c, id)->status, 200);
    ck_assert_uint_eq(h.log.n, strlen("POST /|;") + (1 << 20));
    h2_close(&c, &h);
}
END_TEST

/* One body that is not read stands in nobody's way, and all of them together are bounded. */
START_TEST(connection_window)
{
    struct harness h;
    struct h2_client c;
    struct h2_body body[8];
    struct http_exchange *x[8];
    h2_open(&c, &h, ANSWER_LATER, NULL);
    h.hold = true;
    for (size_t i = 0; i < ARRAY_LEN(body); i++) {
        body[i] = (struct h2_body){.left = 1 << 20};
        h2_send(&c, "", &body[i]);
        x[i] = h.open;
        if (i == 0)
            ck_assert_uint_eq(h.log.n, strlen("POST /|") + 256 * 1024);
    }
    ck_assert_uint_eq(h.log.n, ARRAY_LEN(body) * strlen("POST /|") + HTTP_CONNECTION_WINDOW_BYTES);
    /* nobody is late whom we do not let send; the time of all counts from when we do */
    h2_wait(&c, 60000);
    buf_clear(&h.log);
    http_body_consumed(x[0], 256 * 1024);
    http_body_consumed(x[1], 256 * 1024);
    h2_wait(&c, 15000);
    ck_assert_uint_eq(h.log.n, 512 * 1024);
    ck_assert_uint_eq(h.gone, 0);
    hello(x[2]); /* a stream that ends gives back what it held */
    hello(x[3]);
    h2_pump(&c);
    ck_assert_uint_eq(h.log.n, 1024 * 1024);
    h2_close(&c, &h);
}
END_TEST

START_TEST(unread_body_is_given_back)
{
    struct harness h;
    struct h2_client c;
    h2_open(&c, &h, ANSWER_HELLO, NULL);
    for (int i = 0; i < 20; i++) { /* 5 MB that nobody wants over a window of 1 MiB */
        struct h2_body body = {.left = 1 << 20};
        int32_t id = h2_send(&c, "", &body);
        ck_assert_uint_eq(h2_seen(&c, id)->status, 200);
        ck_assert_uint_eq(h2_seen(&c, id)->code, NGHTTP2_NO_ERROR);
    }
    h.hold = true;
    h.answer = ANSWER_LATER;
    for (int i = 0; i < 20; i++) { /* and as much that was delivered and never consumed */
        struct h2_body body = {.left = 1 << 20};
        int32_t id = h2_send(&c, "", &body);
        harness_hello(&h);
        h2_pump(&c);
        ck_assert_uint_eq(h2_seen(&c, id)->status, 200);
    }
    ck_assert_uint_eq(c.goaways, 0);
    h2_close(&c, &h);
}
END_TEST

/* A reply of n bytes to a client that opens its window no further. */
static int32_t reply_into_shut_window(struct h2_client *c, struct harness *h, size_t n)
{
    static const uint8_t bytes[300000];
    struct err e = ERR_INIT;
    h2_open(c, h, ANSWER_LATER, NULL);
    c->hold = true;
    int32_t id = h2_get(c, "");
    ck_assert(http_reply_head(h->open, 200, NULL, 0, &e));
    ck_assert_uint_eq(http_reply_body(h->open, (struct span){bytes, n}), n);
    return id;
}

START_TEST(reply_waits_for_the_client)
{
    struct harness h;
    struct h2_client c;
    const size_t n = 300000;
    int32_t id = reply_into_shut_window(&c, &h, n);
    h2_pump(&c);
    ck_assert_uint_eq(h2_seen(&c, id)->body.n, 65535);
    ck_assert_uint_eq(h.drained, 0);
    c.hold = false;
    nghttp2_session_consume(c.session, id, 65535);
    h2_pump(&c);
    ck_assert_uint_eq(h2_seen(&c, id)->body.n, n);
    ck_assert_uint_eq(h.drained, 1);
    http_reply_end(MOVE(h.open), NULL, 0);
    h2_pump(&c);
    ck_assert(h2_seen(&c, id)->ended);
    h2_close(&c, &h);
}
END_TEST

/* Windows wide open: what the socket does not take at once waits with the streams, which take turns. */
START_TEST(replies_of_megabytes)
{
    struct harness h;
    struct h2_client c;
    struct err e = ERR_INIT;
    static uint8_t bytes[1 << 20];
    int32_t id[4];
    struct http_exchange *x[4];
    const nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 4 << 20};
    h2_open(&c, &h, ANSWER_LATER, NULL);
    nghttp2_submit_settings(c.session, NGHTTP2_FLAG_NONE, &window, 1);
    nghttp2_session_set_local_window_size(c.session, NGHTTP2_FLAG_NONE, 0, 16 << 20);
    for (int i = 0; i < 4; i++) {
        id[i] = h2_get(&c, "");
        x[i] = h.open;
    }
    http_sim_take(h.client, 200000);
    for (int i = 0; i < 4; i++)
        ck_assert(http_reply_full(x[i], 200, NULL, 0, (struct span){bytes, sizeof bytes}, &e));
    for (int turn = 0; turn < 100; turn++) {
        h2_pump(&c);
        http_sim_take(h.client, 100000);
    }
    for (int i = 0; i < 4; i++) {
        ck_assert(h2_seen(&c, id[i])->ended);
        ck_assert_uint_eq(h2_seen(&c, id[i])->body.n, sizeof bytes);
    }
    h2_close(&c, &h);
}
END_TEST

/* A socket that takes nothing holds the rest back in the streams, not in the connection. */
START_TEST(socket_that_takes_nothing)
{
    struct harness h;
    struct h2_client c;
    struct err e = ERR_INIT;
    static uint8_t bytes[60000];
    h2_open(&c, &h, ANSWER_LATER, NULL);
    int32_t id = h2_get(&c, "");
    http_sim_take(h.client, 1000);
    ck_assert(http_reply_head(h.open, 200, NULL, 0, &e));
    http_reply_body(h.open, (struct span){bytes, sizeof bytes});
    http_reply_end(MOVE(h.open), NULL, 0);
    h2_pump(&c);
    ck_assert(!h2_seen(&c, id)->ended);
    http_sim_take(h.client, SIZE_MAX);
    h2_pump(&c);
    ck_assert(h2_seen(&c, id)->ended);
    ck_assert_uint_eq(h2_seen(&c, id)->body.n, sizeof bytes);
    h2_close(&c, &h);
}
END_TEST

/* ---- leaving, early replies ---- */

START_TEST(client_resets)
{
    struct harness h;
    struct h2_client c;
    struct h2_body body = {.left = 10, .endless = true};
    h2_open(&c, &h, ANSWER_LATER, NULL);
    int32_t id = h2_send(&c, "", &body);
    int32_t other = h2_get(&c, "");
    ck_assert_uint_eq(http_server_exchanges(h.server), 2);
    nghttp2_submit_rst_stream(c.session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    struct http_exchange *x = h.open;
    h2_pump(&c);
    ck_assert_uint_eq(h.gone, 1);
    ck_assert_int_eq(h.why, HTTP_GONE_CLIENT);
    ck_assert_uint_eq(http_server_exchanges(h.server), 1);
    hello(x);
    h2_pump(&c);
    ck_body(&c, other, "hello");
    h2_close(&c, &h);
}
END_TEST

START_TEST(client_leaves)
{
    struct harness h;
    struct h2_client c;
    h2_open(&c, &h, ANSWER_LATER, NULL);
    h2_get(&c, "");
    h2_get(&c, "");
    http_sim_put_eof(h.client);
    loop_sim_advance(h.loop, 1);
    ck_assert_uint_eq(h.gone, 2);
    ck_assert_int_eq(h.why, HTTP_GONE_CLIENT);
    ck_assert_uint_eq(http_server_connections(h.server), 0);
    h2_close(&c, &h);
}
END_TEST

START_TEST(answer_before_the_body)
{
    struct harness h;
    struct h2_client c;
    struct h2_body body = {.left = 10, .endless = true};
    h2_open(&c, &h, ANSWER_HELLO, NULL);
    int32_t id = h2_send(&c, "", &body);
    ck_body(&c, id, "hello");
    ck_assert(h2_seen(&c, id)->ended);
    ck_assert_uint_eq(h2_seen(&c, id)->code, NGHTTP2_NO_ERROR); /* no more of it, please */
    ck_assert_uint_eq(h.gone, 0);
    ck_body(&c, h2_get(&c, ""), "hello");
    h2_close(&c, &h);
}
END_TEST

/* ---- deadlines ---- */

START_TEST(body_deadline)
{
    struct harness h;
    struct h2_client c;
    struct h2_body body = {.left = 2000, .endless = true};
    h2_open(&c, &h, ANSWER_LATER, NULL);
    int32_t id = h2_send(&c, "", &body);
    h2_wait(&c, 29000);
    ck_assert_uint_eq(h.gone, 0);
    h2_wait(&c, 3000);
    ck_assert_uint_eq(h.gone, 1);
    ck_assert_int_eq(h.why, HTTP_GONE_TIMEOUT);
    ck_assert_uint_eq(h2_seen(&c, id)->status, 408);
    /* one whose reply began is reset */
    h.answer = ANSWER_ECHO;
    body.left = 2000;
    id = h2_send(&c, "", &body);
    h2_wait(&c, 32000);
    ck_assert_uint_eq(h.gone, 2);
    ck_assert_uint_eq(h2_seen(&c, id)->code, NGHTTP2_CANCEL);
    ck_assert_uint_eq(c.goaways, 0);
    h2_close(&c, &h);
}
END_TEST

START_TEST(trickling_body)
{
    struct harness h;
    struct h2_client c;
    struct h2_body body = {.endless = true};
    h2_open(&c, &h, ANSWER_LATER, NULL);
    int32_t id = h2_send(&c, "", &body);
    for (int i = 0; i < 30 && !h.gone; i++) {
        body.left = 1;
        nghttp2_session_resume_data(c.session, id);
        h2_wait(&c, 1000);
    }
    ck_assert_uint_eq(h.gone, 1);
    ck_assert_int_eq(h.why, HTTP_GONE_TIMEOUT);
    h2_close(&c, &h);
}
END_TEST

/* A client whose window we keep shut, or whose answer is ours to give, is not slow. */
START_TEST(no_deadline_while_it_is_our_turn)
{
    struct harness h;
    struct h2_client c;
    struct h2_body body = {.left = 1 << 20};
    h2_open(&c, &h, ANSWER_LATER, NULL);
    h2_get(&c, "");
    h.hold = true;
    h2_send(&c, "", &body);
    for (int i = 0; i < 300; i++)
        h2_wait(&c, 1000);
    ck_assert_uint_eq(h.gone, 0);
    /* its time begins when the window opens */
    http_body_consumed(h.open, 256 * 1024);
    body.endless = true;
    body.left = 0;
    h2_wait(&c, 18000);
    ck_assert_uint_eq(h.gone, 0);
    h2_wait(&c, 5000);
    ck_assert_uint_eq(h.gone, 1);
    h2_close(&c, &h);
}
END_TEST

START_TEST(window_that_stays_shut)
{
    struct harness h;
    struct h2_client c;
    int32_t id = reply_into_shut_window(&c, &h, 100000);
    h2_wait(&c, 28000);
    ck_assert_uint_eq(h.gone, 0);
    h2_wait(&c, 5000);
    ck_assert_uint_eq(h.gone, 1);
    ck_assert_int_eq(h.why, HTTP_GONE_TIMEOUT);
    ck_assert_uint_eq(h2_seen(&c, id)->code, NGHTTP2_CANCEL);
    ck_assert_uint_eq(http_server_connections(h.server), 1);
    h2_close(&c, &h);
}
END_TEST

/* A stream without anything to say may stay so. */
START_TEST(events_with_long_pauses)
{
    struct harness h;
    struct h2_client c;
    struct err e = ERR_INIT;
    h2_open(&c, &h, ANSWER_LATER, NULL);
    int32_t id = h2_get(&c, "");
    ck_assert(http_reply_head(h.open, 200, NULL, 0, &e));
    for (int i = 0; i < 5; i++) {
        http_reply_body(h.open, str_span(STR("e")));
        h2_pump(&c);
        ck_assert_int_eq(h2_seen(&c, id)->body.n, i + 1);
        h2_wait(&c, 600000);
    }
    ck_assert_uint_eq(h.gone, 0);
    http_reply_end(MOVE(h.open), NULL, 0);
    h2_close(&c, &h);
}
END_TEST

START_TEST(idle_deadline)
{
    struct harness h;
    struct h2_client c;
    h2_open(&c, &h, ANSWER_HELLO, NULL);
    h2_wait(&c, 60000);
    h2_get(&c, "");
    h2_wait(&c, 70000);
    ck_assert_uint_eq(c.goaways, 0);
    nghttp2_submit_ping(c.session, NGHTTP2_FLAG_NONE, NULL); /* does not count as work */
    h2_wait(&c, 8000);
    ck_assert_uint_eq(c.pings, 1);
    ck_assert_uint_eq(c.goaways, 1);
    ck_assert_uint_eq(c.goaway_code, NGHTTP2_NO_ERROR);
    ck_assert(http_sim_ended(h.client));
    h2_wait(&c, 5000);
    ck_assert_uint_eq(http_server_connections(h.server), 0);
    h2_close(&c, &h);
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
    struct h2_client c;
    h2_open(&c, &h, ANSWER_LATER, NULL);
    int32_t id = h2_get(&c, "");
    struct http_exchange *first = h.open;
    http_server_stop(h.server, 60000, on_stopped, &h);
    /* a request that was on its way is answered, too */
    loop_sim_advance(h.loop, 0);
    int32_t late = h2_get(&c, "");
    ck_assert_uint_eq(c.goaways, 2); /* the notice; after our ping the real one */
    ck_assert_int_eq(c.goaway_last, late);
    hello(first);
    hello(MOVE(h.open));
    h2_wait(&c, 1);
    ck_body(&c, id, "hello");
    ck_body(&c, late, "hello");
    ck_assert(http_sim_ended(h.client));
    http_sim_put_eof(h.client);
    h2_wait(&c, 10);
    ck_assert_uint_eq(h.stopped, 1);
    ck_assert_uint_eq(h.gone, 0);
    h2_close(&c, &h);
}
END_TEST

START_TEST(stop_of_an_idle_connection)
{
    struct harness h;
    struct h2_client c;
    h2_open(&c, &h, ANSWER_HELLO, NULL);
    h2_get(&c, "");
    http_server_stop(h.server, 60000, on_stopped, &h);
    h2_wait(&c, 1);
    ck_assert_uint_eq(c.goaways, 1);
    ck_assert(http_sim_ended(h.client));
    h2_wait(&c, 3000);
    ck_assert_uint_eq(h.stopped, 1);
    h2_close(&c, &h);
}
END_TEST

START_TEST(last_request_of_a_connection)
{
    struct harness h;
    struct h2_client c;
    h2_open(&c, &h, ANSWER_HELLO, &(struct http_limits){.requests_max = 2});
    h2_get(&c, "");
    ck_assert_uint_eq(c.goaways, 0);
    int32_t id = h2_get(&c, "");
    ck_body(&c, id, "hello");
    ck_assert_uint_ge(c.goaways, 1);
    ck_assert(http_sim_ended(h.client));
    h2_close(&c, &h);
}
END_TEST

START_TEST(closed_under_way)
{
    struct harness h;
    struct h2_client c;
    struct h2_body body = {.left = 10, .endless = true};
    h2_open(&c, &h, ANSWER_ECHO, NULL);
    h2_get(&c, "");
    h2_send(&c, "", &body);
    h2_close(&c, &h); /* no exchange and no memory stays behind */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http2");
    TCase *t = tcase_create("client");
    tcase_add_test(t, hello_over_one_connection);
    tcase_add_test(t, preface_in_pieces);
    tcase_add_test(t, can_be_turned_off);
    tcase_add_test(t, exchange_looks_like_any_other);
    tcase_add_test(t, echo_with_trailers);
    tcase_add_test(t, replies_without_body);
    tcase_add_test(t, reply_fields);
    tcase_add_test(t, broken_promises);
    tcase_add_test(t, retracted_reply);
    tcase_add_test(t, expect_continue);
    tcase_add_test(t, body_waits_for_its_reader);
    tcase_add_test(t, connection_window);
    tcase_add_test(t, unread_body_is_given_back);
    tcase_add_test(t, reply_waits_for_the_client);
    tcase_add_test(t, replies_of_megabytes);
    tcase_add_test(t, socket_that_takes_nothing);
    tcase_add_test(t, client_resets);
    tcase_add_test(t, client_leaves);
    tcase_add_test(t, answer_before_the_body);
    tcase_add_test(t, body_deadline);
    tcase_add_test(t, trickling_body);
    tcase_add_test(t, no_deadline_while_it_is_our_turn);
    tcase_add_test(t, window_that_stays_shut);
    tcase_add_test(t, events_with_long_pauses);
    tcase_add_test(t, idle_deadline);
    tcase_add_test(t, graceful_stop);
    tcase_add_test(t, stop_of_an_idle_connection);
    tcase_add_test(t, last_request_of_a_connection);
    tcase_add_test(t, closed_under_way);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
