/* SPDX-License-Identifier: Apache-2.0 */
/* Cells and the symbolic operand stack. Keeps the invariants of translate.h. */
#include "hostd/wasm/translate.h"

#include <assert.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* Entries this far below the top are sent home before the next instruction, so that no walk over
 * pending ones is long. */
#define PENDING_MAX 64

/* ---- cells ---- */

uint32_t emit(struct translation *t, enum handler h, uint32_t words)
{
    if (words > t->cap - t->n) {
        t->cap = MAX(t->cap * 2, t->n + words + 256);
        t->code = xrealloc(t->code, t->cap * sizeof(uint64_t));
    }
    uint32_t cell = t->n;
    memset(&t->code[cell], 0, words * sizeof(uint64_t));
    t->code[cell] = (uint64_t)(uintptr_t)t->exec->handlers[h];
    t->n += words;
    t->last = cell;
    t->tail.row = NULL;
    t->made.kind = MADE_OTHER;
    return cell;
}

void seal(struct translation *t)
{
    t->last = NONE;
    t->tail.row = NULL;
    t->made.kind = MADE_OTHER;
    t->increment.cell = NONE;
}

void unemit(struct translation *t)
{
    assert(t->last != NONE);
    t->n = t->last;
    seal(t);
}

bool is_last(const struct translation *t, enum handler h)
{
    return t->last != NONE && t->code[t->last] == (uint64_t)(uintptr_t)t->exec->handlers[h];
}

void set_field(struct translation *t, uint32_t cell, uint32_t field, uint32_t v)
{
    assert(v <= UINT16_MAX);
    uint16_t v16 = (uint16_t)v;
    memcpy((char *)&t->code[cell + 1] + 2 * field, &v16, sizeof v16);
}

void set_imm32(struct translation *t, uint32_t cell, uint32_t v)
{
    memcpy((char *)&t->code[cell + 1] + 4, &v, sizeof v);
}

void put_vector(struct translation *t, uint32_t cell, uint64_t bytes)
{
    memcpy(&t->code[cell + 2], (const uint8_t *)(uintptr_t)bytes, 16);
}

static bool has_slot(const struct translation *t, uint32_t slot)
{
    return slot < t->fc->frame_slots;
}

/* ---- places ---- */

uint32_t home(const struct translation *t, uint32_t pos)
{
    assert(pos <= t->sp);
    return t->stack[pos].home;
}

uint32_t local_slot(const struct translation *t, uint32_t local)
{
    return t->local_slots[local];
}

void wrote_slots(struct translation *t, uint32_t slot, uint32_t n)
{
    assert(has_slot(t, slot + n - 1));
    for (int b = 0; b < BANKS; b++) {
        struct bank *bank = &t->banks[b];
        if (bank->mirror != NONE && bank->mirror < slot + n && slot < bank->mirror + bank->slots)
            bank->mirror = NONE;
    }
}

void forget(struct translation *t)
{
    for (int b = 0; b < BANKS; b++) {
        assert(t->banks[b].entry == NONE);
        t->banks[b] = (struct bank){NONE, NONE, H_COUNT, NONE, 1};
    }
    seal(t);
}

static uint32_t pinned_slot(const struct translation *t, const struct bank *bank)
{
    uint32_t local = t->pins[bank - t->banks];
    return local == NONE ? NONE : local_slot(t, local);
}

/* Was it x = x + constant? */
static void note_increment(struct translation *t, uint32_t cell, uint32_t slot)
{
    const struct tail *tail = &t->tail;
    if (tail->row != op_row(OP_I32_ADD) || tail->first || tail->y.class != 'K' ||
        tail->x.slot != slot || (int32_t)(uint32_t)tail->y.k != (int16_t)tail->y.k)
        return;
    bool pinned = t->pins[BANK_INT] != NONE && local_slot(t, t->pins[BANK_INT]) == slot;
    const struct increment before = t->increment;
    t->increment = (struct increment){.cell = cell,
                                      .slot = slot,
                                      .k = (uint16_t)tail->y.k,
                                      .class = pinned ? 'L' : 'S',
                                      .other = NONE};
    if (before.cell != NONE && before.cell + 2 == cell && before.class == 'S' &&
        before.slot != slot) {
        t->increment.other = before.slot;
        t->increment.other_k = before.k;
    }
}

