/* SPDX-License-Identifier: Apache-2.0 */
/* Messages, request/reply, queue groups and key-value buckets: the only door to NATS. Two builds of the same
 * interface: bus_nats_open (a client of the NATS protocol on the loop) and bus_sim_open (in process, deterministic,
 * with faults). Everything is asynchronous; every call and every callback is on the
 * loop thread. Callbacks may call any function here, closing and unsubscribing themselves included; after
 * bus_unsubscribe, bus_cancel or kv_unwatch returned, the callback is never called again. */
#ifndef HOSTD_BUS_H
#define HOSTD_BUS_H

#include <stdbool.h>
#include <stdint.h>
#include "lattice/base/err.h"
#include "lattice/base/str.h"

struct loop;
struct bus;
struct bus_sub;
struct bus_request;
struct bus_sim;

/* Limits, each named in the ERR_LIMIT of who runs into it. */
#define BUS_SUBJECT_MAX 1024                    /* bytes; what comes with a longer one is dropped */
#define BUS_HEADERS_MAX 64                      /* headers of one message */
#define BUS_REFUSALS_MAX 16u                    /* permissions we lack that we are told of */
#define BUS_REQUESTS_MAX 100000                 /* requests waiting for an answer, per bus */
#define BUS_MAX_PAYLOAD_DEFAULT (1024u * 1024u) /* until the server names its own */
#define BUS_OUTBOX_BYTES_MAX (8u << 20)         /* published while down, per bus */
#define BUS_UNSENT_BYTES_MAX (64u << 20)        /* published and not taken by the socket */

struct bus_header {
    struct str name, value;
};

#define BUS_STATUS_NO_RESPONDERS 503

/* Valid during the callback only. */
struct bus_msg {
    struct str subject, reply; /* reply.n == 0: none wanted */
    struct span data;
    const struct bus_header *headers;
    size_t nheaders;
    uint16_t status; /* 0, or what the server says: 503 nobody subscribes, 408, 409, 100 */
};

typedef void bus_msg_fn(void *user, const struct bus_msg *msg);
/* msg is NULL when e tells why there is no answer: ERR_NO_RESPONDERS, ERR_TIMEOUT, ERR_CLOSED. */
typedef void bus_reply_fn(void *user, const struct bus_msg *msg, const struct err *e);

/* CONNECTING until the first UP; DOWN also when the first attempt failed (trying goes on); SHUT when the server
 * refused us for good (credentials) or by bus_close. why is never NULL. */
enum bus_state { BUS_CONNECTING, BUS_UP, BUS_DOWN, BUS_SHUT };
typedef void bus_state_fn(void *user, enum bus_state state, const struct err *why);
/* The server's account does not let us publish or subscribe to something; the connection goes on. Without this word it
 * would show as silence only. Said BUS_REFUSALS_MAX times at most. */
typedef void bus_refused_fn(void *user, const struct err *why);

struct bus_opts {
    const char *url;        /* nats://host:port, tls: insists on TLS; several separated by commas */
    const char *name;       /* client name shown by the server */
    const char *creds;      /* path, or NULL */
    const char *jwt, *seed; /* both or none */
    const char
        *ca_file;   /* PEM to trust beside the system's certificates; insists on TLS. NULL: none */
    const char *ca; /* the same as text */
    bus_state_fn *on_state;     /* may be NULL; reconnecting goes on for ever by itself */
    bus_refused_fn *on_refused; /* may be NULL */
    void *user;
};

/* What a credentials file holds; free_secret both, also after a failure. */
bool bus_creds_read(const char *path, char **jwt, char **seed, struct err *e);

/* Connecting goes on in the background; on_state says when it is up. Publishing while down is buffered up to a
 * bound, then ERR_LIMIT. */
bool bus_nats_open(struct loop *loop, const struct bus_opts *opts, struct bus **out, struct err *e);

/* A simulated server, and members of it. */
struct bus_sim *bus_sim_new(struct loop *sim_loop, uint64_t seed);
void bus_sim_free(struct bus_sim *net);
bool bus_sim_open(struct bus_sim *net, const struct bus_opts *opts, struct bus **out,
                  struct err *e);
/* Cuts a member off (messages to and from it are lost) or brings it back; per mille of messages dropped;
 * extra latency drawn from [0, jitter_ms]. */
void bus_sim_cut(struct bus_sim *net, struct bus *member, bool cut);
void bus_sim_faults(struct bus_sim *net, uint32_t drop_per_mille, uint32_t jitter_ms);

/* Fails open requests with ERR_CLOSED, flushes what was published (bounded by 1 s), frees, subscriptions that are
 * left included. Close its kv first. NULL is fine. */
void bus_close(struct bus *b);
enum bus_state bus_state(const struct bus *b);
struct loop *bus_loop(const struct bus *b);
size_t bus_max_payload(const struct bus *b);
/* "nats://host:port" of the server in use. */
struct str bus_url(const struct bus *b);
/* Calls done once everything published and subscribed before has reached the server: e is NULL then, else it
 * says ERR_TIMEOUT or ERR_CLOSED. */
void bus_flush(struct bus *b, uint64_t timeout_ms, void (*done)(void *user, const struct err *e),
               void *user);

