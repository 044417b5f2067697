/* SPDX-License-Identifier: Apache-2.0 */
/* The bus over the nats.c library; no other file calls that library.
 *
 * Threads: the library reads, connects and calls back on threads of its own. Those only append to the inlet, a
 * locked list that the loop empties in batches with one wake-up for many messages. The loop in turn never waits
 * for the library: connecting runs on the pool, and while the connection is down (the library then holds its lock
 * through whole connection attempts) nothing is asked of it: what is published waits in the outbox.
 *
 * Keeps, for libnats 3.4.1:
 *   - one delivery thread for the process, so that messages arrive in the order of the wire across subscriptions;
 *   - every write goes out at once (SendAsap): the flusher thread would add a millisecond;
 *   - a subscription is unsubscribed, then the server is asked for an echo, and only when that has come back is it
 *     destroyed: until then the library's reader may still be using it;
 *   - the inlet outlives the bus until the library has said "closed";
 *   - messages are destroyed by the dozen: the library frees on a thread of its own, and wakes it for a single one. */
#include "lattice/bus/bus_int.h"

#include <errno.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define CONNECT_TIMEOUT_MS 2000
#define WRITE_DEADLINE_MS 2000
#define PING_INTERVAL_MS 20000
#define RECONNECT_FIRST_MS 50
#define RECONNECT_MAX_MS 2000
#define CLOSE_FLUSH_MS 1000
#define REAP_TIMEOUT_MS 5000
#define USED_MAX 64
#define USED_BYTES_MAX (1u << 20)

struct nats_bus;

enum event_kind { EVENT_MSG, EVENT_UP, EVENT_DOWN, EVENT_SHUT };

/* One thing that happened on a library thread. */
struct event {
    struct event *next;
    enum event_kind kind;
    struct nats_sub *sub;
    natsMsg *msg;
    size_t size;
};

/* Where the library's threads leave what came in. */
struct inlet {
    pthread_mutex_t lock; /* guards everything but bus; a leaf */
    struct event *first, **last;
    size_t bytes;
    int refs; /* the bus, its connect job, each subscription, the connection until closed */
    int wake; /* eventfd, watched by the loop; -1 once closed */
    struct loop_fd *watch;
    struct nats_bus *bus; /* loop thread only; NULL once closed */
    char *jwt, *seed;     /* read by the library whenever it connects */
    char why[256];        /* last error */
    enum err_code why_code;
};

struct nats_sub {
    struct bus_sub base;
    struct nats_sub *next, **at; /* in live, dead or reaping of the bus */
    natsSubscription *sub;       /* NULL: not sent yet */
    struct inlet *inlet;
    char *subject, *queue;
    int refs; /* the bus, the library until it called back for the last time; under the inlet's lock */
};

struct nats_bus {
    struct bus base;
    struct inlet *inlet;
    natsConnection *conn; /* NULL until the first attempt has been made */
    struct connect_job *job;
    struct nats_sub *live, *dead, *reaping;
    struct bus_copy *outbox, **outbox_last;
    size_t outbox_bytes;
    natsMsg *used[USED_MAX]; /* messages that wait for their destruction */
    size_t nused, used_bytes;
};

/* Attempts to connect for the first time, on a pool thread each; the last one may outlive the bus. From then on the
 * library reconnects by itself. */
struct connect_job {
    struct nats_bus *bus; /* NULL: closed meanwhile */
    struct inlet *inlet;
    natsOptions *opts;
    natsConnection *conn;
    natsStatus status;
    char why[256];
    int attempts;
    struct loop_timer *timer; /* between two attempts */
};

/* ---- the inlet ------------------------------------------------------------------------------------ */

static void inlet_unref(struct inlet *in)
{
    pthread_mutex_lock(&in->lock);
    bool last = --in->refs == 0;
    pthread_mutex_unlock(&in->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&in->lock);
    free(in->jwt);
    free(in->seed);
    free(in);
}

static struct inlet *inlet_ref(struct inlet *in)
{
    pthread_mutex_lock(&in->lock);
    in->refs++;
    pthread_mutex_unlock(&in->lock);
    return in;
}

static void event_free(struct event *ev)
{
    natsMsg_Destroy(ev->msg);
    free(ev);
}

/* Any thread. Takes the message. */
static void inlet_put(struct inlet *in, enum event_kind kind, struct nats_sub *sub, natsMsg *msg)
{
    struct event *ev = xnew(struct event);
    *ev = (struct event){.kind = kind, .sub = sub, .msg = msg, .size = sizeof *ev};
    if (msg)
        ev->size += (size_t)natsMsg_GetDataLength(msg);
    pthread_mutex_lock(&in->lock);
    bool take = in->wake >= 0 && (!msg || in->bytes + ev->size <= BUS_INLET_BYTES_MAX);
    if (take) {
        if (!in->first) /* under the lock, or bus_close might close it in between */
            eventfd_write(in->wake, 1);
        *in->last = ev;
        in->last = &ev->next;
        in->bytes += ev->size;
    }
    pthread_mutex_unlock(&in->lock);
    if (!take)
        event_free(ev);
}

