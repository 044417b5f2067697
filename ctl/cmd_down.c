/* SPDX-License-Identifier: Apache-2.0 */
/* down: ends hosts by asking them, or by signal when nobody can be asked, then the nats-server that `up` started. */
#include "ctl/table.h"

#include <inttypes.h>
#include <signal.h>
#include "lattice/base/num.h"

#define PROBE_MS 2000
#define STOP_MS 15000

struct down {
    struct ctl *c;
    struct local_list local;
    json_t *stopped; /* ids */
    uint32_t left;   /* hosts of the lattice that go on running */
};

static const struct local_process *local_find(const struct down *d, struct str host_id)
{
    for (size_t i = 0; i < d->local.n; i++)
        if (str_eqz(d->local.v[i].name, "hostd") && str_eq(d->local.v[i].host_id, host_id))
            return &d->local.v[i];
    return NULL;
}

static void say_stopped(struct down *d, struct str id)
{
    json_array_append_new(d->stopped, json_str(id));
    buf_printf(&d->c->text, "Host %.*s stopped\n", STR_ARG(id));
}

static void on_ack(void *user, const struct proto_reply *r, const struct err *e)
{
    (void)r;
    session_answer(user, e);
}

/* Asks, then waits for the process if it is one of this machine. */
static bool stop_host(struct down *d, struct str id, struct err *e)
{
    struct ctl *c = d->c;
    const struct proto_host_stop stop = {.host_id = id};
    const struct local_process *p = local_find(d, id);
    if (!session_await(c, proto_host_stop(c->client, &stop, on_ack, c, NULL, e), e))
        return err_wrap(e, "stop host %.*s", STR_ARG(id));
    if (p && !local_stop(p, 0, STOP_MS))
        return err_set(e, ERR_TIMEOUT, "host %.*s (pid %d) does not end, not even by SIGKILL",
                       STR_ARG(id), (int)p->pid);
    say_stopped(d, id);
    return true;
}

static bool too_many(struct down *d, const struct host_list *hosts, struct err *e)
{
    struct buf list = BUF_INIT;
    for (uint32_t i = 0; i < hosts->n; i++)
        buf_printf(&list, "\n  %.*s  %.*s", STR_ARG(hosts->v[i].id),
                   STR_ARG(hosts->v[i].friendly_name));
    err_set(e, ERR_INVALID, "%u hosts run on lattice '%.*s': choose with --host-id, or --all:%.*s",
            hosts->n, STR_ARG(session_lattice(d->c)), STR_ARG(buf_view(&list)));
    buf_fini(&list);
    return false;
}

static bool stop_by_asking(struct down *d, struct err *e)
{
    struct ctl *c = d->c;
    struct host_list hosts;
    struct str only;
    if (!hosts_collect(c, &hosts, e))
        return false;
    if (option_text(c, "host-id")) {
        d->left = hosts.n > 1 ? hosts.n - 1 : 0;
        return host_find(c, option_text(c, "host-id"), &only, e) && stop_host(d, only, e);
    }
    if (hosts.n > 1 && !option_flag(c, "all"))
        return too_many(d, &hosts, e);
    for (uint32_t i = 0; i < hosts.n; i++)
        if (!stop_host(d, hosts.v[i].id, e))
            return false;
    return true;
}

/* Hosts of this machine and this NATS server that did not answer: it is gone, or they are stuck. */
static void stop_by_signal(struct down *d, const char *address)
{
    for (size_t i = 0; i < d->local.n; i++) {
        const struct local_process *p = &d->local.v[i];
        bool meant = option_flag(d->c, "all") ||
                     (str_eqz(p->address, address) && str_eq(p->lattice, session_lattice(d->c)));
        if (str_eqz(p->name, "hostd") && meant && local_alive(p) && local_stop(p, SIGTERM, STOP_MS))
            say_stopped(d, p->host_id);
    }
}

/* ---- purging what JetStream keeps ------------------------------------------------------------------ */

static void on_purged(void *user, const struct bus_msg *m, const struct err *e)
{
    (void)m; /* a stream that is not there is no error */
    session_answer(user, m ? NULL : e);
}

