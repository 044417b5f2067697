/* SPDX-License-Identifier: Apache-2.0 */
/* Links become models that can be asked; life and health of the provider. */
#include "providers/ollama/provider.h"

#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"

#define TYPES_BYTES_MAX (1u << 20)
#define LINK_BYTES_MAX (64u << 10)

static void link_put(void *self, struct sdk_link *link)
{
    struct provider *p = self;
    const struct proto_link_def *def = link->def;
    if (link->role != SDK_TARGET || !str_eqz(def->wit_namespace, "thomastaylor312") ||
        !str_eqz(def->wit_package, "ollama")) {
        log_warn("link ignored: only thomastaylor312:ollama as its target is served here",
                 LS("source", def->source_id), LS("target", def->target),
                 LS("package", def->wit_package));
        return;
    }
    struct model *m = xnew(struct model);
    m->provider = p;
    m->link = link;
    arena_init(&m->arena, LINK_BYTES_MAX);
    if (!settings_read(link->config, &sdk_host_data(p->sdk)->config, &m->arena, &m->settings,
                       &m->problem))
        log_error("link cannot be served", LS("source", def->source_id), LS("link", def->name),
                  LE(&m->problem));
    DL_APPEND(p->models, m);
    link->user = m;
}

static void link_del(void *self, struct sdk_link *link)
{
    struct provider *p = self;
    struct model *m = link->user;
    if (!m)
        return;
    calls_of_model_fail(p, m, "the link was deleted");
    DL_DELETE(p->models, m);
    arena_fini(&m->arena);
    free(m);
}

/* The settings only: whether a server answers is each call's own news. */
static void health(void *self, struct sdk_health *out)
{
    const struct provider *p = self;
    for (const struct model *m = p->models; m; m = m->next)
        if (m->problem.code != ERR_NONE)
            sdk_health_link(out, m->link, &m->problem);
}

/* Every link was taken away before, and with it every call. */
static void provider_close(void *self)
{
    struct provider *p = self;
    calls_unserve(p);
    calls_free(p);
    http_client_close(p->http);
    arena_fini(&p->types);
    free(p);
}

/* Whom a link names may be asked: links are the operator's. */
static void *provider_open(struct sdk *sdk, struct err *e)
{
    struct provider *p = xnew(struct provider);
    struct http_client_opts opts = {.loop = sdk_loop(sdk), .allow = "*"};
    p->sdk = sdk;
    arena_init(&p->types, TYPES_BYTES_MAX);
    if (http_client_open(&opts, &p->http, e) && calls_serve(p, e))
        return p;
    provider_close(p);
    return NULL;
}

static void stop(void *self, uint64_t grace_ms)
{
    struct provider *p = self;
    (void)grace_ms; /* which the SDK watches */
    p->stopped = true;
    calls_unserve(p);
    if (!p->calls)
        sdk_stopped(p->sdk);
}

const struct sdk_provider ollama_provider = {
    .name = "ollama",
    .open = provider_open,
    .close = provider_close,
    .link_put = link_put,
    .link_del = link_del,
    .health = health,
    .stop = stop,
};