static void on_nats_msg(natsConnection *nc, natsSubscription *s, natsMsg *msg, void *closure)
{
    struct nats_sub *sub = closure;
    (void)nc;
    (void)s;
    inlet_put(sub->inlet, EVENT_MSG, sub, msg);
}

static void on_nats_up(natsConnection *nc, void *closure)
{
    (void)nc;
    inlet_put(closure, EVENT_UP, NULL, NULL);
}

static void note_error(struct inlet *in, natsConnection *nc, enum err_code code)
{
    const char *text = NULL;
    natsConnection_GetLastError(nc, &text);
    pthread_mutex_lock(&in->lock);
    snprintf(in->why, sizeof in->why, "%s", text && *text ? text : "the server went away");
    in->why_code = code;
    pthread_mutex_unlock(&in->lock);
}

static void on_nats_down(natsConnection *nc, void *closure)
{
    note_error(closure, nc, ERR_IO);
    inlet_put(closure, EVENT_DOWN, NULL, NULL);
}

/* The library's last callback for this connection. */
static void on_nats_closed(natsConnection *nc, void *closure)
{
    note_error(closure, nc, ERR_CLOSED);
    inlet_put(closure, EVENT_SHUT, NULL, NULL);
    inlet_unref(closure);
}

/* Slow consumer, permission violations: the connection goes on. Without this the library prints to stderr. */
static void on_nats_error(natsConnection *nc, natsSubscription *s, natsStatus status, void *closure)
{
    (void)nc;
    (void)s;
    (void)status;
    (void)closure;
}

static int64_t reconnect_delay_ms(natsConnection *nc, int attempts, void *closure)
{
    (void)nc;
    (void)closure;
    int shift = attempts < 1 ? 0 : attempts > 6 ? 6 : attempts - 1;
    int64_t delay = MIN((int64_t)RECONNECT_FIRST_MS << shift, RECONNECT_MAX_MS);
    return delay + (int64_t)(rand_u64() %
                             (uint64_t)(delay / 2 + 1)); /* a crowd must not come back at once */
}

/* ---- used messages -------------------------------------------------------------------------------- */

static void used_destroy(struct nats_bus *b)
{
    while (b->nused)
        natsMsg_Destroy(b->used[--b->nused]);
    b->used_bytes = 0;
}

/* Takes the message, which may be NULL. */
static void used_put(struct nats_bus *b, natsMsg *msg)
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
    read_headers(nm, headers, &m);
    sub->base.fn(sub->base.user, &m);
}

static void set_state(struct nats_bus *b, enum bus_state state)
{
    struct err why = ERR_INIT;
    pthread_mutex_lock(&b->inlet->lock);
    if (state != BUS_UP)
        err_set(&why, b->inlet->why_code, "%s: %s", b->base.url, b->inlet->why);
    pthread_mutex_unlock(&b->inlet->lock);
    bus_set_state(&b->base, state, &why);
}

static void go_up(struct nats_bus *b);

static void handle_event(struct nats_bus *b, const struct event *ev)
{
    switch (ev->kind) {
    case EVENT_MSG:
        if (!ev->sub->base.dead)
            deliver(ev->sub, ev->msg);
        break;
    case EVENT_UP: /* may come before connect_done, which looks for itself */
        if (b->conn && b->base.state != BUS_UP)
            go_up(b);
        break;
    case EVENT_DOWN:
        set_state(b, BUS_DOWN);
        break;
    case EVENT_SHUT:
        set_state(b, BUS_SHUT);
        break;
    }
}

static struct event *inlet_take(struct inlet *in)
{
    pthread_mutex_lock(&in->lock);
    struct event *ev = in->first;
    in->first = NULL;
    in->last = &in->first;
    in->bytes = 0;
    pthread_mutex_unlock(&in->lock);
    return ev;
}

static void inlet_drain(void *user)
{
    struct inlet *in = inlet_ref(user); /* a callback may close the bus */
    eventfd_t count;
    eventfd_read(in->wake, &count);
    struct event *ev = inlet_take(in);
    while (ev) {
        struct event *next = ev->next;
        if (in->bus)
            handle_event(in->bus, ev);
        if (in->bus)
            used_put(in->bus, MOVE(ev->msg));
        event_free(ev);
        ev = next;
    }
    inlet_unref(in);
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
    used_put(b, nm);
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
                                                   on_nats_msg, sub)
                   : natsConnection_Subscribe(&sub->sub, b->conn, sub->subject, on_nats_msg, sub);
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
        return; /* go_up says it to the server, or the bus is closing */
    if (sub->sub)
        natsSubscription_Unsubscribe(sub->sub);
    reap(b);
}

