/* SPDX-License-Identifier: Apache-2.0 */
/* WIT types and values from a fuzzer's bytes; no bytes left means the simplest choice. */
#ifndef HOSTD_TESTS_FUZZ_COMPONENT_CHOICE_H
#define HOSTD_TESTS_FUZZ_COMPONENT_CHOICE_H

#include "wrpc/wit.h"

struct choice {
    const uint8_t *p, *end;
    struct arena *arena;
    const struct wit_resource *const *resources; /* to make handles of; NULL: none */
    uint32_t nresources;
    bool borrows; /* allowed */
};

uint8_t choose_byte(struct choice *c);
uint32_t choose(struct choice *c, uint32_t n); /* below n */
const struct wit_type *choose_type(struct choice *c, uint32_t depth);
struct wit_value choose_value(struct choice *c, const struct wit_type *t);

#endif
