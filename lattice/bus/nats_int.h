/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the NATS build of the bus: nats.c (publishing, subscriptions, states), nats_inlet.c (what the library's
 * threads leave for the loop) and nats_connect.c (options, and the first attempts to connect). */
#ifndef HOSTD_BUS_NATS_INT_H
#define HOSTD_BUS_NATS_INT_H

#include <nats/nats.h>
#include <pthread.h>
#include "lattice/bus/bus_int.h"

#define USED_MAX 64

struct nats_bus;

enum event_kind { EVENT_MSG, EVENT_UP, EVENT_DOWN, EVENT_SHUT, EVENT_REFUSED };

/* One thing that happened on a library thread. */
struct event {
    struct event *next;
    enum event_kind kind;
    struct nats_sub *sub;
    natsMsg *msg;
    char *text; /* EVENT_REFUSED: what */
    size_t size;
};

/* Where the library's threads leave what came in. */
struct inlet {
    pthread_mutex_t lock; /* guards everything but bus; a leaf */
    struct event *first, **last;
    size_t bytes;
    int refs; /* the bus, its connect job, each subscription, the connection until closed */
    int wake; /* eventfd, watched by the loop; -1 once closed */
    struct loop_fd *watch;
    struct nats_bus *bus; /* loop thread only; NULL once closed */
    char *jwt, *seed;     /* read by the library whenever it connects */
    char why[256];        /* last error */
    enum err_code why_code;
};

struct nats_sub {
    struct bus_sub base;
    struct nats_sub *next, **at; /* in live, dead or reaping of the bus */
    natsSubscription *sub;       /* NULL: not sent yet */
    struct inlet *inlet;
    char *subject, *queue;
    int refs; /* the bus, the library until it called back for the last time; under the inlet's lock */
};

struct nats_bus {
    struct bus base;
    struct inlet *inlet;
    natsConnection *conn; /* NULL until the first attempt has been made */
    struct connect_job *job;
    struct nats_sub *live, *dead, *reaping;
    struct bus_copy *outbox, **outbox_last;
    size_t outbox_bytes;
    natsMsg *used[USED_MAX]; /* messages that wait for their destruction */
    size_t nused, used_bytes;
};

/* ---- nats_inlet.c --------------------------------------------------------------------------------- */

struct inlet *inlet_new(struct loop *loop, const struct bus_opts *opts, struct err *e);
/* Nothing more is taken from the library's threads. */
void inlet_close(struct inlet *in);
struct inlet *inlet_ref(struct inlet *in); /* any thread */
void inlet_unref(struct inlet *in);        /* any thread */

/* For the library to call, on threads of its own. closure is a nats_sub for messages, else the inlet. */
void inlet_on_msg(natsConnection *nc, natsSubscription *s, natsMsg *msg, void *closure);
void inlet_on_up(natsConnection *nc, void *closure);
void inlet_on_down(natsConnection *nc, void *closure);
void inlet_on_closed(natsConnection *nc, void *closure);
void inlet_on_error(natsConnection *nc, natsSubscription *s, natsStatus status, void *closure);

/* ---- nats_connect.c ------------------------------------------------------------------------------- */

/* Can these options be any good? */
bool connect_check(const struct bus_opts *opts, struct err *e);
/* Tries until there is a connection, which it puts into b->conn, or no hope; nbus_up or nbus_set_state say so. */
bool connect_begin(struct nats_bus *b, const struct bus_opts *opts, struct err *e);
void connect_end(struct nats_bus *b); /* the last attempt may outlive the bus */

/* ---- nats.c --------------------------------------------------------------------------------------- */

void nbus_handle(struct nats_bus *b, const struct event *ev); /* may close the bus */
void nbus_used(struct nats_bus *b, natsMsg *msg);             /* destroys it some time */
void nbus_up(struct nats_bus *b);
void nbus_set_state(struct nats_bus *b, enum bus_state state);

#endif
