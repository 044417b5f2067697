/* SPDX-License-Identifier: Apache-2.0 */
/* The control interface, for its three files: requests and their answers (control.c), what is asked of this host and
 * what it runs (control_host.c), and what is asked of the lattice: links, configuration, claims, credentials
 * (control_lattice.c). */
#ifndef HOSTD_CONTROL_INT_H
#define HOSTD_CONTROL_INT_H

#include "hostd/host_int.h"

#define CONTROL_SUBS_MAX 16u

struct request {
    struct request *prev, *next;
    struct control *control;
    struct host *host;
    enum proto_op op;
    struct arena arena; /* everything of this request */
    struct str arg, reply;
    struct span body;
    /* link.put, link.del */
    struct proto_link link;
    struct proto_link_del del;
};

struct control {
    struct host *host;
    struct bus_sub *subs[CONTROL_SUBS_MAX];
    uint32_t nsubs;
    struct request *requests;
    uint32_t nrequests;
    struct link_note *notes;
};

/* ---- control.c: each ends the request, but the last ---- */

void control_say_ok(struct request *r, struct str message);
void control_say_data(struct request *r, const void *data);
void control_say_no(struct request *r, struct str message);
void control_say_error(struct request *r, const struct err *e);
/* A body that could not be read; `what` completes upstream's wording, our reason follows it. */
void control_say_unreadable(struct request *r, const char *what, const struct err *e);
void control_say_nothing(struct request *r); /* nobody wants to hear of it: no answer at all */
/* An id becomes part of subjects and keys. False: it cannot, which was answered. */
bool control_check_id(struct request *r, struct str id);

/* ---- one per operation ---- */

typedef void control_fn(struct request *r);

/* control_host.c */
control_fn control_on_ping, control_on_get, control_on_stop, control_on_probe,
    control_on_component_auction, control_on_scale, control_on_update, control_on_provider_auction,
    control_on_provider_start, control_on_provider_stop, control_on_label_put, control_on_label_del;

/* control_lattice.c */
control_fn control_on_links_get, control_on_link_put, control_on_link_del, control_on_claims_get,
    control_on_config_get, control_on_config_put, control_on_config_del, control_on_registry_put;
void control_notes_close(struct control *c); /* links that would have been announced */

#endif
