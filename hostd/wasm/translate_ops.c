/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions that take operands and leave a result: those of ops.def by their row, the others
 * by hand. */
#include "hostd/wasm/translate.h"

#include <assert.h>
#include "lattice/base/num.h"

/* ---- binary ---- */

/* Member of the family at base for these operands. */
static enum handler of_pair(uint32_t base, enum class_list list, struct operand *x,
                            struct operand *y, uint32_t forms)
{
    return (enum handler)(base + (uint32_t)settle_pair(list, x, y) * forms);
}

static enum handler of_single(const struct op_row *row, struct operand *x)
{
    uint32_t at = (uint32_t)settle((enum class_list)row->list, x);
    return (enum handler)(row->base + at * result_forms(row));
}

/* Both in the accumulator can only mean the same slot, known to equal it: read one of them
 * there. */
void tell_apart(struct operand *x, struct operand *y)
{
    if (x->class == 'A' && y->class == 'A') {
        assert(x->slot != NONE || y->slot != NONE);
        (x->slot != NONE ? x : y)->class = 'S';
    }
}

static bool next_is(const struct translation *t, uint8_t op)
{
    return t->p < t->end && *t->p == op;
}

uint32_t emit_binary(struct translation *t, const struct op_row *row, struct operand *x,
                     struct operand *y, enum handler *h)
{
    *h = of_pair(row->base, row->list, x, y, RESULT_FORMS);
    const struct operand *k = y->class == 'K' ? y : x->class == 'K' ? x : NULL;
    bool wide = k && row->from == WASM_F64;
    uint32_t cell = emit(t, *h, wide ? 3 : 2);
    if (x->class == 'S')
        set_field(t, cell, 1, x->slot);
    if (y->class == 'S')
        set_field(t, cell, x->class == 'K' ? 1 : 2, y->slot);
    if (wide)
        t->code[cell + 2] = k->k;
    else if (k)
        set_imm32(t, cell, (uint32_t)k->k);
    t->tail = (struct tail){.row = row, .x = *x, .y = *y};
    return cell;
}

uint32_t emit_step(struct translation *t, const struct tail *steps, enum handler *h)
{
    struct tail s = *steps;
    *h = of_pair(op_step(s.first, s.row, false), CLASSES_STEP, &s.x, &s.y, RESULT_FORMS);
    uint32_t cell = emit(t, *h, 2);
    if (s.x.class == 'S')
        set_field(t, cell, 1, s.x.slot);
    if (s.y.class == 'S')
        set_field(t, cell, 2, s.y.slot);
    else if (s.y.class == 'K')
        set_field(t, cell, 2, (uint16_t)s.y.k);
    set_field(t, cell, 3, (uint16_t)s.k);
    t->tail = s;
    return cell;
}

static bool is_small(const struct op_row *row, uint64_t k)
{
    int64_t v = row->from == WASM_I32 ? (int32_t)(uint32_t)k : (int64_t)k;
    return v == (int16_t)v;
}

bool is_tail(const struct translation *t, uint32_t pos)
{
    return t->tail.row && t->stack[pos].place == IN_ACC && t->banks[BANK_INT].entry == pos &&
           t->banks[BANK_INT].producer == t->last;
}

/* Makes one cell of the last one, which has left one operand, and of row; the other operand lies in
 * a slot, or is a small constant. */
static bool fuse_step(struct translation *t, const struct op_row *row, uint32_t px, uint32_t py)
{
    uint32_t other = is_tail(t, px) ? py : px;
    bool fits = is_tail(t, px) || (row->commutes && is_tail(t, py));
    if (!fits || !uses(TECHNIQUE_STEPS) || t->tail.first || t->tail.y.class != 'K' ||
        !is_small(row, t->tail.y.k) || op_step(t->tail.row, row, false) == 0)
        return false;
    const struct value *v = &t->stack[other];
    bool constant = v->place == CONSTANT && is_small(row, v->v) && uses(TECHNIQUE_CONSTANTS);
    if (!constant && v->place != AT_HOME && v->place != AT_LOCAL)
        return false;
    struct tail steps = {row, t->tail.row, t->tail.x, operand(t, other, 16), t->tail.y.k};
    shrink(t, t->sp - 2);
    unemit(t);
    enum handler h;
    uint32_t cell = emit_step(t, &steps, &h);
    struct tail made = t->tail;
    note_binary(t, cell, &(struct made){.kind = MADE_OTHER});
    end_result(t, cell, h, row->to);
    if (t->last == cell && uses(TECHNIQUE_ACCUMULATORS))
        t->tail = made;
    return true;
}

/* A comparison becomes part of the branch that follows: then its constant has a word of its own. */
static bool branches_next(const struct translation *t)
{
    return (next_is(t, OP_BR_IF) || next_is(t, OP_IF)) && uses(TECHNIQUE_BRANCHES) &&
           uses(TECHNIQUE_ACCUMULATORS);
}

