/* SPDX-License-Identifier: Apache-2.0 */
/* The server side: served functions, and invocations of them.
 * Parameters wait in their invocation, bounded, until it is read; then they are passed on as they come. One that
 * overflows looks to its reader like a channel that ended too early, so only that invocation suffers.
 * Keeps: the handshake goes out before anything else, and a caller that is not ours has heard it before the invocation
 * begins; only an answer that comes at once, to one of ours, may overtake it or do without; the end of the results goes
 * out exactly once, at the latest when the invocation is freed (which then says "failed"). */
#include "wrpc/wrpc_int.h"

#include <assert.h>
#include <stdio.h>
#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"

struct wrpc_serve {
    struct wrpc *w; /* NULL after wrpc_close */
    struct wrpc_serve *prev, *next;
    struct bus_sub *sub;
    wrpc_inv_fn *fn;
    void *user;
    struct wrpc_inv *waiting;    /* invocations that have not begun */
    void (*drained)(void *user); /* NULL: not draining */
    void *drain_user;
    bool echoed;      /* nothing more comes; what waits has to begin */
    uint32_t holders; /* its owner, and open invocations, which use the paths */
    uint32_t npaths;
    struct wit_path paths[];
};

/* What came before it was read. n == 0: the channel ended. */
struct piece {
    struct piece *next;
    uint32_t channel;
    size_t n;
    uint8_t bytes[];
};

struct wrpc_inv {
    struct wrpc_end end;
    struct wrpc_serve *serve;
    struct wrpc_inv *prev, *next; /* of serve->waiting */
    struct loop_timer *unheard;   /* runs exactly while it is there */
    struct loop_timer *held;      /* the handshake is, until then */
    struct loop_timer *watch;     /* over a caller of ours, once the handshake is out */
    uint32_t unreceived;          /* handshakes that nobody received, since something came */
    uint32_t repeats;             /* of the handshake */
    struct span first; /* payload of the invocation message, while that message is there */
    struct piece *pieces, **last;
    size_t root_bytes, queued_bytes;
    void (*gone)(void *user);
    void *gone_user;
    bool answered; /* the results were sent, and their end */
    enum wrpc_offer offer;
    uint32_t nheaders;
    struct bus_header headers[]; /* their texts, and the peer's inbox, are behind them */
};

static const struct wit_path root = {.n = 0};

/* ---- parameters ---- */

static void inv_queue(struct wrpc_inv *i, uint32_t channel, struct span bytes)
{
    struct piece *p = xalloc(sizeof *p + bytes.n);
    p->channel = channel;
    p->n = bytes.n;
    if (bytes.n)
        memcpy(p->bytes, bytes.p, bytes.n);
    *i->last = p;
    i->last = &p->next;
    if (channel)
        i->queued_bytes += sizeof *p + bytes.n;
}

static bool fits(struct wrpc_inv *i, uint32_t channel, size_t n)
{
    const struct wrpc_limits *l = &i->end.w->limits;
    if (channel)
        return i->end.on_bytes ||
               n <= l->channel_bytes_max - MIN(i->queued_bytes, l->channel_bytes_max);
    i->root_bytes += n + (i->end.on_bytes ? 0 : sizeof(struct piece));
    return i->root_bytes <= l->root_bytes_max;
}

/* The reader may free i. False: he did. */
static bool inv_pass(struct wrpc_inv *i, uint32_t channel, struct span piece)
{
    if (channel == 0 && !wrpc_pass_root(&i->end, piece))
        return false;
    return (channel == 0 && piece.n) || wrpc_pass(&i->end, channel, piece);
}

static void serve_release(struct wrpc_serve *s)
{
    if (--s->holders == 0)
        free(s);
}

/* ---- callers that are not ours ---- */

/* Upstream's client has a task of its own enter the inbox it tells us into a table, and calls without waiting for
 * that. An answer quicker than the task is dropped, and the call hangs for ever. Parameters, at least their end,
 * show that the handshake was heard: they begin the invocation. Until then the handshake is repeated; a caller
 * that never says anything gets his answer in the end. */
static const uint32_t unheard_ms[] = {20, 80, 400};

static void on_unheard(void *user);

/* Says where parameters go. */
static bool handshake(struct wrpc_inv *i, struct err *e)
{
    return bus_publish(i->end.w->bus, i->end.peer, str_of(i->end.inbox), NULL, 0,
                       str_span(wrpc_offer_text(i->offer)), e);
}

/* ---- callers that are ours ----
 * Who has said everything needs the handshake only to tell us that he left, and to notice that we did. So it is held
 * back for a moment: most calls are answered by then, and save a message of three. */
