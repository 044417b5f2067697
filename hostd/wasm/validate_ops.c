/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions whose typing depends on an immediate or on the stack, and the immediates of all others.
 * Spec: WebAssembly core, "Instructions" of chapter 3. One function per rule, straight. */
#include "hostd/wasm/validate.h"

#include "lattice/base/num.h"

/* ---- immediates ---- */

/* An index below n; "unknown WHAT 7" otherwise. */
static bool read_index(struct validator *v, uint32_t n, const char *what, uint32_t *index)
{
    *index = rd_u32(&v->r);
    if (!rd_ok(&v->r))
        return false;
    return *index < n || val_fail(v, ERR_INVALID, "unknown %s %u", what, *index);
}

static bool read_memory(struct validator *v)
{
    uint32_t memory;
    if (!read_index(v, v->m->nmemories, "memory", &memory))
        return false;
    v->address = address_type(&v->m->memories[memory]);
    return true;
}

static bool read_table(struct validator *v, uint8_t *elem)
{
    uint32_t table;
    if (!read_index(v, v->m->ntables, "table", &table))
        return false;
    *elem = v->m->tables[table].elem;
    v->address = address_type(&v->m->tables[table].limits);
    return true;
}

static bool read_data(struct validator *v)
{
    uint32_t data;
    if (!v->m->has_data_count)
        return val_fail(v, ERR_INVALID, "data count section required");
    return read_index(v, v->m->data_count, "data segment", &data);
}

static bool read_elem(struct validator *v, uint8_t *type)
{
    uint32_t elem;
    if (!read_index(v, v->m->nelems, "elem segment", &elem))
        return false;
    *type = v->m->elems[elem].type;
    return true;
}

static bool read_memarg(struct validator *v, uint32_t natural)
{
    uint32_t flags = rd_u32(&v->r);
    if (flags >= 2 * MEMARG_HAS_MEMORY)
        return val_fail(v, ERR_INVALID, "malformed memop flags %u", flags);
    uint32_t align = flags & (MEMARG_HAS_MEMORY - 1);
    uint32_t memory = flags & MEMARG_HAS_MEMORY ? rd_u32(&v->r) : 0;
    bool known = memory < v->m->nmemories;
    v->address = known ? address_type(&v->m->memories[memory]) : WASM_I32;
    if (v->address == WASM_I64)
        rd_u64(&v->r); /* offset */
    else
        rd_u32(&v->r);
    if (!rd_ok(&v->r))
        return false;
    if (!known)
        return val_fail(v, ERR_INVALID, "unknown memory %u", memory);
    return align <= natural ||
           val_fail(v, ERR_INVALID, "alignment must not be larger than natural (2^%u)", align);
}

static bool read_lane(struct validator *v, uint32_t lanes)
{
    uint8_t lane = rd_u8(&v->r);
    if (!rd_ok(&v->r))
        return false;
    return lane < lanes || val_fail(v, ERR_INVALID, "invalid lane index %u", lane);
}

static bool read_shuffle(struct validator *v)
{
    for (int i = 0; i < 16; i++)
        if (!read_lane(v, 32))
            return false;
    return true;
}

static bool read_table_init(struct validator *v)
{
    uint8_t from, to;
    if (!read_elem(v, &from) || !read_table(v, &to))
        return false;
    return val_matches(v, from, to) ||
           val_fail(v, ERR_INVALID, "type mismatch: %s into a table of %s", type_name(from),
                    type_name(to));
}

bool val_immediate(struct validator *v, enum imm imm)
{
    uint8_t type;
    switch (imm) {
    case IMM_MEM8:
    case IMM_MEM16:
    case IMM_MEM32:
    case IMM_MEM64:
    case IMM_MEM128:
        return read_memarg(v, (uint32_t)(imm - IMM_MEM8));
    case IMM_MEM8_LANE:
    case IMM_MEM16_LANE:
    case IMM_MEM32_LANE:
    case IMM_MEM64_LANE:
        return read_memarg(v, (uint32_t)(imm - IMM_MEM8_LANE)) &&
               read_lane(v, 16u >> (imm - IMM_MEM8_LANE));
    case IMM_LANE16:
    case IMM_LANE8:
    case IMM_LANE4:
    case IMM_LANE2:
        return read_lane(v, 16u >> (imm - IMM_LANE16));
    case IMM_SHUFFLE:
        return read_shuffle(v);
    case IMM_V128:
        rd_bytes(&v->r, 16);
        return rd_ok(&v->r);
    case IMM_MEMORY:
        return read_memory(v);
    case IMM_DATA:
        return read_data(v);
    case IMM_DATA_MEMORY:
        return read_data(v) && read_memory(v);
    case IMM_ELEM:
        return read_elem(v, &type);
    case IMM_ELEM_TABLE:
        return read_table_init(v);
    case IMM_TABLE:
        return read_table(v, &type);
    case IMM_I32:
        rd_s32(&v->r);
        return rd_ok(&v->r);
    case IMM_I64:
        rd_s64(&v->r);
        return rd_ok(&v->r);
    case IMM_F32:
        rd_bytes(&v->r, 4);
        return rd_ok(&v->r);
    case IMM_F64:
        rd_bytes(&v->r, 8);
        return rd_ok(&v->r);
    default:
        return true;
    }
}

