/* SPDX-License-Identifier: Apache-2.0 */
/* The bus over the nats.c library, which the files nats*.c alone call. This one publishes, subscribes, delivers on the
 * loop and says what state the connection is in.
 *
 * Threads: the library reads, connects and calls back on threads of its own, which only fill the inlet (nats_inlet.c).
 * The loop in turn never waits for the library: connecting runs on the pool (nats_connect.c), and while the connection
 * is down (the library then holds its lock through whole connection attempts) nothing is asked of it: what is
 * published waits in the outbox.
 *
 * Keeps, for libnats 3.4.1:
 *   - one delivery thread for the process, so that messages arrive in the order of the wire across subscriptions;
 *   - every write goes out at once (SendAsap): the flusher thread would add a millisecond;
 *   - a subscription is unsubscribed, then the server is asked for an echo, and only when that has come back is it
 *     destroyed: until then the library's reader may still be using it;
 *   - messages are destroyed by the dozen: the library frees on a thread of its own, and wakes it for a single one. */
#include "lattice/bus/nats_int.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define CLOSE_FLUSH_MS 1000
#define REAP_TIMEOUT_MS 5000
#define USED_BYTES_MAX (1u << 20)

/* ---- used messages -------------------------------------------------------------------------------- */

static void used_destroy(struct nats_bus *b)
{
    while (b->nused)
        natsMsg_Destroy(b->used[--b->nused]);
    b->used_bytes = 0;
}

/* Takes the message, which may be NULL. */
void nbus_used(struct nats_bus *b, natsMsg *msg)
{
    if (!msg)
        return;
    b->used[b->nused++] = msg;
    b->used_bytes += (size_t)natsMsg_GetDataLength(msg);
    if (b->nused == USED_MAX || b->used_bytes > USED_BYTES_MAX)
        used_destroy(b);
}

/* ---- delivery on the loop ------------------------------------------------------------------------- */

/* Fills headers (at most BUS_HEADERS_MAX; the rest is dropped) and status. */
static void read_headers(natsMsg *nm, struct bus_header *headers, struct bus_msg *m)
{
    const char **keys = NULL;
    int nkeys = 0;
    size_t n = 0;
    if (natsMsgHeader_Keys(nm, &keys, &nkeys) != NATS_OK)
        return;
    for (int i = 0; i < nkeys; i++) {
        const char **values = NULL;
        int nvalues = 0;
        if (natsMsgHeader_Values(nm, keys[i], &values, &nvalues) != NATS_OK)
            continue;
        for (int j = 0; j < nvalues && n < BUS_HEADERS_MAX; j++)
            headers[n++] = (struct bus_header){str_of(keys[i]), str_of(values[j])};
        free(values);
    }
    free(keys);
    m->headers = headers;
    m->nheaders = n;
    uint64_t status;
    if (m->data.n == 0 && str_u64(str_sub(bus_header(m, "Status"), 0, 3), &status))
        m->status = (uint16_t)MIN(status, (uint64_t)999);
}

static void deliver(struct nats_sub *sub, natsMsg *nm)
{
    struct bus_header headers[BUS_HEADERS_MAX];
    struct bus_msg m = {
        .subject = str_of(natsMsg_GetSubject(nm)),
        .reply = str_of(natsMsg_GetReply(nm)),
        .data = {(const uint8_t *)natsMsg_GetData(nm), (size_t)natsMsg_GetDataLength(nm)},
    };
    if (m.subject.n > BUS_SUBJECT_MAX || m.reply.n > BUS_SUBJECT_MAX)
        return; /* nobody could answer: servers take longer subjects than we do */
    read_headers(nm, headers, &m);
    sub->base.fn(sub->base.user, &m);
}

void nbus_set_state(struct nats_bus *b, enum bus_state state)
{
    struct err why = ERR_INIT;
    pthread_mutex_lock(&b->inlet->lock);
    if (state != BUS_UP)
        err_set(&why, b->inlet->why_code, "%s: %s", b->base.url, b->inlet->why);
    pthread_mutex_unlock(&b->inlet->lock);
    bus_set_state(&b->base, state, &why);
}

