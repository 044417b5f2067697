/* SPDX-License-Identifier: Apache-2.0 */
/* Instances: imports checked and bound, memories, tables and globals made, initialisers
 * evaluated, active segments copied. Spec: execution, "Instantiation".
 * Owns: everything an instance defines itself. An instance that failed after it had put
 * functions into an imported table lives on until those tables are gone. */
#include "hostd/wasm/engine.h"

#include <assert.h>
#include "hostd/wasm/numeric.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* ---- host functions ---- */

struct wasm_func *wasm_func_host(const struct wasm_functype *type, wasm_host_fn *fn, void *user)
{
    size_t ntypes = (size_t)type->nparams + type->nresults;
    struct wasm_func *f = xnew(struct wasm_func);
    struct wasm_functype *copy = xalloc(sizeof *copy + ntypes);
    uint8_t *types = (uint8_t *)(copy + 1);
    if (ntypes)
        memcpy(types, type->types, ntypes);
    *copy = (struct wasm_functype){type->nparams, type->nresults, types, type->refs};
    *f = (struct wasm_func){.type = copy,
                            .fn = fn,
                            .user = user,
                            .param_slots = wasm_slots(types, type->nparams),
                            .result_slots = wasm_slots(types + type->nparams, type->nresults)};
    return f;
}

void wasm_func_host_free(struct wasm_func *f)
{
    if (!f)
        return;
    assert(!f->inst);
    free((void *)(uintptr_t)f->type);
    free(f);
}

const struct wasm_functype *wasm_func_type(const struct wasm_func *f)
{
    return f->type;
}

void *wasm_func_user(const struct wasm_func *f)
{
    return f->user;
}

/* ---- globals ---- */

struct wasm_global *wasm_global_new(uint8_t type, bool mutable_, const wasm_slot *init)
{
    struct wasm_global *g = xnew(struct wasm_global);
    g->type = type;
    g->mutable_ = mutable_;
    memcpy(g->value, init, type_slots(type) * sizeof *init);
    return g;
}

void wasm_global_free(struct wasm_global *g)
{
    if (g && type_is_exn(g->type))
        exn_release(NULL, g->value[0]);
    free(g);
}

void wasm_global_get(const struct wasm_global *g, wasm_slot out[2])
{
    memcpy(out, g->value, sizeof g->value);
}

uint8_t wasm_global_type(const struct wasm_global *g)
{
    return g->type;
}

/* ---- constant expressions ---- */

static uint32_t push_global(const struct wasm_global *g, wasm_slot *stack)
{
    uint32_t n = type_slots(g->type);
    memcpy(stack, g->value, n * sizeof *stack);
    return n;
}

/* Of a function that the module declares: only these are values. */
static struct wasm_func *func_value(const struct wasm_inst *i, uint32_t func)
{
    uint32_t ref = i->module->funcs[func].ref;
    assert(ref != NO_REF);
    return i->funcs[ref];
}

wasm_slot const_eval(const struct wasm_inst *i, struct const_expr x)
{
    wasm_slot value[2];
    const_value(i, x, value);
    return value[0];
}

void const_value(const struct wasm_inst *i, struct const_expr x, wasm_slot out[2])
{
    struct err e;
    struct reader r;
    wasm_slot stack[WASM_CONST_HEIGHT_MAX + 2];
    uint32_t n = 0;
    rd_init(&r, x.code, &e);
    for (;;) {
        uint32_t op = rd_opcode(&r);
        assert(rd_ok(&r) && n + 1 < ARRAY_LEN(stack));
        switch (op) {
        case OP_I32_CONST:
            stack[n++] = (uint32_t)rd_s32(&r);
            break;
        case OP_I64_CONST:
            stack[n++] = (uint64_t)rd_s64(&r);
            break;
        case OP_F32_CONST:
            stack[n++] = rd_fixed32(&r);
            break;
        case OP_F64_CONST:
            stack[n++] = rd_fixed64(&r);
            break;
        case OP_V128_CONST:
            memcpy(&stack[n], rd_bytes(&r, 16).p, 16);
            n += 2;
            break;
        case OP_GLOBAL_GET:
            n += push_global(i->globals[rd_u32(&r)], &stack[n]);
            break;
        case OP_REF_NULL:
            rd_s33(&r);
            stack[n++] = 0;
            break;
        case OP_REF_FUNC:
            stack[n++] = (uint64_t)(uintptr_t)func_value(i, rd_u32(&r));
            break;
        case OP_END:
            assert(n == 1 || n == 2);
            out[0] = stack[0];
            out[1] = n == 2 ? stack[1] : 0;
            return;
        default: {
            assert(n >= 2);
            uint64_t b = stack[--n], a = stack[--n];
            bool is32 = op == OP_I32_ADD || op == OP_I32_SUB || op == OP_I32_MUL;
            uint64_t v = op == OP_I32_ADD || op == OP_I64_ADD   ? a + b
                         : op == OP_I32_SUB || op == OP_I64_SUB ? a - b
                                                                : a * b;
            stack[n++] = is32 ? (uint32_t)v : v;
        }
        }
    }
}

