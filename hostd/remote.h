/* SPDX-License-Identifier: Apache-2.0 */
/* Handles of resources that live elsewhere: objects in a guest's table, bytes on the wire. Any thread; private to the
 * daemon. Spec: wRPC 3. */
#ifndef HOSTD_REMOTE_H
#define HOSTD_REMOTE_H

#include "hostd/component/component.h"

#define REMOTE_BYTES_MAX 1024u /* of one handle; a guest has COMP_HANDLES_MAX at most */

void *remote_new(struct span bytes);        /* an object */
void remote_drop(void *user, void *object); /* of its class */

/* A copy of a value with handles as bytes, which are views of the objects; in, where there are none. */
bool remotes_to_wire(struct arena *a, const struct wit_type *t, const struct wit_value *in,
                     struct wit_value *out, struct err *e);
/* Makes objects of all handles in v, in place, or of none: they are the caller's. */
bool remotes_from_wire(const struct wit_type *t, struct wit_value *v, struct err *e);
/* Drops the objects of all own handles in v, which are of no use any more. */
void remotes_release(const struct wit_type *t, const struct wit_value *v);

#endif
