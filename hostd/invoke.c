/* SPDX-License-Identifier: Apache-2.0 */
/* From a wRPC invocation to a guest and back. An invocation is waiting, then taking in its parameters, then running;
 * it ends when its guest ended. Keeps: an invocation holds its serving; only running ones hold an instance; whatever
 * happens, an HTTP caller gets a response or an error-code, never silence. */
#include "hostd/invoke.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>
#include "hostd/feed.h"
#include "hostd/outgoing.h"
#include "hostd/policy.h"
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "lattice/base/rand.h"

#define IDLE_INSTANCES_MAX 64     /* kept warm per component: more than usually run at a time */
#define ROOT_BYTES_MAX (8u << 20) /* encoded parameters */
#define LOG_LINE_BYTES_MAX 1024
#define SERVING_ARENA_BYTES (8u << 20)

struct served_func {
    struct serving *serving;
    const struct comp_func *func;
    const struct wit_func *type;
    struct str iface; /* on the wire */
    const struct wit_type **param_types;
    bool http; /* wasi:http/incoming-handler.handle, served as wrpc:http */
    struct wrpc_serve *serve;
};

struct invocation {
    struct invocation *prev, *next; /* in waiting or running */
    struct serving *s;
    const struct served_func *f;
    struct wrpc_inv *inv;
    struct guest *guest;        /* NULL while waiting */
    struct policy_wait *asking; /* may it be? it waits for that first */
    bool started, answered;
    bool gone; /* nobody reads the answer any more */
    struct buf root;
    struct loop_timer *deadline;
    char request_id[ULID_LEN + 1];
    /* HTTP */
    struct feed feed;
    struct outgoing *outgoings; /* requests that its guest makes */
    struct wrpc_out *body_out, *trailers_out;
    size_t credit_owed; /* response bytes sent that the guest may replace once there is room */
};

struct serving {
    struct serving *prev, *next; /* of the host */
    struct serving_opts opts;
    struct arena arena;
    struct served_func *funcs;
    uint32_t nfuncs;
    struct comp_inst *idle[IDLE_INSTANCES_MAX];
    uint32_t nidle, nrunning, nwaiting;
    struct invocation *running, *waiting;
    struct config_map *last_config; /* once closed: what waits still needs it */
    uint32_t ndraining;             /* functions whose last invocations may still come */
    bool closed;
    bool held; /* somebody walks its invocations: it must neither go nor be walked by another */
};

static const struct str HTTP_HANDLER = STR_INIT("wasi:http/incoming-handler@0.2.0");
static const struct str HTTP_WIRE = STR_INIT("wrpc:http/incoming-handler@0.1.0");

static void run_next(struct serving *s);
static void run_others(struct invoke_host *h);

/* ---- end of an invocation ---- */

static void serving_free_if_done(struct serving *s)
{
    if (!s->closed || s->ndraining || s->held || s->running || s->waiting)
        return;
    DL_DELETE(s->opts.host->servings, s);
    for (uint32_t i = 0; i < s->nidle; i++)
        comp_inst_free(s->idle[i]);
    config_unref(s->last_config);
    comp_linked_unref(s->opts.linked);
    bridge_free(s->opts.bridge);
    arena_fini(&s->arena);
    free(s);
}

static void keep_instance(struct serving *s, struct comp_inst *inst)
{
    if (!s->closed && s->nidle < IDLE_INSTANCES_MAX)
        s->idle[s->nidle++] = inst;
    else
        comp_inst_free(inst);
}

static void invocation_free(struct invocation *v)
{
    loop_timer_stop(&v->deadline);
    policy_forget(&v->asking);
    outgoing_drop_all(&v->outgoings);
    wrpc_inv_free(v->inv); /* its writers go with it; without a result this says "failed" */
    guest_free(v->guest);
    buf_fini(&v->root);
    feed_fini(&v->feed);
    free(v);
}

static void tell_if_idle(struct invoke_host *h)
{
    if (h->busy == 0 && h->idle)
        h->idle(h->user);
}

/* Takes it off its list; the serving may be gone afterwards. */
static void invocation_end(struct invocation *v)
{
    struct serving *s = v->s;
    struct invoke_host *h = s->opts.host;
    h->busy--;
    if (v->guest) {
        DL_DELETE(s->running, v);
        s->nrunning--;
        h->instances--;
    } else {
        DL_DELETE(s->waiting, v);
        s->nwaiting--;
    }
    bool was_full = h->instances + 1 == h->instances_max;
    invocation_free(v);
    run_next(s);
    serving_free_if_done(s);
    if (was_full)
        run_others(h);
    tell_if_idle(h);
}

