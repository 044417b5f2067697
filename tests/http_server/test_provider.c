/* SPDX-License-Identifier: Apache-2.0 */
/* The http-server provider between simulated HTTP clients and components on a simulated bus. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "lattice/http/http_sim.h"
#include "providers/http_server/provider.h"

#define ADDRESS STR("127.0.0.1:8080")

enum part { PART_HEAD = 1, PART_BODY = 2, PART_TRAILERS = 4 };

/* A provider, one component, one client. */
struct rig {
    struct loop *loop;
    struct bus_sim *net;
    struct bus *host_bus, *provider_bus, *component_bus;
    struct sdk *sdk;
    struct wrpc *wrpc;
    struct wrpc_serve *serve;
    struct http_sim_client *client;
    bool stopped;
    /* what the component does: */
    bool hold;                      /* nothing until the test calls respond() */
    bool fail;                      /* ends without a result */
    const struct http_error *error; /* answers this */
    struct http_response response;
    const char *body, *trailer;
    /* and what it saw: */
    struct wrpc_inv *inv;
    struct arena arena;
    struct buf root, request_body, request_trailers,
        seen; /* seen: "METHOD scheme://authority/path h=v ...|" */
    struct wrpc_stream_reader reader;
    bool parsed, body_ended, responded;
    uint32_t calls;
    size_t traced;    /* length of the last call's traceparent */
    struct buf reply; /* of a request to the provider's host subjects */
};

static const struct http_field plain[] = {{STR_INIT("content-type"), STR_INIT("text/plain")},
                                          {STR_INIT("connection"), STR_INIT("close")}};

/* ---- the component ---- */

static void send_part(struct rig *r, enum part what)
{
    static const struct wit_path body = {2, {0, 0}}, trailers = {2, {0, 1}};
    struct err e = ERR_INIT;
    struct buf out = BUF_INIT;
    struct wrpc_out *w;
    if (what == PART_HEAD) {
        bool ok = r->error ? http_error_encode(r->error, &out, &e)
                           : http_response_encode(&r->response, &out, &e);
        ck_assert_msg(ok && wrpc_inv_result(r->inv, buf_span(&out), &e), "%s", e.text);
    } else if (what == PART_BODY) {
        ck_assert(wrpc_inv_result_out(r->inv, &body, &w, &e));
        ck_assert(wrpc_out_chunk(w, str_span(str_of(r->body)), &e));
        wrpc_out_finish_stream(w);
    } else {
        struct http_field t = {STR("x-t"), str_of(r->trailer)};
        ck_assert(wrpc_inv_result_out(r->inv, &trailers, &w, &e));
        ck_assert(http_trailers_encode(&t, r->trailer ? 1 : 0, &out, &e) &&
                  wrpc_out_write(w, buf_span(&out), &e));
        wrpc_out_close(w);
    }
    buf_fini(&out);
}

static void respond(struct rig *r)
{
    r->responded = true;
    if (!r->fail)
        send_part(r, PART_HEAD);
    if (!r->fail && !r->error) {
        send_part(r, PART_BODY);
        send_part(r, PART_TRAILERS);
    }
    wrpc_inv_free(MOVE(r->inv));
}

static void see_request(struct rig *r)
{
    struct err e = ERR_INIT;
    struct http_request q;
    arena_reset(&r->arena);
    if (!http_request_decode(buf_span(&r->root), &r->arena, &q, &e)) {
        ck_assert_msg(e.code == ERR_NONE, "%s", e.text);
        return;
    }
    r->parsed = true;
    buf_printf(&r->seen, "%.*s %.*s://%.*s%.*s", STR_ARG(q.method), STR_ARG(q.scheme),
               STR_ARG(q.authority), STR_ARG(q.path_with_query));
    for (size_t i = 0; i < q.nfields; i++)
        buf_printf(&r->seen, " %.*s=%.*s", STR_ARG(q.fields[i].name), STR_ARG(q.fields[i].value));
    if (!r->hold)
        respond(r);
}

static void take(void *user, struct span data)
{
    buf_put(&((struct rig *)user)->request_body, data.p, data.n);
}

static void on_params(void *user, const struct wit_path *p, struct span piece)
{
    struct rig *r = user;
    struct err e = ERR_INIT;
    if (p->n == 0) {
        buf_put(&r->root, piece.p, piece.n);
        if (!r->parsed)
            see_request(r);
    } else if (p->i[1] == 0) {
        ck_assert(piece.n == 0 || wrpc_stream_feed(&r->reader, piece, take, r, &e));
        r->body_ended |= r->reader.ended;
    } else {
        buf_put(&r->request_trailers, piece.p, piece.n);
    }
}

