/* SPDX-License-Identifier: Apache-2.0 */
/* The policy service: may this component or provider start here, may this function be called? Asked over NATS once per
 * question, remembered for the life of the host, replaced by what the changes topic says. Loop thread only.
 * Spec: lattice protocol 7.1. */
#ifndef HOSTD_POLICY_H
#define HOSTD_POLICY_H

#include "lattice/base/arena.h"
#include "lattice/proto/service.h"

struct policy;
struct policy_wait;

#define POLICY_DECISIONS_MAX 65536u /* remembered; the oldest go first */

struct policy_opts {
    struct bus *ctl;
    struct str topic, changes_topic; /* changes_topic empty: none */
    uint64_t timeout_ms;
    struct proto_policy_host host; /* all texts are copied */
};
bool policy_open(const struct policy_opts *opts, struct policy **out, struct err *e);
void policy_close(struct policy *p); /* drops who waits, without callbacks; NULL is fine */

/* One of the three, by kind; the others are not looked at. */
struct policy_question {
    enum proto_policy_kind kind;
    struct proto_policy_component component;
    struct proto_policy_provider provider;
    struct proto_policy_invocation invocation;
};

/* Once. e NULL: permitted. */
typedef void policy_fn(void *user, const struct err *e);
/* True with *out NULL: permitted (p is NULL: everything is), and fn is not called. True: it is being asked. False:
 * denied, or cannot be asked. */
bool policy_ask(struct policy *p, const struct policy_question *q, policy_fn *fn, void *user,
                struct policy_wait **out, struct err *e);
void policy_forget(struct policy_wait **w); /* until the callback; NULL in it is fine */

/* A deep copy; component_id NULL at the arena's ceiling. */
struct proto_policy_component policy_component_copy(struct arena *a,
                                                    const struct proto_policy_component *in);

#endif
