/* SPDX-License-Identifier: Apache-2.0 */
/* Valid modules from any bytes: every choice takes a byte, and no bytes left means the simplest choice, so that a
 * fuzzer can change and shrink its input meaningfully. The modules import only functions (numbers in, numbers
 * out), export everything, and never let it show which NaN an operation made: wasm leaves that open.
 *
 *   module.c    types, sections, constants
 *   body.c      functions: instructions over a stack of types
 *   actions.c   the kinds of instructions
 */
#ifndef HOSTD_TESTS_FUZZ_WASM_GENERATE_H
#define HOSTD_TESTS_FUZZ_WASM_GENERATE_H

#include "hostd/wasm/module.h"
#include "lattice/base/buf.h"

/* Appends a module to out. */
void generate_module(struct span input, struct buf *out);

/* ---- among the files ---- */

#define GEN_TYPES_MAX 8
#define GEN_TAGS_MAX 2
#define GEN_TYPES_PER_TAG 3 /* its own, and those of blocks that catch it */
#define GEN_FUNCS_MAX 8
#define GEN_GLOBALS_MAX 6
#define GEN_MEMORIES_MAX 2
#define GEN_TABLES_MAX 3
#define GEN_SEGMENTS_MAX 3
#define GEN_VALUES_MAX 4 /* parameters, or results, of a function type */
#define GEN_LOCALS_MAX 24
#define GEN_STACK_MAX 200
#define GEN_LABELS_MAX 12

struct gen_type {
    uint8_t params[GEN_VALUES_MAX], results[GEN_VALUES_MAX];
    uint32_t nparams, nresults;
};

struct gen_global {
    uint8_t type;
    bool mutable_;
};

struct gen_table {
    uint8_t elem;
    bool is64;
    uint32_t min, max;
};

struct gen_memory {
    bool is64;
    uint32_t min, max; /* pages */
};

struct gen_label {
    uint8_t op; /* OP_BLOCK (also the function), OP_LOOP, OP_IF, OP_ELSE */
    bool dead;  /* nothing gets here: what is missing on the stack need not be there */
    uint32_t height;
    uint32_t counter; /* of a loop that ends by counting down: its local; else 0 */
    struct gen_type type;
};

struct generator {
    const uint8_t *p, *end;
    uint32_t ntypes, nfuncs, nimported_funcs, nglobals, nmemories, ntables, nelems, ndatas, ntags;
    struct gen_type types[GEN_TYPES_MAX + GEN_TAGS_MAX * GEN_TYPES_PER_TAG];
    uint32_t funcs[GEN_FUNCS_MAX]; /* their types */
    uint32_t tags[GEN_TAGS_MAX];   /* their types, followed by those of blocks */
    struct gen_global globals[GEN_GLOBALS_MAX];
    struct gen_memory memories[GEN_MEMORIES_MAX];
    struct gen_table tables[GEN_TABLES_MAX];
    uint8_t elem_types[GEN_SEGMENTS_MAX];

    /* the function being made */
    struct buf *code;
    const struct gen_type *type;
    uint8_t locals[GEN_LOCALS_MAX];
    uint32_t nlocals, scratch; /* scratch: first of the locals that only patterns use */
    uint8_t stack[GEN_STACK_MAX];
    bool any_nan[GEN_STACK_MAX]; /* may be a NaN of unknown bits; never of a vector */
    uint32_t sp;
    struct gen_label labels[GEN_LABELS_MAX];
    uint32_t nlabels;
};

/* module.c */
bool gen_more(const struct generator *g);
uint32_t gen_choose(struct generator *g, uint32_t n); /* below n; 0 when there are no bytes left */
uint64_t gen_number(struct generator *g);             /* any, edge cases often */
uint8_t gen_value_type(struct generator *g);
bool gen_is_ref(uint8_t type);
void gen_const(struct generator *g, struct buf *out, uint8_t type); /* an instruction */

/* body.c */
void gen_body(struct generator *g, const struct gen_type *type, struct buf *out);
struct gen_label *gen_top(struct generator *g);
void gen_op(struct generator *g, uint32_t op);
void gen_leb(struct generator *g, uint64_t v);
void gen_push(struct generator *g, uint8_t type, bool any_nan);
void gen_push_all(struct generator *g, const uint8_t *types, uint32_t n);
/* Sees to it that the topmost operands are these: makes what is missing. False: in dead code, and some are not
 * there at all; nothing is left of the others. */
bool gen_need(struct generator *g, const uint8_t *types, uint32_t n);
/* And takes them off. */
void gen_take(struct generator *g, const uint8_t *types, uint32_t n);
void gen_open(struct generator *g, uint8_t op, const struct gen_type *type, uint32_t counter);
void gen_close(struct generator *g); /* the innermost block, or the first half of its if */
void gen_make(struct generator *g, uint8_t type); /* one new operand */
/* The topmost operand: gives it known bits when it may be a NaN without. */
void gen_settle(struct generator *g);
/* The same for the lanes of a vector: NaNs become 0. */
void gen_settle_vector(struct generator *g, bool is64);
void gen_dead(struct generator *g); /* what follows is never reached */

enum { SCRATCH_F32, SCRATCH_F64, SCRATCH_V128, SCRATCH_COUNTERS, SCRATCH_LOCALS = 6 };

/* actions.c */
void gen_action(struct generator *g);

#endif