wasm_slot elem_value(const struct wasm_inst *i, const struct elem_segment *s, uint32_t index)
{
    if (s->funcs)
        return (uint64_t)(uintptr_t)func_value(i, s->funcs[index]);
    return const_eval(i, s->exprs[index]);
}

/* ---- imports ---- */

static bool limits_match(uint64_t size, const struct wasm_limits_type *have,
                         const struct wasm_limits_type *want)
{
    return size >= want->min && (!want->has_max || (have->has_max && have->max <= want->max)) &&
           have->is64 == want->is64 && have->shared == want->shared;
}

/* What can be written must be of the very type. */
static bool type_fits(struct type_in have, struct type_in want, bool written)
{
    return type_matches(have, want) && (!written || type_matches(want, have));
}

static bool import_matches(const struct wasm_extern_type *want, const struct wasm_extern *have)
{
    if (have->kind != want->kind || !have->any)
        return false;
    struct type_in type = {want->type, want->refs};
    switch (want->kind) {
    case WASM_FUNC:
        return wasm_functype_eq(have->func->type, want->func);
    case WASM_TABLE:
        return type_fits((struct type_in){have->table->elem_type, have->table->refs}, type, true) &&
               limits_match(have->table->n, &have->table->type, &want->limits);
    case WASM_MEMORY:
        return limits_match(have->memory->size_bytes / WASM_PAGE, &have->memory->type,
                            &want->limits);
    case WASM_GLOBAL:
        return have->global->mutable_ == want->mutable_ &&
               type_fits((struct type_in){have->global->type, have->global->refs}, type,
                         want->mutable_);
    case WASM_TAG:
        return wasm_functype_eq(have->tag->type, want->func);
    }
    return false;
}

static bool bind_imports(struct wasm_inst *i, const struct wasm_extern *imports, struct err *e)
{
    const struct wasm_module *m = i->module;
    for (uint32_t n = 0; n < m->nimports; n++) {
        struct wasm_extern_type want = wasm_module_import(m, n);
        if (!import_matches(&want, &imports[n])) {
            char module[80], name[80];
            return err_set(e, ERR_INVALID, "incompatible import type: %s.%s",
                           str_escape(want.module, module, sizeof module),
                           str_escape(want.name, name, sizeof name));
        }
        uint32_t index = m->imports[n].index;
        switch (want.kind) {
        case WASM_FUNC:
            i->funcs[index] = imports[n].func;
            break;
        case WASM_TABLE:
            i->tables[index] = imports[n].table;
            break;
        case WASM_MEMORY:
            i->memories[index] = imports[n].memory;
            break;
        case WASM_GLOBAL:
            i->globals[index] = imports[n].global;
            break;
        case WASM_TAG:
            i->tags[index] = imports[n].tag;
            break;
        }
    }
    return true;
}

/* ---- definitions ---- */

static void make_funcs(struct wasm_inst *i)
{
    const struct wasm_module *m = i->module;
    for (uint32_t n = m->nimported_funcs; n < m->nfuncs; n++) {
        uint32_t ref = m->funcs[n].ref;
        if (ref == NO_REF)
            continue;
        struct wasm_func *f = &i->own_funcs[ref - m->nimported_funcs];
        struct func_code *code = m->code[n - m->nimported_funcs];
        *f = (struct wasm_func){.inst = i,
                                .type = code->type,
                                .code = code,
                                .param_slots = code->param_slots,
                                .result_slots = code->result_slots};
        i->funcs[ref] = f;
    }
}

/* Only the type: values may refer to functions, globals before them, and nothing else. */
static void make_globals(struct wasm_inst *i)
{
    const struct wasm_module *m = i->module;
    for (uint32_t n = m->nimported_globals; n < m->nglobals; n++) {
        struct wasm_global *g = &i->own_globals[n - m->nimported_globals];
        g->type = m->globals[n].type;
        g->refs = &m->type_refs;
        g->mutable_ = m->globals[n].mutable_;
        i->globals[n] = g;
        const_value(i, m->global_inits[n - m->nimported_globals], g->value);
    }
}

