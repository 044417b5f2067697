/* SPDX-License-Identifier: Apache-2.0 */
/* up: a local environment. It starts nats-server where none answers, then a host, and waits until it answers;
 * what it started is undone when a later step fails. Interactively it stays until interrupted; detached
 * it returns. */
#include "ctl/table.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "lattice/id/id.h"

#define NATS_PORT 4222
#define PROBE_MS 2000
#define NATS_READY_MS 10000
#define HOST_READY_MS 15000
#define SCHEDULER_READY_MS 5000
#define STOP_MS 15000
#define POLL_MS 20
#define ENV_MAX 96

/* ---- nats-server ---------------------------------------------------------------------------------- */

struct up {
    struct ctl *c;
    const char *host;
    uint64_t port;
    char *address; /* host:port */
    struct session_where ctl;
    struct local_process nats, node;
    bool started_nats, started_node;
    const char *program;
    struct proto_map env;
};

/* NATS's configuration has quotes, and escapes in them. */
static void write_quoted(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++)
        fprintf(f, strchr("\"\\", *text) ? "\\%c" : "%c", *text);
    fputc('"', f);
}

static void write_leaf(const struct ctl *c, FILE *f)
{
    const char *creds = option_text(c, "nats-credsfile");
    fprintf(f, "leafnodes {\n  remotes = [{\n    url: ");
    write_quoted(f, option_text(c, "nats-remote-url"));
    if (creds) {
        fprintf(f, "\n    credentials: ");
        write_quoted(f, creds);
    }
    fprintf(f, "\n  }]\n}\n");
}

static bool nats_config(struct up *u, const char **path, struct err *e)
{
    struct ctl *c = u->c;
    const char *store, *domain = option_text(c, "nats-js-domain");
    char *name = arena_printf(&c->arena, "nats-%" PRIu64 ".conf", u->port);
    char *data = arena_printf(&c->arena, "jetstream-%" PRIu64, u->port);
    if (!local_path(c, name, path, e) || !local_path(c, data, &store, e))
        return false;
    FILE *f = fopen(*path, "w");
    if (!f)
        return err_errno(e, errno, "write '%s'", *path);
    fprintf(f,
            "host: \"%s\"\nport: %" PRIu64
            "\njetstream {\n  store_dir: \"%s\"\n  domain: \"%s\"\n}\n",
            u->host, u->port, store, domain);
    if (option_text(c, "nats-remote-url"))
        write_leaf(c, f);
    if (option_text(c, "nats-websocket-port"))
        fprintf(f, "websocket {\n  port: %" PRIu64 "\n  no_tls: true\n}\n",
                option_number(c, "nats-websocket-port"));
    return fclose(f) == 0 || err_errno(e, errno, "write '%s'", *path);
}

static void nap(void)
{
    const struct timespec t = {.tv_nsec = POLL_MS * 1000000L};
    nanosleep(&t, NULL);
}

static bool nats_ready(struct up *u, struct err *e)
{
    uint64_t until = clock_mono_ms() + NATS_READY_MS;
    while (local_probe(u->host, u->port, PROBE_MS) != PROBE_NATS) {
        if (!local_alive(&u->nats))
            return err_set(e, ERR_IO, "nats-server ended at once; the end of %s:\n%s",
                           u->nats.log.p, local_log_tail(u->c, u->nats.log.p));
        if (clock_mono_ms() > until)
            return err_set(e, ERR_TIMEOUT, "nats-server does not answer at %s after %d ms; see %s",
                           u->address, NATS_READY_MS, u->nats.log.p);
        nap();
    }
    return true;
}

