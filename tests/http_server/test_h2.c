/* SPDX-License-Identifier: Apache-2.0 */
/* The http-server provider over HTTP/2: calls, routes, refusals and ends are those of HTTP/1.1. */
#include "tests/http_server/rig.h"
#include "tests/http/h2_client.h"

#define ONE_LINK(config) LINK_TO("hello", "\"address\":\"" ADDRESS_TEXT "\"" config)

struct both {
    struct rig r;
    struct h2_client c;
};

static void both_connect(struct both *b)
{
    connect_client(&b->r);
    h2_attach(&b->c, b->r.loop, b->r.client);
}

static void both_open(struct both *b, const char *config, const char *links)
{
    rig_open_with(&b->r, config, links);
    both_connect(b);
}

static void both_close(struct both *b)
{
    rig_close(&b->r);
    h2_detach(&b->c);
}

/* A request, with time for the lattice. */
static struct h2_seen *request(struct both *b, const char *fields, struct h2_body *body)
{
    int32_t id = h2_send(&b->c, fields, body);
    h2_wait(&b->c, 100);
    return h2_seen(&b->c, id);
}

START_TEST(get)
{
    struct both b;
    both_open(&b, "", ONE_LINK(""));
    struct h2_seen *s = request(&b,
                                ":method: GET\n:scheme: http\n:authority: example.org:80\n"
                                ":path: /a?b=1\nx-a: 1\ncookie: a=1\ncookie: b=2\nte: trailers",
                                NULL);
    ck_assert_str_eq(text_of(&b.r.seen), "GET http://example.org:80/a?b=1 x-a=1 "
                                         "host=example.org:80 cookie=a=1; b=2");
    ck_assert_uint_eq(s->status, 200);
    ck_assert(starts(h2_text(&s->head), "content-type=text/plain|date="));
    ck_assert_str_eq(h2_text(&s->body), "hello");
    both_close(&b);
}
END_TEST

START_TEST(bodies_and_trailers)
{
    struct both b;
    struct h2_body body = {.left = 300000, .trailer = true};
    both_open(&b, "", ONE_LINK(""));
    b.r.hold = true;
    struct h2_seen *s = request(&b, "", &body);
    ck_assert_uint_eq(b.r.request_body.n, 300000);
    ck_assert(b.r.body_ended);
    ck_assert_mem_eq(b.r.request_trailers.p, "\x01\x01\x09x-trailer\x01\x01t", 15);
    b.r.trailer = "t";
    respond(&b.r);
    h2_wait(&b.c, 10);
    ck_assert_str_eq(h2_text(&s->body), "hello");
    ck_assert(strstr(h2_text(&s->head), "[x-t=t]"));
    ck_assert(s->ended);
    both_close(&b);
}
END_TEST

START_TEST(routed_by_authority)
{
    struct both b;
    both_open(&b, "\"routing_mode\":\"host\",\"default_address\":\"" ADDRESS_TEXT "\"",
              LINK_NAMED("one", "hello", "\"host\":\"a.example\""));
    struct h2_seen *s =
        request(&b, ":method: GET\n:scheme: http\n:authority: a.example\n:path: /", NULL);
    ck_assert_uint_eq(s->status, 200);
    s = request(&b, ":method: GET\n:scheme: http\n:authority: b.example\n:path: /", NULL);
    ck_assert_uint_eq(s->status, 404);
    both_close(&b);
}
END_TEST

