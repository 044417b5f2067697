/* SPDX-License-Identifier: Apache-2.0 */
/* The http-server provider: requests through it, and every way in which they fail. */
#include "tests/http_server/rig.h"

/* ---- requests ---- */

START_TEST(get)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    connect_client(&r);
    put(&r,
        "GET /a?b=1 HTTP/1.1\r\nHost: example.org:80\r\nX-A: 1\r\nx-a: 2\r\nTE: trailers\r\n\r\n");
    ck_assert_str_eq(text_of(&r.seen),
                     "GET http://example.org:80/a?b=1 host=example.org:80 x-a=1 x-a=2");
    const char *reply = got(&r);
    ck_assert_msg(starts(reply, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ndate: "), "%s",
                  reply);
    ck_assert_msg(!strstr(reply, "connection:"), "%s", reply);
    ck_assert_msg(ends(reply, "\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "%s", reply);
    put(&r, GET GET);
    reply = got(&r);
    ck_assert(strstr(strstr(reply, "hello") + 1, "hello"));
    ck_assert_uint_eq(r.calls, 3);
    rig_close(&r);
}
END_TEST

/* Two names for one request would be two requests to whoever reads the other one. */
START_TEST(absolute_target_wins_over_host)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    connect_client(&r);
    put(&r, "GET http://inner.example/a HTTP/1.1\r\nHost: outer.example\r\n\r\n");
    ck_assert_str_eq(text_of(&r.seen), "GET http://inner.example/a host=inner.example");
    rig_close(&r);
}
END_TEST

START_TEST(trace_goes_on)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    connect_client(&r);
    put(&r, "GET / HTTP/1.1\r\nHost: h\r\nTraceParent: 00-ab-cd-01\r\nsource-id: x\r\n\r\n");
    ck_assert_uint_eq(r.traced, 11);
    put(&r, GET);
    ck_assert_uint_eq(r.traced, 0);
    rig_close(&r);
}
END_TEST

START_TEST(behind_a_proxy)
{
    static const struct {
        const char *headers, *url;
    } rows[] = {
        {"X-Forwarded-Host: outer.example, h\r\nX-Forwarded-Proto: https\r\n",
         "https://outer.example/"},
        {"X-Forwarded-Host: a/b\r\nX-Forwarded-Proto: ws\r\n", "http://h/"},
        {"Forwarded: for=1.2.3.4;Host=\"o.example:8080\";proto=http, host=x\r\nX-Forwarded-Host: "
         "y\r\n",
         "http://o.example:8080/"},
        {"Forwarded: for=1.2.3.4; host=o\r\n", "http://o/"},
        {"Forwarded: host=\r\nX-Forwarded-Host: y\r\n", "http://y/"},
        {"Forwarded: host=\"a b\"\r\n", "http://h/"},
        {"Forwarded:\r\n", "http://h/"},
    };
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    connect_client(&r);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char request[300], want[80];
        snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", rows[i].headers);
        snprintf(want, sizeof want, "GET %s ", rows[i].url);
        put(&r, request);
        ck_assert_msg(starts(text_of(&r.seen), want), "row %zu: %s", i, text_of(&r.seen));
    }
    put(&r, "GET / HTTP/1.0\r\n\r\n");
    ck_assert_str_eq(text_of(&r.seen), "GET http://127.0.0.1:8080/");
    rig_close(&r);
}
END_TEST

START_TEST(post_streams)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    r.hold = true;
    connect_client(&r);
    put(&r, "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    ck_assert_str_eq(text_of(&r.request_body), "hello");
    ck_assert(!r.body_ended);
    put(&r, "6\r\n world\r\n0\r\nx-sum: 9\r\n\r\n");
    ck_assert_str_eq(text_of(&r.request_body), "hello world");
    ck_assert(r.body_ended);
    ck_assert_mem_eq(r.request_trailers.p,
                     "\x01\x01\x05x-sum\x01\x01"
                     "9",
                     11);
    r.trailer = "t";
    respond(&r);
    loop_sim_advance(r.loop, 10);
    ck_assert(ends(got(&r), "5\r\nhello\r\n0\r\nx-t: t\r\n\r\n"));
    rig_close(&r);
}
END_TEST