/* Likewise with an operand of the last cell that is no constant; the other one lies in a slot. */
static bool fuse_triple(struct translation *t, const struct op_row *row, uint32_t px, uint32_t py)
{
    uint32_t other = is_tail(t, px) ? py : px;
    const struct value *v = &t->stack[other];
    struct operand x = t->tail.x, y = t->tail.y;
    if ((!is_tail(t, px) && !is_tail(t, py)) || t->tail.first || y.class == 'K' ||
        !uses(TECHNIQUE_TRIPLES) || (v->place != AT_HOME && v->place != AT_LOCAL))
        return false;
    uint32_t base = op_step(t->tail.row, row, true);
    if (base == 0)
        return false;
    enum handler h = of_pair(base, CLASSES_TRIPLE, &x, &y, RESULT_FORMS);
    uint32_t z = force_slot(t, other);
    shrink(t, t->sp - 2);
    unemit(t);
    uint32_t cell = emit(t, h, 2);
    if (x.class == 'S')
        set_field(t, cell, 1, x.slot);
    if (y.class == 'S')
        set_field(t, cell, 2, y.slot);
    set_field(t, cell, 3, z);
    end_result(t, cell, h, row->to);
    return true;
}

static void binary(struct translation *t, const struct op_row *row)
{
    if (make_sum(t, row))
        return;
    uint32_t px = t->sp - 2, py = t->sp - 1;
    bool compare = row->family == OPS_COMPARE;
    if (compare && (next_is(t, OP_IF) || next_is(t, OP_I32_EQZ)))
        flush(t, 2); /* so that nothing comes between it and the branch */
    compute(t, px);
    compute(t, py);
    if (t->stack[px].place == CONSTANT && t->stack[py].place != CONSTANT &&
        (row->commutes || compare)) {
        px = t->sp - 1;
        py = t->sp - 2;
        if (compare)
            row = op_row(row->mirror);
    }
    if (fuse_step(t, row, px, py) || fuse_triple(t, row, px, py))
        return;
    bool k_first = row->list == CLASSES_FBINARY && t->stack[py].place != CONSTANT;
    bool any_k = compare && row->from == WASM_I64 && branches_next(t);
    if (any_k)
        flush(t, 2);
    struct operand y = operand(t, py, any_k ? 64 : 32), x = operand(t, px, k_first ? 32 : 0);
    shrink(t, t->sp - 2);
    begin_result(t, row->to);
    if (row == op_row(OP_I32_SUB) && y.class == 'K') {
        row = op_row(OP_I32_ADD);
        y.k = (uint32_t)(0 - y.k);
    }
    enum handler h;
    const struct made before = t->made;
    uint32_t cell = emit_binary(t, row, &x, &y, &h);
    note_binary(t, cell, &before);
    end_result(t, cell, h, row->to);
}

static void unary(struct translation *t, const struct op_row *row)
{
    struct operand x = operand(t, t->sp - 1, 0);
    pop(t);
    begin_result(t, row->to);
    enum handler h = of_single(row, &x);
    uint32_t cell = emit(t, h, 2);
    if (x.class == 'S')
        set_field(t, cell, 1, x.slot);
    end_result(t, cell, h, row->to);
}

void simple(struct translation *t, const struct op_row *row)
{
    switch (row->family) {
    case OPS_BINARY:
    case OPS_COMPARE:
    case OPS_DIVIDE:
        binary(t, row);
        break;
    case OPS_UNARY:
    case OPS_TRUNCATE:
        unary(t, row);
        break;
    case OPS_LOAD:
        load(t, row);
        break;
    case OPS_STORE:
        store(t, row);
        break;
    default:
        assert(false); /* a simple instruction */
    }
}

/* ---- the others ---- */

/* x == 0, as a comparison with a constant */
static void equal_zero(struct translation *t, uint8_t type)
{
    bool condition = next_is(t, OP_BR_IF) || next_is(t, OP_IF);
    if (type == WASM_I32 && condition && uses(TECHNIQUE_BRANCHES)) {
        t->negate = true;
        return;
    }
    push(t, CONSTANT, type, 0);
    t->stack[t->sp - 2].type = type; /* references compare as i64 */
    binary(t, op_row(type == WASM_I32 ? OP_I32_EQ : OP_I64_EQ));
}

static void produce(struct translation *t, enum handler h, uint32_t words, uint32_t imm,
                    uint8_t type)
{
    begin_result(t, type);
    uint32_t cell = emit(t, h, words);
    set_imm32(t, cell, imm);
    end_result(t, cell, h, type);
}

