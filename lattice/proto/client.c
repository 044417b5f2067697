/* SPDX-License-Identifier: Apache-2.0 */
/* Typed requests to hosts (control interface) and to the scheduler (manifest API), over the bus.
 * Owns: every open request; a request ends with its last callback, or by proto_cancel or proto_client_free.
 * Keeps: no callback after cancelling; a callback may cancel its own request and free the client. */
#include "lattice/proto/client.h"

#include <assert.h>

#include "lattice/base/alloc.h"
#include "lattice/proto/proto_int.h"

#define CTL_TIMEOUT_MS 2000
#define API_TIMEOUT_MS 10000

struct proto_client {
    struct bus *bus;
    struct proto_space space; /* views of the three below */
    char *lattice, *ctl_prefix, *api_prefix;
    uint64_t timeout_ms; /* 0: the defaults */
    struct proto_request *requests;
};

struct proto_request {
    struct proto_client *client; /* NULL: the client is gone, only the running callback is left */
    struct proto_request *next, **link;
    struct bus_request *bus_request;
    bool many;    /* collects: alive until the end marker */
    bool running; /* in its callback: whoever ends it now leaves the freeing to us */
    bool ended;
    enum proto_op op;
    enum proto_api_op api_op;
    proto_reply_fn *reply_fn; /* one of the two */
    proto_api_fn *api_fn;
    void *user;
};

struct proto_client *proto_client_new(struct bus *bus, const struct proto_space *space,
                                      uint64_t timeout_ms)
{
    struct proto_client *c = xnew(struct proto_client);
    c->bus = bus;
    c->timeout_ms = timeout_ms;
    c->lattice = str_dup(space->lattice);
    c->ctl_prefix = str_dup(space->ctl_prefix);
    c->api_prefix = str_dup(space->api_prefix);
    c->space = (struct proto_space){
        .lattice = str_of(c->lattice),
        .ctl_prefix = str_of(c->ctl_prefix),
        .api_prefix = str_of(c->api_prefix),
    };
    return c;
}

/* ---- a request's life ------------------------------------------------------------------------------ */

static void request_add(struct proto_client *c, struct proto_request *r)
{
    r->client = c;
    r->next = c->requests;
    r->link = &c->requests;
    if (r->next)
        r->next->link = &r->next;
    c->requests = r;
}

/* Takes it off its client; frees it unless its callback is running, which then does. */
static void request_end(struct proto_request *r)
{
    if (r->client) {
        *r->link = r->next;
        if (r->next)
            r->next->link = r->link;
        r->client = NULL;
    }
    r->ended = true;
    if (!r->running)
        free(r);
}

void proto_cancel(struct proto_request **rp)
{
    struct proto_request *r = *rp;
    *rp = NULL;
    if (!r || r->ended)
        return;
    bus_cancel(&r->bus_request);
    request_end(r);
}

void proto_client_free(struct proto_client *c)
{
    if (!c)
        return;
    while (c->requests) {
        struct proto_request *r = c->requests;
        proto_cancel(&r);
    }
    free(c->lattice);
    free(c->ctl_prefix);
    free(c->api_prefix);
    free(c);
}

static void tell(struct proto_request *r, const struct proto_reply *reply,
                 const struct proto_api_reply *api, const struct err *e)
{
    if (r->api_fn)
        r->api_fn(r->user, api, e);
    else
        r->reply_fn(r->user, reply, e);
}

/* One answer, decoded and handed on. */
static void answer(struct proto_request *r, struct span data)
{
    struct err e = ERR_INIT;
    struct arena arena;
    struct proto_reply reply = {.success = true, .message = STR("")};
    struct proto_api_reply api;
    arena_init(&arena, PROTO_ARENA_BYTES);
    bool ok = r->api_fn ? proto_api_reply_decode(r->api_op, data, &arena, &api, &e)
                        : r->op == PROTO_HOST_PROBE || /* any answer is life */
                              proto_reply_decode(r->op, data, &arena, &reply, &e);
    if (!ok) {
        err_wrap(&e, "unreadable answer");
    } else if (!r->api_fn && !reply.success) {
        char text[ERR_TEXT_MAX / 2];
        ok = err_set(&e, ERR_PEER, "%s", str_show(reply.message, text, sizeof text));
    }
    tell(r, ok ? &reply : NULL, ok ? &api : NULL, ok ? NULL : &e);
    arena_fini(&arena);
}

