/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by validate.c, validate_ops.c and validate_bodies.c: the state of checking one body or constant
 * expression, and the moves on its operand stack. Spec: WebAssembly core, appendix "Validation Algorithm".
 *
 * A failing function has described the failure in the reader's err, with the offset of the instruction. */
#ifndef HOSTD_WASM_VALIDATE_H
#define HOSTD_WASM_VALIDATE_H

#include "hostd/wasm/module.h"

struct type_list {
    const uint8_t *types;
    uint32_t n;
};

struct operand {
    uint8_t type;
    uint32_t top; /* slots of the stack up to it, itself included: set by pushing */
    uint32_t
        func; /* of ref.func: index of the function's type, which no reference type need name; else NO_FUNC */
};
#define NO_FUNC UINT32_MAX

struct block {
    struct type_list params, results;
    uint32_t height; /* operands below this belong to outer blocks */
    uint32_t nset;   /* locals set before it: those set inside are unset again behind it */
    uint16_t op;     /* OP_BLOCK, OP_LOOP, OP_IF or OP_ELSE */
    bool unreachable;
};

struct validator {
    struct wasm_module *m;
    struct reader r;
    const uint8_t *op_at; /* of the current instruction, for messages */
    const char *op_text;

    const struct func_decl *func; /* NULL: a constant expression */
    uint32_t nglobals;            /* a constant expression sees the globals before this one */

    struct operand *operands;
    uint32_t operands_cap;
    uint32_t height;                 /* in values ... */
    uint32_t max_slots, slots_limit; /* ... and in slots */
    struct block *blocks;            /* innermost last */
    uint32_t nblocks, blocks_cap;
    bool has_loops;
    bool *unset;   /* by local: must be set before it is read; NULL: none of this function */
    uint32_t *set; /* the locals that were unset and have been set, in order */
    uint32_t nset;
    uint8_t address; /* type that addresses the memory or table read last */

    /* Operand types moved in lists: keeps the time linear. The module's allowance is shared by all who check
     * bodies of it, and looked at once per so many types. */
    uint64_t work;
    _Atomic uint64_t *work_left;
};

#define WORK_BASE ((uint64_t)16 << 20)
#define WORK_PER_BYTE 16

static inline uint64_t val_work(const struct wasm_module *m)
{
    return WORK_BASE + WORK_PER_BYTE * (uint64_t)m->bytes.n;
}

void val_init(struct validator *v, struct wasm_module *m, _Atomic uint64_t *work_left,
              struct err *e);
void val_fini(struct validator *v);
/* Checks a body and fills the fields of its func_decl. */
bool val_body(struct validator *v, struct func_decl *f);

/* validate_bodies.c: all bodies, or, when the module's limits know their frames, none yet. */
bool module_validate_bodies(struct wasm_module *m, struct err *e);

bool val_fail(struct validator *v, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

bool val_push(struct validator *v, uint8_t type);
bool val_pop(struct validator *v, uint8_t want);
bool val_pop_any(struct validator *v, uint8_t *type);
bool val_pop_ref(struct validator *v, struct operand *operand); /* TYPE_REF_ANY when unknown */
bool val_push_operand(struct validator *v, struct operand operand);
bool val_matches(const struct validator *v, uint8_t have, uint8_t want);
bool val_lists_match(const struct validator *v, struct type_list have, struct type_list want);
bool val_push_list(struct validator *v, struct type_list l);
bool val_pop_list(struct validator *v, struct type_list l);

bool val_enter(struct validator *v, uint16_t op, struct type_list params, struct type_list results);
bool val_leave(struct validator *v, struct block *left); /* pops the block and its results */
void val_unreachable(struct validator *v);

/* validate_ops.c: the instructions whose row has the signature "*". */
bool val_special(struct validator *v, uint32_t op);
/* The other rows: reads and checks their immediates. */
bool val_immediate(struct validator *v, enum imm imm);

static inline struct block *val_block(struct validator *v)
{
    return &v->blocks[v->nblocks - 1];
}

static inline struct type_list type_params(const struct wasm_functype *t)
{
    return (struct type_list){t->types, t->nparams};
}

static inline struct type_list type_results(const struct wasm_functype *t)
{
    return (struct type_list){t->types + t->nparams, t->nresults};
}

#endif
