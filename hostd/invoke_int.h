/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a call into a guest, for its three files: a serving with its functions, its instances and its queue
 * (serving.c), an invocation from its first message to its guest's start and its end (invoke.c), and what the guest
 * says meanwhile (invoke_guest.c). Keeps: an invocation holds its serving, and is in exactly one of its two lists. */
#ifndef HOSTD_INVOKE_INT_H
#define HOSTD_INVOKE_INT_H

#include "hostd/feed.h"
#include "hostd/invoke.h"
#include "hostd/outgoing.h"
#include "hostd/policy.h"
#include "lattice/base/rand.h"

#define INVOKE_IDLE_MAX 64 /* instances kept warm per component: more than usually run at a time */

struct served_func {
    struct serving *serving;
    const struct comp_func *func;
    const struct wit_func *type;
    struct str iface; /* on the wire */
    const struct wit_type **param_types;
    bool http; /* wasi:http/incoming-handler.handle, served as wrpc:http */
    struct wrpc_serve *serve;
};

struct invocation {
    struct invocation *prev, *next; /* in waiting or running */
    struct serving *s;
    const struct served_func *f;
    struct wrpc_inv *inv;
    struct guest *guest;        /* NULL while waiting */
    struct policy_wait *asking; /* may it be? it waits for that first */
    bool started, answered;
    bool gone;   /* nobody reads the answer any more */
    bool *freed; /* set when it is freed while one of our functions is at work on it */
    struct buf root;
    bool root_ended, params_due;
    struct loop_timer *deadline;
    char request_id[ULID_LEN + 1];
    /* HTTP */
    struct feed feed;
    struct outgoing *outgoings; /* requests that its guest makes */
    struct wrpc_out *body_out, *trailers_out;
    size_t credit_owed; /* response bytes sent that the guest may replace once there is room */
};

struct serving {
    struct serving *prev, *next; /* of the host */
    struct serving_opts opts;
    struct arena arena;
    struct served_func *funcs;
    uint32_t nfuncs;
    struct comp_inst *idle[INVOKE_IDLE_MAX];
    uint32_t nidle, nrunning, nwaiting;
    struct invocation *running, *waiting;
    struct config_map *last_config; /* once closed: what waits still needs it */
    uint32_t ndraining;             /* functions whose last invocations may still come */
    bool closed;
    bool held; /* somebody walks its invocations: it must neither go nor be walked by another */
};

/* ---- serving.c ---- */

/* The first of those that wait begin, as many as may. They may end inside. */
void serving_run_next(struct serving *s);
/* A rewound instance, for the next call. */
void serving_keep_instance(struct serving *s, struct comp_inst *inst);
/* An invocation is off its list and freed; ran: it held an instance. Whoever waits may begin; s may be gone. */
void serving_left(struct serving *s, bool ran);

/* ---- invoke.c ---- */

void invoke_take(void *user, struct wrpc_inv *inv); /* user: the served function */
void invoke_begin(struct invocation *v); /* the first of the queue, which has a place; may end it */
/* Before a guest could answer: says why, in the words of HTTP where the caller speaks it. Ends it. */
void invoke_refuse(struct invocation *v, enum http_error_code code, const char *why);
void invoke_answer_error(struct invocation *v, enum http_error_code code, const char *text);
/* Takes it off its list and frees it; the serving may be gone afterwards. */
void invoke_end(struct invocation *v);

/* ---- invoke_guest.c ---- */

extern const struct guest_ops invoke_guest_ops; /* user: the invocation */

#endif
