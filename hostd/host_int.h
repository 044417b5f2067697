/* SPDX-License-Identifier: Apache-2.0 */
/* The host's own members, for host.c, control.c and report.c. */
#ifndef HOSTD_HOST_INT_H
#define HOSTD_HOST_INT_H

#include "hostd/grant.h"
#include "hostd/host.h"
#include "hostd/room.h"
#include "hostd/sidecar.h"
#include "hostd/workload.h"
#include "lattice/base/spool.h"
#include "lattice/id/id.h"

#define HOST_LABELS_MAX 256u

struct host {
    struct host_opts opts;
    const struct settings *settings;
    struct loop *loop;
    struct proto_space space;
    struct id_key key, xkey;
    char id[ID_PUBLIC_LEN + 1];
    char friendly_name[64];
    struct proto_pair labels[HOST_LABELS_MAX]; /* texts on the heap */
    uint32_t nlabels;
    uint64_t started_ms;
    bool running, stopping;
    struct room room;

    struct control *control;
    struct policy *policy;   /* NULL: everything is permitted */
    struct secrets *secrets; /* NULL: no backend is asked */
    struct grants *grants;
    struct wrpc *wrpc;
    struct images *images;
    struct http_client *client; /* NULL: guests' requests go by links only */
    struct wasi_net *net;       /* NULL: guests have no sockets */
    struct spool_disk spool;    /* bodies that guests have not read */
    struct workloads *workloads;
    struct sidecars *sidecars;
    struct scheduler *scheduler; /* NULL: not offered */
    struct loop_timer *heartbeat, *deadline;
    struct loop_timer *drain;  /* until what runs is ended; NULL afterwards */
    struct farewell *farewell; /* while a connection is being flushed for the last time */
};

/* host.c */
struct proto_map host_labels(const struct host *h); /* valid until one changes */
bool host_label_put(struct host *h, struct str key, struct str value, struct err *e);
bool host_label_del(struct host *h, struct str key); /* false: there was none */
uint64_t host_uptime_s(const struct host *h);

/* control.c: the control interface */
struct control *control_open(struct host *h, struct err *e);
void control_stop(struct control *c);  /* no new requests; open ones go on */
void control_close(struct control *c); /* drops open ones; NULL is fine */

/* report.c: events and inventory. data is the struct of that kind. */
void report_event(struct host *h, enum proto_event_kind kind, const void *data);
/* Views into the tables of the host and the arena: valid until the next turn of the loop. */
bool report_inventory(struct host *h, struct arena *a, struct proto_inventory *out, struct err *e);
void report_started(struct host *h);
void report_heartbeat(struct host *h);
void report_stopped(struct host *h);
void report_labels(struct host *h);
void report_scaled(struct host *h, const struct workload_info *info, const struct err *e);
/* As sidecar_news_fn; user is the host. */
void report_sidecar(void *user, enum sidecar_news news, const struct sidecar_info *info,
                    const struct err *e);
void report_link(struct host *h, const struct proto_link *link, const struct err *e);
void report_config(struct host *h, enum proto_event_kind kind, struct str name);

#endif
