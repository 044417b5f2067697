/* SPDX-License-Identifier: Apache-2.0 */
/* Validation of a decoded module. Spec: WebAssembly core, chapter 3 "Validation" and its appendix
 * "Validation Algorithm".
 *
 * Owns: the checks between sections, the operand and block stacks, and the walk over a body; instructions
 * with rules of their own are in validate_ops.c, all others follow from their row in opcodes.def. Which body
 * is checked when and by whom is validate_bodies.c.
 * Keeps: one pass over each body; both stacks are bounded and on the heap, so guest input never recurses;
 * time is linear in the file (work_left bounds what long signatures may multiply). */
#include "hostd/wasm/validate.h"

#include <stdio.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define WORK_PIECE 65536  /* types between two looks at the module's allowance */
#define PAGES32_MAX 65536 /* 4 GiB: what 32-bit addresses reach */
#define PAGES64_MAX ((uint64_t)1 << 48)

/* ---- operand and block stacks ---- */

bool val_fail(struct validator *v, enum err_code code, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (rd_ok(&v->r) && v->op_at)
        v->r.p = v->op_at;
    return rd_fail(&v->r, code, "%s: %s", v->op_text, text);
}

bool val_matches(const struct validator *v, uint8_t have, uint8_t want)
{
    const struct wasm_type_refs *refs = &v->m->type_refs;
    return have == want || have == TYPE_ANY || want == TYPE_ANY ||
           type_matches((struct type_in){have, refs}, (struct type_in){want, refs});
}

bool val_lists_match(const struct validator *v, struct type_list have, struct type_list want)
{
    if (have.n != want.n)
        return false;
    for (uint32_t i = 0; i < have.n; i++)
        if (!val_matches(v, have.types[i], want.types[i]))
            return false;
    return true;
}

/* Is it a function of just the type that is wanted? */
static bool names_func(const struct validator *v, struct operand o, uint8_t want)
{
    const struct wasm_type_refs *refs = &v->m->type_refs;
    return o.func != NO_FUNC && type_is_indexed(want) &&
           wasm_functype_eq(&v->m->types[o.func], &refs->all[refs->indices[type_entry(want)]]);
}

static void grow_operands(struct validator *v)
{
    v->operands_cap = v->operands_cap ? 2 * v->operands_cap : 64;
    v->operands = xrealloc(v->operands, v->operands_cap * sizeof *v->operands);
}

bool val_push_operand(struct validator *v, struct operand operand)
{
    uint32_t below = v->height ? v->operands[v->height - 1].top : 0;
    operand.top = below + type_slots(operand.type);
    if (operand.top > v->slots_limit)
        return val_fail(v, ERR_LIMIT, "more than %u operands on the stack", v->slots_limit);
    if (v->height == v->operands_cap)
        grow_operands(v);
    v->operands[v->height++] = operand;
    v->max_slots = MAX(v->max_slots, operand.top);
    return true;
}

bool val_push(struct validator *v, uint8_t type)
{
    return val_push_operand(v, (struct operand){.type = type, .func = NO_FUNC});
}

bool val_pop(struct validator *v, uint8_t want)
{
    if (v->height > val_block(v)->height) {
        struct operand o = v->operands[--v->height];
        if (o.type == want || val_matches(v, o.type, want) || names_func(v, o, want))
            return true;
        return val_fail(v, ERR_INVALID, "type mismatch: wants %s, found %s", type_name(want),
                        type_name(o.type));
    }
    if (val_block(v)->unreachable)
        return true;
    return val_fail(v, ERR_INVALID, "type mismatch: wants %s, the stack is empty", type_name(want));
}

bool val_pop_any(struct validator *v, uint8_t *type)
{
    bool have = v->height > val_block(v)->height;
    *type = have ? v->operands[v->height - 1].type : TYPE_ANY;
    return val_pop(v, TYPE_ANY);
}

bool val_pop_ref(struct validator *v, struct operand *operand)
{
    struct operand o = {.type = TYPE_ANY, .func = NO_FUNC};
    if (v->height > val_block(v)->height)
        o = v->operands[v->height - 1];
    if (!val_pop(v, TYPE_ANY))
        return false;
    if (o.type == TYPE_ANY)
        o.type = TYPE_REF_ANY;
    *operand = o;
    return type_is_ref(o.type) ||
           val_fail(v, ERR_INVALID, "type mismatch: wants a reference, found %s",
                    type_name(o.type));
}

