/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of wasi:http: incoming-body, future-trailers, outgoing-body and the streams over them. Spec: wasi:http 0.2 and
 * component-model.md 12.5.
 *
 * A body is shared by the handle, its stream, the message it belongs to and the context; each holds it.
 * Incoming: the embedder pushes bytes and one end; whatever the guest does with them, every byte is told as consumed
 * once. Outgoing: bytes wait in `data` until the head has left and there is credit. Only outgoing-body.finish ends a
 * body well, and it answers when the last byte has left, so a guest that returns leaves nothing behind. */
#include "hostd/wasi/wasi_int.h"

#include <assert.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

struct wit_value wasi_http_code(struct comp_host_call *hc, uint32_t code, uint64_t size)
{
    const struct wit_type *payload = http_types_get()->error_code->cases[code].type;
    if (!payload)
        return wasi_bare(code);
    if (code == HTTP_REQUEST_BODY_SIZE || code == HTTP_RESPONSE_BODY_SIZE)
        return wasi_case(hc, code, wasi_some(hc, wit_u64(size)));
    if (payload->kind == WIT_OPTION)
        return wasi_case(hc, code, WASI_NONE);
    struct wit_value *fields = wasi_list(hc, payload->ncases); /* a record of options: all none */
    return wasi_case(hc, code, (struct wit_value){.v = fields, .n = payload->ncases});
}

/* ---- incoming-body ---- */

struct wasi_inbody *wasi_inbody_new(struct wasi_ctx *c, uint32_t exchange)
{
    struct wasi_inbody *b = xnew(struct wasi_inbody);
    b->holders = 1;
    b->ctx = c;
    b->exchange = exchange;
    b->failed = WASI_NO_HTTP_CODE;
    spool_init(&b->data, c->opts.buffered_bytes_max, NULL);
    return b;
}

struct wasi_inbody *wasi_inbody_hold(struct wasi_inbody *b)
{
    b->holders++;
    return b;
}

void wasi_inbody_release(struct wasi_inbody *b)
{
    if (!b || --b->holders > 0)
        return;
    if (b->fetch)
        wasi_fetch_unused(b->fetch);
    wasi_fields_release(b->trailers);
    spool_fini(&b->data);
    free(b->failed_text);
    free(b);
}

static void tell_consumed(struct wasi_ctx *c, uint32_t exchange, size_t n)
{
    if (n > 0 && c->opts.world->body_consumed)
        c->opts.world->body_consumed(c->opts.user, exchange, n);
}

void wasi_inbody_discard(struct wasi_inbody *b)
{
    size_t n = (size_t)spool_size(&b->data);
    b->discard = true;
    spool_clear(&b->data);
    tell_consumed(b->ctx, b->exchange, n);
}

/* Nothing more comes. What a server has answered in full it does not read on. */
static void end_inbody(struct wasi_inbody *b)
{
    b->ended = true;
    if (b->fetch)
        wasi_flow_lose(&b->fetch->request);
}

static void inbody_drop(void *user, void *obj)
{
    (void)user;
    wasi_inbody_discard(obj);
    wasi_inbody_release(obj);
}
const struct comp_class wasi_incoming_body_class = {"incoming-body", inbody_drop};

static enum wasi_state inbody_peek(struct wasi_input *s, struct span *view)
{
    struct wasi_inbody *b = s->source;
    struct err e = ERR_INIT;
    bool readable = spool_peek(&b->data, view, &e);
    assert(readable); /* memory always is */
    if (view->n > 0 || !b->ended)
        return WASI_OPEN;
    if (b->failed == WASI_NO_HTTP_CODE)
        return WASI_CLOSED;
    s->failure = (struct wasi_error){.http_code = b->failed_text ? WASI_NO_HTTP_CODE : b->failed,
                                     .text = wasi_inbody_failure(b)};
    return WASI_FAILED;
}

const char *wasi_inbody_failure(const struct wasi_inbody *b)
{
    return b->failed_text ? b->failed_text : http_error_name(b->failed);
}

static void inbody_stream_take(struct wasi_input *s, size_t n)
{
    struct wasi_inbody *b = s->source;
    spool_take(&b->data, n);
    tell_consumed(b->ctx, b->exchange, n);
}

static void inbody_stream_drop(struct wasi_input *s)
{
    struct wasi_inbody *b = s->source;
    b->stream_open = false;
    wasi_inbody_release(b);
}

