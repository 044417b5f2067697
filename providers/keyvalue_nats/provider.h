/* SPDX-License-Identifier: Apache-2.0 */
/* The keyvalue-nats provider: wrpc:keyvalue/{store,atomics,batch} for linked components on JetStream buckets, and
 * wrpc:keyvalue/watcher of components that it is linked to. main.c hands keyvalue_nats_provider to the SDK; the rest is
 * private to this folder. Loop thread only.
 * Keeps: a call belongs to one store and is answered once; a store that goes answers its calls first.
 * Spec: wRPC 4.2 (wrpc:keyvalue@0.2.0-draft). */
#ifndef HOSTD_KEYVALUE_NATS_PROVIDER_H
#define HOSTD_KEYVALUE_NATS_PROVIDER_H

#include "lattice/base/arena.h"
#include "providers/sdk/sdk.h"

extern const struct sdk_provider keyvalue_nats_provider;

/* ---- settings of one link (settings.c) ---- */

struct settings { /* views of what they were read from */
    struct str bucket;
    struct str cluster_uri; /* empty: the lattice's connection */
    struct str js_domain;
    struct str tls_ca, tls_ca_file;     /* PEM text, its path; with cluster_uri. tls_ca wins */
    struct str client_jwt, client_seed; /* both or none, with cluster_uri */
    struct str watch;                   /* of a link to a component: see watch.c */
    bool create;
    uint64_t storage;                   /* of a bucket that we create: 0 file, 1 memory */
    uint64_t replicas, history, ttl_ms; /* of a bucket that we create; 0: default */
};

/* What the link does not set is looked up in `fallback`. What we cannot honour is an error that names it. */
bool settings_read(const struct proto_map *link, const struct proto_map *fallback,
                   struct settings *out, struct err *e);

/* ---- keys (key.c) ---- */

/* The bucket's key for a caller's and back. NATS allows [-/_=.a-zA-Z0-9] and no dot at either end or after another;
 * whatever else is written as "=_" and two upper-case hex digits, the empty key as "=_". A plain key is itself, unless
 * it looks like such an escape. */
bool key_encode(struct str key, struct arena *a, struct str *out, struct err *e);
bool key_decode(struct str stored, struct arena *a, struct str *out, struct err *e);

/* ---- stores (store.c) ---- The bucket of one link. */

struct provider {
    struct sdk *sdk;
    struct store *stores;
    struct call *calls; /* all that are open */
    uint32_t ntelling;  /* calls of watchers under way */
    struct served *served;
    struct arena types; /* of the served functions */
    bool stopped;
};

void provider_end_if_idle(struct provider *p); /* once it was told to stop */

struct store {
    struct store *prev, *next;
    struct provider *provider;
    const struct sdk_link *link;
    struct settings settings;
    struct bus *own;         /* NULL: the lattice's */
    struct err down;         /* why that is not there; ERR_NONE: it is, or nothing is known yet */
    struct kv *kv;           /* NULL: not open, see problem */
    struct watcher *watcher; /* of a link to a component, else NULL */
    struct opening *opening;
    struct loop_timer *retry;
    uint64_t retry_ms;
    struct err problem; /* ERR_NONE: open, or opening for the first time */
    struct recent *recent;
};

struct store *store_open(struct provider *p, const struct sdk_link *link);
void store_close(struct store *s); /* its calls are answered with an error */
/* A call lost its bucket: one that we may create is made again. */
void store_check(struct store *s);

/* ---- watchers (watch.c) ---- What happens in the bucket, told to the component that the link is for. */

struct watcher *watcher_open(struct store *s, struct err *e);
void watcher_start(struct watcher *w); /* the bucket is open */
void watcher_pause(struct watcher *w); /* before it is closed for a while */
void watcher_stop(struct watcher *w);  /* what waits is forgotten, calls under way may end */
void watcher_close(struct watcher *w); /* before its bucket; NULL is fine */

/* ---- counters written last (recent.c) ---- */

struct recent {
    char *key; /* as stored; NULL: nothing is here */
    uint64_t value, revision, until_ms;
};

/* NULL: read it. */
const struct recent *recent_find(const struct store *s, struct str key);
void recent_put(struct store *s, struct str key, uint64_t value, uint64_t revision);
/* The bucket has another revision than this one. False: what we remember is another one, too. */
bool recent_drop(struct store *s, struct str key, uint64_t revision);
void recent_clear(struct store *s); /* the bucket is another one */

/* ---- calls (call.c) ---- */

struct call {
    struct call *prev, *next;
    struct provider *provider;
    const struct served *served;
    struct sdk_typed *typed;      /* NULL: answered */
    struct arena *arena;          /* its */
    const struct wit_value *args; /* bucket, key or keys, and what is set */
    struct store *store;
    bool started; /* false: waits for its store */

    struct loop_timer *timer; /* increment, list-keys */
    struct str key;           /* increment: as stored */
    struct wit_value sum;
    uint64_t revision; /* that it was made from; 0: there was no value */
    uint32_t attempts;
    uint64_t deadline_ms;

    struct kv_watch *watch; /* list-keys */
    struct wit_value *keys; /* of this page */
    uint32_t nkeys;
    size_t keys_bytes;
    uint64_t cursor; /* revision of the last one */

    struct item *items; /* batch */
    uint32_t nitems, next_item, open_items, failed_items;
    size_t found_bytes;
    struct err problem; /* of the first item that failed */
};

#define CALL_WAIT_MS 10000u /* an increment under contention, a listing */

bool calls_serve(struct provider *p, struct err *e);
void calls_unserve(struct provider *p); /* no new ones */
void calls_of_store_start(struct store *s);
void calls_of_store_fail(struct store *s,
                         const struct err *why); /* before its bucket closes, too */
void calls_free(struct provider *p);             /* without an answer */

/* The answer; the call is gone. ok: the payload of the result, NULL when it has none. ERR_NOT_FOUND is no-such-store,
 * ERR_DENIED access-denied, all else the text. */
void call_ok(struct call *c, const struct wit_value *ok);
void call_fail(struct call *c, const struct err *why);

/* ---- operations: they start with a decoded call whose store is open, and end it ---- */

typedef void operation_fn(struct call *c);
operation_fn store_get, store_set, store_delete, store_exists;  /* single.c */
operation_fn atomics_increment;                                 /* increment.c */
operation_fn store_list_keys;                                   /* list.c */
operation_fn batch_get_many, batch_set_many, batch_delete_many; /* batch.c */

#endif
