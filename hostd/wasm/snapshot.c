/* SPDX-License-Identifier: Apache-2.0 */
/* Marking an instance and taking it back there: what it defines itself, that is memories
 * (images, memory.c), globals, tables and dropped segments. */
#include "hostd/wasm/engine.h"

#include <assert.h>
#include "lattice/base/alloc.h"

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
        free(mark->tables[n].elems);
    }
    free(mark->dropped_datas);
    free(mark->dropped_elems);
    free(mark->globals);
    free(mark);
}

static void *copy_of(const void *p, size_t size)
{
    void *copy = xalloc(size);
    if (size)
        memcpy(copy, p, size);
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

static struct inst_mark *mark_new(const struct wasm_inst *i)
{
    const struct wasm_module *m = i->module;
    uint32_t ntables = m->ntables - m->nimported_tables;
    struct inst_mark *mark = xalloc(sizeof *mark + ntables * sizeof mark->tables[0]);
    mark->nglobals = m->nglobals - m->nimported_globals;
    mark->globals = copy_of(i->own_globals, mark->nglobals * sizeof *mark->globals);
    mark->dropped_elems = copy_of(i->dropped_elems, m->nelems * sizeof(bool));
    mark->dropped_datas = copy_of(i->dropped_datas, m->ndatas * sizeof(bool));
    mark->ntables = ntables;
    for (uint32_t n = 0; n < ntables; n++) {
        const struct wasm_table *t = i->tables[m->nimported_tables + n];
        mark->tables[n].n = t->n;
        mark->tables[n].exns = type_is_exn(t->elem_type);
        mark->tables[n].elems = copy_of(t->elems, t->n * sizeof *t->elems);
    }
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
