/* SPDX-License-Identifier: Apache-2.0 */
/* A provider as a process: host data from stdin, the NATS connection, signals, the loop. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/descriptors.h"
#include "lattice/base/log.h"
#include "lattice/base/space.h"
#include "lattice/base/trim.h"
#include "providers/sdk/sdk_int.h"

#define SIGNAL_GRACE_MS 5000u
#define SETTLED_MS 1000 /* after which initialisation is over */

struct process {
    const struct sdk_provider *provider;
    struct loop *loop;
    struct bus *bus;
    struct sdk *sdk;
    bool refused;
};

static void on_stopped(void *user)
{
    struct process *p = user;
    loop_stop(p->loop);
}

static void on_signal(void *user)
{
    struct process *p = user;
    log_info("asked to stop by a signal");
    sdk_stop(p->sdk, SIGNAL_GRACE_MS);
}

static void on_bus_state(void *user, enum bus_state state, const struct err *why)
{
    struct process *p = user;
    switch (state) {
    case BUS_UP:
        log_info("connected to the lattice", LS("url", bus_url(p->bus)));
        break;
    case BUS_DOWN:
        log_warn("no connection to the lattice, trying on", LE(why));
        break;
    case BUS_SHUT:
        log_error("connection to the lattice refused for good", LE(why));
        p->refused = true;
        loop_stop(p->loop);
        break;
    case BUS_CONNECTING:
        break;
    }
    if (p->sdk)
        sdk_lattice(p->sdk, state == BUS_UP);
}

static void on_bus_refused(void *user, const struct err *why)
{
    (void)user;
    log_warn("the NATS account lacks a permission", LE(why));
}

static void open_log(const struct proto_host_data *h, const char *name)
{
    enum log_level level = LOG_INFO;
    if (h->log_level.p)
        log_level_parse(h->log_level, &level);
    log_open(level, h->structured_logging, name);
}

static bool open_bus(struct process *p, const struct proto_host_data *h, struct err *e)
{
    AUTO_FREE char *url = str_dup(h->lattice_rpc_url);
    AUTO_FREE char *jwt = str_dup(h->lattice_rpc_user_jwt);
    AUTO_FREE_SECRET char *seed = str_dup(h->lattice_rpc_user_seed);
    AUTO_FREE char *name = xasprintf("%s %.*s", p->provider->name, STR_ARG(h->provider_key));
    bool signs = *jwt && *seed;
    struct bus_opts opts = {
        .url = url,
        .name = name,
        .jwt = signs ? jwt : NULL,
        .seed = signs ? seed : NULL,
        .ca_file = getenv(PROTO_CA_FILE_ENV),
        .on_state = on_bus_state,
        .on_refused = on_bus_refused,
        .user = p,
    };
    return bus_nats_open(p->loop, &opts, &p->bus, e) || err_wrap(e, "connect to %s", url);
}

/* The part of the host data that is needed before there is a member to hold it. */
static bool open_process(struct process *p, struct span json, struct err *e)
{
    struct arena arena;
    struct proto_host_data h;
    arena_init(&arena, PROTO_ARENA_BYTES);
    bool ok = proto_host_data_decode(json, &arena, &h, e);
    if (ok)
        open_log(&h, p->provider->name);
    ok = ok && open_bus(p, &h, e);
    arena_wipe(&arena);
    return ok && loop_signal(p->loop, SIGTERM, on_signal, p, e) &&
           loop_signal(p->loop, SIGINT, on_signal, p, e) &&
           sdk_open(p->bus, p->provider, json, on_stopped, p, &p->sdk, e);
}

static void trim(void *user)
{
    (void)user;
    trim_memory();
}

int sdk_run(const struct sdk_provider *provider)
{
    struct err e = ERR_INIT;
    struct buf json = {.max = HOST_DATA_BYTES_MAX, .secret = true};
    descriptors_standard();
    space_economise();
    struct process p = {.provider = provider, .loop = loop_new()};
    log_open(LOG_INFO, false, provider->name);
    descriptors_raise(); /* a server needs one per connection */
    bool ok = host_data_read(STDIN_FILENO, &json, &e) && open_process(&p, buf_span(&json), &e);
    buf_fini(&json);
    if (ok) {
        log_info("provider started", LS("provider", sdk_id(p.sdk)));
        loop_after(p.loop, SETTLED_MS, trim, NULL);
        loop_run(p.loop);
        log_info("provider stopped", LS("provider", sdk_id(p.sdk)));
    } else {
        log_error("provider cannot start", LE(&e));
    }
    ok = ok && !p.refused;
    sdk_close(MOVE(p.sdk));
    bus_close(p.bus);
    loop_free(p.loop);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