#define HANDSHAKE_HELD_MS 10u
#define CALLER_SILENT_MS 5000u
#define CALLER_UNRECEIVED_MAX 2u

static void on_watch(void *user);

static void watch_later(struct wrpc_inv *i)
{
    i->watch = loop_after(bus_loop(i->end.w->bus), CALLER_SILENT_MS, on_watch, i);
}

static bool said_everything(const struct wrpc_inv *i)
{
    return i->offer == WRPC_BARE || (i->offer == WRPC_WHOLE && i->end.npaths == 0);
}

static void on_held(void *user)
{
    struct wrpc_inv *i = user;
    struct err ignored = ERR_INIT;
    i->held = NULL;
    if (!i->end.w)
        return;
    handshake(i, &ignored);
    watch_later(i);
}

/* What comes next needs a caller who knows us. */
static void introduce(struct wrpc_inv *i)
{
    if (!i->held)
        return;
    loop_timer_stop(&i->held);
    on_held(i);
}

/* False: nothing can be said to the caller. */
static bool greet(struct wrpc_inv *i, struct err *e)
{
    if (!said_everything(i)) {
        if (wrpc_inv_ours(i))
            watch_later(i);
        return handshake(i, e);
    }
    i->held = loop_after(bus_loop(i->end.w->bus), HANDSHAKE_HELD_MS, on_held, i);
    return true;
}

/* ---- are they still there? ----
 * Who waits for results asks now and then whether we are there (call.c), so that we hear of him. When he is silent for
 * long the handshake is repeated: NATS tells us when nobody receives it, because his process died, and who gave the
 * call up meanwhile says so; everybody else ignores it. Twice, since he may be reconnecting. */

static void caller_gone(struct wrpc_inv *i)
{
    void (*gone)(void *user) = i->gone;
    loop_timer_stop(&i->watch);
    i->gone = NULL;
    if (gone)
        gone(i->gone_user);
}

static void on_watch(void *user)
{
    struct wrpc_inv *i = user;
    struct err ignored = ERR_INIT; /* our own connection is down: not the caller's fault */
    i->watch = NULL;
    if (!i->end.w)
        return;
    if (i->end.heard)
        i->unreceived = 0;
    else
        handshake(i, &ignored);
    i->end.heard = false;
    watch_later(i);
}

static void on_inbox(struct wrpc_end *end, const struct bus_msg *m)
{
    struct wrpc_inv *i = (struct wrpc_inv *)end;
    if (m->status == BUS_STATUS_NO_RESPONDERS && wrpc_inv_ours(i) &&
        ++i->unreceived == CALLER_UNRECEIVED_MAX)
        caller_gone(i);
}

static void on_gone(struct wrpc_end *end)
{
    caller_gone((struct wrpc_inv *)end);
}

/* ---- waiting to begin ---- */

static void inv_listen(struct wrpc_inv *i)
{
    i->unheard = loop_after(bus_loop(i->end.w->bus), unheard_ms[i->repeats], on_unheard, i);
}

static void inv_wait(struct wrpc_inv *i)
{
    DL_APPEND(i->serve->waiting, i);
    inv_listen(i);
}

static void drain_done_if_empty(struct wrpc_serve *s)
{
    void (*drained)(void *user) = s->drained;
    if (!s->echoed || s->waiting || !drained)
        return;
    s->drained = NULL;
    drained(s->drain_user); /* may close s */
}

static void inv_wait_end(struct wrpc_inv *i)
{
    loop_timer_stop(&i->unheard);
    DL_DELETE(i->serve->waiting, i);
}

/* The server may free i. */
static void inv_begin(struct wrpc_inv *i)
{
    struct wrpc_serve *s = i->serve;
    inv_wait_end(i);
    s->holders++; /* i may go, and its owner's hold with drained */
    s->fn(s->user, i);
    drain_done_if_empty(s);
    serve_release(s);
}

static void on_unheard(void *user)
{
    struct wrpc_inv *i = user;
    struct err ignored = ERR_INIT;
    i->unheard = NULL;
    if (++i->repeats == ARRAY_LEN(unheard_ms)) {
        inv_begin(i);
        return;
    }
    handshake(i, &ignored);
    inv_listen(i);
}

static void on_channel(struct wrpc_end *end, uint32_t channel, struct span piece)
{
    struct wrpc_inv *i = (struct wrpc_inv *)end;
    if (!fits(i, channel, piece.n)) {
        piece.n = 0;
        end->ended |= UINT64_C(1) << channel;
    }
    if (end->on_bytes) {
        inv_pass(i, channel, piece);
        return;
    }
    inv_queue(i, channel, piece);
    if (i->unheard)
        inv_begin(i);
}

