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
    uint32_t forms = row->to == WASM_V128 ? RESULT_FORMS_V128 : RESULT_FORMS;
    return (enum handler)(row->base + (uint32_t)settle((enum class_list)row->list, x) * forms);
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

static void binary(struct translation *t, const struct op_row *row)
{
    uint32_t px = t->sp - 2, py = t->sp - 1;
    bool compare = row->family == OPS_COMPARE;
    if (compare && next_is(t, OP_IF))
        flush(t, 2); /* so that nothing comes between it and the branch */
    if (t->stack[px].place == CONSTANT && t->stack[py].place != CONSTANT &&
        (row->commutes || compare)) {
        px = t->sp - 1;
        py = t->sp - 2;
        if (compare)
            row = op_row(row->mirror);
    }
    bool k_first = row->list == CLASSES_FBINARY && t->stack[py].place != CONSTANT;
    struct operand y = operand(t, py, 32), x = operand(t, px, k_first ? 32 : 0);
    shrink(t, t->sp - 2);
    begin_result(t, row->to);
    enum handler h = of_pair(row->base, row->list, &x, &y, RESULT_FORMS);
    const struct operand *k = y.class == 'K' ? &y : x.class == 'K' ? &x : NULL;
    bool wide = k && row->from == WASM_F64;
    uint32_t cell = emit(t, h, wide ? 3 : 2);
    if (x.class == 'S')
        set_field(t, cell, 1, x.slot);
    if (y.class == 'S')
        set_field(t, cell, x.class == 'K' ? 1 : 2, y.slot);
    if (wide)
        t->code[cell + 2] = k->k;
    else if (k)
        set_imm32(t, cell, (uint32_t)k->k);
    end_result(t, cell, h, row->to);
    if (compare && t->last == cell) {
        t->last_compare = row;
        t->last_x = x;
        t->last_y = y;
    }
}

static uint32_t unary(struct translation *t, const struct op_row *row)
{
    struct operand x = operand(t, t->sp - 1, 0);
    pop(t);
    begin_result(t, row->to);
    enum handler h = of_single(row, &x);
    uint32_t cell = emit(t, h, 2);
    if (x.class == 'S')
        set_field(t, cell, 1, x.slot);
    end_result(t, cell, h, row->to);
    return cell;
}

/* ---- memory accesses ---- */

/* An offset that reaches beyond the guard: the sum becomes the address, once it is known to be
 * inside. The operand at pos must be topmost but for one that is not in the int accumulator. */
static uint32_t near_offset(struct translation *t, uint32_t offset, uint32_t width)
{
    if ((uint64_t)offset + width <= GUARD_BYTES)
        return offset;
    struct operand x = operand(t, t->sp - 1, 0);
    settle(CLASSES_BY_HAND, &x);
    pop(t);
    begin_result(t, WASM_I32);
    enum handler h = x.class == 'A' ? H_FAR_A : H_FAR_S;
    uint32_t cell = emit(t, h, 3);
    if (x.class == 'S')
        set_field(t, cell, 1, x.slot);
    set_imm32(t, cell, offset);
    t->code[cell + 2] = width;
    end_result(t, cell, h, WASM_I32);
    return 0;
}

struct memarg read_memarg(struct translation *t)
{
    struct memarg arg = {0, 0};
    if (leb_u32(t) & MEMARG_HAS_MEMORY)
        arg.memory = leb_u32(t);
    arg.offset = leb_u64(t);
    return arg;
}

/* For other memories the accumulator gets a pointer, which the next cell uses. */
static void pointer(struct translation *t, uint32_t address_slot, struct memarg arg, uint32_t width)
{
    begin_result(t, WASM_I64);
    uint32_t cell = emit(t, H_ADDRESS, 4);
    set_field(t, cell, 1, address_slot);
    set_imm32(t, cell, arg.memory);
    t->code[cell + 2] = arg.offset;
    t->code[cell + 3] = width;
    t->banks[BANK_INT].mirror = NONE;
}

static void load_other(struct translation *t, const struct op_row *row, struct memarg arg)
{
    uint32_t slot = force_slot(t, t->sp - 1);
    pop(t);
    begin_result(t, row->to);
    pointer(t, slot, arg, row->width);
    struct operand by_pointer = {.class = 'P'};
    enum handler h = of_single(row, &by_pointer);
    end_result(t, emit(t, h, 2), h, row->to);
}

static void store_other(struct translation *t, const struct op_row *row, struct memarg arg)
{
    struct operand value = {.class = 'S', .slot = force_slot(t, t->sp - 1)};
    struct operand by_pointer = {.class = 'P'};
    uint32_t slot = force_slot(t, t->sp - 2);
    shrink(t, t->sp - 2);
    pointer(t, slot, arg, row->width);
    uint32_t cell = emit(t, of_pair(row->base, row->list, &by_pointer, &value, 1), 2);
    set_field(t, cell, 1, value.slot);
}

/* Addressed by way of a pointer. */
static bool is_other(const struct translation *t, uint32_t memory)
{
    return memory != 0 || t->m->memories[memory].is64;
}

static void load(struct translation *t, const struct op_row *row)
{
    struct memarg arg = read_memarg(t);
    if (is_other(t, arg.memory)) {
        load_other(t, row, arg);
        return;
    }
    uint32_t offset = near_offset(t, (uint32_t)arg.offset, row->width);
    set_imm32(t, unary(t, row), offset);
}

static void store(struct translation *t, const struct op_row *row)
{
    struct memarg arg = read_memarg(t);
    if (is_other(t, arg.memory)) {
        store_other(t, row, arg);
        return;
    }
    uint32_t offset = (uint32_t)arg.offset;
    if ((uint64_t)offset + row->width > GUARD_BYTES) {
        force_home(t, t->sp - 1);
        struct value v = pop(t);
        offset = near_offset(t, offset, row->width);
        push(t, v.place, v.type, v.v);
    }
    bool vector = row->from == WASM_V128;
    struct operand value = operand(t, t->sp - 1, vector ? 128 : 16),
                   address = operand(t, t->sp - 2, 0);
    shrink(t, t->sp - 2);
    enum handler h = of_pair(row->base, row->list, &address, &value, 1);
    uint32_t cell = emit(t, h, vector && value.class == 'K' ? 4 : 2);
    if (address.class == 'S')
        set_field(t, cell, 0, address.slot);
    if (value.class == 'S')
        set_field(t, cell, 1, value.slot);
    else if (value.class == 'K' && vector)
        put_vector(t, cell, value.k);
    else if (value.class == 'K')
        set_field(t, cell, 1, (uint16_t)value.k);
    set_imm32(t, cell, offset);
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