static void on_call(void *user, struct wrpc_inv *inv)
{
    struct rig *r = user;
    r->calls++;
    ck_assert(str_eq(wrpc_inv_header(inv, STR("source-id")), STR("web")));
    ck_assert(str_eq(wrpc_inv_header(inv, STR("target-id")), STR("hello")));
    r->inv = inv;
    r->traced = wrpc_inv_header(inv, STR("traceparent")).n;
    r->parsed = r->body_ended = false;
    r->reader = (struct wrpc_stream_reader){0};
    buf_clear(&r->root);
    buf_clear(&r->request_body);
    buf_clear(&r->request_trailers);
    buf_clear(&r->seen);
    wrpc_inv_read(inv, on_params, r);
}

/* ---- the rig ---- */

static void on_stopped(void *user)
{
    ((struct rig *)user)->stopped = true;
}

static struct bus *join(struct rig *r)
{
    struct err e = ERR_INIT;
    struct bus *bus;
    ck_assert(bus_sim_open(r->net, &(struct bus_opts){.url = "sim", .name = "member"}, &bus, &e));
    return bus;
}

static void serve(struct rig *r)
{
    struct err e = ERR_INIT;
    struct wit_pendings paths;
    const struct wit_type *request = http_types_get()->request;
    ck_assert(wit_paths(&request, 1, &paths, &e));
    ck_assert_msg(wrpc_serve_open(r->wrpc, STR("default.hello"), STR("default.hello"),
                                  STR("wrpc:http/incoming-handler@0.1.0"), STR("handle"), &paths,
                                  on_call, r, &r->serve, &e),
                  "%s", e.text);
}

static void connect_client(struct rig *r)
{
    struct err e = ERR_INIT;
    http_sim_close(r->client);
    r->client = NULL;
    ck_assert_msg(http_sim_connect(r->loop, ADDRESS, STR("10.0.0.1"), &r->client, &e), "%s",
                  e.text);
}

#define LINK_TO(target, config)                                                                 \
    "{\"source_id\":\"web\",\"target\":\"" target                                               \
    "\",\"name\":\"default\",\"wit_namespace\":\"wasi\","                                       \
    "\"wit_package\":\"http\",\"interfaces\":[\"incoming-handler\"],\"source_config\":{" config \
    "},"                                                                                        \
    "\"target_config\":{},\"source_secrets\":null,\"target_secrets\":null}"

static void rig_open(struct rig *r, const char *links)
{
    struct err e = ERR_INIT;
    char host_data[4096];
    *r = (struct rig){
        .loop = loop_sim_new(), .body = "hello", .response = {200, plain, ARRAY_LEN(plain)}};
    r->net = bus_sim_new(r->loop, 1);
    r->host_bus = join(r);
    r->provider_bus = join(r);
    r->component_bus = join(r);
    loop_sim_advance(r->loop, 10);
    arena_init(&r->arena, 1 << 20);
    ck_assert(wrpc_open(r->component_bus, NULL, &r->wrpc, &e));
    serve(r);
    snprintf(host_data, sizeof host_data,
             "{\"host_id\":\"NHOST\",\"lattice_rpc_prefix\":\"default\",\"provider_key\":\"web\","
             "\"lattice_rpc_url\":\"nats://"
             "x\",\"config\":{},\"env_values\":{},\"link_definitions\":[%s]}",
             links);
    ck_assert_msg(sdk_open(r->provider_bus, &http_server_provider, str_span(str_of(host_data)),
                           on_stopped, r, &r->sdk, &e),
                  "%s", e.text);
    loop_sim_advance(r->loop, 10);
}

static void rig_close(struct rig *r)
{
    sdk_close(r->sdk);
    http_sim_close(r->client);
    wrpc_inv_free(r->inv);
    wrpc_serve_close(r->serve);
    wrpc_close(r->wrpc);
    bus_close(r->component_bus);
    bus_close(r->provider_bus);
    bus_close(r->host_bus);
    loop_sim_advance(r->loop, 2000);
    bus_sim_free(r->net);
    loop_free(r->loop);
    arena_fini(&r->arena);
    buf_fini(&r->root);
    buf_fini(&r->request_body);
    buf_fini(&r->request_trailers);
    buf_fini(&r->seen);
    buf_fini(&r->reply);
}

static const char *text_of(struct buf *b)
{
    buf_byte(b, 0);
    b->n--;
    return (const char *)b->p;
}

static void put(struct rig *r, const char *bytes)
{
    http_sim_put(r->client, str_of(bytes));
    loop_sim_advance(r->loop, 100);
}

static const char *got(struct rig *r)
{
    static struct buf text;
    buf_clear(&text);
    buf_str(&text, http_sim_got(r->client));
    http_sim_clear(r->client);
    return text_of(&text);
}

static bool starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool ends(const char *s, const char *suffix)
{
    return strlen(s) >= strlen(suffix) && strcmp(s + strlen(s) - strlen(suffix), suffix) == 0;
}

