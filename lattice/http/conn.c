/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: whose turn it is, what is read ahead, what waits to be written, and when patience ends.
 * Keeps: `in` holds bytes only while a complete request waits for its reply; a connection is freed only when nobody
 * is inside of it (`running`), so handlers may end, abort or answer from every callback. */
#include "lattice/http/http_server_int.h"

#include <assert.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define OUT_KEEP_BYTES 4096u  /* a written-out buffer larger than this is given back */
#define RATE_WINDOW_MS 20000u /* the body's rate is measured over this */

struct http_conn *conn_new(struct http_server *s, const struct http_transport *t, void *carrier,
                           struct str peer)
{
    struct http_conn *c = xnew(struct http_conn);
    c->server = s;
    c->transport = t;
    c->carrier = carrier;
    memcpy(c->peer, peer.p, MIN(peer.n, sizeof c->peer - 1));
    llhttp_init(&c->parser, HTTP_REQUEST, &http_request_settings);
    c->parser.data = c;
    exchange_init(&c->x, c);
    c->next = s->conns;
    if (c->next)
        c->next->prev = c;
    s->conns = c;
    s->nconns++;
    c->phase = CONN_HEAD; /* a new connection is expected to speak */
    c->phase_ms = c->read_ms = loop_now_ms(s->loop);
    c->reading = true;
    t->read_on(carrier, true);
    wheel_put(s, c);
    return c;
}

static void conn_free(struct http_conn *c)
{
    c->transport->close(c->carrier, c->x.reply_started && !c->x.reply_done);
    server_forget(c->server, c);
    exchange_fini(&c->x);
    buf_fini(&c->in);
    buf_fini(&c->out);
    free(c);
}

size_t conn_queued(const struct http_conn *c)
{
    return c->out.n + (c->flight ? c->transport->unsent(c->carrier) : 0);
}

/* ---- in ---- */

static bool waits_for_reply(const struct http_conn *c)
{
    return c->x.request_done && !c->x.reply_done;
}

size_t conn_room(const struct http_conn *c)
{
    size_t max = c->server->limits.pipeline_bytes_max;
    if (!waits_for_reply(c))
        return SIZE_MAX;
    return c->in.n < max ? max - c->in.n : 1;
}

static void linger(struct http_conn *c)
{
    c->phase = CONN_LINGER;
    c->phase_ms = loop_now_ms(c->server->loop);
    conn_touch(c);
}

/* The tokeniser, or we, did not like what came: conn->refuse. */
static void stop(struct http_conn *c)
{
    struct http_exchange *x = &c->x;
    if (c->dead)
        return;
    exchange_gone(x, c->refuse == 413 ? HTTP_GONE_LIMIT : HTTP_GONE_INVALID);
    if (!x->reply_started && c->refuse)
        exchange_refuse(x, c->refuse);
    if (x->reply_done)
        linger(c);
    else
        c->dead = true; /* in the middle of a reply, or not worth one */
}

/* The exchange is over: on to the next, or to the end. */
static void turn_over(struct http_conn *c)
{
    if (c->closing) {
        linger(c);
    } else {
        exchange_reset(&c->x);
        c->raw_bytes = 0;
    }
}

static bool feed(struct http_conn *c, struct span *in)
{
    size_t used;
    if (!request_feed(c, *in, &used))
        return false;
    *in = (struct span){in->p + used, in->n - used};
    if (c->x.head_done)
        return true;
    c->raw_bytes += used; /* blanks and line ends come without a callback */
    c->refuse = 431;
    return c->raw_bytes <= c->server->limits.head_bytes_max;
}

/* Handles as much of in as can be handled now, then settles what follows from it. May free c. */
static void settle(struct http_conn *c);
static void run(struct http_conn *c, struct span in)
{
    c->running = true;
    while (!c->dead && c->phase != CONN_LINGER) {
        if (waits_for_reply(c))
            break;
        if (c->x.request_done || (c->x.reply_done && c->closing))
            turn_over(c);
        else if (in.n == 0)
            break;
        else if (!feed(c, &in))
            stop(c);
    }
    c->running = false;
    if (!c->dead && c->phase != CONN_LINGER)
        buf_put(&c->in, in.p, in.n);
    settle(c);
}

