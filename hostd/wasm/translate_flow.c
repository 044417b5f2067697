/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks, branches, calls and returns. A branch moves its values to the homes of its target; the
 * paths that fall through keep their own state. Code behind an unconditional branch is skipped
 * up to the end of its block. */
#include "hostd/wasm/translate.h"

#include <assert.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* Up to so many values of a branch are moved one by one, straight from where they are. */
#define MOVES_MAX 4

/* ---- labels and distances ---- */

struct label *label_at(struct translation *t, uint32_t depth)
{
    assert(depth < t->nlabels);
    return &t->labels[t->nlabels - 1 - depth];
}

static bool is_function(const struct translation *t, const struct label *l)
{
    return l == &t->labels[0];
}

static uint32_t arity(const struct label *l)
{
    return l->op == OP_LOOP ? l->nparams : l->nresults;
}

static const uint8_t *label_types(const struct label *l)
{
    return l->op == OP_LOOP ? l->params : l->results;
}

static void write_distance(struct translation *t, const struct fix *f, uint32_t target)
{
    uint32_t distance = target - f->cell; /* wraps for backward ones, as a signed distance */
    if (f->word == FIX_CLAUSE)
        t->clauses[f->cell].target = target;
    else if (f->word == 0)
        set_imm32(t, f->cell, distance);
    else
        t->code[f->word] |= distance;
}

void aim(struct translation *t, struct label *l, uint32_t cell, uint32_t word)
{
    struct fix f = {.cell = cell, .word = word, .next = l->fixes};
    if (l->op == OP_LOOP) {
        write_distance(t, &f, l->start);
        return;
    }
    if (t->nfixes == t->fixes_cap) {
        t->fixes_cap = MAX(t->fixes_cap * 2, 64u);
        t->fixes = xrealloc(t->fixes, t->fixes_cap * sizeof *t->fixes);
    }
    l->fixes = t->nfixes;
    t->fixes[t->nfixes++] = f;
}

static void aim_here(struct translation *t, uint32_t cell)
{
    write_distance(t, &(struct fix){.cell = cell}, t->n);
}

struct label *push_label(struct translation *t, uint8_t op)
{
    if (t->nlabels == t->labels_cap) {
        t->labels_cap = MAX(t->labels_cap * 2, 16u);
        t->labels = xrealloc(t->labels, t->labels_cap * sizeof *t->labels);
    }
    struct label *l = &t->labels[t->nlabels++];
    *l = (struct label){.op = op,
                        .fixes = NONE,
                        .else_cell = NONE,
                        .stub_table = NONE,
                        .region = NONE,
                        .dead_start = t->dead};
    return l;
}

/* ---- blocks ---- */

void read_block_type(struct translation *t, struct label *l)
{
    const uint8_t *at = t->p;
    int64_t v = leb_s64(t);
    if (v >= 0) {
        const struct wasm_functype *type = &t->m->types[v];
        l->nparams = type->nparams;
        l->nresults = type->nresults;
        l->params = type->types;
        l->results = type->types + type->nparams;
    } else if (v != -0x40) {
        t->p = at;
        l->nresults = 1;
        l->results = type_alone(skip_valtype(t));
    }
}

static void block(struct translation *t, uint8_t op)
{
    struct label *l = push_label(t, op);
    read_block_type(t, l);
    if (t->dead)
        return;
    uint32_t cell = NONE;
    if (op == OP_IF) {
        flush(t, 1);
        cell = branch_on_top(t, false, false);
    }
    flush(t, 0);
    l->height = t->sp - l->nparams;
    l->else_cell = cell;
    if (op == OP_LOOP) {
        pin_locals(t);
        forget(t);
        l->start = t->n;
    }
}

static void open_else(struct translation *t)
{
    struct label *l = label_at(t, 0);
    if (l->dead_start)
        return;
    if (!t->dead) {
        flush(t, 0);
        aim(t, l, branch(t, false), 0);
    }
    shrink(t, l->height);
    aim_here(t, l->else_cell);
    l->else_cell = NONE;
    l->op = OP_ELSE;
    t->dead = false;
    forget(t);
    push_home(t, l->params, l->nparams);
    t->low = t->sp;
}

