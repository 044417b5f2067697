/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of calls stand on: a client and a server over the simulated bus, callers and services that record
 * what comes, members that listen in, and peers by hand. */
#ifndef HOSTD_TESTS_WRPC_CALLS_H
#define HOSTD_TESTS_WRPC_CALLS_H

#include <check.h>
#include "lattice/base/num.h"
#include "tests/bus/env.h"
#include "wrpc/wrpc.h"

#define PREFIX STR("default.srv")
#define INSTANCE STR("test:pkg/iface@0.1.0")
#define SUBJECT "default.srv.wrpc.0.0.1.test:pkg/iface@0.1.0.f"

static struct bus *bus_a, *bus_b; /* of the client, of the server */
static struct wrpc *client, *server;
static struct err e;

static inline void setup(void)
{
    env_start_sim();
    bus_a = env_open();
    bus_b = env_open();
    e = (struct err)ERR_INIT;
    ck_assert(wrpc_open(bus_a, NULL, &client, &e));
    ck_assert(wrpc_open(bus_b, NULL, &server, &e));
}

static inline void teardown(void)
{
    wrpc_close(client);
    wrpc_close(server);
    bus_close(bus_a);
    bus_close(bus_b);
    env_stop();
}

static inline void settle(void)
{
    loop_sim_advance(env.loop, 10);
}

static inline struct span bytes(const char *text)
{
    return str_span(str_of(text));
}

/* ---- what came to whom ---- */

#define CHANNELS 4
static const struct wit_path body_path = {.n = 2, .i = {0, 0}};
static const struct wit_path other_path = {.n = 2, .i = {0, 1}};

/* Channels by last index + 1; the root is 0. */
struct inlet {
    struct buf data[CHANNELS];
    int pieces[CHANNELS], ends[CHANNELS];
};

static inline void inlet_fini(struct inlet *in)
{
    for (int i = 0; i < CHANNELS; i++)
        buf_fini(&in->data[i]);
}

static inline void on_bytes(void *user, const struct wit_path *p, struct span piece)
{
    struct inlet *in = user;
    uint32_t channel = p->n ? p->i[p->n - 1] + 1 : 0;
    ck_assert_uint_lt(channel, CHANNELS);
    ck_assert_int_eq(in->ends[channel], 0);
    if (piece.n)
        in->pieces[channel]++;
    else
        in->ends[channel]++;
    buf_put(&in->data[channel], piece.p, piece.n);
}

static inline void assert_got(const struct inlet *in, int channel, const char *want)
{
    ck_assert_msg(str_eqz(buf_view(&in->data[channel]), want), "channel %d: '%.*s', want '%s'",
                  channel, STR_ARG(buf_view(&in->data[channel])), want);
}

/* One call, as its caller sees it. */
struct caller {
    struct inlet in; /* first, so that a call's user is its inlet too */
    struct wrpc_call *call;
    int ends;
    enum err_code code;
    bool free_in_end;
};

static inline void on_end(void *user, const struct err *why)
{
    struct caller *c = user;
    c->ends++;
    c->code = why ? why->code : ERR_NONE;
    if (c->free_in_end) {
        wrpc_call_free(c->call);
        c->call = NULL;
    }
}

static inline void caller_fini(struct caller *c)
{
    wrpc_call_free(c->call);
    c->call = NULL;
    inlet_fini(&c->in);
}

static const struct bus_header headers[] = {{STR_INIT("source-id"), STR_INIT("comp")},
                                            {STR_INIT("link-name"), STR_INIT("default")}};

static inline struct wit_pendings two_paths(void)
{
    struct wit_pendings p = {.n = 2};
    p.at[0].path = body_path;
    p.at[1].path = other_path;
    return p;
}

static inline bool invoke(struct caller *c, struct span params, uint64_t deadline_ms)
{
    struct wrpc_target t = {PREFIX, INSTANCE, STR("f"), headers, 2};
    struct wit_pendings paths = two_paths();
    return wrpc_invoke(client, &t, params, &paths, deadline_ms, on_bytes, on_end, c, &c->call, &e);
}