static void refused(struct nats_bus *b, const char *what)
{
    struct err why = ERR_INIT;
    char text[ERR_TEXT_MAX / 2];
    err_set(&why, ERR_DENIED, "%s: %s", b->base.url, str_show(str_of(what), text, sizeof text));
    bus_refused(&b->base, &why);
}

void nbus_handle(struct nats_bus *b, const struct event *ev)
{
    switch (ev->kind) {
    case EVENT_MSG:
        if (!ev->sub->base.dead)
            deliver(ev->sub, ev->msg);
        break;
    case EVENT_UP: /* may come before connect_done, which looks for itself */
        if (b->conn && b->base.state != BUS_UP)
            nbus_up(b);
        break;
    case EVENT_DOWN:
        nbus_set_state(b, BUS_DOWN);
        break;
    case EVENT_SHUT:
        nbus_set_state(b, BUS_SHUT);
        break;
    case EVENT_REFUSED:
        refused(b, ev->text);
        break;
    }
}

/* ---- publish -------------------------------------------------------------------------------------- */

static bool nats_failed(struct nats_bus *b, natsStatus s, const char *what, struct err *e)
{
    enum err_code code = ERR_IO;
    if (s == NATS_CONNECTION_CLOSED)
        code = ERR_CLOSED;
    else if (s == NATS_INSUFFICIENT_BUFFER || s == NATS_MAX_PAYLOAD)
        code = ERR_LIMIT;
    else if (s == NATS_INVALID_SUBJECT || s == NATS_INVALID_ARG)
        code = ERR_INVALID;
    return err_set(e, code, "%s over %s: %s", what, b->base.url, natsStatus_GetText(s));
}

static natsStatus send_with_headers(struct nats_bus *b, const char *subject, const char *reply,
                                    const struct bus_msg *m)
{
    natsMsg *nm = NULL;
    natsStatus s = natsMsg_Create(&nm, subject, reply, (const char *)m->data.p, (int)m->data.n);
    for (size_t i = 0; s == NATS_OK && i < m->nheaders; i++) {
        AUTO_FREE char *name = str_dup(m->headers[i].name);
        AUTO_FREE char *value = str_dup(m->headers[i].value);
        s = natsMsgHeader_Add(nm, name, value);
    }
    if (s == NATS_OK)
        s = natsConnection_PublishMsg(b->conn, nm);
    nbus_used(b, nm);
    return s;
}

static char *terminate(struct str s, char out[BUS_SUBJECT_MAX + 1])
{
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return out;
}

static bool send_now(struct nats_bus *b, const struct bus_msg *m, struct err *e)
{
    char subject[BUS_SUBJECT_MAX + 1], reply[BUS_SUBJECT_MAX + 1];
    terminate(m->subject, subject);
    const char *reply_z = m->reply.n ? terminate(m->reply, reply) : NULL;
    natsStatus s;
    if (m->nheaders)
        s = send_with_headers(b, subject, reply_z, m);
    else if (reply_z)
        s = natsConnection_PublishRequest(b->conn, subject, reply_z, m->data.p, (int)m->data.n);
    else
        s = natsConnection_Publish(b->conn, subject, m->data.p, (int)m->data.n);
    return s == NATS_OK || nats_failed(b, s, "publish", e);
}

static bool nats_publish(struct bus *base, const struct bus_msg *m, struct err *e)
{
    struct nats_bus *b = (struct nats_bus *)base;
    if (base->state == BUS_UP)
        return send_now(b, m, e);
    struct bus_copy *c = bus_copy_new(m);
    if (b->outbox_bytes + c->size > BUS_OUTBOX_BYTES_MAX) {
        free(c);
        return err_set(e, ERR_LIMIT,
                       "not connected to %s, and %u bytes are waiting to be sent already",
                       base->url, BUS_OUTBOX_BYTES_MAX);
    }
    *b->outbox_last = c;
    b->outbox_last = &c->next;
    b->outbox_bytes += c->size;
    return true;
}

