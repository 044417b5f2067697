/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a body on their way to a guest that reads when it likes. What it has room for goes to it at once; the
 * rest waits, a little in memory and all else in a stash, also while there is no guest yet. So a body takes a bounded
 * amount of memory whoever sends it, and however busy the workers are. Loop thread only. Private to the daemon.
 *   inflow_init -> inflow_push ... -> inflow_end -> on_end;  meanwhile inflow_start, inflow_consumed -> inflow_fini */
#ifndef HOSTD_INFLOW_H
#define HOSTD_INFLOW_H

#include "hostd/guest.h"
#include "hostd/stash.h"
#include "wrpc/wrpc.h"

#define INFLOW_HELD_BYTES_MAX (64u << 10) /* waiting in memory */
/* With the guest, and not consumed: more than anybody sends who is paced, so that those never wait here. */
#define INFLOW_WINDOW_BYTES (2u * WRPC_WINDOW_BYTES)

/* Once, when the guest has all the bytes that it will get: why is NULL, or tells what became of the others. */
typedef void inflow_end_fn(void *user, const struct err *why);

struct inflow {
    struct stashes *stashes;
    inflow_end_fn *on_end;
    void *user;
    struct guest *guest; /* NULL: none yet */
    uint32_t exchange;
    size_t under_way;    /* with the guest */
    struct buf held;     /* older than what is in the stash */
    struct stash *stash; /* NULL: never needed, or empty */
    uint64_t stashed;
    bool asked; /* the stash */
    bool ended, over;
    struct err lost;
};

void inflow_init(struct inflow *f, struct stashes *stashes, inflow_end_fn *on_end, void *user);
void inflow_fini(struct inflow *f);
void inflow_start(struct inflow *f, struct guest *guest, uint32_t exchange);
void inflow_push(struct inflow *f, struct span data); /* nothing after its end */
void inflow_end(struct inflow *f);                /* nothing more comes; on_end may come inside */
void inflow_consumed(struct inflow *f, size_t n); /* as guest_ops tells it */

#endif