/* ---- blocks and branches ---- */

/* 0x40, a value type, or a type index. */
static bool read_block_type(struct validator *v, struct type_list *params,
                            struct type_list *results)
{
    *params = *results = (struct type_list){NULL, 0};
    uint8_t first = rd_peek(&v->r);
    if (first == 0x40) {
        rd_u8(&v->r);
        return true;
    }
    if ((first & 0xc0) == 0x40) {
        *results = (struct type_list){type_alone(rd_valtype(&v->r, v->m)), 1};
        return rd_ok(&v->r);
    }
    int64_t index = rd_s33(&v->r);
    if (!rd_ok(&v->r))
        return false;
    if (index < 0 || index >= v->m->ntypes)
        return val_fail(v, ERR_INVALID, "unknown type %lld", (long long)index);
    *params = type_params(&v->m->types[index]);
    *results = type_results(&v->m->types[index]);
    return true;
}

static bool check_block(struct validator *v, uint32_t op)
{
    struct type_list params, results;
    if (!read_block_type(v, &params, &results))
        return false;
    if (op == OP_IF && !val_pop(v, WASM_I32))
        return false;
    if (op == OP_LOOP)
        v->has_loops = true;
    return val_pop_list(v, params) && val_enter(v, (uint16_t)op, params, results);
}

static bool check_unreachable(struct validator *v)
{
    val_unreachable(v);
    return true;
}

static bool check_else(struct validator *v)
{
    struct block left;
    if (val_block(v)->op != OP_IF)
        return val_fail(v, ERR_INVALID, "not inside an if");
    return val_leave(v, &left) && val_enter(v, OP_ELSE, left.params, left.results);
}

static bool check_end(struct validator *v)
{
    struct block left;
    if (!val_leave(v, &left))
        return false;
    if (left.op == OP_IF && !val_lists_match(v, left.params, left.results))
        return val_fail(v, ERR_INVALID,
                        "type mismatch: an if without else must not change the stack");
    return v->nblocks == 0 || val_push_list(v, left.results);
}

/* Types that a branch to the label carries. */
static bool read_label(struct validator *v, struct type_list *types)
{
    uint32_t depth;
    if (!read_index(v, v->nblocks, "label", &depth))
        return false;
    const struct block *target = &v->blocks[v->nblocks - 1 - depth];
    *types = target->op == OP_LOOP ? target->params : target->results;
    return true;
}

static bool check_br(struct validator *v)
{
    struct type_list types;
    if (!read_label(v, &types) || !val_pop_list(v, types))
        return false;
    val_unreachable(v);
    return true;
}

static bool check_br_if(struct validator *v)
{
    struct type_list types;
    return read_label(v, &types) && val_pop(v, WASM_I32) && val_pop_list(v, types) &&
           val_push_list(v, types);
}

/* Each target must take the operands on the stack: they are popped and put back as they were. */
static bool check_br_table_target(struct validator *v, struct type_list types)
{
    uint32_t height = v->height;
    if (!val_pop_list(v, types))
        return false;
    v->height = height; /* popping leaves the types in place */
    return true;
}

static bool check_br_table(struct validator *v)
{
    uint32_t n = rd_count(&v->r, 1, UINT32_MAX - 1, "br_table targets");
    if (!rd_ok(&v->r) || !val_pop(v, WASM_I32))
        return false;
    struct type_list first = {NULL, 0}, types;
    for (uint32_t i = 0; i <= n; i++) { /* the default target is the last */
        if (!read_label(v, &types))
            return false;
        first = i == 0 ? types : first;
        if (types.n != first.n)
            return val_fail(v, ERR_INVALID, "type mismatch: targets take %u and %u values", first.n,
                            types.n);
        if (!check_br_table_target(v, types))
            return false;
    }
    val_unreachable(v);
    return true;
}

