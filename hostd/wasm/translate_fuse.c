/* SPDX-License-Identifier: Apache-2.0 */
/* Cells that take the place of two or three: branches on what the cells before have compared, read,
 * masked or added; loads through a pointer that a load has read; sums that go back to where their
 * first term came from.
 * Keeps: only the last cells are taken back, none of which a label or a handler's own result in
 * another place lies behind. */
#include "hostd/wasm/translate.h"

#include "lattice/base/num.h"

/* ---- what the last cells have made ---- */

static bool from_made(const struct operand *x, const struct made *made)
{
    return x->class == 'A' || (x->slot != NONE && x->slot == made->slot);
}

bool is_made(struct translation *t, uint32_t pos, enum made_kind kind)
{
    if (t->made.kind != kind || t->stack[pos].place == CONSTANT)
        return false;
    struct operand x = operand(t, pos, 0);
    return t->made.kind == kind && from_made(&x, &t->made);
}

void note_load(struct translation *t, uint32_t cell, const struct op_row *row,
               const struct operand *x, uint32_t offset)
{
    if (row->to == WASM_I32 && x->class != 'K')
        t->made = (struct made){.kind = MADE_LOAD,
                                .cell = cell,
                                .row = row,
                                .x = *x,
                                .offset = offset,
                                .slot = NONE,
                                .form = RESULT_ACC};
}

void note_store(struct translation *t, uint32_t cell, const struct op_row *row,
                const struct operand operands[2], uint32_t offset)
{
    const struct operand *x = &operands[0], *y = &operands[1];
    if (row->store_branch && x->class != 'K' && y->class != 'K')
        t->made = (struct made){.kind = MADE_STORE,
                                .cell = cell,
                                .row = row,
                                .x = *x,
                                .y = *y,
                                .offset = offset,
                                .slot = NONE,
                                .form = RESULT_ACC};
}

static bool is_mask(const struct operand *y)
{
    return y->class == 'K' && (uint32_t)y->k <= UINT16_MAX;
}

void note_binary(struct translation *t, uint32_t cell, const struct made *before)
{
    struct tail *tail = &t->tail;
    if (tail->y.class != 'K')
        return;
    if (!tail->first && before->kind != MADE_OTHER && before->kind != MADE_STORE &&
        from_made(&tail->x, before))
        tail->made = *before;
    if (tail->row == op_row(OP_I32_AND) && is_mask(&tail->y) &&
        (!tail->first || tail->first == op_row(OP_I32_ADD)))
        t->made = (struct made){.kind = MADE_MASK,
                                .cell = cell,
                                .x = tail->x,
                                .k = (uint32_t)tail->k,
                                .mask = (uint32_t)tail->y.k,
                                .slot = NONE,
                                .form = RESULT_ACC};
    if (tail->row == op_row(OP_I32_ADD) && tail->made.kind == MADE_LOAD &&
        tail->made.form == RESULT_ACC) {
        t->made = tail->made;
        t->made.kind = MADE_SUM;
        t->made.k = (uint32_t)tail->y.k;
    }
}

/* Takes the cells back and puts h there, which leaves the same in the accumulator and the slot. */
static uint32_t replace_made(struct translation *t, const struct made *made, enum handler h,
                             uint32_t words)
{
    t->last = made->cell;
    unemit(t);
    struct bank *bank = &t->banks[BANK_INT];
    bank->producer = NONE;
    bank->mirror = made->slot;
    return emit(t, h, words);
}

/* ---- branches ---- */

static void branch_operands(struct translation *t, uint32_t cell, const struct operand *x,
                            const struct operand *y)
{
    if (x->class == 'S')
        set_field(t, cell, 0, x->slot);
    if (y->class == 'S')
        set_field(t, cell, 1, y->slot);
    else if (y->class == 'K')
        t->code[cell + 2] = y->k;
}

static uint32_t fused_branch(struct translation *t, bool sense, bool back)
{
    const struct op_row *row = t->tail.row;
    struct operand x = t->tail.x, y = t->tail.y;
    uint32_t per_pair = row->inverse ? 2 : 4; /* those without an inverse have both senses */
    if (!sense && row->inverse)
        row = op_row(row->inverse);
    uint32_t h = row->branch + (uint32_t)settle_pair(CLASSES_BRANCH, &x, &y) * per_pair + back;
    if (!sense && !row->inverse)
        h += 2;
    unemit(t);
    t->banks[BANK_INT].producer = NONE;
    uint32_t cell = emit(t, (enum handler)h, y.class == 'K' ? 3 : 2);
    branch_operands(t, cell, &x, &y);
    return cell;
}

static bool can_fuse(const struct translation *t)
{
    return uses(TECHNIQUE_BRANCHES) && t->tail.row && !t->tail.first && t->tail.row->branch &&
           t->stack[t->sp - 1].place == IN_ACC && t->banks[BANK_INT].producer == t->last &&
           bank_of(t->stack[t->sp - 1].type) == BANK_INT;
}

/* The last cell, or the last but a comparison, has added to what is compared: one cell does it all.
 * NONE: not so. */