/* Makes the producer of the bank's value store it in slot as well. */
static void store_by_producer(struct translation *t, struct bank *bank, uint32_t slot)
{
    assert(bank->producer != NONE);
    wrote_slots(t, slot, bank->slots);
    uint32_t form = slot == pinned_slot(t, bank) ? RESULT_PIN : RESULT_SLOT;
    t->code[bank->producer] = (uint64_t)(uintptr_t)t->exec->handlers[bank->handler + form];
    set_field(t, bank->producer, 0, slot);
    if (t->last == bank->producer) {
        note_increment(t, t->last, slot);
        t->tail.row = NULL; /* somebody needs its result: no fusing */
        t->made.slot = slot;
        t->made.form = form;
    }
    bank->producer = NONE;
    bank->mirror = slot;
}

static struct bank *bank_at(struct translation *t, uint32_t pos)
{
    return &t->banks[bank_of(t->stack[pos].type)];
}

static void constant(struct translation *t, uint8_t type, uint32_t slot, uint64_t v)
{
    uint32_t cell;
    if (type == WASM_V128) {
        cell = emit(t, H_CONST_V128, 4);
        put_vector(t, cell, v);
    } else if (v >> 32) {
        cell = emit(t, H_CONST64, 3);
        t->code[cell + 2] = v;
    } else {
        cell = emit(t, H_CONST32, 2);
        set_imm32(t, cell, (uint32_t)v);
    }
    set_field(t, cell, 0, slot);
    wrote_slots(t, slot, type_slots(type));
}

/* Makes h of a last cell that is a move. */
static bool append_move(struct translation *t, enum handler h, uint32_t to, uint32_t from)
{
    if (!is_last(t, H_MOVE) || !uses(TECHNIQUE_MOVES))
        return false;
    t->code[t->last] = (uint64_t)(uintptr_t)t->exec->handlers[h];
    set_field(t, t->last, 2, to);
    set_field(t, t->last, 3, from);
    wrote_slots(t, to, 1);
    return true;
}

static void move(struct translation *t, uint8_t type, uint32_t to, uint32_t from)
{
    assert(has_slot(t, from));
    if (to == from)
        return;
    if (type != WASM_V128 && append_move(t, H_MOVE_TWO, to, from))
        return;
    uint32_t cell = emit(t, type == WASM_V128 ? H_MOVE_V128 : H_MOVE, 2);
    set_field(t, cell, 0, to);
    set_field(t, cell, 1, from);
    wrote_slots(t, to, type_slots(type));
}

static void store_accumulator(struct translation *t, uint8_t type, uint32_t slot)
{
    struct bank *bank = &t->banks[bank_of(type)];
    enum handler h = type == WASM_F32    ? H_STORE_F32
                     : type == WASM_F64  ? H_STORE_F64
                     : type == WASM_V128 ? H_STORE_V128
                                         : H_STORE_ACC;
    set_field(t, emit(t, h, 2), 0, slot);
    wrote_slots(t, slot, bank->slots);
    bank->mirror = slot;
}

void move_to(struct translation *t, uint32_t pos, uint32_t slot)
{
    const struct value *v = &t->stack[pos];
    if (v->place == AT_SUM)
        force_home(t, pos);
    switch (v->place) {
    case AT_SUM: /* no longer */
    case AT_HOME:
        move(t, v->type, slot, home(t, pos));
        break;
    case AT_LOCAL:
        move(t, v->type, slot, local_slot(t, (uint32_t)v->v));
        break;
    case CONSTANT:
        constant(t, v->type, slot, v->v);
        break;
    case IN_ACC:
        store_accumulator(t, v->type, slot);
        break;
    }
}

