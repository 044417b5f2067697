/* SPDX-License-Identifier: Apache-2.0 */
/* Control operations on this host and what runs on it: host, labels, auctions, components, providers.
 * Keeps: what takes time is acknowledged first and its end told by an event. */
#include "hostd/control_int.h"

/* ---- host ------------------------------------------------------------------------------------------ */

void control_on_ping(struct request *r)
{
    const struct host *h = r->host;
    char uptime[PROTO_UPTIME_MAX];
    struct proto_host m = {
        .id = host_id(h),
        .friendly_name = str_of(h->friendly_name),
        .lattice = h->space.lattice,
        .labels = host_labels(h),
        .uptime_seconds = host_uptime_s(h),
        .uptime_human = str_of(proto_uptime(host_uptime_s(h), uptime)),
        .version = STR(HOST_VERSION),
        .ctl_host = bus_url(h->opts.ctl),
        .rpc_host = bus_url(h->opts.rpc),
        .js_domain = str_of(h->settings->js_domain),
    };
    control_say_data(r, &m);
}

void control_on_get(struct request *r)
{
    struct proto_inventory inv;
    struct err e = ERR_INIT;
    if (report_inventory(r->host, &r->arena, &inv, &e))
        control_say_data(r, &inv);
    else
        control_say_error(r, &e);
}

void control_on_probe(struct request *r)
{
    control_say_ok(r, STR(""));
}

void control_on_stop(struct request *r)
{
    struct host *h = r->host;
    struct proto_host_stop m;
    struct err e = ERR_INIT;
    if (!proto_host_stop_decode(r->body, &r->arena, &m, &e)) {
        control_say_unreadable(r, "stop command", &e);
    } else if (m.host_id.n > 0 && !str_eq(m.host_id, host_id(h))) {
        err_set(&e, ERR_INVALID, "invalid host_id [%.*s]", STR_ARG(m.host_id));
        control_say_error(r, &e);
    } else {
        uint64_t timeout_ms = m.timeout_ms.set ? m.timeout_ms.v : HOST_STOP_MS;
        control_say_ok(r, STR("successfully handled stop host"));
        host_stop(h, timeout_ms);
    }
}

void control_on_label_put(struct request *r)
{
    struct proto_label m;
    struct err e = ERR_INIT;
    if (!proto_label_decode(r->body, &r->arena, &m, &e)) {
        control_say_unreadable(r, "put label request", &e);
    } else if (m.key.n >= 9 && strncasecmp(m.key.p, "hostcore.", 9) == 0) {
        control_say_no(r, STR("hostcore.* labels cannot be set dynamically"));
    } else if (!host_label_put(r->host, m.key, m.value, &e)) {
        control_say_error(r, &e);
    } else {
        report_labels(r->host);
        control_say_ok(r, STR("successfully put label"));
    }
}

void control_on_label_del(struct request *r)
{
    struct proto_label_del m;
    struct err e = ERR_INIT;
    if (!proto_label_del_decode(r->body, &r->arena, &m, &e)) {
        control_say_unreadable(r, "delete label request", &e);
    } else if (host_label_del(r->host, m.key)) {
        report_labels(r->host);
        control_say_ok(r, STR("successfully deleted label"));
    } else {
        control_say_ok(r, STR("successfully deleted label (no such label)"));
    }
}

/* ---- auctions -------------------------------------------------------------------------------------- */

static bool eligible(const struct host *h, const struct proto_map *constraints)
{
    struct proto_map labels = host_labels(h);
    struct str value;
    for (uint32_t i = 0; i < constraints->n; i++) {
        if (!proto_map_get(&labels, constraints->v[i].key, &value) ||
            !str_eq(value, constraints->v[i].value))
            return false;
    }
    return true;
}

void control_on_component_auction(struct request *r)
{
    struct proto_component_auction m;
    struct err e = ERR_INIT;
    if (!proto_component_auction_decode(r->body, &r->arena, &m, &e)) {
        control_say_unreadable(r, "component auction command", &e);
    } else if (!eligible(r->host, &m.constraints) ||
               workload_find(r->host->workloads, m.component_id, NULL)) {
        control_say_nothing(r);
    } else {
        struct proto_component_bid bid = {host_id(r->host), m.component_ref, m.component_id,
                                          m.constraints};
        control_say_data(r, &bid);
    }
}

void control_on_provider_auction(struct request *r)
{
    struct proto_provider_auction m;
    struct err e = ERR_INIT;
    if (!proto_provider_auction_decode(r->body, &r->arena, &m, &e)) {
        control_say_unreadable(r, "provider auction command", &e);
    } else if (!eligible(r->host, &m.constraints) ||
               sidecar_state(r->host->sidecars, m.provider_id) == SIDECAR_RUNNING) {
        control_say_nothing(r);
    } else {
        struct proto_provider_bid bid = {host_id(r->host), m.provider_ref, m.provider_id,
                                         m.constraints};
        control_say_data(r, &bid);
    }
}

