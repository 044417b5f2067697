/* SPDX-License-Identifier: Apache-2.0 */
/* What a function body may do next. Most addresses, indices and counts are cut down to small ones, and most
 * conversions saturate: a guest that always traps at once shows nothing. */
#include "tests/fuzz/wasm/generate.h"

#include <assert.h>
#include <string.h>
#include "lattice/base/num.h"

#define STACK_ROOM 40u /* operands one action may add */
#define OPERANDS_MAX 4

static const struct row {
    uint32_t op;
    enum imm imm;
    const char *text, *sig;
} rows[] = {
#define X(code, id, text, imm, sig) {code, IMM_##imm, text, sig},
#include "hostd/wasm/opcodes.def"
#undef X
};

static bool is_memory_row(const struct row *r)
{
    return r->sig[0] == 'a' && r->imm >= IMM_MEM8 && r->imm <= IMM_MEM64_LANE;
}

static bool is_number_row(const struct row *r)
{
    return r->op < OP_V128_LOAD && r->imm == IMM_NONE && r->sig[0] != '*';
}

static bool is_vector_row(const struct row *r)
{
    return r->op >= OP_V128_LOAD && r->sig[0] != 'a' && r->imm != IMM_V128;
}

static const struct row *choose_row(struct generator *g, bool (*wanted)(const struct row *r))
{
    uint32_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        n += wanted(&rows[i]);
    const struct row *r = rows;
    for (uint32_t skip = gen_choose(g, n); skip > 0 || !wanted(r); r++)
        skip -= wanted(r);
    return r;
}

static uint8_t letter_type(char letter, uint8_t address)
{
    switch (letter) {
    case 'i':
        return WASM_I32;
    case 'l':
        return WASM_I64;
    case 'f':
        return WASM_F32;
    case 'd':
        return WASM_F64;
    case 'V':
        return WASM_V128;
    default:
        assert(letter == 'a');
        return address;
    }
}

/* Operand types of a signature, and the result's: 0 when there is none. */
static uint32_t operands(const char *sig, uint8_t address, uint8_t types[OPERANDS_MAX],
                         uint8_t *result)
{
    uint32_t n = 0;
    while (*sig != ':')
        types[n++] = letter_type(*sig++, address);
    *result = sig[1] ? letter_type(sig[1], address) : 0;
    return n;
}

static uint8_t index_type(bool is64)
{
    return is64 ? WASM_I64 : WASM_I32;
}

/* The topmost operand is an integer: only these bits of it stay. */
static void mask(struct generator *g, uint8_t type, uint32_t bits)
{
    gen_op(g, type == WASM_I64 ? OP_I64_CONST : OP_I32_CONST);
    buf_leb_s64(g->code, bits);
    gen_op(g, type == WASM_I64 ? OP_I64_AND : OP_I32_AND);
}

static void maybe_mask(struct generator *g, uint8_t type, uint32_t bits)
{
    if (gen_choose(g, 4))
        mask(g, type, bits);
}

/* ---- numbers ---- */

static bool keeps_bits(uint32_t op)
{
    return op == OP_F32_ABS || op == OP_F32_NEG || op == OP_F64_ABS || op == OP_F64_NEG ||
           op == OP_F32_COPYSIGN || op == OP_F64_COPYSIGN;
}

static bool shows_bits(uint32_t op)
{
    return op == OP_I32_REINTERPRET_F32 || op == OP_I64_REINTERPRET_F64 || op == OP_F32_COPYSIGN ||
           op == OP_F64_COPYSIGN;
}

static bool never_nan(uint32_t op)
{
    return (op >= OP_F32_CONVERT_I32_S && op <= OP_F32_CONVERT_I64_U) ||
           (op >= OP_F64_CONVERT_I32_S && op <= OP_F64_CONVERT_I64_U) ||
           op == OP_F32_REINTERPRET_I32 || op == OP_F64_REINTERPRET_I64;
}