static bool check_return(struct validator *v)
{
    if (!val_pop_list(v, v->blocks[0].results))
        return false;
    val_unreachable(v);
    return true;
}

/* ---- exceptions ---- */

static bool read_tag(struct validator *v, struct type_list *params)
{
    uint32_t tag;
    if (!read_index(v, v->m->ntags, "tag", &tag))
        return false;
    *params = type_params(&v->m->types[v->m->tags[tag]]);
    return true;
}

static bool check_throw(struct validator *v)
{
    struct type_list params;
    if (!read_tag(v, &params) || !val_pop_list(v, params))
        return false;
    val_unreachable(v);
    return true;
}

static bool check_throw_ref(struct validator *v)
{
    if (!val_pop(v, WASM_EXNREF))
        return false;
    val_unreachable(v);
    return true;
}

/* What the clause catches must be what its label takes. It is pushed and popped, so that the frame has room
 * for it. */
static bool check_catch(struct validator *v)
{
    struct type_list caught = {NULL, 0}, types;
    uint8_t kind = rd_u8(&v->r);
    if (rd_ok(&v->r) && kind >= CATCH_KINDS)
        return val_fail(v, ERR_INVALID, "malformed catch clause 0x%02x", kind);
    if (!(kind & CATCH_ALL) && !read_tag(v, &caught))
        return false;
    if (!read_label(v, &types))
        return false;
    uint32_t n = caught.n + (kind & CATCH_REF);
    if (types.n != n)
        return val_fail(v, ERR_INVALID, "type mismatch: %u values are caught, the label takes %u",
                        n, types.n);
    return val_push_list(v, caught) && (!(kind & CATCH_REF) || val_push(v, TYPE_REF_EXN)) &&
           val_pop_list(v, types);
}

/* The labels of the clauses are counted from outside of the block. */
static bool check_try_table(struct validator *v)
{
    struct type_list params, results;
    if (!read_block_type(v, &params, &results))
        return false;
    uint32_t n = rd_count(&v->r, 2, UINT32_MAX, "catch clauses");
    for (uint32_t i = 0; i < n && rd_ok(&v->r); i++)
        if (!check_catch(v))
            return false;
    return rd_ok(&v->r) && val_pop_list(v, params) && val_enter(v, OP_BLOCK, params, results);
}

static bool check_exception(struct validator *v, uint32_t op)
{
    switch (op) {
    case OP_THROW:
        return check_throw(v);
    case OP_THROW_REF:
        return check_throw_ref(v);
    case OP_TRY_TABLE:
        return check_try_table(v);
    default: /* a row with "*" and no rule here */
        return val_fail(v, ERR_INVALID, "has no typing rule");
    }
}

/* ---- calls ---- */

static bool apply_call(struct validator *v, const struct wasm_functype *t, bool is_tail)
{
    if (!val_pop_list(v, type_params(t)))
        return false;
    if (!is_tail)
        return val_push_list(v, type_results(t));
    if (!val_lists_match(v, type_results(t), v->blocks[0].results))
        return val_fail(v, ERR_INVALID, "type mismatch: the callee's results are not the caller's");
    if (!val_push_list(v, type_results(t))) /* a host's: they come back to the frame */
        return false;
    val_unreachable(v);
    return true;
}

static bool check_call(struct validator *v, bool is_tail)
{
    uint32_t func;
    return read_index(v, v->m->nfuncs, "function", &func) &&
           apply_call(v, &v->m->types[v->m->funcs[func].type], is_tail);
}

static bool check_call_indirect(struct validator *v, bool is_tail)
{
    uint32_t type;
    uint8_t elem;
    if (!read_index(v, v->m->ntypes, "type", &type) || !read_table(v, &elem))
        return false;
    if (!val_matches(v, elem, WASM_FUNCREF))
        return val_fail(v, ERR_INVALID, "type mismatch: needs a table of funcref, found %s",
                        type_name(elem));
    return val_pop(v, v->address) && apply_call(v, &v->m->types[type], is_tail);
}

static bool check_call_ref(struct validator *v, bool is_tail)
{
    uint32_t type;
    if (!read_index(v, v->m->ntypes, "type", &type))
        return false;
    uint8_t ref = type_ref(&v->r, v->m, type, true);
    return rd_ok(&v->r) && val_pop(v, ref) && apply_call(v, &v->m->types[type], is_tail);
}

