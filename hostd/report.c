/* SPDX-License-Identifier: Apache-2.0 */
/* What the host tells the lattice: events on the control connection, its inventory.
 * Keeps: annotations, references and ids go out exactly as they came in; schedulers compare them. */
#include <assert.h>

#include "hostd/host_int.h"
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"

#define INVENTORY_BYTES_MAX (64u << 20)

void report_event(struct host *h, enum proto_event_kind kind, const void *data)
{
    struct err e = ERR_INIT;
    struct proto_event ev = {.source = host_id(h), .kind = kind, .data.any = data};
    if (!proto_event_publish(h->opts.ctl, h->space.lattice, &ev, &e))
        log_warn("event not sent", LZ("event", proto_event_name(kind)), LE(&e));
}

/* ---- inventory ------------------------------------------------------------------------------------- */

static bool list_components(struct host *h, struct arena *a, struct proto_component_list *out)
{
    uint32_t n = 0;
    for (struct workload_iter it = workloads_iter(h->workloads); workload_next(&it);)
        n++;
    struct proto_component *v = arena_array(a, struct proto_component, n);
    n = 0;
    for (struct workload_iter it = workloads_iter(h->workloads); v && workload_next(&it);)
        v[n++] = (struct proto_component){.id = it.info.id,
                                          .image_ref = it.info.image_ref,
                                          .name = it.info.name,
                                          .annotations = it.info.annotations,
                                          .revision = it.info.revision,
                                          .max_instances = it.info.max_instances,
                                          .limits = it.info.limits};
    *out = (struct proto_component_list){v, n};
    return v != NULL;
}

static bool list_providers(struct host *h, struct arena *a, struct proto_provider_list *out)
{
    uint32_t n = 0;
    for (struct sidecar_iter it = sidecars_iter(h->sidecars); sidecar_next(&it);)
        n++;
    struct proto_provider *v = arena_array(a, struct proto_provider, n);
    n = 0;
    for (struct sidecar_iter it = sidecars_iter(h->sidecars); v && sidecar_next(&it);)
        v[n++] = (struct proto_provider){.id = it.info.id,
                                         .image_ref = it.info.image_ref,
                                         .name = it.info.name,
                                         .annotations = it.info.annotations,
                                         .revision = it.info.revision};
    *out = (struct proto_provider_list){v, n};
    return v != NULL;
}

bool report_inventory(struct host *h, struct arena *a, struct proto_inventory *out, struct err *e)
{
    char uptime[PROTO_UPTIME_MAX];
    struct proto_inventory inv = {
        .host_id = host_id(h),
        .friendly_name = str_of(h->friendly_name),
        .version = STR(HOST_VERSION),
        .uptime_human = arena_str(a, str_of(proto_uptime(host_uptime_s(h), uptime))),
        .labels = host_labels(h),
        .uptime_seconds = host_uptime_s(h),
    };
    if (!inv.uptime_human.p || !list_components(h, a, &inv.components) ||
        !list_providers(h, a, &inv.providers))
        return arena_full(a, e);
    *out = inv;
    return true;
}

/* ---- the host -------------------------------------------------------------------------------------- */

/* Invites the scheduler to notice our loss sooner than heartbeats allow. */
static struct proto_u64 probe_interval(const struct host *h)
{
    uint64_t ms = h->settings->probe_interval_ms;
    return (struct proto_u64){ms, ms > 0};
}

void report_started(struct host *h)
{
    struct proto_host_event ev = {.friendly_name = str_of(h->friendly_name),
                                  .labels = host_labels(h),
                                  .version = STR(HOST_VERSION),
                                  .probe_interval_ms = probe_interval(h)};
    report_event(h, PROTO_EVENT_HOST_STARTED, &ev);
}

void report_heartbeat(struct host *h)
{
    struct err e = ERR_INIT;
    struct arena a;
    struct proto_inventory inv;
    arena_init(&a, INVENTORY_BYTES_MAX);
    if (report_inventory(h, &a, &inv, &e)) {
        inv.probe_interval_ms = probe_interval(h);
        report_event(h, PROTO_EVENT_HOST_HEARTBEAT, &inv);
    } else {
        log_error("heartbeat not sent", LE(&e));
    }
    arena_fini(&a);
}