static void outbox_drop(struct nats_bus *b)
{
    while (b->outbox) {
        struct bus_copy *c = b->outbox;
        b->outbox = c->next;
        free(c);
    }
    b->outbox_last = &b->outbox;
    b->outbox_bytes = 0;
}

static void outbox_send(struct nats_bus *b)
{
    for (struct bus_copy *c = b->outbox; c; c = c->next) {
        struct err e = ERR_INIT;
        send_now(b, &c->msg, &e); /* a failure here means down again: as lost as on the wire */
    }
    outbox_drop(b);
}

/* ---- subscriptions -------------------------------------------------------------------------------- */

static void list_add(struct nats_sub **list, struct nats_sub *sub)
{
    sub->next = *list;
    sub->at = list;
    if (sub->next)
        sub->next->at = &sub->next;
    *list = sub;
}

static void list_remove(struct nats_sub *sub)
{
    *sub->at = sub->next;
    if (sub->next)
        sub->next->at = sub->at;
}

/* Any thread: also the library's on_complete. */
static void sub_unref(void *user)
{
    struct nats_sub *sub = user;
    struct inlet *in = sub->inlet;
    pthread_mutex_lock(&in->lock);
    bool last = --sub->refs == 0;
    pthread_mutex_unlock(&in->lock);
    if (!last)
        return;
    free(sub->subject);
    free(sub->queue);
    free(sub);
    inlet_unref(in);
}

static void sub_free(struct nats_sub *sub)
{
    list_remove(sub);
    natsSubscription_Destroy(sub->sub);
    sub_unref(sub);
}

static bool sub_send(struct nats_bus *b, struct nats_sub *sub, struct err *e)
{
    natsStatus s =
        sub->queue ? natsConnection_QueueSubscribe(&sub->sub, b->conn, sub->subject, sub->queue,
                                                   inlet_on_msg, sub)
                   : natsConnection_Subscribe(&sub->sub, b->conn, sub->subject, inlet_on_msg, sub);
    if (s != NATS_OK)
        return nats_failed(b, s, "subscribe", e);
    natsSubscription_SetPendingLimits(sub->sub, -1, -1); /* ours is BUS_INLET_BYTES_MAX */
    pthread_mutex_lock(&b->inlet->lock);
    sub->refs++;
    pthread_mutex_unlock(&b->inlet->lock);
    if (natsSubscription_SetOnCompleteCB(sub->sub, sub_unref, sub) != NATS_OK)
        sub_unref(sub); /* the connection was closed under us */
    return true;
}

static bool nats_subscribe(struct bus *base, const char *subject, const char *queue,
                           struct bus_sub **out, struct err *e)
{
    struct nats_bus *b = (struct nats_bus *)base;
    struct nats_sub *sub = xnew(struct nats_sub);
    sub->refs = 1;
    sub->inlet = inlet_ref(b->inlet);
    sub->subject = str_dup(str_of(subject));
    sub->queue = queue ? str_dup(str_of(queue)) : NULL;
    list_add(&b->live, sub);
    if (base->state == BUS_UP && !sub_send(b, sub, e)) {
        sub_free(sub);
        return false;
    }
    *out = &sub->base;
    return true;
}

static void reap(struct nats_bus *b);

static void on_reap_echo(void *user, const struct err *e)
{
    struct nats_bus *b = user;
    if (e && e->code == ERR_CLOSED)
        return; /* closing: the bus frees them */
    while (b->reaping) {
        struct nats_sub *sub = b->reaping;
        if (e) { /* no echo: try again later */
            list_remove(sub);
            list_add(&b->dead, sub);
        } else {
            sub_free(sub);
        }
    }
    if (b->base.state == BUS_UP)
        reap(b);
}

