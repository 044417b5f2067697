/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of the HTTP server: a server in a simulated loop, one client, and a handler that records what it is
 * told and answers as the test asks. */
#ifndef HOSTD_TESTS_HTTP_HARNESS_H
#define HOSTD_TESTS_HTTP_HARNESS_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"
#include "lattice/base/buf.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "lattice/http/http_sim.h"

enum answer {
    ANSWER_HELLO, /* at once, in request() */
    ANSWER_ECHO,  /* streamed back */
    ANSWER_LATER, /* by the test, through harness.open */
    ANSWER_END,   /* hello, when the request is complete */
};

struct harness {
    struct loop *loop;
    struct http_server *server;
    struct http_sim_client *client;
    enum answer answer;
    bool hold;                  /* body bytes are not consumed */
    struct http_exchange *open; /* the last one not ended */
    uint32_t requests, ends, gone, drained, stopped;
    enum http_gone why;
    struct buf log; /* "GET /path a=b|", bodies as they come, ";" at the end of each */
};

static inline void hello(struct http_exchange *x)
{
    struct err e = ERR_INIT;
    static const struct http_header h[] = {{STR_INIT("x-test"), STR_INIT("1")}};
    ck_assert(http_reply_full(x, 200, h, 1, str_span(STR("hello")), &e));
}

static inline void on_request(void *user, struct http_exchange *x)
{
    struct harness *h = user;
    const struct http_head *head = http_exchange_head(x);
    struct err e = ERR_INIT;
    h->requests++;
    h->open = x;
    buf_printf(&h->log, "%.*s %.*s", STR_ARG(head->method), STR_ARG(head->path));
    for (size_t i = 0; i < head->nheaders; i++) {
        if (head->headers[i].name.p[0] == 'x')
            buf_printf(&h->log, " %.*s=%.*s", STR_ARG(head->headers[i].name),
                       STR_ARG(head->headers[i].value));
    }
    buf_str(&h->log, STR("|"));
    if (h->answer == ANSWER_HELLO) {
        h->open = NULL;
        hello(x);
    } else if (h->answer == ANSWER_ECHO) {
        ck_assert(http_reply_head(x, 200, NULL, 0, &e));
    }
}

static inline void on_body(void *user, struct http_exchange *x, struct span data)
{
    struct harness *h = user;
    buf_put(&h->log, data.p, data.n);
    if (h->answer == ANSWER_ECHO)
        http_reply_body(x, data);
    if (!h->hold)
        http_body_consumed(x, data.n);
}

static inline void on_body_end(void *user, struct http_exchange *x, const struct http_header *t,
                               size_t n)
{
    struct harness *h = user;
    h->ends++;
    for (size_t i = 0; i < n; i++)
        buf_printf(&h->log, "[%.*s=%.*s]", STR_ARG(t[i].name), STR_ARG(t[i].value));
    buf_str(&h->log, STR(";"));
    if (h->answer == ANSWER_ECHO || h->answer == ANSWER_END)
        h->open = NULL;
    if (h->answer == ANSWER_ECHO)
        http_reply_end(x, t, n);
    if (h->answer == ANSWER_END)
        hello(x);
}

static inline void on_drained(void *user, struct http_exchange *x)
{
    struct harness *h = user;
    (void)x;
    h->drained++;
}

static inline void on_gone(void *user, struct http_exchange *x, enum http_gone why)
{
    struct harness *h = user;
    (void)x;
    h->open = NULL;
    h->gone++;
    h->why = why;
}

static const struct http_handler handler = {
    .request = on_request,
    .body = on_body,
    .body_end = on_body_end,
    .drained = on_drained,
    .gone = on_gone,
};

static inline void harness_connect(struct harness *h)
{
    struct err e = ERR_INIT;
    http_sim_close(h->client);
    h->client = NULL;
    ck_assert_msg(http_sim_connect(h->loop, STR("1.2.3.4:80"), STR("9.9.9.9"), &h->client, &e),
                  "%s", e.text);
}

static inline void harness_open(struct harness *h, enum answer answer,
                                const struct http_limits *limits)
{
    struct err e = ERR_INIT;
    struct http_server_opts opts = {.address = STR("1.2.3.4:80"), .handler = &handler, .user = h};
    *h = (struct harness){.answer = answer, .loop = loop_sim_new()};
    if (limits)
        opts.limits = *limits;
    ck_assert_msg(http_server_open(h->loop, &opts, &h->server, &e), "%s", e.text);
    harness_connect(h);
}

static inline void harness_close(struct harness *h)
{
    http_server_close(h->server);
    http_sim_close(h->client);
    loop_sim_advance(h->loop, 1);
    loop_free(h->loop);
    buf_fini(&h->log);
}

static inline void harness_put(struct harness *h, const char *bytes)
{
    http_sim_put(h->client, str_of(bytes));
    loop_sim_advance(h->loop, 1);
}

static inline void harness_wait(struct harness *h, uint64_t ms)
{
    loop_sim_advance(h->loop, ms);
}

static inline const char *text_of(struct buf *b)
{
    buf_byte(b, 0);
    return (const char *)b->p;
}

static inline const char *harness_got(struct harness *h)
{
    static struct buf got;
    buf_clear(&got);
    buf_str(&got, http_sim_got(h->client));
    http_sim_clear(h->client);
    return text_of(&got);
}

static inline const char *harness_log(struct harness *h)
{
    static struct buf log;
    buf_clear(&log);
    buf_put(&log, h->log.p, h->log.n);
    buf_clear(&h->log);
    return text_of(&log);
}

static inline void harness_hello(struct harness *h)
{
    struct http_exchange *x = MOVE(h->open);
    hello(x);
    loop_sim_advance(h->loop, 1);
}

static inline bool starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

#endif
