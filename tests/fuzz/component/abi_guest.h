/* SPDX-License-Identifier: Apache-2.0 */
/* A guest made by hand for lift.c, lower.c and resource.c: one component instance, one core memory of one page, two
 * resource types (0: its own, 1: somebody else's), no code. Kept between inputs; guest_reset makes it as new. */
#ifndef HOSTD_TESTS_FUZZ_COMPONENT_ABI_GUEST_H
#define HOSTD_TESTS_FUZZ_COMPONENT_ABI_GUEST_H

#include "hostd/component/guest.h"

#define GUEST_RESOURCES 2

struct abi_guest {
    struct comp_inst inst;
    struct comp comp;
    struct comp_linked linked;
    struct plan plan;
    struct plan_resource resources[GUEST_RESOURCES];
    const struct comp_class *classes[GUEST_RESOURCES];
    struct instance instance;
    struct plan_instance instance_plan;
    struct plan_opts opts;
    struct frame frame; /* of the call being made */
    struct arena arena; /* types, and values given */
    uint8_t *memory;
};

extern const struct wit_resource guest_resources[GUEST_RESOURCES]; /* slot i is resource i */
extern const uint32_t guest_slots[GUEST_RESOURCES];
extern const struct canon_opts guest_options; /* nothing special */

struct abi_guest *abi_guest(void);
/* Memory filled with a pattern, no handles, no trap. */
void abi_guest_reset(struct abi_guest *g, enum encoding encoding, uint32_t handles_max);
struct side abi_guest_side(struct abi_guest *g);

#endif