/* ---- connecting ----------------------------------------------------------------------------------- */

static void go_up(struct nats_bus *b)
{
    char url[sizeof b->base.url];
    int64_t max_payload = natsConnection_GetMaxPayload(b->conn);
    if (max_payload > 0)
        b->base.max_payload = (size_t)max_payload;
    if (natsConnection_GetConnectedUrl(b->conn, url, sizeof url) == NATS_OK && *url)
        memcpy(b->base.url, url, sizeof url);
    for (struct nats_sub *sub = b->dead; sub; sub = sub->next)
        if (sub->sub && natsSubscription_IsValid(sub->sub))
            natsSubscription_Unsubscribe(sub->sub);
    for (struct nats_sub *sub = b->live; sub; sub = sub->next) {
        struct err e = ERR_INIT;
        if (!sub->sub)
            sub_send(b, sub, &e); /* failing means down again; the next go_up repeats it */
    }
    outbox_send(b);
    b->base.state = BUS_UP;
    reap(b);
    set_state(b, BUS_UP);
}

static natsStatus give_jwt(char **jwt, char **error, void *closure)
{
    const struct inlet *in = closure;
    (void)error;
    *jwt = str_dup(str_of(in->jwt));
    return NATS_OK;
}

static natsStatus sign_nonce(char **error, unsigned char **signature, int *length,
                             const char *nonce, void *closure)
{
    const struct inlet *in = closure;
    (void)error;
    return nats_Sign(in->seed, nonce, signature, length);
}

static natsStatus set_options(natsOptions *o, struct inlet *in, const struct bus_opts *opts)
{
    natsStatus s = natsOptions_SetURL(o, opts->url);
    s = s ? s : natsOptions_SetName(o, opts->name ? opts->name : "hostd");
    s = s ? s : natsOptions_SetSendAsap(o, true);
    s = s ? s : natsOptions_UseGlobalMessageDelivery(o, true);
    s = s ? s : natsOptions_SetTimeout(o, CONNECT_TIMEOUT_MS);
    s = s ? s : natsOptions_SetWriteDeadline(o, WRITE_DEADLINE_MS);
    s = s ? s : natsOptions_SetPingInterval(o, PING_INTERVAL_MS);
    s = s ? s : natsOptions_SetMaxReconnect(o, -1);
    s = s ? s : natsOptions_SetCustomReconnectDelay(o, reconnect_delay_ms, NULL);
    s = s ? s : natsOptions_SetReconnectedCB(o, on_nats_up, in);
    s = s ? s : natsOptions_SetDisconnectedCB(o, on_nats_down, in);
    s = s ? s : natsOptions_SetClosedCB(o, on_nats_closed, in);
    s = s ? s : natsOptions_SetErrorHandler(o, on_nats_error, NULL);
    if (opts->tls)
        s = s ? s : natsOptions_SetSecure(o, true);
    if (opts->creds)
        s = s ? s : natsOptions_SetUserCredentialsFromFiles(o, opts->creds, NULL);
    if (in->jwt)
        s = s ? s : natsOptions_SetUserCredentialsCallbacks(o, give_jwt, in, sign_nonce, in);
    return s;
}

static void connect_work(void *user)
{
    struct connect_job *job = user;
    inlet_ref(job->inlet); /* the connection's, until on_nats_closed */
    job->status = natsConnection_Connect(&job->conn, job->opts);
    if (job->status == NATS_OK)
        return;
    natsStatus last;
    const char *text = nats_GetLastError(&last);
    const char *place = text ? strstr(text, "): ") : NULL;
    if (place) /* "(file:line): " of the library's source */
        text = place + 3;
    if (job->status == NATS_NO_SERVER)
        text = "no NATS server answers there";
    snprintf(job->why, sizeof job->why, "%s",
             text && *text ? text : natsStatus_GetText(job->status));
    inlet_unref(job->inlet);
}

static void job_free(struct connect_job *job)
{
    natsOptions_Destroy(job->opts);
    inlet_unref(job->inlet);
    free(job);
}

static void connect_done(void *user);

static void connect_again(void *user)
{
    struct connect_job *job = user;
    job->timer = NULL;
    loop_work(job->bus->base.loop, connect_work, connect_done, job);
}