static void select_one(struct translation *t)
{
    uint8_t type = t->stack[t->sp - 3].type;
    uint32_t x = force_slot(t, t->sp - 3), y = force_slot(t, t->sp - 2);
    struct operand c = operand(t, t->sp - 1, 0);
    settle(CLASSES_BY_HAND, &c);
    shrink(t, t->sp - 3);
    begin_result(t, type);
    bool in_acc = c.class == 'A';
    enum handler h = type == WASM_V128             ? (in_acc ? H_VSELECT_A : H_VSELECT_S)
                     : bank_of(type) == BANK_FLOAT ? (in_acc ? H_FSELECT_A : H_FSELECT_S)
                                                   : (in_acc ? H_SELECT_A : H_SELECT_S);
    uint32_t cell = emit(t, h, 2);
    set_field(t, cell, 1, x);
    set_field(t, cell, 2, y);
    if (!in_acc)
        set_field(t, cell, 3, c.slot);
    end_result(t, cell, h, type);
}

static void global_get(struct translation *t)
{
    uint32_t index = leb_u32(t);
    uint8_t type = t->m->globals[index].type;
    enum handler h = type == WASM_V128             ? H_VGLOBAL_GET
                     : bank_of(type) == BANK_FLOAT ? H_FGLOBAL_GET
                                                   : H_GLOBAL_GET;
    produce(t, h, 2, index, type);
}

/* Fields first, first + 1, … are the n topmost operands, each in a slot. */
static uint32_t with_slots(struct translation *t, enum handler h, uint32_t words, uint32_t first,
                           uint32_t n)
{
    uint32_t slots[3];
    for (uint32_t i = 0; i < n; i++)
        slots[i] = force_slot(t, t->sp - n + i);
    shrink(t, t->sp - n);
    uint32_t cell = emit(t, h, words);
    for (uint32_t i = 0; i < n; i++)
        set_field(t, cell, first + i, slots[i]);
    return cell;
}

static void global_set(struct translation *t)
{
    uint32_t index = leb_u32(t), pos = t->sp - 1;
    if (type_is_exn(t->m->globals[index].type)) {
        set_imm32(t, with_slots(t, H_GLOBAL_SET_EXN, 2, 0, 1), index);
        return;
    }
    uint8_t type = t->stack[pos].type;
    bool is_float = bank_of(type) == BANK_FLOAT;
    struct operand x = is_float ? (struct operand){'S', force_slot(t, pos), 0} : operand(t, pos, 0);
    settle(CLASSES_BY_HAND, &x);
    pop(t);
    enum handler h = type == WASM_V128 ? H_VGLOBAL_SET
                     : x.class == 'A'  ? H_GLOBAL_SET_A
                                       : H_GLOBAL_SET_S;
    uint32_t cell = emit(t, h, 2);
    if (x.class == 'S')
        set_field(t, cell, 0, x.slot);
    set_imm32(t, cell, index);
}

/* The same with a result. */
static uint32_t produce_with_slots(struct translation *t, enum handler h, uint32_t words,
                                   uint32_t n, uint8_t type)
{
    begin_result(t, type);
    uint32_t cell = with_slots(t, h, words, 1, n);
    end_result(t, cell, h, type);
    return cell;
}

/* Bulk operations count in their operands: these must be in their homes, which belong to nobody
 * else. */
static void bulk(struct translation *t, enum handler h, uint64_t immediates)
{
    for (uint32_t i = 0; i < 3; i++)
        force_home(t, t->sp - 3 + i);
    uint32_t cell = with_slots(t, h, 3, 0, 3);
    t->code[cell + 2] = immediates;
    wrote_slots(t, home(t, t->sp), 3);
}

void table_index(struct translation *t, uint32_t pos, uint32_t table)
{
    if (!t->m->tables[table].limits.is64)
        return;
    uint32_t slot = force_home(t, pos);
    set_field(t, emit(t, H_CLAMP, 2), 0, slot);
    wrote_slots(t, slot, 1);
}

static bool table_op(struct translation *t, uint32_t op)
{
    uint32_t a = leb_u32(t), cell;
    switch (op) {
    case OP_TABLE_GET:
        table_index(t, t->sp - 1, a);
        set_imm32(t, produce_with_slots(t, H_TABLE_GET, 2, 1, t->m->tables[a].elem), a);
        return true;
    case OP_TABLE_SET:
        table_index(t, t->sp - 2, a);
        cell = with_slots(t, type_is_exn(t->m->tables[a].elem) ? H_TABLE_SET_EXN : H_TABLE_SET, 2,
                          0, 2);
        set_imm32(t, cell, a);
        return true;
    case OP_TABLE_SIZE:
        produce(t, H_TABLE_SIZE, 2, a, address_type(&t->m->tables[a].limits));
        return true;
    case OP_TABLE_GROW:
        cell = produce_with_slots(t, H_TABLE_GROW, 3, 2, address_type(&t->m->tables[a].limits));
        t->code[cell + 2] = a;
        return true;
    case OP_TABLE_FILL:
        bulk(t, H_TABLE_FILL, a);
        return true;
    case OP_TABLE_COPY:
        bulk(t, H_TABLE_COPY, (uint64_t)leb_u32(t) << 32 | a);
        return true;
    case OP_TABLE_INIT: /* a is the segment */
        bulk(t, H_TABLE_INIT, (uint64_t)a << 32 | leb_u32(t));
        return true;
    case OP_ELEM_DROP:
        set_imm32(t, emit(t, H_ELEM_DROP, 2), a);
        return true;
    default:
        return false;
    }
}