static bool purge_stream(struct ctl *c, const char *name, struct err *e)
{
    char *subject = arena_printf(&c->arena, "$JS.API.STREAM.DELETE.%s", name);
    bool sent = bus_request(c->bus, str_of(subject), NULL, 0, (struct span){NULL, 0}, 5000,
                            on_purged, c, NULL, e);
    return session_await(c, sent, e) || err_wrap(e, "purge '%s'", name);
}

static bool purge(struct ctl *c, const char *what, struct err *e)
{
    static const char *const wadm[] = {
        "KV_wadm_manifests", "KV_wadm_state", "wadm_commands",       "wadm_events",   "wadm_mirror",
        "wadm_notify",       "wadm_status",   "wadm_event_consumer", "wasmbus_events"};
    bool all = strcmp(what, "all") == 0, ok = true;
    struct proto_subject bucket;
    for (size_t i = 0; ok && (all || strcmp(what, "wadm") == 0) && i < ARRAY_LEN(wadm); i++)
        ok = purge_stream(c, wadm[i], e);
    if (!ok || (!all && strcmp(what, "wasmcloud") != 0))
        return ok;
    ok = proto_bucket_lattice(session_lattice(c), &bucket, e) &&
         purge_stream(c, arena_printf(&c->arena, "KV_%s", bucket.text), e);
    return ok && proto_bucket_config(session_lattice(c), &bucket, e) &&
           purge_stream(c, arena_printf(&c->arena, "KV_%s", bucket.text), e);
}

static bool purge_option_ok(const char *what, struct err *e)
{
    static const char *const values[] = {"none", "all", "wadm", "wasmcloud"};
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (strcmp(what, values[i]) == 0)
            return true;
    return err_set(e, ERR_INVALID, "--purge-jetstream: '%s' is none of none, all, wadm, wasmcloud",
                   what);
}

/* ---- down ----------------------------------------------------------------------------------------- */

/* The servers we started: of this address, or all. Not ones that are somebody else's. */
static void stop_nats(struct down *d, const char *address)
{
    bool any = false;
    for (size_t i = 0; i < d->local.n; i++) {
        const struct local_process *p = &d->local.v[i];
        if (!str_eqz(p->name, "nats-server") ||
            !(str_eqz(p->address, address) || option_flag(d->c, "all")))
            continue;
        any = true;
        if (local_stop(p, SIGTERM, STOP_MS))
            buf_printf(&d->c->text, "NATS server at %.*s stopped\n", STR_ARG(p->address));
    }
    if (!any)
        buf_printf(&d->c->text,
                   "NATS server at %s was not started by `hostctl up`, it is left alone\n",
                   address);
    result_set(d->c, "nats_stopped", json_boolean(any));
}

bool cmd_down(struct ctl *c, struct err *e)
{
    struct down d = {.c = c, .stopped = json_array()};
    const char *what = option_text(c, "purge-jetstream"), *host = option_text(c, "ctl-host");
    uint64_t port = option_number(c, "ctl-port");
    char *address = arena_printf(&c->arena, "%s:%" PRIu64, host, port);
    result_set(c, "hosts_stopped", d.stopped);
    if (!purge_option_ok(what, e) || !local_processes(c, &d.local, e))
        return false;
    if (local_probe(host, port, PROBE_MS) == PROBE_NATS) {
        if (!session_open(c, e) || !stop_by_asking(&d, e))
            return false;
    } else {
        notice(c,
               "no NATS server answers at %s: hosts cannot be asked, those of this machine are "
               "ended by signal",
               address);
    }
    if (d.left) {
        buf_printf(&c->text,
                   "%u hosts of lattice '%.*s' go on running, and the NATS server with them\n",
                   d.left, STR_ARG(session_lattice(c)));
        return true;
    }
    stop_by_signal(&d, address);
    result_set(c, "wadm_stopped", json_boolean(json_array_size(d.stopped) > 0));
    if (c->bus && !purge(c, what, e))
        return false;
    session_close(c);
    stop_nats(&d, address);
    buf_str(&c->text, STR("wash down completed successfully\n"));
    return true;
}