static void write_return(struct translation *t);
static void return_from(struct translation *t, uint32_t slot);

static void arrive(struct translation *t, const struct label *l)
{
    for (uint32_t i = l->fixes; i != NONE; i = t->fixes[i].next)
        write_distance(t, &t->fixes[i], t->n);
}

static void close_function(struct translation *t, const struct label *l)
{
    if (!t->dead)
        write_return(t);
    t->nlabels--;
    if (l->fixes == NONE)
        return;
    arrive(t, l); /* only clauses of try_table: what they caught is the results */
    return_from(t, home(t, 0));
}

static void close_block(struct translation *t)
{
    struct label *l = label_at(t, 0);
    if (is_function(t, l)) {
        close_function(t, l);
        return;
    }
    if (l->region != NONE)
        close_region(t, l->region);
    t->nlabels--;
    if (l->dead_start)
        return;
    if (l->op == OP_LOOP)
        t->pins[BANK_INT] = t->pins[BANK_FLOAT] = NONE;
    bool reached = l->fixes != NONE || l->else_cell != NONE;
    if (!reached && !t->dead)
        return; /* nobody branches here: what is pending may stay so */
    if (!t->dead)
        flush(t, 0);
    shrink(t, l->height);
    if (!reached)
        return;
    if (l->else_cell != NONE)
        aim_here(t, l->else_cell);
    arrive(t, l);
    t->dead = false;
    forget(t);
    push_home(t, l->results, l->nresults);
    t->low = t->sp;
}

void open_function(struct translation *t)
{
    struct label *l = push_label(t, OP_BLOCK);
    l->nresults = t->type->nresults;
    l->results = t->type->types + t->type->nparams;
}

/* ---- branches ---- */

static bool in_place(const struct translation *t, const struct label *l)
{
    return arity(l) == 0 || t->sp - arity(l) == l->height;
}

static void homes(struct translation *t, uint32_t n)
{
    for (uint32_t i = t->sp - n; i < t->sp; i++)
        force_home(t, i);
}

static void move_many(struct translation *t, uint32_t to, uint32_t from, uint32_t n)
{
    uint32_t cell = emit(t, H_MOVE_MANY, 2);
    set_field(t, cell, 0, to);
    set_field(t, cell, 1, from);
    set_field(t, cell, 2, n);
    for (int b = 0; b < BANKS; b++)
        t->banks[b].mirror = NONE;
}

/* Values of a branch to l, from where they are to the homes there. Upwards in order: a value
 * never moves up. */
static void move_values(struct translation *t, const struct label *l)
{
    uint32_t n = arity(l), from = t->sp - n, slot = home(t, l->height);
    if (in_place(t, l)) {
        homes(t, n);
    } else if (n <= MOVES_MAX) {
        for (uint32_t i = 0; i < n; i++) {
            move_to(t, from + i, slot);
            slot += type_slots(label_types(l)[i]);
        }
    } else {
        homes(t, n);
        move_many(t, slot, home(t, from), home(t, t->sp) - home(t, from));
    }
}

static void write_branch(struct translation *t, struct label *l)
{
    if (is_function(t, l)) {
        write_return(t);
        return;
    }
    move_values(t, l);
    aim(t, l, branch(t, l->op == OP_LOOP), 0);
}

static void branch_if(struct translation *t, struct label *l)
{
    uint32_t n = arity(l);
    if (n > 0) { /* both ways must find them */
        for (uint32_t i = t->sp - 1 - n; i < t->sp - 1; i++)
            force_home(t, i);
    }
    bool straight = !is_function(t, l) && (n == 0 || t->sp - 1 - n == l->height);
    if (straight) {
        aim(t, l, branch_on_top(t, true, l->op == OP_LOOP), 0);
        return;
    }
    uint32_t around = branch_on_top(t, false, false);
    for (int b = 0; b < BANKS; b++)
        if (t->banks[b].entry != NONE)
            force_home(t, t->banks[b].entry);
    write_branch(t, l);
    aim_here(t, around);
    forget(t);
}

