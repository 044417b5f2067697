/* SPDX-License-Identifier: Apache-2.0 */
/* Imports that the host does not serve itself, and exports that others call, over wRPC. At load every function of such
 * an import becomes a bridge_func (types that cannot travel are refused there); at the call its link is looked up and
 * the target invoked, while the guest is parked. A remote resource is a handle of bytes; wasi:keyvalue's bucket is the
 * one that is made here (its bytes are the name). An exported function may take such handles. Private to the daemon.
 * Spec: lattice protocol 5.6 - 5.8; wRPC 3, 4.2. */
#ifndef HOSTD_BRIDGE_H
#define HOSTD_BRIDGE_H

#include "hostd/guest.h"
#include "wrpc/wrpc.h"

struct bridge; /* of one component: its functions and resource classes */

struct bridge *bridge_new(void);
void bridge_free(struct bridge *b); /* after the comp_linked that it served */
/* The linker for comp_link: WASI first, everything else bridged. Any thread. */
struct comp_linker bridge_linker(struct bridge *b);

/* Exports. An interface's name on the wire; can a function be served, e says why not; what parameter i is on the wire
 * (of the arena; NULL and e when that is full). */
struct str bridge_export_name(struct str iface);
bool bridge_can_serve(const struct comp_linked *l, const struct comp_func *f, struct err *e);
const struct wit_type *bridge_param_type(const struct comp_linked *l, const struct comp_func *f,
                                         uint32_t i, struct arena *a, struct err *e);
/* Makes handles of decoded parameters, for comp_call. link_name: of the link that the call came by, or empty. */
bool bridge_take_params(const struct comp_linked *l, const struct comp_func *f,
                        struct str link_name, struct wit_value *args, struct err *e);

/* Loop thread: sends the call on its way; guest_import_answer follows, from here or later. */
struct bridge_route {
    struct wrpc *rpc;
    struct grants *grants;
    struct str lattice, source_id;
    uint64_t deadline_ms;
};
/* The target of a link, borrowed until links change; ERR_NOT_FOUND with advice. */
bool bridge_target(const struct bridge_route *route, struct str key, struct str name,
                   struct str *target, struct err *e);
void bridge_invoke(const struct bridge_route *route, struct guest_import *call);

#endif
