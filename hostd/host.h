/* SPDX-License-Identifier: Apache-2.0 */
/* The host as a whole: joins a lattice over two open bus connections, answers for it, leaves it. Loop thread only.
 *
 *   host_open -> opts.ready -> ... -> host_stop -> opts.stopped -> host_close
 *
 * Spec: lattice protocol 4. */
#ifndef HOSTD_HOST_H
#define HOSTD_HOST_H

#include "hostd/config.h"
#include "lattice/bus/bus.h"

#define HOST_VERSION "1.9.2-hostd." HOSTD_VERSION /* of upstream's line, since others parse it */
#define HOST_STOP_MS 10000                        /* unless the stop command says otherwise */

struct host;

struct host_opts {
    struct bus *ctl, *rpc; /* up; outlive the host */
    const struct settings *settings;
    /* e NULL: everything that existed was read, host_started is out. Else starting failed: host_close. Once. */
    void (*ready)(void *user, const struct err *e);
    /* e NULL: left in order. Else the deadline passed. Once, after host_stop (or a stop command). */
    void (*stopped)(void *user, const struct err *e);
    void *user;
};
bool host_open(const struct host_opts *opts, struct host **out, struct err *e);
/* Leaves the lattice: nothing new is served, what runs may finish, providers are asked to stop, host_stopped goes
 * out, connections are flushed. Again: ignored. */
void host_stop(struct host *h, uint64_t timeout_ms);
void host_close(struct host *h); /* at once; NULL is fine; not from within a callback of the host */

struct str host_id(const struct host *h);

#endif
