/* SPDX-License-Identifier: Apache-2.0 */
/* A provider's membership of the lattice: its subscriptions, and what each message makes happen.
 * Keeps: subscriptions exist before the links of the host data are handed on, so no link falls between; stopping
 * happens once, and the host's request is answered when it is over. */
#include "providers/sdk/sdk_int.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"

/* A host waits 300 ms for the answer to its shutdown request before it kills. */
#define SHUTDOWN_GRACE_MS 200u
#define FLUSH_TIMEOUT_MS 1000u
#define SERVES_MAX 64u

struct sdk {
    const struct sdk_provider *provider;
    void *self;
    struct bus *bus;
    struct wrpc *wrpc;
    struct arena arena; /* of the host data; wiped */
    struct proto_host_data host;
    struct sdk_keys keys;
    struct links *links;
    struct bus_sub *subs[5];
    size_t nsubs;
    struct wrpc_serve *serves[SERVES_MAX]; /* the provider's, who closes them when it stops */
    uint32_t nserves;
    uint32_t holds; /* of what was sent, functions to drain and parameters to collect */
    bool stopping, stopped;
    uint64_t stop_until_ms;
    struct loop_timer *stop_timer;
    char shutdown_reply[BUS_SUBJECT_MAX + 1]; /* where to answer */
    void (*on_stopped)(void *user);
    void *user;
};

const struct proto_host_data *sdk_host_data(const struct sdk *sdk)
{
    return &sdk->host;
}

struct str sdk_id(const struct sdk *sdk)
{
    return sdk->host.provider_key;
}

struct loop *sdk_loop(const struct sdk *sdk)
{
    return bus_loop(sdk->bus);
}

struct bus *sdk_bus(const struct sdk *sdk)
{
    return sdk->bus;
}

/* ---- messages from the host ---- */

static void on_link(struct sdk *sdk, const struct bus_msg *msg, bool put)
{
    struct err e = ERR_INIT;
    struct arena arena;
    struct proto_link_def def;
    arena_init(&arena, PROTO_ARENA_BYTES);
    if (!proto_link_def_decode(msg->data, &arena, &def, &e))
        log_warn("link message refused", LE(&e));
    else if (!put)
        links_del(sdk->links, &def);
    else if (!links_put(sdk->links, &def, &e))
        log_warn("link refused", LS("source", def.source_id), LS("target", def.target), LE(&e));
    arena_fini(&arena);
}

static void on_link_put(void *user, const struct bus_msg *msg)
{
    on_link(user, msg, true);
}

static void on_link_del(void *user, const struct bus_msg *msg)
{
    on_link(user, msg, false);
}

static void on_config(void *user, const struct bus_msg *msg)
{
    struct sdk *sdk = user;
    struct err e = ERR_INIT;
    struct arena arena;
    struct proto_map plain, config;
    if (!sdk->provider->config)
        return;
    arena_init(&arena, PROTO_ARENA_BYTES);
    if (proto_config_decode(msg->data, &arena, &plain, &e) &&
        secrets_overlay(&plain, &sdk->host.secrets, &arena, &config, &e))
        sdk->provider->config(sdk->self, &config);
    else
        log_warn("configuration refused", LE(&e));
    arena_fini(&arena);
}

static void answer(struct sdk *sdk, struct str reply, struct span data)
{
    struct err e = ERR_INIT;
    if (reply.n > 0 && !bus_publish(sdk->bus, reply, STR_NONE, NULL, 0, data, &e))
        log_warn("answer to the host lost", LE(&e));
}

static void on_health(void *user, const struct bus_msg *msg)
{
    struct sdk *sdk = user;
    struct err e = ERR_INIT;
    struct sdk_health health = {.healthy = true};
    struct buf json = BUF_INIT;
    if (sdk->provider->health)
        sdk->provider->health(sdk->self, &health);
    struct proto_health reply = {.healthy = health.healthy};
    if (health.message[0])
        reply.message = str_of(health.message);
    if (proto_health_reply_encode(&reply, &json, &e))
        answer(sdk, msg->reply, buf_span(&json));
    buf_fini(&json);
}

static void on_shutdown(void *user, const struct bus_msg *msg)
{
    struct sdk *sdk = user;
    struct err e = ERR_INIT;
    struct arena arena;
    struct proto_shutdown m;
    arena_init(&arena, PROTO_ARENA_BYTES);
    if (!proto_shutdown_decode(msg->data, &arena, &m, &e)) {
        log_warn("shutdown message refused", LE(&e));
    } else if (str_eq(m.host_id, sdk->host.host_id)) { /* other hosts run the same provider */
        snprintf(sdk->shutdown_reply, sizeof sdk->shutdown_reply, "%.*s", STR_ARG(msg->reply));
        log_info("host asks to stop");
        sdk_stop(sdk, SHUTDOWN_GRACE_MS);
    }
    arena_fini(&arena);
}

