/* SPDX-License-Identifier: Apache-2.0 */
/* One invocation, from its first message to its guest's start, and its end. It waits, then takes in its parameters,
 * then runs; it ends when its guest ended. Keeps: only running ones hold an instance; whatever happens, an HTTP
 * caller that is still there gets a response or an error-code, never silence. */
#include "hostd/invoke_int.h"

#include <stdio.h>
#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/loop.h"

#define ROOT_BYTES_MAX (8u << 20) /* encoded parameters */
#define PARAMS_MS 10000           /* from their first byte to their last; bodies do not count */

/* ---- its end ---- */

static void invocation_free(struct invocation *v)
{
    if (v->freed)
        *v->freed = true;
    loop_timer_stop(&v->deadline);
    policy_forget(&v->asking);
    outgoing_drop_all(&v->outgoings);
    wrpc_inv_free(v->inv); /* its writers go with it; without a result this says "failed" */
    guest_free(v->guest);
    buf_fini(&v->root);
    feed_fini(&v->feed);
    free(v);
}

static void leave_queue(struct invocation *v)
{
    v->s->opts.host->queue_bytes -= v->root.n;
    DL_DELETE(v->s->waiting, v);
}

void invoke_end(struct invocation *v)
{
    struct serving *s = v->s;
    bool ran = v->guest != NULL;
    if (ran)
        DL_DELETE(s->running, v);
    else
        leave_queue(v);
    invocation_free(v);
    serving_left(s, ran);
}

void invoke_answer_error(struct invocation *v, enum http_error_code code, const char *text)
{
    struct buf root = BUF_INIT;
    struct err e = ERR_INIT;
    struct http_error x = {.code = code, .text = str_of(text)};
    if (http_error_encode(&x, &root, &e))
        wrpc_inv_result(v->inv, buf_span(&root), &e);
    v->answered = true;
    buf_fini(&root);
}

/* Before a guest could answer: says why, in the words of HTTP where the caller speaks it. */
void invoke_refuse(struct invocation *v, enum http_error_code code, const char *why)
{
    log_warn("invocation refused", LS("component", v->s->opts.id), LS("function", v->f->type->name),
             LZ("request", v->request_id), LZ("reason", why));
    if (v->f->http) {
        char text[160];
        snprintf(text, sizeof text, "%s (request %s)", why, v->request_id);
        invoke_answer_error(v, code, code == HTTP_INTERNAL_ERROR ? text : NULL);
    }
    invoke_end(v);
}

/* A guest that has answered in full may finish what it is at; there is nothing in it for its caller. */
static void on_gone(void *user)
{
    struct invocation *v = user;
    if (v->answered && !v->body_out)
        return;
    v->gone = true;
    if (v->started)
        guest_cancel(v->guest, WASM_TRAP_CANCELLED);
    else
        invoke_end(v);
}

/* ---- parameters ---- */

/* They must not keep an instance waiting for the whole time that the invocation has. */
static void params_are_late(struct invocation *v)
{
    invoke_refuse(v, HTTP_RESPONSE_TIMEOUT, "parameters did not come in time");
}

/* e: what is wrong with them; ERR_NONE: they are not complete. */
static void params_not_taken(struct invocation *v, const struct err *e)
{
    if (e->code != ERR_NONE)
        invoke_refuse(v, HTTP_PROTOCOL_ERROR, e->text);
    else if (v->root_ended)
        invoke_refuse(v, HTTP_PROTOCOL_ERROR, "the parameters ended too early");
    else if (v->params_due)
        params_are_late(v);
}

static void start_guest(struct invocation *v, const struct wit_value *args)
{
    struct err e = ERR_INIT;
    v->started = true;
    if (v->f->http)
        feed_start(&v->feed, v->guest, WASI_SERVED);
    if (!guest_start(v->guest, v->f->func, args, &e))
        invoke_refuse(v, HTTP_INTERNAL_ERROR, e.text);
}

static void take_http_root(struct invocation *v)
{
    struct arena *a = guest_arena(v->guest);
    struct err e = ERR_INIT;
    struct http_request request;
    struct wit_value *args = arena_array(a, struct wit_value, 2);
    if (!http_request_decode(buf_span(&v->root), a, &request, &e))
        params_not_taken(v, &e);
    else if (!wasi_http_args(guest_world(v->guest), &request, args, &e))
        invoke_refuse(v, HTTP_REQUEST_HEADER_SECTION_SIZE, e.text);
    else
        start_guest(v, args);
}

static void take_root(struct invocation *v)
{
    struct arena *a = guest_arena(v->guest);
    struct err e = ERR_INIT;
    uint32_t n = v->f->type->nparams;
    struct wit_value *args = arena_array(a, struct wit_value, n);
    struct wit_pendings pend = {0};
    size_t used;
    if (!args)
        err_set(&e, ERR_LIMIT, "out of call memory");
    if (!args || !wit_decode(v->f->param_types, n, buf_span(&v->root), a, args, &used, &pend, &e)) {
        params_not_taken(v, &e);
        return;
    }
    struct str link_name = wrpc_inv_header(v->inv, STR("link-name"));
    if (bridge_take_params(v->s->opts.linked, v->f->func, link_name, args, &e))
        start_guest(v, args);
    else
        invoke_refuse(v, HTTP_PROTOCOL_ERROR, e.text);
}

