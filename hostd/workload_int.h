/* SPDX-License-Identifier: Apache-2.0 */
/* Private to workload.c (the table of components, each with its commands in order) and workload_command.c (what one
 * command does). Keeps: a workload exists in the table while it runs or has commands; `now` is what runs. */
#ifndef HOSTD_WORKLOAD_INT_H
#define HOSTD_WORKLOAD_INT_H

#include "hostd/claims.h"
#include "hostd/image/image.h"
#include "hostd/invoke.h"
#include "hostd/policy.h"
#include "hostd/workload.h"
#include "lattice/base/map.h"

#define WORKLOAD_ARENA_BYTES (4u << 20) /* of a command, and of what runs */

/* One command, and what it has gathered on its way. */
struct command {
    struct command *prev, *next;
    struct workload *w;
    struct arena arena;
    struct workload_spec spec;
    bool is_update; /* workload_update: only where it runs */
    workload_done_fn *fn;
    void *user;
    /* steps */
    uint64_t execution_ms_max, memory_bytes_max;
    char *cache; /* folder for notes */
    struct span image;
    struct image_hold *hold;
    struct claims *claims; /* NULL: not signed */
    struct comp_linked *linked;
    struct bridge *bridge;
    struct policy_wait *asking;
    void (*permitted)(struct command *c);
    struct grant_config *config;
    bool away; /* image_load or the pool has it; if the workload goes meanwhile, w is NULL */
    struct err e;
};

struct workload {
    UT_hash_handle hh;
    struct workloads *ws;
    struct str id;
    char *id_text;
    struct command *commands; /* the head one is under way */
    bool busy, posted;
    /* what runs; serving NULL: nothing */
    struct serving *serving;
    struct grant_config *config;
    struct arena arena; /* of `now` */
    struct workload_spec now;
    struct image_hold *hold;
    struct claims *claims; /* NULL: not signed */
};

struct workloads {
    struct workload_opts opts;
    struct invoke_host host;
    struct workload *table;
    char *lattice;
    bool draining;    /* for good */
    loop_fn *drained; /* when nothing runs any more */
    void *drained_user;
    struct loop_timer *drained_soon;
};

/* ---- workload.c ---- */

/* Its next command, if any, begins soon. */
void workload_schedule(struct workload *w);
void workload_describe(const struct workload_spec *spec, const struct claims *claims,
                       struct workload_info *info);
bool workload_copy_spec(struct arena *a, const struct workload_spec *in, struct workload_spec *out,
                        struct err *e);

/* ---- workload_command.c ---- */

/* The head one; it ends by itself, and the next one is scheduled. */
void workload_execute(struct command *c);
void workload_command_free(struct command *c); /* one that is not away */

#endif