/* A cell that branches when the reference in slot is null, or when it is not. */
static uint32_t branch_on_slot(struct translation *t, uint32_t slot, bool null, bool back)
{
    const struct op_row *row = op_row(null ? OP_I64_EQ : OP_I64_NE);
    int pair = class_find_pair(CLASSES_BRANCH, 'S', 'K');
    uint32_t cell = emit(t, (enum handler)(row->branch + pair * 2 + back), 3);
    set_field(t, cell, 0, slot);
    return cell;
}

/* br_on_null leaves the reference out of the branch, br_on_non_null carries it and drops it
 * otherwise. */
static void branch_on_ref(struct translation *t, struct label *l, bool on_null)
{
    flush(t, 0); /* both ways must find everything */
    struct value ref = t->stack[t->sp - 1];
    uint32_t slot = home(t, t->sp - 1);
    if (on_null)
        pop(t);
    bool straight = !is_function(t, l) && in_place(t, l);
    uint32_t cell = branch_on_slot(t, slot, on_null == straight, straight && l->op == OP_LOOP);
    if (straight) {
        aim(t, l, cell, 0);
    } else {
        write_branch(t, l);
        aim_here(t, cell);
        forget(t);
    }
    if (on_null)
        push(t, AT_HOME, ref.type, 0);
    else
        pop(t);
}

/* One target of a branch table: straight at the label, or at a stub behind the table that moves
 * the values first. */
static void aim_table(struct translation *t, struct label *l, uint32_t table, uint32_t word)
{
    if (!is_function(t, l) && in_place(t, l)) {
        t->code[word] = l->op == OP_LOOP ? (uint64_t)1 << 32 : 0;
        aim(t, l, table, word);
        return;
    }
    if (l->stub_table != table) {
        l->stub_table = table;
        l->stub = t->n;
        forget(t);
        write_branch(t, l);
    }
    write_distance(t, &(struct fix){.cell = table, .word = word}, l->stub);
}

/* The index on top, less a constant that is added to it last. */
static struct operand table_operand(struct translation *t, uint32_t *bias)
{
    struct operand index = operand(t, t->sp - 1, 0);
    const struct tail tail = t->tail;
    if (is_tail(t, t->sp - 1) && !tail.first && tail.row == op_row(OP_I32_ADD) &&
        tail.y.class == 'K' && (int32_t)(uint32_t)tail.y.k == (int16_t)tail.y.k &&
        uses(TECHNIQUE_STEPS)) {
        unemit(t);
        t->banks[BANK_INT].producer = NONE;
        *bias = (uint16_t)tail.y.k;
        index = tail.x;
    }
    if (index.slot != NONE)
        index.class = 'S';
    return index;
}

static void branch_table(struct translation *t)
{
    uint32_t n = leb_u32(t);
    const uint8_t *const targets = t->p;
    uint32_t first = leb_u32(t), values = arity(label_at(t, first));
    t->p = targets;
    for (uint32_t i = t->sp - 1 - values; i < t->sp - 1; i++)
        force_home(t, i);
    uint32_t bias = 0;
    struct operand index = table_operand(t, &bias);
    pop(t);
    for (int b = 0; b < BANKS; b++)
        if (t->banks[b].entry != NONE)
            force_home(t, t->banks[b].entry);
    uint32_t table = emit(t, index.class == 'A' ? H_BR_TABLE_A : H_BR_TABLE_S, 2 + n + 1);
    if (index.class == 'S')
        set_field(t, table, 0, index.slot);
    set_field(t, table, 1, bias);
    set_imm32(t, table, n);
    for (uint32_t i = 0; i <= n; i++)
        aim_table(t, label_at(t, leb_u32(t)), table, table + 2 + i);
}