static uint32_t saturating(uint32_t op)
{
    if (op >= OP_I32_TRUNC_F32_S && op <= OP_I32_TRUNC_F64_U)
        return op - OP_I32_TRUNC_F32_S + OP_I32_TRUNC_SAT_F32_S;
    if (op >= OP_I64_TRUNC_F32_S && op <= OP_I64_TRUNC_F64_U)
        return op - OP_I64_TRUNC_F32_S + OP_I64_TRUNC_SAT_F32_S;
    return op;
}

static bool divides(uint32_t op)
{
    return (op >= OP_I32_DIV_S && op <= OP_I32_REM_U) || (op >= OP_I64_DIV_S && op <= OP_I64_REM_U);
}

static void number(struct generator *g)
{
    const struct row *r = choose_row(g, is_number_row);
    uint8_t types[OPERANDS_MAX], result;
    uint32_t op = gen_choose(g, 8) ? saturating(r->op) : r->op;
    uint32_t n = operands(r->sig, 0, types, &result);
    bool any_nan = !never_nan(op);
    if (gen_need(g, types, n)) {
        if (shows_bits(op))
            gen_settle(g);
        if (keeps_bits(op))
            any_nan = g->any_nan[g->sp - n];
        g->sp -= n;
        if (divides(op) && gen_choose(g, 4)) {
            bool is64 = types[0] == WASM_I64;
            gen_op(g, is64 ? OP_I64_CONST : OP_I32_CONST);
            buf_leb_s64(g->code, 1);
            gen_op(g, is64 ? OP_I64_OR : OP_I32_OR);
        }
    }
    gen_op(g, op);
    if (result)
        gen_push(g, result, any_nan);
}

/* ---- vectors ---- */

static bool lanes_may_be_nan(const struct row *r)
{
    static const char *const exact[] = {"eq", "ne", "lt",    "gt",
                                        "le", "ge", "splat", "replace_lane"};
    const char *name = strchr(r->text, '.') + 1;
    bool yes = r->text[0] == 'f' && strchr(r->sig, ':')[1] == 'V';
    for (size_t i = 0; i < ARRAY_LEN(exact); i++)
        yes = yes && strcmp(name, exact[i]) != 0;
    return yes;
}

static void vector(struct generator *g)
{
    const struct row *r = choose_row(g, is_vector_row);
    uint8_t types[OPERANDS_MAX], result;
    uint32_t n = operands(r->sig, 0, types, &result);
    if (gen_need(g, types, n)) {
        gen_settle(g); /* a float that becomes a lane */
        g->sp -= n;
    }
    gen_op(g, r->op);
    if (r->imm == IMM_SHUFFLE)
        for (int i = 0; i < 16; i++)
            buf_byte(g->code, (uint8_t)gen_choose(g, 32));
    else if (r->imm != IMM_NONE)
        buf_byte(g->code, (uint8_t)gen_choose(g, 16u >> (r->imm - IMM_LANE16)));
    if (lanes_may_be_nan(r))
        gen_settle_vector(g, r->text[1] == '6');
    gen_push(g, result, false);
}

/* ---- memories ---- */

static void memory_immediate(struct generator *g, const struct row *r, uint32_t memory)
{
    static const uint64_t far[] = {65528,      65535,      65536,      0x1ffff8,    0x200000,
                                   0x1fffffff, 0xfffffff0, 0xffffffff, 0x100000000, UINT64_MAX};
    bool one_lane = r->imm >= IMM_MEM8_LANE;
    uint32_t width = (uint32_t)(r->imm - (one_lane ? IMM_MEM8_LANE : IMM_MEM8));
    uint32_t align = gen_choose(g, width + 1);
    bool named = memory > 0 || gen_choose(g, 8) == 1;
    gen_leb(g, align | (named ? MEMARG_HAS_MEMORY : 0));
    if (named)
        gen_leb(g, memory);
    uint64_t offset = gen_choose(g, 200);
    if (gen_choose(g, 10) == 1)
        offset = far[gen_choose(g, ARRAY_LEN(far))];
    gen_leb(g, g->memories[memory].is64 ? offset : (uint32_t)offset);
    if (one_lane)
        buf_byte(g->code, (uint8_t)gen_choose(g, 16u >> width));
}

