/* SPDX-License-Identifier: Apache-2.0 */
/* Private to grant.c (links, specs, claims) and grant_config.c (named configuration). */
#ifndef HOSTD_GRANT_INT_H
#define HOSTD_GRANT_INT_H

#include <utlist.h>

#include "hostd/grant.h"
#include "lattice/base/map.h"

struct grants {
    struct grant_opts opts; /* its strs point to the next two */
    char *lattice, *js_domain;
    struct loop *loop;
    struct grant_opening *opening; /* while the buckets are being opened */
    struct kv *data, *config;
    struct kv_watch *data_watch, *config_watch;
    bool ready;

    /* grant.c */
    struct grant_spec *specs;   /* by id */
    struct grant_claim *claims; /* by subject */
    uint32_t nlinks;
    struct grant_op *ops; /* the head one is under way */
    uint32_t nops;
    struct loop_timer *retry;

    /* grant_config.c */
    struct grant_named *named; /* configs in use, by name */
    struct grant_config *configs;
    struct grant_fetch *fetches;
    struct grant_call *calls;
    struct grant_resolve *resolves;
};

/* grant.c: the watch of a bucket says that there is none any more */
void grant_restore_buckets(struct grants *g);

/* grant_config.c */
bool grant_named_watch(struct grants *g, struct err *e);
void grant_named_close(struct grants *g);

#endif
