/* SPDX-License-Identifier: Apache-2.0 */
/* Owns everything of the daemon between its two connections: identity, labels, the parts, the heartbeat; and the
 * order in which they start and stop.
 * Keeps: parts are closed in the reverse of their opening; no part calls back after host_close. */
#include "hostd/host.h"

#include <assert.h>
#include <stdio.h>

#include "hostd/claims.h"
#include "hostd/host_int.h"
#include "hostd/image/image.h"
#include "hostd/policy.h"
#include "hostd/wasi/wasi.h"
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/log.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "lattice/base/rand.h"
#include "lattice/http/http_client.h"
#include "manifests/manifests.h"
#include "wrpc/wrpc.h"

#define FLUSH_MS 2000

/* ---- identity and labels --------------------------------------------------------------------------- */

static bool make_key(struct host *h, struct err *e)
{
    const char *seed = h->settings->host_seed;
    id_key_generate(ID_CURVE, &h->xkey);
    if (!seed)
        id_key_generate(ID_SERVER, &h->key);
    else if (!id_key_from_seed(str_of(seed), &h->key, e))
        return err_wrap(e, "--host-seed");
    if (h->key.type != ID_SERVER)
        return err_set(e, ERR_INVALID, "--host-seed: a host's seed begins with SN");
    id_key_public(&h->key, h->id);
    return true;
}

static void make_name(struct host *h)
{
    static const char *const adjectives[] = {
        "amber", "brave", "brisk", "calm",  "clear", "cosy",  "crisp", "dusky",
        "eager", "early", "fair",  "fresh", "grand", "green", "happy", "keen",
        "light", "lucid", "misty", "noble", "quiet", "rapid", "ready", "round",
        "sandy", "sharp", "snowy", "solid", "sunny", "swift", "vivid", "warm"};
    static const char *const nouns[] = {
        "acorn",  "bay",   "beech", "birch", "brook",  "cedar", "cliff",  "cloud",
        "coast",  "creek", "delta", "dune",  "falcon", "field", "fjord",  "grove",
        "heron",  "hill",  "lake",  "lark",  "maple",  "marsh", "otter",  "peak",
        "pebble", "pine",  "reef",  "ridge", "river",  "stone", "willow", "wren"};
    uint64_t n = rand_u64();
    snprintf(h->friendly_name, sizeof h->friendly_name, "%s-%s-%04u",
             adjectives[n % ARRAY_LEN(adjectives)], nouns[(n >> 16) % ARRAY_LEN(nouns)],
             (unsigned)((n >> 32) % 9999 + 1));
}

struct str host_id(const struct host *h)
{
    return (struct str){h->id, ID_PUBLIC_LEN};
}

uint64_t host_uptime_s(const struct host *h)
{
    return (clock_mono_ms() - h->started_ms) / 1000;
}

struct proto_map host_labels(const struct host *h)
{
    return (struct proto_map){h->labels, h->nlabels};
}

static void label_free(struct proto_pair *pair)
{
    free((void *)(uintptr_t)pair->key.p);
    free((void *)(uintptr_t)pair->value.p);
}

bool host_label_del(struct host *h, struct str key)
{
    for (uint32_t i = 0; i < h->nlabels; i++) {
        if (!str_eq(h->labels[i].key, key))
            continue;
        label_free(&h->labels[i]);
        h->labels[i] = h->labels[--h->nlabels];
        return true;
    }
    return false;
}

bool host_label_put(struct host *h, struct str key, struct str value, struct err *e)
{
    if (key.n == 0)
        return err_set(e, ERR_INVALID, "a label needs a key");
    if (h->nlabels == HOST_LABELS_MAX && !host_label_del(h, key))
        return err_set(e, ERR_LIMIT, "a host has at most %u labels", HOST_LABELS_MAX);
    host_label_del(h, key);
    h->labels[h->nlabels++] = (struct proto_pair){{str_dup(key), key.n}, {str_dup(value), value.n}};
    return true;
}

static bool copy_labels(struct host *h, struct err *e)
{
    const struct proto_map *m = &h->settings->labels;
    for (uint32_t i = 0; i < m->n; i++) {
        if (!host_label_put(h, m->v[i].key, m->v[i].value, e))
            return false;
    }
    return true;
}