void conn_go_on(struct http_conn *c)
{
    if (c->running)
        return;
    struct buf pending = c->in;
    c->in = (struct buf)BUF_INIT;
    run(c, buf_span(&pending));
    buf_fini(&pending);
}

void conn_input(struct http_conn *c, struct span in)
{
    c->read_ms = loop_now_ms(c->server->loop);
    if (c->phase == CONN_LINGER)
        return;
    if (!waits_for_reply(c)) {
        assert(c->in.n == 0);
        run(c, in);
        return;
    }
    buf_put(&c->in, in.p, in.n);
    settle(c);
}

void conn_lost(struct http_conn *c, bool eof)
{
    if (!eof || c->x.active || conn_queued(c) == 0) {
        conn_kill(c, HTTP_GONE_CLIENT);
        return;
    }
    c->eof = true; /* it sent all it wanted to and waits for the answer */
    linger(c);
    settle(c);
}

void conn_kill(struct http_conn *c, enum http_gone why)
{
    bool inside = c->running;
    c->running = true;
    exchange_gone(&c->x, why);
    c->running = inside;
    c->dead = true;
    if (!inside)
        conn_free(c);
}

void conn_retire(struct http_conn *c)
{
    c->closing = true;
    if (c->phase != CONN_IDLE && (c->phase != CONN_HEAD || c->x.begun))
        return;
    if (conn_queued(c) > 0)
        linger(c); /* its last reply has not left yet */
    else
        conn_kill(c, HTTP_GONE_CLOSED);
}

/* ---- phases and deadlines ---- */

static enum conn_phase phase_of(const struct http_conn *c)
{
    const struct http_exchange *x = &c->x;
    if (c->phase == CONN_LINGER)
        return CONN_LINGER;
    if (x->head_done)
        return x->request_done ? CONN_WAIT : CONN_BODY;
    return x->begun ? CONN_HEAD : CONN_IDLE;
}

static bool wants_reading(const struct http_conn *c)
{
    const struct http_limits *limits = &c->server->limits;
    if (c->phase == CONN_BODY)
        return c->x.unconsumed_bytes < limits->body_window_bytes;
    return c->phase != CONN_WAIT || c->in.n < limits->pipeline_bytes_max;
}

static void measure_rate_from_now(struct http_conn *c, uint64_t now_ms)
{
    c->rate_ms = now_ms;
    c->rate_bytes = c->x.body_bytes;
}

static void settle(struct http_conn *c)
{
    if (c->dead) {
        conn_free(c);
        return;
    }
    enum conn_phase phase = phase_of(c);
    if (phase != c->phase) {
        c->phase = phase;
        c->phase_ms = loop_now_ms(c->server->loop);
    }
    bool reading = wants_reading(c);
    if (reading != c->reading) {
        c->reading = reading;
        c->transport->read_on(c->carrier, reading);
        c->read_ms = loop_now_ms(c->server->loop);
        measure_rate_from_now(c, c->read_ms);
    }
    wheel_put(c->server, c);
}

void conn_body_begins(struct http_conn *c)
{
    measure_rate_from_now(c, loop_now_ms(c->server->loop));
}

static uint64_t write_deadline_ms(const struct http_conn *c)
{
    return c->flight ? c->write_ms + c->server->limits.write_timeout_ms : UINT64_MAX;
}