static void on_closed(struct wrpc_end *end)
{
    (void)end; /* its owner finds out when it answers */
}

static const struct wrpc_end_ops inv_ops = {
    .in = "params",
    .out = "results",
    .on_inbox = on_inbox,
    .on_channel = on_channel,
    .on_gone = on_gone,
    .on_closed = on_closed,
};

static struct piece *inv_next_piece(struct wrpc_inv *i)
{
    struct piece *p = i->pieces;
    i->pieces = p ? p->next : NULL;
    if (!i->pieces)
        i->last = &i->pieces;
    return p;
}

/* What the caller's offer says without messages. */
static void pass_implied(struct wrpc_inv *i)
{
    static const uint8_t zero[1] = {0};
    bool there = i->offer < WRPC_WHOLE || inv_pass(i, 0, (struct span){NULL, 0});
    for (uint32_t k = 1; there && i->offer == WRPC_BARE && k <= i->end.npaths; k++)
        there = inv_pass(i, k, (struct span){zero, 1});
}

void wrpc_inv_read(struct wrpc_inv *i, wrpc_bytes_fn *on_bytes, void *user)
{
    assert(!i->end.on_bytes);
    i->end.on_bytes = on_bytes;
    i->end.user = user;
    struct span first = i->first;
    i->first = (struct span){NULL, 0};
    bool there = first.n == 0 || inv_pass(i, 0, first);
    while (there && i->pieces) {
        struct piece *p = inv_next_piece(i);
        there = inv_pass(i, p->channel, (struct span){p->bytes, p->n});
        free(p);
    }
    if (there)
        pass_implied(i);
}

struct str wrpc_inv_header(const struct wrpc_inv *i, struct str name)
{
    for (uint32_t k = 0; k < i->nheaders; k++)
        if (str_eq(i->headers[k].name, name))
            return i->headers[k].value;
    return STR_NONE;
}

/* ---- results ---- */

bool wrpc_inv_result(struct wrpc_inv *i, struct span results, struct err *e)
{
    assert(!i->answered);
    if (!i->end.w)
        return err_set(e, ERR_CLOSED, "wRPC was closed");
    if (results.n > i->end.w->limits.root_bytes_max)
        return err_set(e, ERR_LIMIT, "results of %zu bytes, the limit is root_bytes_max",
                       results.n);
    /* when not, freeing it will end the results too early, which is how failure is told */
    i->answered = wrpc_send_root(&i->end, results, e);
    return i->answered;
}

bool wrpc_inv_result_out(struct wrpc_inv *i, const struct wit_path *p, struct wrpc_out **out,
                         struct err *e)
{
    introduce(i);
    return wrpc_out_open(&i->end, p, out, e);
}

void wrpc_inv_consumed(struct wrpc_inv *i, const struct wit_path *p, size_t n)
{
    wrpc_consumed(&i->end, p, n);
}

void wrpc_inv_on_gone(struct wrpc_inv *i, void (*gone)(void *user), void *user)
{
    i->gone = gone;
    i->gone_user = user;
}

bool wrpc_inv_ours(const struct wrpc_inv *i)
{
    return i->offer != WRPC_NO_OFFER;
}

void wrpc_inv_free(struct wrpc_inv *i)
{
    struct err ignored = ERR_INIT;
    if (!i)
        return;
    if (i->unheard)
        inv_wait_end(i);
    loop_timer_stop(&i->held);
    loop_timer_stop(&i->watch);
    if (!i->answered && i->end.w)
        wrpc_send_end(&i->end, &root, &ignored);
    wrpc_end_fini(&i->end);
    for (struct piece *p; (p = inv_next_piece(i));)
        free(p);
    serve_release(i->serve);
    free(i);
}

/* ---- invocations ---- */

static struct str keep_text(char **at, struct str s)
{
    struct str kept = {*at, s.n};
    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return kept;
}

/* One block: the invocation, its headers, their texts, the peer's inbox. */
static struct wrpc_inv *inv_new(struct wrpc_serve *s, const struct bus_msg *m)
{
    size_t text = m->reply.n;
    for (size_t k = 0; k < m->nheaders; k++)
        text += m->headers[k].name.n + m->headers[k].value.n;
    struct wrpc_inv *i = xalloc(sizeof *i + m->nheaders * sizeof i->headers[0] + text);
    char *at = (char *)&i->headers[m->nheaders];
    for (size_t k = 0; k < m->nheaders; k++)
        i->headers[k] = (struct bus_header){keep_text(&at, m->headers[k].name),
                                            keep_text(&at, m->headers[k].value)};
    i->nheaders = (uint32_t)m->nheaders;
    i->end.peer = keep_text(&at, m->reply);
    i->end.paths = s->paths;
    i->end.npaths = s->npaths;
    i->last = &i->pieces;
    i->serve = s;
    return i;
}