/* ---- parametric ---- */

static bool check_drop(struct validator *v)
{
    return val_pop(v, TYPE_ANY);
}

static bool check_select(struct validator *v)
{
    uint8_t a, b;
    if (!val_pop(v, WASM_I32) || !val_pop_any(v, &b) || !val_pop_any(v, &a))
        return false;
    if (type_is_ref(a) || type_is_ref(b))
        return val_fail(v, ERR_INVALID, "type mismatch: references need a select with a type");
    if (a != b && a != TYPE_ANY && b != TYPE_ANY)
        return val_fail(v, ERR_INVALID, "type mismatch: %s and %s", type_name(a), type_name(b));
    return val_push(v, a == TYPE_ANY ? b : a);
}

static bool check_select_typed(struct validator *v)
{
    uint32_t n = rd_u32(&v->r);
    if (rd_ok(&v->r) && n != 1)
        return val_fail(v, ERR_INVALID, "invalid result arity %u", n);
    uint8_t type = rd_valtype(&v->r, v->m);
    return rd_ok(&v->r) && val_pop(v, WASM_I32) && val_pop(v, type) && val_pop(v, type) &&
           val_push(v, type);
}

/* ---- variables ---- */

static bool check_local(struct validator *v, uint32_t op)
{
    uint32_t index;
    if (!read_index(v, v->func->nlocals, "local", &index))
        return false;
    uint8_t type = v->func->locals[index];
    if (v->unset && v->unset[index]) {
        if (op == OP_LOCAL_GET)
            return val_fail(v, ERR_INVALID, "uninitialized local %u", index);
        v->unset[index] = false;
        v->set[v->nset++] = index;
    }
    return (op == OP_LOCAL_GET || val_pop(v, type)) && (op == OP_LOCAL_SET || val_push(v, type));
}

static bool check_global_get(struct validator *v)
{
    uint32_t index;
    if (!read_index(v, v->func ? v->m->nglobals : v->nglobals, "global", &index))
        return false;
    const struct global_type *g = &v->m->globals[index];
    if (!v->func && g->mutable_)
        return val_fail(v, ERR_INVALID, "constant expression required, global %u is mutable",
                        index);
    return val_push(v, g->type);
}

static bool check_global_set(struct validator *v)
{
    uint32_t index;
    if (!read_index(v, v->m->nglobals, "global", &index))
        return false;
    const struct global_type *g = &v->m->globals[index];
    if (!g->mutable_)
        return val_fail(v, ERR_INVALID, "global %u is immutable", index);
    return val_pop(v, g->type);
}

/* ---- memories, tables and references ---- */

/* [to from n] -> []: the number is of the narrower one's type */
static bool pop_copy(struct validator *v, uint8_t to, uint8_t from)
{
    uint8_t n = to == WASM_I64 && from == WASM_I64 ? WASM_I64 : WASM_I32;
    return val_pop(v, n) && val_pop(v, from) && val_pop(v, to);
}

static bool check_memory_copy(struct validator *v)
{
    if (!read_memory(v))
        return false;
    uint8_t to = v->address;
    return read_memory(v) && pop_copy(v, to, v->address);
}

static bool check_table_copy(struct validator *v)
{
    uint8_t to, from;
    if (!read_table(v, &to))
        return false;
    uint8_t to_address = v->address;
    if (!read_table(v, &from))
        return false;
    if (!val_matches(v, from, to))
        return val_fail(v, ERR_INVALID, "type mismatch: %s into a table of %s", type_name(from),
                        type_name(to));
    return pop_copy(v, to_address, v->address);
}

static bool check_table_get(struct validator *v)
{
    uint8_t elem;
    return read_table(v, &elem) && val_pop(v, v->address) && val_push(v, elem);
}

static bool check_table_set(struct validator *v)
{
    uint8_t elem;
    return read_table(v, &elem) && val_pop(v, elem) && val_pop(v, v->address);
}

static bool check_table_grow(struct validator *v)
{
    uint8_t elem;
    return read_table(v, &elem) && val_pop(v, v->address) && val_pop(v, elem) &&
           val_push(v, v->address);
}

static bool check_table_fill(struct validator *v)
{
    uint8_t elem;
    return read_table(v, &elem) && val_pop(v, v->address) && val_pop(v, elem) &&
           val_pop(v, v->address);
}

