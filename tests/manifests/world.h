/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated lattice: one loop, one bus, small hosts that answer control requests, keep what they were told to run and
 * report it, and up to three schedulers. Deterministic for a seed. */
#ifndef HOSTD_TESTS_MANIFESTS_WORLD_H
#define HOSTD_TESTS_MANIFESTS_WORLD_H

#include "lattice/base/loop.h"
#include "lattice/base/rand.h"
#include "manifests/manifests_int.h"

#include <check.h>
#include <stdio.h>

#define HOSTS_MAX 6
#define RUNNING_MAX 8

struct world;

struct running {
    char id[64], image[64], app[32], scaler[65], spread[32];
    uint32_t count; /* 0: a provider */
    bool used;
};

struct host {
    struct world *w;
    struct bus *bus; /* NULL: not there */
    struct bus_sub *subs[24];
    struct loop_timer *heartbeat;
    struct kv *data, *config;
    char id[32], zone[16];
    struct running running[RUNNING_MAX];
    const char *fails;    /* the text with which starts fail */
    bool silent_failures; /* accepted, and nothing happens */
    uint32_t commands;    /* scale, start and stop requests met */
};

struct world {
    struct loop *loop;
    struct bus_sim *net;
    struct bus *client_bus;
    struct proto_client *client;
    struct bus *sched_bus[3];
    struct scheduler *sched[3];
    struct host hosts[HOSTS_MAX];
    struct kv *data, *config;
    bool answered;
    enum proto_result result;
    char text[4096]; /* of the last answer: message, or what was asked for */
};

static const struct proto_space space = {{"default", 7}, {NULL, 0}, {NULL, 0}};

static void run(struct world *w, uint64_t ms)
{
    loop_sim_advance(w->loop, ms);
}

/* ---- hosts ----------------------------------------------------------------------------------------- */

static struct running *find(struct host *h, struct str id)
{
    for (int i = 0; i < RUNNING_MAX; i++)
        if (h->running[i].used && str_eqz(id, h->running[i].id))
            return &h->running[i];
    return NULL;
}

static struct running *room(struct host *h)
{
    for (int i = 0; i < RUNNING_MAX; i++)
        if (!h->running[i].used)
            return &h->running[i];
    ck_abort_msg("no room on host");
}

static void keep(char *out, size_t cap, struct str s)
{
    snprintf(out, cap, "%.*s", STR_ARG(s));
}

static struct proto_map annotations_of(const struct running *r, struct proto_pair *v)
{
    v[0] = (struct proto_pair){STR(ANNOTATION_MANAGED_BY), STR("wadm")};
    v[1] = (struct proto_pair){STR(ANNOTATION_APP), str_of(r->app)};
    v[2] = (struct proto_pair){STR(ANNOTATION_SCALER), str_of(r->scaler)};
    v[3] = (struct proto_pair){STR(ANNOTATION_SPREAD), str_of(r->spread)};
    return (struct proto_map){v, 4};
}

static void set_annotations(struct running *r, const struct proto_map *m)
{
    struct str v;
    if (proto_map_get(m, STR(ANNOTATION_APP), &v))
        keep(r->app, sizeof r->app, v);
    if (proto_map_get(m, STR(ANNOTATION_SCALER), &v))
        keep(r->scaler, sizeof r->scaler, v);
    if (proto_map_get(m, STR(ANNOTATION_SPREAD), &v))
        keep(r->spread, sizeof r->spread, v);
}

struct inventory_room {
    struct proto_inventory in;
    struct proto_pair labels[1], annotations[RUNNING_MAX][4];
    struct proto_component components[RUNNING_MAX];
    struct proto_provider providers[RUNNING_MAX];
};

static void inventory(const struct host *h, struct inventory_room *r)
{
    *r = (struct inventory_room){.in = {.host_id = str_of(h->id),
                                        .friendly_name = str_of(h->id),
                                        .version = STR("1.9.2"),
                                        .uptime_human = STR("1s"),
                                        .labels = {r->labels, 1},
                                        .components = {r->components, 0},
                                        .providers = {r->providers, 0},
                                        .probe_interval_ms = {1000, true}}};
    r->labels[0] = (struct proto_pair){STR("zone"), str_of(h->zone)};
    for (int i = 0; i < RUNNING_MAX; i++) {
        const struct running *x = &h->running[i];
        if (!x->used)
            continue;
        struct proto_map map = annotations_of(x, r->annotations[i]);
        if (x->count)
            r->components[r->in.components.n++] =
                (struct proto_component){.id = str_of(x->id),
                                         .image_ref = str_of(x->image),
                                         .annotations = map,
                                         .max_instances = x->count};
        else
            r->providers[r->in.providers.n++] = (struct proto_provider){
                .id = str_of(x->id), .image_ref = str_of(x->image), .annotations = map};
    }
}

static void publish(struct host *h, enum proto_event_kind kind, const void *data)
{
    struct proto_event ev = {.source = str_of(h->id), .kind = kind, .data.any = data};
    struct err e = ERR_INIT;
    ck_assert_msg(proto_event_publish(h->bus, space.lattice, &ev, &e), "%s", e.text);
}

