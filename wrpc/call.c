/* SPDX-License-Identifier: Apache-2.0 */
/* The client side of an invocation, and what calls are named on the wire.
 *
 *   us    {prefix}.wrpc.0.0.1.{instance}.{function}   reply Rc: the parameters' first bytes
 *   peer  Rc                                          reply Rs: the handshake
 *   us    Rs.params                                   the rest, then an empty message; always, but for a peer of
 *   us    Rs.params.{path}                            async parameters               ours that knows them already
 *   peer  Rc.results, Rc.results.{path}
 *
 * Keeps: on_end is called at most once, and never after wrpc_call_free; every callback is the last thing done for a
 * message, so it may free the call. Results are passed on as they come, handshake or not: a server that has answered
 * needs nothing more from us. */
#include "wrpc/wrpc_int.h"

#include "lattice/base/alloc.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"

/* ---- names ---- */

/* Tokens without blanks, control bytes and wildcards, none empty. */
static bool subject_ok(struct str s)
{
    char before = '.';
    for (size_t i = 0; i < s.n; before = s.p[i++])
        if ((unsigned char)s.p[i] <= ' ' || strchr("*>\x7f", s.p[i]) ||
            (s.p[i] == '.' && before == '.'))
            return false;
    return s.n > 0 && before != '.';
}

bool wrpc_subject(struct str prefix, struct str instance, struct str func, struct buf *out,
                  struct err *e)
{
    size_t start = out->n;
    if (prefix.n) {
        buf_str(out, prefix);
        buf_byte(out, '.');
    }
    buf_str(out, STR("wrpc.0.0.1."));
    if (instance.n) {
        buf_str(out, instance);
        buf_byte(out, '.');
    }
    buf_str(out, func);
    if (!buf_ok(out, e))
        return false;
    struct str subject = str_sub(buf_view(out), start, out->n);
    if (func.n && subject_ok(subject))
        return true;
    char text[128];
    str_escape(subject, text, sizeof text);
    out->n = start;
    return err_set(e, ERR_INVALID, "'%s' is not the subject of a function", text);
}

bool wrpc_subject_all(struct str prefix, struct buf *out, struct err *e)
{
    char text[128];
    if (!subject_ok(prefix))
        return err_set(e, ERR_INVALID, "'%s' is not the beginning of a subject",
                       str_escape(prefix, text, sizeof text));
    buf_printf(out, "%.*s.wrpc.>", STR_ARG(prefix));
    return buf_ok(out, e);
}

struct str wrpc_func_name(struct str component_name)
{
    size_t close = str_find(component_name, ']');
    if (component_name.n == 0 || component_name.p[0] != '[' || close == component_name.n)
        return component_name;
    return str_sub(component_name, close + 1, component_name.n);
}

/* ---- calls ---- */

#define CALL_HEADERS_MAX 16

struct wrpc_call {
    struct wrpc_end end;
    struct buf rest; /* of the parameters, until the handshake */
    enum wrpc_offer offer;
    size_t root_bytes;
    struct loop_timer *deadline;
    uint64_t deadline_ms;
    struct loop_timer *probe_timer; /* before the handshake: until when it has to be there */
    struct bus_request *probe;      /* is the peer still there? */
    uint32_t unanswered;            /* probes in a row that nobody received */
    wrpc_end_fn *on_end;
    void (*on_taken)(void *user); /* may be NULL */
    bool over;                    /* on_end was called */
    struct wit_path paths[];
};

static const struct wit_path root = {.n = 0};

static void probe_stop(struct wrpc_call *c)
{
    loop_timer_stop(&c->probe_timer);
    bus_cancel(&c->probe);
}

/* The call's last words; the caller does nothing after it. */
static void call_over(struct wrpc_call *c, const struct err *why)
{
    if (c->over)
        return;
    c->over = true;
    loop_timer_stop(&c->deadline);
    if (why) {
        probe_stop(c);
        wrpc_end_leave(&c->end);
    }
    c->on_end(c->end.user, why);
}

static void call_fail(struct wrpc_call *c, enum err_code code, const char *text)
{
    struct err e = ERR_INIT;
    err_set(&e, code, "%s", text);
    call_over(c, &e);
}

/* ---- is the peer still there? ----
 * NATS tells nobody that a process died. A process of ours subscribes to everything below its inbox for as long as it
 * is connected, so a request to the inbox, which is never answered, comes back at once when nobody receives it. Other
 * peers subscribe to single channels and are not asked. Twice, since a peer may be reconnecting. */

#define PROBE_MS 2000u
#define PROBES_UNANSWERED_MAX 2u

/* Whatever is still open looks cut short. */
static void peer_gone(struct wrpc_call *c)
{
    if (!c->over) {
        call_fail(c, ERR_PEER, "the peer is gone");
        return;
    }
    for (uint32_t k = 1; k <= c->end.npaths; k++) {
        uint64_t bit = UINT64_C(1) << k;
        if (c->end.ended & bit)
            continue;
        c->end.ended |= bit;
        if (!wrpc_pass(&c->end, k, (struct span){NULL, 0}))
            return;
    }
}

static void on_probe_due(void *user);