static void on_reply(void *user, const struct bus_msg *msg, const struct err *e)
{
    struct proto_request *r = user;
    bool last = !r->many || !msg;
    if (last)
        r->bus_request = NULL; /* the bus has freed it, or will */
    r->running = true;
    if (msg)
        answer(r, msg->data);
    else
        tell(r, NULL, NULL, e);
    r->running = false;
    if (r->ended)
        free(r);
    else if (last)
        request_end(r);
}

/* ---- sending --------------------------------------------------------------------------------------- */

struct sending {
    struct proto_subject subject;
    struct buf body;
    const struct bus_header *headers;
    size_t nheaders;
    uint64_t timeout_ms;
};

/* Sends and frees the body; the request is r's from then on. */
static bool request_send(struct proto_client *c, struct sending *s, struct proto_request r,
                         struct proto_request **out, struct err *e)
{
    struct proto_request *req = xnew(struct proto_request);
    *req = r;
    struct str subject = proto_subject_str(&s->subject);
    bool ok = r.many ? bus_request_many(c->bus, subject, buf_span(&s->body), s->timeout_ms,
                                        on_reply, req, &req->bus_request, e)
                     : bus_request(c->bus, subject, s->headers, s->nheaders, buf_span(&s->body),
                                   s->timeout_ms, on_reply, req, &req->bus_request, e);
    buf_fini(&s->body);
    if (!ok) {
        free(req);
        return false;
    }
    request_add(c, req);
    if (out)
        *out = req;
    return true;
}

/* What the control functions below have in common. root NULL: no body. */
struct control {
    enum proto_op op;
    struct str arg;
    const struct shape_member *root;
    const void *m;
    uint64_t collect_ms; /* not 0: collects answers for that long */
    uint64_t timeout_ms; /* 0: the client's */
    proto_reply_fn *fn;
    void *user;
};

static bool control_send(struct proto_client *c, const struct control *k,
                         struct proto_request **out, struct err *e)
{
    struct sending s = {.body = BUF_INIT};
    if (!proto_ctl_subject(&c->space, k->op, k->arg, &s.subject, e))
        return false;
    if (k->root)
        shape_encode(k->root, k->m, &s.body);
    s.timeout_ms = k->collect_ms   ? k->collect_ms
                   : k->timeout_ms ? k->timeout_ms
                   : c->timeout_ms ? c->timeout_ms
                                   : CTL_TIMEOUT_MS;
    struct proto_request r = {
        .many = k->collect_ms != 0, .op = k->op, .reply_fn = k->fn, .user = k->user};
    return request_send(c, &s, r, out, e);
}

bool proto_host_ping(struct proto_client *c, uint64_t collect_ms, proto_reply_fn *fn, void *user,
                     struct proto_request **out, struct err *e)
{
    assert(collect_ms > 0);
    struct control k = {PROTO_HOST_PING, .collect_ms = collect_ms, .fn = fn, .user = user};
    return control_send(c, &k, out, e);
}

bool proto_host_get(struct proto_client *c, struct str host_id, proto_reply_fn *fn, void *user,
                    struct proto_request **out, struct err *e)
{
    struct control k = {PROTO_HOST_GET, host_id, .fn = fn, .user = user};
    return control_send(c, &k, out, e);
}

bool proto_host_stop(struct proto_client *c, const struct proto_host_stop *m, proto_reply_fn *fn,
                     void *user, struct proto_request **out, struct err *e)
{
    struct control k = {PROTO_HOST_STOP, m->host_id,  &proto_root_host_stop, m,
                        .fn = fn,        .user = user};
    return control_send(c, &k, out, e);
}

