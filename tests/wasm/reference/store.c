/* SPDX-License-Identifier: Apache-2.0 */
/* The reference interpreter's store. Spec: execution, "Runtime structure" and "Modules". Owns what an instance
 * defines; an instance whose instantiation failed after it had filled a table is kept until the process ends. */
#include "tests/wasm/reference/reference.h"

#include <assert.h>
#include <string.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define PAGES_MAX 65536u
#define ELEMS_MAX 10000000u

static struct ref_inst *abandoned;

/* ---- what stands alone ---- */

struct ref_func *ref_func_host(const struct wasm_functype *type, ref_host_fn *fn, void *user)
{
    size_t n = (size_t)type->nparams + type->nresults;
    struct wasm_functype *copy = xalloc(sizeof *copy + n);
    *copy = *type;
    copy->types = (uint8_t *)(copy + 1);
    if (n)
        memcpy(copy + 1, type->types, n);
    struct ref_func *f = xnew(struct ref_func);
    *f = (struct ref_func){.type = copy, .fn = fn, .user = user};
    return f;
}

void ref_func_host_free(struct ref_func *f)
{
    if (f)
        free((void *)(uintptr_t)f->type);
    free(f);
}

const struct wasm_functype *ref_func_type(const struct ref_func *f)
{
    return f->type;
}

bool ref_memory_grow(struct ref_memory *m, uint64_t pages)
{
    if (pages > m->pages_max - m->pages || (m->pages_left && pages > *m->pages_left))
        return false;
    uint64_t size = (m->pages + pages) * PAGE_BYTES;
    uint8_t *bytes = try_realloc(m->bytes, size + 1);
    if (!bytes)
        return false;
    memset(bytes + m->pages * PAGE_BYTES, 0, pages * PAGE_BYTES);
    m->bytes = bytes;
    m->pages += pages;
    if (m->pages_left)
        *m->pages_left -= pages;
    return true;
}

static struct ref_memory *memory_new(const struct wasm_limits_type *t, uint64_t pages_max,
                                     uint64_t *pages_left, struct err *e)
{
    struct ref_memory *m = xnew(struct ref_memory);
    *m = (struct ref_memory){.type = *t, .pages_left = pages_left};
    m->pages_max = t->has_max ? MIN(t->max, pages_max) : pages_max;
    if (t->min <= m->pages_max && ref_memory_grow(m, t->min))
        return m;
    ref_memory_free(m);
    err_set(e, ERR_LIMIT, "no room for a memory of %llu pages", (unsigned long long)t->min);
    return NULL;
}

struct ref_memory *ref_memory_new(const struct wasm_limits_type *t, struct err *e)
{
    return memory_new(t, PAGES_MAX, NULL, e);
}

void ref_memory_free(struct ref_memory *m)
{
    if (m)
        free(m->bytes);
    free(m);
}

uint8_t *ref_memory_base(struct ref_memory *m)
{
    return m->bytes;
}

uint64_t ref_memory_size(const struct ref_memory *m)
{
    return m->pages * PAGE_BYTES;
}

bool ref_table_grow(struct ref_table *t, uint64_t n, struct value init)
{
    if (n > t->max - t->n)
        return false;
    struct value *elems = try_realloc(t->elems, (t->n + n + 1) * sizeof *elems);
    if (!elems)
        return false;
    t->elems = elems;
    while (n-- > 0)
        t->elems[t->n++] = init;
    return true;
}

static struct ref_table *table_new(struct type_in elem, const struct wasm_limits_type *t,
                                   uint64_t elems_max, struct value init, struct err *e)
{
    struct ref_table *table = xnew(struct ref_table);
    *table = (struct ref_table){.elem = elem, .type = *t};
    table->max = t->has_max ? MIN(t->max, elems_max) : elems_max;
    if (t->min <= table->max && ref_table_grow(table, t->min, init))
        return table;
    ref_table_free(table);
    err_set(e, ERR_LIMIT, "no room for a table of %llu elements", (unsigned long long)t->min);
    return NULL;
}

