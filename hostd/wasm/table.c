/* SPDX-License-Identifier: Apache-2.0 */
/* Tables: their elements, and how they grow. Large ones are mappings of their own, because those grow without
 * being copied: growing is stopped between two pieces (bulk.c), so no step of it may take long.
 * Keeps: n elements are set, cap have room, and n <= cap, n <= max; elements that are exceptions are
 * held. Instances that failed after they had filled a table live until it is freed. */
#include "hostd/wasm/engine.h"

#include <sys/mman.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define MAPPED_BYTES ((size_t)64 << 10) /* from here on */

/* ---- elements ---- */

static size_t bytes_of(uint64_t n)
{
    return round_up(n * sizeof(wasm_slot), (size_t)4096);
}

static bool is_mapped(const struct wasm_table *t)
{
    return t->cap * sizeof(wasm_slot) >= MAPPED_BYTES;
}

/* NULL: no room. */
static wasm_slot *map(struct wasm_table *t, size_t bytes)
{
    if (is_mapped(t)) {
        void *moved = mremap(t->elems, bytes_of(t->cap), bytes, MREMAP_MAYMOVE);
        return moved == MAP_FAILED ? NULL : moved;
    }
    void *elems = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (elems == MAP_FAILED)
        return NULL;
    if (t->n)
        memcpy(elems, t->elems, t->n * sizeof *t->elems);
    free(t->elems);
    mappings_add(1);
    return elems;
}

bool table_reserve(struct wasm_table *t, uint64_t n)
{
    if (n > t->max - t->n)
        return false;
    uint64_t cap = t->n + n; /* at most max, which is bounded by the limit on table elements */
    if (cap <= t->cap)
        return true;
    if (cap * sizeof(wasm_slot) >= MAPPED_BYTES)
        cap = bytes_of(cap) / sizeof(wasm_slot);
    wasm_slot *elems = cap * sizeof(wasm_slot) >= MAPPED_BYTES
                           ? map(t, bytes_of(cap))
                           : try_realloc(t->elems, cap * sizeof *elems);
    if (!elems)
        return false;
    t->elems = elems;
    t->cap = cap;
    return true;
}

void table_append(struct wasm_table *t, uint64_t n, wasm_slot value)
{
    for (uint64_t i = 0; i < n; i++)
        t->elems[t->n + i] = value;
    if (type_is_exn(t->elem_type))
        exn_hold(value, n);
    t->n += n;
}

void table_set(struct wasm_vm *vm, struct wasm_table *t, uint64_t at, wasm_slot value)
{
    if (type_is_exn(t->elem_type))
        exn_set(vm, &t->elems[at], value);
    else
        t->elems[at] = value;
}

/* ---- life ---- */

struct wasm_table *table_new(struct type_in elem, const struct wasm_limits_type *type,
                             uint64_t elems_max, wasm_slot init, struct err *e)
{
    struct wasm_table *t = xnew(struct wasm_table);
    t->elem_type = elem.type;
    t->refs = elem.refs;
    t->type = *type;
    t->max = type->has_max ? MIN(type->max, elems_max) : elems_max;
    if (type->min > t->max || !table_reserve(t, type->min)) {
        free(t);
        err_set(e, ERR_LIMIT, "table wants %llu elements, the limit is %llu",
                (unsigned long long)type->min, (unsigned long long)elems_max);
        return NULL;
    }
    table_append(t, type->min, init);
    return t;
}

struct wasm_table *wasm_table_new(uint8_t elem_type, const struct wasm_limits_type *type,
                                  wasm_slot init, struct err *e)
{
    return table_new((struct type_in){elem_type, NULL}, type, TABLE_ELEMS_DEFAULT, init, e);
}

void table_keep(struct wasm_table *t, struct wasm_inst *orphan)
{
    t->orphans = xrealloc(t->orphans, (t->norphans + 1) * sizeof(struct wasm_inst *));
    t->orphans[t->norphans++] = orphan;
}

void wasm_table_free(struct wasm_table *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->norphans; i++)
        inst_let_go(t->orphans[i]);
    for (uint64_t i = 0; type_is_exn(t->elem_type) && i < t->n; i++)
        exn_release(NULL, t->elems[i]);
    free(t->orphans);
    if (is_mapped(t)) {
        munmap(t->elems, bytes_of(t->cap));
        mappings_add(-1);
    } else {
        free(t->elems);
    }
    free(t);
}