static void answer_http_error(struct invocation *v, enum http_error_code code, const char *text)
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
static void refuse(struct invocation *v, enum http_error_code code, const char *why)
{
    log_warn("invocation refused", LS("component", v->s->opts.id), LS("function", v->f->type->name),
             LZ("request", v->request_id), LZ("reason", why));
    if (v->f->http) {
        char text[160];
        snprintf(text, sizeof text, "%s (request %s)", why, v->request_id);
        answer_http_error(v, code, code == HTTP_INTERNAL_ERROR ? text : NULL);
    }
    invocation_end(v);
}

/* ---- what the guest says ---- */

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
        invocation_end(v);
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

static void on_consumed(void *user, uint32_t exchange, size_t n)
{
    struct invocation *v = user;
    if (exchange == WASI_SERVED)
        wrpc_inv_consumed(v->inv, &feed_body_path, n);
    else
        outgoing_consumed(v->outgoings, exchange, n);
}

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
                                 .guest = v->guest,
                                 .exchange = exchange};
    outgoing_open(&v->outgoings, &opts, request);
}

static void on_call(void *user, uint32_t exchange, const struct guest_call *call)
{
    struct invocation *v = user;
    struct bridge_route route = route_of(v);
    struct outgoing_opts opts = {.route = &route, .guest = v->guest, .exchange = exchange};
    outgoing_call(&v->outgoings, &opts, call);
}

static void on_fetch_drop(void *user, uint32_t exchange)
{
    outgoing_drop(&((struct invocation *)user)->outgoings, exchange);
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

static void on_import(void *user, struct guest_import *call)
{
    struct bridge_route route = route_of(user);
    if (call->func)
        bridge_invoke(&route, call);
    else
        choice_answer(route.grants, route.source_id, call);
}

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
        answer_http_error(v, HTTP_RESPONSE_TIMEOUT, NULL);
        return;
    }
    snprintf(text, sizeof text, "the component %s (request %s)",
             end->outcome == COMP_TRAPPED ? "failed" : "returned without a response",
             v->request_id);
    answer_http_error(v, HTTP_INTERNAL_ERROR, text);
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
        keep_instance(s, inst);
    invocation_end(v);
}