/* ---- start ----------------------------------------------------------------------------------------- */

static void on_heartbeat(void *user)
{
    struct host *h = user;
    room_check(&h->room);
    report_heartbeat(h);
}

static bool open_scheduler(struct host *h, struct err *e)
{
    const struct settings *s = h->settings;
    struct scheduler_opts opts = {.lattice = h->space.lattice,
                                  .host_id = host_id(h),
                                  .js_domain = str_of(s->js_domain),
                                  .manifest_bucket = str_of(s->manifest_bucket),
                                  .api_prefix = str_of(s->api_prefix),
                                  .ctl_prefix = h->space.ctl_prefix,
                                  .lost_after_ms = s->lost_after_s * 1000};
    if (s->no_scheduler)
        return true;
    h->scheduler = scheduler_open(h->opts.ctl, &opts, e);
    return h->scheduler != NULL;
}

static void on_grants(void *user, const struct err *why)
{
    struct host *h = user;
    struct err e = ERR_INIT;
    if (h->stopping)
        return;
    if (why || !open_scheduler(h, &e)) {
        e = why ? *why : e;
        err_wrap(&e, "join lattice %.*s", STR_ARG(h->space.lattice));
        h->opts.ready(h->opts.user, &e);
        return;
    }
    h->running = true;
    h->heartbeat = loop_every(h->loop, h->settings->heartbeat_s * 1000, on_heartbeat, h);
    room_report();
    report_started(h);
    log_info("host started", LS("host", host_id(h)), LZ("name", h->friendly_name),
             LS("lattice", h->space.lattice), LS("ctl", bus_url(h->opts.ctl)));
    h->opts.ready(h->opts.user, NULL);
}

static void on_link_added(void *user, const struct proto_link *link)
{
    struct host *h = user;
    if (!h->stopping)
        sidecars_link_added(h->sidecars, link);
}

static bool open_images(struct host *h, struct err *e)
{
    const struct settings *s = h->settings;
    struct image_opts opts = {.loop = h->loop,
                              .bytes_max = s->image_bytes_max,
                              .allow_file = s->allow_file_load,
                              .no_aliases = s->no_provider_aliases,
                              .cache = str_of(s->image_cache),
                              .cache_bytes_max = s->image_cache_bytes,
                              .insecure = str_of(s->allowed_insecure),
                              .mirrors = str_of(s->oci_mirrors),
                              .ca_files = str_of(s->tls_ca_path),
                              .allow_latest = s->allow_latest};
    struct image_registry login = {.authority = str_of(s->oci_registry),
                                   .username = str_of(s->oci_user),
                                   .password = str_of(s->oci_password)};
    h->images = images_open(&opts, e);
    return h->images && (!login.authority.n || images_put_registry(h->images, &login, e));
}

static bool open_client(struct host *h, struct err *e)
{
    const struct settings *s = h->settings;
    struct http_client_opts opts = {.loop = h->loop, .allow = s->http_allow, .ca_file = s->http_ca};
    return !s->http_allow || http_client_open(&opts, &h->client, e) ||
           err_wrap(e, "--http-allow, --http-ca");
}

/* Rules between commas. */
static bool open_net(struct host *h, struct err *e)
{
    struct str rest = str_of(h->settings->net_allow), rule;
    if (rest.n == 0)
        return true;
    h->net = wasi_net_new();
    while (str_cut(&rest, ',', &rule))
        if (!wasi_net_allow(h->net, str_trim(rule), e))
            return err_wrap(e, "--net-allow");
    return true;
}

static void open_workloads(struct host *h)
{
    const struct settings *s = h->settings;
    h->spool.file_bytes_max = s->unread_bytes_max;
    h->spool.bytes_max = s->spool_bytes_max;
    struct workload_opts opts = {.loop = h->loop,
                                 .rpc = h->wrpc,
                                 .grants = h->grants,
                                 .policy = h->policy,
                                 .images = h->images,
                                 .client = h->client,
                                 .net = h->net,
                                 .spool = &h->spool,
                                 .lattice = h->space.lattice,
                                 .workers = (uint32_t)s->workers,
                                 .execution_ms_max = s->execution_ms_max,
                                 .memory_bytes_max = s->memory_bytes_max,
                                 .queue_max = (uint32_t)s->queue_max,
                                 .queue_bytes_max = s->queue_bytes_max,
                                 .instances_max = (uint32_t)s->instances_max};
    h->workloads = workloads_open(&opts);
}

