/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest of an invocation says, on its way to the caller, to those it asks, and to the log. Keeps: a response
 * begins once, and its body and trailers end once, as whole or as cut short. */
#include "hostd/invoke_int.h"

#include <stdio.h>
#include "lattice/base/log.h"
#include "lattice/base/num.h"

#define LOG_LINE_BYTES_MAX 1024

/* ---- the response ---- */

/* The reader of the response caught up: the guest may go on. */
static void on_room(void *user)
{
    struct invocation *v = user;
    size_t n = v->credit_owed;
    if (n == 0 || wrpc_out_room(v->body_out) == 0)
        return;
    v->credit_owed = 0;
    guest_body_credit(v->guest, WASI_SERVED, n);
}

static void response_lost(struct invocation *v, const struct err *e)
{
    log_warn("response lost", LS("component", v->s->opts.id), LZ("request", v->request_id), LE(e));
    guest_cancel(v->guest, WASM_TRAP_HOST);
}

static void on_head(void *user, struct span root)
{
    struct invocation *v = user;
    struct err e = ERR_INIT;
    v->answered = true;
    if (v->gone)
        return;
    bool ok = wrpc_inv_result(v->inv, root, &e);
    if (ok && root.n && root.p[0] == 0) { /* ok(response): body and trailers follow */
        ok = wrpc_inv_result_out(v->inv, &feed_body_path, &v->body_out, &e) &&
             wrpc_inv_result_out(v->inv, &feed_trailers_path, &v->trailers_out, &e);
        if (ok)
            wrpc_out_on_room(v->body_out, on_room, v);
    }
    if (!ok)
        response_lost(v, &e);
}

/* A peer waits for trailers even where there are none. */
static void end_trailers(struct invocation *v, struct span trailers)
{
    static const uint8_t none[1] = {0};
    struct err e = ERR_INIT;
    wrpc_out_write(v->trailers_out, trailers.n ? trailers : (struct span){none, 1}, &e);
    wrpc_out_done(v->trailers_out);
}

/* The body ends without its proper end and the trailers without a value: both say "cut short", and upstream's readers
 * understand only the latter. */
static void abort_body(struct invocation *v)
{
    if (!v->body_out)
        return;
    wrpc_out_close(v->body_out);
    wrpc_out_close(v->trailers_out);
    v->body_out = v->trailers_out = NULL;
}

static void on_body(void *user, uint32_t exchange, struct span data, enum guest_body end,
                    struct span trailers)
{
    struct invocation *v = user;
    struct err e = ERR_INIT;
    bool ok;
    if (exchange != WASI_SERVED)
        outgoing_body(v->outgoings, exchange, data, end, trailers);
    if (exchange != WASI_SERVED || !v->body_out)
        return;
    if (end == GUEST_BODY_FINISHED) {
        ok = wrpc_out_last_chunk(v->body_out, data, &e);
        v->body_out = NULL;
        end_trailers(v, trailers);
    } else {
        ok = wrpc_out_chunk(v->body_out, data, &e);
        v->credit_owed += data.n;
        on_room(v);
    }
    if (!ok)
        response_lost(v, &e);
    if (!ok || end == GUEST_BODY_ABORTED)
        abort_body(v);
}

/* To a caller of ours in one message. */
static void on_response(void *user, struct span root, struct span body, struct span trailers)
{
    struct invocation *v = user;
    struct err e = ERR_INIT;
    if (body.n == 0 || root.p[0] != 0 || !wrpc_inv_ours(v->inv)) {
        on_head(v, root);
        on_body(v, WASI_SERVED, body, GUEST_BODY_FINISHED, trailers);
        return;
    }
    if (v->gone) {
        v->answered = true;
        return;
    }
    struct buf whole = BUF_INIT;
    http_response_join(root, body, trailers, &whole);
    v->answered = true;
    if (!wrpc_inv_result(v->inv, buf_span(&whole), &e))
        response_lost(v, &e);
    buf_fini(&whole);
}

static void on_result(void *user, struct span root)
{
    struct invocation *v = user;
    struct err e = ERR_INIT;
    if (v->f->http || v->answered || v->gone)
        return; /* handle returns nothing; its answer is the head */
    v->answered = true;
    if (!wrpc_inv_result(v->inv, root, &e))
        log_warn("result lost", LS("component", v->s->opts.id), LZ("request", v->request_id),
                 LE(&e));
}