static const struct guest_ops guest_ops = {
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

/* ---- parameters ---- */

static void start_guest(struct invocation *v, const struct wit_value *args)
{
    struct err e = ERR_INIT;
    v->started = true;
    if (!guest_start(v->guest, v->f->func, args, &e))
        refuse(v, HTTP_INTERNAL_ERROR, e.text);
}

/* last: nothing more comes. */
static void take_http_root(struct invocation *v, bool last)
{
    struct arena *a = guest_arena(v->guest);
    struct err e = ERR_INIT;
    struct http_request request;
    struct wit_value *args = arena_array(a, struct wit_value, 2);
    if (!http_request_decode(buf_span(&v->root), a, &request, &e)) {
        if (e.code != ERR_NONE || last)
            refuse(v, HTTP_PROTOCOL_ERROR, last ? "the request ended too early" : e.text);
        return; /* else more has to come */
    }
    if (!wasi_http_args(guest_world(v->guest), &request, args, &e))
        refuse(v, HTTP_REQUEST_HEADER_SECTION_SIZE, e.text);
    else
        start_guest(v, args);
}

static void take_root(struct invocation *v, bool last)
{
    struct arena *a = guest_arena(v->guest);
    struct err e = ERR_INIT;
    uint32_t n = v->f->type->nparams;
    struct wit_value *args = arena_array(a, struct wit_value, n);
    struct wit_pendings pend = {0};
    size_t used;
    if (!args || !wit_decode(v->f->param_types, n, buf_span(&v->root), a, args, &used, &pend, &e)) {
        if (!args || e.code != ERR_NONE || last)
            refuse(v, HTTP_PROTOCOL_ERROR,
                   last   ? "the parameters ended too early"
                   : args ? e.text
                          : "out of call memory");
        return;
    }
    struct str link_name = wrpc_inv_header(v->inv, STR("link-name"));
    if (bridge_take_params(v->s->opts.linked, v->f->func, link_name, args, &e))
        start_guest(v, args);
    else
        refuse(v, HTTP_PROTOCOL_ERROR, e.text);
}

static void on_root(struct invocation *v, struct span piece)
{
    if (v->started)
        return; /* what follows a complete tuple is ignored */
    buf_put(&v->root, piece.p, piece.n);
    if (v->root.full)
        refuse(v, HTTP_REQUEST_BODY_SIZE, "parameters are larger than the limit");
    else if (v->f->http)
        take_http_root(v, piece.n == 0);
    else
        take_root(v, piece.n == 0);
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
    else
        refuse(v, HTTP_RESPONSE_TIMEOUT,
               v->guest ? "parameters did not come in time" : "no instance became free in time");
}

static void begin(struct invocation *v)
{
    struct serving *s = v->s;
    struct err e = ERR_INIT;
    struct comp_inst *inst =
        s->nidle ? s->idle[--s->nidle] : comp_inst_new(s->opts.linked, NULL, &e);
    if (!inst) {
        refuse(v, HTTP_INTERNAL_ERROR, e.text);
        return;
    }
    DL_DELETE(s->waiting, v);
    s->nwaiting--;
    DL_APPEND(s->running, v);
    s->nrunning++;
    s->opts.host->instances++;
    struct guest_opts opts = {.loop = s->opts.host->loop,
                              .workers = s->opts.host->workers,
                              .ops = &guest_ops,
                              .user = v,
                              .net = s->opts.host->net,
                              .spool = s->opts.host->spool,
                              .config = s->opts.config ? grant_config_now(s->opts.config)
                                                       : s->last_config};
    v->guest = v->feed.guest = guest_new(&opts, inst);
    wrpc_inv_read(v->inv, on_bytes, v); /* may end v */
}

/* The first that may begin. */
static struct invocation *next_waiting(const struct serving *s)
{
    struct invocation *v = s->waiting;
    while (v && v->asking)
        v = v->next;
    return v;
}

/* An invocation may end inside begin; whoever holds the serving then goes on by himself. */
static void run_next(struct serving *s)
{
    struct invoke_host *h = s->opts.host;
    if (s->held)
        return;
    s->held = true;
    struct invocation *v;
    while (s->nrunning < s->opts.max_instances && h->instances < h->instances_max &&
           (v = next_waiting(s)))
        begin(v);
    s->held = false;
}

/* The host's own limit was reached and an instance became free: whoever waits may have it. */
static void run_others(struct invoke_host *h)
{
    struct serving *s, *next;
    if (h->sharing)
        return;
    h->sharing = true;
    DL_FOREACH_SAFE(h->servings, s, next)
    {
        run_next(s);
        serving_free_if_done(s);
    }
    h->sharing = false;
}

static void on_permitted(void *user, const struct err *e)
{
    struct invocation *v = user;
    v->asking = NULL;
    if (e)
        refuse(v, HTTP_REQUEST_DENIED, e->text);
    else
        run_next(v->s);
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
    refuse(v, HTTP_REQUEST_DENIED, e.text);
    return false;
}

static void on_invocation(void *user, struct wrpc_inv *inv)
{
    const struct served_func *f = user;
    struct serving *s = f->serving;
    struct invocation *v = xnew(struct invocation);
    v->s = s;
    v->f = f;
    v->inv = inv;
    v->root.max = ROOT_BYTES_MAX;
    feed_init(&v->feed);
    rand_ulid(v->request_id);
    DL_APPEND(s->waiting, v);
    s->nwaiting++;
    s->opts.host->busy++;
    wrpc_inv_on_gone(inv, on_gone, v);
    if (s->nwaiting > s->opts.host->queue_max) {
        refuse(v, HTTP_CONNECTION_LIMIT_REACHED, "the component's queue is full");
        return;
    }
    if (s->opts.execution_ms_max)
        v->deadline = loop_after(s->opts.host->loop, s->opts.execution_ms_max, on_deadline, v);
    if (ask_policy(v))
        run_next(s);
}

/* ---- the serving ---- */

static bool serve_func(struct serving *s, struct str iface, const struct wit_func *type,
                       struct err *e)
{
    struct served_func *f = &s->funcs[s->nfuncs];
    struct err why = ERR_INIT;
    const struct comp_func *func = comp_find(s->opts.linked, iface, type->name);
    bool http = wit_name_compatible(iface, HTTP_HANDLER) && str_eqz(type->name, "handle");
    if (!http && !bridge_can_serve(s->opts.linked, func, &why)) {
        log_warn("export not served: its types cannot travel", LS("component", s->opts.id),
                 LS("interface", iface), LS("function", type->name), LE(&why));
        return true;
    }
    uint32_t n = http ? 1 : type->nparams;
    *f = (struct served_func){.serving = s,
                              .func = func,
                              .type = type,
                              .iface = http ? HTTP_WIRE : bridge_export_name(iface),
                              .param_types = arena_array(&s->arena, const struct wit_type *, n),
                              .http = http};
    if (!f->param_types)
        return arena_full(&s->arena, e);
    for (uint32_t i = 0; i < n; i++) {
        f->param_types[i] = http ? http_types_get()->request
                                 : bridge_param_type(s->opts.linked, func, i, &s->arena, e);
        if (!f->param_types[i])
            return false;
    }

    struct wit_pendings paths = {0};
    struct buf prefix = BUF_INIT;
    buf_printf(&prefix, "%.*s.%.*s", STR_ARG(s->opts.host->lattice), STR_ARG(s->opts.id));
    bool ok = wit_paths(f->param_types, n, &paths, e) &&
              wrpc_serve_open(s->opts.host->rpc, buf_view(&prefix), buf_view(&prefix), f->iface,
                              wrpc_func_name(type->name), &paths, on_invocation, f, &f->serve, e);
    buf_fini(&prefix);
    s->nfuncs += ok;
    return ok;
}

static bool serve_all(struct serving *s, struct err *e)
{
    struct comp *c = comp_linked_comp(s->opts.linked);
    uint32_t total = 0;
    for (uint32_t i = 0; i < comp_nexports(c); i++)
        total += comp_export(c, i)->nfuncs;
    s->funcs = arena_array(&s->arena, struct served_func, total);
    if (!s->funcs)
        return arena_full(&s->arena, e);
    for (uint32_t i = 0; i < comp_nexports(c); i++) {
        const struct wit_iface *iface = comp_export(c, i);
        for (uint32_t k = 0; k < iface->nfuncs; k++)
            if (!serve_func(s, iface->name, &iface->funcs[k], e))
                return err_wrap(e, "serve %.*s %.*s", STR_ARG(iface->name),
                                STR_ARG(iface->funcs[k].name));
    }
    return true;
}

/* Without waiting for what NATS may have sent. */
static void stop_serving(struct serving *s)
{
    for (uint32_t i = 0; i < s->nfuncs; i++)
        wrpc_serve_close(MOVE(s->funcs[i].serve));
    if (s->ndraining)
        s->opts.host->busy--;
    s->ndraining = s->nfuncs = 0;
}

bool serving_open(const struct serving_opts *opts, struct serving **out, struct err *e)
{
    struct serving *s = xnew(struct serving);
    s->opts = *opts;
    DL_APPEND(opts->host->servings, s);
    arena_init(&s->arena, SERVING_ARENA_BYTES);
    s->opts.id = arena_str(&s->arena, opts->id);
    s->opts.policy_target = policy_component_copy(&s->arena, &opts->policy_target);
    bool ok = s->opts.policy_target.component_id.p || arena_full(&s->arena, e);
    if (!ok || !serve_all(s, e)) {
        stop_serving(s);
        serving_close(s);
        return false;
    }
    *out = s;
    return true;
}

void serving_set_max(struct serving *s, uint32_t max_instances)
{
    s->opts.max_instances = max_instances;
    run_next(s);
}

void serving_set_config(struct serving *s, const struct grant_config *config)
{
    s->opts.config = config;
}

static void on_drained(void *user)
{
    struct served_func *f = user;
    struct serving *s = f->serving;
    struct invoke_host *h = s->opts.host;
    wrpc_serve_close(MOVE(f->serve));
    if (--s->ndraining > 0)
        return;
    h->busy--;
    serving_free_if_done(s);
    tell_if_idle(h);
}

void serving_close(struct serving *s)
{
    if (!s)
        return;
    s->closed = true;
    if (s->opts.config)
        s->last_config = config_ref(grant_config_now(s->opts.config));
    s->opts.config = NULL; /* the workload's, and that may go now */
    if (s->opts.host->cancelled) {
        stop_serving(s);
    } else if (s->nfuncs) {
        s->ndraining = s->nfuncs;
        s->opts.host->busy++;
        for (uint32_t i = 0; i < s->nfuncs; i++)
            wrpc_serve_drain(s->funcs[i].serve, on_drained, &s->funcs[i]);
    }
    serving_free_if_done(s);
}

static void cancel(struct serving *s)
{
    struct invocation *v, *next;
    s->held = true;
    if (s->closed)
        stop_serving(s);
    DL_FOREACH_SAFE(s->waiting, v, next)
    refuse(v, HTTP_CONNECTION_TERMINATED, "the host is stopping");
    DL_FOREACH_SAFE(s->running, v, next)
    {
        if (v->started)
            guest_cancel(v->guest, WASM_TRAP_DEADLINE);
        else
            refuse(v, HTTP_CONNECTION_TERMINATED, "the host is stopping");
    }
    s->held = false;
    serving_free_if_done(s);
}

void servings_cancel(struct invoke_host *h)
{
    struct serving *s, *next;
    h->cancelled = true;
    h->instances_max = 0; /* what waits must not start now */
    DL_FOREACH_SAFE(h->servings, s, next)
    cancel(s);
}
