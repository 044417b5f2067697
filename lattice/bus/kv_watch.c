/* SPDX-License-Identifier: Apache-2.0 */
/* Watching a bucket: an ephemeral push consumer on its stream, without acknowledgements.
 *
 * Nothing is believed to arrive by itself: the consumer's own numbering shows a gap, the server's idle heartbeat
 * (which carries that number too) shows silence, and a reconnect is suspicious as such. In each case the watcher is
 * told and a new consumer starts from the beginning. A watch of updates only goes on behind the last number it saw, or
 * at the beginning of a new bucket when the old one was removed.
 * Keeps: one timer per watch; generation: messages of an older consumer land on a subject nobody listens to. */
#include "lattice/bus/bus_int.h"

#include <jansson.h>
#include <stdio.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define HEARTBEAT_MS 5000
#define SILENCE_MS (2 * HEARTBEAT_MS + 2000)
#define RETRY_MS 1000

struct kv_watch {
    struct kv *kv;
    struct kv_watch *next;
    char *keys; /* subject filter, "$KV.bucket.…" */
    bool updates_only;
    kv_watch_fn *fn;
    void *user;

    struct bus_sub *sub;
    struct bus_request *request;
    struct loop_timer *timer;
    char consumer[64];     /* its name, once known */
    uint64_t consumer_seq; /* last number seen of this consumer */
    uint64_t stream_seq;   /* last number seen of the stream */
    bool placed;           /* stream_seq is where updates go on */
    uint64_t heard_ms;
    bool complete; /* the end marker has been given */
    bool *closed;  /* set when the watch ends inside its own callback */
};

/* What the reply subject of a delivered message tells. */
struct delivery {
    uint64_t stream_seq, consumer_seq, time_ns, pending;
};

/* "$JS.ACK." [domain "." account "."] stream "." consumer "." delivered "." stream_seq "." consumer_seq "." time
 * "." pending ["." token] */
static bool read_delivery(struct str reply, struct delivery *d)
{
    struct str token[16], rest = reply;
    size_t n = 0;
    while (n < ARRAY_LEN(token) && str_cut(&rest, '.', &token[n]))
        n++;
    if (n < 9 || n == 10 || !str_eqz(token[0], "$JS") || !str_eqz(token[1], "ACK"))
        return false;
    const struct str *number = &token[n == 9 ? 5 : 7];
    return str_u64(number[0], &d->stream_seq) && str_u64(number[1], &d->consumer_seq) &&
           str_u64(number[2], &d->time_ns) && str_u64(number[3], &d->pending);
}

static void start(void *user);
static void on_silence(void *user);

static void stop_consumer(struct kv_watch *w)
{
    struct err e = ERR_INIT;
    bus_unsubscribe(&w->sub);
    bus_cancel(&w->request);
    loop_timer_stop(&w->timer);
    if (w->consumer[0] && bus_state(w->kv->bus) == BUS_UP) {
        AUTO_FREE char *subject =
            xasprintf("%sCONSUMER.DELETE.KV_%s.%s", w->kv->api, w->kv->bucket, w->consumer);
        /* a courtesy: the server forgets a consumer without a listener by itself */
        bus_publish(w->kv->bus, str_of(subject), STR_NONE, NULL, 0, (struct span){NULL, 0}, &e);
    }
    w->consumer[0] = '\0';
}

/* Gives the watcher something; false when the watch ended inside. */
static bool give(struct kv_watch *w, const struct kv_entry *entry, const struct err *e)
{
    bool closed = false;
    w->closed = &closed;
    w->fn(w->user, entry, e);
    if (!closed)
        w->closed = NULL;
    return !closed;
}

static void retry_later(struct kv_watch *w, enum err_code code, const char *why)
{
    struct err e = ERR_INIT;
    bool was_complete = w->complete;
    stop_consumer(w);
    w->timer = loop_after(w->kv->bus->loop, was_complete ? 0 : RETRY_MS, start, w);
    w->complete = false;
    if (code == ERR_NOT_FOUND)
        w->stream_seq = 0;
    err_set(&e, code, "watch of bucket '%s' starts again: %s", w->kv->bucket, why);
    give(w, NULL, &e);
}