static void open_sidecars(struct host *h)
{
    const struct settings *s = h->settings;
    struct sidecar_opts opts = {.rpc = h->opts.rpc,
                                .grants = h->grants,
                                .policy = h->policy,
                                .lattice = h->space.lattice,
                                .host_id = host_id(h),
                                .host_xkey = &h->xkey,
                                .rpc_url = bus_url(h->opts.rpc),
                                .rpc_jwt = str_of(s->rpc_jwt),
                                .rpc_seed = str_of(s->rpc_seed),
                                .rpc_creds = str_of(s->rpc_creds),
                                .rpc_ca_file = str_of(s->rpc_ca_file),
                                .rpc_timeout_ms = s->rpc_timeout_ms,
                                .shutdown_ms = s->provider_shutdown_ms,
                                .log_level = str_of(s->log_level),
                                .log_json = s->log_json,
                                .images = h->images,
                                .news = report_sidecar,
                                .user = h};
    h->sidecars = sidecars_open(&opts);
}

static bool open_policy(struct host *h, struct err *e)
{
    const struct settings *s = h->settings;
    struct policy_opts opts = {
        .ctl = h->opts.ctl,
        .topic = str_of(s->policy_topic),
        .changes_topic = str_of(s->policy_changes_topic),
        .timeout_ms = s->policy_timeout_ms,
        .host = {.public_key = host_id(h), .lattice = h->space.lattice, .labels = host_labels(h)}};
    return !s->policy_topic || policy_open(&opts, &h->policy, e);
}

static bool open_secrets(struct host *h, struct err *e)
{
    struct buf token = BUF_INIT;
    if (!h->settings->secrets_topic)
        return true;
    bool ok = claims_of_host(host_id(h), str_of(h->friendly_name), &token, e);
    struct secrets_opts opts = {.ctl = h->opts.ctl,
                                .topic = str_of(h->settings->secrets_topic),
                                .host_jwt = buf_view(&token)};
    if (ok)
        h->secrets = secrets_open(&opts);
    buf_fini(&token);
    return ok;
}

static bool open_grants(struct host *h, struct err *e)
{
    struct grant_opts opts = {.ctl = h->opts.ctl,
                              .lattice = h->space.lattice,
                              .js_domain = str_of(h->settings->js_domain),
                              .secrets = h->secrets,
                              .ready = on_grants,
                              .link_added = on_link_added,
                              .user = h};
    return grants_open(&opts, &h->grants, e);
}

static bool open_parts(struct host *h, struct err *e)
{
    if (!make_key(h, e) || !copy_labels(h, e) || !open_policy(h, e) || !open_secrets(h, e) ||
        !open_grants(h, e) || !wrpc_open(h->opts.rpc, NULL, &h->wrpc, e) || !open_images(h, e) ||
        !open_client(h, e) || !open_net(h, e))
        return false;
    open_workloads(h);
    open_sidecars(h);
    h->control = control_open(h, e);
    return h->control != NULL;
}

bool host_open(const struct host_opts *opts, struct host **out, struct err *e)
{
    const struct settings *s = opts->settings;
    struct host *h = xnew(struct host);
    h->opts = *opts;
    h->settings = s;
    h->loop = bus_loop(opts->ctl);
    h->space = (struct proto_space){.lattice = str_of(s->lattice),
                                    .ctl_prefix = str_of(s->ctl_prefix),
                                    .api_prefix = str_of(s->api_prefix)};
    h->started_ms = clock_mono_ms();
    make_name(h);
    if (!open_parts(h, e)) {
        host_close(h);
        return false;
    }
    *out = h;
    return true;
}

/* ---- stop ------------------------------------------------------------------------------------------ */

static void stopped(struct host *h, const struct err *e)
{
    loop_timer_stop(&h->deadline);
    h->opts.stopped(h->opts.user, e);
}

