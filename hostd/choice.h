/* SPDX-License-Identifier: Apache-2.0 */
/* Which of its links a guest's calls take: `default` until it chooses others by name, interface by interface, for the
 * rest of its call (wasmcloud:bus/lattice, set-link-name). Private to the daemon.
 * The choices are the worker's; whether there is such a link the loop is asked, while the guest is parked.
 * Spec: lattice protocol 5.6, 5.7. */
#ifndef HOSTD_CHOICE_H
#define HOSTD_CHOICE_H

#include "hostd/component/component.h"

struct guest_import;
struct grants;

#define CHOICES_MAX 256u /* interfaces of one guest; a name may be as long as a link's */
#define CHOICE_DEFAULT "default"

struct choices { /* zeroed: none */
    struct choice *v;
    uint32_t n;
};
void choices_fini(struct choices *c);
/* Of an interface "ns:package/interface". A view until the next change. */
struct str choices_get(const struct choices *c, struct str interface);

/* Linking: wasmcloud:bus/lattice@1.0.0 and @2.0, or NULL. Any thread. */
const struct comp_host_iface *choice_find(struct str import);
const struct comp_class *choice_find_class(struct str import, struct str resource);

/* Loop: answers the question that set-link-name asks (an import without a function). */
void choice_answer(struct grants *grants, struct str source_id, struct guest_import *question);

#endif
