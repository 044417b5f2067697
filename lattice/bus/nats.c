/* SPDX-License-Identifier: Apache-2.0 */
/* The bus over NATS: a client of our own on the loop, without threads and locks. This file publishes, subscribes and
 * delivers; docs/decisions/0025-nats-on-the-loop.md says why there is one.
 * Keeps: what is published while the connection is down waits in the outbox; messages are handed over where they were
 * read, so the order of the wire is the order of the callbacks; nothing that a subscription had under way is delivered
 * once it was given up, since its number is never used again. */
#include "lattice/bus/nats_int.h"

#include <stdio.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define CLOSE_FLUSH_MS 1000

/* ---- publish -------------------------------------------------------------------------------------- */

#define HEADERS_FIRST "NATS/1.0\r\n"

static size_t headers_size(const struct bus_msg *m)
{
    size_t n = sizeof HEADERS_FIRST - 1 + 2;
    for (size_t i = 0; i < m->nheaders; i++)
        n += m->headers[i].name.n + m->headers[i].value.n + 4;
    return m->nheaders ? n : 0;
}

/* [H]PUB subject [reply] [size of headers] size; headers; data */
static void put_message(struct buf *out, const struct bus_msg *m)
{
    char sizes[48];
    size_t head = headers_size(m);
    int n = head ? snprintf(sizes, sizeof sizes, " %zu %zu\r\n", head, head + m->data.n)
                 : snprintf(sizes, sizeof sizes, " %zu\r\n", m->data.n);
    buf_str(out, head ? STR("HPUB ") : STR("PUB "));
    buf_str(out, m->subject);
    if (m->reply.n)
        buf_byte(out, ' ');
    buf_str(out, m->reply);
    buf_put(out, sizes, (size_t)n);
    if (head)
        buf_str(out, STR(HEADERS_FIRST));
    for (size_t i = 0; i < m->nheaders; i++) {
        buf_str(out, m->headers[i].name);
        buf_str(out, STR(": "));
        buf_str(out, m->headers[i].value);
        buf_str(out, STR("\r\n"));
    }
    if (head)
        buf_str(out, STR("\r\n"));
    buf_put(out, m->data.p, m->data.n);
    buf_str(out, STR("\r\n"));
}

static bool publish_later(struct nats_bus *b, const struct bus_msg *m, struct err *e)
{
    size_t before = b->outbox.n;
    put_message(&b->outbox, m);
    if (!b->outbox.full)
        return true;
    b->outbox.n = before; /* no part of it */
    b->outbox.full = false;
    return err_set(e, ERR_LIMIT,
                   "not connected to %s, and %zu bytes are waiting to be sent already", b->base.url,
                   before);
}

static bool nats_publish(struct bus *base, const struct bus_msg *m, struct err *e)
{
    struct nats_bus *b = (struct nats_bus *)base;
    if (b->conn.phase != NATS_READY)
        return publish_later(b, m, e);
    size_t unsent = nats_wire_unsent(b->conn.wire);
    if (unsent > BUS_UNSENT_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "%s takes nothing: %zu bytes are waiting to be sent",
                       base->url, unsent);
    put_message(nats_wire_out(b->conn.wire), m);
    nats_wire_send(b->conn.wire);
    return true;
}

static size_t nats_unsent(const struct bus *base)
{
    const struct nats_bus *b = (const struct nats_bus *)base;
    return b->conn.phase == NATS_READY ? nats_wire_unsent(b->conn.wire) : b->outbox.n;
}

/* ---- subscriptions -------------------------------------------------------------------------------- */

static void say_subscribe(struct nats_bus *b, const struct nats_sub *sub)
{
    const char *queue = sub->queue ? sub->queue : "";
    buf_printf(nats_wire_out(b->conn.wire), "SUB %s %s %llu\r\n", sub->subject, queue,
               (unsigned long long)sub->sid);
    nats_wire_send(b->conn.wire);
}

static void say_unsubscribe(struct nats_bus *b, const struct nats_sub *sub)
{
    if (b->conn.phase != NATS_READY)
        return; /* nats_up does not name it again */
    buf_printf(nats_wire_out(b->conn.wire), "UNSUB %llu\r\n", (unsigned long long)sub->sid);
    nats_wire_send(b->conn.wire);
}

