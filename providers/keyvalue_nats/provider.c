/* SPDX-License-Identifier: Apache-2.0 */
/* Links become stores; life and health of the provider. */
#include "providers/keyvalue_nats/provider.h"

#include "lattice/base/alloc.h"
#include "lattice/base/log.h"

#define TYPES_BYTES_MAX (1u << 20)

static bool is_served(const struct sdk_link *link)
{
    const struct proto_link_def *def = link->def;
    return str_eqz(def->wit_namespace, "wasi") && str_eqz(def->wit_package, "keyvalue") &&
           (link->role == SDK_TARGET || proto_strs_has(&def->interfaces, STR("watcher")));
}

static void link_put(void *self, struct sdk_link *link)
{
    const struct proto_link_def *def = link->def;
    if (is_served(link))
        link->user = store_open(self, link);
    else
        log_warn("link ignored: only wasi:keyvalue as its target, or its watcher as source, is "
                 "served here",
                 LS("source", def->source_id), LS("target", def->target),
                 LS("package", def->wit_package));
}

static void link_del(void *self, struct sdk_link *link)
{
    (void)self;
    if (link->user)
        store_close(link->user);
}

static void health(void *self, struct sdk_health *out)
{
    const struct provider *p = self;
    for (const struct store *s = p->stores; s; s = s->next)
        if (s->problem.code != ERR_NONE)
            sdk_health_link(out, s->link, &s->problem);
}

/* Every link, and with it every call that has a store, was taken away before. */
static void provider_close(void *self)
{
    struct provider *p = self;
    calls_unserve(p);
    calls_free(p);
    arena_fini(&p->types);
    free(p);
}

static void *provider_open(struct sdk *sdk, struct err *e)
{
    struct provider *p = xnew(struct provider);
    p->sdk = sdk;
    arena_init(&p->types, TYPES_BYTES_MAX);
    if (calls_serve(p, e))
        return p;
    provider_close(p);
    return NULL;
}

void provider_end_if_idle(struct provider *p)
{
    if (p->stopped && !p->calls && !p->ntelling)
        sdk_stopped(p->sdk);
}

static void stop(void *self, uint64_t grace_ms)
{
    struct provider *p = self;
    (void)grace_ms; /* which the SDK watches */
    p->stopped = true;
    calls_unserve(p);
    for (struct store *s = p->stores; s; s = s->next)
        if (s->watcher)
            watcher_stop(s->watcher);
    provider_end_if_idle(p);
}

const struct sdk_provider keyvalue_nats_provider = {
    .name = "keyvalue-nats",
    .open = provider_open,
    .close = provider_close,
    .link_put = link_put,
    .link_del = link_del,
    .health = health,
    .stop = stop,
};
