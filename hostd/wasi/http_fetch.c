/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that a guest makes: outgoing-handler.handle, future-incoming-response, incoming-response, and the
 * embedder's side of them. Spec: wasi:http 0.2 and component-model.md 12.5.
 *
 * Keeps: a fetch lives as long as somebody holds its response's body (future, response, body, stream and
 * future-trailers do, one after the other); with the last of them the embedder is told to forget it. The request's
 * body is the guest's to write from handle on, whatever becomes of the response. */
#include "hostd/wasi/wasi_int.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* ---- life ---- */

struct wasi_fetch *wasi_fetch_find(const struct wasi_ctx *c, uint32_t exchange)
{
    struct wasi_fetch *f = c->fetches;
    while (f && f->request.exchange != exchange)
        f = f->next;
    return f;
}

struct wasi_fetch *wasi_fetch_new(struct wasi_ctx *c)
{
    struct wasi_fetch *f = xnew(struct wasi_fetch);
    f->ctx = c;
    f->request.exchange = ++c->last_exchange;
    f->body = wasi_inbody_new(c, f->request.exchange);
    f->body->fetch = f;
    f->next = c->fetches;
    c->fetches = f;
    c->nfetches++;
    return f;
}

void wasi_fetch_unused(struct wasi_fetch *f)
{
    struct wasi_ctx *c = f->ctx;
    struct wasi_fetch **at = &c->fetches;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    c->nfetches--;
    wasi_flow_lose(&f->request);
    c->opts.world->fetch_drop(c->opts.user, f->request.exchange);
    wasi_fields_release(f->headers);
    buf_fini(&f->root);
    free(f->error_text);
    free(f);
}

/* ---- outgoing-handler.handle ---- */

/* HTTP_ERROR_COUNT: none, the request may be made. */
static enum http_error_code check(const struct wasi_ctx *c, const struct wasi_outgoing_request *r)
{
    if (!c->opts.world->fetch)
        return HTTP_REQUEST_DENIED;
    if (r->scheme && strcasecmp(r->scheme, "http") != 0 && strcasecmp(r->scheme, "https") != 0)
        return HTTP_PROTOCOL_ERROR;
    if (!r->authority)
        return HTTP_REQUEST_URI_INVALID;
    return c->nfetches >= WASI_FETCHES_MAX ? HTTP_CONNECTION_LIMIT_REACHED : HTTP_ERROR_COUNT;
}

static bool is_empty(const struct wasi_outbody *b)
{
    return b->state == OUTBODY_FINISHED && b->data.n == 0 && !b->trailers;
}

/* These have no body unless they say how long it is; guests often open one all the same. */
static bool is_bare(const char *method, const struct wasi_outbody *b)
{
    return !b->has_length && (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0);
}

static void describe_body(const struct wasi_outgoing_request *r, struct wasi_request *out)
{
    struct wasi_outbody *b = r->body;
    if (!b)
        return;
    b->no_content = is_bare(r->method, b);
    out->has_body = !b->no_content && !is_empty(b);
    out->body_bytes = UINT64_MAX;
    if (b->has_length)
        out->body_bytes = b->length;
    else if (b->state == OUTBODY_FINISHED && !b->trailers)
        out->body_bytes = b->data.n;
}

static uint64_t timeout(const struct wasi_request_options *o, enum wasi_timeout which)
{
    return o && o->timeouts[which].set ? MAX(o->timeouts[which].ns, 1u) : 0;
}

static struct wasi_fetch *send(struct wasi_ctx *c, const struct wasi_outgoing_request *r,
                               const struct wasi_request_options *o)
{
    struct wasi_fetch *f = wasi_fetch_new(c);
    struct wasi_request request = {
        .head = {.method = str_of(r->method),
                 .scheme = str_of(r->scheme ? r->scheme : "https"),
                 .authority = str_of(r->authority),
                 .path_with_query = str_of(r->path_with_query),
                 .fields = r->headers->at,
                 .nfields = r->headers->n},
        .connect_ns = timeout(o, TIMEOUT_CONNECT),
        .first_byte_ns = timeout(o, TIMEOUT_FIRST_BYTE),
        .between_bytes_ns = timeout(o, TIMEOUT_BETWEEN_BYTES),
    };
    describe_body(r, &request);
    c->opts.world->fetch(c->opts.user, f->request.exchange, &request);
    if (!request.has_body)
        return f;
    if (f->answered) { /* refused at once */
        r->body->lost = true;
        return f;
    }
    wasi_outbody_start(r->body, &f->request);
    wasi_flow_pump(c, &f->request);
    return f;
}

struct future_response {
    struct wasi_fetch *fetch; /* held by body */
    struct wasi_inbody *body;
    bool got;
};

static struct wit_value future_own(struct comp_host_call *hc, struct wasi_fetch *f)
{
    struct future_response *future = xnew(struct future_response);
    *future = (struct future_response){.fetch = f, .body = f->body};
    return wasi_own(hc, &wasi_future_response_class, future);
}