static bool start_nats(struct up *u, struct err *e)
{
    static const struct proto_map no_env;
    struct ctl *c = u->c;
    const char *program, *config = option_text(c, "nats-config-file"), *log;
    char *log_name = arena_printf(&c->arena, "nats-%" PRIu64 ".log", u->port);
    if (!local_find_program(c, "nats-server", &program, e))
        return err_set(
            e, ERR_NOT_FOUND,
            "no NATS server answers at %s, and nats-server is not installed: install it (Debian: "
            "apt-get "
            "install nats-server), or name a running one with --nats-host and --nats-port",
            u->address);
    if ((!config && !nats_config(u, &config, e)) || !local_path(c, log_name, &log, e))
        return false;
    char *argv[] = {(char *)program, (char *)"-js", (char *)"-c", (char *)config, NULL};
    u->nats.name = STR("nats-server");
    u->nats.address = str_of(u->address);
    if (!local_spawn(c, argv, &no_env, log, &u->nats, e))
        return false;
    u->started_nats = true;
    return local_record(c, &u->nats, e) && nats_ready(u, e);
}

static bool ensure_nats(struct up *u, struct err *e)
{
    switch (local_probe(u->host, u->port, PROBE_MS)) {
    case PROBE_NATS:
        return !option_text(u->c, "nats-remote-url") ||
               err_set(e, ERR_EXISTS,
                       "a NATS server runs at %s already: --nats-remote-url wants one of its own",
                       u->address);
    case PROBE_STRANGER:
        return err_set(
            e, ERR_EXISTS,
            "port %" PRIu64
            " of %s is taken by something that is not a NATS server: stop that, or choose "
            "another port with --nats-port",
            u->port, u->host);
    case PROBE_NOBODY:
        break;
    }
    if (option_flag(u->c, "nats-connect-only"))
        return err_set(e, ERR_NOT_FOUND,
                       "no NATS server answers at %s, and --nats-connect-only forbids to start one",
                       u->address);
    return start_nats(u, e);
}

/* ---- the host ------------------------------------------------------------------------------------- */

static bool put_env(struct up *u, struct proto_map *env, struct str key, struct str value,
                    struct err *e)
{
    if (env->n == ENV_MAX)
        return err_set(e, ERR_LIMIT, "more than %d settings for the host", ENV_MAX);
    struct str kept = arena_str(&u->c->arena, value);
    ((struct proto_pair *)env->v)[env->n++] =
        (struct proto_pair){arena_str(&u->c->arena, key), kept};
    return kept.p || arena_full(&u->c->arena, e);
}

static bool put_address(struct up *u, struct proto_map *env, const char *what, const char *host,
                        uint64_t port, struct err *e)
{
    char host_key[40], port_key[40], port_text[24];
    snprintf(host_key, sizeof host_key, "WASMCLOUD_%s_HOST", what);
    snprintf(port_key, sizeof port_key, "WASMCLOUD_%s_PORT", what);
    snprintf(port_text, sizeof port_text, "%" PRIu64, port);
    return put_env(u, env, str_of(host_key), str_of(host), e) &&
           put_env(u, env, str_of(port_key), str_of(port_text), e);
}

static bool put_addresses(struct up *u, struct proto_map *env, struct err *e)
{
    struct ctl *c = u->c;
    const char *rpc_host = option_text(c, "rpc-host");
    uint64_t rpc_port = option_number(c, "rpc-port");
    return put_address(u, env, "NATS", u->host, u->port, e) &&
           put_address(u, env, "CTL", u->ctl.host, u->ctl.port, e) &&
           put_address(u, env, "RPC", rpc_host ? rpc_host : u->host, rpc_port ? rpc_port : u->port,
                       e);
}

