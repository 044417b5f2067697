/* SPDX-License-Identifier: Apache-2.0 */
/* Marking an instance, taking it back there, and making others in the same state: what it
 * defines itself, that is memories (images, memory.c), globals, tables and dropped segments. */
#include "hostd/wasm/engine.h"

#include <assert.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

struct inst_mark {
    uint32_t nglobals, ntables;
    struct wasm_global *globals; /* values of the own ones */
    bool *dropped_elems, *dropped_datas;
    struct {
        wasm_slot *elems;
        uint64_t n;
        bool exns;
    } tables[];
};

void mark_free(struct inst_mark *mark)
{
    if (!mark)
        return;
    for (uint32_t n = 0; n < mark->nglobals; n++)
        if (type_is_exn(mark->globals[n].type))
            exn_release(NULL, mark->globals[n].value[0]);
    for (uint32_t n = 0; n < mark->ntables; n++) {
        for (uint64_t k = 0; mark->tables[n].exns && k < mark->tables[n].n; k++)
            exn_release(NULL, mark->tables[n].elems[k]);
    }
    free(mark);
}

static void *copy_to(uint8_t **rest, const void *p, size_t size)
{
    void *copy = *rest;
    if (size)
        memcpy(copy, p, size);
    *rest += size;
    return copy;
}

/* The mark holds the exceptions it has copied. */
static void hold_exns(const struct inst_mark *mark)
{
    for (uint32_t n = 0; n < mark->nglobals; n++)
        if (type_is_exn(mark->globals[n].type))
            exn_hold(mark->globals[n].value[0], 1);
    for (uint32_t n = 0; n < mark->ntables; n++)
        for (uint64_t k = 0; mark->tables[n].exns && k < mark->tables[n].n; k++)
            exn_hold(mark->tables[n].elems[k], 1);
}

/* The struct and its arrays in one piece, those of bytes last. */
static struct inst_mark *mark_new(const struct wasm_inst *i)
{
    const struct wasm_module *m = i->module;
    uint32_t ntables = m->ntables - m->nimported_tables;
    size_t nglobals = m->nglobals - m->nimported_globals, nelems = 0;
    struct inst_mark *mark;
    for (uint32_t n = 0; n < ntables; n++)
        nelems += i->tables[m->nimported_tables + n]->n;
    mark =
        xalloc(sizeof *mark + ntables * sizeof mark->tables[0] + nglobals * sizeof *mark->globals +
               nelems * sizeof(wasm_slot) + ((size_t)m->nelems + m->ndatas) * sizeof(bool));
    uint8_t *rest = (uint8_t *)&mark->tables[ntables];
    mark->nglobals = (uint32_t)nglobals;
    mark->globals = copy_to(&rest, i->own_globals, nglobals * sizeof *mark->globals);
    mark->ntables = ntables;
    for (uint32_t n = 0; n < ntables; n++) {
        const struct wasm_table *t = i->tables[m->nimported_tables + n];
        mark->tables[n].n = t->n;
        mark->tables[n].exns = type_is_exn(t->elem_type);
        mark->tables[n].elems = copy_to(&rest, t->elems, t->n * sizeof *t->elems);
    }
    mark->dropped_elems = copy_to(&rest, i->dropped_elems, m->nelems * sizeof(bool));
    mark->dropped_datas = copy_to(&rest, i->dropped_datas, m->ndatas * sizeof(bool));
    hold_exns(mark);
    return mark;
}

bool wasm_inst_mark(struct wasm_inst *i, const struct wasm_inst *like, struct err *e)
{
    const struct wasm_module *m = i->module;
    bool same = like && like->module == m;
    for (uint32_t n = m->nimported_memories; n < m->nmemories; n++)
        if (!memory_mark(i->memories[n], same ? like->memories[n] : NULL, e))
            return false;
    mark_free(i->mark);
    i->mark = mark_new(i);
    return true;
}

bool wasm_inst_rewind(struct wasm_inst *i, struct err *e)
{
    const struct wasm_module *m = i->module;
    const struct inst_mark *mark = i->mark;
    assert(mark);
    for (uint32_t n = m->nimported_memories; n < m->nmemories; n++)
        if (!memory_rewind(i->memories[n], e))
            return false;
    for (uint32_t n = 0; n < mark->nglobals; n++)
        if (type_is_exn(mark->globals[n].type))
            exn_set(NULL, i->own_globals[n].value, mark->globals[n].value[0]);
    memcpy(i->own_globals, mark->globals, mark->nglobals * sizeof *mark->globals);
    memcpy(i->dropped_elems, mark->dropped_elems, m->nelems * sizeof(bool));
    memcpy(i->dropped_datas, mark->dropped_datas, m->ndatas * sizeof(bool));
    for (uint32_t n = 0; n < mark->ntables; n++) {
        struct wasm_table *t = i->tables[m->nimported_tables + n];
        if (mark->tables[n].exns)
            for (uint64_t k = 0; k < t->n; k++)
                table_set(NULL, t, k, k < mark->tables[n].n ? mark->tables[n].elems[k] : 0);
        t->n = mark->tables[n].n; /* a table only ever grows */
        if (t->n)
            memcpy(t->elems, mark->tables[n].elems, t->n * sizeof *t->elems);
    }
    return true;
}