static void on_reply(void *user, const struct bus_msg *msg, const struct err *e)
{
    struct rig *r = user;
    buf_clear(&r->reply);
    if (msg)
        buf_put(&r->reply, msg->data.p, msg->data.n);
    else
        buf_printf(&r->reply, "%s", e->text);
}

static const char *ask(struct rig *r, enum proto_rpc what, const char *payload)
{
    struct err e = ERR_INIT;
    struct proto_subject s;
    struct bus_request *req;
    ck_assert(proto_rpc_subject(STR("default"), STR("web"), what, &s, &e));
    buf_clear(&r->reply);
    if (what == PROTO_RPC_LINK_PUT || what == PROTO_RPC_LINK_DEL)
        ck_assert(bus_publish(r->host_bus, proto_subject_str(&s), STR_NONE, NULL, 0,
                              str_span(str_of(payload)), &e));
    else
        ck_assert(bus_request(r->host_bus, proto_subject_str(&s), NULL, 0,
                              str_span(str_of(payload)), 2000, on_reply, r, &req, &e));
    loop_sim_advance(r->loop, 500);
    return text_of(&r->reply);
}

#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

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
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    connect_client(&r);
    put(&r, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Host: outer.example, h\r\nX-Forwarded-Proto: "
            "https\r\n\r\n");
    ck_assert(starts(text_of(&r.seen), "GET https://outer.example/ "));
    put(&r, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Host: a/b\r\nX-Forwarded-Proto: ws\r\n\r\n");
    ck_assert(starts(text_of(&r.seen), "GET http://h/ "));
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

/* A large body is paced, and arrives whole. */
START_TEST(large_post)
{
    struct rig r;
    size_t total = 3u << 20, sent = 0;
    char block[8192];
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    r.hold = true;
    connect_client(&r);
    memset(block, 'z', sizeof block);
    put(&r, "PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3145728\r\n\r\n");
    for (; sent < total && http_sim_reads(r.client); sent += sizeof block)
        http_sim_put(r.client, (struct str){block, sizeof block});
    ck_assert_uint_lt(sent, 1u << 20); /* no round trip yet: the server stopped reading */
    for (; sent < total; sent += sizeof block) {
        http_sim_put(r.client, (struct str){block, sizeof block});
        loop_sim_advance(r.loop, 1);
    }
    loop_sim_advance(r.loop, 5000);
    ck_assert_uint_eq(r.request_body.n, total);
    ck_assert(r.body_ended);
    respond(&r);
    loop_sim_advance(r.loop, 10);
    ck_assert(starts(got(&r), "HTTP/1.1 200 OK"));
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

/* ---- settings, links, health, stop ---- */

START_TEST(link_settings)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello",
                         "\"port\":\"8080\",\"address\":\"127.0.0.1:1\",\"readonly_mode\":\"true\","
                         "\"cache_control\":\"no-store\""));
    connect_client(&r);
    put(&r, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    const char *reply = got(&r);
    ck_assert_msg(starts(reply, "HTTP/1.1 405 ") && strstr(reply, "allow: GET, HEAD\r\n"), "%s",
                  reply);
    ck_assert_uint_eq(r.calls, 0);
    put(&r, GET);
    ck_assert(strstr(got(&r), "cache-control: no-store\r\n"));
    static const struct http_field own[] = {{STR_INIT("Cache-Control"), STR_INIT("max-age=1")}};
    r.response = (struct http_response){200, own, 1};
    put(&r, GET);
    reply = got(&r);
    ck_assert(strstr(reply, "max-age=1") && !strstr(reply, "no-store"));
    rig_close(&r);
}
END_TEST

