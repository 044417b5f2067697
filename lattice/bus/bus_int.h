/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lattice/bus: what the two builds of the bus (nats.c, sim.c) share.
 *
 * A build embeds `struct bus` and `struct bus_sub` as first members and fills `struct bus_ops`; it moves
 * messages and reports states. Requests, flushing, checks and key-value buckets live above it, once, in bus.c
 * and kv.c. */
#ifndef HOSTD_BUS_INT_H
#define HOSTD_BUS_INT_H

#include "lattice/bus/bus.h"
#include "lattice/base/loop.h"
#include "lattice/base/rand.h"

/* ---- bus.c ---------------------------------------------------------------------------------------- */

struct json_t;

struct bus_ops {
    /* m was checked; copies what it needs. */
    bool (*publish)(struct bus *b, const struct bus_msg *m, struct err *e);
    size_t (*unsent)(const struct bus *b);
    bool (*subscribe)(struct bus *b, const char *subject, const char *queue, struct bus_sub **out,
                      struct err *e);
    /* Asks the server to send no more; delivery of what it sent goes on until unsubscribe. */
    void (*drain)(struct bus_sub *sub);
    /* No delivery afterwards; the build frees sub when nothing refers to it any more. */
    void (*unsubscribe)(struct bus_sub *sub);
    void (*close)(struct bus *b); /* frees the bus and what subscriptions are left */
};

#define BUS_DRAIN_TIMEOUT_MS 10000 /* for the server's echo */

struct bus_sub {
    struct bus *bus;
    bus_msg_fn *fn;
    void *user;
    struct bus_drain *drain; /* while it is being drained; bus.c's */
    bool draining;           /* the server knows, or will when it is back */
    bool dead;
};

/* Told of every state, before the owner of the bus. */
struct bus_listener {
    struct bus_listener *next;
    void (*fn)(void *user, enum bus_state state);
    void *user;
};

/* A message kept for later, in one block; free() it. */
struct bus_copy {
    struct bus_copy *next;
    size_t size;
    struct bus_msg msg; /* views into this block */
};
struct bus_copy *bus_copy_new(const struct bus_msg *m);

#define BUS_INBOX_MAX (7 + NUID_LEN + 2) /* "_INBOX." nuid "." */

struct bus {
    const struct bus_ops *ops;
    struct loop *loop;
    bus_state_fn *on_state;
    bus_refused_fn *on_refused;
    uint32_t refusals;
    void *user;
    enum bus_state state;
    size_t max_payload;
    char url[256];

    char inbox[BUS_INBOX_MAX];
    struct bus_sub *inbox_sub;
    struct bus_request **requests; /* by slot; NULL: free */
    uint32_t nrequests, used_requests, next_slot;
    uint64_t next_id;
    uint64_t retry_until_ms; /* "no responders" before this moment is asked again */
    uint32_t times_up;

    struct bus_listener *listeners;
    void (*on_room)(void *user); /* may be NULL */
    void *room_user;
};

bool bus_base_init(struct bus *b, const struct bus_ops *ops, struct loop *loop,
                   const struct bus_opts *opts, struct err *e);
/* The build's half of its close: fails requests, shuts down the inbox. b->state is BUS_SHUT afterwards. */
void bus_base_fini(struct bus *b);
/* What is said of the server or servers: without the credentials that a URL may hold. */
void bus_set_url(struct bus *b, struct str url);
/* Records and announces a state. The owner may close the bus inside: nothing may follow that touches it. */
void bus_set_state(struct bus *b, enum bus_state state, const struct err *why);
void bus_refused(struct bus *b, const struct err *why); /* may close the bus */
void bus_room(struct bus *b);                           /* the same */
void bus_listen(struct bus *b, struct bus_listener *l);
void bus_unlisten(struct bus *b, struct bus_listener *l);

/* Subject with tokens that are not empty, without blanks and control bytes, at most BUS_SUBJECT_MAX bytes. */
bool bus_subject_ok(struct str subject, bool wildcards);

/* Value of the named header, or the empty view. */
struct str bus_header(const struct bus_msg *m, const char *name);

/* ---- kv.c and kv_watch.c -------------------------------------------------------------------------- */

#define KV_API_TIMEOUT_MS 5000
#define KV_NAME_MAX 128 /* bytes of a bucket name, of a JetStream domain */

struct kv {
    struct bus *bus;
    char bucket[KV_NAME_MAX + 1];
    char api[KV_NAME_MAX + 16];     /* "$JS.API." or "$JS.{domain}.API." */
    char subject[KV_NAME_MAX + 8];  /* "$KV.{bucket}.", what stored messages are called */
    char put[2 * KV_NAME_MAX + 32]; /* where they are published to */
    bool direct;                    /* the stream answers direct gets */
    struct kv_call *calls;
    struct kv_watch *watches;
    struct bus_listener listener;
};

/* KV-Operation of a stored message. */
enum kv_op kv_op_of(const struct bus_msg *m);
/* Name of a stored message's key; false when the subject is not of this bucket. */
bool kv_key_of(const struct kv *kv, struct str subject, struct str *key);
/* Publishes JSON to api + verb; takes body. */
bool kv_api(struct kv *kv, struct json_t *body, bus_reply_fn *fn, void *user,
            struct bus_request **out, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 7, 8)));
/* The JSON of an API answer, to be released, or NULL: e says what the server said, *err_code its number. */
struct json_t *kv_answer(const struct bus_msg *m, int *err_code, struct err *e);
void kv_watches_on_state(void *kv, enum bus_state state);
void kv_watch_close(struct kv_watch *w);

/* ---- sim.c and sim_js.c --------------------------------------------------------------------------- */

struct sim_js; /* the simulated server's JetStream */

/* Sends m to whoever subscribed, as the server would; returns how many copies went out, dropped ones too. */
size_t sim_route(struct bus_sim *net, const struct bus_msg *m);
/* The same to the subscribers of another subject: what a push consumer does. */
size_t sim_route_as(struct bus_sim *net, struct str to, const struct bus_msg *m);
struct loop *sim_loop(const struct bus_sim *net);

struct sim_js *sim_js_new(struct bus_sim *net);
void sim_js_free(struct sim_js *js);
/* True: m was a request to the API and has been answered. *stored: a stream took and acknowledged it;
 * subscribers get it all the same. */
bool sim_js_handle(struct sim_js *js, const struct bus_msg *m, bool *stored);

#endif