uint32_t force_home(struct translation *t, uint32_t pos)
{
    struct value *v = &t->stack[pos];
    compute(t, pos);
    if (v->place == IN_ACC) {
        struct bank *bank = bank_at(t, pos);
        assert(bank->entry == pos);
        store_by_producer(t, bank, home(t, pos));
        bank->entry = NONE;
    } else if (v->place != AT_HOME) {
        move_to(t, pos, home(t, pos));
    }
    v->place = AT_HOME;
    return home(t, pos);
}

uint32_t force_slot(struct translation *t, uint32_t pos)
{
    const struct value *v = &t->stack[pos];
    return v->place == AT_LOCAL ? local_slot(t, (uint32_t)v->v) : force_home(t, pos);
}

void flush(struct translation *t, uint32_t from_top)
{
    uint32_t end = t->sp - from_top;
    for (uint32_t i = t->low; i < end; i++)
        force_home(t, i);
    t->low = MAX(t->low, end);
}

/* ---- push and pop ---- */

void push(struct translation *t, enum place place, uint8_t type, uint64_t v)
{
    assert(t->sp <= t->decl->max_height); /* one more for the zero of eqz, which never goes home */
    uint32_t slot = t->stack[t->sp].home;
    t->stack[t->sp++] =
        (struct value){.place = place, .type = type, .home = slot, .other = NONE, .v = v};
    t->stack[t->sp].home = slot + type_slots(type);
}

void trim(struct translation *t)
{
    while (t->sp - t->low > PENDING_MAX)
        force_home(t, t->low++);
}

void push_home(struct translation *t, const uint8_t *types, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        push(t, AT_HOME, types[i], 0);
}

void shrink(struct translation *t, uint32_t sp)
{
    assert(sp <= t->sp);
    t->sp = sp;
    t->low = MIN(t->low, sp);
    for (int b = 0; b < BANKS; b++)
        if (t->banks[b].entry != NONE && t->banks[b].entry >= sp)
            t->banks[b].entry = NONE;
}

struct value pop(struct translation *t)
{
    struct value v = t->stack[t->sp - 1];
    shrink(t, t->sp - 1);
    return v;
}

/* ---- operands and results ---- */

static bool fits(uint8_t type, uint64_t v, uint32_t bits)
{
    if (v && !uses(TECHNIQUE_CONSTANTS)) /* the zero of eqz has no home */
        return false;
    if (type == WASM_V128)
        return bits == 128;
    bool is32 = type == WASM_I32 || type == WASM_F32;
    int64_t s = is32 ? (int32_t)(uint32_t)v : (int64_t)v;
    switch (bits) {
    case 16:
        return s == (int16_t)s;
    case 32: /* f64 constants take a word of their own */
        return s == (int32_t)s || type == WASM_F64;
    case 64:
        return true;
    default:
        return false;
    }
}

static struct operand slot_operand(const struct translation *t, const struct bank *bank,
                                   uint32_t slot)
{
    assert(has_slot(t, slot));
    if (slot == pinned_slot(t, bank))
        return (struct operand){'L', slot, 0};
    bool known = bank->mirror == slot && uses(TECHNIQUE_REMEMBERING);
    return (struct operand){known ? 'A' : 'S', slot, 0};
}

struct operand local_operand(const struct translation *t, uint32_t local)
{
    return slot_operand(t, &t->banks[bank_of(t->decl->locals[local])], local_slot(t, local));
}

struct operand operand(struct translation *t, uint32_t pos, uint32_t k_bits)
{
    const struct value *v = &t->stack[pos];
    compute(t, pos);
    if (v->place == CONSTANT && fits(v->type, v->v, k_bits))
        return (struct operand){'K', NONE, v->v};
    if (v->place == IN_ACC)
        return (struct operand){'A', NONE, 0};
    return slot_operand(t, bank_at(t, pos), force_slot(t, pos));
}

static bool to_slot(struct operand *x)
{
    if ((x->class != 'A' && x->class != 'L') || x->slot == NONE)
        return false;
    x->class = 'S';
    return true;
}