START_TEST(bad_settings_are_unhealthy)
{
    static const struct {
        const char *link, *text;
    } rows[] = {
        {LINK_TO("hello", "\"address\":\"\""), "link web -> hello (default): address ''"},
        {LINK_TO("hello", "\"port\":\"http\""), "port 'http': not a port"},
        {LINK_TO("hello", "\"timeout_ms\":\"-1\""), "timeout_ms '-1'"},
        {LINK_TO("hello", "\"readonly_mode\":\"maybe\""), "readonly_mode 'maybe'"},
        {LINK_TO("hello", "\"tls_cert_file\":\"/c.pem\""),
         "tls_cert_file '/c.pem': not supported yet"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig r;
        rig_open(&r, rows[i].link);
        const char *health = ask(&r, PROTO_RPC_HEALTH, "");
        ck_assert_msg(strstr(health, "\"healthy\":false") && strstr(health, rows[i].text), "%s",
                      health);
        rig_close(&r);
    }
}
END_TEST

/* The second link on an address is a problem that is told, and over when the first is gone. */
START_TEST(address_in_use)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    ck_assert_str_eq(ask(&r, PROTO_RPC_HEALTH, ""), "{\"healthy\":true}");
    ask(&r, PROTO_RPC_LINK_PUT, LINK_TO("other", "\"address\":\"127.0.0.1:8080\""));
    const char *health = ask(&r, PROTO_RPC_HEALTH, "");
    ck_assert_msg(
        strstr(health,
               "link web -> other (default): listen on 127.0.0.1:8080: address already in use"),
        "%s", health);
    ask(&r, PROTO_RPC_LINK_DEL, LINK_TO("hello", ""));
    loop_sim_advance(r.loop, 20000);
    ck_assert_str_eq(ask(&r, PROTO_RPC_HEALTH, ""), "{\"healthy\":true}");
    connect_client(&r);
    put(&r, GET);
    ck_assert(starts(got(&r), "HTTP/1.1 503 ")); /* nobody serves "other" */
    ask(&r, PROTO_RPC_LINK_DEL, LINK_TO("other", ""));
    struct err e = ERR_INIT;
    struct http_sim_client *late;
    ck_assert(!http_sim_connect(r.loop, ADDRESS, STR("10.0.0.1"), &late, &e));
    rig_close(&r);
}
END_TEST

/* A link that is deleted frees its address at once and lets requests end. */
START_TEST(link_deleted_under_way)
{
    struct rig r;
    struct http_sim_client *old;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    ask(&r, PROTO_RPC_LINK_DEL, LINK_TO("hello", ""));
    ask(&r, PROTO_RPC_LINK_PUT, LINK_TO("other", "\"address\":\"127.0.0.1:8080\""));
    ck_assert_str_eq(ask(&r, PROTO_RPC_HEALTH, ""), "{\"healthy\":true}");
    old = MOVE(r.client);
    connect_client(&r);
    put(&r, GET);
    ck_assert(starts(got(&r), "HTTP/1.1 503 "));
    respond(&r);
    loop_sim_advance(r.loop, 10);
    ck_assert(str_starts(http_sim_got(old), STR("HTTP/1.1 200 ")));
    loop_sim_advance(r.loop, 10000);
    ck_assert(http_sim_ended(old));
    http_sim_close(old);
    rig_close(&r);
}
END_TEST

START_TEST(shutdown_waits_for_requests)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    struct proto_subject s;
    struct err e = ERR_INIT;
    struct bus_request *req;
    ck_assert(proto_rpc_subject(STR("default"), STR("web"), PROTO_RPC_SHUTDOWN, &s, &e));
    ck_assert(bus_request(r.host_bus, proto_subject_str(&s), NULL, 0,
                          str_span(STR("{\"host_id\":\"NHOST\"}")), 2000, on_reply, &r, &req, &e));
    loop_sim_advance(r.loop, 50);
    ck_assert(!r.stopped);
    respond(&r);
    loop_sim_advance(r.loop, 10);
    const char *reply = got(&r);
    ck_assert_msg(starts(reply, "HTTP/1.1 200 ") && strstr(reply, "connection: close"), "%s",
                  reply);
    http_sim_put_eof(r.client);
    loop_sim_advance(r.loop, 10);
    ck_assert(r.stopped);
    ck_assert_str_eq(text_of(&r.reply), "shutting down");
    rig_close(&r);
}
END_TEST

START_TEST(shutdown_does_not_wait_for_ever)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    ask(&r, PROTO_RPC_SHUTDOWN, "{\"host_id\":\"NOTHER\"}");
    ck_assert(!r.stopped);
    ck_assert_str_eq(ask(&r, PROTO_RPC_SHUTDOWN, "{\"host_id\":\"NHOST\"}"), "shutting down");
    ck_assert(r.stopped);
    rig_close(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http-server provider");
    log_open(LOG_ERROR, false, "test");
    TCase *t = tcase_create("sim");
    tcase_set_timeout(t, 30);
    tcase_add_test(t, get);
    tcase_add_test(t, trace_goes_on);
    tcase_add_test(t, behind_a_proxy);
    tcase_add_test(t, post_streams);
    tcase_add_test(t, large_post);
    tcase_add_test(t, body_before_head);
    tcase_add_test(t, trailers_never_come);
    tcase_add_test(t, failures);
    tcase_add_test(t, nobody_there);
    tcase_add_test(t, timeout);
    tcase_add_test(t, client_leaves);
    tcase_add_test(t, lattice_lost);
    tcase_add_test(t, client_leaves_its_body);
    tcase_add_test(t, response_body_is_cut);
    tcase_add_test(t, link_settings);
    tcase_add_test(t, bad_settings_are_unhealthy);
    tcase_add_test(t, address_in_use);
    tcase_add_test(t, link_deleted_under_way);
    tcase_add_test(t, shutdown_waits_for_requests);
    tcase_add_test(t, shutdown_does_not_wait_for_ever);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
