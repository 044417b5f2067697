/* SPDX-License-Identifier: Apache-2.0 */
/* The Canonical ABI once more, as its specification writes it down and with nothing worked out beforehand: sizes,
 * alignments and flat types by recursion, strings as lists of scalar values, memory as an array of bytes. What
 * hostd/component does is compared with it.
 * Spec: CanonicalABI.md "Element Size", "Flattening", "Loading", "Storing", "Flat Lifting", "Flat Lowering". */
#ifndef HOSTD_TESTS_FUZZ_COMPONENT_MODEL_H
#define HOSTD_TESTS_FUZZ_COMPONENT_MODEL_H

#include "hostd/component/guest.h"

#define MODEL_FLAT_MAX 4096 /* core values of one type */
#define MODEL_MEMORY 65536u
#define MODEL_HANDLES 64u

/* What a guest's realloc answers: the same for both, when asked the same. */
struct allocator {
    uint32_t next;        /* free from here on */
    uint32_t calls;       /* so far */
    uint32_t lie_at, lie; /* the call that is answered with this instead; lie_at 0: none */
    struct buf log;
};
/* Moves what was there, if it lies in mem. */
uint32_t allocator_answer(struct allocator *a, uint8_t *mem, uint32_t old, uint32_t old_bytes,
                          uint32_t align, uint32_t bytes);

struct model_handle {
    uint32_t resource; /* NONE: free */
    bool own;
    uint32_t lends;
    void *obj;
};

struct model {
    uint8_t *mem; /* MODEL_MEMORY bytes */
    enum encoding encoding;
    struct allocator allocator;
    const uint32_t *owner_is_us; /* by resource slot: borrows are passed as they are */
    struct model_handle handles[MODEL_HANDLES];
    uint32_t nhandles; /* used so far, the first one not counted */
    uint32_t freed[MODEL_HANDLES], nfreed;
    uint32_t budget; /* values still to be lifted; 0: too many to compare */
};

uint32_t model_size(const struct wit_type *t);
uint32_t model_align(const struct wit_type *t);
uint32_t model_flatten(const struct wit_type *t, uint8_t *out); /* core types */

/* All parameters (a tuple), or a result. False: a trap. flat: at most 16, or the pointer. */
bool model_lower_params(struct model *m, const struct wit_type *params,
                        const struct wit_value *args, uint64_t *flat);
bool model_lower_result(struct model *m, const struct wit_type *t, const struct wit_value *v,
                        uint32_t out_pointer, uint64_t *flat);
/* What comes out is written down as by value_dump. */
bool model_lift(struct model *m, const struct wit_type *t, uint32_t max_flat, const uint64_t *flat,
                struct buf *out);

/* A value as bytes, NaNs canonical. */
void value_dump(const struct wit_type *t, const struct wit_value *v, struct buf *out);
void dump_number(uint64_t v, struct buf *out);

/* ---- strings ---- model_text.c */
bool model_store_string(struct model *m, const struct wit_value *v, uint32_t *pointer,
                        uint32_t *length);
bool model_load_string(struct model *m, uint32_t pointer, uint32_t length, struct buf *out);
/* Allocation, with the checks of its answer. */
bool model_realloc(struct model *m, uint32_t old, uint32_t old_bytes, uint32_t align,
                   uint64_t bytes, uint32_t *pointer);

#endif