static void on_deadline(void *user)
{
    struct host *h = user;
    struct err e = ERR_INIT;
    h->deadline = NULL;
    err_set(&e, ERR_TIMEOUT, "the host could not stop in time");
    stopped(h, &e);
}

/* The last flush; a bus does not cancel one, so it may come back after the host was closed. */
struct farewell {
    struct host *h; /* NULL: closed meanwhile */
};

static struct host *farewell_end(struct farewell *f, const struct err *e)
{
    struct host *h = f->h;
    free(f);
    if (!h)
        return NULL;
    h->farewell = NULL;
    if (e)
        log_warn("connection not flushed", LE(e));
    return h;
}

/* Without a connection there is nothing to wait for. */
static void flush(struct host *h, struct bus *bus, void (*done)(void *user, const struct err *e))
{
    struct err e = ERR_INIT;
    h->farewell = xnew(struct farewell);
    h->farewell->h = h;
    if (bus_state(bus) != BUS_UP) {
        err_set(&e, ERR_CLOSED, "no connection to the NATS server");
        done(h->farewell, &e);
        return;
    }
    bus_flush(bus, FLUSH_MS, done, h->farewell);
}

static void on_rpc_flushed(void *user, const struct err *e)
{
    struct host *h = farewell_end(user, e);
    if (h && h->deadline)
        stopped(h, NULL);
}

static void on_ctl_flushed(void *user, const struct err *e)
{
    struct host *h = farewell_end(user, e);
    if (h)
        flush(h, h->opts.rpc, on_rpc_flushed);
}

static void on_sidecars_gone(void *user)
{
    struct host *h = user;
    report_stopped(h);
    flush(h, h->opts.ctl, on_ctl_flushed);
}

static void on_drained(void *user)
{
    struct host *h = user;
    if (!h->drain)
        return; /* its time was over before */
    loop_timer_stop(&h->drain);
    sidecars_stop_all(h->sidecars, on_sidecars_gone, h);
}

static void on_drain_end(void *user)
{
    struct host *h = user;
    h->drain = NULL;
    log_warn("ending invocations that still run", LS("host", host_id(h)));
    workloads_cancel(h->workloads);
    sidecars_stop_all(h->sidecars, on_sidecars_gone, h);
}

/* Providers go after the invocations, which may need them. Of the time, half or more is the invocations'; without a
 * connection nobody would get their answers. */
static void drain(struct host *h, uint64_t timeout_ms)
{
    uint64_t after_ms = MIN(timeout_ms / 2, h->settings->provider_shutdown_ms + FLUSH_MS);
    bool connected = bus_state(h->opts.rpc) == BUS_UP;
    h->drain = loop_after(h->loop, connected ? timeout_ms - after_ms : 0, on_drain_end, h);
    workloads_drain(h->workloads, on_drained, h);
}

void host_stop(struct host *h, uint64_t timeout_ms)
{
    if (h->stopping)
        return;
    h->stopping = true;
    log_info("host stopping", LS("host", host_id(h)));
    loop_timer_stop(&h->heartbeat);
    control_stop(h->control);
    scheduler_close(h->scheduler);
    h->scheduler = NULL;
    h->deadline = loop_after(h->loop, timeout_ms, on_deadline, h);
    drain(h, timeout_ms);
}

void host_close(struct host *h)
{
    if (!h)
        return;
    loop_timer_stop(&h->heartbeat);
    loop_timer_stop(&h->deadline);
    loop_timer_stop(&h->drain);
    if (h->farewell)
        h->farewell->h = NULL;
    scheduler_close(h->scheduler);
    control_close(h->control);
    sidecars_close(h->sidecars);
    workloads_close(h->workloads);
    images_close(h->images);
    http_client_close(h->client);
    wasi_net_free(h->net);
    wrpc_close(h->wrpc);
    grants_close(h->grants);
    secrets_close(h->secrets);
    policy_close(h->policy);
    while (h->nlabels > 0)
        label_free(&h->labels[--h->nlabels]);
    id_key_fini(&h->key);
    id_key_fini(&h->xkey);
    free(h);
}
