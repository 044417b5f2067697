/* SPDX-License-Identifier: Apache-2.0 */
/* Function bodies: a stack of types and of open blocks is kept while instructions are chosen, and what an
 * instruction lacks is made on the spot. */
#include "tests/fuzz/wasm/generate.h"

#include <assert.h>
#include <string.h>
#include "lattice/base/num.h"

#define ACTIONS_MAX 300u /* of one function */

struct gen_label *gen_top(struct generator *g)
{
    return &g->labels[g->nlabels - 1];
}

void gen_op(struct generator *g, uint32_t op)
{
    if (op <= 0xff) {
        buf_byte(g->code, (uint8_t)op);
        return;
    }
    uint32_t bits = op >> 16 ? 12 : 8; /* of the number behind the prefix */
    buf_byte(g->code, (uint8_t)(op >> bits));
    buf_leb_u64(g->code, op & ((1u << bits) - 1));
}

void gen_leb(struct generator *g, uint64_t v)
{
    buf_leb_u64(g->code, v);
}

void gen_push(struct generator *g, uint8_t type, bool any_nan)
{
    assert(g->sp < GEN_STACK_MAX);
    g->any_nan[g->sp] = any_nan;
    g->stack[g->sp++] = type;
}

/* Floats that come from far: a local, a call, a block. */
void gen_push_all(struct generator *g, const uint8_t *types, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        gen_push(g, types[i], true);
}

static bool get_variable(struct generator *g, uint8_t type)
{
    uint32_t nlocals = g->scratch, start = gen_choose(g, nlocals + g->nglobals + 1);
    for (uint32_t k = 0; k < nlocals + g->nglobals; k++) {
        uint32_t i = (start + k) % (nlocals + g->nglobals);
        if (i < nlocals && g->locals[i] == type) {
            gen_op(g, OP_LOCAL_GET);
            gen_leb(g, i);
            return true;
        }
        if (i >= nlocals && g->globals[i - nlocals].type == type) {
            gen_op(g, OP_GLOBAL_GET);
            gen_leb(g, i - nlocals);
            return true;
        }
    }
    return false;
}

void gen_make(struct generator *g, uint8_t type)
{
    bool variable = gen_choose(g, 3) && get_variable(g, type);
    if (!variable)
        gen_const(g, g->code, type);
    gen_push(g, type, variable);
}

bool gen_need(struct generator *g, const uint8_t *types, uint32_t n)
{
    const struct gen_label *l = gen_top(g);
    uint32_t there = g->sp - l->height;
    if (l->dead && there <= n && memcmp(g->stack + l->height, types + n - there, there) == 0 &&
        gen_choose(g, 2)) {
        g->sp = l->height;
        return false;
    }
    uint32_t have = gen_choose(g, 6) == 1 ? 0 : MIN(n, there);
    while (have > 0 && memcmp(g->stack + g->sp - have, types, have) != 0)
        have--;
    for (uint32_t k = have; k < n; k++)
        gen_make(g, types[k]);
    return true;
}

void gen_take(struct generator *g, const uint8_t *types, uint32_t n)
{
    if (gen_need(g, types, n))
        g->sp -= n;
}

/* x, and a canonical NaN instead when it is one. */
static void settle_float(struct generator *g, uint32_t local, uint32_t eq)
{
    static const uint8_t nan32[] = {0, 0, 0xc0, 0x7f}, nan64[] = {0, 0, 0, 0, 0, 0, 0xf8, 0x7f};
    bool is64 = eq == OP_F64_EQ;
    gen_op(g, OP_LOCAL_TEE);
    gen_leb(g, local);
    gen_op(g, is64 ? OP_F64_CONST : OP_F32_CONST);
    buf_put(g->code, is64 ? nan64 : nan32, is64 ? sizeof nan64 : sizeof nan32);
    for (int i = 0; i < 2; i++) {
        gen_op(g, OP_LOCAL_GET);
        gen_leb(g, local);
    }
    gen_op(g, eq);
    gen_op(g, OP_SELECT);
}

void gen_settle(struct generator *g)
{
    uint8_t type = g->stack[g->sp - 1];
    if (!g->any_nan[g->sp - 1])
        return;
    if (type == WASM_F32)
        settle_float(g, g->scratch + SCRATCH_F32, OP_F32_EQ);
    else if (type == WASM_F64)
        settle_float(g, g->scratch + SCRATCH_F64, OP_F64_EQ);
    g->any_nan[g->sp - 1] = false;
}