static uint32_t fuse_increment(struct translation *t, bool sense)
{
    const struct increment inc = t->increment;
    const struct op_row *row = NULL;
    struct operand x = operand(t, t->sp - 1, 0), y = {'K', NONE, 0};
    if (inc.cell == NONE || !uses(TECHNIQUE_INCREMENTS))
        return NONE;
    if (t->last == inc.cell && x.slot == inc.slot) {
        row = op_row(OP_I32_NE);
    } else if (can_fuse(t) && t->last == inc.cell + 2 && t->tail.row->increment) {
        row = t->tail.row;
        x = t->tail.x;
        y = t->tail.y;
        if (x.slot != inc.slot && y.slot == inc.slot && x.class != 'K') {
            y = x;
            x = t->tail.y;
            row = op_row(row->mirror);
        }
    }
    if (!row || x.slot != inc.slot || y.class == 'A' || y.slot == inc.slot)
        return NONE;
    if (!sense)
        row = op_row(row->inverse);
    x.class = inc.class;
    bool two = inc.other != NONE && inc.other != y.slot;
    uint32_t pair = (uint32_t)settle_pair(CLASSES_INCREMENT, &x, &y);
    pop(t);
    t->last = two ? inc.cell - 2 : inc.cell;
    unemit(t);
    uint32_t cell = emit(t, (enum handler)(row->increment + pair * 2 + two), 3);
    set_field(t, cell, 0, inc.slot);
    set_field(t, cell, 1, inc.k);
    t->code[cell + 2] = y.class == 'S' ? y.slot : (uint32_t)y.k;
    if (two)
        t->code[cell + 2] |= (uint64_t)inc.other << 32 | (uint64_t)inc.other_k << 48;
    struct bank *bank = &t->banks[BANK_INT];
    bank->producer = NONE;
    bank->mirror = inc.slot;
    t->increment.cell = NONE;
    return cell;
}

/* The last cell has read the condition, or the last but a comparison of it with a constant. */
static uint32_t fuse_load_branch(struct translation *t, bool sense, bool back)
{
    const struct op_row *row = t->tail.row;
    struct made made = t->made;
    uint32_t k = 0;
    bool equal = !sense;
    if (!uses(TECHNIQUE_LOAD_BRANCHES))
        return NONE;
    if (can_fuse(t) && t->tail.made.kind == MADE_LOAD &&
        (row == op_row(OP_I32_EQ) || row == op_row(OP_I32_NE))) {
        made = t->tail.made;
        k = (uint32_t)t->tail.y.k;
        equal = (row == op_row(OP_I32_EQ)) == sense;
    } else if (!is_made(t, t->sp - 1, MADE_LOAD)) {
        return NONE;
    }
    if (made.row->load_branch == 0)
        return NONE;
    uint32_t place = (uint32_t)settle(CLASSES_LOADED, &made.x) * RESULT_FORMS + made.form;
    pop(t);
    uint32_t cell = replace_made(
        t, &made, (enum handler)(made.row->load_branch + place * 4 + !equal * 2u + back), 3);
    if (made.form != RESULT_ACC)
        set_field(t, cell, 0, made.slot);
    if (made.x.class == 'S')
        set_field(t, cell, 1, made.x.slot);
    t->code[cell + 2] = (uint64_t)k << 32 | made.offset;
    return cell;
}

/* The last cell has stored something, and the condition is in the accumulator since before. */
static uint32_t fuse_store_branch(struct translation *t, bool sense, bool back)
{
    struct made made = t->made;
    if (made.kind != MADE_STORE || !uses(TECHNIQUE_STORE_BRANCHES))
        return NONE;
    struct operand c = operand(t, t->sp - 1, 0);
    if (c.class != 'A' || t->made.kind != MADE_STORE)
        return NONE;
    uint32_t place = (uint32_t)settle_pair(CLASSES_STORE_BRANCH, &made.x, &made.y);
    uint32_t mirror = t->banks[BANK_INT].mirror;
    pop(t);
    made.slot = mirror;
    uint32_t cell = replace_made(
        t, &made, (enum handler)(made.row->store_branch + place * 4 + !sense * 2u + back), 3);
    if (made.x.class == 'S')
        set_field(t, cell, 0, made.x.slot);
    if (made.y.class == 'S')
        set_field(t, cell, 1, made.y.slot);
    t->code[cell + 2] = made.offset;
    return cell;
}

