/* SPDX-License-Identifier: Apache-2.0 */
/* SIMD instructions. Those with one operand, splats, and whole loads and stores go the way of all
 * others (translate_ops.c): their rows only have another type. Accesses of one lane are two cells:
 * a number between memory and the int accumulator, and that number in or out of the vector. */
#include "hostd/wasm/translate.h"

#include <assert.h>
#include "hostd/wasm/simd.h"

/* ---- operands in the classes of a list ---- */

static void put_operand(struct translation *t, uint32_t cell, uint32_t field, struct operand x)
{
    if (x.class == 'S')
        set_field(t, cell, field, x.slot);
}

/* One cell of so many words that takes x and y, and makes a v128; they are popped by then. */
static uint32_t emit_pair(struct translation *t, const struct op_row *row, enum class_list list,
                          struct operand x, struct operand y, uint32_t words)
{
    uint32_t at = (uint32_t)settle_pair(list, &x, &y);
    begin_result(t, WASM_V128);
    enum handler h = (enum handler)(row->base + at * RESULT_FORMS_V128);
    uint32_t cell = emit(t, h, words);
    put_operand(t, cell, 1, x);
    put_operand(t, cell, 2, y);
    end_result(t, cell, h, WASM_V128);
    return cell;
}

static void vector2(struct translation *t, const struct op_row *row)
{
    enum class_list list = (enum class_list)row->list;
    bool either = list == CLASSES_EITHER || list == CLASSES_EITHER_K;
    uint32_t k_bits = class_find_pair(list, 'S', 'K') >= 0 ? 128 : 0;
    struct operand y = operand(t, t->sp - 1, k_bits);
    struct operand x = operand(t, t->sp - 2, y.class == 'K' ? 0 : k_bits);
    tell_apart(&x, &y);
    shrink(t, t->sp - 2);
    if (row->exchanged || (either && (x.class == 'K' || (x.class == 'A' && y.class != 'K')))) {
        struct operand z = x;
        x = y;
        y = z;
    }
    bool has_k = x.class == 'K' || y.class == 'K';
    uint32_t cell = emit_pair(t, row, list, x, y, has_k ? 4 : 2);
    if (has_k)
        put_vector(t, cell, x.class == 'K' ? x.k : y.k);
}

static void vector3(struct translation *t, const struct op_row *row)
{
    struct operand x[3];
    int in_acc = -1;
    for (int i = 0; i < 3; i++)
        x[i] = operand(t, t->sp - 3 + (uint32_t)i, 0);
    for (int i = 0; i < 3; i++) { /* only one is read there: the one that is nowhere else */
        if (x[i].class == 'A' && (in_acc < 0 || x[i].slot == NONE))
            in_acc = i;
        x[i].class = 'S';
    }
    shrink(t, t->sp - 3);
    begin_result(t, WASM_V128);
    enum handler h = (enum handler)(row->base + (uint32_t)(in_acc + 1) * RESULT_FORMS_V128);
    uint32_t cell = emit(t, h, 2);
    for (int i = 0; i < 3; i++)
        if (i != in_acc)
            set_field(t, cell, (uint32_t)i + 1, x[i].slot);
    end_result(t, cell, h, WASM_V128);
}

static void shift(struct translation *t, const struct op_row *row)
{
    struct operand n = operand(t, t->sp - 1, 32), x = operand(t, t->sp - 2, 0);
    shrink(t, t->sp - 2);
    uint32_t cell = emit_pair(t, row, CLASSES_SHIFT, x, n, 2);
    if (n.class == 'K')
        set_imm32(t, cell, (uint32_t)n.k);
}

static void extract(struct translation *t, const struct op_row *row, uint32_t lane)
{
    uint32_t slot = force_slot(t, t->sp - 1);
    pop(t);
    begin_result(t, row->to);
    uint32_t cell = emit(t, (enum handler)row->base, 2);
    set_field(t, cell, 1, slot);
    set_field(t, cell, 2, lane);
    end_result(t, cell, (enum handler)row->base, row->to);
}

static void replace(struct translation *t, const struct op_row *row)
{
    bool is_float = bank_of(row->from) == BANK_FLOAT;
    struct operand v = operand(t, t->sp - 1, 0), x = operand(t, t->sp - 2, 0);
    if (is_float)
        tell_apart(&x, &v);
    shrink(t, t->sp - 2);
    uint32_t cell = emit_pair(t, row, is_float ? CLASSES_FREPLACE : CLASSES_REPLACE, x, v, 2);
    set_field(t, cell, 3, *t->p++);
}