static void access_memory(struct generator *g)
{
    if (g->nmemories == 0)
        return;
    const struct row *r = choose_row(g, is_memory_row);
    uint32_t memory = gen_choose(g, g->nmemories);
    uint8_t types[OPERANDS_MAX], result, address = index_type(g->memories[memory].is64);
    uint32_t n = operands(r->sig, address, types, &result);
    bool near = gen_choose(g, 2);
    if (gen_need(g, types, near ? 1 : n)) {
        if (near)
            mask(g, address, 0xffff);
        if (near && n == 2)
            gen_make(g, types[1]);
        gen_settle(g);
        g->sp -= n;
    } else if (near && n == 2) {
        gen_make(g, types[1]);
        g->sp--;
    }
    gen_op(g, r->op);
    memory_immediate(g, r, memory);
    if (result)
        gen_push(g, result, false);
}

static void size_or_grow(struct generator *g, uint32_t memory, uint8_t address)
{
    bool grow = gen_choose(g, 2);
    if (grow) {
        gen_take(g, &address, 1);
        maybe_mask(g, address, 1);
    }
    gen_op(g, grow ? OP_MEMORY_GROW : OP_MEMORY_SIZE);
    gen_leb(g, memory);
    gen_push(g, address, false);
}

static void copy_memory(struct generator *g, uint32_t to)
{
    uint32_t from = gen_choose(g, g->nmemories);
    bool to64 = g->memories[to].is64, from64 = g->memories[from].is64;
    const uint8_t types[] = {index_type(to64), index_type(from64), index_type(to64 && from64)};
    gen_take(g, types, 3);
    maybe_mask(g, types[2], 0x1ff);
    gen_op(g, OP_MEMORY_COPY);
    gen_leb(g, to);
    gen_leb(g, from);
}

static void bulk_memory(struct generator *g)
{
    if (g->nmemories == 0)
        return;
    uint32_t memory = gen_choose(g, g->nmemories);
    uint8_t address = index_type(g->memories[memory].is64);
    switch (gen_choose(g, 5)) {
    case 0:
        size_or_grow(g, memory, address);
        break;
    case 1:
        copy_memory(g, memory);
        break;
    case 2:
        gen_take(g, (const uint8_t[]){address, WASM_I32, address}, 3);
        maybe_mask(g, address, gen_choose(g, 4) ? 0xff : 0x1ffff);
        gen_op(g, OP_MEMORY_FILL);
        gen_leb(g, memory);
        break;
    case 3:
        if (g->ndatas == 0)
            break;
        gen_take(g, (const uint8_t[]){address, WASM_I32, WASM_I32}, 3);
        maybe_mask(g, WASM_I32, 15);
        gen_op(g, OP_MEMORY_INIT);
        gen_leb(g, gen_choose(g, g->ndatas));
        gen_leb(g, memory);
        break;
    default:
        if (g->ndatas == 0 || gen_choose(g, 3))
            break;
        gen_op(g, OP_DATA_DROP);
        gen_leb(g, gen_choose(g, g->ndatas));
    }
}

/* ---- tables and references ---- */

