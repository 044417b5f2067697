/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP requests that guests make: to the target of a link over wRPC, or, where there is none, by the host's own client
 * to the servers that its operator allows; and their calls of wasi:blobstore, which have streams, too. Whatever
 * happens, the guest gets a response or an error. Loop thread only. Private to the daemon.
 *   outgoing_open -> outgoing_body ..., outgoing_consumed ... -> outgoing_drop
 * Spec: lattice protocol 5.7; wRPC 4.1; component-model.md 12.5. */
#ifndef HOSTD_OUTGOING_H
#define HOSTD_OUTGOING_H

#include "hostd/bridge.h"

struct http_client;

struct outgoing; /* the requests of a guest: a list, NULL at first */

struct outgoing_opts {
    const struct bridge_route *route; /* used during the call only */
    struct http_client *client;       /* NULL: the host makes no requests itself */
    struct stashes *stashes; /* of what comes faster than the guest reads */
    struct guest *guest;
    uint32_t exchange;
};
/* Adds to the list; when it cannot begin the guest is told why. */
void outgoing_open(struct outgoing **list, const struct outgoing_opts *opts,
                   const struct guest_fetch *request);
/* The same for a call of wasi:blobstore. */
void outgoing_call(struct outgoing **list, const struct outgoing_opts *opts,
                   const struct guest_call *call);
/* Of the exchange, while it is in the list; what guest_ops tells of it. */
void outgoing_body(struct outgoing *list, uint32_t exchange, struct span data, enum guest_body end,
                   struct span trailers);
void outgoing_consumed(struct outgoing *list, uint32_t exchange, size_t n);
void outgoing_drop(struct outgoing **list, uint32_t exchange); /* cancels */
void outgoing_drop_all(struct outgoing **list);

#endif
