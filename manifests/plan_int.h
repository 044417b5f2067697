/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the planner share: plan.c (order, links, removal) and plan_place.c (which host runs what). */
#ifndef HOSTD_PLAN_INT_H
#define HOSTD_PLAN_INT_H

#include "manifests/manifests_int.h"

struct planner {
    struct arena *arena;  /* what the plan refers to */
    struct arena scratch; /* for one component or provider at a time */
    const struct plan_in *in;
    const struct plan_app *app; /* the one being planned */
    struct plan_app *apps;
    struct plan_command *commands, spare;
    uint32_t napps, n, cap;
    bool full;          /* the arena's ceiling was met */
    struct set names;   /* of applications; values: in apps */
    struct set configs; /* names wanted */
    struct set ids;     /* components and providers wanted */
    struct set links;   /* wanted, or already to be removed */
    struct set rising;  /* applications that have something to start or change */
    struct set linked;  /* applications whose old links are not all gone */
};

/* Never NULL; w NULL: nobody wants it. */
struct plan_command *plan_add(struct planner *p, enum plan_op op, const struct want *w,
                              struct str app);
/* Adds a text, and makes the result at least that bad. */
void plan_say(struct planner *p, struct plan_result *r, enum proto_status_type type,
              const char *fmt, ...) __attribute__((format(printf, 4, 5)));
bool plan_configs_ready(struct planner *p, const struct proto_strs *names, struct plan_result *r);

void plan_component(struct planner *p, const struct want *w, struct plan_result *r);
void plan_provider(struct planner *p, const struct want *w, struct plan_result *r);
void plan_stop_component(struct planner *p, const struct want *w, const struct seen_host *h,
                         const struct seen_component *c);
void plan_stop_provider(struct planner *p, const struct want *w, const struct seen_host *h,
                        const struct seen_provider *v);

#endif