static void table_copy_or_init(struct generator *g, uint32_t table)
{
    const struct gen_table *t = &g->tables[table];
    uint8_t index = index_type(t->is64);
    uint32_t other = gen_choose(g, g->ntables);
    if (gen_choose(g, 2) && g->tables[other].elem == t->elem) {
        bool both64 = t->is64 && g->tables[other].is64;
        gen_take(g, (const uint8_t[]){index, index_type(g->tables[other].is64), index_type(both64)},
                 3);
        maybe_mask(g, index_type(both64), 3);
        gen_op(g, OP_TABLE_COPY);
        gen_leb(g, table);
        gen_leb(g, other);
        return;
    }
    uint32_t segment = g->nelems ? gen_choose(g, g->nelems) : 0;
    if (g->nelems == 0 || g->elem_types[segment] != t->elem)
        return;
    if (gen_choose(g, 8) == 1) {
        gen_op(g, OP_ELEM_DROP);
        gen_leb(g, segment);
        return;
    }
    gen_take(g, (const uint8_t[]){index, WASM_I32, WASM_I32}, 3);
    maybe_mask(g, WASM_I32, 3);
    gen_op(g, OP_TABLE_INIT);
    gen_leb(g, segment);
    gen_leb(g, table);
}

static void use_table(struct generator *g)
{
    if (g->ntables == 0)
        return;
    uint32_t table = gen_choose(g, g->ntables);
    const struct gen_table *t = &g->tables[table];
    uint8_t index = index_type(t->is64);
    uint32_t op = OP_TABLE_SIZE;
    switch (gen_choose(g, 6)) {
    case 0:
        op = OP_TABLE_GET;
        gen_take(g, &index, 1);
        maybe_mask(g, index, 7);
        break;
    case 1:
        op = OP_TABLE_SET;
        gen_take(g, (const uint8_t[]){index, t->elem}, 2);
        break;
    case 2:
        op = OP_TABLE_GROW;
        gen_take(g, (const uint8_t[]){t->elem, index}, 2);
        maybe_mask(g, index, 3);
        break;
    case 3:
        op = OP_TABLE_FILL;
        gen_take(g, (const uint8_t[]){index, t->elem, index}, 3);
        maybe_mask(g, index, 3);
        break;
    case 4:
        table_copy_or_init(g, table);
        return;
    default:
        break;
    }
    gen_op(g, op);
    gen_leb(g, table);
    if (op == OP_TABLE_GET)
        gen_push(g, t->elem, false);
    else if (op == OP_TABLE_SIZE || op == OP_TABLE_GROW)
        gen_push(g, index, false);
}

static void use_reference(struct generator *g)
{
    static const uint8_t types[] = {WASM_FUNCREF, WASM_EXTERNREF, WASM_FUNCREF, WASM_EXNREF};
    uint8_t type = types[gen_choose(g, sizeof types)];
    if (gen_choose(g, 6) == 1) {
        gen_take(g, &type, 1);
        gen_op(g, OP_REF_AS_NON_NULL);
        gen_push(g, type, false);
        return;
    }
    gen_take(g, &type, 1);
    gen_op(g, OP_REF_IS_NULL);
    gen_push(g, WASM_I32, false);
}

/* ---- variables and operands ---- */

static void set_local(struct generator *g)
{
    if (g->scratch == 0)
        return;
    uint32_t local = gen_choose(g, g->scratch);
    bool tee = gen_choose(g, 3) == 1;
    gen_take(g, &g->locals[local], 1);
    gen_op(g, tee ? OP_LOCAL_TEE : OP_LOCAL_SET);
    gen_leb(g, local);
    if (tee)
        gen_push(g, g->locals[local], true);
}

static void set_global(struct generator *g)
{
    uint32_t global = g->nglobals ? gen_choose(g, g->nglobals) : 0;
    if (g->nglobals == 0 || !g->globals[global].mutable_)
        return;
    gen_take(g, &g->globals[global].type, 1);
    gen_op(g, OP_GLOBAL_SET);
    gen_leb(g, global);
}

static void make_one(struct generator *g)
{
    gen_make(g, gen_value_type(g));
}

static void drop(struct generator *g)
{
    if (g->sp == gen_top(g)->height)
        return;
    gen_op(g, OP_DROP);
    g->sp--;
}

