/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest answers: outgoing-response and response-outparam, and the embedder's side of it. Spec: wasi:http 0.2 and
 * component-model.md 12.5.
 * The head leaves at response-outparam.set; body bytes follow while the guest goes on writing. */
#include "hostd/wasi/wasi_int.h"

#include "lattice/base/alloc.h"

enum { STATUS_MIN = 100, STATUS_MAX = 999, STATUS_NO_CONTENT = 204, STATUS_NOT_MODIFIED = 304 };

struct outgoing_response {
    uint16_t status;
    struct wasi_fields *headers;
    struct wasi_outbody *body; /* NULL until asked for */
};

static void response_drop(void *user, void *obj)
{
    struct outgoing_response *r = obj;
    (void)user;
    wasi_fields_release(r->headers);
    wasi_outbody_release(r->body);
    free(r);
}
const struct comp_class wasi_outgoing_response_class = {"outgoing-response", response_drop};

/* A guest that drops it unset gives no answer: the embedder sees that in wasi_responded. */
static void outparam_drop(void *user, void *obj)
{
    (void)user;
    (void)obj;
}
const struct comp_class wasi_outparam_class = {"response-outparam", outparam_drop};

/* ---- outgoing-response ---- */

static enum comp_host_status response_new(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    struct outgoing_response *r = xnew(struct outgoing_response);
    *r = (struct outgoing_response){.status = 200, .headers = wasi_fields_take(args[0].obj)};
    *result = wasi_own(hc, &wasi_outgoing_response_class, r);
    return wasi_done(hc);
}

static enum comp_host_status response_status(struct comp_host_call *hc,
                                             const struct wit_value *args, struct wit_value *result)
{
    const struct outgoing_response *r = args[0].obj;
    *result = wit_u64(r->status);
    return wasi_done(hc);
}

static enum comp_host_status response_set_status(struct comp_host_call *hc,
                                                 const struct wit_value *args,
                                                 struct wit_value *result)
{
    struct outgoing_response *r = args[0].obj;
    bool ok = args[1].u64 >= STATUS_MIN && args[1].u64 <= STATUS_MAX;
    if (ok)
        r->status = (uint16_t)args[1].u64;
    *result = ok ? WASI_OK : WASI_ERR;
    return wasi_done(hc);
}

static enum comp_host_status
response_headers(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    const struct outgoing_response *r = args[0].obj;
    *result = wasi_fields_own(hc, wasi_fields_hold(r->headers));
    return wasi_done(hc);
}

static enum comp_host_status response_body(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    struct outgoing_response *r = args[0].obj;
    bool has_length;
    uint64_t length;
    if (r->body || !wasi_fields_length(r->headers, &has_length, &length)) {
        *result = WASI_ERR;
        return wasi_done(hc);
    }
    r->body = wasi_outbody_new(wasi_of(hc), false);
    r->body->no_content = wasi_of(hc)->head_request;
    r->body->has_length = has_length;
    r->body->length = length;
    *result = wasi_ok(hc, wasi_own(hc, &wasi_outgoing_body_class, wasi_outbody_hold(r->body)));
    return wasi_done(hc);
}

/* ---- response-outparam ---- */

static bool without_content(const struct wasi_ctx *c, uint16_t status)
{
    return c->head_request || status < 200 || status == STATUS_NO_CONTENT ||
           status == STATUS_NOT_MODIFIED;
}

/* The body of a response whose guest never asked for one. */
static struct wasi_outbody *empty_body(struct wasi_ctx *c, const struct outgoing_response *r)
{
    bool has_length, no_content = without_content(c, r->status);
    uint64_t length;
    struct wasi_outbody *b = wasi_outbody_new(c, false);
    bool ok = wasi_fields_length(r->headers, &has_length, &length) && length == 0;
    b->state = ok || no_content ? OUTBODY_FINISHED : OUTBODY_ABORTED;
    return b;
}

static void send_head(struct wasi_ctx *c, struct outgoing_response *r)
{
    const struct http_response head = {r->status, r->headers->at, r->headers->n};
    struct wasi_outbody *b = r->body ? wasi_outbody_hold(r->body) : empty_body(c, r);
    b->no_content = without_content(c, r->status);
    wasi_outbody_start(b, &c->response);
    wasi_outbody_release(b);
    c->responded = true;
    c->opts.world->respond(c->opts.user, &head, NULL);
    response_drop(c, r);
    wasi_flow_pump(c, &c->response);
}

static void send_error(struct wasi_ctx *c, const struct wit_value *code)
{
    struct http_error error = {.code = (enum http_error_code)code->n};
    if (code->v)
        error.payload = *code->v;
    if (error.code == HTTP_INTERNAL_ERROR && code->v && code->v->n)
        error.text = wit_get_str(code->v->v);
    c->responded = true;
    c->opts.world->respond(c->opts.user, NULL, &error);
}

/* No finished body waits for credit. (The body itself is gone when its end was told, so wait for the context.) */
static bool nothing_left(void *user)
{
    const struct wasi_outbody *b = ((const struct wasi_ctx *)user)->response.body;
    return !b || b->state == OUTBODY_OPEN;
}

/* Of a body that was finished before the head left, all bytes leave here: see http_body.c. */
static enum comp_host_status outparam_set(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    struct wasi_ctx *c = wasi_of(hc);
    (void)result;
    if (!c->responded && args[1].n == 0)
        send_head(c, args[1].v->obj);
    else if (!c->responded)
        send_error(c, args[1].v);
    if (!nothing_left(c))
        return wasi_wait_for(hc, nothing_left, c);
    return wasi_done(hc);
}

/* Unstable in 0.2, and an answer that hosts may give: nothing here carries responses before the response. */
static enum comp_host_status outparam_send_informational(struct comp_host_call *hc,
                                                         const struct wit_value *args,
                                                         struct wit_value *result)
{
    uint64_t status = args[1].u64;
    wasi_fields_release(wasi_fields_take(args[2].obj));
    *result = wasi_err(
        hc, wasi_http_code(
                hc, status < 100 || status > 199 ? HTTP_PROTOCOL_ERROR : HTTP_INTERNAL_ERROR, 0));
    return wasi_done(hc);
}

const struct comp_host_func wasi_outgoing_funcs[] = {
    {"[constructor]outgoing-response", response_new},
    {"[method]outgoing-response.status-code", response_status},
    {"[method]outgoing-response.set-status-code", response_set_status},
    {"[method]outgoing-response.headers", response_headers},
    {"[method]outgoing-response.body", response_body},
    {"[static]response-outparam.set", outparam_set},
    {"[method]response-outparam.send-informational", outparam_send_informational},
    {NULL, NULL},
};

/* ---- the embedder's side ---- */

bool wasi_responded(const struct wasi_ctx *c)
{
    return c->responded;
}