bool proto_host_probe(struct proto_client *c, struct str host_id, uint64_t timeout_ms,
                      proto_reply_fn *fn, void *user, struct proto_request **out, struct err *e)
{
    struct control k = {PROTO_HOST_PROBE, host_id, .timeout_ms = timeout_ms, .fn = fn,
                        .user = user};
    return control_send(c, &k, out, e);
}

bool proto_component_bids(struct proto_client *c, const struct proto_component_auction *m,
                          uint64_t collect_ms, proto_reply_fn *fn, void *user,
                          struct proto_request **out, struct err *e)
{
    assert(collect_ms > 0);
    struct control k = {PROTO_COMPONENT_AUCTION,
                        STR_INIT(""),
                        &proto_root_component_auction,
                        m,
                        .collect_ms = collect_ms,
                        .fn = fn,
                        .user = user};
    return control_send(c, &k, out, e);
}

bool proto_provider_bids(struct proto_client *c, const struct proto_provider_auction *m,
                         uint64_t collect_ms, proto_reply_fn *fn, void *user,
                         struct proto_request **out, struct err *e)
{
    assert(collect_ms > 0);
    struct control k = {PROTO_PROVIDER_AUCTION,
                        STR_INIT(""),
                        &proto_root_provider_auction,
                        m,
                        .collect_ms = collect_ms,
                        .fn = fn,
                        .user = user};
    return control_send(c, &k, out, e);
}

bool proto_component_scale(struct proto_client *c, const struct proto_scale *m, proto_reply_fn *fn,
                           void *user, struct proto_request **out, struct err *e)
{
    struct control k = {PROTO_COMPONENT_SCALE, m->host_id, &proto_root_scale, m, .fn = fn,
                        .user = user};
    return control_send(c, &k, out, e);
}

bool proto_component_update(struct proto_client *c, const struct proto_update *m,
                            proto_reply_fn *fn, void *user, struct proto_request **out,
                            struct err *e)
{
    struct control k = {
        PROTO_COMPONENT_UPDATE, m->host_id, &proto_root_update, m, .fn = fn, .user = user};
    return control_send(c, &k, out, e);
}

bool proto_provider_start(struct proto_client *c, const struct proto_provider_start *m,
                          proto_reply_fn *fn, void *user, struct proto_request **out, struct err *e)
{
    struct control k = {PROTO_PROVIDER_START, m->host_id, &proto_root_provider_start, m, .fn = fn,
                        .user = user};
    return control_send(c, &k, out, e);
}

bool proto_provider_stop(struct proto_client *c, const struct proto_provider_stop *m,
                         proto_reply_fn *fn, void *user, struct proto_request **out, struct err *e)
{
    struct control k = {PROTO_PROVIDER_STOP, m->host_id, &proto_root_provider_stop, m, .fn = fn,
                        .user = user};
    return control_send(c, &k, out, e);
}

bool proto_label_put(struct proto_client *c, struct str host_id, const struct proto_label *m,
                     proto_reply_fn *fn, void *user, struct proto_request **out, struct err *e)
{
    struct control k = {PROTO_LABEL_PUT, host_id, &proto_root_label, m, .fn = fn, .user = user};
    return control_send(c, &k, out, e);
}

bool proto_label_del(struct proto_client *c, struct str host_id, struct str key, proto_reply_fn *fn,
                     void *user, struct proto_request **out, struct err *e)
{
    struct proto_label_del m = {key};
    struct control k = {PROTO_LABEL_DEL, host_id,     &proto_root_label_del, &m,
                        .fn = fn,        .user = user};
    return control_send(c, &k, out, e);
}

bool proto_links_get(struct proto_client *c, proto_reply_fn *fn, void *user,
                     struct proto_request **out, struct err *e)
{
    struct control k = {PROTO_LINK_GET, .fn = fn, .user = user};
    return control_send(c, &k, out, e);
}