/* Channels have no order between them. */
START_TEST(body_before_head)
{
    static const enum part orders[][3] = {{PART_BODY, PART_TRAILERS, PART_HEAD},
                                          {PART_TRAILERS, PART_BODY, PART_HEAD},
                                          {PART_BODY, PART_HEAD, PART_TRAILERS},
                                          {PART_HEAD, PART_TRAILERS, PART_BODY}};
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        struct rig r;
        rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
        r.hold = true;
        r.trailer = "t";
        connect_client(&r);
        put(&r, GET);
        for (int k = 0; k < 3; k++) {
            send_part(&r, orders[i][k]);
            loop_sim_advance(r.loop, 10);
        }
        wrpc_inv_free(MOVE(r.inv));
        const char *reply = got(&r);
        ck_assert_msg(starts(reply, "HTTP/1.1 200") &&
                          ends(reply, "5\r\nhello\r\n0\r\nx-t: t\r\n\r\n"),
                      "%zu: %s", i, reply);
        rig_close(&r);
    }
}
END_TEST

START_TEST(joined_response)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    connect_client(&r);
    r.join = r.hold = true;
    put(&r, GET);
    ck_assert(r.body_ended && r.request_trailers.n == 1); /* as if both had been sent */
    respond(&r);
    loop_sim_advance(r.loop, 10);
    const char *reply = got(&r);
    ck_assert_msg(ends(reply, "\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "%s", reply);
    r.trailer = "v";
    r.hold = false;
    put(&r, GET);
    reply = got(&r);
    ck_assert_msg(ends(reply, "5\r\nhello\r\n0\r\nx-t: v\r\n\r\n"), "%s", reply);
    rig_close(&r);
}
END_TEST

START_TEST(trailers_never_come)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    send_part(&r, PART_HEAD);
    send_part(&r, PART_BODY);
    loop_sim_advance(r.loop, 500);
    ck_assert(ends(got(&r), "hello\r\n"));
    loop_sim_advance(r.loop, 4000);
    ck_assert_str_eq(got(&r), "0\r\n\r\n");
    rig_close(&r);
}
END_TEST

/* ---- failures ---- */

START_TEST(failures)
{
    static const struct http_error limit = {.code = HTTP_CONNECTION_LIMIT_REACHED},
                                   timeout = {.code = HTTP_RESPONSE_TIMEOUT},
                                   internal = {.code = HTTP_INTERNAL_ERROR,
                                               .text = STR_INIT("request 01ABC failed")},
                                   refused = {.code = HTTP_CONNECTION_REFUSED};
    static const struct http_field bad[] = {{STR_INIT("x"), STR_INIT("a\r\nb")}};
    static const struct {
        const char *what;
        const struct http_error *error;
        bool fail;
        uint16_t status;
        const struct http_field *fields;
        const char *line, *part;
    } rows[] = {
        {"queue full", &limit, false, 0, NULL, "HTTP/1.1 503 ", "retry-after: 1\r\n"},
        {"time limit", &timeout, false, 0, NULL, "HTTP/1.1 504 ", "HTTP-response-timeout"},
        {"trap", &internal, false, 0, NULL, "HTTP/1.1 500 ", "request 01ABC failed"},
        {"its own upstream", &refused, false, 0, NULL, "HTTP/1.1 502 ", "connection-refused"},
        {"no result", NULL, true, 0, NULL, "HTTP/1.1 500 ", "component failed"},
        {"header injection", NULL, false, 200, bad, "HTTP/1.1 502 ", "cannot be sent"},
        {"informational status", NULL, false, 101, NULL, "HTTP/1.1 502 ", "cannot be sent"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig r;
        rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
        r.error = rows[i].error;
        r.fail = rows[i].fail;
        if (rows[i].status)
            r.response =
                (struct http_response){rows[i].status, rows[i].fields, rows[i].fields ? 1 : 0};
        connect_client(&r);
        put(&r, GET);
        const char *reply = got(&r);
        ck_assert_msg(starts(reply, rows[i].line) && strstr(reply, rows[i].part), "%s: %s",
                      rows[i].what, reply);
        ck_assert_msg(!http_sim_ended(r.client), "%s: connection closed", rows[i].what);
        rig_close(&r);
    }
}
END_TEST

START_TEST(nobody_there)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    wrpc_serve_close(MOVE(r.serve));
    loop_sim_advance(r.loop, 10);
    connect_client(&r);
    put(&r, GET);
    const char *reply = got(&r);
    ck_assert_msg(starts(reply, "HTTP/1.1 503 ") && strstr(reply, "not running"), "%s", reply);
    rig_close(&r);
}
END_TEST