/* A served function that answers what it is told to when its root parameters ended. */
struct service {
    struct inlet in;
    struct wrpc_serve *serve;
    struct wrpc_inv *inv;
    int calls;
    const char *answer; /* NULL: freed without an answer */
    bool keep;          /* neither read nor answered; inv stays */
    bool keep_open;     /* answered, inv stays */
};

static inline void service_end(struct service *s)
{
    if (s->answer)
        ck_assert_msg(wrpc_inv_result(s->inv, bytes(s->answer), &e), "%s", e.text);
    if (s->keep_open)
        return;
    wrpc_inv_free(s->inv);
    s->inv = NULL;
}

static inline void on_param(void *user, const struct wit_path *p, struct span piece)
{
    struct service *s = user;
    on_bytes(&s->in, p, piece);
    if (p->n == 0 && piece.n == 0)
        service_end(s);
}

static inline void on_inv(void *user, struct wrpc_inv *inv)
{
    struct service *s = user;
    s->calls++;
    s->inv = inv;
    if (!s->keep)
        wrpc_inv_read(inv, on_param, s);
}

static inline void serve_with(struct wrpc *w, struct service *s)
{
    struct wit_pendings paths = two_paths();
    ck_assert_msg(
        wrpc_serve_open(w, PREFIX, PREFIX, INSTANCE, STR("f"), &paths, on_inv, s, &s->serve, &e),
        "%s", e.text);
    settle();
}

static inline void service_fini(struct service *s)
{
    wrpc_inv_free(s->inv);
    wrpc_serve_close(s->serve);
    inlet_fini(&s->in);
}

/* ---- listening in, and scripted peers ---- */

struct heard {
    char subject[160], reply[160];
    size_t n;
    char data[64]; /* its beginning */
    size_t nheaders;
};

struct ear {
    struct bus_sub *sub;
    struct heard at[64];
    int n;
};

static inline void on_heard(void *user, const struct bus_msg *m)
{
    struct ear *ear = user;
    ck_assert_int_lt(ear->n, 64);
    struct heard *h = &ear->at[ear->n++];
    snprintf(h->subject, sizeof h->subject, "%.*s", STR_ARG(m->subject));
    snprintf(h->reply, sizeof h->reply, "%.*s", STR_ARG(m->reply));
    h->n = m->data.n;
    h->nheaders = m->nheaders;
    if (m->data.n)
        memcpy(h->data, m->data.p, MIN(m->data.n, sizeof h->data - 1));
}

static inline void listen_to(struct ear *ear, struct bus *bus, const char *subject)
{
    ck_assert(bus_subscribe(bus, str_of(subject), STR_NONE, on_heard, ear, &ear->sub, &e));
}

/* The message whose subject is base.suffix; NULL data does not look at it. */
static inline void assert_heard(const struct ear *ear, int i, const char *base, const char *suffix,
                                const char *data)
{
    char want[320];
    snprintf(want, sizeof want, "%s%s", base, suffix);
    ck_assert_int_lt(i, ear->n);
    ck_assert_str_eq(ear->at[i].subject, want);
    ck_assert_uint_eq(ear->at[i].n, strlen(data));
    ck_assert_str_eq(ear->at[i].data, data);
}

static inline void say(struct bus *bus, const char *base, const char *suffix, const char *reply,
                       const char *data)
{
    char subject[320];
    snprintf(subject, sizeof subject, "%s%s", base, suffix);
    ck_assert_msg(bus_publish(bus, str_of(subject), str_of(reply), NULL, 0, bytes(data), &e), "%s",
                  e.text);
}

/* A call to a scripted server: rc is where that server answers. */
struct script {
    struct ear ear;
    struct caller c;
    const char *rc;
};

static inline void script_start(struct script *s, const char *params, uint64_t deadline_ms)
{
    listen_to(&s->ear, bus_b, SUBJECT);
    ck_assert_msg(invoke(&s->c, bytes(params), deadline_ms), "%s", e.text);
    settle();
    ck_assert_int_eq(s->ear.n, 1);
    s->rc = s->ear.at[0].reply;
}

static inline void script_fini(struct script *s)
{
    caller_fini(&s->c);
    bus_unsubscribe(&s->ear.sub);
}

#endif
