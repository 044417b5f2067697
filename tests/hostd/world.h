/* SPDX-License-Identifier: Apache-2.0 */
/* What the control plane's tests stand on: a simulated lattice with hosts in it, an observer who collects events, and
 * a client who asks and waits for the answer. */
#ifndef HOSTD_TESTS_HOSTD_WORLD_H
#define HOSTD_TESTS_HOSTD_WORLD_H

#include <check.h>
#include <stdlib.h>
#include <unistd.h>

#include "hostd/host.h"
#include "lattice/base/loop.h"
#include "lattice/proto/client.h"

#define WORLD_EVENTS 256
#define WORLD_HOSTS 4

struct world_host {
    struct settings settings;
    struct bus *ctl, *rpc;
    struct host *host;
    bool ready, stopped;
    struct err e;
};

struct world {
    struct loop *loop;
    struct bus_sim *net;
    struct bus *ours;
    struct proto_client *client;
    struct arena arena; /* of everything seen */
    struct proto_event events[WORLD_EVENTS];
    uint32_t nevents;
    struct world_host hosts[WORLD_HOSTS];
    uint32_t nhosts;
    /* last answer */
    bool answered, ok;
    struct str message;
    struct span body; /* of the last raw message */
};

static struct world w;
static struct err we;

static inline void world_event(void *user, const struct bus_msg *msg)
{
    (void)user;
    struct span copy = arena_span(&w.arena, msg->data);
    ck_assert_uint_lt(w.nevents, WORLD_EVENTS);
    ck_assert_msg(proto_event_decode(copy, &w.arena, &w.events[w.nevents], &we), "%s", we.text);
    w.nevents++;
}

static inline struct bus *world_bus(void)
{
    struct bus *b;
    struct bus_opts o = {.name = "test"};
    ck_assert_msg(bus_sim_open(w.net, &o, &b, &we), "%s", we.text);
    loop_sim_advance(w.loop, 10);
    return b;
}

static inline void world_start(void)
{
    struct bus_sub *sub;
    struct proto_space space = {.lattice = STR("default")};
    w = (struct world){.loop = loop_sim_new()};
    we = (struct err)ERR_INIT;
    arena_init(&w.arena, 64u << 20);
    w.net = bus_sim_new(w.loop, 1);
    w.ours = world_bus();
    w.client = proto_client_new(w.ours, &space, 0);
    ck_assert(bus_subscribe(w.ours, STR("wasmbus.evt.>"), STR(""), world_event, NULL, &sub, &we));
    loop_sim_advance(w.loop, 10);
}

static inline void world_ready(void *user, const struct err *e)
{
    struct world_host *h = user;
    h->ready = true;
    h->e = e ? *e : (struct err)ERR_INIT;
}

static inline void world_stopped(void *user, const struct err *e)
{
    struct world_host *h = user;
    h->stopped = true;
    h->e = e ? *e : (struct err)ERR_INIT;
}

/* Another host; args are flags, NULL terminated. */
static inline struct world_host *world_host(const char *const *args)
{
    struct world_host *h = &w.hosts[w.nhosts++];
    char *argv[16] = {(char *)"hostd", (char *)"--no-scheduler", (char *)"--workers=1",
                      (char *)"--allow-file-load"};
    char *env[] = {NULL};
    int argc = 4;
    enum settings_end end;
    for (; args && *args; args++)
        argv[argc++] = (char *)*args;
    ck_assert_msg(settings_read(&h->settings, argc, argv, env, &end, &we), "%s", we.text);
    h->ctl = world_bus();
    h->rpc = world_bus();
    struct host_opts opts = {.ctl = h->ctl,
                             .rpc = h->rpc,
                             .settings = &h->settings,
                             .ready = world_ready,
                             .stopped = world_stopped,
                             .user = h};
    ck_assert_msg(host_open(&opts, &h->host, &we), "%s", we.text);
    for (int i = 0; i < 1000 && !h->ready; i++)
        loop_sim_advance(w.loop, 10);
    ck_assert(h->ready);
    ck_assert_msg(h->e.code == ERR_NONE, "%s", h->e.text);
    return h;
}

static inline void world_end(void)
{
    proto_client_free(w.client);
    for (uint32_t i = 0; i < w.nhosts; i++) {
        host_close(w.hosts[i].host);
        bus_close(w.hosts[i].rpc);
        bus_close(w.hosts[i].ctl);
        settings_fini(&w.hosts[i].settings);
    }
    bus_close(w.ours);
    loop_sim_advance(w.loop, 2000);
    bus_sim_free(w.net);
    loop_free(w.loop);
    arena_fini(&w.arena);
}

static inline struct str world_id(const struct world_host *h)
{
    return host_id(h->host);
}

/* The last event of this kind, waiting a little for it. */
static inline const struct proto_event *world_wait(enum proto_event_kind kind)
{
    for (int turn = 0; turn < 400; turn++) {
        for (uint32_t i = w.nevents; i > 0; i--) {
            if (w.events[i - 1].kind == kind)
                return &w.events[i - 1];
        }
        loop_sim_advance(w.loop, 10);
    }
    ck_abort_msg("no event %s", proto_event_name(kind));
    return NULL;
}

static inline uint32_t world_count(enum proto_event_kind kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w.nevents; i++)
        n += w.events[i].kind == kind;
    return n;
}

/* For typed requests: remembers success and text. */
static inline void world_reply(void *user, const struct proto_reply *r, const struct err *e)
{
    (void)user;
    w.answered = true;
    w.ok = r != NULL;
    w.message = arena_str(&w.arena, r ? r->message : str_of(e->text));
}

static inline void world_settle(bool sent)
{
    ck_assert_msg(sent, "%s", we.text);
    w.answered = false;
    for (int i = 0; i < 600 && !w.answered; i++)
        loop_sim_advance(w.loop, 10);
    ck_assert(w.answered);
}

static inline void world_raw_reply(void *user, const struct bus_msg *msg, const struct err *e)
{
    (void)user;
    (void)e;
    w.answered = true;
    w.ok = msg != NULL;
    w.body = msg ? arena_span(&w.arena, msg->data) : (struct span){0};
}

/* Asks with any subject and body; the answer's text (empty: none). */
static inline struct str world_ask(const char *subject, const char *body)
{
    world_settle(bus_request(w.ours, str_of(subject), NULL, 0, str_span(str_of(body)), 1000,
                             world_raw_reply, NULL, NULL, &we));
    return span_str(w.body);
}

static inline void world_expect(struct str got, const char *want)
{
    ck_assert_msg(str_eqz(got, want), "\ngot  %.*s\nwant %s", STR_ARG(got), want);
}

#endif