/* A peer that died before its handshake cannot be asked. Every server sends one soon, whatever else it has to do; one
 * of ours may answer first. */
#define HANDSHAKE_MS 30000u

static void on_no_handshake(void *user)
{
    struct wrpc_call *c = user;
    c->probe_timer = NULL;
    call_fail(c, ERR_PEER, "nobody took the call within 30 s");
}

static void probe_later(struct wrpc_call *c)
{
    c->probe_timer = loop_after(bus_loop(c->end.w->bus), PROBE_MS, on_probe_due, c);
}

static void on_probed(void *user, const struct bus_msg *m, const struct err *e)
{
    struct wrpc_call *c = user;
    c->probe = NULL;
    c->unanswered = !m && e->code == ERR_NO_RESPONDERS ? c->unanswered + 1 : 0;
    if (c->unanswered >= PROBES_UNANSWERED_MAX)
        peer_gone(c);
    else
        probe_later(c);
}

static void on_probe_due(void *user)
{
    struct wrpc_call *c = user;
    struct err ignored = ERR_INIT; /* our own connection is down: not the peer's fault */
    c->probe_timer = NULL;
    if (c->end.heard || !bus_request(c->end.w->bus, c->end.peer, NULL, 0, (struct span){NULL, 0},
                                     PROBE_MS, on_probed, c, &c->probe, &ignored))
        probe_later(c);
    c->end.heard = false;
}

/* What the server says instead of a handshake. */
static void on_status(struct wrpc_call *c, uint16_t status)
{
    struct err e = ERR_INIT;
    switch (status) {
    case BUS_STATUS_NO_RESPONDERS:
        call_fail(c, ERR_NO_RESPONDERS, "nobody serves this function");
        break;
    case 408:
        call_fail(c, ERR_TIMEOUT, "the NATS server gave up waiting");
        break;
    case 409:
        call_fail(c, ERR_CLOSED, "the NATS server ended the request");
        break;
    default:
        err_set(&e, ERR_PROTOCOL, "status %u instead of a handshake", status);
        call_over(c, &e);
    }
}

/* The rest of the parameters goes out, and its end: servers wait for it even where there are no parameters, unless they
 * understood that nothing follows. */
static bool send_rest(struct wrpc_call *c, enum wrpc_offer understood, struct err *e)
{
    if (understood < WRPC_WHOLE &&
        (!wrpc_send(&c->end, &root, buf_span(&c->rest), e) || !wrpc_send_end(&c->end, &root, e)))
        return false;
    buf_fini(&c->rest);
    if (understood < WRPC_BARE)
        return wrpc_outs_flush(&c->end, e);
    wrpc_outs_drop(&c->end);
    return true;
}

static void on_handshake(struct wrpc_end *end, const struct bus_msg *m)
{
    struct wrpc_call *c = (struct wrpc_call *)end;
    struct err e = ERR_INIT;
    if (end->peer.n)
        return;
    if (m->status) {
        on_status(c, m->status);
    } else if (m->reply.n == 0) {
        call_fail(c, ERR_PROTOCOL, "the peer did not say where it takes parameters");
    } else {
        loop_timer_stop(&c->probe_timer);
        end->peer = (struct str){str_dup(m->reply), m->reply.n};
        enum wrpc_offer understood =
            MIN(wrpc_offer_of((struct str){(const char *)m->data.p, m->data.n}), c->offer);
        end->pacing = understood ? WRPC_PACED : WRPC_UNPACED;
        if (c->on_taken)
            c->on_taken(end->user);
        if (!send_rest(c, understood, &e)) {
            err_wrap(&e, "send parameters");
            call_over(c, &e);
        } else if (end->pacing == WRPC_UNPACED) {
            wrpc_outs_room(end);
        } else {
            probe_later(c);
        }
    }
}

static void on_results(struct wrpc_call *c, struct span piece)
{
    if (c->over)
        return;
    c->root_bytes += piece.n;
    if (c->root_bytes > c->end.w->limits.root_bytes_max)
        call_fail(c, ERR_LIMIT, "results are larger than root_bytes_max");
    else if (wrpc_pass_root(&c->end, piece) && piece.n == 0)
        call_over(c, NULL);
}

static void on_channel(struct wrpc_end *end, uint32_t channel, struct span piece)
{
    if (channel == 0)
        on_results((struct wrpc_call *)end, piece);
    else
        wrpc_pass(end, channel, piece);
}

static void on_closed(struct wrpc_end *end)
{
    probe_stop((struct wrpc_call *)end);
    call_fail((struct wrpc_call *)end, ERR_CLOSED, "wRPC was closed");
}

static void on_deadline(void *user)
{
    struct wrpc_call *c = user;
    struct err e = ERR_INIT;
    c->deadline = NULL;
    err_set(&e, ERR_TIMEOUT, "%s within %llu ms",
            c->end.peer.n ? "no complete results" : "nobody took the call",
            (unsigned long long)c->deadline_ms);
    call_over(c, &e);
}

static const struct wrpc_end_ops call_ops = {
    .in = "results",
    .out = "params",
    .on_inbox = on_handshake,
    .on_channel = on_channel,
    .on_closed = on_closed,
};