bool proto_link_put(struct proto_client *c, const struct proto_link *m, proto_reply_fn *fn,
                    void *user, struct proto_request **out, struct err *e)
{
    struct control k = {PROTO_LINK_PUT, STR_INIT(""), &proto_root_link, m, .fn = fn, .user = user};
    return control_send(c, &k, out, e);
}

bool proto_link_del(struct proto_client *c, const struct proto_link_del *m, proto_reply_fn *fn,
                    void *user, struct proto_request **out, struct err *e)
{
    struct control k = {PROTO_LINK_DEL, STR_INIT(""), &proto_root_link_del, m,
                        .fn = fn,       .user = user};
    return control_send(c, &k, out, e);
}

bool proto_config_get(struct proto_client *c, struct str name, proto_reply_fn *fn, void *user,
                      struct proto_request **out, struct err *e)
{
    struct control k = {PROTO_CONFIG_GET, name, .fn = fn, .user = user};
    return control_send(c, &k, out, e);
}

bool proto_config_put(struct proto_client *c, struct str name, const struct proto_map *m,
                      proto_reply_fn *fn, void *user, struct proto_request **out, struct err *e)
{
    struct control k = {PROTO_CONFIG_PUT, name, &proto_root_config, m, .fn = fn, .user = user};
    return control_send(c, &k, out, e);
}

bool proto_config_del(struct proto_client *c, struct str name, proto_reply_fn *fn, void *user,
                      struct proto_request **out, struct err *e)
{
    struct control k = {PROTO_CONFIG_DEL, name, .fn = fn, .user = user};
    return control_send(c, &k, out, e);
}

bool proto_claims_get(struct proto_client *c, proto_reply_fn *fn, void *user,
                      struct proto_request **out, struct err *e)
{
    struct control k = {PROTO_CLAIMS_GET, .fn = fn, .user = user};
    return control_send(c, &k, out, e);
}

/* ---- manifest API ---------------------------------------------------------------------------------- */

static bool api_send(struct proto_client *c, struct sending *s, enum proto_api_op op,
                     proto_api_fn *fn, void *user, struct proto_request **out, struct err *e)
{
    s->timeout_ms = c->timeout_ms ? c->timeout_ms : API_TIMEOUT_MS;
    struct proto_request r = {.api_op = op, .api_fn = fn, .user = user};
    return request_send(c, s, r, out, e);
}

bool proto_api_put(struct proto_client *c, struct span manifest, bool json, proto_api_fn *fn,
                   void *user, struct proto_request **out, struct err *e)
{
    struct bus_header type = {STR("Content-Type"),
                              json ? STR("application/json") : STR("application/yaml")};
    struct sending s = {.body = BUF_INIT, .headers = &type, .nheaders = 1};
    if (!proto_api_subject(&c->space, PROTO_API_PUT, STR(""), &s.subject, e))
        return false;
    buf_put(&s.body, manifest.p, manifest.n);
    return api_send(c, &s, PROTO_API_PUT, fn, user, out, e);
}

bool proto_api_list(struct proto_client *c, proto_api_fn *fn, void *user,
                    struct proto_request **out, struct err *e)
{
    struct sending s = {.body = BUF_INIT};
    return proto_api_subject(&c->space, PROTO_API_LIST, STR(""), &s.subject, e) &&
           api_send(c, &s, PROTO_API_LIST, fn, user, out, e);
}

bool proto_api_ask(struct proto_client *c, enum proto_api_op op, struct str app, struct str version,
                   proto_api_fn *fn, void *user, struct proto_request **out, struct err *e)
{
    struct sending s = {.body = BUF_INIT};
    struct proto_api_request m = {version.n ? version : STR_NONE};
    if (app.n == 0)
        return err_set(e, ERR_INVALID, "an application name is needed");
    if (!proto_api_subject(&c->space, op, app, &s.subject, e))
        return false;
    if (op == PROTO_API_GET || op == PROTO_API_DEL || op == PROTO_API_DEPLOY)
        shape_encode(&proto_root_api_request, &m, &s.body);
    return api_send(c, &s, op, fn, user, out, e);
}