/* What nats-server, or this program itself, is told; and what put_addresses tells the host. */
static bool is_for_host(const struct option *o)
{
    static const char *const others[] = {"nats-", "host-", "wadm-", "rpc-host", "rpc-port"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (str_starts(str_of(o->name), str_of(others[i])))
            return false;
    return o->env != NULL;
}

static bool host_environment(struct up *u, struct proto_map *env, struct err *e)
{
    struct ctl *c = u->c;
    struct proto_map labels;
    struct proto_pair *pairs = arena_array(&c->arena, struct proto_pair, ENV_MAX);
    if (!pairs)
        return arena_full(&c->arena, e);
    *env = (struct proto_map){pairs, 0};
    for (const struct option *o = c->command->options; o->name; o++) {
        const char *text = is_for_host(o) ? option_text(c, o->name) : NULL;
        if (text && !put_env(u, env, str_of(o->env), str_of(text), e))
            return false;
    }
    if (!put_addresses(u, env, e))
        return false;
    if (option_flag(c, "disable-wadm") &&
        !put_env(u, env, STR("HOSTD_NO_SCHEDULER"), STR("true"), e))
        return false;
    if (!option_pairs(c, "label", &labels, e))
        return false;
    for (uint32_t i = 0; i < labels.n; i++) {
        char key[300];
        if (str_starts(labels.v[i].key, STR("hostcore.")))
            return err_set(e, ERR_INVALID,
                           "label '%.*s': names that begin with hostcore. are the host's own",
                           STR_ARG(labels.v[i].key));
        snprintf(key, sizeof key, "WASMCLOUD_LABEL_%.*s", STR_ARG(labels.v[i].key));
        if (!put_env(u, env, str_of(key), labels.v[i].value, e))
            return false;
    }
    return true;
}

static bool host_key(struct up *u, struct proto_map *env, struct err *e)
{
    struct id_key key;
    char seed[ID_SEED_LEN + 1], id[ID_PUBLIC_LEN + 1];
    const char *given = option_text(u->c, "host-seed");
    if (!given)
        id_key_generate(ID_SERVER, &key);
    else if (!id_key_from_seed(str_of(given), &key, e))
        return err_wrap(e, "--host-seed");
    else if (key.type != ID_SERVER)
        return err_set(e, ERR_INVALID,
                       "--host-seed: a host needs a server seed, one that begins with SN");
    u->node.host_id = arena_str(&u->c->arena, str_of(id_key_public(&key, id)));
    bool ok = put_env(u, env, STR("WASMCLOUD_HOST_SEED"), str_of(id_key_seed(&key, seed)), e);
    id_key_fini(&key);
    return ok;
}

static void on_probe(void *user, const struct proto_reply *r, const struct err *e)
{
    (void)r;
    session_answer(user, e);
}

/* A host answers a probe once it handles control requests. */
static bool host_ready(struct up *u, struct err *e)
{
    struct ctl *c = u->c;
    struct err not_yet = ERR_INIT;
    uint64_t until = clock_mono_ms() + HOST_READY_MS;
    if (!session_open_at(c, &u->ctl, 0, e))
        return false;
    while (!session_await(
        c, proto_host_get(c->client, u->node.host_id, on_probe, c, NULL, &not_yet), &not_yet)) {
        if (!local_alive(&u->node))
            return err_set(e, ERR_IO, "the host ended at once%s%s%s%s",
                           u->node.log.n ? "; the end of " : "", u->node.log.n ? u->node.log.p : "",
                           u->node.log.n ? ":\n" : "",
                           u->node.log.n ? local_log_tail(c, u->node.log.p) : "");
        if (clock_mono_ms() > until)
            return err_set(e, ERR_TIMEOUT, "the host does not answer after %d ms (%s)",
                           HOST_READY_MS, not_yet.text);
        nap();
    }
    return true;
}

static void on_list(void *user, const struct proto_api_reply *r, const struct err *e)
{
    (void)r;
    session_answer(user, e);
}

/* So that an application can be deployed at once. A lattice without a scheduler is none of our business. */
static void scheduler_ready(struct up *u)
{
    struct ctl *c = u->c;
    uint64_t until = clock_mono_ms() + SCHEDULER_READY_MS;
    struct err e = ERR_INIT;
    if (option_flag(c, "disable-wadm"))
        return;
    while (!session_await(c, proto_api_list(c->client, on_list, c, NULL, &e), &e) &&
           e.code == ERR_NO_RESPONDERS) {
        if (clock_mono_ms() > until) {
            notice(c, "the scheduler does not answer yet: is JetStream there?");
            return;
        }
        nap();
    }
}

/* Everything that can be wrong before anything is started. */
static bool prepare_host(struct up *u, struct err *e)
{
    u->program = option_text(u->c, "host-path");
    return (u->program || local_find_program(u->c, "hostd", &u->program, e)) &&
           host_environment(u, &u->env, e) && host_key(u, &u->env, e);
}

static bool start_host(struct up *u, struct err *e)
{
    struct ctl *c = u->c;
    const char *log = NULL;
    if (option_flag(c, "detached")) {
        log = option_text(c, "host-log-path");
        char *name = arena_printf(&c->arena, "hostd-%.*s.log", STR_ARG(u->node.host_id));
        if (!log && !local_path(c, name, &log, e))
            return false;
    }
    char *argv[] = {(char *)u->program, NULL};
    u->node.name = STR("hostd");
    u->node.address = str_of(u->address);
    u->node.lattice = session_lattice(c);
    if (!local_spawn(c, argv, &u->env, log, &u->node, e))
        return false;
    u->started_node = true;
    if (!local_record(c, &u->node, e) || !host_ready(u, e))
        return false;
    scheduler_ready(u);
    return true;
}

/* ---- up ------------------------------------------------------------------------------------------- */

static void say_up(struct up *u, const struct local_process *host, bool already)
{
    struct ctl *c = u->c;
    buf_printf(&c->text, "wash up completed successfully%s\n", already ? ", already running" : "");
    buf_printf(&c->text, "  host:     %.*s\n  NATS:     %.*s\n", STR_ARG(host->host_id),
               STR_ARG(host->address));
    if (host->log.n)
        buf_printf(&c->text, "  host log: %.*s\n", STR_ARG(host->log));
    buf_str(&c->text, STR("  to stop:  hostctl down\n"));
    result_set(c, "wasmcloud_log", json_str(host->log));
    result_set(c, "kill_cmd", json_string("hostctl down"));
    result_set(c, "nats_url", json_str(host->address));
    result_set(c, "host_id", json_str(host->host_id));
}

/* A host that runs here already? More than one is an error, as another would be. */
static bool look_for_hosts(struct up *u, struct local_process *found, struct err *e)
{
    struct local_list list;
    uint32_t n = 0;
    *found = (struct local_process){0};
    if (option_flag(u->c, "multi-local"))
        return true;
    if (!local_processes(u->c, &list, e))
        return false;
    for (size_t i = 0; i < list.n; i++)
        if (str_eqz(list.v[i].name, "hostd") && n++ == 0)
            *found = list.v[i];
    return n <= 1 ||
           err_set(e, ERR_EXISTS,
                   "%u hosts run on this machine already: --multi-local starts one more", n);
}

static void undo(struct up *u)
{
    session_close(u->c);
    if (u->started_node)
        local_stop(&u->node, SIGTERM, STOP_MS);
    if (u->started_nats)
        local_stop(&u->nats, SIGTERM, STOP_MS);
}

static void on_signal(void *user)
{
    session_answer(user, NULL);
}

/* Until somebody presses Ctrl+C, or the host ends by itself. */
static bool stay(struct up *u, struct err *e)
{
    struct ctl *c = u->c;
    int fd = (int)syscall(SYS_pidfd_open, u->node.pid, 0);
    struct loop_fd *watch = fd < 0 ? NULL : loop_fd_open(c->loop, fd, on_signal, c, e);
    bool ok = watch && loop_signal(c->loop, SIGINT, on_signal, c, e) &&
              loop_signal(c->loop, SIGTERM, on_signal, c, e);
    fprintf(stdout, "%.*s", STR_ARG(buf_view(&c->text)));
    fflush(stdout);
    buf_clear(&c->text);
    ok = ok && session_await(c, true, e);
    loop_fd_close(&watch);
    if (fd >= 0)
        close(fd);
    if (ok && !local_alive(&u->node))
        ok = err_set(e, ERR_IO, "the host has ended by itself");
    undo(u);
    return ok;
}

static bool deploy(struct up *u, struct err *e)
{
    struct ctl *c = u->c;
    const char *path = option_text(c, "wadm-manifest");
    if (!path)
        return true;
    struct buf kept = c->text;
    c->text = (struct buf)BUF_INIT;
    bool ok = app_deploy_file(c, path, e);
    buf_fini(&c->text);
    c->text = kept;
    if (ok)
        result_set(c, "deployed_wadm_manifest_path", json_string(path));
    return ok || err_wrap(e, "the host runs, but '%s' was not deployed", path);
}

/* A user who has set where other commands connect, by environment or context, means the same server here. */
static void read_addresses(struct up *u)
{
    struct ctl *c = u->c;
    const char *host = option_text(c, "nats-host"), *env_host = getenv("WASMCLOUD_CTL_HOST");
    const char *env_port = getenv("WASMCLOUD_CTL_PORT"), *ctl_host = option_text(c, "ctl-host");
    uint64_t port = option_number(c, "nats-port"), ctl_port = option_number(c, "ctl-port");
    const char *context_host = context_text(c, "ctl_host"),
               *context_port = context_text(c, "ctl_port");
    if (!port && !(env_port && str_u64(str_of(env_port), &port)) &&
        !(context_port && str_u64(str_of(context_port), &port)))
        port = NATS_PORT;
    u->host = host                    ? host
              : env_host && *env_host ? env_host
              : context_host          ? context_host
                                      : "127.0.0.1";
    u->port = port;
    u->address = arena_printf(&c->arena, "%s:%" PRIu64, u->host, u->port);
    u->ctl = (struct session_where){
        .host = ctl_host ? ctl_host : u->host,
        .port = ctl_port ? ctl_port : u->port,
        .creds = option_text(c, "ctl-credsfile"),
        .jwt = option_text(c, "ctl-jwt"),
        .seed = option_text(c, "ctl-seed"),
        .tls = option_flag(c, "ctl-tls"),
        .ca_file = option_text(c, "ctl-tls-ca-file"),
    };
}

bool cmd_up(struct ctl *c, struct err *e)
{
    struct up u = {.c = c};
    struct local_process running;
    read_addresses(&u);
    if (!proto_lattice_ok(session_lattice(c)))
        return err_set(e, ERR_INVALID, "'%s' is not a lattice name: use A-Z a-z 0-9 - _",
                       option_text(c, "lattice"));
    if (u.port == 0 || u.port > 65535 || strpbrk(u.host, "\"\\\n"))
        return err_set(e, ERR_INVALID, "'%s' is not an address of a NATS server", u.address);
    if (option_text(c, "nats-credsfile") && !option_text(c, "nats-remote-url"))
        return err_set(e, ERR_INVALID, "--nats-credsfile goes with --nats-remote-url");
    if (option_flag(c, "ctl-tls-first") || option_flag(c, "rpc-tls-first"))
        return err_set(e, ERR_UNSUPPORTED,
                       "--ctl-tls-first, --rpc-tls-first: only servers that greet before TLS are "
                       "served");
    if (!look_for_hosts(&u, &running, e))
        return false;
    if (running.pid) {
        say_up(&u, &running, true);
        if (!option_text(c, "wadm-manifest"))
            return true;
        return session_open_at(c, &u.ctl, 0, e) && deploy(&u, e);
    }
    if (!prepare_host(&u, e) || !ensure_nats(&u, e) || !start_host(&u, e)) {
        undo(&u);
        return false;
    }
    say_up(&u, &u.node, false);
    if (!option_flag(c, "detached")) {
        if (!deploy(&u, e)) {
            notice(c, "hostctl: %s", e->text);
            e->code = ERR_NONE;
        }
        return stay(&u, e);
    }
    return deploy(&u, e);
}
