/* SPDX-License-Identifier: Apache-2.0 */
/* try_table and throws. A try_table emits no cell: it notes the region of its body's cells and
 * where each clause goes on, for exceptions.c to look up when something is thrown.
 *
 * Keeps: at the cells of a region everything below the block is home and locals are in their
 * slots, so that a clause finds its frame as a branch out of the block would. */
#include "hostd/wasm/translate.h"

#include <assert.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* ---- regions ---- */

/* Room for one more of n elements; grows by doubling. */
static void *room(void *array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return array;
    *cap = MAX(*cap * 2, 8u);
    return xrealloc(array, *cap * size);
}

static uint32_t open_region(struct translation *t)
{
    t->regions = room(t->regions, t->nregions, &t->regions_cap, sizeof *t->regions);
    uint32_t region = t->nregions++;
    t->regions[region] =
        (struct try_region){.start = t->n, .end = t->n, .parent = t->region, .first = t->nclauses};
    t->region = region;
    seal(t); /* no cell of one side is folded into one of the other */
    return region;
}

void close_region(struct translation *t, uint32_t region)
{
    assert(region == t->region);
    t->regions[region].end = t->n;
    t->region = t->regions[region].parent;
    seal(t); /* no cell of one side is folded into one of the other */
}

/* The labels are counted from outside of the block, which is open by now. */
static void clause(struct translation *t)
{
    uint8_t kind = *t->p++;
    uint32_t tag = kind & CATCH_ALL ? 0 : leb_u32(t), depth = leb_u32(t);
    if (t->dead)
        return;
    struct label *l = label_at(t, depth + 1);
    t->clauses = room(t->clauses, t->nclauses, &t->clauses_cap, sizeof *t->clauses);
    t->clauses[t->nclauses] =
        (struct catch_clause){.kind = kind, .tag = tag, .slot = home(t, l->height)};
    aim(t, l, t->nclauses++, FIX_CLAUSE);
}

void try_table(struct translation *t)
{
    struct label *l = push_label(t, OP_BLOCK);
    read_block_type(t, l);
    if (!t->dead) {
        flush(t, 0);
        l->height = t->sp - l->nparams;
        l->region = open_region(t);
    }
    uint32_t n = leb_u32(t);
    for (uint32_t i = 0; i < n; i++)
        clause(t);
    if (!t->dead)
        t->regions[l->region].nclauses = n;
}

/* ---- throws ---- */

static void throw_tag(struct translation *t)
{
    uint32_t tag = leb_u32(t), n = t->m->types[t->m->tags[tag]].nparams;
    for (uint32_t i = t->sp - n; i < t->sp; i++)
        force_home(t, i);
    uint32_t cell = emit(t, H_THROW, 2);
    set_field(t, cell, 0, n ? home(t, t->sp - n) : 0);
    set_imm32(t, cell, tag);
}

static void throw_ref(struct translation *t)
{
    uint32_t slot = force_slot(t, t->sp - 1);
    set_field(t, emit(t, H_THROW_REF, 2), 1, slot);
}

void write_throw(struct translation *t, uint32_t op)
{
    if (op == OP_THROW)
        throw_tag(t);
    else
        throw_ref(t);
}

/* ---- the table ---- */

bool keep_catches(const struct translation *t, const struct catch_table **out)
{
    struct arena *arena = &t->m->code_arena;
    *out = NULL;
    if (t->nregions == 0)
        return true;
    struct catch_table *table = arena_array(arena, struct catch_table, 1);
    struct try_region *regions = arena_array(arena, struct try_region, t->nregions);
    struct catch_clause *clauses = arena_array(arena, struct catch_clause, t->nclauses);
    if (!table || !regions || !clauses)
        return false;
    memcpy(regions, t->regions, t->nregions * sizeof *regions);
    if (t->nclauses)
        memcpy(clauses, t->clauses, t->nclauses * sizeof *clauses);
    *table = (struct catch_table){t->nregions, regions, clauses};
    *out = table;
    return true;
}