static bool subscribe(struct sdk *sdk, struct str token, enum proto_rpc what, bus_msg_fn *fn,
                      struct err *e)
{
    struct proto_subject subject;
    if (!proto_rpc_subject(sdk->host.lattice_rpc_prefix, token, what, &subject, e) ||
        !bus_subscribe(sdk->bus, proto_subject_str(&subject), STR_NONE, fn, sdk,
                       &sdk->subs[sdk->nsubs], e))
        return err_wrap(e, "subscribe");
    sdk->nsubs++;
    return true;
}

static bool subscribe_all(struct sdk *sdk, struct err *e)
{
    char text[ID_PUBLIC_LEN + 1];
    struct str id = sdk_id(sdk), token = id;
    if (sdk->keys.given) /* links are sent to the key that their secrets are sealed for */
        token = str_of(id_key_public(&sdk->keys.own, text));
    return subscribe(sdk, token, PROTO_RPC_LINK_PUT, on_link_put, e) &&
           subscribe(sdk, id, PROTO_RPC_LINK_DEL, on_link_del, e) &&
           subscribe(sdk, id, PROTO_RPC_CONFIG, on_config, e) &&
           subscribe(sdk, id, PROTO_RPC_HEALTH, on_health, e) &&
           subscribe(sdk, id, PROTO_RPC_SHUTDOWN, on_shutdown, e);
}

/* ---- life ---- */

static bool accept_host_data(struct sdk *sdk, struct span json, struct err *e)
{
    struct proto_host_data *h = &sdk->host;
    if (!proto_host_data_decode(json, &sdk->arena, h, e))
        return false;
    if (!proto_token_ok(h->provider_key))
        return err_set(e, ERR_INVALID, "host data: provider_key is not an id");
    if (!proto_token_ok(h->lattice_rpc_prefix))
        return err_set(e, ERR_INVALID, "host data: lattice_rpc_prefix is not a lattice name");
    struct proto_map plain = h->config;
    return keys_read(h, &sdk->keys, e) &&
           secrets_overlay(&plain, &h->secrets, &sdk->arena, &h->config, e);
}

static void put_first_links(struct sdk *sdk)
{
    const struct proto_link_def_list *list = &sdk->host.link_definitions;
    for (uint32_t i = 0; i < list->n; i++) {
        struct err e = ERR_INIT;
        if (!links_put(sdk->links, &list->v[i], &e))
            log_warn("link refused", LS("source", list->v[i].source_id),
                     LS("target", list->v[i].target), LE(&e));
    }
}

bool sdk_open(struct bus *bus, const struct sdk_provider *provider, struct span host_data,
              void (*on_stopped)(void *user), void *user, struct sdk **out, struct err *e)
{
    struct sdk *sdk = xnew(struct sdk);
    sdk->provider = provider;
    sdk->bus = bus;
    sdk->on_stopped = on_stopped;
    sdk->user = user;
    arena_init(&sdk->arena, PROTO_ARENA_BYTES);
    bool ok = accept_host_data(sdk, host_data, e) && wrpc_open(bus, NULL, &sdk->wrpc, e);
    if (ok) {
        sdk->self = provider->open(sdk, e);
        ok = sdk->self != NULL;
    }
    if (ok) {
        sdk->links = links_new(provider, sdk->self, sdk_id(sdk), &sdk->keys);
        ok = subscribe_all(sdk, e);
    }
    if (!ok) {
        sdk_close(sdk);
        return false;
    }
    put_first_links(sdk);
    *out = sdk;
    return true;
}

void sdk_close(struct sdk *sdk)
{
    if (!sdk)
        return;
    sdk->stopped = true; /* from here on the provider is closed, not stopped */
    loop_timer_stop(&sdk->stop_timer);
    while (sdk->nsubs > 0)
        bus_unsubscribe(&sdk->subs[--sdk->nsubs]);
    links_free(sdk->links);
    if (sdk->self)
        sdk->provider->close(sdk->self);
    wrpc_close(sdk->wrpc);
    keys_fini(&sdk->keys);
    arena_wipe(&sdk->arena);
    free(sdk);
}

void sdk_health_link(struct sdk_health *out, const struct sdk_link *link, const struct err *why)
{
    size_t used = strlen(out->message);
    out->healthy = false;
    snprintf(out->message + used, sizeof out->message - used, "%slink of %.*s (%.*s): %s",
             used ? "; " : "", STR_ARG(link->def->source_id), STR_ARG(link->def->name), why->text);
}

/* ---- stopping ---- */

static void on_stop_timer(void *user)
{
    struct sdk *sdk = user;
    sdk->stop_timer = NULL;
    sdk->on_stopped(sdk->user);
}

