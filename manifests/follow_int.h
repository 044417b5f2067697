/* SPDX-License-Identifier: Apache-2.0 */
/* What follow.c (what the lattice looks like) and probe.c (who is still there) share: one peer per host. */
#ifndef HOSTD_FOLLOW_INT_H
#define HOSTD_FOLLOW_INT_H

#include "manifests/scheduler_int.h"

struct follow;

struct peer {
    UT_hash_handle hh;
    struct follow *f;
    char *id;
    uint64_t heard_ms;          /* last sign of life */
    uint64_t probe_interval_ms; /* 0: answers no probes */
    struct proto_request *get, *probe;
    struct loop_timer *probe_timer;
    bool announced;  /* it has said so itself, also that it answers none */
    bool asked;      /* whether it answers probes */
    bool get_again;  /* something changed while it was being asked */
    bool quick;      /* a scheduler that just took over is in a hurry */
    uint32_t misses; /* probes, or inventory requests while silent, in a row without an answer */
};

struct follow {
    struct scheduler *s;
    struct observed seen;
    struct peer *peers;
    struct bus_sub *events;
    struct bucket *data, *configs;
    bool data_read, configs_read, hosts_read;
    struct proto_request *ping;
    struct loop_timer *refresh_timer, *silence_timer, *events_timer;
    uint64_t grace_until_ms; /* after the connection came back, others need a moment too */
    bool active;
};

/* probe.c */
void peer_probe_start(struct peer *p); /* at once, when active and it answers probes */
void peer_probe_stop(struct peer *p);
void probe_silence(struct follow *f); /* those that answer none */

/* follow.c */
void peer_ask(struct peer *p);
void peer_lost(struct peer *p, const char *why); /* p is gone afterwards */

#endif