static void run_select(struct generator *g)
{
    uint8_t type = g->sp > gen_top(g)->height ? g->stack[g->sp - 1] : gen_value_type(g);
    bool typed = gen_is_ref(type) || gen_choose(g, 4) == 1;
    gen_take(g, (const uint8_t[]){type, type, WASM_I32}, 3);
    gen_op(g, typed ? OP_SELECT_T : OP_SELECT);
    if (typed) {
        gen_leb(g, 1);
        buf_byte(g->code, type);
    }
    gen_push(g, type, true);
}

/* ---- blocks and branches ---- */

static void open_block(struct generator *g)
{
    static const uint8_t kinds[] = {OP_BLOCK, OP_IF, OP_LOOP, OP_BLOCK, OP_IF};
    uint8_t op = kinds[gen_choose(g, sizeof kinds)];
    if (g->nlabels == GEN_LABELS_MAX)
        return;
    struct gen_type type = {.nparams = 0};
    uint32_t form = gen_choose(g, 4), index = gen_choose(g, g->ntypes);
    if (form == 1) {
        type.nresults = 1;
        type.results[0] = gen_value_type(g);
    } else if (form > 1) {
        type = g->types[index];
    }
    uint8_t types[GEN_VALUES_MAX + 1];
    memcpy(types, type.params, type.nparams);
    types[type.nparams] = WASM_I32;
    gen_take(g, types, type.nparams + (op == OP_IF));
    gen_op(g, op);
    if (form == 0)
        buf_byte(g->code, 0x40);
    else if (form == 1)
        buf_byte(g->code, type.results[0]);
    else
        buf_leb_s64(g->code, index);
    gen_open(g, op, &type, 0);
}

static void count_down(struct generator *g)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < g->nlabels; i++)
        used += g->labels[i].counter != 0;
    if (g->nlabels == GEN_LABELS_MAX || used == SCRATCH_LOCALS - SCRATCH_COUNTERS)
        return;
    uint32_t counter = g->scratch + SCRATCH_COUNTERS + used;
    gen_op(g, OP_I32_CONST);
    buf_leb_s64(g->code, (int64_t)(2 + gen_choose(g, 10)));
    gen_op(g, OP_LOCAL_SET);
    gen_leb(g, counter);
    gen_op(g, OP_LOOP);
    buf_byte(g->code, 0x40);
    gen_open(g, OP_LOOP, &(struct gen_type){.nparams = 0}, counter);
}

static void close_block(struct generator *g)
{
    if (g->nlabels > 1)
        gen_close(g);
}

/* What a branch to the label takes along. */
static const uint8_t *label_types(const struct gen_label *l, uint32_t *n)
{
    *n = l->op == OP_LOOP ? l->type.nparams : l->type.nresults;
    return l->op == OP_LOOP ? l->type.params : l->type.results;
}

static const struct gen_label *choose_label(struct generator *g, uint32_t *depth)
{
    *depth = gen_choose(g, g->nlabels);
    return &g->labels[g->nlabels - 1 - *depth];
}

static void branch(struct generator *g)
{
    uint32_t depth, n;
    const uint8_t *types = label_types(choose_label(g, &depth), &n);
    gen_take(g, types, n);
    gen_op(g, OP_BR);
    gen_leb(g, depth);
    gen_dead(g);
}

static void branch_if(struct generator *g)
{
    uint32_t depth, n;
    const uint8_t *label = label_types(choose_label(g, &depth), &n);
    uint8_t types[GEN_VALUES_MAX + 1];
    memcpy(types, label, n);
    types[n] = WASM_I32;
    gen_take(g, types, n + 1);
    gen_op(g, OP_BR_IF);
    gen_leb(g, depth);
    gen_push_all(g, label, n);
}