static bool settle_work(struct validator *v)
{
    uint64_t work = v->work,
             left = atomic_fetch_sub_explicit(v->work_left, work, memory_order_relaxed);
    v->work = 0;
    if (work <= left)
        return true;
    atomic_store_explicit(v->work_left, 0, memory_order_relaxed);
    return val_fail(v, ERR_LIMIT, "signatures too long for their number of uses");
}

static bool spend(struct validator *v, uint32_t n)
{
    v->work += n;
    return v->work < WORK_PIECE || settle_work(v);
}

bool val_push_list(struct validator *v, struct type_list l)
{
    for (uint32_t i = 0; i < l.n; i++)
        if (!val_push(v, l.types[i]))
            return false;
    return spend(v, l.n);
}

bool val_pop_list(struct validator *v, struct type_list l)
{
    for (uint32_t i = l.n; i > 0; i--)
        if (!val_pop(v, l.types[i - 1]))
            return false;
    return spend(v, l.n);
}

bool val_enter(struct validator *v, uint16_t op, struct type_list params, struct type_list results)
{
    if (v->nblocks == WASM_BLOCKS_MAX)
        return val_fail(v, ERR_LIMIT, "more than %u nested blocks", WASM_BLOCKS_MAX);
    if (v->nblocks == v->blocks_cap) {
        v->blocks_cap = v->blocks_cap ? 2 * v->blocks_cap : 64;
        v->blocks = xrealloc(v->blocks, v->blocks_cap * sizeof *v->blocks);
    }
    v->blocks[v->nblocks++] = (struct block){params, results, v->height, v->nset, op, false};
    return val_push_list(v, params);
}

bool val_leave(struct validator *v, struct block *left)
{
    struct block block = *val_block(v);
    if (!val_pop_list(v, block.results))
        return false;
    if (v->height != block.height)
        return val_fail(v, ERR_INVALID, "type mismatch: %u values too many on the stack",
                        v->height - block.height);
    while (v->nset > block.nset)
        v->unset[v->set[--v->nset]] = true;
    v->nblocks--;
    *left = block;
    return true;
}

void val_unreachable(struct validator *v)
{
    v->height = val_block(v)->height;
    val_block(v)->unreachable = true;
}

/* ---- the walk over a body ---- */

static uint8_t type_of_letter(const struct validator *v, char letter)
{
    static const uint8_t by_letter[128] = {
        ['i'] = WASM_I32, ['l'] = WASM_I64, ['f'] = WASM_F32, ['d'] = WASM_F64, ['V'] = WASM_V128};
    return letter == 'a' ? v->address : by_letter[letter & 127];
}

static bool apply_signature(struct validator *v, const char *sig)
{
    const char *colon = strchr(sig, ':');
    for (const char *p = colon; p > sig; p--)
        if (!val_pop(v, type_of_letter(v, p[-1])))
            return false;
    return !colon[1] || val_push(v, type_of_letter(v, colon[1])); /* at most one result */
}

static bool check_instruction(struct validator *v)
{
    v->op_at = v->r.p;
    v->op_text = "opcode";
    uint32_t op = rd_opcode(&v->r);
    if (!rd_ok(&v->r))
        return false;
    const struct op_info *info = op_info(op);
    if (!info) {
        v->r.p = v->op_at;
        return op_refuse(&v->r, op);
    }
    v->op_text = info->text;
    if (info->sig[0] == '*')
        return val_special(v, op);
    return val_immediate(v, info->imm) && apply_signature(v, info->sig);
}

/* Instructions up to the `end` of the outermost block, which yields `results`. */
static bool check_code(struct validator *v, struct type_list results)
{
    v->op_at = NULL;
    v->op_text = "code";
    v->height = v->max_slots = v->nblocks = 0;
    v->has_loops = false;
    if (!val_enter(v, OP_BLOCK, (struct type_list){NULL, 0}, results))
        return false;
    while (v->nblocks > 0) {
        if (!rd_more(&v->r))
            return rd_fail(&v->r, ERR_INVALID, "unexpected end, END opcode expected");
        if (!check_instruction(v))
            return false;
    }
    if (rd_left(&v->r) > 0)
        return rd_fail(&v->r, ERR_INVALID, "%zu bytes behind the last end", rd_left(&v->r));
    return true;
}