static bool nats_subscribe(struct bus *base, const char *subject, const char *queue,
                           struct bus_sub **out, struct err *e)
{
    struct nats_bus *b = (struct nats_bus *)base;
    struct nats_sub *sub = xnew(struct nats_sub);
    (void)e;
    sub->sid = ++b->last_sid;
    sub->subject = str_dup(str_of(subject));
    sub->queue = queue ? str_dup(str_of(queue)) : NULL;
    HASH_ADD(hh, b->subs, sid, sizeof sub->sid, sub);
    if (b->conn.phase == NATS_READY)
        say_subscribe(b, sub);
    *out = &sub->base;
    return true;
}

static void sub_free(struct nats_bus *b, struct nats_sub *sub)
{
    HASH_DELETE(hh, b->subs, sub);
    free(sub->subject);
    free(sub->queue);
    free(sub);
}

static void nats_drain(struct bus_sub *base)
{
    say_unsubscribe((struct nats_bus *)base->bus, (struct nats_sub *)base);
}

static void nats_unsubscribe(struct bus_sub *base)
{
    struct nats_bus *b = (struct nats_bus *)base->bus;
    if (!base->draining)
        say_unsubscribe(b, (struct nats_sub *)base);
    sub_free(b, (struct nats_sub *)base);
}

void nats_message(struct nats_bus *b, const struct nats_frame *f)
{
    struct nats_sub *sub;
    HASH_FIND(hh, b->subs, &f->sid, sizeof f->sid, sub);
    if (!sub || f->msg.subject.n > BUS_SUBJECT_MAX || f->msg.reply.n > BUS_SUBJECT_MAX)
        return; /* given up; or nobody could answer: servers take longer subjects than we do */
    sub->base.fn(sub->base.user, &f->msg);
}

/* ---- states --------------------------------------------------------------------------------------- */

void nats_state(struct nats_bus *b, enum bus_state state, const struct err *why)
{
    struct err said = *why;
    if (state != BUS_UP)
        err_wrap(&said, "%s", b->base.url);
    bus_set_state(&b->base, state, &said);
}

void nats_refused(struct nats_bus *b, struct str what)
{
    struct err why = ERR_INIT;
    char text[ERR_TEXT_MAX / 2];
    err_set(&why, ERR_DENIED, "%s: %s", b->base.url, str_show(what, text, sizeof text));
    bus_refused(&b->base, &why);
}

void nats_room(struct nats_bus *b)
{
    bus_room(&b->base);
}

void nats_up(struct nats_bus *b)
{
    static const struct err none = ERR_INIT;
    struct nats_sub *sub, *next;
    HASH_ITER(hh, b->subs, sub, next)
    {
        if (!sub->base.draining)
            say_subscribe(b, sub);
    }
    buf_put(nats_wire_out(b->conn.wire), b->outbox.p, b->outbox.n);
    nats_wire_send(b->conn.wire);
    buf_fini(&b->outbox);
    nats_wire_expect_room(
        b->conn.wire); /* who waited for the lost one to take more must hear of this one */
    nats_state(b, BUS_UP, &none);
}

/* ---- life ----------------------------------------------------------------------------------------- */

static void nats_close(struct bus *base)
{
    struct nats_bus *b = (struct nats_bus *)base;
    bus_base_fini(base);
    if (b->conn.phase == NATS_READY)
        nats_wire_finish(b->conn.wire, CLOSE_FLUSH_MS);
    nats_disconnect(b);
    while (b->subs)
        sub_free(b, b->subs);
    buf_fini(&b->outbox);
    free(b);
}

static const struct bus_ops nats_ops = {nats_publish, nats_unsent,      nats_subscribe,
                                        nats_drain,   nats_unsubscribe, nats_close};

bool bus_nats_open(struct loop *loop, const struct bus_opts *opts, struct bus **out, struct err *e)
{
    struct nats_bus *b = xnew(struct nats_bus);
    buf_init(&b->outbox, BUS_OUTBOX_BYTES_MAX);
    if (!bus_base_init(&b->base, &nats_ops, loop, opts, e) || !nats_connect(b, opts, e)) {
        nats_close(&b->base);
        return false;
    }
    *out = &b->base;
    return true;
}
