/* SPDX-License-Identifier: Apache-2.0 */
/* A reference interpreter for tests: runs the validated bytecode as the specification reads, one instruction
 * at a time, values on an explicit stack, guest calls by recursion. Slow and obvious on purpose: what the engine
 * does is compared with it. Its interface is hostd/wasm/wasm.h with the names of names.h; deferred host functions,
 * pausing and images are the engine's alone.
 *
 *   store.c    functions, tables, memories, globals, instances
 *   run.c      guests: calls, blocks, branches, variables
 *   memory.c   loads, stores, bulk operations, tables
 *   number.c   the numeric instructions
 *   vector.c   those of vectors, lane by lane */
#ifndef HOSTD_TESTS_WASM_REFERENCE_H
#define HOSTD_TESTS_WASM_REFERENCE_H

#include "tests/wasm/reference/names.h"

#include "hostd/wasm/module.h"

#define PAGE_BYTES 65536u

/* Any value: numbers and references in `lo`, zero-extended; v128 in both. */
struct value {
    uint64_t lo, hi;
};

struct ref_func {
    struct ref_inst *inst; /* NULL: a host function */
    const struct wasm_functype *type;
    uint32_t index; /* in the module of inst */
    ref_host_fn *fn;
    void *user;
};

struct ref_memory {
    uint8_t *bytes;
    uint64_t pages, pages_max;
    uint64_t *pages_left; /* of its instance; NULL: stands alone */
    struct wasm_limits_type type;
};

struct ref_table {
    struct value *elems;
    uint64_t n, max;
    struct type_in elem;
    struct wasm_limits_type type;
};

struct ref_global {
    struct type_in type;
    bool mutable_;
    struct value value;
};

struct ref_tag {
    const struct wasm_functype *type;
};

struct ref_inst {
    struct wasm_module *module;
    struct ref_func **funcs; /* imported ones first, in all five */
    struct ref_table **tables;
    struct ref_memory **memories;
    struct ref_global **globals;
    struct ref_tag **tags;
    bool *dropped_elems, *dropped_datas;
    uint64_t pages_left;
    struct ref_inst *next_abandoned;
};

/* Never freed before its vm: nobody looks who refers to it. */
struct ref_exn {
    struct ref_exn *next;
    const struct ref_tag *tag;
    struct value payload[];
};

struct ref_vm {
    struct value *stack;
    uint32_t sp, cap;
    uint32_t depth; /* of guest calls */
    uint64_t fuel_used, fuel_limit;
    enum wasm_trap trap;
    char trap_text[256];
    struct ref_func *entered;
    struct ref_exn *exns;   /* all there ever were */
    struct ref_exn *thrown; /* the one on its way */
    wasm_slot *results;
};

/* ---- store.c ---- */
bool ref_memory_grow(struct ref_memory *m, uint64_t pages);
bool ref_table_grow(struct ref_table *t, uint64_t n, struct value init);
/* Element `index` of a segment. */
struct value ref_elem(const struct ref_inst *i, const struct elem_segment *s, uint64_t index);

/* ---- run.c ---- */
void ref_push(struct ref_vm *vm, struct value v);
void ref_push64(struct ref_vm *vm, uint64_t v);
struct value ref_pop(struct ref_vm *vm);
bool ref_trap(struct ref_vm *vm, enum wasm_trap kind); /* false */

/* ---- memory.c ---- The instruction's immediates are next in r; false: trapped. */
/* Where an access of n bytes goes: the address, and the immediates. NULL: trapped. */
uint8_t *ref_place(struct ref_vm *vm, const struct ref_inst *i, struct reader *r, uint64_t address,
                   uint32_t n);
bool ref_access(struct ref_vm *vm, struct ref_inst *i, uint32_t op, struct reader *r);
bool ref_bulk(struct ref_vm *vm, struct ref_inst *i, uint32_t op, struct reader *r);
bool ref_table(struct ref_vm *vm, struct ref_inst *i, uint32_t op, struct reader *r);

/* ---- vector.c ---- */
bool ref_vector(struct ref_vm *vm, struct ref_inst *i, uint32_t op, struct reader *r);

/* ---- number.c ---- */
bool ref_is_number(uint32_t op);
/* Operands a, b (unary: a) to *result; WASM_TRAP_NONE when it has one. */
enum wasm_trap ref_number(uint32_t op, uint64_t a, uint64_t b, uint64_t *result);

#endif
