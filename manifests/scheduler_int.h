/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the scheduler and what they may ask of each other. All on the loop thread.
 *
 *   bucket.c     a KV bucket that opens by itself, sooner or later, with its watch
 *   store.c      applications: what the manifest bucket says, and changing it
 *   lease.c      who is active
 *   follow.c     the lattice: events, inventories, links, configurations; probe.c: who is lost
 *   execute.c    commands under way: send, confirm, back off
 *   status.c     what is told about applications
 *   api.c        requests of the manifest API
 *   scheduler.c  puts them together: wake, plan, execute, tell */
#ifndef HOSTD_SCHEDULER_INT_H
#define HOSTD_SCHEDULER_INT_H

#include "lattice/base/loop.h"
#include "lattice/base/map.h"
#include "manifests/manifests_int.h"

/* The store's content as the planner wants it; made anew when the store has changed. */
struct desired {
    struct scheduler *s;
    struct arena arena;
    struct want_app *apps;
    struct plan_past *past;
    uint32_t napps, npast;
    bool valid;
};

struct scheduler {
    struct bus *bus;
    struct loop *loop;
    char *lattice, *host_id, *domain, *bucket, *api_prefix, *ctl_prefix;
    uint64_t lost_after_ms;
    struct proto_space space; /* views of the above */
    struct proto_client *client;
    struct store *store;
    struct lease *lease;
    struct follow *follow;
    struct execute *execute;
    struct statuses *statuses;
    struct api *api; /* NULL while foreign */
    struct desired desired;
    struct loop_timer *wake; /* a reconciliation is due */
    uint64_t plan_ms;        /* how long the last one took */
    bool foreign;            /* a real wadm manages this lattice: hold still */
    struct bus_request *foreign_check;
    struct loop_timer *foreign_timer;
};

/* Something changed: plan soon. Many calls make one plan. */
void scheduler_wake(struct scheduler *s);
/* What is deployed has changed: no waiting for earlier failures either. */
void scheduler_desires(struct scheduler *s);
struct observed *scheduler_seen(struct scheduler *s);

/* ---- bucket.c --------------------------------------------------------------------------------------- */

struct bucket;
struct bucket_opts {
    struct bus *bus;
    const char *name, *domain;
    uint64_t ttl_ms;
    kv_watch_fn *watch; /* of all keys, as in bus.h; may be NULL */
    loop_fn *opened;    /* it is there (again); may be NULL */
    void *user;
};
/* Goes on trying until it is there. The strings are copied. */
struct bucket *bucket_open(const struct bucket_opts *opts);
void bucket_close(struct bucket *b);
struct kv *bucket_kv(const struct bucket *b); /* NULL: not there yet */
void bucket_reopen(struct bucket *b);         /* it seems to be gone */

/* ---- store.c ---------------------------------------------------------------------------------------- */

#define STORE_DOC_BYTES_MAX (8u << 20)
#define STORE_VERSIONS_MAX 200u

struct app_version {
    struct str name;           /* view of the document */
    struct manifest *manifest; /* NULL: not readable */
    char *broken;              /* why not */
};

struct app {
    UT_hash_handle hh;
    char *name;
    json_t *doc; /* NULL: deleted, but not everything of it is gone */
    struct app_version *versions;
    size_t nversions, deployed; /* deployed == nversions: none */
    struct manifest **retired;  /* was deployed and is no longer stored */
    size_t nretired;
    bool known; /* met since the watch began */
};

struct store;
struct store *store_open(struct scheduler *s);
void store_close(struct store *st);
bool store_ready(const struct store *st);
struct app *store_first(const struct store *st); /* ->hh.next goes on; sorted by name */
struct app *store_find(const struct store *st, struct str app);
const struct manifest *store_deployed(const struct store *st,
                                      struct str app); /* NULL: none, or broken */
void store_forget(struct store *st, struct app *app);  /* a deleted one */

/* The document of an application as it is now. doc NULL with e NULL: there is none. doc is the callback's to
 * json_decref. */
typedef void store_read_fn(void *user, json_t *doc, uint64_t revision, const struct err *e);
bool store_read(struct store *st, struct str app, store_read_fn *fn, void *user, struct err *e);
/* Writes it when the revision is still that one (0: there was none), or removes it (doc NULL), and keeps the index.
 * ERR_CONFLICT: somebody else was faster. e NULL: done. */
typedef void store_write_fn(void *user, const struct err *e);
bool store_write(struct store *st, struct str app, json_t *doc, uint64_t revision,
                 store_write_fn *fn, void *user, struct err *e);

/* Documents: {"manifests":{VERSION:MANIFEST,...},"deployed_version":VERSION|null}; order is creation order. */
json_t *doc_new(void);
json_t *doc_version(json_t *doc,
                    struct str version); /* borrowed; empty version: the latest; NULL: none */
struct str doc_latest(json_t *doc);
struct str doc_deployed(json_t *doc); /* p == NULL: none */
size_t doc_count(json_t *doc);
void doc_add(json_t *doc, struct str version, json_t *manifest); /* takes the reference */
void doc_remove(json_t *doc, struct str version);
void doc_deploy(json_t *doc, struct str version); /* p == NULL: none */

/* ---- lease.c ---------------------------------------------------------------------------------------- */

struct lease;
struct lease *lease_open(struct scheduler *s);
void lease_close(struct lease *l); /* gives it back */
bool lease_held(const struct lease *l);

/* ---- follow.c, probe.c ------------------------------------------------------------------------------ */

struct follow;
struct follow *follow_open(struct scheduler *s);
void follow_close(struct follow *f);
bool follow_ready(const struct follow *f); /* everything has been read at least once */
struct observed *follow_seen(struct follow *f);
void follow_refresh(struct follow *f, struct str host_id); /* ask for its inventory */
void follow_active(struct follow *f, bool active);         /* probes go out only while active */

/* ---- execute.c -------------------------------------------------------------------------------------- */

struct execute;
struct execute *execute_new(struct scheduler *s);
void execute_free(struct execute *x);
void execute_plan(struct execute *x, const struct plan *plan);
void execute_stop(struct execute *x);  /* no longer active: forget everything */
void execute_retry(struct execute *x); /* the world has changed: no waiting */
const struct set *execute_accepted(struct execute *x);
const struct set *execute_starting(struct execute *x);
/* Outcomes that hosts report by event. */
void execute_component_event(struct execute *x, const struct proto_component_event *ev,
                             struct str host, bool ok);
void execute_provider_event(struct execute *x, const struct proto_provider_event *ev,
                            struct str host);
/* Adds what is to be said about the commands for one want (PLAN_NO_WANT: about configurations). */
void execute_say(struct execute *x, struct str app, uint32_t want, struct proto_status_info *info,
                 struct arena *a);

/* ---- status.c --------------------------------------------------------------------------------------- */

struct statuses;
struct statuses *statuses_open(struct scheduler *s, struct err *e);
void statuses_close(struct statuses *t);
void statuses_load(struct statuses *t,
                   struct str app); /* unless known, what was told before we came */
void statuses_tell(struct statuses *t, struct str app, const struct proto_status *status);
void statuses_forget(struct statuses *t, struct str app);
void statuses_plan(struct statuses *t, const struct plan *plan); /* tells what is new */
/* The last status told by anybody; false: none. Borrowed until the next turn of the loop. */
bool statuses_get(struct statuses *t, struct str app, struct proto_status *out);

/* ---- api.c ------------------------------------------------------------------------------------------ */

struct api;
struct api *api_open(struct scheduler *s, struct err *e);
void api_close(struct api *api);
void api_ready(struct api *api); /* the store has been read: answer what waited for it */

#endif
