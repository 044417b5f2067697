/* SPDX-License-Identifier: Apache-2.0 */
/* What the log says about the address space that guests take: at the start how their memories are guarded, and
 * later, once, when the process comes near the number of mappings the system allows it. */
#ifndef HOSTD_ROOM_H
#define HOSTD_ROOM_H

#include <stdbool.h>
#include <stdint.h>

struct room {
    bool told; /* that mappings run out; again only after there was room in between */
};

void room_report(void);
void room_check(struct room *r);
/* Is it time to say that `used` of `limit` mappings are taken? Takes note of the answer. */
bool room_is_short(struct room *r, uint64_t used, uint64_t limit);

#endif