/* Frees the dead in groups: everything that the reader had in hand for them lies before the echo. */
static void reap(struct nats_bus *b)
{
    if (b->reaping || !b->dead)
        return;
    b->reaping = b->dead;
    b->reaping->at = &b->reaping;
    b->dead = NULL;
    bus_flush(&b->base, REAP_TIMEOUT_MS, on_reap_echo, b);
}

/* The library writes UNSUB at once and keeps the subscription for what was sent before, until a thread of its own has
 * had an echo. Ours comes later than that message too, and tells when all has been delivered. */
static void nats_drain(struct bus_sub *base)
{
    struct nats_sub *sub = (struct nats_sub *)base;
    if (sub->sub)
        natsSubscription_DrainTimeout(sub->sub, BUS_DRAIN_TIMEOUT_MS);
}

static void nats_unsubscribe(struct bus_sub *base)
{
    struct nats_sub *sub = (struct nats_sub *)base;
    struct nats_bus *b = (struct nats_bus *)base->bus;
    list_remove(sub);
    list_add(&b->dead, sub);
    if (base->bus->state != BUS_UP)
        return; /* nbus_up says it to the server, or the bus is closing */
    if (sub->sub)
        natsSubscription_Unsubscribe(sub->sub);
    reap(b);
}

/* ---- up ------------------------------------------------------------------------------------------ */

void nbus_up(struct nats_bus *b)
{
    char url[sizeof b->base.url];
    int64_t max_payload = natsConnection_GetMaxPayload(b->conn);
    if (max_payload > 0)
        b->base.max_payload = (size_t)max_payload;
    if (natsConnection_GetConnectedUrl(b->conn, url, sizeof url) == NATS_OK && *url)
        bus_set_url(&b->base, str_of(url));
    for (struct nats_sub *sub = b->dead; sub; sub = sub->next)
        if (sub->sub && natsSubscription_IsValid(sub->sub))
            natsSubscription_Unsubscribe(sub->sub);
    for (struct nats_sub *sub = b->live; sub; sub = sub->next) {
        struct err e = ERR_INIT;
        if (!sub->sub)
            sub_send(b, sub, &e); /* failing means down again; the next nbus_up repeats it */
    }
    outbox_send(b);
    b->base.state = BUS_UP;
    reap(b);
    nbus_set_state(b, BUS_UP);
}

/* ---- life ----------------------------------------------------------------------------------------- */

/* Nothing more is taken from the library's threads. */
static void nats_close(struct bus *base)
{
    struct nats_bus *b = (struct nats_bus *)base;
    struct inlet *in = b->inlet;
    bool was_up = base->state == BUS_UP;
    bus_base_fini(base);
    if (was_up)
        natsConnection_FlushTimeout(b->conn, CLOSE_FLUSH_MS);
    inlet_close(in);
    connect_end(b);
    if (b->conn)
        natsConnection_Close(b->conn); /* joins the reader: subscriptions can go */
    struct nats_sub **lists[] = {&b->live, &b->dead, &b->reaping};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        while (*lists[i])
            sub_free(*lists[i]);
    natsConnection_Destroy(b->conn);
    used_destroy(b);
    outbox_drop(b);
    inlet_unref(in);
    free(b);
}

static const struct bus_ops nats_ops = {nats_publish, nats_subscribe, nats_drain, nats_unsubscribe,
                                        nats_close};

static void library_init(void)
{
    nats_SetMessageDeliveryPoolSize(1);
}

bool bus_nats_open(struct loop *loop, const struct bus_opts *opts, struct bus **out, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!connect_check(opts, e))
        return false;
    pthread_once(&once, library_init);
    struct inlet *in = inlet_new(loop, opts, e);
    if (!in)
        return false;
    struct nats_bus *b = xnew(struct nats_bus);
    b->inlet = in;
    b->outbox_last = &b->outbox;
    in->bus = b;
    if (!bus_base_init(&b->base, &nats_ops, loop, opts, e) || !connect_begin(b, opts, e)) {
        nats_close(&b->base);
        return false;
    }
    *out = &b->base;
    return true;
}