static void connect_failed(struct nats_bus *b, struct connect_job *job)
{
    bool denied = job->status == NATS_CONNECTION_AUTH_FAILED;
    bool hopeless =
        denied || job->status == NATS_INVALID_ARG || job->status == NATS_ADDRESS_MISSING;
    pthread_mutex_lock(&b->inlet->lock);
    memcpy(b->inlet->why, job->why, sizeof job->why);
    b->inlet->why_code = denied ? ERR_DENIED : hopeless ? ERR_INVALID : ERR_IO;
    pthread_mutex_unlock(&b->inlet->lock);
    if (hopeless) {
        b->job = NULL;
        job_free(job);
        set_state(b, BUS_SHUT);
        return;
    }
    uint64_t delay_ms = (uint64_t)reconnect_delay_ms(NULL, ++job->attempts, NULL);
    job->timer = loop_after(b->base.loop, delay_ms, connect_again, job);
    if (b->base.state == BUS_CONNECTING)
        set_state(b, BUS_DOWN);
}

static void connect_done(void *user)
{
    struct connect_job *job = user;
    struct nats_bus *b = job->bus;
    if (b && !job->conn) {
        connect_failed(b, job);
        return;
    }
    natsConnection *conn = job->conn;
    job_free(job);
    if (!b && conn) {
        natsConnection_Close(conn); /* ends in on_nats_closed */
        natsConnection_Destroy(conn);
    } else if (b) {
        b->job = NULL;
        b->conn = conn;
        if (natsConnection_Status(conn) == NATS_CONN_STATUS_CONNECTED)
            go_up(b);
        else if (b->base.state != BUS_DOWN)
            set_state(b, BUS_DOWN);
    }
}

/* ---- life ----------------------------------------------------------------------------------------- */

/* Nothing more is taken from the library's threads. */
static void inlet_close(struct inlet *in)
{
    loop_fd_close(&in->watch);
    pthread_mutex_lock(&in->lock);
    close(in->wake);
    in->wake = -1;
    pthread_mutex_unlock(&in->lock);
    in->bus = NULL;
    for (struct event *ev = inlet_take(in), *next; ev; ev = next) {
        next = ev->next;
        event_free(ev);
    }
}

static void nats_close(struct bus *base)
{
    struct nats_bus *b = (struct nats_bus *)base;
    struct inlet *in = b->inlet;
    bool was_up = base->state == BUS_UP;
    bus_base_fini(base);
    if (was_up)
        natsConnection_FlushTimeout(b->conn, CLOSE_FLUSH_MS);
    inlet_close(in);
    if (b->job && b->job->timer) {
        loop_timer_stop(&b->job->timer);
        job_free(b->job);
    } else if (b->job) {
        b->job->bus = NULL;
    }
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

static struct inlet *inlet_new(struct loop *loop, const struct bus_opts *opts, struct err *e)
{
    struct inlet *in = xnew(struct inlet);
    pthread_mutex_init(&in->lock, NULL);
    in->last = &in->first;
    in->refs = 1;
    in->jwt = opts->jwt ? str_dup(str_of(opts->jwt)) : NULL;
    in->seed = opts->seed ? str_dup(str_of(opts->seed)) : NULL;
    in->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (in->wake < 0)
        err_errno(e, errno, "eventfd");
    else
        in->watch = loop_fd_open(loop, in->wake, inlet_drain, in, e);
    if (in->watch)
        return in;
    inlet_close(in);
    inlet_unref(in);
    return NULL;
}

static natsOptions *options_new(struct inlet *in, const struct bus_opts *opts, struct err *e)
{
    natsOptions *o = NULL;
    natsStatus s = natsOptions_Create(&o);
    s = s ? s : set_options(o, in, opts);
    if (s == NATS_OK)
        return o;
    natsOptions_Destroy(o);
    err_set(e, ERR_INVALID, "NATS options for %s: %s", opts->url, natsStatus_GetText(s));
    return NULL;
}

bool bus_nats_open(struct loop *loop, const struct bus_opts *opts, struct bus **out, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!opts->url || !*opts->url)
        return err_set(e, ERR_INVALID, "no NATS server URL given");
    if (!opts->jwt != !opts->seed)
        return err_set(e, ERR_INVALID, "NATS JWT and seed go together: only one of them was given");
    pthread_once(&once, library_init);
    struct inlet *in = inlet_new(loop, opts, e);
    if (!in)
        return false;
    struct nats_bus *b = xnew(struct nats_bus);
    b->inlet = in;
    b->outbox_last = &b->outbox;
    in->bus = b;
    natsOptions *o = options_new(in, opts, e);
    if (!o || !bus_base_init(&b->base, &nats_ops, loop, opts, e)) {
        natsOptions_Destroy(o);
        nats_close(&b->base);
        return false;
    }
    b->job = xnew(struct connect_job);
    *b->job = (struct connect_job){.bus = b, .inlet = inlet_ref(in), .opts = o};
    loop_work(loop, connect_work, connect_done, b->job);
    *out = &b->base;
    return true;
}
