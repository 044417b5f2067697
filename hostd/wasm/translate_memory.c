/* SPDX-License-Identifier: Apache-2.0 */
/* Loads and stores: how each gets at its address. */
#include "hostd/wasm/translate.h"

#include <assert.h>

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
    enum handler h = (enum handler)(
        row->base + (uint32_t)settle((enum class_list)row->list, &by_pointer) * result_forms(row));
    end_result(t, emit(t, h, 2), h, row->to);
}

static void store_other(struct translation *t, const struct op_row *row, struct memarg arg)
{
    struct operand value = {.class = 'S', .slot = force_slot(t, t->sp - 1)};
    struct operand by_pointer = {.class = 'P'};
    uint32_t slot = force_slot(t, t->sp - 2);
    shrink(t, t->sp - 2);
    pointer(t, slot, arg, row->width);
    uint32_t cell =
        emit(t,
             (enum handler)(row->base +
                            (uint32_t)settle_pair((enum class_list)row->list, &by_pointer, &value)),
             2);
    set_field(t, cell, 1, value.slot);
}

/* Addressed by way of a pointer. */
static bool is_other(const struct translation *t, uint32_t memory)
{
    return memory != 0 || t->m->memories[memory].is64;
}

/* ---- memory 0 ---- */

struct address {
    enum address_mode mode;
    struct operand x, y;
    uint32_t offset; /* or the constant of the mode */
};

/* Has the last cell read less than 32 bits into the local, so that it is small? */
static bool is_narrow(const struct translation *t, uint32_t local)
{
    return t->made.kind == MADE_LOAD && t->made.slot == local_slot(t, local) &&
           (t->made.row == op_row(OP_I32_LOAD8_U) || t->made.row == op_row(OP_I32_LOAD16_U));
}

/* The sum on the symbolic stack, as the mode it makes; false, and nothing changed: none does. */
static bool address_of_sum(const struct translation *t, const struct op_row *row,
                           const struct value *v, struct address *a)
{
    bool plain = v->shift == 0, scaled = v->shift == row->shift;
    bool no_wrap = a->offset == 0 || (v->k == 0 && is_narrow(t, (uint32_t)v->v));
    if ((!plain && !scaled) || (v->other == NONE ? !no_wrap : a->offset > UINT16_MAX))
        return false;
    enum address_mode mode = v->other == NONE ? (plain ? ADDRESS_OFFSET : ADDRESS_SCALED)
                                              : (plain ? ADDRESS_SUM : ADDRESS_INDEXED);
    if (row->address[mode] == 0)
        return false;
    a->mode = mode;
    a->x = local_operand(t, (uint32_t)v->v);
    if (v->other != NONE) {
        a->y = a->x;
        a->x = local_operand(t, v->other);
    } else {
        a->offset += v->k;
    }
    return true;
}

/* The same of the last cell, an addition whose result is the address and on top. Takes the cell
 * back. */
static bool address_of_tail(struct translation *t, const struct op_row *row, struct address *a)
{
    const struct tail *tail = &t->tail;
    const struct bank *bank = &t->banks[BANK_INT];
    if (!uses(TECHNIQUE_ADDRESSES) || tail->row != op_row(OP_I32_ADD) || bank->entry != t->sp - 1 ||
        bank->producer != t->last)
        return false;
    bool constant = tail->y.class == 'K';
    bool scaled = tail->first == op_row(OP_I32_SHL) && tail->k == row->shift;
    if ((tail->first && !scaled) || (constant ? a->offset != 0 : a->offset > UINT16_MAX))
        return false;
    enum address_mode mode = scaled ? (constant ? ADDRESS_SCALED : ADDRESS_INDEXED)
                                    : (constant ? ADDRESS_OFFSET : ADDRESS_SUM);
    if (row->address[mode] == 0)
        return false;
    a->mode = mode;
    a->x = scaled && !constant ? tail->y : tail->x;
    a->y = scaled && !constant ? tail->x : tail->y;
    if (constant)
        a->offset = (uint32_t)tail->y.k;
    unemit(t);
    return true;
}

static bool address_of_constant(const struct value *v, struct address *a)
{
    uint64_t sum = v->v + a->offset;
    if (v->place != CONSTANT || sum > UINT32_MAX || !uses(TECHNIQUE_ADDRESSES))
        return false;
    a->x = (struct operand){'K', NONE, sum};
    a->offset = (uint32_t)sum;
    return true;
}

