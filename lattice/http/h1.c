/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that speaks HTTP/1.1: one exchange after the other; whose turn it is, what is read ahead, and when
 * patience with a request ends.
 * Keeps: `in` holds bytes only while a complete request waits for its reply. */
#include "lattice/http/http_server_int.h"

#include <assert.h>
#include "lattice/base/num.h"

/* ---- whose turn it is ---- */

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

static void measure_rate_from_now(struct http_conn *c)
{
    c->rate_ms = loop_now_ms(c->server->loop);
    c->rate_bytes = c->x.body_bytes;
}

void h1_body_begins(struct http_conn *c)
{
    measure_rate_from_now(c);
}

/* May free c. */
static void settle(struct http_conn *c)
{
    enum conn_phase phase = phase_of(c);
    if (phase != c->phase) {
        c->phase = phase;
        c->phase_ms = loop_now_ms(c->server->loop);
    }
    bool reading = wants_reading(c);
    if (reading != c->reading)
        measure_rate_from_now(c);
    conn_settle(c, reading);
}

/* ---- in ---- */

static bool waits_for_reply(const struct http_conn *c)
{
    return c->x.request_done && !c->x.reply_done;
}

static size_t h1_room(const struct http_conn *c)
{
    size_t max = c->server->limits.pipeline_bytes_max;
    if (!waits_for_reply(c))
        return SIZE_MAX;
    return c->in.n < max ? max - c->in.n : 1;
}

/* The tokeniser, or we, did not like what came: conn->refuse. */
static void stop(struct http_conn *c)
{
    struct http_exchange *x = &c->x;
    if (c->dead)
        return;
    exchange_gone(x, c->refuse == 413 ? HTTP_GONE_LIMIT : HTTP_GONE_INVALID);
    c->closing = true;
    if (!x->reply_started && c->refuse)
        exchange_refuse(x, c->refuse);
    if (x->reply_done)
        conn_linger(c);
    else
        c->dead = true; /* in the middle of a reply, or not worth one */
}

/* The exchange is over: on to the next, or to the end. */
static void turn_over(struct http_conn *c)
{
    if (c->closing) {
        conn_linger(c);
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

/* The exchange changed. May free c. */
static void go_on(struct http_conn *c)
{
    if (c->running)
        return;
    struct buf pending = c->in;
    c->in = (struct buf)BUF_INIT;
    run(c, buf_span(&pending));
    buf_fini(&pending);
}

static void h1_input(struct http_conn *c, struct span in)
{
    if (!waits_for_reply(c)) {
        assert(c->in.n == 0);
        run(c, in);
        return;
    }
    buf_put(&c->in, in.p, in.n);
    settle(c);
}

/* ---- the end ---- */

static bool h1_busy(const struct http_conn *c)
{
    return c->x.active;
}

static void h1_gone(struct http_conn *c, enum http_gone why)
{
    exchange_gone(&c->x, why);
}

static void h1_retire(struct http_conn *c)
{
    c->closing = true;
    if (c->phase != CONN_IDLE && (c->phase != CONN_HEAD || c->x.begun))
        return;
    if (conn_queued(c) > 0)
        conn_linger(c); /* its last reply has not left yet */
    else
        conn_kill(c, HTTP_GONE_CLOSED);
}

static void h1_fini(struct http_conn *c)
{
    exchange_fini(&c->x);
}

/* ---- deadlines ---- */

static uint64_t h1_deadline_ms(const struct http_conn *c)
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
    case CONN_WAIT: /* the handler's affair */
    case CONN_STREAMS:
    case CONN_LINGER:
        break;
    }
    return UINT64_MAX;
}

static bool too_slow(struct http_conn *c, uint64_t now_ms)
{
    uint64_t elapsed_ms = now_ms - c->rate_ms;
    if (c->phase != CONN_BODY || !c->reading || elapsed_ms < RATE_WINDOW_MS)
        return false;
    uint64_t bytes = c->x.body_bytes - c->rate_bytes;
    measure_rate_from_now(c);
    return bytes < c->server->limits.body_rate_min * elapsed_ms / 1000;
}

/* The client was too slow with its request: say so when that can be said. */
static void time_out(struct http_conn *c)
{
    if (c->phase == CONN_IDLE || !c->x.begun) {
        conn_kill(c, HTTP_GONE_TIMEOUT);
        return;
    }
    c->running = true;
    exchange_gone(&c->x, HTTP_GONE_TIMEOUT);
    c->closing = true;
    if (!c->x.reply_started)
        exchange_refuse(&c->x, 408);
    c->running = false;
    if (c->x.reply_done)
        conn_linger(c);
    else
        c->dead = true;
    settle(c);
}

static void h1_check(struct http_conn *c, uint64_t now_ms)
{
    if (now_ms >= h1_deadline_ms(c) || too_slow(c, now_ms))
        time_out(c);
    else
        wheel_put(c->server, c);
}

/* ---- out ---- */

static bool h1_fill(struct http_conn *c)
{
    (void)c; /* replies are put there at once */
    return false;
}

static void h1_sent(struct http_conn *c)
{
    struct http_server *s = c->server;
    if (!c->x.active || !c->x.above_high || conn_queued(c) > s->limits.write_low_bytes) {
        wheel_put(s, c);
        return;
    }
    c->x.above_high = false;
    c->running = true;
    s->handler->drained(s->user, &c->x);
    c->running = false;
    go_on(c);
}

static void h1_end(struct http_exchange *x, const struct http_header *trailers, size_t n)
{
    h1_put_trailers(x, trailers, n);
    if (x->expects_continue)
        x->conn->closing = true;
    go_on(x->conn);
}

static void h1_abort(struct http_exchange *x)
{
    conn_kill(x->conn, HTTP_GONE_CLOSED);
}

static void h1_consumed(struct http_exchange *x, size_t n)
{
    (void)n;
    go_on(x->conn);
}

static size_t h1_queued(const struct http_exchange *x)
{
    return conn_queued(x->conn);
}

const struct http_protocol h1_protocol = {
    .input = h1_input,
    .room = h1_room,
    .busy = h1_busy,
    .gone = h1_gone,
    .retire = h1_retire,
    .fill = h1_fill,
    .sent = h1_sent,
    .deadline_ms = h1_deadline_ms,
    .check = h1_check,
    .fini = h1_fini,
    .head = h1_put_head,
    .body = h1_put_body,
    .end = h1_end,
    .retract = h1_retract,
    .abort = h1_abort,
    .consumed = h1_consumed,
    .proceed = h1_put_continue,
    .queued = h1_queued,
};