static const struct wasi_input_ops inbody_ops = {inbody_peek, inbody_stream_take,
                                                 inbody_stream_drop};

struct wasi_input *wasi_inbody_input(struct wasi_inbody *b)
{
    b->stream_taken = b->stream_open = true;
    return wasi_input_new(&inbody_ops, b);
}

static enum comp_host_status inbody_stream(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    struct wasi_inbody *b = args[0].obj;
    if (b->stream_taken) {
        *result = WASI_ERR;
        return wasi_done(hc);
    }
    struct wasi_input *s = wasi_inbody_input(wasi_inbody_hold(b));
    comp_host_child(hc, b, s);
    *result = wasi_ok(hc, wasi_own(hc, &wasi_input_class, s));
    return wasi_done(hc);
}

/* ---- future-trailers ---- */

struct future_trailers {
    struct wasi_inbody *body;
    bool got;
};

static void trailers_drop(void *user, void *obj)
{
    struct future_trailers *t = obj;
    (void)user;
    wasi_inbody_release(t->body);
    free(t);
}
const struct comp_class wasi_future_trailers_class = {"future-trailers", trailers_drop};

static bool trailers_ready(void *obj)
{
    const struct future_trailers *t = obj;
    return t->body->ended;
}

static enum comp_host_status inbody_finish(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    struct wasi_inbody *b = args[0].obj;
    if (b->stream_open) {
        inbody_drop(hc->user, b);
        return comp_trap(hc, "incoming-body finished before its stream was dropped");
    }
    wasi_inbody_discard(b);
    struct future_trailers *t = xnew(struct future_trailers);
    t->body = b; /* the handle's hold moves over */
    *result = wasi_own(hc, &wasi_future_trailers_class, t);
    return wasi_done(hc);
}

static enum comp_host_status trailers_subscribe(struct comp_host_call *hc,
                                                const struct wit_value *args,
                                                struct wit_value *result)
{
    *result = wasi_subscribe(hc, args[0].obj, trailers_ready);
    return wasi_done(hc);
}

/* result<option<trailers>, error-code> of a body that ended */
static struct wit_value trailers_outcome(struct comp_host_call *hc, const struct wasi_inbody *b)
{
    if (b->failed != WASI_NO_HTTP_CODE)
        return wasi_err(hc, wasi_http_code(hc, b->failed, 0));
    if (!b->trailers || b->trailers->n == 0)
        return wasi_ok(hc, WASI_NONE);
    struct wasi_fields *f = wasi_fields_hold(b->trailers);
    return wasi_ok(hc, wasi_some(hc, wasi_fields_own(hc, f)));
}

static enum comp_host_status trailers_get(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    struct future_trailers *t = args[0].obj;
    if (!t->body->ended) {
        *result = WASI_NONE;
    } else if (t->got) {
        *result = wasi_some(hc, WASI_ERR);
    } else {
        t->got = true;
        *result = wasi_some(hc, wasi_ok(hc, trailers_outcome(hc, t->body)));
    }
    return wasi_done(hc);
}

/* ---- outgoing-body ---- */

struct wasi_outbody *wasi_outbody_new(struct wasi_ctx *c, bool is_request)
{
    struct wasi_outbody *b = xnew(struct wasi_outbody);
    b->holders = 1;
    b->ctx = c;
    b->is_request = is_request;
    return b;
}

struct wasi_outbody *wasi_outbody_hold(struct wasi_outbody *b)
{
    b->holders++;
    return b;
}

/* Bytes of a body that is on its way are bounded by its own buffer; those of others count together. */
static bool is_counted(const struct wasi_outbody *b)
{
    return !b->flow;
}

void wasi_outbody_start(struct wasi_outbody *b, struct wasi_flow *flow)
{
    b->ctx->held -= b->data.n;
    b->flow = flow;
    flow->body = wasi_outbody_hold(b);
}

void wasi_outbody_release(struct wasi_outbody *b)
{
    if (!b || --b->holders > 0)
        return;
    b->ctx->held -= b->data.n; /* of a body that never started */
    wasi_fields_release(b->trailers);
    buf_fini(&b->data);
    free(b);
}

/* Sends what credit allows of `data`; returns how much that was. */
static size_t send_some(struct wasi_ctx *c, struct wasi_flow *flow, struct span data)
{
    size_t n = MIN(data.n, flow->credit);
    if (n > 0) {
        flow->credit -= n;
        c->opts.world->body_data(c->opts.user, flow->exchange, (struct span){data.p, n});
    }
    return n;
}

