/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon: settings, two connections, a host between them; runs until it is told to stop.
 * Exit status: 0 left in order, 1 could not start or not stop in time, 2 bad settings. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "hostd/host.h"
#include "hostd/process.h"
#include "lattice/base/alloc.h"
#include "lattice/base/descriptors.h"
#include "lattice/base/log.h"
#include "lattice/base/loop.h"
#include "lattice/base/space.h"
#include "lattice/base/trim.h"

#define CONNECT_MS 10000
#define CLIENT_NAME "wasmbus"
#define SETTLED_MS 1000 /* after which initialisation is over */

struct daemon {
    struct settings settings;
    struct loop *loop;
    struct bus *ctl, *rpc;
    struct host *host;
    struct loop_timer *patience; /* until both connections are up */
    struct err last;             /* why a connection is not up */
    bool told;                   /* that we wait for a server */
    int status;
};

static void end(struct daemon *d, int status)
{
    d->status = status;
    loop_stop(d->loop);
}

/* ---- the host's life ------------------------------------------------------------------------------- */

static void trim(void *user)
{
    (void)user;
    trim_memory();
}

static void on_ready(void *user, const struct err *e)
{
    struct daemon *d = user;
    if (!e) {
        loop_after(d->loop, SETTLED_MS, trim, NULL);
        return;
    }
    log_error("host not started", LE(e));
    end(d, EXIT_FAILURE);
}

static void on_stopped(void *user, const struct err *e)
{
    if (e)
        log_error("host stopped with an error", LE(e));
    else
        log_info("host stopped");
    end(user, e ? EXIT_FAILURE : EXIT_SUCCESS);
}

static void open_host(struct daemon *d)
{
    struct err e = ERR_INIT;
    struct host_opts opts = {.ctl = d->ctl,
                             .rpc = d->rpc,
                             .settings = &d->settings,
                             .ready = on_ready,
                             .stopped = on_stopped,
                             .user = d};
    if (!host_open(&opts, &d->host, &e))
        on_ready(d, &e);
}

static void on_signal(void *user)
{
    struct daemon *d = user;
    if (d->host)
        host_stop(d->host, HOST_STOP_MS);
    else
        end(d, EXIT_FAILURE);
}

/* ---- connections ----------------------------------------------------------------------------------- */

static void on_patience(void *user)
{
    struct daemon *d = user;
    d->patience = NULL;
    log_error(
        "no NATS server answers: start one (nats-server -js, or hostctl up), or say where it is "
        "with --nats-host and --nats-port",
        LZ("ctl", d->settings.ctl_host), LI("ctl_port", d->settings.ctl_port),
        LZ("rpc", d->settings.rpc_host), LI("rpc_port", d->settings.rpc_port), LE(&d->last));
    end(d, EXIT_FAILURE);
}

/* For good: nobody can be served or asked any more, so whoever started us had better know. */
static void refused(struct daemon *d, const struct err *why)
{
    log_error(
        "the NATS server refuses this host: look at its credentials (--nats-creds, or --nats-jwt "
        "and --nats-seed; those of --ctl- and --rpc-)",
        LE(why));
    end(d, EXIT_FAILURE);
}

static void on_state(void *user, enum bus_state state, const struct err *why)
{
    struct daemon *d = user;
    if (why)
        d->last = *why;
    if (state != BUS_SHUT && why && why->code && !d->host && !d->told) {
        d->told = true;
        log_info("waiting for the NATS server", LE(why));
    }
    if (state == BUS_SHUT)
        refused(d, why);
    else if (d->host && state == BUS_DOWN)
        log_warn("NATS connection lost, reconnecting", LZ("why", why ? why->text : ""));
    else if (d->host && state == BUS_UP)
        log_info("NATS connection is back");
    else if (state == BUS_UP && d->patience && bus_state(d->ctl) == BUS_UP &&
             bus_state(d->rpc) == BUS_UP) {
        loop_timer_stop(&d->patience);
        open_host(d);
    }
}

static void on_refused(void *user, const struct err *why)
{
    (void)user;
    log_warn("the NATS account lacks a permission: see docs/operating.md", LE(why));
}

static bool connect_one(struct daemon *d, const char *host, uint64_t port, bool tls,
                        struct bus_opts opts, struct bus **out, struct err *e)
{
    AUTO_FREE char *url = xasprintf("%s://%s:%u", tls ? "tls" : "nats", host, (unsigned)port);
    opts.url = url;
    opts.name = CLIENT_NAME;
    opts.on_state = on_state;
    opts.on_refused = on_refused;
    opts.user = d;
    return bus_nats_open(d->loop, &opts, out, e) || err_wrap(e, "%s", url);
}

static bool connect_both(struct daemon *d, struct err *e)
{
    const struct settings *s = &d->settings;
    struct bus_opts ctl = {
        .creds = s->ctl_creds, .jwt = s->ctl_jwt, .seed = s->ctl_seed, .ca_file = s->ctl_ca_file};
    struct bus_opts rpc = {
        .creds = s->rpc_creds, .jwt = s->rpc_jwt, .seed = s->rpc_seed, .ca_file = s->rpc_ca_file};
    d->patience = loop_after(d->loop, CONNECT_MS, on_patience, d);
    return connect_one(d, s->ctl_host, s->ctl_port, s->ctl_tls, ctl, &d->ctl, e) &&
           connect_one(d, s->rpc_host, s->rpc_port, s->rpc_tls, rpc, &d->rpc, e) &&
           loop_signal(d->loop, SIGINT, on_signal, d, e) &&
           loop_signal(d->loop, SIGTERM, on_signal, d, e);
}

/* ---- start ----------------------------------------------------------------------------------------- */

static void open_log(const struct settings *s)
{
    enum log_level level = LOG_INFO;
    const char *flag;
    log_level_parse(str_of(s->log_level), &level);
    log_open(level, s->log_json, "hostd");
    for (uint32_t i = 0; (flag = settings_warning(s, i)); i++)
        log_warn("setting has no effect so far", LZ("option", flag));
}

static int run(struct daemon *d)
{
    struct err e = ERR_INIT;
    open_log(&d->settings);
    signal(SIGPIPE, SIG_IGN);
    d->loop = loop_new();
    if (connect_both(d, &e))
        loop_run(d->loop);
    else
        on_ready(d, &e);
    loop_timer_stop(&d->patience);
    host_close(d->host);
    bus_close(d->rpc);
    bus_close(d->ctl);
    loop_free(d->loop);
    return d->status;
}

int main(int argc, char **argv)
{
    struct daemon d = {.status = EXIT_FAILURE};
    struct err e = ERR_INIT;
    enum settings_end action;
    process_launch_main(argc, argv);
    space_economise();
    descriptors_raise(); /* one for each file of an image in use */
    descriptors_standard();
    if (!settings_read(&d.settings, argc, argv, environ, &action, &e)) {
        fprintf(stderr, "hostd: %s\n", e.text);
        d.status = 2;
    } else if (action == SETTINGS_HELP) {
        settings_help(stdout);
        d.status = EXIT_SUCCESS;
    } else if (action == SETTINGS_VERSION) {
        printf("hostd %s\n", HOST_VERSION);
        d.status = EXIT_SUCCESS;
    } else {
        run(&d);
    }
    settings_fini(&d.settings);
    return d.status;
}