static void start_reading(struct validator *v, struct span code)
{
    struct err *e = v->r.e;
    v->r = (struct reader){.p = code.p, .end = code.p + code.n, .start = v->m->bytes.p, .e = e};
}

/* ---- functions ---- */

/* Sum of the declared locals, parameters included. */
static bool count_locals(struct validator *v, const struct wasm_functype *type, struct func_decl *f)
{
    uint64_t total = type->nparams, slots = wasm_slots(type->types, type->nparams);
    uint32_t groups = rd_count(&v->r, 2, UINT32_MAX, "groups of locals");
    for (uint32_t i = 0; i < groups && rd_ok(&v->r); i++) {
        uint64_t n = rd_u32(&v->r);
        total += n;
        slots += n * type_slots(rd_valtype(&v->r, v->m));
        if (slots > v->m->limits.locals_max)
            return rd_fail(&v->r, ERR_LIMIT, "too many locals, the limit is %u",
                           v->m->limits.locals_max);
    }
    f->nlocals = (uint32_t)total;
    f->local_slots = (uint32_t)slots;
    return rd_ok(&v->r);
}

/* Types of parameters and locals in one array; a body without locals shares its type's. */
static bool read_locals(struct validator *v, struct func_decl *f)
{
    const struct wasm_functype *type = &v->m->types[f->type];
    struct reader again = v->r;
    if (!count_locals(v, type, f))
        return false;
    f->locals = type->types;
    if (f->nlocals == type->nparams)
        return true;
    pthread_mutex_lock(&v->m->grow_lock);
    uint8_t *locals = arena_alloc(&v->m->arena, f->nlocals, 1);
    pthread_mutex_unlock(&v->m->grow_lock);
    if (!locals)
        return arena_full(&v->m->arena, v->r.e);
    memcpy(locals, type->types, type->nparams);
    uint32_t at = type->nparams;
    for (uint32_t groups = rd_u32(&again); groups > 0; groups--) {
        uint32_t n = rd_u32(&again);
        memset(locals + at, rd_valtype(&again, v->m), n);
        at += n;
    }
    f->locals = locals;
    return true;
}

/* Locals without a default value: not to be read before they are set. */
static void note_unset(struct validator *v, const struct func_decl *f)
{
    uint32_t nparams = v->m->types[f->type].nparams;
    v->nset = 0;
    free(v->unset);
    free(v->set);
    v->unset = NULL;
    v->set = NULL;
    for (uint32_t i = nparams; i < f->nlocals; i++) {
        if (type_is_defaultable(f->locals[i]))
            continue;
        if (!v->unset) {
            v->unset = xcalloc(f->nlocals, sizeof *v->unset);
            v->set = xcalloc(f->nlocals, sizeof *v->set);
        }
        v->unset[i] = true;
    }
}

bool val_body(struct validator *v, struct func_decl *f)
{
    start_reading(v, f->body);
    if (!read_locals(v, f))
        return false;
    note_unset(v, f);
    f->code = (struct span){v->r.p, rd_left(&v->r)};
    v->func = f;
    v->slots_limit = WASM_HEIGHT_MAX;
    if (!check_code(v, type_results(&v->m->types[f->type])))
        return false;
    const struct wasm_functype *type = &v->m->types[f->type];
    uint32_t results = wasm_slots(type->types + type->nparams, type->nresults);
    f->max_height =
        MAX(v->max_slots, results); /* what is caught for the function itself comes there */
    f->frame_slots = f->local_slots + f->max_height;
    f->has_loops = v->has_loops;
    f->checked = true;
    return true;
}

/* ---- constant expressions ---- */

static bool check_const(struct validator *v, const struct const_expr *expr, uint8_t want,
                        uint32_t nglobals)
{
    start_reading(v, expr->code);
    v->func = NULL;
    v->nglobals = nglobals;
    v->slots_limit = WASM_CONST_HEIGHT_MAX;
    return check_code(v, (struct type_list){&want, 1});
}

