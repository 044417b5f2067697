/* SPDX-License-Identifier: Apache-2.0 */
/* Links become listeners.
 * Keeps: one listener per link; one that cannot listen says why in health and log, and tries again with growing
 * delay, since what is in its way may go. */
#include "providers/http_server/provider.h"

#include <stdio.h>
#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"

#define DEFAULT_ADDRESS "0.0.0.0:8000"
#define RETRY_MIN_MS 1000u
#define RETRY_MAX_MS 15000u
#define SCRATCH_BYTES_MAX (1u << 20)

static void listen_now(struct listener *l);

static void on_retry(void *user)
{
    struct listener *l = user;
    l->retry = NULL;
    listen_now(l);
}

/* Logs a problem when it is new. retry: it may go away by itself. */
static void fail(struct listener *l, const struct err *e, bool retry)
{
    if (strncmp(l->problem, e->text, sizeof l->problem - 1) != 0)
        log_error("link cannot be served", LZ("source", l->source), LZ("target", l->target),
                  LZ("link", l->name), LZ("address", l->settings.address), LE(e));
    snprintf(l->problem, sizeof l->problem, "%.*s", (int)sizeof l->problem - 1, e->text);
    if (!retry)
        return;
    l->retry_ms = MIN(MAX(l->retry_ms * 2, RETRY_MIN_MS), RETRY_MAX_MS);
    l->retry = loop_after(sdk_loop(l->provider->sdk), l->retry_ms, on_retry, l);
}

static void listen_now(struct listener *l)
{
    struct err e = ERR_INIT;
    struct http_server_opts opts = {
        .address = str_of(l->settings.address),
        .limits = {.write_high_bytes = REPLY_HIGH_BYTES, .write_low_bytes = REPLY_LOW_BYTES},
        .handler = &call_handler,
        .user = l};
    if (l->provider->stopped)
        return;
    if (!http_server_open(sdk_loop(l->provider->sdk), &opts, &l->server, &e)) {
        fail(l, &e, e.code != ERR_INVALID);
        return;
    }
    l->problem[0] = 0;
    l->retry_ms = 0;
    log_info("listening", LS("address", http_server_address(l->server)), LZ("target", l->target),
             LZ("link", l->name));
}

/* ---- links ---- */

static bool is_ours(const struct sdk_link *link)
{
    return link->role == SDK_SOURCE && str_eq(link->def->wit_namespace, STR("wasi")) &&
           str_eq(link->def->wit_package, STR("http")) &&
           proto_strs_has(&link->def->interfaces, STR("incoming-handler"));
}

static void link_put(void *self, struct sdk_link *link)
{
    struct provider *p = self;
    struct err e = ERR_INIT;
    if (!is_ours(link)) {
        log_warn("link ignored: only wasi:http/incoming-handler as its source is served here",
                 LS("source", link->def->source_id), LS("target", link->def->target),
                 LS("package", link->def->wit_package));
        return;
    }
    struct listener *l = xnew(struct listener);
    *l = (struct listener){.provider = p,
                           .source = str_dup(link->def->source_id),
                           .target = str_dup(link->def->target),
                           .name = str_dup(link->def->name)};
    DL_APPEND(p->listeners, l);
    link->user = l;
    struct str fallback = p->default_address ? str_of(p->default_address) : STR(DEFAULT_ADDRESS);
    if (!settings_read(link->config, fallback, &l->settings, &e))
        fail(l, &e, false);
    else if (p->refusal[0])
        snprintf(l->problem, sizeof l->problem, "%s", p->refusal);
    else
        listen_now(l);
}

static void listener_free(struct listener *l)
{
    http_server_close(l->server);
    loop_timer_stop(&l->retry);
    free(l->source);
    free(l->target);
    free(l->name);
    free(l);
}

static void on_drained(void *user)
{
    struct listener *l = user;
    DL_DELETE(l->provider->draining, l);
    listener_free(l);
}

/* The address is free at once; requests under way may end. */
static void link_del(void *self, struct sdk_link *link)
{
    struct provider *p = self;
    struct listener *l = link->user;
    if (!l)
        return;
    DL_DELETE(p->listeners, l);
    if (!l->server || p->stopped) {
        listener_free(l);
        return;
    }
    log_info("listener closed", LS("address", http_server_address(l->server)),
             LZ("target", l->target));
    DL_APPEND(p->draining, l);
    http_server_stop(l->server, DRAIN_GRACE_MS, on_drained, l);
}

/* ---- health ---- */

static void health(void *self, struct sdk_health *out)
{
    const struct provider *p = self;
    size_t used = 0;
    for (const struct listener *l = p->listeners; l && used < sizeof out->message; l = l->next) {
        if (!l->problem[0])
            continue;
        out->healthy = false;
        int n =
            snprintf(out->message + used, sizeof out->message - used, "%slink %s -> %s (%s): %s",
                     used ? "; " : "", l->source, l->target, l->name, l->problem);
        used += n > 0 ? (size_t)n : 0;
    }
}

/* ---- life ---- */

static void read_config(struct provider *p, const struct proto_map *config)
{
    struct str value;
    if (proto_map_get(config, STR("default_address"), &value)) {
        free(p->default_address);
        p->default_address = str_dup(value);
    }
    p->refusal[0] = 0;
    if (proto_map_get(config, STR("routing_mode"), &value) && !str_eq(value, STR("address")))
        snprintf(p->refusal, sizeof p->refusal,
                 "routing_mode '%.*s' is not supported yet, only 'address'", (int)MIN(value.n, 40),
                 value.p);
    if (p->refusal[0])
        log_error("configuration cannot be honoured", LZ("reason", p->refusal));
}

static void *provider_open(struct sdk *sdk, struct err *e)
{
    struct provider *p = xnew(struct provider);
    const struct wit_type *result = http_types_get()->handle_result;
    p->sdk = sdk;
    buf_init(&p->params, SCRATCH_BYTES_MAX);
    arena_init(&p->arena, SCRATCH_BYTES_MAX);
    if (!wit_paths(&result, 1, &p->result_paths, e)) {
        free(p);
        return NULL;
    }
    read_config(p, &sdk_host_data(sdk)->config);
    return p;
}

/* Every link was taken away before. */
static void provider_close(void *self)
{
    struct provider *p = self;
    while (p->draining)
        on_drained(p->draining);
    loop_timer_stop(&p->watch);
    buf_fini(&p->params);
    arena_fini(&p->arena);
    free(p->default_address);
    free(p);
}

/* A changed default is for links to come: those that listen keep their address. */
static void config(void *self, const struct proto_map *config)
{
    read_config(self, config);
}

static void lattice(void *self, bool up)
{
    if (!up)
        calls_fail(self);
}

static void on_server_stopped(void *user)
{
    struct provider *p = user;
    if (--p->stopping == 0)
        sdk_stopped(p->sdk);
}

static void stop(void *self, uint64_t grace_ms)
{
    struct provider *p = self;
    p->stopped = true;
    p->stopping = 1; /* ours, so that it ends below when nobody listens */
    for (struct listener *l = p->listeners; l; l = l->next) {
        loop_timer_stop(&l->retry);
        if (!l->server)
            continue;
        p->stopping++;
        http_server_stop(l->server, grace_ms, on_server_stopped, p);
    }
    on_server_stopped(p);
}

const struct sdk_provider http_server_provider = {
    .name = "http-server",
    .open = provider_open,
    .close = provider_close,
    .link_put = link_put,
    .link_del = link_del,
    .config = config,
    .health = health,
    .lattice = lattice,
    .stop = stop,
};