void vector(struct translation *t, const struct op_row *row)
{
    switch (row->family) {
    case OPS_VECTOR2:
        vector2(t, row);
        break;
    case OPS_VECTOR3:
        vector3(t, row);
        break;
    case OPS_SHIFT:
        shift(t, row);
        break;
    case OPS_EXTRACT:
        extract(t, row, *t->p++);
        break;
    case OPS_REPLACE:
        replace(t, row);
        break;
    default:
        assert(false); /* a family of simd.def */
    }
}

/* ---- one lane in memory ---- */

/* The vector is on top of the address, in a slot that nothing writes before it is read. */
static void load_lane(struct translation *t, uint32_t load_op, uint32_t replace_op)
{
    struct operand x = {'S', force_slot(t, t->sp - 1), 0};
    pop(t);
    simple(t, op_row(load_op));
    struct operand v = operand(t, t->sp - 1, 0);
    pop(t);
    uint32_t cell = emit_pair(t, op_row(replace_op), CLASSES_REPLACE, x, v, 2);
    set_field(t, cell, 3, *t->p++);
}

static void store_lane(struct translation *t, uint32_t store_op, uint32_t extract_op)
{
    const uint8_t *const memarg = t->p;
    read_memarg(t);
    extract(t, op_row(extract_op), *t->p++);
    const uint8_t *const after = t->p;
    t->p = memarg;
    simple(t, op_row(store_op));
    t->p = after;
}

/* ---- the others ---- */

/* The 16 bytes behind the opcode. */
static uint64_t take_vector(struct translation *t)
{
    uint64_t bytes = (uint64_t)(uintptr_t)t->p;
    t->p += 16;
    return bytes;
}

static bool picks_bytes(void)
{
    return uses(TECHNIQUE_PICKING) && can_pick_bytes();
}

/* A cell of two vectors that lie in slots. */
static uint32_t of_slots(struct translation *t, enum handler h, uint32_t words)
{
    uint32_t x = force_slot(t, t->sp - 2), y = force_slot(t, t->sp - 1);
    shrink(t, t->sp - 2);
    begin_result(t, WASM_V128);
    uint32_t cell = emit(t, h, words);
    set_field(t, cell, 1, x);
    set_field(t, cell, 2, y);
    end_result(t, cell, h, WASM_V128);
    return cell;
}

static void shuffle(struct translation *t)
{
    uint64_t bytes = take_vector(t);
    const uint8_t *at = (const uint8_t *)(uintptr_t)bytes;
    if (!picks_bytes()) {
        put_vector(t, of_slots(t, H_I8X16_SHUFFLE, 4), bytes);
        return;
    }
    uint8_t of_x[16], of_y[16]; /* a sign bit where the byte is the other's */
    for (int i = 0; i < 16; i++) {
        of_x[i] = at[i] < 16 ? at[i] : 0x80;
        of_y[i] = at[i] < 16 ? 0x80 : at[i] - 16;
    }
    uint32_t cell = of_slots(t, H_SHUFFLE_PICK, 6);
    memcpy(&t->code[cell + 2], of_x, 16);
    memcpy(&t->code[cell + 4], of_y, 16);
}

bool vector_other(struct translation *t, uint32_t op)
{
    switch (op) {
    case OP_V128_CONST:
        push(t, CONSTANT, WASM_V128, take_vector(t));
        return true;
    case OP_I8X16_SHUFFLE:
        shuffle(t);
        return true;
    case OP_I8X16_SWIZZLE:
    case OP_I8X16_RELAXED_SWIZZLE:
        of_slots(t, picks_bytes() ? H_SWIZZLE_PICK : H_I8X16_SWIZZLE, 2);
        return true;
    case OP_V128_LOAD8_LANE:
        load_lane(t, OP_I32_LOAD8_U, OP_I8X16_REPLACE_LANE);
        return true;
    case OP_V128_LOAD16_LANE:
        load_lane(t, OP_I32_LOAD16_U, OP_I16X8_REPLACE_LANE);
        return true;
    case OP_V128_LOAD32_LANE:
        load_lane(t, OP_I32_LOAD, OP_I32X4_REPLACE_LANE);
        return true;
    case OP_V128_LOAD64_LANE:
        load_lane(t, OP_I64_LOAD, OP_I64X2_REPLACE_LANE);
        return true;
    case OP_V128_STORE8_LANE:
        store_lane(t, OP_I32_STORE8, OP_I8X16_EXTRACT_LANE_U);
        return true;
    case OP_V128_STORE16_LANE:
        store_lane(t, OP_I32_STORE16, OP_I16X8_EXTRACT_LANE_U);
        return true;
    case OP_V128_STORE32_LANE:
        store_lane(t, OP_I32_STORE, OP_I32X4_EXTRACT_LANE);
        return true;
    case OP_V128_STORE64_LANE:
        store_lane(t, OP_I64_STORE, OP_I64X2_EXTRACT_LANE);
        return true;
    default:
        return false;
    }
}