/* Likewise what it has masked. A mask alone that nobody else needs is a test (ops.def). */
static uint32_t fuse_masked(struct translation *t, bool sense, bool back)
{
    const struct op_row *row = t->tail.row;
    struct made made = t->made;
    uint32_t k = 0;
    if (!uses(TECHNIQUE_MASKS))
        return NONE;
    if (can_fuse(t) && t->tail.made.kind == MADE_MASK && row->masked) {
        made = t->tail.made;
        k = (uint32_t)t->tail.y.k;
    } else if (!can_fuse(t) && is_made(t, t->sp - 1, MADE_MASK)) {
        row = op_row(OP_I32_NE);
    } else {
        return NONE;
    }
    if (made.form == RESULT_PIN)
        return NONE;
    if (!sense)
        row = op_row(row->inverse);
    uint32_t place = (uint32_t)settle(CLASSES_LOADED, &made.x) * 2 + (made.form == RESULT_SLOT);
    pop(t);
    uint32_t cell = replace_made(t, &made, (enum handler)(row->masked + place * 2 + back), 3);
    if (made.x.class == 'S')
        set_field(t, cell, 0, made.x.slot);
    set_field(t, cell, 1, (uint16_t)made.k);
    t->code[cell + 2] = (uint64_t)k << 32 | made.mask << 16;
    if (made.form == RESULT_SLOT)
        t->code[cell + 2] |= made.slot;
    return cell;
}

uint32_t branch_on_top(struct translation *t, bool sense, bool back)
{
    sense ^= t->negate;
    t->negate = false;
    uint32_t cell = back ? fuse_increment(t, sense) : NONE;
    if (cell == NONE)
        cell = fuse_load_branch(t, sense, back);
    if (cell == NONE)
        cell = fuse_masked(t, sense, back);
    if (cell == NONE)
        cell = fuse_store_branch(t, sense, back);
    if (cell != NONE)
        return cell;
    if (can_fuse(t)) {
        pop(t);
        return fused_branch(t, sense, back);
    }
    struct operand c = operand(t, t->sp - 1, 0);
    settle(CLASSES_BY_HAND, &c);
    pop(t);
    enum handler h = sense ? H_BR_IF_S : H_BR_UNLESS_S;
    cell = emit(t, (enum handler)(h + (c.class == 'A') + 2 * back), 2);
    if (c.class == 'S')
        set_field(t, cell, 0, c.slot);
    return cell;
}

/* A cell that sets a slot is part of the branch behind it. */
uint32_t branch(struct translation *t, bool back)
{
    enum handler h = is_last(t, H_CONST32)        ? H_CONST_BR
                     : is_last(t, H_I32_ADD_SK_d) ? H_ADD_BR
                                                  : H_BR;
    if (h == H_BR || !uses(TECHNIQUE_JUMPS))
        return emit(t, (enum handler)(H_BR + back), 2);
    uint64_t word = t->code[t->last + 1]; /* the slots, and the constant in its upper half */
    unemit(t);
    uint32_t cell = emit(t, (enum handler)(h + back), 3);
    t->code[cell + 1] = (uint32_t)word;
    t->code[cell + 2] = word >> 32;
    return cell;
}

/* ---- memory ---- */

bool fuse_pointer(struct translation *t, const struct op_row *row, uint32_t offset)
{
    const struct made pointer = t->made;
    if (!uses(TECHNIQUE_POINTERS) || row->loaded == 0 || t->stack[t->sp - 1].place != IN_ACC ||
        pointer.kind != MADE_LOAD || pointer.form != RESULT_ACC ||
        pointer.row != op_row(OP_I32_LOAD) || MAX(pointer.offset, offset) > UINT16_MAX)
        return false;
    struct operand x = pointer.x;
    enum handler h =
        (enum handler)(row->loaded + (uint32_t)settle(CLASSES_LOADED, &x) * RESULT_FORMS);
    pop(t);
    uint32_t cell = replace_made(t, &pointer, h, 2);
    if (x.class == 'S')
        set_field(t, cell, 1, x.slot);
    set_field(t, cell, 2, pointer.offset);
    set_field(t, cell, 3, offset);
    end_result(t, cell, h, row->to);
    return true;
}

/* Slot of the operand at pos if it has one already; else NONE. */
static uint32_t slot_at(const struct translation *t, uint32_t pos)
{
    const struct value *v = &t->stack[pos];
    return v->place == AT_LOCAL  ? local_slot(t, (uint32_t)v->v)
           : v->place == AT_HOME ? home(t, pos)
                                 : NONE;
}

bool fuse_bump(struct translation *t, const struct op_row *row, uint32_t offset)
{
    const struct made sum = t->made;
    uint32_t at = slot_at(t, t->sp - 2);
    if (!uses(TECHNIQUE_BUMPS) || row != op_row(OP_I32_STORE) || sum.kind != MADE_SUM ||
        sum.row != op_row(OP_I32_LOAD) || sum.offset != offset || at == NONE || at != sum.x.slot ||
        !is_made(t, t->sp - 1, MADE_SUM))
        return false;
    struct operand x = sum.x;
    uint32_t place = (uint32_t)settle(CLASSES_LOADED, &x) * RESULT_FORMS + sum.form;
    shrink(t, t->sp - 2);
    uint32_t cell = replace_made(t, &sum, (enum handler)(H_BUMP_S + place), 3);
    if (sum.form != RESULT_ACC)
        set_field(t, cell, 0, sum.slot);
    if (x.class == 'S')
        set_field(t, cell, 1, x.slot);
    set_imm32(t, cell, offset);
    t->code[cell + 2] = sum.k;
    return true;
}