/* The body has left, or nobody wants it. */
static void end_flow(struct wasi_flow *flow)
{
    struct wasi_outbody *b = MOVE(flow->body);
    b->flow = NULL;
    wasi_outbody_release(b);
}

void wasi_flow_pump(struct wasi_ctx *c, struct wasi_flow *flow)
{
    struct wasi_outbody *b = flow->body;
    if (!b)
        return;
    if (b->no_content || b->state == OUTBODY_ABORTED)
        buf_clear(&b->data);
    buf_drop(&b->data, send_some(c, flow, buf_span(&b->data)));
    if (b->data.n > 0 || b->state == OUTBODY_OPEN)
        return;
    const struct wasi_fields *t = b->trailers;
    c->opts.world->body_end(c->opts.user, flow->exchange, b->state == OUTBODY_FINISHED,
                            t ? t->at : NULL, t ? t->n : 0);
    end_flow(flow);
}

void wasi_flow_lose(struct wasi_flow *flow)
{
    if (!flow->body)
        return;
    flow->body->lost = true;
    buf_clear(&flow->body->data);
    end_flow(flow);
}

bool wasi_outbody_drained(void *body)
{
    const struct wasi_outbody *b = body;
    return !b->flow || b->data.n == 0;
}

static void close_as(struct wasi_outbody *b, enum wasi_outbody_state state)
{
    if (b->state != OUTBODY_OPEN)
        return;
    b->state = state;
    if (b->flow)
        wasi_flow_pump(b->ctx, b->flow);
}

void wasi_outbody_abort(struct wasi_outbody *b)
{
    close_as(b, OUTBODY_ABORTED);
}

void wasi_outbody_finish(struct wasi_outbody *b)
{
    close_as(b, OUTBODY_FINISHED);
}

static void outbody_drop(void *user, void *obj)
{
    (void)user;
    wasi_outbody_abort(obj);
    wasi_outbody_release(obj);
}
const struct comp_class wasi_outgoing_body_class = {"outgoing-body", outbody_drop};

static uint32_t body_size_code(const struct wasi_outbody *b)
{
    return b->is_request ? HTTP_REQUEST_BODY_SIZE : HTTP_RESPONSE_BODY_SIZE;
}

static enum wasi_state outbody_room(struct wasi_output *s, size_t *n)
{
    const struct wasi_outbody *b = s->sink;
    *n = 0;
    if (b->overrun) {
        s->failure =
            (struct wasi_error){body_size_code(b), b->written, "body exceeds its Content-Length"};
        return WASI_FAILED;
    }
    if (b->state != OUTBODY_OPEN || b->lost)
        return WASI_CLOSED;
    *n = b->ends_with_stream && !b->flow
             ? SIZE_MAX
             : WASI_OUTBODY_BUFFER - MIN(b->data.n, WASI_OUTBODY_BUFFER);
    if (is_counted(b))
        *n = MIN(*n, WASI_HELD_BYTES_MAX - b->ctx->held);
    return WASI_OPEN;
}

static void outbody_write(struct wasi_output *s, struct span data)
{
    struct wasi_outbody *b = s->sink;
    struct wasi_ctx *c = b->ctx;
    if (b->has_length && data.n > b->length - b->written && !b->no_content) {
        b->overrun = true;
        return;
    }
    b->written += data.n;
    if (b->no_content)
        return;
    size_t sent = b->flow && b->data.n == 0 ? send_some(c, b->flow, data) : 0;
    buf_put(&b->data, data.p + sent, data.n - sent);
    c->held += is_counted(b) ? data.n : 0;
}

static bool outbody_flushed(struct wasi_output *s)
{
    return wasi_outbody_drained(s->sink);
}

static void outbody_stream_drop(struct wasi_output *s)
{
    struct wasi_outbody *b = s->sink;
    b->stream_open = false;
    if (b->ends_with_stream)
        close_as(b, b->ctx->gone ? OUTBODY_ABORTED : OUTBODY_FINISHED);
    wasi_outbody_release(b);
}

static const struct wasi_output_ops outbody_ops = {outbody_room, outbody_write, outbody_flushed,
                                                   outbody_stream_drop};