/* Place in the family of the mode; x and y in either order where only the sum counts. */
static uint32_t load_place(struct address *a)
{
    static const enum class_list lists[] = {CLASSES_LOAD, CLASSES_OFFSET, CLASSES_OFFSET,
                                            CLASSES_SUM, CLASSES_INDEXED};
    if (a->mode != ADDRESS_SUM && a->mode != ADDRESS_INDEXED)
        return (uint32_t)settle(lists[a->mode], &a->x);
    if (a->mode == ADDRESS_SUM && a->x.class != 'S' && (a->x.class == 'L' || a->y.class == 'S')) {
        struct operand x = a->x;
        a->x = a->y;
        a->y = x;
    }
    return (uint32_t)settle_pair(lists[a->mode], &a->x, &a->y);
}

void load(struct translation *t, const struct op_row *row)
{
    struct memarg arg = read_memarg(t);
    if (is_other(t, arg.memory)) {
        load_other(t, row, arg);
        return;
    }
    struct address a = {.offset = near_offset(t, (uint32_t)arg.offset, row->width)};
    if (fuse_pointer(t, row, a.offset))
        return;
    const struct value *v = &t->stack[t->sp - 1];
    if (v->place == AT_SUM ? !address_of_sum(t, row, v, &a)
                           : !address_of_constant(v, &a) && !address_of_tail(t, row, &a)) {
        a.mode = ADDRESS_PLAIN;
        a.x = operand(t, t->sp - 1, 0);
    }
    pop(t);
    begin_result(t, row->to);
    uint32_t place = load_place(&a);
    enum handler h = (enum handler)(row->address[a.mode] + place * result_forms(row));
    uint32_t cell = emit(t, h, 2);
    if (a.x.class == 'S')
        set_field(t, cell, 1, a.x.slot);
    if (a.mode < ADDRESS_SUM) {
        set_imm32(t, cell, a.offset);
    } else {
        if (a.y.class == 'S')
            set_field(t, cell, 2, a.y.slot);
        set_field(t, cell, 3, a.offset);
    }
    if (a.mode == ADDRESS_PLAIN)
        note_load(t, cell, row, &a.x, a.offset);
    end_result(t, cell, h, row->to);
}

/* The address below the value, in a mode that stores have. */
static struct address store_address(struct translation *t, const struct op_row *row,
                                    uint32_t offset)
{
    struct address a = {.offset = offset};
    const struct value *v = &t->stack[t->sp - 2];
    if (v->place == AT_SUM && v->other == NONE && address_of_sum(t, row, v, &a))
        return a;
    a = (struct address){.offset = offset};
    if (row->from == WASM_V128 || !address_of_constant(v, &a))
        a.x = operand(t, t->sp - 2, 0);
    return a;
}

void store(struct translation *t, const struct op_row *row)
{
    struct memarg arg = read_memarg(t);
    if (is_other(t, arg.memory)) {
        store_other(t, row, arg);
        return;
    }
    uint32_t offset = (uint32_t)arg.offset;
    if (fuse_bump(t, row, offset))
        return;
    if ((uint64_t)offset + row->width > GUARD_BYTES) {
        force_home(t, t->sp - 1);
        struct value v = pop(t);
        offset = near_offset(t, offset, row->width);
        push(t, v.place, v.type, v.v);
    }
    if (t->stack[t->sp - 2].place == AT_SUM) {
        struct address a = {.offset = offset};
        const struct value *v = &t->stack[t->sp - 2];
        if (v->other != NONE || !address_of_sum(t, row, v, &a))
            compute(t, t->sp - 2);
    }
    bool vector = row->from == WASM_V128;
    struct operand value = operand(t, t->sp - 1, vector ? 128 : 16);
    struct address a = store_address(t, row, offset);
    shrink(t, t->sp - 2);
    enum class_list list = (enum class_list)row->list;
    if (a.mode != ADDRESS_PLAIN)
        list = CLASSES_OFFSET_STORE;
    uint32_t place = (uint32_t)settle_pair(list, &a.x, &value);
    uint32_t cell =
        emit(t, (enum handler)(row->address[a.mode] + place), vector && value.class == 'K' ? 4 : 2);
    if (a.x.class == 'S')
        set_field(t, cell, 0, a.x.slot);
    if (value.class == 'S')
        set_field(t, cell, 1, value.slot);
    else if (value.class == 'K' && vector)
        put_vector(t, cell, value.k);
    else if (value.class == 'K')
        set_field(t, cell, 1, (uint16_t)value.k);
    set_imm32(t, cell, a.offset);
    if (a.mode == ADDRESS_PLAIN)
        note_store(t, cell, row, (const struct operand[]){a.x, value}, a.offset);
}
