/* SPDX-License-Identifier: Apache-2.0 */
/* One connection, whatever it speaks: its life, what waits to be written, and how it ends.
 * Keeps: a connection is freed only when nobody is inside of it (`running`), so handlers may end, abort or answer
 * from every callback; one that lingers has no exchange that is still the handler's. */
#include "lattice/http/http_server_int.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

struct http_conn *conn_new(struct http_server *s, const struct http_transport *t, void *carrier,
                           struct str peer)
{
    struct http_conn *c = xnew(struct http_conn);
    c->server = s;
    c->protocol = &h1_protocol;
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
    c->undecided = !s->tls && !s->http1_only;
    c->reading = true;
    t->read_on(carrier, true);
    wheel_put(s, c);
    return c;
}

static void conn_free(struct http_conn *c)
{
    c->transport->close(c->carrier, c->x.reply_started && !c->x.reply_done);
    server_forget(c->server, c);
    c->protocol->fini(c);
    buf_fini(&c->in);
    buf_fini(&c->out);
    free(c);
}

size_t conn_queued(const struct http_conn *c)
{
    return c->out.n + (c->flight ? c->transport->unsent(c->carrier) : 0);
}

void conn_settle(struct http_conn *c, bool reading)
{
    if (c->dead) {
        conn_free(c);
        return;
    }
    if (reading != c->reading) {
        c->reading = reading;
        c->transport->read_on(c->carrier, reading);
        c->read_ms = loop_now_ms(c->server->loop);
    }
    wheel_put(c->server, c);
}

/* ---- in ---- */

size_t conn_room(const struct http_conn *c)
{
    return c->protocol->room(c);
}

void conn_set_protocol(struct http_conn *c, bool http2)
{
    c->undecided = false;
    if (http2)
        h2_begin(c);
}

/* Whether it is HTTP/2 shows in its first bytes, which no request of HTTP/1.1 has (RFC 9113, 3.4). */
static void decide(struct http_conn *c, struct span in)
{
    static const struct str preface = STR_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    size_t seen = c->preface_n;
    size_t n = MIN(in.n, preface.n - seen);
    bool matches = memcmp(in.p, preface.p + seen, n) == 0;
    if (matches && seen + n < preface.n) {
        c->preface_n = (uint8_t)(seen + n);
        return;
    }
    struct buf all = BUF_INIT;
    if (seen > 0) {
        buf_put(&all, preface.p, seen);
        buf_put(&all, in.p, in.n);
        in = buf_span(&all);
    }
    conn_set_protocol(c, matches);
    c->protocol->input(c, in);
    buf_fini(&all);
}

void conn_input(struct http_conn *c, struct span in)
{
    c->read_ms = loop_now_ms(c->server->loop);
    if (c->phase == CONN_LINGER)
        return;
    if (c->undecided)
        decide(c, in);
    else
        c->protocol->input(c, in);
}

/* ---- the end ---- */

void conn_linger(struct http_conn *c)
{
    c->phase = CONN_LINGER;
    c->phase_ms = loop_now_ms(c->server->loop);
    conn_touch(c);
}

void conn_lost(struct http_conn *c, bool eof)
{
    if (!eof || c->protocol->busy(c) || conn_queued(c) == 0) {
        conn_kill(c, HTTP_GONE_CLIENT);
        return;
    }
    c->eof = true; /* it sent all it wanted to and waits for the answer */
    conn_linger(c);
    conn_settle(c, true);
}

void conn_kill(struct http_conn *c, enum http_gone why)
{
    bool inside = c->running;
    c->running = true;
    c->protocol->gone(c, why);
    c->running = inside;
    c->dead = true;
    if (!inside)
        conn_free(c);
}

void conn_retire(struct http_conn *c)
{
    if (c->phase != CONN_LINGER)
        c->protocol->retire(c);
}

/* ---- deadlines ---- */

static uint64_t write_deadline_ms(const struct http_conn *c)
{
    return c->flight ? c->write_ms + c->server->limits.write_timeout_ms : UINT64_MAX;
}

static uint64_t phase_deadline_ms(const struct http_conn *c)
{
    if (c->phase != CONN_LINGER)
        return c->protocol->deadline_ms(c);
    return c->shut ? c->phase_ms + c->server->limits.linger_ms : UINT64_MAX;
}

uint64_t conn_deadline_ms(const struct http_conn *c)
{
    return MIN(write_deadline_ms(c), phase_deadline_ms(c));
}

void conn_check(struct http_conn *c, uint64_t now_ms)
{
    if (c->flight) {
        size_t unsent = c->transport->unsent(c->carrier);
        if (unsent != c->unsent_seen)
            c->write_ms = now_ms;
        c->unsent_seen = unsent;
    }
    bool lingers = c->phase == CONN_LINGER;
    if (now_ms >= write_deadline_ms(c) || (lingers && now_ms >= phase_deadline_ms(c)))
        conn_kill(c, HTTP_GONE_TIMEOUT);
    else if (lingers)
        wheel_put(c->server, c);
    else
        c->protocol->check(c, now_ms);
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

/* All last words are out. */
static void finish_linger(struct http_conn *c)
{
    if (c->eof) {
        conn_kill(c, HTTP_GONE_CLIENT);
        return;
    }
    c->shut = true;
    c->phase_ms = loop_now_ms(c->server->loop);
    c->transport->shut(c->carrier);
    wheel_put(c->server, c);
}

void conn_flush(struct http_conn *c)
{
    while (!c->dead && !c->flight && (c->out.n > 0 || c->protocol->fill(c)))
        send_out(c);
    if (c->dead)
        conn_kill(c, HTTP_GONE_CLIENT);
    else if (c->phase != CONN_LINGER)
        c->protocol->sent(c);
    else if (!c->shut && conn_queued(c) == 0)
        finish_linger(c);
    else
        wheel_put(c->server, c);
}

void conn_sent(struct http_conn *c)
{
    c->flight = false;
    conn_flush(c);
}
