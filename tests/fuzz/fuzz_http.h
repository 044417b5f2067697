/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers of the HTTP server stand on: a server and one client in a simulated loop. */
#ifndef HOSTD_TESTS_FUZZ_FUZZ_HTTP_H
#define HOSTD_TESTS_FUZZ_FUZZ_HTTP_H

#include <stdlib.h>
#include "lattice/base/loop.h"
#include "lattice/http/http_sim.h"

struct fuzz_http {
    struct loop *loop;
    struct http_server *server; /* the fuzzer closes it, and looks what is left */
    struct http_sim_client *client;
};

static inline struct fuzz_http fuzz_http_open(const struct http_handler *handler, void *user,
                                              const struct http_limits *limits)
{
    struct fuzz_http h = {.loop = loop_sim_new()};
    struct err e = ERR_INIT;
    struct http_server_opts opts = {
        .address = STR("h:1"), .handler = handler, .user = user, .limits = *limits};
    if (!http_server_open(h.loop, &opts, &h.server, &e) ||
        !http_sim_connect(h.loop, STR("h:1"), STR("c"), &h.client, &e))
        abort();
    return h;
}

/* After the server. */
static inline void fuzz_http_close(struct fuzz_http *h)
{
    http_sim_close(h->client);
    loop_sim_advance(h->loop, 1);
    loop_free(h->loop);
}

#endif