static bool check_globals(struct validator *v, struct err *e)
{
    const struct wasm_module *m = v->m;
    for (uint32_t i = m->nimported_globals; i < m->nglobals; i++)
        if (!check_const(v, &m->global_inits[i - m->nimported_globals], m->globals[i].type, i))
            return err_wrap(e, "global %u", i);
    return true;
}

static bool check_elem(struct validator *v, const struct elem_segment *s, struct err *e)
{
    const struct wasm_module *m = v->m;
    if (s->mode == SEG_ACTIVE) {
        if (s->table >= m->ntables)
            return err_set(e, ERR_INVALID, "unknown table %u", s->table);
        if (!val_matches(v, s->type, m->tables[s->table].elem))
            return err_set(e, ERR_INVALID, "type mismatch: %s into a table of %s",
                           type_name(s->type), type_name(m->tables[s->table].elem));
        if (!check_const(v, &s->offset, address_type(&m->tables[s->table].limits), m->nglobals))
            return false;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->exprs) {
            if (!check_const(v, &s->exprs[i], s->type, m->nglobals))
                return false;
        } else if (s->funcs[i] >= m->nfuncs) {
            return err_set(e, ERR_INVALID, "unknown function %u", s->funcs[i]);
        } else {
            m->funcs[s->funcs[i]].declared = true;
        }
    }
    return true;
}

static bool check_data(struct validator *v, const struct data_segment *s, struct err *e)
{
    if (!s->active)
        return true;
    if (s->memory >= v->m->nmemories)
        return err_set(e, ERR_INVALID, "unknown memory %u", s->memory);
    return check_const(v, &s->offset, address_type(&v->m->memories[s->memory]), v->m->nglobals);
}

static bool check_segments(struct validator *v, struct err *e)
{
    const struct wasm_module *m = v->m;
    for (uint32_t i = 0; i < m->nelems; i++)
        if (!check_elem(v, &m->elems[i], e))
            return err_wrap(e, "element segment %u", i);
    for (uint32_t i = 0; i < m->ndatas; i++)
        if (!check_data(v, &m->datas[i], e))
            return err_wrap(e, "data segment %u", i);
    return true;
}

/* ---- the rest of the module ---- */

static bool check_func_types(const struct wasm_module *m, struct err *e)
{
    for (uint32_t i = 0; i < m->nfuncs; i++)
        if (m->funcs[i].type >= m->ntypes)
            return err_set(e, ERR_INVALID, "function %u: unknown type %u", i, m->funcs[i].type);
    return true;
}

static bool check_tags(const struct wasm_module *m, struct err *e)
{
    for (uint32_t i = 0; i < m->ntags; i++) {
        if (m->tags[i] >= m->ntypes)
            return err_set(e, ERR_INVALID, "tag %u: unknown type %u", i, m->tags[i]);
        if (m->types[m->tags[i]].nresults > 0)
            return err_set(e, ERR_INVALID, "tag %u: non-empty tag result type", i);
    }
    return true;
}

static bool check_limits(const struct wasm_limits_type *t, const char *what, uint32_t index,
                         struct err *e)
{
    if (t->has_max && t->min > t->max)
        return err_set(e, ERR_INVALID, "%s %u: size minimum must not be greater than maximum", what,
                       index);
    return true;
}

static bool check_memories(const struct wasm_module *m, struct err *e)
{
    for (uint32_t i = 0; i < m->nmemories; i++) {
        const struct wasm_limits_type *t = &m->memories[i];
        uint64_t pages_max = t->is64 ? PAGES64_MAX : PAGES32_MAX;
        if (t->min > pages_max || (t->has_max && t->max > pages_max))
            return err_set(e, ERR_INVALID, "memory %u: memory size must be at most %llu pages", i,
                           (unsigned long long)pages_max);
        if (!check_limits(t, "memory", i, e))
            return false;
    }
    return true;
}