static void branch_null(struct generator *g)
{
    uint32_t depth, n;
    const uint8_t *label = label_types(choose_label(g, &depth), &n);
    uint8_t types[GEN_VALUES_MAX + 1];
    memcpy(types, label, n);
    if (n > 0 && gen_is_ref(label[n - 1])) {
        gen_take(g, types, n);
        gen_op(g, OP_BR_ON_NON_NULL);
        gen_leb(g, depth);
        gen_push_all(g, label, n - 1);
        return;
    }
    types[n] = WASM_FUNCREF;
    gen_take(g, types, n + 1);
    gen_op(g, OP_BR_ON_NULL);
    gen_leb(g, depth);
    gen_push_all(g, types, n + 1);
}

static void branch_table(struct generator *g)
{
    uint32_t depth, n, count = gen_choose(g, 5);
    const uint8_t *label = label_types(choose_label(g, &depth), &n);
    uint8_t types[GEN_VALUES_MAX + 1];
    memcpy(types, label, n);
    types[n] = WASM_I32;
    gen_take(g, types, n + 1);
    maybe_mask(g, WASM_I32, 3);
    gen_op(g, OP_BR_TABLE);
    gen_leb(g, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t other, k;
        const uint8_t *others = label_types(choose_label(g, &other), &k);
        gen_leb(g, k == n && memcmp(others, label, n) == 0 ? other : depth);
    }
    gen_leb(g, depth);
    gen_dead(g);
}

static void leave_function(struct generator *g)
{
    if (gen_choose(g, 8) == 1) {
        gen_op(g, OP_UNREACHABLE);
    } else {
        gen_take(g, g->type->results, g->type->nresults);
        gen_op(g, OP_RETURN);
    }
    gen_dead(g);
}

/* ---- exceptions ---- */

/* What a clause leaves for its label. */
static struct gen_type caught(const struct generator *g, uint32_t kind, uint32_t tag)
{
    struct gen_type t = {.nparams = 0};
    if (!(kind & CATCH_ALL))
        return g->types[g->tags[tag] + (kind & CATCH_REF ? 2 : 1)];
    if (kind & CATCH_REF)
        t.results[t.nresults++] = WASM_EXNREF;
    return t;
}

static bool same_results(const struct gen_type *a, const struct gen_type *b)
{
    return a->nresults == b->nresults && memcmp(a->results, b->results, a->nresults) == 0;
}

static void put_clause(struct generator *g, uint32_t kind, uint32_t tag, uint32_t depth)
{
    gen_leb(g, kind);
    if (!(kind & CATCH_ALL))
        gen_leb(g, tag);
    gen_leb(g, depth);
}

/* Clauses of any kind for labels that want just that, and one for the block right outside. */
static void put_clauses(struct generator *g, uint32_t kind, uint32_t tag)
{
    struct buf more = BUF_INIT, *code = g->code;
    uint32_t n = 1;
    g->code = &more;
    for (uint32_t i = gen_choose(g, 3); i > 0; i--) {
        uint32_t k = gen_choose(g, CATCH_KINDS), t = g->ntags ? gen_choose(g, g->ntags) : 0;
        uint32_t depth = gen_choose(g, g->nlabels);
        const struct gen_label *l = &g->labels[g->nlabels - 1 - depth];
        struct gen_type want = {.nparams = 0};
        if (g->ntags == 0)
            k |= CATCH_ALL;
        want = caught(g, k, t);
        if (l->op == OP_LOOP ? l->type.nparams + want.nresults > 0 : !same_results(&l->type, &want))
            continue;
        put_clause(g, k, t, depth);
        n++;
    }
    g->code = code;
    gen_leb(g, n);
    buf_put(code, more.p, more.n);
    buf_fini(&more);
    put_clause(g, kind, tag, 0);
}