static void on_consumed(void *user, uint32_t exchange, size_t n)
{
    struct invocation *v = user;
    if (exchange == WASI_SERVED) {
        feed_consumed(&v->feed, n);
        wrpc_inv_consumed(v->inv, &feed_body_path, n);
        return;
    }
    outgoing_consumed(v->outgoings, exchange, n);
}

/* ---- what it asks of others ---- */

static struct bridge_route route_of(const struct invocation *v)
{
    const struct invoke_host *h = v->s->opts.host;
    return (struct bridge_route){.rpc = h->rpc,
                                 .grants = h->grants,
                                 .lattice = h->lattice,
                                 .source_id = v->s->opts.id,
                                 .deadline_ms = v->s->opts.execution_ms_max};
}

static void on_fetch(void *user, uint32_t exchange, const struct guest_fetch *request)
{
    struct invocation *v = user;
    struct bridge_route route = route_of(v);
    struct outgoing_opts opts = {.route = &route,
                                 .client = v->s->opts.host->client,
                                 .stashes = v->s->opts.host->stashes,
                                 .guest = v->guest,
                                 .exchange = exchange};
    outgoing_open(&v->outgoings, &opts, request);
}

static void on_call(void *user, uint32_t exchange, const struct guest_call *call)
{
    struct invocation *v = user;
    struct bridge_route route = route_of(v);
    struct outgoing_opts opts = {.route = &route,
                                 .stashes = v->s->opts.host->stashes,
                                 .guest = v->guest,
                                 .exchange = exchange};
    outgoing_call(&v->outgoings, &opts, call);
}

static void on_fetch_drop(void *user, uint32_t exchange)
{
    outgoing_drop(&((struct invocation *)user)->outgoings, exchange);
}

static void on_import(void *user, struct guest_import *call)
{
    struct bridge_route route = route_of(user);
    if (call->func)
        bridge_invoke(&route, call);
    else
        choice_answer(route.grants, route.source_id, call);
}

/* ---- the log, and the end ---- */

static void on_print(void *user, int fd, struct str line)
{
    struct invocation *v = user;
    log_info(fd == 2 ? "guest stderr" : "guest stdout", LS("component", v->s->opts.id),
             LZ("request", v->request_id), LS("line", str_sub(line, 0, LOG_LINE_BYTES_MAX)));
}

static void on_log(void *user, uint32_t level, struct str context, struct str message)
{
    static const enum log_level levels[] = {LOG_TRACE, LOG_DEBUG, LOG_INFO,
                                            LOG_WARN,  LOG_ERROR, LOG_ERROR};
    struct invocation *v = user;
    log_at(levels[MIN(level, 5u)], "guest log", LS("component", v->s->opts.id),
           LZ("request", v->request_id), LS("context", context),
           LS("message", str_sub(message, 0, LOG_LINE_BYTES_MAX)));
}

static void answer_failure(struct invocation *v, const struct guest_end *end)
{
    char text[160];
    if (end->trap == WASM_TRAP_DEADLINE) {
        invoke_answer_error(v, HTTP_RESPONSE_TIMEOUT, NULL);
        return;
    }
    snprintf(text, sizeof text, "the component %s (request %s)",
             end->outcome == COMP_TRAPPED ? "failed" : "returned without a response",
             v->request_id);
    invoke_answer_error(v, HTTP_INTERNAL_ERROR, text);
}

static void on_ended(void *user, const struct guest_end *end)
{
    struct invocation *v = user;
    struct serving *s = v->s;
    if (end->outcome != COMP_DONE && v->gone)
        log_debug("caller gone", LS("component", s->opts.id), LZ("request", v->request_id));
    else if (end->outcome != COMP_DONE)
        log_warn(end->outcome == COMP_TRAPPED ? "guest trapped" : "guest exited",
                 LS("component", s->opts.id), LS("function", v->f->type->name),
                 LZ("request", v->request_id), LS("reason", end->why));
    if (v->f->http && !v->answered && !v->gone)
        answer_failure(v, end);
    abort_body(v);
    struct comp_inst *inst = guest_take_instance(v->guest);
    if (inst)
        serving_keep_instance(s, inst);
    invoke_end(v);
}

const struct guest_ops invoke_guest_ops = {
    .head = on_head,
    .response = on_response,
    .body = on_body,
    .consumed = on_consumed,
    .fetch = on_fetch,
    .call = on_call,
    .fetch_drop = on_fetch_drop,
    .result = on_result,
    .import = on_import,
    .print = on_print,
    .log = on_log,
    .ended = on_ended,
};