static bool memory_op(struct translation *t, uint32_t op)
{
    uint32_t a = leb_u32(t);
    switch (op) {
    case OP_MEMORY_SIZE:
        produce(t, H_MEMORY_SIZE, 2, a, address_type(&t->m->memories[a]));
        return true;
    case OP_MEMORY_GROW:
        set_imm32(t, produce_with_slots(t, H_MEMORY_GROW, 2, 1, address_type(&t->m->memories[a])),
                  a);
        return true;
    case OP_MEMORY_COPY:
        bulk(t, H_MEMORY_COPY, (uint64_t)leb_u32(t) << 32 | a);
        return true;
    case OP_MEMORY_FILL:
        bulk(t, H_MEMORY_FILL, a);
        return true;
    case OP_MEMORY_INIT: /* a is the segment */
        bulk(t, H_MEMORY_INIT, (uint64_t)a << 32 | leb_u32(t));
        return true;
    case OP_DATA_DROP:
        set_imm32(t, emit(t, H_DATA_DROP, 2), a);
        return true;
    default:
        return false;
    }
}

static void float_constant(struct translation *t, uint8_t type)
{
    uint64_t v = 0;
    size_t size = type == WASM_F32 ? 4 : 8;
    memcpy(&v, t->p, size);
    t->p += size;
    push(t, CONSTANT, type, v);
}

static bool constant_op(struct translation *t, uint32_t op)
{
    switch (op) {
    case OP_I32_CONST:
        push(t, CONSTANT, WASM_I32, (uint32_t)leb_s64(t));
        return true;
    case OP_I64_CONST:
        push(t, CONSTANT, WASM_I64, (uint64_t)leb_s64(t));
        return true;
    case OP_F32_CONST:
        float_constant(t, WASM_F32);
        return true;
    case OP_F64_CONST:
        float_constant(t, WASM_F64);
        return true;
    case OP_REF_NULL:
        leb_s64(t); /* heap type */
        push(t, CONSTANT, WASM_FUNCREF, 0);
        return true;
    default:
        return false;
    }
}

bool other(struct translation *t, uint32_t op)
{
    uint32_t local, slot;
    switch (op) {
    case OP_LOCAL_GET:
        local = leb_u32(t);
        push(t, AT_LOCAL, t->decl->locals[local], local);
        return true;
    case OP_LOCAL_SET:
        set_local(t, leb_u32(t), false);
        return true;
    case OP_LOCAL_TEE:
        set_local(t, leb_u32(t), true);
        return true;
    case OP_GLOBAL_GET:
        global_get(t);
        return true;
    case OP_GLOBAL_SET:
        global_set(t);
        return true;
    case OP_I32_EQZ:
        equal_zero(t, WASM_I32);
        return true;
    case OP_I64_EQZ:
    case OP_REF_IS_NULL:
        equal_zero(t, WASM_I64);
        return true;
    case OP_REF_FUNC:
        produce(t, H_REF_FUNC, 2, t->m->funcs[leb_u32(t)].ref, WASM_FUNCREF);
        return true;
    case OP_REF_AS_NON_NULL:
        slot = force_slot(t, t->sp - 1);
        set_field(t, emit(t, H_CHECK_REF, 2), 1, slot);
        return true;
    case OP_DROP:
        pop(t);
        return true;
    case OP_SELECT_T:
        leb_u32(t); /* one type */
        skip_valtype(t);
        select_one(t);
        return true;
    case OP_SELECT:
        select_one(t);
        return true;
    case OP_TABLE_GET:
    case OP_TABLE_SET:
    case OP_TABLE_SIZE:
    case OP_TABLE_GROW:
    case OP_TABLE_FILL:
    case OP_TABLE_COPY:
    case OP_TABLE_INIT:
    case OP_ELEM_DROP:
        return table_op(t, op);
    case OP_MEMORY_SIZE:
    case OP_MEMORY_GROW:
    case OP_MEMORY_COPY:
    case OP_MEMORY_FILL:
    case OP_MEMORY_INIT:
    case OP_DATA_DROP:
        return memory_op(t, op);
    default:
        return constant_op(t, op);
    }
}