struct ref_table *ref_table_new(uint8_t elem_type, const struct wasm_limits_type *t, wasm_slot init,
                                struct err *e)
{
    return table_new((struct type_in){elem_type, NULL}, t, ELEMS_MAX, (struct value){init, 0}, e);
}

void ref_table_free(struct ref_table *t)
{
    if (t)
        free(t->elems);
    free(t);
}

struct ref_global *ref_global_new(uint8_t type, bool mutable_, const wasm_slot *init)
{
    struct ref_global *g = xnew(struct ref_global);
    uint64_t high = type_slots(type) == 2 ? init[1] : 0;
    *g = (struct ref_global){{type, NULL}, mutable_, {init[0], high}};
    return g;
}

void ref_global_free(struct ref_global *g)
{
    free(g);
}

void ref_global_get(const struct ref_global *g, wasm_slot out[2])
{
    out[0] = g->value.lo;
    out[1] = g->value.hi;
}

uint8_t ref_global_type(const struct ref_global *g)
{
    return g->type.type;
}

/* ---- constant expressions ---- */

static struct value ref_to(const struct ref_inst *i, uint32_t func)
{
    return (struct value){(uint64_t)(uintptr_t)i->funcs[func], 0};
}

static struct value evaluate(const struct ref_inst *i, struct const_expr x)
{
    struct err e = ERR_INIT;
    struct reader r;
    struct value stack[WASM_CONST_HEIGHT_MAX + 1] = {{0, 0}};
    uint32_t n = 0;
    rd_init(&r, x.code, &e);
    for (uint32_t op; (op = rd_opcode(&r)) != OP_END;) {
        struct value v = {0, 0};
        if (ref_is_number(op)) {
            assert(n >= 2);
            n -= 2;
            ref_number(op, stack[n].lo, stack[n + 1].lo, &v.lo);
        } else if (op == OP_I32_CONST) {
            v.lo = (uint32_t)rd_s32(&r);
        } else if (op == OP_I64_CONST) {
            v.lo = (uint64_t)rd_s64(&r);
        } else if (op == OP_F32_CONST) {
            v.lo = rd_fixed32(&r);
        } else if (op == OP_F64_CONST) {
            v.lo = rd_fixed64(&r);
        } else if (op == OP_V128_CONST) {
            v.lo = rd_fixed64(&r);
            v.hi = rd_fixed64(&r);
        } else if (op == OP_GLOBAL_GET) {
            v = i->globals[rd_u32(&r)]->value;
        } else if (op == OP_REF_FUNC) {
            v = ref_to(i, rd_u32(&r));
        } else {
            assert(op == OP_REF_NULL);
            rd_s33(&r);
        }
        stack[n++] = v;
    }
    assert(n == 1 && rd_ok(&r));
    return stack[0];
}

struct value ref_elem(const struct ref_inst *i, const struct elem_segment *s, uint64_t index)
{
    return s->funcs ? ref_to(i, s->funcs[index]) : evaluate(i, s->exprs[index]);
}

/* ---- imports ---- */

static bool limits_fit(uint64_t size, const struct wasm_limits_type *have,
                       const struct wasm_limits_type *want)
{
    if (have->is64 != want->is64 || have->shared != want->shared || size < want->min)
        return false;
    return !want->has_max || (have->has_max && have->max <= want->max);
}

static bool same_type(struct type_in a, struct type_in b)
{
    return type_matches(a, b) && type_matches(b, a);
}

