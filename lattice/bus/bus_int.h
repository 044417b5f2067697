/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lattice/bus: what the two builds of the bus (nats.c, sim.c) share.
 *
 * A build embeds `struct bus` and `struct bus_sub` as first members and fills `struct bus_ops`; it moves
 * messages and reports states. Requests, flushing, checks and key-value buckets live above it, once, in bus.c
 * and kv.c. */
#ifndef HOSTD_BUS_INT_H
#define HOSTD_BUS_INT_H

#include "lattice/bus/bus.h"
#include "lattice/base/loop.h"
#include "lattice/base/rand.h"

/* ---- bus.c ---------------------------------------------------------------------------------------- */

struct bus_ops {
    /* m was checked; copies what it needs. */
    bool (*publish)(struct bus *b, const struct bus_msg *m, struct err *e);
    bool (*subscribe)(struct bus *b, const char *subject, const char *queue, struct bus_sub **out,
                      struct err *e);
    /* No delivery afterwards; the build frees sub when nothing refers to it any more. */
    void (*unsubscribe)(struct bus_sub *sub);
    void (*close)(struct bus *b); /* frees the bus and what subscriptions are left */
};

struct bus_sub {
    struct bus *bus;
    bus_msg_fn *fn;
    void *user;
    bool dead;
};

/* Told of every state, before the owner of the bus. */
struct bus_listener {
    struct bus_listener *next;
    void (*fn)(void *user, enum bus_state state);
    void *user;
};

/* A message kept for later, in one block; free() it. */
struct bus_copy {
    struct bus_copy *next;
    size_t size;
    struct bus_msg msg; /* views into this block */
};
struct bus_copy *bus_copy_new(const struct bus_msg *m);

#define BUS_INBOX_MAX (7 + NUID_LEN + 2) /* "_INBOX." nuid "." */

struct bus {
    const struct bus_ops *ops;
    struct loop *loop;
    bus_state_fn *on_state;
    void *user;
    enum bus_state state;
    size_t max_payload;
    char url[256];

    char inbox[BUS_INBOX_MAX];
    struct bus_sub *inbox_sub;
    struct bus_request **requests; /* by slot; NULL: free */
    uint32_t nrequests, used_requests, next_slot;
    uint64_t next_id;
    uint64_t retry_until_ms; /* "no responders" before this moment is asked again */
    uint32_t times_up;

    struct bus_listener *listeners;
};

bool bus_base_init(struct bus *b, const struct bus_ops *ops, struct loop *loop,
                   const struct bus_opts *opts, struct err *e);
/* The build's half of its close: fails requests, shuts down the inbox. b->state is BUS_SHUT afterwards. */
void bus_base_fini(struct bus *b);
/* Records and announces a state. The owner may close the bus inside: nothing may follow that touches it. */
void bus_set_state(struct bus *b, enum bus_state state, const struct err *why);
void bus_listen(struct bus *b, struct bus_listener *l);
void bus_unlisten(struct bus *b, struct bus_listener *l);

/* Subject with tokens that are not empty, without blanks and control bytes, at most BUS_SUBJECT_MAX bytes. */
bool bus_subject_ok(struct str subject, bool wildcards);
/* Does the pattern ("*" one token, ">" the rest) match the subject? */
bool bus_subject_match(struct str pattern, struct str subject);

/* Value of the named header, or the empty view. */
struct str bus_header(const struct bus_msg *m, const char *name);

#endif