/* What came so far may be enough. */
static void take_params(struct invocation *v)
{
    if (v->f->http)
        take_http_root(v);
    else
        take_root(v);
}

static void on_root(struct invocation *v, struct span piece)
{
    if (v->started)
        return; /* what follows a complete tuple is ignored */
    struct invoke_host *h = v->s->opts.host;
    size_t before = v->root.n;
    buf_put(&v->root, piece.p, piece.n);
    v->root_ended |= piece.n == 0;
    if (!v->guest)
        h->queue_bytes += v->root.n - before;
    if (v->root.full)
        invoke_refuse(v, HTTP_REQUEST_BODY_SIZE, "parameters are larger than the limit");
    else if (v->guest)
        take_params(v);
    else if (h->queue_bytes > h->queue_bytes_max)
        invoke_refuse(v, HTTP_CONNECTION_LIMIT_REACHED,
                      "the host's queues are full: parameters of calls that wait");
}

static void on_bytes(void *user, const struct wit_path *p, struct span piece)
{
    struct invocation *v = user;
    if (p->n == 0)
        on_root(v, piece);
    else
        feed_bytes(&v->feed, p, piece);
}

/* ---- beginning ---- */

static void on_deadline(void *user)
{
    struct invocation *v = user;
    v->deadline = NULL;
    if (v->started)
        guest_cancel(v->guest, WASM_TRAP_DEADLINE);
    else if (v->guest)
        params_are_late(v);
    else
        invoke_refuse(v, HTTP_RESPONSE_TIMEOUT, "no instance became free in time");
}

/* Of those that wait for an instance nobody knows yet whether they are complete. */
static void on_params_due(void *user)
{
    struct invocation *v = user;
    uint64_t max = v->s->opts.execution_ms_max;
    v->params_due = true;
    v->deadline = max ? loop_after(v->s->opts.host->loop, max - PARAMS_MS, on_deadline, v) : NULL;
    if (v->guest && !v->started)
        params_are_late(v);
}

static void set_deadline(struct invocation *v)
{
    struct loop *loop = v->s->opts.host->loop;
    uint64_t max = v->s->opts.execution_ms_max;
    v->deadline = max && max <= PARAMS_MS ? loop_after(loop, max, on_deadline, v)
                                          : loop_after(loop, PARAMS_MS, on_params_due, v);
}

void invoke_begin(struct invocation *v)
{
    struct serving *s = v->s;
    struct err e = ERR_INIT;
    struct comp_inst *inst =
        s->nidle ? s->idle[--s->nidle] : comp_inst_new(s->opts.linked, NULL, &e);
    if (!inst) {
        invoke_refuse(v, HTTP_INTERNAL_ERROR, e.text);
        return;
    }
    leave_queue(v);
    s->nwaiting--;
    DL_APPEND(s->running, v);
    s->nrunning++;
    s->opts.host->instances++;
    struct guest_opts opts = {.loop = s->opts.host->loop,
                              .workers = s->opts.host->workers,
                              .ops = &invoke_guest_ops,
                              .user = v,
                              .net = s->opts.host->net,
                              .config = s->opts.config ? grant_config_now(s->opts.config)
                                                       : s->last_config};
    v->guest = guest_new(&opts, inst);
    if (v->root.n || v->root_ended || v->params_due)
        take_params(v); /* may end v */
}

static void on_permitted(void *user, const struct err *e)
{
    struct invocation *v = user;
    v->asking = NULL;
    if (e)
        invoke_refuse(v, HTTP_REQUEST_DENIED, e->text);
    else
        serving_run_next(v->s);
}

/* False: refused. */
static bool ask_policy(struct invocation *v)
{
    const struct serving *s = v->s;
    struct err e = ERR_INIT;
    if (!s->opts.host->policy)
        return true;
    struct policy_question q = {.kind = PROTO_POLICY_INVOCATION,
                                .invocation = {.interface = v->f->iface,
                                               .function = wrpc_func_name(v->f->type->name),
                                               .target = s->opts.policy_target}};
    if (policy_ask(s->opts.host->policy, &q, on_permitted, v, &v->asking, &e))
        return true;
    invoke_refuse(v, HTTP_REQUEST_DENIED, e.text);
    return false;
}

/* They may come before there is an instance for them. False: v is gone. */
static bool read_params(struct invocation *v)
{
    bool freed = false;
    v->freed = &freed;
    wrpc_inv_read(v->inv, on_bytes, v);
    if (!freed)
        v->freed = NULL;
    return !freed;
}

void invoke_take(void *user, struct wrpc_inv *inv)
{
    const struct served_func *f = user;
    struct serving *s = f->serving;
    struct invocation *v = xnew(struct invocation);
    v->s = s;
    v->f = f;
    v->inv = inv;
    v->root.max = ROOT_BYTES_MAX;
    feed_init(&v->feed, s->opts.host->stashes);
    rand_ulid(v->request_id);
    DL_APPEND(s->waiting, v);
    s->nwaiting++;
    s->opts.host->busy++;
    wrpc_inv_on_gone(inv, on_gone, v);
    if (s->nwaiting > s->opts.host->queue_max) {
        invoke_refuse(v, HTTP_CONNECTION_LIMIT_REACHED, "the component's queue is full");
        return;
    }
    set_deadline(v);
    if (read_params(v) && ask_policy(v))
        serving_run_next(s);
}