static bool import_fits(const struct wasm_extern_type *want, const struct ref_extern *have)
{
    struct type_in type = {want->type, want->refs};
    if (have->kind != want->kind || !have->any)
        return false;
    switch (want->kind) {
    case WASM_FUNC:
        return wasm_functype_eq(have->func->type, want->func);
    case WASM_TABLE:
        return same_type(have->table->elem, type) &&
               limits_fit(have->table->n, &have->table->type, &want->limits);
    case WASM_MEMORY:
        return limits_fit(have->memory->pages, &have->memory->type, &want->limits);
    case WASM_GLOBAL:
        if (have->global->mutable_ != want->mutable_)
            return false;
        return want->mutable_ ? same_type(have->global->type, type)
                              : type_matches(have->global->type, type);
    case WASM_TAG:
        return wasm_functype_eq(have->tag->type, want->func);
    }
    return false;
}

static bool bind(struct ref_inst *i, const struct ref_extern *imports, struct err *e)
{
    for (uint32_t n = 0; n < i->module->nimports; n++) {
        struct wasm_extern_type want = wasm_module_import(i->module, n);
        uint32_t index = i->module->imports[n].index;
        if (!import_fits(&want, &imports[n]))
            return err_set(e, ERR_INVALID, "incompatible import type: %.*s.%.*s",
                           STR_ARG(want.module), STR_ARG(want.name));
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

static void make_funcs_and_tags(struct ref_inst *i)
{
    const struct wasm_module *m = i->module;
    for (uint32_t n = m->nimported_funcs; n < m->nfuncs; n++) {
        i->funcs[n] = xnew(struct ref_func);
        *i->funcs[n] =
            (struct ref_func){.inst = i, .type = &m->types[m->funcs[n].type], .index = n};
    }
    for (uint32_t n = m->nimported_tags; n < m->ntags; n++) {
        i->tags[n] = xnew(struct ref_tag);
        i->tags[n]->type = &m->types[m->tags[n]];
    }
}

static void make_globals(struct ref_inst *i)
{
    const struct wasm_module *m = i->module;
    for (uint32_t n = m->nimported_globals; n < m->nglobals; n++) {
        struct ref_global *g = i->globals[n] = xnew(struct ref_global);
        g->type = (struct type_in){m->globals[n].type, &m->type_refs};
        g->mutable_ = m->globals[n].mutable_;
        g->value = evaluate(i, m->global_inits[n - m->nimported_globals]);
    }
}

static bool make_memories(struct ref_inst *i, uint64_t pages_max, struct err *e)
{
    const struct wasm_module *m = i->module;
    i->pages_left = pages_max;
    for (uint32_t n = m->nimported_memories; n < m->nmemories; n++) {
        i->memories[n] = memory_new(&m->memories[n], pages_max, &i->pages_left, e);
        if (!i->memories[n])
            return false;
    }
    return true;
}

static bool make_tables(struct ref_inst *i, uint64_t elems_max, struct err *e)
{
    const struct wasm_module *m = i->module;
    for (uint32_t n = m->nimported_tables; n < m->ntables; n++) {
        struct const_expr init = {.code = {NULL, 0}};
        if (m->table_inits)
            init = m->table_inits[n - m->nimported_tables];
        i->tables[n] =
            table_new((struct type_in){m->tables[n].elem, &m->type_refs}, &m->tables[n].limits,
                      elems_max, init.code.p ? evaluate(i, init) : (struct value){0, 0}, e);
        if (!i->tables[n])
            return false;
    }
    return true;
}

static bool fill_tables(struct ref_inst *i, struct err *e)
{
    for (uint32_t n = 0; n < i->module->nelems; n++) {
        const struct elem_segment *s = &i->module->elems[n];
        i->dropped_elems[n] = s->mode != SEG_PASSIVE;
        if (s->mode != SEG_ACTIVE)
            continue;
        struct ref_table *t = i->tables[s->table];
        uint64_t at = evaluate(i, s->offset).lo;
        if (at > t->n || s->n > t->n - at)
            return err_set(e, ERR_TRAP, "%s", wasm_trap_text(WASM_TRAP_TABLE));
        for (uint32_t k = 0; k < s->n; k++)
            t->elems[at + k] = ref_elem(i, s, k);
    }
    return true;
}

static bool fill_memories(struct ref_inst *i, struct err *e)
{
    for (uint32_t n = 0; n < i->module->ndatas; n++) {
        const struct data_segment *s = &i->module->datas[n];
        i->dropped_datas[n] = s->active;
        if (!s->active)
            continue;
        struct ref_memory *m = i->memories[s->memory];
        uint64_t at = evaluate(i, s->offset).lo, size = ref_memory_size(m);
        if (at > size || s->bytes.n > size - at)
            return err_set(e, ERR_TRAP, "%s", wasm_trap_text(WASM_TRAP_MEMORY));
        for (size_t k = 0; k < s->bytes.n; k++)
            m->bytes[at + k] = s->bytes.p[k];
    }
    return true;
}

/* ---- instances ---- */

static struct ref_inst *allocate(struct wasm_module *m)
{
    struct ref_inst *i = xnew(struct ref_inst);
    i->module = wasm_module_ref(m);
    i->funcs = xcalloc(m->nfuncs, sizeof(void *));
    i->tables = xcalloc(m->ntables, sizeof(void *));
    i->memories = xcalloc(m->nmemories, sizeof(void *));
    i->globals = xcalloc(m->nglobals, sizeof(void *));
    i->tags = xcalloc(m->ntags, sizeof(void *));
    i->dropped_elems = xcalloc(m->nelems, sizeof(bool));
    i->dropped_datas = xcalloc(m->ndatas, sizeof(bool));
    return i;
}

void ref_inst_free(struct ref_inst *i)
{
    if (!i)
        return;
    const struct wasm_module *m = i->module;
    for (uint32_t n = m->nimported_funcs; n < m->nfuncs; n++)
        free(i->funcs[n]);
    for (uint32_t n = m->nimported_tables; n < m->ntables; n++)
        ref_table_free(i->tables[n]);
    for (uint32_t n = m->nimported_memories; n < m->nmemories; n++)
        ref_memory_free(i->memories[n]);
    for (uint32_t n = m->nimported_globals; n < m->nglobals; n++)
        ref_global_free(i->globals[n]);
    for (uint32_t n = m->nimported_tags; n < m->ntags; n++)
        free(i->tags[n]);
    free(i->funcs);
    free(i->tables);
    free(i->memories);
    free(i->globals);
    free(i->tags);
    free(i->dropped_elems);
    free(i->dropped_datas);
    wasm_module_unref(i->module);
    free(i);
}

struct ref_inst *ref_instantiate(struct wasm_module *m, const struct ref_extern *imports,
                                 const struct wasm_limits *limits, struct err *e)
{
    uint32_t pages_max =
        limits && limits->memory_pages_max ? limits->memory_pages_max : m->limits.memory_pages_max;
    uint32_t elems_max =
        limits && limits->table_elems_max ? limits->table_elems_max : m->limits.table_elems_max;
    struct ref_inst *i = allocate(m);
    if (!bind(i, imports, e)) {
        ref_inst_free(i);
        return NULL;
    }
    make_funcs_and_tags(i);
    make_globals(i);
    if (!make_memories(i, pages_max, e) || !make_tables(i, elems_max, e)) {
        ref_inst_free(i);
        return NULL;
    }
    if (!fill_tables(i, e) || !fill_memories(i, e)) {
        i->next_abandoned = abandoned;
        abandoned = i;
        return NULL;
    }
    return i;
}

struct ref_func *ref_inst_start(struct ref_inst *i)
{
    return i->module->start == UINT32_MAX ? NULL : i->funcs[i->module->start];
}

struct ref_extern ref_inst_export(struct ref_inst *i, uint32_t export_index)
{
    const struct export *x = &i->module->exports[export_index];
    struct ref_extern out = {.kind = x->kind};
    switch (x->kind) {
    case WASM_FUNC:
        out.func = i->funcs[x->index];
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

struct wasm_module *ref_inst_module(const struct ref_inst *i)
{
    return i->module;
}