static bool make_tables(struct wasm_inst *i, uint32_t elems_max, struct err *e)
{
    const struct wasm_module *m = i->module;
    for (uint32_t n = m->nimported_tables; n < m->ntables; n++) {
        struct const_expr x = {.code = {NULL, 0}};
        if (m->table_inits)
            x = m->table_inits[n - m->nimported_tables];
        wasm_slot init = x.code.p ? const_eval(i, x) : 0;
        struct type_in elem = {m->tables[n].elem, &m->type_refs};
        i->tables[n] = table_new(elem, &m->tables[n].limits, elems_max, init, e);
        if (!i->tables[n])
            return false;
    }
    return true;
}

void inst_use_memory(struct wasm_inst *i)
{
    i->memory = i->module->nmemories > 0 ? i->memories[0] : NULL;
    i->exec = i->memory && !i->memory->guarded ? EXEC_CHECKED : EXEC_GUARDED;
}

static bool make_memories(struct wasm_inst *i, uint32_t pages_max, struct err *e)
{
    const struct wasm_module *m = i->module;
    i->pages_left = pages_max;
    for (uint32_t n = m->nimported_memories; n < m->nmemories; n++) {
        const struct wasm_limits_type *type = &m->memories[n];
        if (type->min > i->pages_left)
            return err_set(e, ERR_LIMIT, "memory wants %llu pages, the limit is %u",
                           (unsigned long long)type->min, pages_max);
        i->memories[n] = memory_new(type, n == 0, e);
        if (!i->memories[n])
            return false;
        i->memories[n]->pages_max = MIN(i->memories[n]->pages_max, (uint64_t)pages_max);
        i->memories[n]->pages_left = &i->pages_left;
        i->pages_left -= type->min;
    }
    inst_use_memory(i);
    return true;
}

static void make_tags(struct wasm_inst *i)
{
    const struct wasm_module *m = i->module;
    for (uint32_t n = m->nimported_tags; n < m->ntags; n++) {
        struct wasm_tag *tag = &i->own_tags[n - m->nimported_tags];
        *tag = (struct wasm_tag){&m->types[m->tags[n]], m, n};
        i->tags[n] = tag;
    }
}

/* ---- active segments ---- */

static bool fill_tables(struct wasm_inst *i, struct err *e)
{
    const struct wasm_module *m = i->module;
    for (uint32_t n = 0; n < m->nelems; n++) {
        const struct elem_segment *s = &m->elems[n];
        if (s->mode == SEG_PASSIVE)
            continue;
        i->dropped_elems[n] = true;
        if (s->mode == SEG_DECLARED)
            continue;
        struct wasm_table *t = i->tables[s->table];
        uint64_t at = const_eval(i, s->offset); /* an i32 is zero-extended */
        if (at > t->n || s->n > t->n - at)
            return err_set(e, ERR_TRAP, "%s: element segment %u", wasm_trap_text(WASM_TRAP_TABLE),
                           n);
        for (uint32_t k = 0; k < s->n; k++)
            table_set(NULL, t, at + k, elem_value(i, s, k));
    }
    return true;
}

static bool fill_memories(struct wasm_inst *i, struct err *e)
{
    const struct wasm_module *m = i->module;
    for (uint32_t n = 0; n < m->ndatas; n++) {
        const struct data_segment *s = &m->datas[n];
        if (!s->active)
            continue;
        i->dropped_datas[n] = true;
        uint8_t *to = wasm_memory_at(i->memories[s->memory], const_eval(i, s->offset), s->bytes.n);
        if (!to)
            return err_set(e, ERR_TRAP, "%s: data segment %u", wasm_trap_text(WASM_TRAP_MEMORY), n);
        if (s->bytes.n)
            memcpy(to, s->bytes.p, s->bytes.n);
    }
    return true;
}

/* ---- life ---- */

static void *carve(uint8_t **rest, size_t n, size_t size)
{
    void *part = *rest;
    *rest += n * size;
    return part;
}

/* The struct and all its arrays in one piece: what is cheap to make need not be pooled. Those of bytes come last, so
 * that all are aligned. */