START_TEST(timeout)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\",\"timeout_ms\":\"3000\""));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    loop_sim_advance(r.loop, 2500);
    ck_assert_str_eq(got(&r), "");
    loop_sim_advance(r.loop, 1000);
    ck_assert(starts(got(&r), "HTTP/1.1 504 "));
    rig_close(&r);
}
END_TEST

START_TEST(client_leaves)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    http_sim_put_eof(r.client);
    respond(&r); /* into the void */
    loop_sim_advance(r.loop, 10);
    connect_client(&r);
    r.hold = false;
    put(&r, GET);
    ck_assert(starts(got(&r), "HTTP/1.1 200"));
    rig_close(&r);
}
END_TEST

/* Messages may be lost meanwhile, so nobody is left waiting for them; a response that has begun is broken off. */
START_TEST(lattice_lost)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    sdk_lattice(r.sdk, false);
    loop_sim_advance(r.loop, 10);
    const char *reply = got(&r);
    ck_assert_msg(starts(reply, "HTTP/1.1 503 ") && strstr(reply, "retry-after"), "%s", reply);
    ck_assert(!http_sim_ended(r.client));
    wrpc_inv_free(MOVE(r.inv));
    sdk_lattice(r.sdk, true);
    put(&r, GET);
    send_part(&r, PART_HEAD);
    loop_sim_advance(r.loop, 10);
    sdk_lattice(r.sdk, false);
    loop_sim_advance(r.loop, 10);
    ck_assert(starts(got(&r), "HTTP/1.1 200 "));
    ck_assert(http_sim_broken(r.client));
    rig_close(&r);
}
END_TEST

START_TEST(client_leaves_its_body)
{
    struct rig r;
    char block[8192];
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    r.hold = true;
    connect_client(&r);
    memset(block, 'z', sizeof block);
    put(&r, "PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3145728\r\n\r\n");
    for (int i = 0; i < 20; i++)
        http_sim_put(r.client, (struct str){block, sizeof block});
    http_sim_put_eof(r.client); /* a round trip to the bus is under way */
    loop_sim_advance(r.loop, 5000);
    ck_assert(!r.body_ended);
    rig_close(&r);
}
END_TEST

/* Too late for another answer, or just in time. */
START_TEST(response_body_is_cut)
{
    static const struct wit_path body = {2, {0, 0}};
    struct rig r;
    struct err e = ERR_INIT;
    struct wrpc_out *w;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    send_part(&r, PART_HEAD);
    ck_assert(wrpc_inv_result_out(r.inv, &body, &w, &e));
    ck_assert(wrpc_out_write(w, str_span(STR("\x05hel")), &e)); /* a chunk of five */
    loop_sim_advance(r.loop, 10);
    wrpc_out_close(w);
    loop_sim_advance(r.loop, 10);
    ck_assert(ends(got(&r), "3\r\nhel\r\n"));
    ck_assert(http_sim_broken(r.client));
    connect_client(&r);
    wrpc_inv_free(MOVE(r.inv));
    http_sim_put(r.client, STR(GET));
    while (!r.inv)
        loop_sim_advance(r.loop, 1);
    send_part(&r, PART_HEAD);
    ck_assert(wrpc_inv_result_out(r.inv, &body, &w, &e));
    ck_assert(wrpc_out_write(w, str_span(STR("\x05hel")), &e));
    wrpc_out_close(w);
    loop_sim_advance(r.loop, 10);
    ck_assert(starts(got(&r), "HTTP/1.1 502 "));
    ck_assert(!http_sim_ended(r.client));
    rig_close(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http-server requests");
    log_open(LOG_ERROR, false, "test");
    TCase *t = tcase_create("sim");
    tcase_set_timeout(t, 30);
    tcase_add_test(t, get);
    tcase_add_test(t, absolute_target_wins_over_host);
    tcase_add_test(t, trace_goes_on);
    tcase_add_test(t, behind_a_proxy);
    tcase_add_test(t, post_streams);
    tcase_add_test(t, body_before_head);
    tcase_add_test(t, trailers_never_come);
    tcase_add_test(t, joined_response);
    tcase_add_test(t, failures);
    tcase_add_test(t, nobody_there);
    tcase_add_test(t, timeout);
    tcase_add_test(t, client_leaves);
    tcase_add_test(t, lattice_lost);
    tcase_add_test(t, client_leaves_its_body);
    tcase_add_test(t, response_body_is_cut);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