/* ---- components ------------------------------------------------------------------------------------ */

static void on_scaled(void *user, const struct workload_info *info, const struct err *e)
{
    report_scaled(user, info, e);
}

/* What the answer to a scale says about another image than the running one; empty when there is nothing to say. */
static struct str image_notice(struct request *r, const struct proto_scale *m)
{
    struct workload_info runs;
    if (!workload_find(r->host->workloads, m->component_id, &runs) ||
        str_eq(runs.image_ref, m->component_ref))
        return STR("");
    return str_of(arena_printf(&r->arena, "a different image is running: %.*s != %.*s; %s",
                               STR_ARG(runs.image_ref), STR_ARG(m->component_ref),
                               m->allow_update ? "it will be updated after scaling"
                                               : "it will not be updated"));
}

void control_on_scale(struct request *r)
{
    struct proto_scale m;
    struct err e = ERR_INIT;
    if (!proto_scale_decode(r->body, &r->arena, &m, &e)) {
        control_say_unreadable(r, "component scale command", &e);
        return;
    }
    if (!control_check_id(r, m.component_id))
        return;
    struct workload_spec spec = {.id = m.component_id,
                                 .image_ref = m.component_ref,
                                 .max_instances = m.max_instances,
                                 .annotations = m.annotations,
                                 .config = m.config,
                                 .limits = m.limits,
                                 .allow_update = m.allow_update};
    struct str notice = image_notice(r, &m);
    workload_scale(r->host->workloads, &spec, on_scaled, r->host);
    control_say_ok(r, notice);
}

void control_on_update(struct request *r)
{
    struct host *h = r->host;
    struct proto_update m;
    struct workload_info runs;
    struct err e = ERR_INIT;
    if (!proto_update_decode(r->body, &r->arena, &m, &e)) {
        control_say_unreadable(r, "component update command", &e);
    } else if (!workload_find(h->workloads, m.component_id, &runs)) {
        err_set(&e, ERR_NOT_FOUND, "component %.*s not found", STR_ARG(m.component_id));
        control_say_error(r, &e);
    } else if (str_eq(runs.image_ref, m.new_component_ref)) {
        control_say_ok(r,
                       str_of(arena_printf(&r->arena, "component %.*s already updated to %.*s",
                                           STR_ARG(m.component_id), STR_ARG(m.new_component_ref))));
    } else {
        struct str text = str_of(arena_printf(
            &r->arena, "component %.*s updating from %.*s to %.*s", STR_ARG(m.component_id),
            STR_ARG(runs.image_ref), STR_ARG(m.new_component_ref)));
        workload_update(h->workloads, m.component_id, m.new_component_ref, &m.annotations,
                        on_scaled, h);
        control_say_ok(r, text);
    }
}

/* ---- providers ------------------------------------------------------------------------------------- */

static void start_provider(struct request *r, const struct proto_provider_start *m)
{
    struct host *h = r->host;
    struct err e = ERR_INIT;
    struct sidecar_spec spec = {m->provider_id, m->provider_ref, m->annotations, m->config};
    if (!sidecar_start(h->sidecars, &spec, &e)) {
        struct sidecar_info info = {.id = m->provider_id, .given_ref = m->provider_ref};
        report_sidecar(h, SIDECAR_START_FAILED, &info, &e);
    }
    control_say_ok(r, STR("successfully started provider"));
}

void control_on_provider_start(struct request *r)
{
    struct proto_provider_start m;
    struct err e = ERR_INIT;
    if (!proto_provider_start_decode(r->body, &r->arena, &m, &e)) {
        control_say_unreadable(r, "provider start command", &e);
        return;
    }
    if (!control_check_id(r, m.provider_id))
        return;
    switch (sidecar_state(r->host->sidecars, m.provider_id)) {
    case SIDECAR_RUNNING:
        control_say_no(r, STR("provider with that ID is already running"));
        break;
    case SIDECAR_STARTING: /* the same again: the one under way will do */
        control_say_ok(r, STR("successfully started provider"));
        break;
    case SIDECAR_NONE:
        start_provider(r, &m);
        break;
    }
}

static void on_provider_stopped(void *user)
{
    control_say_ok(user, STR("successfully stopped provider"));
}

void control_on_provider_stop(struct request *r)
{
    struct proto_provider_stop m;
    struct err e = ERR_INIT;
    if (!proto_provider_stop_decode(r->body, &r->arena, &m, &e))
        control_say_unreadable(r, "provider stop command", &e);
    else if (!sidecar_stop(r->host->sidecars, m.provider_id, on_provider_stopped, r))
        control_say_no(r, STR("provider with that ID is not running"));
}
