/* SPDX-License-Identifier: Apache-2.0 */
/* What the bus tests stand on: one environment, simulated or with a real nats-server, and waiting for things to
 * happen on its loop. */
#ifndef HOSTD_TESTS_BUS_ENV_H
#define HOSTD_TESTS_BUS_ENV_H

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/loop.h"
#include "lattice/bus/bus.h"

#define ENV_PATIENCE_MS 20000

struct env {
    bool real;
    struct loop *loop;
    struct bus_sim *net;
    pid_t server;
    int port;
    char url[64], dir[64];
    const char *domain;   /* JetStream domain of the server; NULL: none */
    const char *password; /* which the server wants; NULL: none */
    const char *settings; /* more of the server's; NULL: none */
    const char *cert;     /* its certificate's name in dir, see test_tls.c; NULL: no TLS */
    char ca_file[80];     /* which env_open trusts; empty: none */
};

static struct env env;

typedef bool env_cond(void *user);

struct env_wait {
    env_cond *cond;
    void *user;
    uint64_t until_ms;
    bool late;
};

static inline void env_poll(void *user)
{
    struct env_wait *w = user;
    w->late = clock_mono_ms() > w->until_ms;
    if (w->late || w->cond(w->user))
        loop_stop(env.loop);
}

/* Runs the loop until cond holds; fails the test when that takes too long. */
static inline void env_wait(env_cond *cond, void *user, const char *what)
{
    struct env_wait w = {cond, user, 0, false};
    if (!env.real) {
        for (int i = 0; i < ENV_PATIENCE_MS && !cond(user); i++)
            loop_sim_advance(env.loop, 1);
    } else if (!cond(user)) {
        w.until_ms = clock_mono_ms() + ENV_PATIENCE_MS;
        struct loop_timer *t = loop_every(env.loop, 1, env_poll, &w);
        loop_run(env.loop);
        loop_timer_stop(&t);
    }
    ck_assert_msg(cond(user), "waited in vain for %s", what);
}

static inline bool env_is_set(void *user)
{
    return *(bool *)user;
}

static inline bool env_count_reached(void *user)
{
    const int *pair = user;
    return pair[0] >= pair[1];
}

#define WAIT_FLAG(flag) env_wait(env_is_set, &(flag), #flag)

static inline void env_flushed(void *user, const struct err *e)
{
    ck_assert_msg(!e, "%s", e ? e->text : "");
    *(bool *)user = true;
}

static inline void env_flush(struct bus *b)
{
    bool done = false;
    bus_flush(b, 5000, env_flushed, &done);
    WAIT_FLAG(done);
}

static inline bool env_up(void *user)
{
    return bus_state(user) == BUS_UP;
}

static inline bool env_down(void *user)
{
    return bus_state(user) == BUS_DOWN;
}

static inline struct bus *env_open_with(bus_state_fn *on_state, void *user)
{
    struct err e = ERR_INIT;
    struct bus *b = NULL;
    struct bus_opts o = {.url = env.real ? env.url : NULL,
                         .name = "test",
                         .on_state = on_state,
                         .user = user,
                         .ca_file = *env.ca_file ? env.ca_file : NULL};
    bool ok = env.real ? bus_nats_open(env.loop, &o, &b, &e) : bus_sim_open(env.net, &o, &b, &e);
    ck_assert_msg(ok, "%s", e.text);
    return b;
}

static inline struct bus *env_open(void)
{
    struct bus *b = env_open_with(NULL, NULL);
    env_wait(env_up, b, "a connection");
    return b;
}

/* ---- a real server ---- */

static inline int env_free_port(void)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    ck_assert_int_eq(bind(s, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(getsockname(s, (struct sockaddr *)&a, &n), 0);
    close(s);
    return ntohs(a.sin_port);
}

static inline void env_server_start(void)
{
    char port[16], config[80];
    snprintf(port, sizeof port, "%d", env.port);
    snprintf(config, sizeof config, "%s/conf", env.dir);
    FILE *f = fopen(config, "w");
    fprintf(f, "jetstream {\n store_dir: \"%s\"\n", env.dir);
    if (env.domain)
        fprintf(f, " domain: \"%s\"\n", env.domain);
    fputs("}\n", f);
    if (env.password)
        fprintf(f, "authorization { user: u, password: %s }\n", env.password);
    if (env.settings)
        fputs(env.settings, f);
    if (env.cert)
        fprintf(f, "tls { cert_file: \"%s/%s.pem\", key_file: \"%s/%s.key\" }\n", env.dir, env.cert,
                env.dir, env.cert);
    fclose(f);
    env.server = fork();
    if (env.server == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execlp("nats-server", "nats-server", "-a", "127.0.0.1", "-p", port, "-c", config,
               (char *)NULL);
        _exit(127);
    }
}

static inline void env_server_stop(void)
{
    if (env.server <= 0)
        return;
    kill(env.server, SIGKILL);
    waitpid(env.server, NULL, 0);
    env.server = 0;
}

static inline int env_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline bool env_have_server(void)
{
    return system("command -v nats-server >/dev/null 2>&1") == 0;
}

/* ---- set-up and tear-down of every test ---- */

static inline void env_start_sim(void)
{
    env = (struct env){.loop = loop_sim_new()};
    env.net = bus_sim_new(env.loop, 1);
}

static inline void env_prepare_real(void)
{
    env = (struct env){.real = true, .loop = loop_new(), .port = env_free_port()};
    snprintf(env.url, sizeof env.url, "nats://127.0.0.1:%d", env.port);
    snprintf(env.dir, sizeof env.dir, P_tmpdir "/test-bus-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(env.dir));
}

static inline void env_start_real(void)
{
    env_prepare_real();
    env_server_start();
}

static inline void env_stop(void)
{
    bus_sim_free(env.net);
    loop_free(env.loop);
    env_server_stop();
    if (env.real)
        nftw(env.dir, env_remove, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