static bool check_ref_null(struct validator *v)
{
    uint8_t type = rd_heaptype(&v->r, v->m, true);
    return rd_ok(&v->r) && val_push(v, type);
}

static bool check_ref_is_null(struct validator *v)
{
    struct operand ref;
    return val_pop_ref(v, &ref) && val_push(v, WASM_I32);
}

static bool check_as_non_null(struct validator *v)
{
    struct operand ref;
    if (!val_pop_ref(v, &ref))
        return false;
    ref.type = type_not_null(ref.type);
    return val_push_operand(v, ref);
}

/* [t* ref] -> [t* ref], not null, and a branch with t* */
static bool check_br_on_null(struct validator *v)
{
    struct type_list types;
    struct operand ref;
    if (!read_label(v, &types) || !val_pop_ref(v, &ref) || !val_pop_list(v, types))
        return false;
    ref.type = type_not_null(ref.type);
    return val_push_list(v, types) && val_push_operand(v, ref);
}

/* [t* ref] -> [t*], and a branch with all of them when the reference is not null */
static bool check_br_on_non_null(struct validator *v)
{
    struct type_list types;
    struct operand ref;
    if (!read_label(v, &types) || !val_pop_ref(v, &ref))
        return false;
    ref.type = type_not_null(ref.type);
    if (types.n == 0 || !type_is_ref(types.types[types.n - 1]))
        return val_fail(v, ERR_INVALID, "type mismatch: the label takes no reference");
    struct type_list others = {types.types, types.n - 1};
    return val_push_operand(v, ref) && val_pop_list(v, types) && val_push_list(v, others);
}

/* A constant expression declares what it names; a body may only name what is declared. */
static bool check_ref_func(struct validator *v)
{
    uint32_t func;
    if (!read_index(v, v->m->nfuncs, "function", &func))
        return false;
    if (!v->func)
        v->m->funcs[func].declared = true;
    if (!v->m->funcs[func].declared)
        return val_fail(v, ERR_INVALID, "undeclared function reference %u", func);
    return val_push_operand(
        v, (struct operand){.type = TYPE_REF_FUNC, .func = v->m->funcs[func].type});
}

bool val_special(struct validator *v, uint32_t op)
{
    switch (op) {
    case OP_UNREACHABLE:
        return check_unreachable(v);
    case OP_BLOCK:
    case OP_LOOP:
    case OP_IF:
        return check_block(v, op);
    case OP_ELSE:
        return check_else(v);
    case OP_END:
        return check_end(v);
    case OP_BR:
        return check_br(v);
    case OP_BR_IF:
        return check_br_if(v);
    case OP_BR_TABLE:
        return check_br_table(v);
    case OP_RETURN:
        return check_return(v);
    case OP_CALL:
    case OP_RETURN_CALL:
        return check_call(v, op == OP_RETURN_CALL);
    case OP_CALL_INDIRECT:
    case OP_RETURN_CALL_INDIRECT:
        return check_call_indirect(v, op == OP_RETURN_CALL_INDIRECT);
    case OP_CALL_REF:
    case OP_RETURN_CALL_REF:
        return check_call_ref(v, op == OP_RETURN_CALL_REF);
    case OP_DROP:
        return check_drop(v);
    case OP_SELECT:
        return check_select(v);
    case OP_SELECT_T:
        return check_select_typed(v);
    case OP_LOCAL_GET:
    case OP_LOCAL_SET:
    case OP_LOCAL_TEE:
        return check_local(v, op);
    case OP_GLOBAL_GET:
        return check_global_get(v);
    case OP_GLOBAL_SET:
        return check_global_set(v);
    case OP_MEMORY_COPY:
        return check_memory_copy(v);
    case OP_TABLE_COPY:
        return check_table_copy(v);
    case OP_TABLE_GET:
        return check_table_get(v);
    case OP_TABLE_SET:
        return check_table_set(v);
    case OP_TABLE_GROW:
        return check_table_grow(v);
    case OP_TABLE_FILL:
        return check_table_fill(v);
    case OP_REF_NULL:
        return check_ref_null(v);
    case OP_REF_IS_NULL:
        return check_ref_is_null(v);
    case OP_REF_AS_NON_NULL:
        return check_as_non_null(v);
    case OP_BR_ON_NULL:
        return check_br_on_null(v);
    case OP_BR_ON_NON_NULL:
        return check_br_on_non_null(v);
    case OP_REF_FUNC:
        return check_ref_func(v);
    default:
        return check_exception(v, op);
    }
}