/* ---- calls ---- */

static uint32_t header_slot(const struct translation *t)
{
    return t->fc->param_slots;
}

static void return_one(struct translation *t)
{
    uint32_t pos = t->sp - 1;
    uint8_t type = t->stack[pos].type;
    struct operand x = operand(t, pos, 0);
    if (x.slot != NONE)
        x.class = 'S';
    enum handler h = H_RETURN_S;
    if (x.class == 'A')
        h = type == WASM_F32    ? H_RETURN_F32
            : type == WASM_F64  ? H_RETURN_F64
            : type == WASM_V128 ? H_RETURN_V128
                                : H_RETURN_A;
    else if (type == WASM_V128)
        h = H_RETURN_V128_S;
    uint32_t cell = emit(t, h, 2);
    set_field(t, cell, 0, header_slot(t));
    if (x.class == 'S')
        set_field(t, cell, 1, x.slot);
}

/* Returns the topmost operands; leaves them where they are. */
static void write_return(struct translation *t)
{
    uint32_t n = t->type->nresults;
    if (n == 1) {
        return_one(t);
        return;
    }
    homes(t, n);
    uint32_t cell = emit(t, n == 0 ? H_RETURN : H_RETURN_MANY, 2);
    set_field(t, cell, 0, header_slot(t));
    if (n > 0) {
        set_field(t, cell, 1, home(t, t->sp - n));
        set_field(t, cell, 2, t->fc->result_slots);
    }
}

/* After a call: the results are in the place of the arguments, a single one of one slot also in
 * the accumulator. */
static void push_results(struct translation *t, const struct wasm_functype *type)
{
    shrink(t, t->sp - type->nparams);
    forget(t);
    load_pins(t);
    push_home(t, type->types + type->nparams, type->nresults);
    t->low = t->sp;
    if (type->nresults == 1 && type->types[type->nparams] != WASM_V128)
        t->banks[bank_of(type->types[type->nparams])].mirror = home(t, t->sp - 1);
}

static uint32_t args_slot(struct translation *t, const struct wasm_functype *type)
{
    flush(t, 0);
    return home(t, t->sp - type->nparams);
}

static const struct wasm_functype *func_type(const struct translation *t, uint32_t func)
{
    return &t->m->types[t->m->funcs[func].type];
}

static void call(struct translation *t, uint32_t func)
{
    bool own = func >= t->m->nimported_funcs;
    uint32_t args = args_slot(t, func_type(t, func));
    uint32_t cell = emit(t, own ? H_CALL : H_CALL_IMPORT, own ? 4 : 3);
    set_field(t, cell, 0, args);
    if (own)
        t->code[cell + 2] = (uint64_t)(uintptr_t)t->m->code[func - t->m->nimported_funcs];
    else
        set_imm32(t, cell, func);
    t->code[t->n - 1] = (uint64_t)(uintptr_t)t->fc;
    push_results(t, func_type(t, func));
}

/* The index is on top of the arguments. */
static const struct wasm_functype *call_indirect(struct translation *t, enum handler h)
{
    const struct wasm_functype *type = &t->m->types[leb_u32(t)];
    uint32_t table = leb_u32(t);
    flush(t, 0);
    table_index(t, t->sp - 1, table);
    uint32_t index = home(t, t->sp - 1);
    pop(t);
    uint32_t args = args_slot(t, type);
    uint32_t cell = emit(t, h, 4);
    set_field(t, cell, 0, args);
    set_field(t, cell, 1, index);
    set_imm32(t, cell, table);
    t->code[cell + 2] = (uint64_t)(uintptr_t)type;
    t->code[cell + 3] = (uint64_t)(uintptr_t)t->fc;
    return type;
}