void gen_settle_vector(struct generator *g, bool is64)
{
    gen_op(g, OP_LOCAL_TEE);
    gen_leb(g, g->scratch + SCRATCH_V128);
    for (int i = 0; i < 2; i++) {
        gen_op(g, OP_LOCAL_GET);
        gen_leb(g, g->scratch + SCRATCH_V128);
    }
    gen_op(g, is64 ? OP_F64X2_EQ : OP_F32X4_EQ);
    gen_op(g, OP_LOCAL_GET);
    gen_leb(g, g->scratch + SCRATCH_V128);
    gen_op(g, OP_V128_AND);
    gen_op(g, OP_V128_AND);
}

void gen_dead(struct generator *g)
{
    gen_top(g)->dead = true;
    g->sp = gen_top(g)->height;
}

/* ---- blocks ---- */

/* Its parameters are on top of the stack, if anything is. */
void gen_open(struct generator *g, uint8_t op, const struct gen_type *type, uint32_t counter)
{
    assert(g->nlabels < GEN_LABELS_MAX);
    g->labels[g->nlabels++] =
        (struct gen_label){.op = op, .height = g->sp, .counter = counter, .type = *type};
    gen_push_all(g, type->params, type->nparams);
}

/* Exactly the results: drops what does not belong, then makes what is missing. A dead end may leave them out. */
static void leave_results(struct generator *g)
{
    const struct gen_label *l = gen_top(g);
    const uint8_t *want = l->type.results;
    uint32_t n = l->type.nresults;
    for (;;) {
        uint32_t there = g->sp - l->height;
        if (there <= n && memcmp(g->stack + l->height, want, there) == 0)
            break;
        gen_op(g, OP_DROP);
        g->sp--;
    }
    if (l->dead && g->sp == l->height && gen_choose(g, 2))
        return;
    for (uint32_t k = g->sp - l->height; k < n; k++)
        gen_make(g, want[k]);
}

static bool same_types(const struct gen_type *t)
{
    return t->nparams == t->nresults && memcmp(t->params, t->results, t->nparams) == 0;
}

void gen_close(struct generator *g)
{
    struct gen_label *l = gen_top(g);
    leave_results(g);
    g->sp = l->height;
    if (l->op == OP_IF && (!same_types(&l->type) || gen_choose(g, 2))) {
        gen_op(g, OP_ELSE);
        l->op = OP_ELSE;
        l->dead = false;
        gen_push_all(g, l->type.params, l->type.nparams);
        return;
    }
    if (l->counter) {
        gen_op(g, OP_LOCAL_GET);
        gen_leb(g, l->counter);
        gen_op(g, OP_I32_CONST);
        buf_leb_s64(g->code, -1);
        gen_op(g, OP_I32_ADD);
        gen_op(g, OP_LOCAL_TEE);
        gen_leb(g, l->counter);
        gen_op(g, OP_BR_IF);
        gen_leb(g, 0);
    }
    gen_op(g, OP_END);
    struct gen_type type = l->type;
    g->nlabels--;
    if (g->nlabels > 0)
        gen_push_all(g, type.results, type.nresults);
}

/* ---- functions ---- */

static void choose_locals(struct generator *g)
{
    static const uint8_t scratch[SCRATCH_LOCALS] = {WASM_F32, WASM_F64, WASM_V128,
                                                    WASM_I32, WASM_I32, WASM_I32};
    uint32_t own = gen_choose(g, 7);
    memcpy(g->locals, g->type->params, g->type->nparams);
    g->nlocals = g->type->nparams;
    buf_leb_u64(g->code, own + SCRATCH_LOCALS);
    for (uint32_t i = 0; i < own; i++) {
        uint8_t type = gen_value_type(g);
        g->locals[g->nlocals++] = type;
        buf_leb_u64(g->code, 1);
        buf_byte(g->code, type);
    }
    g->scratch = g->nlocals;
    for (uint32_t i = 0; i < SCRATCH_LOCALS; i++) {
        g->locals[g->nlocals++] = scratch[i];
        buf_leb_u64(g->code, 1);
        buf_byte(g->code, scratch[i]);
    }
}

void gen_body(struct generator *g, const struct gen_type *type, struct buf *out)
{
    g->code = out;
    g->type = type;
    g->sp = 0;
    choose_locals(g);
    g->nlabels = 1;
    g->labels[0] = (struct gen_label){.op = OP_BLOCK, .type = *type};
    uint32_t actions = ACTIONS_MAX / (1 + gen_choose(g, 8));
    for (uint32_t i = 0; i < actions && gen_more(g) && g->nlabels > 0; i++)
        gen_action(g);
    while (g->nlabels > 0)
        gen_close(g);
}
