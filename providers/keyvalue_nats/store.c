/* SPDX-License-Identifier: Apache-2.0 */
/* The bucket of a link: opened when the link comes, over the lattice's connection or one of its own.
 * Keeps: at most one opening under way; one that failed says why in health, log and answers, and is tried again with
 * growing delay, since buckets and servers may come. An opening cannot be cancelled: it outlives a store that goes. */
#include "providers/keyvalue_nats/provider.h"

#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"

#define RETRY_MIN_MS 500u
#define RETRY_MAX_MS 15000u

struct opening {
    struct store *store; /* NULL: gone meanwhile */
};

static void open_bucket(struct store *s);
static bool reconnect_own(struct store *s, struct err *e);
static void fail(struct store *s, const struct err *what);

static void on_retry(void *user)
{
    struct store *s = user;
    struct err e = ERR_INIT;
    s->retry = NULL;
    bool lacks_own = s->settings.cluster_uri.n && (!s->own || bus_state(s->own) == BUS_SHUT);
    if (!lacks_own || reconnect_own(s, &e))
        open_bucket(s);
    else
        fail(s, &e);
}

/* A missing connection says more than what could not be done without it. */
static void fail(struct store *s, const struct err *what)
{
    const struct err *e = s->down.code != ERR_NONE ? &s->down : what;
    if (s->problem.code != e->code || strcmp(s->problem.text, e->text) != 0)
        log_error("link cannot be served", LS("source", s->link->def->source_id),
                  LS("link", s->link->def->name), LE(e));
    s->problem = *e;
    calls_of_store_fail(s, e);
    if (what->code == ERR_INVALID || what->code == ERR_UNSUPPORTED)
        return; /* until the link changes */
    s->retry_ms = MIN(MAX(s->retry_ms * 2, RETRY_MIN_MS), RETRY_MAX_MS);
    s->retry = loop_after(sdk_loop(s->provider->sdk), s->retry_ms, on_retry, s);
}

static void on_open(void *user, struct kv *kv, const struct err *e)
{
    struct opening *o = user;
    struct store *s = o->store;
    free(o);
    if (!s) {
        kv_close(kv);
        return;
    }
    s->opening = NULL;
    recent_clear(s);
    if (s->kv) { /* it was only looked after: see store_check */
        kv_close(kv);
        return;
    }
    if (!kv) {
        fail(s, e);
        return;
    }
    s->kv = kv;
    s->retry_ms = 0;
    s->problem = (struct err)ERR_INIT;
    log_info("bucket opened", LS("bucket", s->settings.bucket),
             LS("source", s->link->def->source_id), LS("link", s->link->def->name));
    calls_of_store_start(s);
    if (s->watcher)
        watcher_start(s->watcher);
}

static void open_bucket(struct store *s)
{
    struct err e = ERR_INIT;
    const struct settings *w = &s->settings;
    const struct kv_opts opts = {.bucket = w->bucket,
                                 .js_domain = w->js_domain,
                                 .create = w->create,
                                 .history = (uint8_t)w->history,
                                 .ttl_ms = w->ttl_ms,
                                 .replicas = (uint8_t)w->replicas,
                                 .in_memory = w->storage == 1};
    struct bus *bus = s->own ? s->own : sdk_bus(s->provider->sdk);
    struct opening *o = xnew(struct opening);
    o->store = s;
    s->opening = o;
    if (kv_open(bus, &opts, on_open, o, &e))
        return;
    s->opening = NULL;
    free(o);
    if (!s->kv)
        fail(s, &e);
}

/* SHUT: the server refuses us, as it does while it does not know the account; on_retry begins anew. */
static void on_own_state(void *user, enum bus_state state, const struct err *why)
{
    struct store *s = user;
    if (state == BUS_UP)
        s->down.code = ERR_NONE;
    else
        s->down = *why;
    if (state == BUS_SHUT && !s->opening && !s->retry)
        fail(s, why);
}

static bool connect_own(struct store *s, struct err *e)
{
    const struct settings *w = &s->settings;
    AUTO_FREE char *url = str_dup(w->cluster_uri);
    AUTO_FREE char *jwt = str_dup(w->client_jwt);
    AUTO_FREE_SECRET char *seed = str_dup(w->client_seed);
    AUTO_FREE char *ca = str_dup(w->tls_ca);
    AUTO_FREE char *ca_file = str_dup(w->tls_ca_file);
    AUTO_FREE char *name = xasprintf("keyvalue-nats %.*s", STR_ARG(s->link->def->source_id));
    const struct bus_opts opts = {.url = url,
                                  .name = name,
                                  .on_state = on_own_state,
                                  .user = s,
                                  .jwt = *jwt ? jwt : NULL,
                                  .seed = *seed ? seed : NULL,
                                  .ca = *ca ? ca : NULL,
                                  .ca_file = *ca_file && !*ca ? ca_file : NULL};
    return bus_nats_open(sdk_loop(s->provider->sdk), &opts, &s->own, e) ||
           err_wrap(e, "setting cluster_uri");
}

static bool reconnect_own(struct store *s, struct err *e)
{
    if (s->watcher)
        watcher_pause(s->watcher);
    kv_close(MOVE(s->kv));
    bus_close(MOVE(s->own));
    s->down.code = ERR_NONE;
    return connect_own(s, e);
}

struct store *store_open(struct provider *p, const struct sdk_link *link)
{
    struct err e = ERR_INIT;
    struct store *s = xnew(struct store);
    s->provider = p;
    s->link = link;
    DL_APPEND(p->stores, s);
    bool ok = settings_read(link->config, &sdk_host_data(p->sdk)->config, &s->settings, &e);
    if (ok && link->role == SDK_SOURCE)
        ok = (s->watcher = watcher_open(s, &e)) != NULL;
    ok = ok && (s->settings.cluster_uri.n == 0 || connect_own(s, &e));
    if (ok)
        open_bucket(s);
    else
        fail(s, &e);
    return s;
}

void store_close(struct store *s)
{
    const struct err gone = {.code = ERR_CLOSED, .text = "the link was removed"};
    calls_of_store_fail(s, &gone);
    DL_DELETE(s->provider->stores, s);
    if (s->opening)
        s->opening->store = NULL;
    loop_timer_stop(&s->retry);
    watcher_close(s->watcher);
    kv_close(s->kv);
    bus_close(s->own);
    recent_clear(s);
    free(s);
}

void store_check(struct store *s)
{
    if (s->kv && s->settings.create && !s->opening)
        open_bucket(s);
}