static void take_offer(struct wrpc_inv *i)
{
    i->offer = wrpc_offer_of(wrpc_inv_header(i, STR(WRPC_CREDIT_HEADER)));
    i->end.pacing = i->offer ? WRPC_PACED : WRPC_UNPACED;
    i->end.ended = i->offer == WRPC_BARE ? UINT64_MAX : i->offer == WRPC_WHOLE ? 1 : 0;
}

/* More calls than we may hold: the caller is told at once, by results that end before they begin. The inbox he
 * gets for his parameters is nobody's. */
static void turn_away(struct wrpc *w, const struct bus_msg *m)
{
    struct err ignored = ERR_INIT;
    struct wrpc_end end = {.w = w, .ops = &inv_ops, .peer = m->reply};
    char nowhere[sizeof w->inbox + 1];
    snprintf(nowhere, sizeof nowhere, "%s0", w->inbox);
    bus_publish(w->bus, m->reply, str_of(nowhere), NULL, 0, (struct span){NULL, 0}, &ignored);
    wrpc_send_end(&end, &root, &ignored);
}

static void on_invocation(void *user, const struct bus_msg *m)
{
    struct wrpc_serve *s = user;
    struct err e = ERR_INIT;
    bool freed = false;
    if (m->reply.n == 0)
        return; /* nobody to answer to */
    struct wrpc_inv *i = inv_new(s, m);
    if (!wrpc_end_init(&i->end, s->w, &inv_ops, &e)) {
        turn_away(s->w, m);
        free(i);
        return;
    }
    s->holders++;
    take_offer(i);
    if (!greet(i, &e)) {
        wrpc_inv_free(i);
        return;
    }
    i->root_bytes = m->data.n;
    if (!wrpc_inv_ours(i)) {
        if (m->data.n)
            inv_queue(i, 0, m->data);
        inv_wait(i);
        return;
    }
    i->first = m->data;
    i->end.freed = &freed;
    s->fn(s->user, i);
    if (freed)
        return;
    i->end.freed = NULL;
    if (i->first.n) /* not read yet: it has to outlive the message */
        inv_queue(i, 0, i->first);
    i->first = (struct span){NULL, 0};
}

/* ---- served functions ---- */

bool wrpc_serve_open(struct wrpc *w, struct str prefix, struct str group, struct str instance,
                     struct str func, const struct wit_pendings *param_paths, wrpc_inv_fn *fn,
                     void *user, struct wrpc_serve **out, struct err *e)
{
    struct buf subject = BUF_INIT;
    uint32_t npaths = param_paths ? param_paths->n : 0;
    struct wrpc_serve *s = xalloc(sizeof *s + npaths * sizeof s->paths[0]);
    *s = (struct wrpc_serve){.w = w, .fn = fn, .user = user, .holders = 1, .npaths = npaths};
    if (npaths)
        wrpc_paths_copy(s->paths, param_paths);
    bool ok = wrpc_subject(prefix, instance, func, &subject, e) &&
              bus_subscribe(w->bus, buf_view(&subject), group, on_invocation, s, &s->sub, e);
    buf_fini(&subject);
    if (!ok) {
        free(s);
        return false;
    }
    DL_APPEND(w->serves, s);
    *out = s;
    return true;
}

static void on_drain_echo(void *user)
{
    struct wrpc_serve *s = user;
    s->echoed = true;
    drain_done_if_empty(s);
}

void wrpc_serve_drain(struct wrpc_serve *s, void (*done)(void *user), void *user)
{
    assert(s->w && !s->drained);
    s->drained = done;
    s->drain_user = user;
    bus_drain(s->sub, on_drain_echo, s);
}

void wrpc_serve_detach(struct wrpc_serve *s)
{
    if (!s->w)
        return;
    s->drained = NULL;
    bus_unsubscribe(&s->sub);
    while (s->waiting)
        wrpc_inv_free(s->waiting);
    DL_DELETE(s->w->serves, s);
    s->w = NULL;
}

void wrpc_serve_close(struct wrpc_serve *s)
{
    if (!s)
        return;
    wrpc_serve_detach(s);
    serve_release(s);
}