static bool give_end(struct kv_watch *w)
{
    if (w->complete)
        return true;
    w->complete = true;
    return give(w, NULL, NULL);
}

static void on_silence(void *user)
{
    struct kv_watch *w = user;
    struct loop *loop = w->kv->bus->loop;
    w->timer = NULL;
    uint64_t silent_ms = loop_now_ms(loop) - w->heard_ms;
    if (silent_ms >= SILENCE_MS)
        retry_later(w, ERR_IO, "no heartbeat from the server");
    else
        w->timer = loop_after(loop, SILENCE_MS - silent_ms, on_silence, w);
}

static void on_reconnect(void *user)
{
    struct kv_watch *w = user;
    w->timer = NULL;
    retry_later(w, ERR_IO, "the connection was lost in between");
}

/* Idle heartbeat or flow control: status 100, no data. A consumer that is idle has delivered everything: servers (2.9)
 * that count a message twice, which was written while the consumer was made, never say "none pending". */
static void on_control(struct kv_watch *w, const struct bus_msg *m)
{
    struct err e = ERR_INIT;
    uint64_t last;
    struct str stalled = bus_header(m, "Nats-Consumer-Stalled");
    struct str answer = m->reply.n ? m->reply : stalled;
    if (answer.n) /* not answering would only stall the consumer until the silence shows */
        bus_publish(w->kv->bus, answer, STR_NONE, NULL, 0, (struct span){NULL, 0}, &e);
    if (!str_u64(bus_header(m, "Nats-Last-Consumer"), &last))
        return;
    if (last != w->consumer_seq)
        retry_later(w, ERR_IO, "a message got lost");
    else if (!answer.n && !w->request)
        give_end(w);
}

static void on_change(void *user, const struct bus_msg *m)
{
    struct kv_watch *w = user;
    struct delivery d;
    struct kv_entry entry = {.value = m->data, .op = kv_op_of(m)};
    w->heard_ms = loop_now_ms(w->kv->bus->loop);
    if (m->status == 100) {
        on_control(w, m);
        return;
    }
    if (!read_delivery(m->reply, &d) || !kv_key_of(w->kv, m->subject, &entry.key))
        return; /* not the server's */
    if (d.consumer_seq != w->consumer_seq + 1) {
        retry_later(w, ERR_IO, "a message got lost");
        return;
    }
    w->consumer_seq = d.consumer_seq;
    w->stream_seq = d.stream_seq;
    entry.revision = d.stream_seq;
    entry.created_ns = d.time_ns;
    if (give(w, &entry, NULL) && d.pending == 0)
        give_end(w);
}

static void on_consumer(void *user, const struct bus_msg *m, const struct err *failed)
{
    struct kv_watch *w = user;
    struct err e = *failed;
    int err_code;
    w->request = NULL;
    json_t *answer = m ? kv_answer(m, &err_code, &e) : NULL;
    if (!answer) {
        retry_later(w, e.code, e.text);
        return;
    }
    const char *name = json_string_value(json_object_get(answer, "name"));
    json_t *delivered = json_object_get(answer, "delivered");
    uint64_t start_seq = (uint64_t)json_integer_value(json_object_get(delivered, "stream_seq"));
    w->stream_seq = MAX(w->stream_seq, start_seq);
    w->placed = true;
    bool nothing = json_integer_value(json_object_get(answer, "num_pending")) == 0;
    if (name && bus_subject_ok(str_of(name), false))
        snprintf(w->consumer, sizeof w->consumer, "%s", name);
    json_decref(answer);
    if (nothing)
        give_end(w);
}