static void on_heartbeat(void *user)
{
    struct inventory_room r;
    inventory(user, &r);
    publish(user, PROTO_EVENT_HOST_HEARTBEAT, &r.in);
}

static void host_scale(struct host *h, const struct proto_scale *m)
{
    struct running *r = find(h, m->component_id);
    struct proto_component_event ev = {.host_id = str_of(h->id),
                                       .component_id = m->component_id,
                                       .image_ref = m->component_ref,
                                       .max_instances = m->max_instances,
                                       .annotations = m->annotations};
    h->commands++;
    if (h->silent_failures)
        return;
    if (h->fails && m->max_instances > 0) {
        ev.error = str_of(h->fails);
        publish(h, PROTO_EVENT_COMPONENT_SCALE_FAILED, &ev);
        return;
    }
    if (!r && m->max_instances > 0) {
        r = room(h);
        *r = (struct running){.used = true};
        keep(r->id, sizeof r->id, m->component_id);
        keep(r->image, sizeof r->image, m->component_ref);
    }
    if (r && m->max_instances == 0)
        r->used = false;
    if (r && m->max_instances > 0) {
        if (m->allow_update)
            keep(r->image, sizeof r->image, m->component_ref);
        r->count = m->max_instances;
        set_annotations(r, &m->annotations);
    }
    publish(h, PROTO_EVENT_COMPONENT_SCALED, &ev);
}

static void host_start(struct host *h, const struct proto_provider_start *m)
{
    struct proto_provider_event ev = {.host_id = str_of(h->id),
                                      .provider_id = m->provider_id,
                                      .image_ref = m->provider_ref,
                                      .provider_ref = m->provider_ref,
                                      .annotations = m->annotations};
    h->commands++;
    if (h->fails) {
        ev.error = str_of(h->fails);
        publish(h, PROTO_EVENT_PROVIDER_START_FAILED, &ev);
        return;
    }
    struct running *r = room(h);
    *r = (struct running){.used = true};
    keep(r->id, sizeof r->id, m->provider_id);
    keep(r->image, sizeof r->image, m->provider_ref);
    set_annotations(r, &m->annotations);
    publish(h, PROTO_EVENT_PROVIDER_STARTED, &ev);
}

static void ignore(void *user, const struct kv_entry *entry, const struct err *e)
{
    (void)user;
    (void)entry;
    (void)e;
}

/* One link per source is enough here. */
static void host_link(struct host *h, const struct proto_link *l, struct str source)
{
    struct proto_spec spec = {.url = STR(""), .links = {l, l ? 1 : 0}};
    struct proto_subject key;
    struct buf json = BUF_INIT;
    struct err e = ERR_INIT;
    ck_assert(proto_key_spec(source, &key, &e) && proto_spec_encode(&spec, &json, &e));
    ck_assert(kv_put(h->w->data, proto_subject_str(&key), buf_span(&json), ignore, NULL, &e));
    buf_fini(&json);
}

static bool handle(struct host *h, enum proto_op op, struct str arg, const struct bus_msg *msg,
                   struct arena *a, struct proto_reply *r, struct err *e)
{
    struct proto_scale scale;
    struct proto_provider_start start;
    struct proto_provider_stop stop;
    struct proto_link link;
    struct proto_link_del del;
    struct running *x;
    switch (op) {
    case PROTO_COMPONENT_SCALE:
        if (proto_scale_decode(msg->data, a, &scale, e))
            host_scale(h, &scale);
        return true;
    case PROTO_PROVIDER_START:
        if (proto_provider_start_decode(msg->data, a, &start, e))
            host_start(h, &start);
        return true;
    case PROTO_PROVIDER_STOP:
        h->commands++;
        x = proto_provider_stop_decode(msg->data, a, &stop, e) ? find(h, stop.provider_id) : NULL;
        if (x)
            x->used = false;
        r->success = x != NULL;
        return true;
    case PROTO_LINK_PUT:
        if (proto_link_decode(msg->data, a, &link, e))
            host_link(h, &link, link.source_id);
        return true;
    case PROTO_LINK_DEL:
        if (proto_link_del_decode(msg->data, a, &del, e))
            host_link(h, NULL, del.source_id);
        return true;
    case PROTO_CONFIG_PUT:
        return kv_put(h->w->config, arg, msg->data, ignore, NULL, e);
    case PROTO_CONFIG_DEL:
        return kv_purge(h->w->config, arg, ignore, NULL, e);
    default:
        return op == PROTO_HOST_PING || op == PROTO_HOST_GET || op == PROTO_HOST_PROBE;
    }
}