static enum comp_host_status handle(struct comp_host_call *hc, const struct wit_value *args,
                                    struct wit_value *result)
{
    struct wasi_outgoing_request *r = args[0].obj;
    struct wasi_request_options *options = args[1].n ? args[1].v->obj : NULL;
    enum http_error_code why = check(wasi_of(hc), r);
    if (why == HTTP_ERROR_COUNT)
        *result = wasi_ok(hc, future_own(hc, send(wasi_of(hc), r, options)));
    else
        *result = wasi_err(hc, wasi_http_code(hc, why, 0));
    wasi_outgoing_request_free(r);
    free(options);
    return wasi_done(hc);
}

const struct comp_host_func wasi_handler_funcs[] = {{"handle", handle}, {NULL, NULL}};

/* ---- incoming-response ---- */

struct incoming_response {
    uint16_t status;
    struct wasi_fields *headers;
    struct wasi_inbody *body;
    bool consumed;
};

static void response_drop(void *user, void *obj)
{
    struct incoming_response *r = obj;
    (void)user;
    wasi_fields_release(r->headers);
    wasi_inbody_release(r->body);
    free(r);
}
const struct comp_class wasi_incoming_response_class = {"incoming-response", response_drop};

static enum comp_host_status response_status(struct comp_host_call *hc,
                                             const struct wit_value *args, struct wit_value *result)
{
    const struct incoming_response *r = args[0].obj;
    *result = wit_u64(r->status);
    return wasi_done(hc);
}

static enum comp_host_status
response_headers(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    const struct incoming_response *r = args[0].obj;
    *result = wasi_fields_own(hc, wasi_fields_hold(r->headers));
    return wasi_done(hc);
}

static enum comp_host_status
response_consume(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    struct incoming_response *r = args[0].obj;
    if (r->consumed) {
        *result = WASI_ERR;
        return wasi_done(hc);
    }
    r->consumed = true;
    struct wasi_inbody *b = wasi_inbody_hold(r->body);
    *result = wasi_ok(hc, wasi_own(hc, &wasi_incoming_body_class, b));
    return wasi_done(hc);
}

/* ---- future-incoming-response ---- */

static void future_drop(void *user, void *obj)
{
    struct future_response *future = obj;
    (void)user;
    wasi_inbody_release(future->body);
    free(future);
}
const struct comp_class wasi_future_response_class = {"future-incoming-response", future_drop};

static bool future_ready(void *obj)
{
    const struct future_response *future = obj;
    return future->fetch->answered;
}

static enum comp_host_status
future_subscribe(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    *result = wasi_subscribe(hc, args[0].obj, future_ready);
    return wasi_done(hc);
}

/* result<incoming-response, error-code> */
static struct wit_value outcome(struct comp_host_call *hc, struct wasi_fetch *f)
{
    if (f->status == 0 && f->error == HTTP_INTERNAL_ERROR && f->error_text) {
        struct wit_value text = wit_str(str_of(f->error_text));
        return wasi_err(hc, wasi_case(hc, f->error, wasi_some(hc, text)));
    }
    if (f->status == 0)
        return wasi_err(hc, wasi_http_code(hc, f->error, 0));
    struct incoming_response *r = xnew(struct incoming_response);
    *r = (struct incoming_response){
        .status = f->status, .headers = MOVE(f->headers), .body = wasi_inbody_hold(f->body)};
    return wasi_ok(hc, wasi_own(hc, &wasi_incoming_response_class, r));
}

static enum comp_host_status future_get(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    struct future_response *future = args[0].obj;
    if (!future->fetch->answered) {
        *result = WASI_NONE;
    } else if (future->got) {
        *result = wasi_some(hc, WASI_ERR);
    } else {
        future->got = true;
        *result = wasi_some(hc, wasi_ok(hc, outcome(hc, future->fetch)));
    }
    return wasi_done(hc);
}

const struct comp_host_func wasi_fetch_funcs[] = {
    {"[method]incoming-response.status", response_status},
    {"[method]incoming-response.headers", response_headers},
    {"[method]incoming-response.consume", response_consume},
    {"[method]future-incoming-response.subscribe", future_subscribe},
    {"[method]future-incoming-response.get", future_get},
    {NULL, NULL},
};

/* ---- the embedder's side ---- */

void wasi_fetch_response(struct wasi_ctx *c, uint32_t exchange, const struct http_response *r)
{
    struct wasi_fetch *f = wasi_fetch_find(c, exchange);
    if (!f || f->answered)
        return;
    f->answered = true;
    f->status = r->status;
    f->headers = wasi_fields_received(c, r->fields, r->nfields);
}

void wasi_fetch_error(struct wasi_ctx *c, uint32_t exchange, const struct http_error *error)
{
    struct wasi_fetch *f = wasi_fetch_find(c, exchange);
    if (!f || f->answered)
        return;
    f->answered = true;
    f->error = error->code;
    f->error_text = error->text.n ? str_dup(error->text) : NULL;
    wasi_flow_lose(&f->request);
}