static json_t *consumer_config(const struct kv_watch *w, const char *inbox)
{
    json_t *config = json_pack("{s:s, s:s, s:s, s:s, s:i, s:b, s:I, s:b, s:i, s:s}",
                               "deliver_subject", inbox, "filter_subject", w->keys, "ack_policy",
                               "none", "replay_policy", "instant", "max_deliver", 1, "flow_control",
                               1, "idle_heartbeat", (json_int_t)HEARTBEAT_MS * 1000000,
                               "mem_storage", 1, "num_replicas", 1, "deliver_policy",
                               !w->updates_only ? "last_per_subject"
                               : w->placed      ? "by_start_sequence"
                                                : "new");
    if (w->updates_only && w->placed)
        json_object_set_new(config, "opt_start_seq", json_integer((json_int_t)w->stream_seq + 1));
    return config;
}

static void start(void *user)
{
    struct kv_watch *w = user;
    struct bus *bus = w->kv->bus;
    struct err e = ERR_INIT;
    char nuid[NUID_LEN + 1], inbox[BUS_INBOX_MAX];
    rand_nuid(nuid);
    snprintf(inbox, sizeof inbox, "_INBOX.%s", nuid);
    w->consumer_seq = 0;
    w->heard_ms = loop_now_ms(bus->loop);
    w->timer = loop_after(bus->loop, SILENCE_MS, on_silence, w);
    json_t *body = json_pack("{s:o, s:o}", "stream_name", json_sprintf("KV_%s", w->kv->bucket),
                             "config", consumer_config(w, inbox));
    /* failing leaves the timer, which tries again */
    if (!bus_subscribe(bus, str_of(inbox), STR_NONE, on_change, w, &w->sub, &e))
        json_decref(body);
    else
        kv_api(w->kv, body, on_consumer, w, &w->request, &e, "CONSUMER.CREATE.KV_%s",
               w->kv->bucket);
}

/* Called while the bus announces a state: the watchers are told from the loop. */
void kv_watches_on_state(void *user, enum bus_state state)
{
    struct kv *kv = user;
    for (struct kv_watch *w = kv->watches; w && state == BUS_UP; w = w->next) {
        if (!w->consumer[0])
            continue;
        loop_timer_stop(&w->timer);
        w->timer = loop_after(kv->bus->loop, 0, on_reconnect, w);
    }
}

static bool watch_open(struct kv *kv, const struct kv_watch *how, struct str keys,
                       struct kv_watch **out, struct err *e)
{
    loop_assert(kv->bus->loop);
    char text[96];
    AUTO_FREE char *filter = xasprintf("%s%.*s", kv->subject, STR_ARG(keys));
    if (!bus_subject_ok(str_of(filter), true))
        return err_set(e, ERR_INVALID, "'%s' is not a pattern of keys",
                       str_escape(keys, text, sizeof text));
    struct kv_watch *w = xnew(struct kv_watch);
    *w = *how;
    w->kv = kv;
    w->next = kv->watches;
    w->keys = MOVE(filter);
    kv->watches = w;
    start(w);
    *out = w;
    return true;
}

bool kv_watch_open(struct kv *kv, struct str keys, bool updates_only, kv_watch_fn *fn, void *user,
                   struct kv_watch **out, struct err *e)
{
    const struct kv_watch how = {.updates_only = updates_only, .fn = fn, .user = user};
    return watch_open(kv, &how, keys, out, e);
}

bool kv_watch_after(struct kv *kv, struct str keys, uint64_t revision, kv_watch_fn *fn, void *user,
                    struct kv_watch **out, struct err *e)
{
    const struct kv_watch how = {
        .updates_only = true, .placed = true, .stream_seq = revision, .fn = fn, .user = user};
    return watch_open(kv, &how, keys, out, e);
}

void kv_watch_close(struct kv_watch *w)
{
    struct kv_watch **at = &w->kv->watches;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    stop_consumer(w);
    if (w->closed)
        *w->closed = true;
    free(w->keys);
    free(w);
}

void kv_unwatch(struct kv_watch **w)
{
    if (*w)
        kv_watch_close(*w);
    *w = NULL;
}