START_TEST(refusals)
{
    struct both b;
    both_open(&b, "", ONE_LINK(",\"readonly_mode\":\"true\",\"max_header_bytes\":\"500\""));
    struct h2_seen *s = request(&b, "", &(struct h2_body){.left = 10});
    ck_assert_uint_eq(s->status, 405);
    ck_assert(strstr(h2_text(&s->head), "allow=GET, HEAD|"));
    char field[600];
    snprintf(field, sizeof field, "x-a: %0500d", 1);
    ck_assert_uint_eq(request(&b, field, NULL)->status, 431);
    s = request(&b,
                ":method: OPTIONS\n:scheme: http\n:authority: h\n:path: /\n"
                "origin: https://a.example\naccess-control-request-method: PUT",
                NULL);
    ck_assert_uint_eq(s->status, 200);
    ck_assert(strstr(h2_text(&s->head), "access-control-allow-methods="));
    wrpc_serve_close(MOVE(b.r.serve));
    loop_sim_advance(b.r.loop, 100);
    s = request(&b, "", NULL);
    ck_assert_uint_eq(s->status, 503);
    ck_assert(strstr(h2_text(&s->head), "retry-after=1|"));
    both_close(&b);
}
END_TEST

static void on_given_up(void *user)
{
    *(bool *)user = true;
}

START_TEST(reset_ends_the_call)
{
    struct both b;
    bool given_up = false;
    both_open(&b, "", ONE_LINK(""));
    b.r.hold = true;
    int32_t id = h2_get(&b.c, "");
    h2_wait(&b.c, 100);
    ck_assert_ptr_nonnull(b.r.inv);
    wrpc_inv_on_gone(b.r.inv, on_given_up, &given_up);
    nghttp2_submit_rst_stream(b.c.session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    h2_wait(&b.c, 100);
    ck_assert(given_up);
    both_close(&b);
}
END_TEST

/* A link that goes lets its requests end. */
START_TEST(link_goes_under_way)
{
    struct both b;
    both_open(&b, "", ONE_LINK(""));
    b.r.hold = true;
    int32_t id = h2_get(&b.c, "");
    h2_wait(&b.c, 100);
    ask(&b.r, PROTO_RPC_LINK_DEL, ONE_LINK(""));
    h2_wait(&b.c, LEAVING_MS + 1000);
    ck_assert_uint_ge(b.c.goaways, 1);
    ck_assert_uint_eq(b.c.goaway_code, NGHTTP2_NO_ERROR);
    respond(&b.r);
    h2_wait(&b.c, 100);
    ck_assert_str_eq(h2_text(&h2_seen(&b.c, id)->body), "hello");
    ck_assert(http_sim_ended(b.r.client));
    both_close(&b);
}
END_TEST

/* Of HTTP/1.1's way to HTTP/2 nothing is left but the request (docs/decisions/0017-http2.md). */
START_TEST(no_upgrade)
{
    struct rig r;
    rig_open(&r, ONE_LINK(""));
    connect_client(&r);
    put(&r, "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n");
    ck_assert(starts(got(&r), "HTTP/1.1 200 OK\r\n"));
    ck_assert_str_eq(text_of(&r.seen), "GET http://h/ host=h");
    put(&r, GET);
    ck_assert(starts(got(&r), "HTTP/1.1 200 OK\r\n"));
    rig_close(&r);
}
END_TEST

START_TEST(settings)
{
    struct both b;
    both_open(&b, "", ONE_LINK(",\"max_streams\":\"7\""));
    ck_assert_uint_eq(
        nghttp2_session_get_remote_settings(b.c.session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS),
        7);
    both_close(&b);
    rig_open(&b.r, ONE_LINK(",\"http2\":\"false\""));
    connect_client(&b.r);
    put(&b.r, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    ck_assert(starts(got(&b.r), "HTTP/1.1 505 "));
    rig_close(&b.r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http-server over HTTP/2");
    log_open(LOG_ERROR, false, "test");
    TCase *t = tcase_create("provider");
    tcase_add_test(t, get);
    tcase_add_test(t, bodies_and_trailers);
    tcase_add_test(t, routed_by_authority);
    tcase_add_test(t, refusals);
    tcase_add_test(t, reset_ends_the_call);
    tcase_add_test(t, link_goes_under_way);
    tcase_add_test(t, no_upgrade);
    tcase_add_test(t, settings);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
