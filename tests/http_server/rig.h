/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of the http-server provider: a simulated lattice with a host, the provider and one component, and an
 * HTTP client in front. */
#ifndef HOSTD_TESTS_HTTP_SERVER_RIG_H
#define HOSTD_TESTS_HTTP_SERVER_RIG_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "lattice/http/http_sim.h"
#include "providers/http_server/provider.h"

#define ADDRESS_TEXT "127.0.0.1:8080"
#define ADDRESS STR(ADDRESS_TEXT)

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
    bool join;                      /* head, body and trailers in one message */
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

static inline void send_part(struct rig *r, enum part what)
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

static inline void send_joined(struct rig *r)
{
    struct err e = ERR_INIT;
    struct buf head = BUF_INIT, trailers = BUF_INIT, out = BUF_INIT;
    struct http_field t = {STR("x-t"), str_of(r->trailer)};
    ck_assert(http_response_encode(&r->response, &head, &e) &&
              http_trailers_encode(&t, r->trailer ? 1 : 0, &trailers, &e));
    http_response_join(buf_span(&head), str_span(str_of(r->body)), buf_span(&trailers), &out);
    ck_assert(wrpc_inv_result(r->inv, buf_span(&out), &e));
    buf_fini(&head);
    buf_fini(&trailers);
    buf_fini(&out);
}

static inline void respond(struct rig *r)
{
    r->responded = true;
    if (r->join) {
        send_joined(r);
        wrpc_inv_free(MOVE(r->inv));
        return;
    }
    if (!r->fail)
        send_part(r, PART_HEAD);
    if (!r->fail && !r->error) {
        send_part(r, PART_BODY);
        send_part(r, PART_TRAILERS);
    }
    wrpc_inv_free(MOVE(r->inv));
}

static inline void see_request(struct rig *r)
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

static inline void take(void *user, struct span data)
{
    buf_put(&((struct rig *)user)->request_body, data.p, data.n);
}

static inline void on_params(void *user, const struct wit_path *p, struct span piece)
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

static inline void on_call(void *user, struct wrpc_inv *inv)
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

static inline void on_stopped(void *user)
{
    ((struct rig *)user)->stopped = true;
}

static inline struct bus *join(struct rig *r)
{
    struct err e = ERR_INIT;
    struct bus *bus;
    ck_assert(bus_sim_open(r->net, &(struct bus_opts){.url = "sim", .name = "member"}, &bus, &e));
    return bus;
}

static inline void serve(struct rig *r)
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

static inline void connect_client(struct rig *r)
{
    struct err e = ERR_INIT;
    http_sim_close(r->client);
    r->client = NULL;
    ck_assert_msg(http_sim_connect(r->loop, ADDRESS, STR("10.0.0.1"), &r->client, &e), "%s",
                  e.text);
}

#define LINK_TO(target, config) LINK_NAMED("default", target, config)
#define LINK_NAMED(name, target, config)                                                        \
    "{\"source_id\":\"web\",\"target\":\"" target "\",\"name\":\"" name                         \
    "\",\"wit_namespace\":\"wasi\","                                                            \
    "\"wit_package\":\"http\",\"interfaces\":[\"incoming-handler\"],\"source_config\":{" config \
    "},"                                                                                        \
    "\"target_config\":{},\"source_secrets\":null,\"target_secrets\":null}"

static inline void rig_open_with(struct rig *r, const char *config, const char *links)
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
             "x\",\"config\":{%s},\"env_values\":{},\"link_definitions\":[%s]}",
             config, links);
    ck_assert_msg(sdk_open(r->provider_bus, &http_server_provider, str_span(str_of(host_data)),
                           on_stopped, r, &r->sdk, &e),
                  "%s", e.text);
    loop_sim_advance(r->loop, 10);
}

static inline void rig_open(struct rig *r, const char *links)
{
    rig_open_with(r, "", links);
}

static inline void rig_close(struct rig *r)
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

static inline const char *text_of(struct buf *b)
{
    buf_byte(b, 0);
    b->n--;
    return (const char *)b->p;
}

static inline void put(struct rig *r, const char *bytes)
{
    http_sim_put(r->client, str_of(bytes));
    loop_sim_advance(r->loop, 100);
}

static inline const char *got(struct rig *r)
{
    static struct buf text;
    buf_clear(&text);
    buf_str(&text, http_sim_got(r->client));
    http_sim_clear(r->client);
    return text_of(&text);
}

static inline bool starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static inline bool ends(const char *s, const char *suffix)
{
    return strlen(s) >= strlen(suffix) && strcmp(s + strlen(s) - strlen(suffix), suffix) == 0;
}

static inline void on_reply(void *user, const struct bus_msg *msg, const struct err *e)
{
    struct rig *r = user;
    buf_clear(&r->reply);
    if (msg)
        buf_put(&r->reply, msg->data.p, msg->data.n);
    else
        buf_printf(&r->reply, "%s", e->text);
}

static inline const char *ask(struct rig *r, enum proto_rpc what, const char *payload)
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

#endif