static void try_something(struct generator *g)
{
    uint32_t kind = gen_choose(g, CATCH_KINDS), tag = g->ntags ? gen_choose(g, g->ntags) : 0;
    if (g->nlabels + 2 > GEN_LABELS_MAX)
        return;
    if (g->ntags == 0)
        kind |= CATCH_ALL;
    struct gen_type type = caught(g, kind, tag);
    gen_op(g, OP_BLOCK);
    if (!(kind & CATCH_ALL))
        buf_leb_s64(g->code, g->tags[tag] + (kind & CATCH_REF ? 2 : 1));
    else
        buf_byte(g->code, kind & CATCH_REF ? WASM_EXNREF : 0x40);
    gen_open(g, OP_BLOCK, &type, 0);
    gen_op(g, OP_TRY_TABLE);
    buf_byte(g->code, 0x40);
    put_clauses(g, kind, tag);
    gen_open(g, OP_BLOCK, &(struct gen_type){.nparams = 0}, 0);
}

static void throw_something(struct generator *g)
{
    bool by_reference = gen_choose(g, 4) == 1;
    if (g->ntags == 0 && !by_reference)
        return;
    if (by_reference) {
        gen_take(g, (const uint8_t[]){WASM_EXNREF}, 1);
        gen_op(g, OP_THROW_REF);
    } else {
        uint32_t tag = gen_choose(g, g->ntags);
        const struct gen_type *t = &g->types[g->tags[tag]];
        gen_take(g, t->params, t->nparams);
        gen_op(g, OP_THROW);
        gen_leb(g, tag);
    }
    gen_dead(g);
}

/* ---- calls ---- */

enum call_form { DIRECT, INDIRECT, BY_REFERENCE };

/* The instruction, arguments and what names the callee; a type or a function by form. */
static void call(struct generator *g, enum call_form form, uint32_t index, bool tail)
{
    uint32_t type = form == INDIRECT ? index : g->funcs[index];
    const struct gen_type *t = &g->types[type];
    uint8_t types[GEN_VALUES_MAX + 1];
    memcpy(types, t->params, t->nparams);
    types[t->nparams] = index_type(g->ntables && g->tables[0].is64);
    gen_take(g, types, t->nparams + (form == INDIRECT));
    if (form == INDIRECT) {
        maybe_mask(g, types[t->nparams], 7);
        gen_op(g, tail ? OP_RETURN_CALL_INDIRECT : OP_CALL_INDIRECT);
        gen_leb(g, type);
        gen_leb(g, 0);
    } else if (form == BY_REFERENCE) {
        gen_op(g, OP_REF_FUNC);
        gen_leb(g, index);
        gen_op(g, tail ? OP_RETURN_CALL_REF : OP_CALL_REF);
        gen_leb(g, type);
    } else {
        gen_op(g, tail ? OP_RETURN_CALL : OP_CALL);
        gen_leb(g, index);
    }
    if (tail)
        gen_dead(g);
    else
        gen_push_all(g, t->results, t->nresults);
}

static void run_call(struct generator *g)
{
    enum call_form form = (enum call_form)gen_choose(g, 3);
    if (form == INDIRECT && g->ntables == 0)
        form = DIRECT;
    uint32_t index = gen_choose(g, form == INDIRECT ? g->ntypes : g->nfuncs);
    const struct gen_type *t = &g->types[form == INDIRECT ? index : g->funcs[index]];
    bool tail = gen_choose(g, 4) == 1 && same_results(t, g->type);
    call(g, form, index, tail);
}

static void (*const actions[])(struct generator *g) = {
    number,          number,        number,    number,         number,        access_memory,
    access_memory,   set_local,     set_local, open_block,     count_down,    close_block,
    close_block,     branch_if,     branch_if, run_call,       run_select,    set_global,
    make_one,        branch_table,  drop,      bulk_memory,    use_table,     run_call,
    branch_null,     use_reference, branch,    leave_function, try_something, try_something,
    throw_something, vector,        vector,    vector,
};

void gen_action(struct generator *g)
{
    if (g->sp + STACK_ROOM > GEN_STACK_MAX) {
        drop(g);
        return;
    }
    actions[gen_choose(g, ARRAY_LEN(actions))](g);
}
