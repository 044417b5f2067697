/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of locals and constants that are not computed where the bytecode says so but where they are
 * used: a load or store takes them as its address (translate_memory.c), everybody else calls
 * compute. A sum counts as a read of its locals until then. */
#include "hostd/wasm/translate.h"

#include <assert.h>

#define SHIFT_MAX 3 /* an address is scaled by up to 8 */

static bool is_term(const struct value *v)
{
    return v->place == AT_LOCAL || (v->place == AT_SUM && v->other == NONE);
}

/* Has it the form v << shift? */
static bool is_scaled(const struct value *v)
{
    return v->place == AT_LOCAL || (v->place == AT_SUM && v->other == NONE && v->k == 0);
}

static struct value as_sum(struct value v)
{
    if (v.place == AT_LOCAL) {
        v.place = AT_SUM;
        v.shift = 0;
        v.k = 0;
        v.other = NONE;
    }
    return v;
}

static bool plus_constant(struct value *sum, const struct value *term, uint32_t k)
{
    if (!is_term(term))
        return false;
    *sum = as_sum(*term);
    sum->k += k;
    if (sum->k == 0 && sum->shift == 0)
        sum->place = AT_LOCAL;
    return true;
}

static bool add(struct value *sum, const struct value *x, const struct value *y)
{
    if (y->place == CONSTANT)
        return plus_constant(sum, x, (uint32_t)y->v);
    if (x->place == CONSTANT)
        return plus_constant(sum, y, (uint32_t)x->v);
    if (x->place != AT_LOCAL) {
        const struct value *other = x;
        x = y;
        y = other;
    }
    if (x->place != AT_LOCAL || !is_scaled(y))
        return false;
    *sum = as_sum(*y);
    sum->other = (uint32_t)x->v;
    return true;
}

static bool shift_left(struct value *sum, const struct value *x, const struct value *y)
{
    uint32_t shift = (uint32_t)y->v & 31;
    if (y->place != CONSTANT || x->place != AT_LOCAL || shift == 0 || shift > SHIFT_MAX)
        return false;
    *sum = as_sum(*x);
    sum->shift = (uint8_t)shift;
    return true;
}

bool make_sum(struct translation *t, const struct op_row *row)
{
    const struct value *x = &t->stack[t->sp - 2], *y = &t->stack[t->sp - 1];
    struct value sum;
    bool made = false;
    if (!uses(TECHNIQUE_ADDRESSES))
        return false;
    if (row == op_row(OP_I32_ADD))
        made = add(&sum, x, y);
    else if (row == op_row(OP_I32_SUB))
        made = y->place == CONSTANT && plus_constant(&sum, x, (uint32_t)(0 - y->v));
    else if (row == op_row(OP_I32_SHL))
        made = shift_left(&sum, x, y);
    if (!made)
        return false;
    shrink(t, t->sp - 2);
    push(t, sum.place, WASM_I32, sum.v);
    struct value *top = &t->stack[t->sp - 1];
    top->shift = sum.shift;
    top->other = sum.other;
    top->k = sum.k;
    return true;
}

static struct operand constant_operand(uint64_t k)
{
    return (struct operand){'K', NONE, k};
}

void compute(struct translation *t, uint32_t pos)
{
    const struct value v = t->stack[pos];
    if (v.place != AT_SUM)
        return;
    begin_result(t, WASM_I32);
    struct operand x = local_operand(t, (uint32_t)v.v), y = constant_operand(v.shift);
    enum handler h = H_COUNT;
    uint32_t cell = NONE;
    if (v.shift > 0) {
        cell = emit_binary(t, op_row(OP_I32_SHL), &x, &y, &h);
        t->banks[BANK_INT].mirror = NONE;
        x = (struct operand){'A', NONE, 0};
    }
    y = v.other != NONE ? local_operand(t, v.other) : constant_operand(v.k);
    if (v.other != NONE || v.k != 0) {
        struct tail steps = {op_row(OP_I32_ADD), op_row(OP_I32_SHL), t->tail.x, y, v.shift};
        bool small = v.other != NONE || (int32_t)v.k == (int16_t)v.k;
        if (v.shift > 0 && small && uses(TECHNIQUE_STEPS)) {
            unemit(t);
            cell = emit_step(t, &steps, &h);
        } else {
            cell = emit_binary(t, op_row(OP_I32_ADD), &x, &y, &h);
        }
    }
    in_accumulator(t, pos, cell, h);
}