/* The function is on top of the arguments. */
static const struct wasm_functype *call_ref(struct translation *t, enum handler h)
{
    const struct wasm_functype *type = &t->m->types[leb_u32(t)];
    flush(t, 0);
    uint32_t func = home(t, t->sp - 1);
    pop(t);
    uint32_t cell = emit(t, h, 3);
    set_field(t, cell, 0, home(t, t->sp - type->nparams));
    set_field(t, cell, 1, func);
    t->code[cell + 2] = (uint64_t)(uintptr_t)t->fc;
    return type;
}

/* After a call that was to be a tail call: its results lie at slot. */
static void return_from(struct translation *t, uint32_t slot)
{
    uint32_t n = t->fc->result_slots;
    uint32_t cell = emit(t, n == 0 ? H_RETURN : n == 1 ? H_RETURN_S : H_RETURN_MANY, 2);
    set_field(t, cell, 0, header_slot(t));
    set_field(t, cell, 1, n == 0 ? 0 : slot);
    set_field(t, cell, 2, n);
}

/* The callee takes our frame's place; but a host function is called, and then we return. */
static void return_call(struct translation *t, uint32_t func)
{
    bool own = func >= t->m->nimported_funcs;
    uint32_t args = args_slot(t, func_type(t, func));
    uint32_t cell = emit(t, own ? H_RETURN_CALL : H_RETURN_CALL_IMPORT, 3);
    set_field(t, cell, 0, args);
    if (!own) {
        set_imm32(t, cell, func);
        t->code[cell + 2] = (uint64_t)(uintptr_t)t->fc;
        return_from(t, args);
        return;
    }
    t->code[cell + 2] = (uint64_t)(uintptr_t)t->m->code[func - t->m->nimported_funcs];
}

static void return_call_indirect(struct translation *t)
{
    const struct wasm_functype *type = call_indirect(t, H_RETURN_CALL_INDIRECT);
    return_from(t, home(t, t->sp - type->nparams));
}

static void return_call_ref(struct translation *t)
{
    const struct wasm_functype *type = call_ref(t, H_RETURN_CALL_REF);
    return_from(t, home(t, t->sp - type->nparams));
}

/* ---- one instruction ---- */

void flow(struct translation *t, uint32_t op)
{
    switch (op) {
    case OP_BLOCK:
    case OP_LOOP:
    case OP_IF:
        block(t, (uint8_t)op);
        break;
    case OP_TRY_TABLE:
        try_table(t);
        break;
    case OP_THROW:
    case OP_THROW_REF:
        write_throw(t, op);
        t->dead = true;
        break;
    case OP_ELSE:
        open_else(t);
        break;
    case OP_END:
        close_block(t);
        break;
    case OP_BR:
        write_branch(t, label_at(t, leb_u32(t)));
        t->dead = true;
        break;
    case OP_BR_IF:
        branch_if(t, label_at(t, leb_u32(t)));
        break;
    case OP_BR_TABLE:
        branch_table(t);
        t->dead = true;
        break;
    case OP_RETURN:
        write_return(t);
        t->dead = true;
        break;
    case OP_CALL:
        call(t, leb_u32(t));
        break;
    case OP_CALL_INDIRECT:
        push_results(t, call_indirect(t, H_CALL_INDIRECT));
        break;
    case OP_RETURN_CALL:
        return_call(t, leb_u32(t));
        t->dead = true;
        break;
    case OP_RETURN_CALL_INDIRECT:
        return_call_indirect(t);
        t->dead = true;
        break;
    case OP_CALL_REF:
        push_results(t, call_ref(t, H_CALL_REF));
        break;
    case OP_RETURN_CALL_REF:
        return_call_ref(t);
        t->dead = true;
        break;
    case OP_BR_ON_NULL:
    case OP_BR_ON_NON_NULL:
        branch_on_ref(t, label_at(t, leb_u32(t)), op == OP_BR_ON_NULL);
        break;
    case OP_UNREACHABLE:
        emit(t, H_UNREACHABLE, 2);
        t->dead = true;
        break;
    default:
        assert(op == OP_NOP); /* an opcode that validation knows */
    }
}