static uint64_t phase_deadline_ms(const struct http_conn *c)
{
    const struct http_limits *limits = &c->server->limits;
    uint64_t since_ms = MAX(c->phase_ms, c->read_ms);
    switch (c->phase) {
    case CONN_IDLE:
        return since_ms + limits->idle_timeout_ms;
    case CONN_HEAD:
        return c->phase_ms + limits->header_timeout_ms;
    case CONN_BODY:
        return c->reading ? since_ms + limits->body_timeout_ms : UINT64_MAX;
    case CONN_LINGER:
        return c->shut ? c->phase_ms + limits->linger_ms : UINT64_MAX;
    case CONN_WAIT:
        break; /* the handler's affair */
    }
    return UINT64_MAX;
}

uint64_t conn_deadline_ms(const struct http_conn *c)
{
    return MIN(write_deadline_ms(c), phase_deadline_ms(c));
}

static bool too_slow(struct http_conn *c, uint64_t now_ms)
{
    uint64_t elapsed_ms = now_ms - c->rate_ms;
    if (c->phase != CONN_BODY || !c->reading || elapsed_ms < RATE_WINDOW_MS)
        return false;
    uint64_t bytes = c->x.body_bytes - c->rate_bytes;
    measure_rate_from_now(c, now_ms);
    return bytes < c->server->limits.body_rate_min * elapsed_ms / 1000;
}

/* The client was too slow with its request: say so when that can be said. */
static void time_out(struct http_conn *c)
{
    if (c->phase == CONN_LINGER || c->phase == CONN_IDLE || !c->x.begun) {
        conn_kill(c, HTTP_GONE_TIMEOUT);
        return;
    }
    c->running = true;
    exchange_gone(&c->x, HTTP_GONE_TIMEOUT);
    if (!c->x.reply_started)
        exchange_refuse(&c->x, 408);
    c->running = false;
    if (c->x.reply_done)
        linger(c);
    else
        c->dead = true;
    settle(c);
}

void conn_check(struct http_conn *c, uint64_t now_ms)
{
    if (c->flight) {
        size_t unsent = c->transport->unsent(c->carrier);
        if (unsent != c->unsent_seen)
            c->write_ms = now_ms;
        c->unsent_seen = unsent;
    }
    if (now_ms >= write_deadline_ms(c))
        conn_kill(c, HTTP_GONE_TIMEOUT);
    else if (now_ms >= phase_deadline_ms(c) || too_slow(c, now_ms))
        time_out(c);
    else
        wheel_put(c->server, c);
}

/* ---- out ---- */

void conn_touch(struct http_conn *c)
{
    server_touch(c->server, c);
}

static void send_out(struct http_conn *c)
{
    c->sends++;
    ssize_t sent = c->transport->send(c->carrier, buf_span(&c->out));
    if (sent < 0) {
        c->dead = true;
        return;
    }
    buf_drop(&c->out, (size_t)sent);
    if (c->out.n > 0) {
        c->flight = true;
        c->transport->send_rest(c->carrier, &c->out);
        c->unsent_seen = c->transport->unsent(c->carrier);
        c->write_ms = loop_now_ms(c->server->loop);
    } else if (c->out.cap > OUT_KEEP_BYTES) {
        buf_fini(&c->out);
    }
}

void conn_flush(struct http_conn *c)
{
    struct http_server *s = c->server;
    if (c->out.n > 0 && !c->flight)
        send_out(c);
    if (c->dead) {
        conn_kill(c, HTTP_GONE_CLIENT);
        return;
    }
    if (c->x.active && c->x.above_high && conn_queued(c) <= s->limits.write_low_bytes) {
        c->x.above_high = false;
        c->running = true;
        s->handler->drained(s->user, &c->x);
        c->running = false;
        conn_go_on(c);
        return;
    }
    if (c->phase == CONN_LINGER && !c->shut && conn_queued(c) == 0) {
        if (c->eof) {
            conn_kill(c, HTTP_GONE_CLIENT);
            return;
        }
        c->shut = true;
        c->phase_ms = loop_now_ms(s->loop);
        c->transport->shut(c->carrier);
    }
    wheel_put(s, c);
}

void conn_sent(struct http_conn *c)
{
    c->flight = false;
    conn_flush(c);
}