void sdk_stopped(struct sdk *sdk)
{
    assert(sdk->stopping);
    if (sdk->stopped)
        return;
    sdk->stopped = true;
    answer(sdk, str_of(sdk->shutdown_reply), str_span(STR("shutting down")));
    loop_timer_stop(&sdk->stop_timer);
    sdk->stop_timer =
        loop_after(sdk_loop(sdk), 0, on_stop_timer, sdk); /* not from inside of the provider */
}

static void on_grace_over(void *user)
{
    struct sdk *sdk = user;
    sdk->stop_timer = NULL;
    log_warn("stopping with work unfinished");
    sdk_stopped(sdk);
}

static void stop_provider(struct sdk *sdk)
{
    uint64_t now = loop_now_ms(sdk_loop(sdk));
    if (sdk->stopped)
        return; /* its time was over before */
    if (sdk->provider->stop)
        sdk->provider->stop(sdk->self, sdk->stop_until_ms > now ? sdk->stop_until_ms - now : 0);
    else
        sdk_stopped(sdk);
}

void sdk_hold(struct sdk *sdk)
{
    sdk->holds++;
}

void sdk_unhold(struct sdk *sdk)
{
    assert(sdk->holds > 0);
    if (--sdk->holds == 0 && sdk->stopping)
        stop_provider(sdk);
}

static void on_drained(void *user)
{
    sdk_unhold(user);
}

/* What NATS has sent already is served, then the provider stops. */
void sdk_stop(struct sdk *sdk, uint64_t grace_ms)
{
    if (sdk->stopping)
        return;
    sdk->stopping = true;
    sdk->stop_until_ms = loop_now_ms(sdk_loop(sdk)) + grace_ms;
    sdk->stop_timer = loop_after(sdk_loop(sdk), grace_ms + 50, on_grace_over, sdk);
    sdk_hold(sdk); /* until every function is being drained */
    for (uint32_t i = 0; i < sdk->nserves; i++) {
        sdk_hold(sdk);
        wrpc_serve_drain(sdk->serves[i], on_drained, sdk);
    }
    sdk_unhold(sdk);
}

void sdk_lattice(struct sdk *sdk, bool up)
{
    if (sdk->provider->lattice)
        sdk->provider->lattice(sdk->self, up);
}

/* ---- invocations ---- */

#define PREFIX_MAX 512

static bool prefix_of(const struct sdk *sdk, struct str id, char out[PREFIX_MAX],
                      struct str *prefix, struct err *e)
{
    int n =
        snprintf(out, PREFIX_MAX, "%.*s.%.*s", STR_ARG(sdk->host.lattice_rpc_prefix), STR_ARG(id));
    if (n < 0 || n >= PREFIX_MAX)
        return err_set(e, ERR_LIMIT, "id of %zu bytes is too long", id.n);
    *prefix = (struct str){out, (size_t)n};
    return true;
}

bool sdk_invoke(struct sdk *sdk, const struct sdk_call *call, struct span params,
                const struct wit_pendings *result_paths, wrpc_bytes_fn *on_bytes,
                wrpc_end_fn *on_end, void *user, struct wrpc_call **out, struct err *e)
{
    char text[PREFIX_MAX];
    struct bus_header headers[2 + SDK_HEADERS_MAX] = {{STR("source-id"), sdk_id(sdk)},
                                                      {STR("target-id"), call->target}};
    struct wrpc_target t = {.instance = call->instance,
                            .func = call->func,
                            .headers = headers,
                            .nheaders = 2,
                            .paced = call->paced,
                            .bare = call->bare};
    assert(call->nheaders <= SDK_HEADERS_MAX);
    for (size_t i = 0; i < call->nheaders; i++)
        headers[t.nheaders++] = call->headers[i];
    return prefix_of(sdk, call->target, text, &t.prefix, e) &&
           wrpc_invoke(sdk->wrpc, &t, params, result_paths, call->deadline_ms, on_bytes, on_end,
                       user, out, e);
}

bool sdk_serve(struct sdk *sdk, struct str instance, struct str func,
               const struct wit_pendings *param_paths, wrpc_inv_fn *fn, void *user,
               struct wrpc_serve **out, struct err *e)
{
    char text[PREFIX_MAX];
    struct str prefix;
    if (sdk->nserves == SERVES_MAX)
        return err_set(e, ERR_LIMIT, "a provider serves at most %u functions", SERVES_MAX);
    if (!prefix_of(sdk, sdk_id(sdk), text, &prefix, e) ||
        !wrpc_serve_open(sdk->wrpc, prefix, prefix, instance, func, param_paths, fn, user, out, e))
        return false;
    sdk->serves[sdk->nserves++] = *out;
    return true;
}