void report_stopped(struct host *h)
{
    struct proto_host_event ev = {.labels = host_labels(h)};
    report_event(h, PROTO_EVENT_HOST_STOPPED, &ev);
}

void report_labels(struct host *h)
{
    struct proto_host_event ev = {.host_id = host_id(h), .labels = host_labels(h)};
    report_event(h, PROTO_EVENT_LABELS_CHANGED, &ev);
}

/* ---- components and providers ---------------------------------------------------------------------- */

void report_scaled(struct host *h, const struct workload_info *info, const struct err *e)
{
    struct proto_component_event ev = {.host_id = host_id(h),
                                       .component_id = info->id,
                                       .image_ref = info->image_ref,
                                       .max_instances = info->max_instances,
                                       .annotations = info->annotations,
                                       .error = e ? str_of(e->text) : STR_NONE,
                                       .public_key = info->public_key,
                                       .claims = info->claims};
    if (e)
        log_warn("component not scaled", LS("component", info->id), LS("image", info->image_ref),
                 LE(e));
    else
        log_info("component scaled", LS("component", info->id), LS("image", info->image_ref),
                 LI("max_instances", info->max_instances));
    report_event(h, e ? PROTO_EVENT_COMPONENT_SCALE_FAILED : PROTO_EVENT_COMPONENT_SCALED, &ev);
}

static enum proto_event_kind event_of(enum sidecar_news news)
{
    switch (news) {
    case SIDECAR_STARTED:
        return PROTO_EVENT_PROVIDER_STARTED;
    case SIDECAR_START_FAILED:
        return PROTO_EVENT_PROVIDER_START_FAILED;
    case SIDECAR_STOPPED:
    case SIDECAR_LOST:
        return PROTO_EVENT_PROVIDER_STOPPED;
    case SIDECAR_HEALTH_PASSED:
        return PROTO_EVENT_HEALTH_PASSED;
    case SIDECAR_HEALTH_FAILED:
        return PROTO_EVENT_HEALTH_FAILED;
    case SIDECAR_HEALTH_STATUS:
        return PROTO_EVENT_HEALTH_STATUS;
    }
    assert(false);
    return PROTO_EVENT_UNKNOWN;
}

void report_sidecar(void *user, enum sidecar_news news, const struct sidecar_info *info,
                    const struct err *e)
{
    struct host *h = user;
    enum proto_event_kind kind = event_of(news);
    struct proto_health_event health = {host_id(h), info->id, e ? str_of(e->text) : STR_NONE};
    bool stopped = kind == PROTO_EVENT_PROVIDER_STOPPED;
    bool named = info->claims || stopped; /* which carry the id under its older names, too */
    char reason[ERR_TEXT_MAX + 16] = "stop";
    if (news == SIDECAR_LOST)
        snprintf(reason, sizeof reason, "exited: %s", e->text);
    struct proto_provider_event ev = {
        .host_id = host_id(h),
        .provider_id = info->id,
        .image_ref = info->image_ref,
        .provider_ref = info->given_ref,
        .annotations = info->annotations,
        .error = e ? str_of(e->text) : STR_NONE,
        .reason = str_of(reason),
        .instance_id = named ? info->id : STR_NONE,
        .public_key = named ? info->id : STR_NONE,
        .link_name = named || kind == PROTO_EVENT_PROVIDER_START_FAILED ? STR("default") : STR_NONE,
        .claims = info->claims,
    };
    bool about_health = news >= SIDECAR_HEALTH_PASSED;
    report_event(h, kind, about_health ? (const void *)&health : &ev);
}

/* ---- links and configuration ----------------------------------------------------------------------- */

void report_link(struct host *h, const struct proto_link *link, const struct err *e)
{
    struct proto_link_event ev = {.link = *link, .error = e ? str_of(e->text) : STR_NONE};
    report_event(h, e ? PROTO_EVENT_LINK_SET_FAILED : PROTO_EVENT_LINK_SET, &ev);
}

void report_config(struct host *h, enum proto_event_kind kind, struct str name)
{
    struct proto_config_event ev = {name};
    report_event(h, kind, &ev);
}