int settle(enum class_list list, struct operand *x)
{
    int at = class_find(list, x->class);
    if (at < 0 && to_slot(x))
        at = class_find(list, x->class);
    assert(at >= 0); /* every list has S, and A where one is possible */
    return at;
}

int settle_pair(enum class_list list, struct operand *x, struct operand *y)
{
    int at = class_find_pair(list, x->class, y->class);
    struct operand other = *x;
    if (at < 0 && to_slot(&other) && (at = class_find_pair(list, 'S', y->class)) >= 0)
        *x = other;
    if (at < 0 && to_slot(y) && (at = class_find_pair(list, x->class, 'S')) < 0 && to_slot(x))
        at = class_find_pair(list, 'S', 'S');
    assert(at >= 0);
    return at;
}

void begin_result(struct translation *t, uint8_t type)
{
    struct bank *bank = &t->banks[bank_of(type)];
    if (bank->entry != NONE)
        force_home(t, bank->entry);
}

void end_result(struct translation *t, uint32_t cell, enum handler h, uint8_t type)
{
    push(t, IN_ACC, type, 0);
    in_accumulator(t, t->sp - 1, cell, h);
}

void in_accumulator(struct translation *t, uint32_t pos, uint32_t cell, enum handler h)
{
    struct bank *bank = bank_at(t, pos);
    t->stack[pos].place = IN_ACC;
    bank->entry = pos;
    bank->producer = cell;
    bank->handler = h;
    bank->mirror = NONE;
    bank->slots = type_slots(t->stack[pos].type);
    if (!uses(TECHNIQUE_ACCUMULATORS))
        force_home(t, pos);
}

/* Operands below the top that still mean the local's old value get it now. */
static void save_reads(struct translation *t, uint32_t local)
{
    for (uint32_t i = t->low; i + 1 < t->sp; i++) {
        const struct value *v = &t->stack[i];
        if ((v->place == AT_LOCAL && v->v == local) ||
            (v->place == AT_SUM && (v->v == local || v->other == local)))
            force_home(t, i);
    }
}

static void move_to_pinned(struct translation *t, uint32_t pos, uint32_t slot)
{
    struct value v = t->stack[pos];
    bool is_float = bank_of(v.type) == BANK_FLOAT;
    if (v.place == CONSTANT) {
        move_to(t, pos, slot);
        load_pins(t);
        return;
    }
    enum handler h = v.type == WASM_F32   ? H_STORE_F32_PIN
                     : v.type == WASM_F64 ? H_STORE_F64_PIN
                                          : H_STORE_ACC_PIN;
    uint32_t from = v.place == IN_ACC ? NONE : force_slot(t, pos);
    if (from != NONE && !is_float && append_move(t, H_MOVE_MOVE_PIN, slot, from))
        return;
    if (from != NONE)
        h = is_float ? H_MOVE_FPIN : H_MOVE_PIN;
    uint32_t cell = emit(t, h, 2);
    set_field(t, cell, 0, slot);
    if (from != NONE)
        set_field(t, cell, 1, from);
    wrote_slots(t, slot, 1);
    if (from == NONE)
        bank_at(t, pos)->mirror = slot;
}

void set_local(struct translation *t, uint32_t local, bool keep)
{
    uint32_t slot = local_slot(t, local), pos = t->sp - 1;
    struct value v = t->stack[pos];
    if (v.place == AT_LOCAL && v.v == local) {
        if (!keep)
            pop(t);
        return;
    }
    save_reads(t, local);
    compute(t, pos);
    v = t->stack[pos];
    struct bank *bank = bank_at(t, pos);
    if (v.place == IN_ACC && t->last == bank->producer && uses(TECHNIQUE_FOLDED_SETS))
        store_by_producer(t, bank, slot);
    else if (is_pinned(t, local))
        move_to_pinned(t, pos, slot);
    else
        move_to(t, pos, slot);
    pop(t);
    if (keep)
        push(t, AT_LOCAL, v.type, local);
}