static void on_control(void *user, const struct bus_msg *msg)
{
    struct host *h = user;
    struct arena a;
    struct str arg;
    struct inventory_room room;
    struct err e = ERR_INIT;
    struct buf json = BUF_INIT;
    struct proto_reply r = {.success = true, .message = STR("")};
    struct proto_host me = {
        .id = str_of(h->id), .friendly_name = str_of(h->id), .lattice = space.lattice};
    enum proto_op op = proto_ctl_parse(&space, msg->subject, &arg);
    arena_init(&a, 1u << 20);
    ck_assert_msg(handle(h, op, arg, msg, &a, &r, &e), "%s", e.text);
    if (op == PROTO_HOST_PING) {
        r.response.host = &me;
    } else if (op == PROTO_HOST_GET) {
        inventory(h, &room);
        r.response.inventory = &room.in;
    }
    ck_assert_msg(proto_reply_encode(op, &r, &json, &e), "%s", e.text);
    if (msg->reply.n > 0)
        ck_assert(bus_publish(h->bus, msg->reply, STR_NONE, NULL, 0, buf_span(&json), &e));
    buf_fini(&json);
    arena_fini(&a);
}

static void host_open(struct world *w, int i, const char *zone)
{
    struct host *h = &w->hosts[i];
    struct proto_subject subject, queue;
    enum proto_op op;
    struct err e = ERR_INIT;
    h->w = w;
    snprintf(h->id, sizeof h->id, "NHOST%c", (char)('A' + i));
    snprintf(h->zone, sizeof h->zone, "%s", zone);
    ck_assert(bus_sim_open(w->net, &(struct bus_opts){.name = h->id}, &h->bus, &e));
    run(w, 20);
    for (uint32_t k = 0; k < proto_ctl_nsubs(); k++)
        ck_assert(proto_ctl_sub(&space, k, str_of(h->id), &subject, &queue, &op, &e) &&
                  bus_subscribe(h->bus, proto_subject_str(&subject), proto_subject_str(&queue),
                                on_control, h, &h->subs[k], &e));
    h->heartbeat = loop_every(w->loop, 30000, on_heartbeat, h);
    struct proto_pair label = {STR("zone"), str_of(h->zone)};
    struct proto_host_event ev = {.host_id = str_of(h->id),
                                  .friendly_name = str_of(h->id),
                                  .version = STR("1.9.2"),
                                  .labels = {&label, 1},
                                  .probe_interval_ms = {1000, true}};
    publish(h, PROTO_EVENT_HOST_STARTED, &ev);
}

/* As SIGKILL would: nobody is told. What ran is gone unless `remembers`. */
static void host_kill(struct host *h, bool remembers)
{
    loop_timer_stop(&h->heartbeat);
    bus_close(h->bus);
    h->bus = NULL;
    if (!remembers)
        memset(h->running, 0, sizeof h->running);
}

static uint32_t count(const struct world *w, int host, const char *id)
{
    struct running *r = find((struct host *)&w->hosts[host], str_of(id));
    return r ? r->count : 0;
}

static bool runs(const struct world *w, int host, const char *id)
{
    return find((struct host *)&w->hosts[host], str_of(id)) != NULL;
}

static uint32_t commands(const struct world *w)
{
    uint32_t n = 0;
    for (int i = 0; i < HOSTS_MAX; i++)
        n += w->hosts[i].commands;
    return n;
}

/* ---- world ----------------------------------------------------------------------------------------- */

static void on_kv(void *user, struct kv *kv, const struct err *e)
{
    ck_assert_msg(kv != NULL, "%s", e ? e->text : "");
    *(struct kv **)user = kv;
}

static void sched_open(struct world *w, int i)
{
    struct err e = ERR_INIT;
    char name[32];
    snprintf(name, sizeof name, "sched%d", i);
    ck_assert(bus_sim_open(w->net, &(struct bus_opts){.name = name}, &w->sched_bus[i], &e));
    run(w, 20);
    const struct scheduler_opts opts = {.lattice = space.lattice, .host_id = str_of(name)};
    w->sched[i] = scheduler_open(w->sched_bus[i], &opts, &e);
    ck_assert_msg(w->sched[i] != NULL, "%s", e.text);
}

static void world_open(struct world *w)
{
    struct err e = ERR_INIT;
    *w = (struct world){0};
    rand_seed(7);
    w->loop = loop_sim_new();
    w->net = bus_sim_new(w->loop, 42);
    ck_assert(bus_sim_open(w->net, &(struct bus_opts){.name = "client"}, &w->client_bus, &e));
    run(w, 20);
    w->client = proto_client_new(w->client_bus, &space, 0);
    struct kv_opts opts = {.bucket = STR("LATTICEDATA_default"), .create = true};
    ck_assert(kv_open(w->client_bus, &opts, on_kv, &w->data, &e));
    opts.bucket = STR("CONFIGDATA_default");
    ck_assert(kv_open(w->client_bus, &opts, on_kv, &w->config, &e));
    run(w, 100);
    ck_assert(w->data && w->config);
}

static void world_close(struct world *w)
{
    for (int i = 0; i < 3; i++) {
        scheduler_close(w->sched[i]);
        bus_close(w->sched_bus[i]);
    }
    for (int i = 0; i < HOSTS_MAX; i++)
        if (w->hosts[i].bus)
            host_kill(&w->hosts[i], false);
    kv_close(w->data);
    kv_close(w->config);
    proto_client_free(w->client);
    bus_close(w->client_bus);
    run(w, 2000);
    bus_sim_free(w->net);
    loop_free(w->loop);
    rand_seed(0);
}

#endif
