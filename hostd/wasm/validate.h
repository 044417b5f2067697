/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by validate.c and validate_ops.c: the state of checking one body or constant expression, and the
 * moves on its operand stack. Spec: WebAssembly core, appendix "Validation Algorithm".
 *
 * A failing function has described the failure in the reader's err, with the offset of the instruction. */
#ifndef HOSTD_WASM_VALIDATE_H
#define HOSTD_WASM_VALIDATE_H

#include "hostd/wasm/module.h"

/* Type of an operand nobody pushed: what unreachable code pops. Equal to every other type. */
#define TYPE_ANY 0

struct type_list {
    const uint8_t *types;
    uint32_t n;
};

struct block {
    struct type_list params, results;
    uint32_t height; /* operands below this belong to outer blocks */
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

    uint8_t *operands; /* types, WASM_HEIGHT_MAX places */
    uint32_t height, max_height, height_limit;
    struct block *blocks; /* innermost last */
    uint32_t nblocks, blocks_cap;
    bool has_loops;
    uint64_t work_left; /* operand types that may still be moved in lists: keeps the time linear */
};

bool val_fail(struct validator *v, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

bool val_push(struct validator *v, uint8_t type);
bool val_pop(struct validator *v, uint8_t want);
bool val_pop_any(struct validator *v, uint8_t *type);
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

static inline bool type_list_eq(struct type_list a, struct type_list b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.types, b.types, a.n) == 0);
}

#endif