static struct wasm_inst *allocate(struct wasm_module *m)
{
    size_t nfuncs = m->nrefs - m->nimported_funcs, nglobals = m->nglobals - m->nimported_globals,
           ntags = m->ntags - m->nimported_tags;
    size_t pointers = (size_t)m->nrefs + m->ntables + m->nmemories + m->nglobals + m->ntags;
    struct wasm_inst *i =
        xalloc(sizeof *i + pointers * sizeof(void *) + nfuncs * sizeof *i->own_funcs +
               nglobals * sizeof *i->own_globals + ntags * sizeof *i->own_tags +
               ((size_t)m->nelems + m->ndatas) * sizeof(bool));
    uint8_t *rest = (uint8_t *)(i + 1);
    i->module = wasm_module_ref(m);
    i->funcs = carve(&rest, m->nrefs, sizeof(void *));
    i->tables = carve(&rest, m->ntables, sizeof(void *));
    i->memories = carve(&rest, m->nmemories, sizeof(void *));
    i->globals = carve(&rest, m->nglobals, sizeof(void *));
    i->tags = carve(&rest, m->ntags, sizeof(void *));
    i->own_funcs = carve(&rest, nfuncs, sizeof *i->own_funcs);
    i->own_globals = carve(&rest, nglobals, sizeof *i->own_globals);
    i->own_tags = carve(&rest, ntags, sizeof *i->own_tags);
    i->dropped_elems = carve(&rest, m->nelems, sizeof(bool));
    i->dropped_datas = carve(&rest, m->ndatas, sizeof(bool));
    return i;
}

static void inst_destroy(struct wasm_inst *i)
{
    struct wasm_module *m = i->module;
    mark_free(i->mark);
    for (uint32_t n = 0; n < m->nglobals - m->nimported_globals; n++)
        if (type_is_exn(i->own_globals[n].type))
            exn_release(NULL, i->own_globals[n].value[0]);
    for (uint32_t n = m->nimported_memories; n < m->nmemories; n++)
        wasm_memory_free(i->memories[n]);
    for (uint32_t n = m->nimported_tables; n < m->ntables; n++)
        wasm_table_free(i->tables[n]);
    wasm_module_unref(m);
    free(i);
}

void wasm_inst_free(struct wasm_inst *i)
{
    if (i)
        inst_destroy(i);
}

void inst_let_go(struct wasm_inst *i)
{
    if (--i->nholders == 0)
        inst_destroy(i);
}

/* Imported tables may hold functions of the instance that failed: they keep it. */
static void orphan(struct wasm_inst *i)
{
    for (uint32_t n = 0; n < i->module->nimported_tables; n++) {
        struct wasm_table *t = i->tables[n];
        table_keep(t, i);
        i->nholders++;
    }
    if (i->nholders == 0)
        inst_destroy(i);
}

struct wasm_inst *inst_bound(struct wasm_module *m, const struct wasm_extern *imports,
                             struct err *e)
{
    if (!code_prepare(m, e))
        return NULL;
    struct wasm_inst *i = allocate(m);
    if (!bind_imports(i, imports, e)) {
        inst_destroy(i);
        return NULL;
    }
    make_funcs(i);
    make_tags(i);
    return i;
}

struct inst_limits inst_limits(const struct wasm_module *m, const struct wasm_limits *wanted)
{
    const struct wasm_limits *l = wanted ? wanted : &m->limits;
    return (struct inst_limits){
        .pages_max = l->memory_pages_max ? l->memory_pages_max : m->limits.memory_pages_max,
        .elems_max = l->table_elems_max ? l->table_elems_max : m->limits.table_elems_max};
}

struct wasm_inst *wasm_instantiate(struct wasm_module *m, const struct wasm_extern *imports,
                                   const struct wasm_limits *limits, struct err *e)
{
    struct inst_limits l = inst_limits(m, limits);
    struct wasm_inst *i = inst_bound(m, imports, e);
    if (!i)
        return NULL;
    make_globals(i);
    if (!make_memories(i, l.pages_max, e) || !make_tables(i, l.elems_max, e)) {
        inst_destroy(i);
        return NULL;
    }
    if (!fill_tables(i, e) || !fill_memories(i, e)) {
        orphan(i);
        return NULL;
    }
    return i;
}

struct wasm_func *wasm_inst_start(struct wasm_inst *i)
{
    return i->module->start == UINT32_MAX ? NULL : func_value(i, i->module->start);
}

struct wasm_extern wasm_inst_export(struct wasm_inst *i, uint32_t export_index)
{
    assert(export_index < i->module->nexports);
    const struct export *x = &i->module->exports[export_index];
    struct wasm_extern out = {.kind = x->kind};
    switch (x->kind) {
    case WASM_FUNC:
        out.func = func_value(i, x->index);
        break;
    case WASM_TABLE:
        out.table = i->tables[x->index];
        break;
    case WASM_MEMORY:
        out.memory = i->memories[x->index];
        break;
    case WASM_GLOBAL:
        out.global = i->globals[x->index];
        break;
    case WASM_TAG:
        out.tag = i->tags[x->index];
        break;
    }
    return out;
}

struct wasm_module *wasm_inst_module(const struct wasm_inst *i)
{
    return i->module;
}