bool bus_publish(struct bus *b, struct str subject, struct str reply,
                 const struct bus_header *headers, size_t nheaders, struct span data,
                 struct err *e);
/* Bytes published that the socket has not taken, for those to look at who could publish without an end. */
size_t bus_unsent(const struct bus *b);
/* fn is called when all of them have been sent, after they had been very many. One per bus. */
void bus_on_room(struct bus *b, void (*fn)(void *user), void *user);

/* queue.n == 0: no queue group. */
bool bus_subscribe(struct bus *b, struct str subject, struct str queue, bus_msg_fn *fn, void *user,
                   struct bus_sub **out, struct err *e);
void bus_unsubscribe(struct bus_sub **sub);
/* Does the pattern ("*" one token, ">" the rest) match the subject? */
bool bus_subject_match(struct str pattern, struct str subject);
/* Lets no message get lost: the server sends nothing more for sub, what it had sent is still delivered, then done is
 * called, once and never inside this call, also when the connection broke meanwhile. Unsubscribe then, or at any time
 * before: done is not called in that case. */
void bus_drain(struct bus_sub *sub, void (*done)(void *user), void *user);

/* One answer. "No responders" within the first second after a reconnect is retried once. The handle is gone when
 * fn is called for the last time; out may be NULL. */
bool bus_request(struct bus *b, struct str subject, const struct bus_header *headers,
                 size_t nheaders, struct span data, uint64_t timeout_ms, bus_reply_fn *fn,
                 void *user, struct bus_request **out, struct err *e);
/* Every answer until the timeout, or an empty payload, then one call with msg == NULL and e->code ERR_NONE. */
bool bus_request_many(struct bus *b, struct str subject, struct span data, uint64_t timeout_ms,
                      bus_reply_fn *fn, void *user, struct bus_request **out, struct err *e);
void bus_cancel(struct bus_request **r);

/* ---- key-value buckets (JetStream) ---------------------------------------------------------------- */

struct kv;
struct kv_watch;

struct kv_opts {
    struct str bucket;
    struct str js_domain; /* empty: none */
    bool create;          /* make it when it is not there; an existing one is used as it is */
    uint8_t history;      /* 0 means 1 */
    uint64_t ttl_ms;      /* bucket-wide; 0: none */
    uint8_t replicas;     /* 0 means 1 */
    bool in_memory;       /* else on disk */
};

enum kv_op { KV_PUT, KV_DELETE, KV_PURGE };

/* Valid during the callback only. */
struct kv_entry {
    struct str key;
    struct span value;
    uint64_t revision;
    uint64_t created_ns; /* wall time; 0 when unknown */
    enum kv_op op;
};

/* entry is NULL on failure: e says ERR_NOT_FOUND, ERR_CONFLICT (lost the race), ERR_TIMEOUT, ... For writes,
 * entry->key and entry->revision only. */
typedef void kv_done_fn(void *user, const struct kv_entry *entry, const struct err *e);
/* entry == NULL with e == NULL: everything that existed has been delivered (once per (re)start of the watch).
 * entry == NULL with e: the watch was interrupted and restarts by itself from the beginning (ERR_NOT_FOUND: somebody
 * removed the bucket; it restarts once there is one again). */
typedef void kv_watch_fn(void *user, const struct kv_entry *entry, const struct err *e);
typedef void kv_open_fn(void *user, struct kv *kv, const struct err *e);

bool kv_open(struct bus *b, const struct kv_opts *opts, kv_open_fn *fn, void *user, struct err *e);
void kv_close(struct kv *kv); /* NULL is fine; open operations are dropped without a callback */
struct str kv_bucket(const struct kv *kv);
bool kv_key_ok(struct str key); /* [-/_=.a-zA-Z0-9]+, not starting or ending with a dot */

bool kv_get(struct kv *kv, struct str key, kv_done_fn *fn, void *user, struct err *e);
bool kv_put(struct kv *kv, struct str key, struct span value, kv_done_fn *fn, void *user,
            struct err *e);
/* Only when the key's last revision is `revision` (0: only when there is no value, a delete marker counts as
 * none). */
bool kv_update(struct kv *kv, struct str key, struct span value, uint64_t revision, kv_done_fn *fn,
               void *user, struct err *e);
bool kv_delete(struct kv *kv, struct str key, kv_done_fn *fn, void *user, struct err *e);
bool kv_purge(struct kv *kv, struct str key, kv_done_fn *fn, void *user, struct err *e);

/* Last value of every key matching (">" is all; NATS wildcards), then the end marker, then changes.
 * updates_only leaves out what exists. */
bool kv_watch_open(struct kv *kv, struct str keys, bool updates_only, kv_watch_fn *fn, void *user,
                   struct kv_watch **out, struct err *e);
/* Changes behind that revision: where a watch that was closed left off. Of a key changed several times since, as many
 * changes come as the bucket's history keeps. */
bool kv_watch_after(struct kv *kv, struct str keys, uint64_t revision, kv_watch_fn *fn, void *user,
                    struct kv_watch **out, struct err *e);
void kv_unwatch(struct kv_watch **w);

#endif
