/* SPDX-License-Identifier: Apache-2.0 */
/* Components on this host: load, scale, replace, drain. What the control plane asks of the data plane.
 * Loop thread only. Work for one component id is done in the order of asking; fetches may overlap.
 * Spec: lattice protocol 1.6, 1.7, 5.4. */
#ifndef HOSTD_WORKLOAD_H
#define HOSTD_WORKLOAD_H

#include "lattice/base/loop.h"
#include "lattice/proto/message.h"

struct workloads;
struct wrpc;
struct grants;
struct images;
struct policy;

struct workload_opts {
    struct loop *loop;
    struct wrpc *rpc;
    struct grants *grants;
    struct policy *policy;      /* NULL: everything is permitted; outlives the workloads */
    struct images *images;      /* the same */
    struct http_client *client; /* for requests of guests; NULL: none; outlives the workloads */
    const struct wasi_net *net; /* for sockets of guests; the same */
    struct spool_disk *spool;   /* must outlive it */
    struct str lattice;         /* copied */
    uint32_t workers;           /* threads that run guests; 0: one per core */
    uint64_t execution_ms_max;  /* one invocation, waiting included */
    uint64_t memory_bytes_max;  /* one linear memory */
    uint32_t queue_max;         /* invocations of one component waiting for an instance */
    uint64_t queue_bytes_max;   /* parameters of all that wait so */
    uint32_t instances_max;     /* of all components together */
};
struct workloads *workloads_open(const struct workload_opts *opts);
/* For good: serves nothing new from now on and begins no command; what runs or waits may go on. done once, as soon
 * as nothing does, never before this returned. */
void workloads_drain(struct workloads *ws, loop_fn *done, void *user);
/* After a drain that took too long: ends what still runs, soon. */
void workloads_cancel(struct workloads *ws);
/* At once: what runs is ended, then everything freed. NULL is fine. */
void workloads_close(struct workloads *ws);

/* Copied by the call. */
struct workload_spec {
    struct str id, image_ref;
    uint32_t max_instances; /* 0: stop */
    struct proto_map annotations;
    struct proto_strs config; /* names, in order */
    struct proto_map limits;  /* none: none given */
    bool allow_update;        /* may replace the image of a running component */
};

/* What runs (or, after a stop, what ran). Views valid until the next turn of the loop. */
struct workload_info {
    struct str id, image_ref;
    struct str name; /* of its embedded claims; none: unsigned */
    int32_t revision;
    uint32_t max_instances;
    struct proto_map annotations, limits;
    struct str public_key;                   /* none: unsigned */
    const struct proto_event_claims *claims; /* NULL: unsigned */
};

/* Once per command. e NULL: info is what `component_scaled` reports, max_instances included. */
typedef void workload_done_fn(void *user, const struct workload_info *info, const struct err *e);

/* Cases A to F. Never calls fn before it returned. */
void workload_scale(struct workloads *ws, const struct workload_spec *spec, workload_done_fn *fn,
                    void *user);
/* Replaces the image of a running one, keeping its limit, config and limits. */
void workload_update(struct workloads *ws, struct str id, struct str new_ref,
                     const struct proto_map *annotations, workload_done_fn *fn, void *user);

/* NULL info: it does not run. */
bool workload_find(const struct workloads *ws, struct str id, struct workload_info *info);
/* Every running one, for the inventory; a value on the stack, no changes while walking. */
struct workload_iter {
    const void *at;
    struct workload_info info;
};
struct workload_iter workloads_iter(const struct workloads *ws);
bool workload_next(struct workload_iter *it);

#endif