/* How many bytes of parameters fit into the first message, as every client of the lattice counts: the reply subject
 * and the header block are taken off. */
static size_t first_piece_max(const struct wrpc_call *c, const struct bus_header *headers,
                              size_t nheaders)
{
    size_t taken = WRPC_INBOX_LEN + (nheaders ? 12 : 0);
    for (size_t i = 0; i < nheaders; i++)
        taken += headers[i].name.n + headers[i].value.n + 4;
    size_t max = bus_max_payload(c->end.w->bus);
    return max > taken ? max - taken : 0;
}

/* Publishes the first message; what of the parameters does not fit is kept for the handshake. */
static bool call_start(struct wrpc_call *c, const struct wrpc_target *t, struct span params,
                       struct err *e)
{
    struct wrpc *w = c->end.w;
    buf_clear(&w->scratch);
    if (!wrpc_subject(t->prefix, t->instance, t->func, &w->scratch, e))
        return false;
    struct bus_header headers[CALL_HEADERS_MAX + 1];
    size_t nheaders = t->nheaders;
    if (nheaders > CALL_HEADERS_MAX)
        return err_set(e, ERR_LIMIT, "%zu headers on a call, the limit is %u", nheaders,
                       CALL_HEADERS_MAX);
    if (nheaders)
        memcpy(headers, t->headers, nheaders * sizeof headers[0]);
    if (t->paced)
        headers[nheaders++] =
            (struct bus_header){STR(WRPC_CREDIT_HEADER), wrpc_offer_text(WRPC_CREDIT)};
    c->end.pacing = t->paced ? WRPC_PACING_UNKNOWN : WRPC_UNPACED;
    struct span first = {params.p, MIN(params.n, first_piece_max(c, headers, nheaders))};
    if (t->paced) {
        c->offer = first.n < params.n ? WRPC_CREDIT : t->bare ? WRPC_BARE : WRPC_WHOLE;
        headers[nheaders - 1].value = wrpc_offer_text(c->offer);
    }
    if (!bus_publish(w->bus, buf_view(&w->scratch), str_of(c->end.inbox), headers, nheaders, first,
                     e))
        return false;
    if (params.n > first.n)
        buf_put(&c->rest, params.p + first.n, params.n - first.n);
    return true;
}

bool wrpc_invoke(struct wrpc *w, const struct wrpc_target *t, struct span params,
                 const struct wit_pendings *result_paths, uint64_t deadline_ms,
                 wrpc_bytes_fn *on_bytes, wrpc_end_fn *on_end, void *user, struct wrpc_call **out,
                 struct err *e)
{
    uint32_t npaths = result_paths ? result_paths->n : 0;
    if (params.n > w->limits.root_bytes_max)
        return err_set(e, ERR_LIMIT, "parameters of %zu bytes, the limit is root_bytes_max",
                       params.n);
    struct wrpc_call *c = xalloc(sizeof *c + npaths * sizeof c->paths[0]);
    c->on_end = on_end;
    c->end.on_bytes = on_bytes;
    c->end.user = user;
    c->deadline_ms = deadline_ms;
    c->end.paths = c->paths;
    c->end.npaths = npaths;
    if (npaths)
        wrpc_paths_copy(c->paths, result_paths);
    if (!wrpc_end_init(&c->end, w, &call_ops, e)) {
        free(c);
        return false;
    }
    if (!call_start(c, t, params, e)) {
        wrpc_call_free(c);
        return false;
    }
    if (deadline_ms)
        c->deadline = loop_after(bus_loop(w->bus), deadline_ms, on_deadline, c);
    c->probe_timer = loop_after(bus_loop(w->bus), HANDSHAKE_MS, on_no_handshake, c);
    *out = c;
    return true;
}

bool wrpc_call_param(struct wrpc_call *c, const struct wit_path *p, struct wrpc_out **out,
                     struct err *e)
{
    return wrpc_out_open(&c->end, p, out, e);
}

void wrpc_call_on_taken(struct wrpc_call *c, void (*on_taken)(void *user))
{
    c->on_taken = on_taken;
}

void wrpc_call_consumed(struct wrpc_call *c, const struct wit_path *p, size_t n)
{
    wrpc_consumed(&c->end, p, n);
}

/* Root and sub-channels. */
static bool all_ended(const struct wrpc_end *end)
{
    uint64_t all = end->npaths < 63 ? (UINT64_C(2) << end->npaths) - 1 : UINT64_MAX;
    return (end->ended & all) == all;
}

void wrpc_call_abandon(struct wrpc_call *c)
{
    if (c && c->end.w && c->end.pacing == WRPC_PACED && !all_ended(&c->end))
        wrpc_say_gone(c->end.w, c->end.peer);
    wrpc_call_free(c);
}

void wrpc_call_free(struct wrpc_call *c)
{
    if (!c)
        return;
    loop_timer_stop(&c->deadline);
    probe_stop(c);
    wrpc_end_fini(&c->end);
    buf_fini(&c->rest);
    free((void *)(uintptr_t)c->end.peer.p);
    free(c);
}