/* ---- copies ---- */

bool wasm_inst_copyable(const struct wasm_inst *i)
{
    const struct wasm_module *m = i->module;
    bool exns = false; /* counted where they are held, and not across threads */
    for (uint32_t n = m->nimported_globals; n < m->nglobals; n++)
        exns |= type_is_exn(m->globals[n].type);
    for (uint32_t n = m->nimported_tables; n < m->ntables; n++)
        exns |= type_is_exn(m->tables[n].elem);
    return i->mark && !exns;
}

static bool copy_memories(struct wasm_inst *i, const struct wasm_inst *of, uint32_t pages_max,
                          struct err *e)
{
    const struct wasm_module *m = i->module;
    i->pages_left = pages_max;
    for (uint32_t n = m->nimported_memories; n < m->nmemories; n++) {
        struct wasm_memory *memory = i->memories[n] = memory_copy(of->memories[n], e);
        if (!memory)
            return false;
        uint64_t pages = memory->size_bytes / WASM_PAGE;
        if (pages > i->pages_left)
            return err_set(e, ERR_LIMIT, "memory wants %llu pages, the limit is %u",
                           (unsigned long long)pages, pages_max);
        memory->pages_max = MIN(memory->pages_max, (uint64_t)pages_max);
        memory->pages_left = &i->pages_left;
        i->pages_left -= pages;
    }
    inst_use_memory(i);
    return true;
}

static bool copy_tables(struct wasm_inst *i, const struct inst_mark *mark, uint32_t elems_max,
                        struct err *e)
{
    const struct wasm_module *m = i->module;
    for (uint32_t n = 0; n < mark->ntables; n++) {
        uint32_t index = m->nimported_tables + n;
        const struct table_type *type = &m->tables[index];
        struct wasm_limits_type size = type->limits;
        size.min = mark->tables[n].n;
        struct wasm_table *t =
            table_new((struct type_in){type->elem, &m->type_refs}, &size, elems_max, 0, e);
        if (!t)
            return false;
        t->type = type->limits;
        if (t->n)
            memcpy(t->elems, mark->tables[n].elems, t->n * sizeof *t->elems);
        i->tables[index] = t;
    }
    return true;
}

struct wasm_inst *wasm_inst_copy(const struct wasm_inst *of, const struct wasm_extern *imports,
                                 const struct wasm_limits *limits, struct err *e)
{
    assert(wasm_inst_copyable(of));
    const struct wasm_module *m = of->module;
    struct inst_limits l = inst_limits(m, limits);
    struct wasm_inst *i = inst_bound(of->module, imports, e);
    if (!i)
        return NULL;
    if (!copy_memories(i, of, l.pages_max, e) || !copy_tables(i, of->mark, l.elems_max, e)) {
        wasm_inst_free(i);
        return NULL;
    }
    for (uint32_t n = 0; n < of->mark->nglobals; n++) {
        i->own_globals[n] = of->mark->globals[n];
        i->globals[m->nimported_globals + n] = &i->own_globals[n];
    }
    memcpy(i->dropped_elems, of->mark->dropped_elems, m->nelems * sizeof(bool));
    memcpy(i->dropped_datas, of->mark->dropped_datas, m->ndatas * sizeof(bool));
    return i;
}

/* The same function of the copy; functions of the host are everybody's. */
static wasm_slot moved(wasm_slot ref, struct wasm_inst *const *copies, struct wasm_inst *const *of,
                       uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        uint64_t offset = ref - (uintptr_t)of[k]->own_funcs;
        uint64_t size =
            (of[k]->module->nrefs - of[k]->module->nimported_funcs) * sizeof(struct wasm_func);
        if (offset < size)
            return (uintptr_t)copies[k]->own_funcs + offset;
    }
    return ref;
}

static bool refers_to_func(uint8_t type)
{
    return type_is_indexed(type) || type == WASM_FUNCREF || type == TYPE_REF_FUNC;
}

void wasm_insts_settle(struct wasm_inst *const *copies, struct wasm_inst *const *of, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        struct wasm_inst *i = copies[k];
        const struct wasm_module *m = i->module;
        for (uint32_t g = 0; g < m->nglobals - m->nimported_globals; g++)
            if (refers_to_func(i->own_globals[g].type))
                i->own_globals[g].value[0] = moved(i->own_globals[g].value[0], copies, of, n);
        for (uint32_t t = m->nimported_tables; t < m->ntables; t++) {
            struct wasm_table *table = i->tables[t];
            for (uint64_t at = 0; refers_to_func(table->elem_type) && at < table->n; at++)
                table->elems[at] = moved(table->elems[at], copies, of, n);
        }
        i->mark = mark_new(i);
    }
}