static bool check_table(struct validator *v, uint32_t i, struct err *e)
{
    const struct wasm_module *m = v->m;
    const struct table_type *t = &m->tables[i];
    if (!check_limits(&t->limits, "table", i, e))
        return false;
    if (i < m->nimported_tables)
        return true;
    const struct const_expr *init = &m->table_inits[i - m->nimported_tables];
    if (!init->code.p && !type_is_defaultable(t->elem))
        return err_set(e, ERR_INVALID, "type mismatch: table %u of %s needs an initial value", i,
                       type_name(t->elem));
    return !init->code.p || check_const(v, init, t->elem, m->nimported_globals) ||
           err_wrap(e, "table %u", i);
}

static bool check_tables(struct validator *v, struct err *e)
{
    for (uint32_t i = 0; i < v->m->ntables; i++)
        if (!check_table(v, i, e))
            return false;
    return true;
}

static int by_name(const void *a, const void *b, void *exports)
{
    const struct export *x = exports;
    return str_cmp(x[*(const uint32_t *)a].name, x[*(const uint32_t *)b].name);
}

static bool sort_exports(struct wasm_module *m, struct err *e)
{
    uint32_t *order = arena_array(&m->arena, uint32_t, m->nexports);
    if (!order)
        return arena_full(&m->arena, e);
    for (uint32_t i = 0; i < m->nexports; i++)
        order[i] = i;
    if (m->nexports)
        qsort_r(order, m->nexports, sizeof *order, by_name, m->exports);
    m->exports_by_name = order;
    for (uint32_t i = 1; i < m->nexports; i++) {
        if (by_name(&order[i - 1], &order[i], m->exports) != 0)
            continue;
        char name[80];
        return err_set(e, ERR_INVALID, "duplicate export name '%s'",
                       str_escape(m->exports[order[i]].name, name, sizeof name));
    }
    return true;
}

static bool check_exports(struct wasm_module *m, struct err *e)
{
    const struct {
        const char *name;
        uint32_t n;
    } spaces[] = {
        [WASM_FUNC] = {"function", m->nfuncs},    [WASM_TABLE] = {"table", m->ntables},
        [WASM_MEMORY] = {"memory", m->nmemories}, [WASM_GLOBAL] = {"global", m->nglobals},
        [WASM_TAG] = {"tag", m->ntags},
    };
    for (uint32_t i = 0; i < m->nexports; i++) {
        const struct export *x = &m->exports[i];
        if (x->index >= spaces[x->kind].n)
            return err_set(e, ERR_INVALID, "export %u: unknown %s %u", i, spaces[x->kind].name,
                           x->index);
        if (x->kind == WASM_FUNC)
            m->funcs[x->index].declared = true;
    }
    return sort_exports(m, e);
}

static bool check_start(const struct wasm_module *m, struct err *e)
{
    if (m->start == UINT32_MAX)
        return true;
    if (m->start >= m->nfuncs)
        return err_set(e, ERR_INVALID, "start function: unknown function %u", m->start);
    const struct wasm_functype *t = &m->types[m->funcs[m->start].type];
    if (t->nparams || t->nresults)
        return err_set(e, ERR_INVALID, "start function %u takes or returns values", m->start);
    return true;
}

static void number_refs(struct wasm_module *m)
{
    m->nrefs = 0;
    for (uint32_t i = 0; i < m->nfuncs; i++) {
        bool is_value = i < m->nimported_funcs || m->funcs[i].declared || i == m->start;
        m->funcs[i].ref = is_value ? m->nrefs++ : NO_REF;
    }
}

void val_init(struct validator *v, struct wasm_module *m, _Atomic uint64_t *work_left,
              struct err *e)
{
    *v = (struct validator){
        .m = m,
        .r = {.e = e},
        .work_left = work_left,
    };
}

void val_fini(struct validator *v)
{
    free(v->set);
    free(v->unset);
    free(v->operands);
    free(v->blocks);
}

bool module_validate(struct wasm_module *m, struct err *e)
{
    _Atomic uint64_t work_left = val_work(m);
    struct validator v;
    val_init(&v, m, &work_left, e);
    /* exports, globals and segments first: they declare what ref.func in bodies may name */
    bool ok = check_func_types(m, e) && check_tags(m, e) && check_memories(m, e) &&
              check_tables(&v, e) && check_exports(m, e) && check_start(m, e) &&
              check_globals(&v, e) && check_segments(&v, e);
    val_fini(&v);
    if (!ok)
        return false;
    number_refs(m);
    return module_validate_bodies(m, e);
}
