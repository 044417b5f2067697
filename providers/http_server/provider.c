/* SPDX-License-Identifier: Apache-2.0 */
/* Links become listeners, or routes of one that they share.
 * Keeps: a listener that cannot listen says why in health and log, and tries again with growing delay, since what is
 * in its way may go. No two routes of a shared one are the same.
 * A changed link is deleted and then put again, by whoever commands. So one that was deleted is served on for
 * LEAVING_MS: a link that is put meanwhile takes over its server, connections and all, or opens another first. */
#include "providers/http_server/provider.h"

#include <assert.h>
#include <stdio.h>
#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"

#define DEFAULT_ADDRESS "0.0.0.0:8000"
#define RETRY_MIN_MS 1000u
#define RETRY_MAX_MS 15000u
#define SCRATCH_BYTES_MAX (1u << 20)
#define LINK_BYTES_MAX (256u << 10)

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

/* ---- links that leave ---- */

static void listener_free(struct listener *l)
{
    http_server_close(l->server);
    http_tls_free(l->tls);
    loop_timer_stop(&l->retry);
    arena_fini(&l->arena);
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

static bool is_draining(const struct listener *l)
{
    const struct listener *d = l->provider->draining;
    while (d && d != l)
        d = d->next;
    return d != NULL;
}

/* Without a server of its own it stays for its requests; else it ends with its server. */
void listener_call_ended(struct listener *l)
{
    if (--l->ncalls == 0 && !l->server && is_draining(l))
        on_drained(l);
}

/* No request comes to it any more; those under way may end, unless everything does. */
static void drain(struct listener *l)
{
    if (l->server ? l->provider->stopped : l->ncalls == 0) {
        listener_free(l);
        return;
    }
    DL_APPEND(l->provider->draining, l);
    if (!l->server)
        return;
    log_info("listener closed", LS("address", http_server_address(l->server)),
             LZ("target", l->target));
    http_server_stop(l->server, DRAIN_GRACE_MS, on_drained, l);
}

static void let_go(struct listener *l)
{
    loop_timer_stop(&l->retry);
    DL_DELETE(l->provider->leaving, l);
    drain(l);
}

static void on_left(void *user)
{
    struct listener *l = user;
    l->retry = NULL;
    let_go(l);
}

static bool same_link(const struct listener *a, const struct listener *b)
{
    return strcmp(a->source, b->source) == 0 && strcmp(a->target, b->target) == 0 &&
           strcmp(a->name, b->name) == 0;
}

/* l is served: what it replaces need not be any more. */
static void let_go_of_old(const struct listener *l)
{
    struct listener *old, *next;
    DL_FOREACH_SAFE(l->provider->leaving, old, next)
    {
        if (same_link(old, l))
            let_go(old);
    }
}

/* Goes on with the server of one that is leaving, if its address is l's. */
static bool take_over(struct listener *l, const struct http_server_opts *opts)
{
    struct listener *old = l->provider->leaving;
    while (old && (!old->server || strcmp(old->settings.address, l->settings.address) != 0 ||
                   !old->tls != !l->tls))
        old = old->next;
    if (!old)
        return false;
    l->server = MOVE(old->server);
    http_server_change(l->server, opts);
    let_go(old);
    return true;
}

/* What is leaving may be in the way: on the same port of another address, or with TLS. */
static bool open_server(struct listener *l, struct err *e)
{
    struct provider *p = l->provider;
    struct http_server_opts opts = {.address = str_of(l->settings.address),
                                    .limits = l->settings.limits,
                                    .tls = l->tls,
                                    .http1_only = !l->settings.http2,
                                    .handler = &call_handler,
                                    .user = l};
    if (take_over(l, &opts) || http_server_open(sdk_loop(p->sdk), &opts, &l->server, e))
        return true;
    if (e->code != ERR_EXISTS || !p->leaving)
        return false;
    while (p->leaving)
        let_go(p->leaving);
    *e = (struct err)ERR_INIT;
    return http_server_open(sdk_loop(p->sdk), &opts, &l->server, e);
}

static void listen_now(struct listener *l)
{
    struct err e = ERR_INIT;
    if (l->provider->stopped)
        return;
    if (l->settings.cert_file[0] && !l->tls &&
        !http_tls_open(l->settings.cert_file, l->settings.key_file, &l->tls, &e)) {
        fail(l, &e, true); /* the files may come */
        return;
    }
    if (!open_server(l, &e)) {
        fail(l, &e, e.code != ERR_INVALID);
        return;
    }
    let_go_of_old(l);
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

static struct listener *listener_new(struct provider *p, struct str source, struct str target,
                                     struct str name)
{
    struct listener *l = xnew(struct listener);
    *l = (struct listener){
        .provider = p, .source = str_dup(source), .target = str_dup(target), .name = str_dup(name)};
    arena_init(&l->arena, LINK_BYTES_MAX);
    return l;
}

static bool read_settings(struct listener *l, const struct proto_map *link, struct err *e)
{
    const struct proto_map *own = &sdk_host_data(l->provider->sdk)->config;
    struct str address = STR(DEFAULT_ADDRESS);
    proto_map_get(own, STR("default_address"), &address);
    return settings_read(link, own, address, &l->arena, &l->settings, e);
}

/* ---- routes ---- */

static struct str route_of(const struct listener *l)
{
    return l->provider->routing == ROUTE_PATH ? l->settings.path : l->settings.host;
}

static struct listener *find_route(struct listener *list, struct str route,
                                   const struct listener *but)
{
    struct listener *l = list;
    while (l && (l == but || l->problem[0] || !str_eq(route_of(l), route)))
        l = l->next;
    return l;
}

static bool check_route(struct listener *l, struct err *e)
{
    const char *key = l->provider->routing == ROUTE_PATH ? "path" : "host";
    struct str route = route_of(l);
    if (route.n == 0)
        return err_set(e, ERR_INVALID, "setting %s: needed, for routing_mode is '%s'", key, key);
    const struct listener *other = find_route(l->provider->listeners, route, l);
    return !other || err_set(e, ERR_INVALID, "setting %s: '%.*s' belongs to %s already", key,
                             (int)MIN(route.n, 100), route.p, other->target);
}

static struct str header_of(const struct http_head *head, const char *name)
{
    if (str_ieq(str_of(name), STR("host")))
        return head->authority;
    for (size_t i = 0; i < head->nheaders; i++)
        if (str_ieq(head->headers[i].name, str_of(name)))
            return head->headers[i].value;
    return STR_NONE;
}

struct listener *listener_route(struct listener *l, const struct http_head *head, uint16_t *status,
                                const char **text)
{
    struct provider *p = l->provider;
    if (l != p->shared)
        return l;
    struct str route = p->routing == ROUTE_PATH ? str_sub(head->path, 0, str_find(head->path, '?'))
                                                : header_of(head, p->route_header);
    struct listener *found = route.n ? find_route(p->listeners, route, NULL) : NULL;
    if (!found && route.n)
        found = find_route(p->leaving, route, NULL);
    *status = route.n ? 404 : 400;
    *text = p->routing == ROUTE_PATH ? "path not found"
            : route.n                ? "host not found"
                                     : "missing host header";
    return found;
}

/* ---- links ---- */

static void add_route(struct listener *l)
{
    log_info("route added", LS("route", route_of(l)), LZ("target", l->target));
    let_go_of_old(l);
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
    struct listener *l = listener_new(p, link->def->source_id, link->def->target, link->def->name);
    bool ok = read_settings(l, link->config, &e) && (!p->shared || check_route(l, &e));
    DL_APPEND(p->listeners, l);
    link->user = l;
    if (!ok)
        fail(l, &e, false);
    else if (!p->shared)
        listen_now(l);
    else
        add_route(l);
}

static void link_del(void *self, struct sdk_link *link)
{
    struct provider *p = self;
    struct listener *l = link->user;
    if (!l)
        return;
    loop_timer_stop(&l->retry);
    DL_DELETE(p->listeners, l);
    if (p->stopped || l->problem[0]) {
        drain(l);
        return;
    }
    DL_APPEND(p->leaving, l);
    l->retry = loop_after(sdk_loop(p->sdk), LEAVING_MS, on_left, l);
}

/* ---- health ---- */

static size_t tell_problem(const struct listener *l, char *out, size_t cap, size_t used)
{
    if (!l->problem[0] || used >= cap)
        return used;
    int n = l->target[0] ? snprintf(out + used, cap - used, "%slink %s -> %s (%s): %s",
                                    used ? "; " : "", l->source, l->target, l->name, l->problem)
                         : snprintf(out + used, cap - used, "%s", l->problem);
    return used + (n > 0 ? (size_t)n : 0);
}

static void health(void *self, struct sdk_health *out)
{
    const struct provider *p = self;
    size_t used = p->shared ? tell_problem(p->shared, out->message, sizeof out->message, 0) : 0;
    for (const struct listener *l = p->listeners; l; l = l->next)
        used = tell_problem(l, out->message, sizeof out->message, used);
    out->healthy = used == 0;
}

/* ---- life ---- */

static bool read_routing(struct provider *p, const struct proto_map *config, struct err *e)
{
    static const char *const modes[] = {
        [ROUTE_ADDRESS] = "address", [ROUTE_PATH] = "path", [ROUTE_HOST] = "host"};
    struct str mode = STR("address"), header = STR("host");
    proto_map_get(config, STR("routing_mode"), &mode);
    proto_map_get(config, STR("header"), &header);
    p->route_header = str_dup(header);
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (str_eqz(mode, modes[i])) {
            p->routing = (enum routing)i;
            return true;
        }
    }
    return err_set(e, ERR_INVALID, "routing_mode '%.*s': neither address, path nor host",
                   (int)MIN(mode.n, 40), mode.p);
}

/* What cannot be served says so in health, and is there again when the configuration is: the provider lives on. */
static void open_shared(struct provider *p)
{
    static const struct proto_map no_link;
    struct err e = ERR_INIT;
    bool ok = read_routing(p, &sdk_host_data(p->sdk)->config, &e);
    if (ok && p->routing == ROUTE_ADDRESS)
        return;
    p->shared = listener_new(p, STR(""), STR(""), STR(""));
    if (ok && read_settings(p->shared, &no_link, &e))
        listen_now(p->shared);
    else
        fail(p->shared, &e, false);
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
    open_shared(p);
    return p;
}

static struct listener *draining_server(const struct provider *p)
{
    struct listener *l = p->draining;
    while (l && !l->server)
        l = l->next;
    return l;
}

/* Every link was taken away before. Calls end with the servers they came through; their listeners with them. */
static void provider_close(void *self)
{
    struct provider *p = self;
    struct listener *l;
    p->stopped = true;
    while (p->leaving)
        let_go(p->leaving);
    if (p->shared)
        listener_free(p->shared);
    while ((l = draining_server(p)))
        on_drained(l);
    assert(!p->draining);
    loop_timer_stop(&p->watch);
    buf_fini(&p->params);
    arena_fini(&p->arena);
    free(p->route_header);
    free(p);
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

static void stop_listener(struct listener *l, uint64_t grace_ms)
{
    loop_timer_stop(&l->retry);
    if (!l->server)
        return;
    l->provider->stopping++;
    http_server_stop(l->server, grace_ms, on_server_stopped, l->provider);
}

static void stop(void *self, uint64_t grace_ms)
{
    struct provider *p = self;
    p->stopped = true;
    p->stopping = 1; /* ours, so that it ends below when nobody listens */
    if (p->shared)
        stop_listener(p->shared, grace_ms);
    for (struct listener *l = p->leaving; l; l = l->next)
        stop_listener(l, grace_ms);
    for (struct listener *l = p->listeners; l; l = l->next)
        stop_listener(l, grace_ms);
    on_server_stopped(p);
}

const struct sdk_provider http_server_provider = {
    .name = "http-server",
    .open = provider_open,
    .close = provider_close,
    .link_put = link_put,
    .link_del = link_del,
    .health = health,
    .lattice = lattice,
    .stop = stop,
};