struct wit_value wasi_outbody_stream(struct comp_host_call *hc, void *parent,
                                     struct wasi_outbody *b)
{
    if (b->stream_taken)
        return WASI_ERR;
    b->stream_taken = b->stream_open = true;
    struct wasi_output *s = wasi_output_new(&outbody_ops, wasi_outbody_hold(b));
    comp_host_child(hc, parent, s);
    return wasi_ok(hc, wasi_own(hc, &wasi_output_class, s));
}

static enum comp_host_status outbody_stream(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    *result = wasi_outbody_stream(hc, args[0].obj, args[0].obj);
    return wasi_done(hc);
}

static bool length_matches(const struct wasi_outbody *b)
{
    return !b->overrun && (!b->has_length || b->no_content || b->lost || b->written == b->length);
}

/* Takes the trailers, which from here on belong to the body. */
static void close_body(struct wasi_outbody *b, const struct wit_value *trailers)
{
    b->trailers = trailers->n ? wasi_fields_take(trailers->v->obj) : NULL;
    if (length_matches(b))
        b->state = OUTBODY_FINISHED;
    else
        wasi_outbody_abort(b);
    if (b->flow)
        wasi_flow_pump(b->ctx, b->flow);
}

static enum comp_host_status outbody_finish(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    struct wasi_outbody *b = args[0].obj;
    if (b->stream_open) {
        wasi_fields_release(args[1].n ? wasi_fields_take(args[1].v->obj) : NULL);
        outbody_drop(hc->user, b);
        return comp_trap(hc, "outgoing-body finished before its stream was dropped");
    }
    if (b->state == OUTBODY_OPEN) /* else: called again after waiting */
        close_body(b, &args[1]);
    if (!wasi_outbody_drained(b)) {
        wasi_of(hc)->finishing = b;
        return wasi_wait_for(hc, wasi_outbody_drained, b);
    }
    wasi_of(hc)->finishing = NULL;
    *result = length_matches(b) ? WASI_OK
                                : wasi_err(hc, wasi_http_code(hc, body_size_code(b), b->written));
    wasi_outbody_release(b);
    return wasi_done(hc);
}

/* ---- the embedder's side ---- */

static struct wasi_inbody *find_inbody(const struct wasi_ctx *c, uint32_t exchange)
{
    const struct wasi_fetch *f = exchange == WASI_SERVED ? NULL : wasi_fetch_find(c, exchange);
    assert(exchange != WASI_SERVED || c->request_body);
    return f ? f->body : exchange == WASI_SERVED ? c->request_body : NULL;
}

bool wasi_body_push(struct wasi_ctx *c, uint32_t exchange, struct span data, struct err *e)
{
    struct wasi_inbody *b = find_inbody(c, exchange);
    if (!b || b->ended)
        return true; /* late bytes */
    if (!b->discard)
        return spool_put(&b->data, data, e);
    tell_consumed(c, exchange, data.n);
    return true;
}

void wasi_body_end(struct wasi_ctx *c, uint32_t exchange, const struct http_field *trailers,
                   size_t ntrailers)
{
    struct wasi_inbody *b = find_inbody(c, exchange);
    if (!b || b->ended)
        return;
    b->trailers = wasi_fields_received(c, trailers, ntrailers);
    end_inbody(b);
}

void wasi_body_fail(struct wasi_ctx *c, uint32_t exchange, enum http_error_code why)
{
    struct wasi_inbody *b = find_inbody(c, exchange);
    if (!b || b->ended)
        return;
    b->failed = why;
    end_inbody(b);
}

void wasi_body_credit(struct wasi_ctx *c, uint32_t exchange, size_t n)
{
    struct wasi_fetch *f = exchange == WASI_SERVED ? NULL : wasi_fetch_find(c, exchange);
    if (exchange != WASI_SERVED && !f)
        return;
    struct wasi_flow *flow = f ? &f->request : &c->response;
    flow->credit = n > SIZE_MAX - flow->credit ? SIZE_MAX : flow->credit + n;
    wasi_flow_pump(c, flow);
}

/* ---- rows ---- */

const struct comp_host_func wasi_body_funcs[] = {
    {"[method]incoming-body.stream", inbody_stream},
    {"[static]incoming-body.finish", inbody_finish},
    {"[method]future-trailers.subscribe", trailers_subscribe},
    {"[method]future-trailers.get", trailers_get},
    {"[method]outgoing-body.write", outbody_stream},
    {"[static]outgoing-body.finish", outbody_finish},
    {NULL, NULL},
};
