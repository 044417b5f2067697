/* SPDX-License-Identifier: Apache-2.0 */
/* Serving one component: its exported functions on their wRPC subjects, and every invocation from the first message to
 * the last. At most max_instances run at once, the rest wait in a bounded queue. Loop thread only. Private to the
 * daemon.
 *   serving_open -> invocations come by themselves -> serving_close
 * Spec: lattice protocol 5.4, 5.5; wRPC 2.4, 4.1. */
#ifndef HOSTD_INVOKE_H
#define HOSTD_INVOKE_H

#include "hostd/bridge.h"
#include "lattice/proto/service.h"

struct serving;
struct stashes;

/* Shared by all servings of a host. */
struct invoke_host {
    struct loop *loop;
    struct wrpc *rpc;
    struct grants *grants;
    struct policy *policy; /* NULL: every call is permitted */
    struct workers *workers;
    struct http_client *client; /* of guests' requests; NULL: the host makes none */
    const struct wasi_net *net; /* of guests' sockets; NULL: nothing */
    struct stashes *stashes;    /* of bodies that guests have not read */
    struct str lattice;
    uint32_t queue_max, instances_max;
    uint64_t queue_bytes_max; /* parameters of invocations that wait */
    uint32_t instances;       /* running now */
    uint64_t queue_bytes;     /* waiting now */
    uint32_t busy;            /* invocations running or waiting, servings draining */
    bool sharing;             /* inside run_others */
    bool cancelled;           /* servings_cancel: nothing new for good */
    struct serving *servings; /* closed ones included while something of theirs runs */
    loop_fn *idle;            /* the last of them ended; may be called in the middle of its end */
    void *user;
};

struct serving_opts {
    struct invoke_host *host;
    struct str id;              /* copied */
    struct comp_linked *linked; /* references are taken over */
    struct bridge *bridge;
    uint32_t max_instances;
    uint64_t execution_ms_max;
    const struct grant_config *config; /* the workload's; may be replaced by serving_set_config */
    struct proto_policy_component policy_target; /* what calls are of, for the policy; copied */
};

bool serving_open(const struct serving_opts *opts, struct serving **out, struct err *e);
void serving_set_max(struct serving *s, uint32_t max_instances);
void serving_set_config(struct serving *s,
                        const struct grant_config *config); /* NULL: none any more */
/* What runs, waits, or was sent by NATS before this, goes on; then the struct frees itself. NULL is fine. */
void serving_close(struct serving *s);
void servings_cancel(struct invoke_host *h); /* for good: ends what runs soon, drops what waits */

#endif
