/* SPDX-License-Identifier: Apache-2.0 */
/* Memories and tables of the reference interpreter. Spec: execution, "Memory instructions", "Table instructions".
 * Bulk operations cost fuel (interpreter.md 3.8): a unit per 64 bytes, or per 8 elements, of each piece of 64 KiB. */
#include "tests/wasm/reference/reference.h"

#include <assert.h>
#include <string.h>
#include "lattice/base/num.h"

#define PIECE_BYTES 65536u
#define ELEM_BYTES 8u

static bool inside(uint64_t at, uint64_t n, uint64_t size)
{
    return at <= size && n <= size - at;
}

/* ---- loads and stores ---- */

static const struct access {
    uint32_t op, bytes;
    bool is_store, sign_extends;
    uint32_t bits; /* of the result, when it is extended to */
} accesses[] = {
    {OP_I32_LOAD, 4, false, false, 32},    {OP_I64_LOAD, 8, false, false, 64},
    {OP_F32_LOAD, 4, false, false, 32},    {OP_F64_LOAD, 8, false, false, 64},
    {OP_I32_LOAD8_S, 1, false, true, 32},  {OP_I32_LOAD8_U, 1, false, false, 32},
    {OP_I32_LOAD16_S, 2, false, true, 32}, {OP_I32_LOAD16_U, 2, false, false, 32},
    {OP_I64_LOAD8_S, 1, false, true, 64},  {OP_I64_LOAD8_U, 1, false, false, 64},
    {OP_I64_LOAD16_S, 2, false, true, 64}, {OP_I64_LOAD16_U, 2, false, false, 64},
    {OP_I64_LOAD32_S, 4, false, true, 64}, {OP_I64_LOAD32_U, 4, false, false, 64},
    {OP_I32_STORE, 4, true, false, 0},     {OP_I64_STORE, 8, true, false, 0},
    {OP_F32_STORE, 4, true, false, 0},     {OP_F64_STORE, 8, true, false, 0},
    {OP_I32_STORE8, 1, true, false, 0},    {OP_I32_STORE16, 2, true, false, 0},
    {OP_I64_STORE8, 1, true, false, 0},    {OP_I64_STORE16, 2, true, false, 0},
    {OP_I64_STORE32, 4, true, false, 0},
};

uint8_t *ref_place(struct ref_vm *vm, const struct ref_inst *i, struct reader *r, uint64_t address,
                   uint32_t n)
{
    uint32_t flags = rd_u32(r);
    const struct ref_memory *m = i->memories[flags & MEMARG_HAS_MEMORY ? rd_u32(r) : 0];
    uint64_t offset = rd_u64(r), size = m->pages * PAGE_BYTES;
    if (offset <= size && inside(address, n, size - offset))
        return m->bytes + offset + address;
    ref_trap(vm, WASM_TRAP_MEMORY);
    return NULL;
}

bool ref_access(struct ref_vm *vm, struct ref_inst *i, uint32_t op, struct reader *r)
{
    const struct access *a = accesses;
    while (a->op != op)
        a++;
    uint64_t v = a->is_store ? ref_pop(vm).lo : 0;
    uint8_t *p = ref_place(vm, i, r, ref_pop(vm).lo, a->bytes);
    if (!p)
        return false;
    if (a->is_store) {
        for (uint32_t k = 0; k < a->bytes; k++)
            p[k] = (uint8_t)(v >> 8 * k);
        return true;
    }
    for (uint32_t k = 0; k < a->bytes; k++)
        v |= (uint64_t)p[k] << 8 * k;
    if (a->sign_extends && v >> (8 * a->bytes - 1) & 1)
        v |= UINT64_MAX << 8 * a->bytes;
    ref_push64(vm, a->bits == 32 ? (uint32_t)v : v);
    return true;
}

/* ---- bulk operations: n units of `unit` bytes ---- */

/* Called for each piece: [at, at + n) of the whole. */
typedef void piece_fn(void *what, uint64_t at, uint64_t n);

static bool in_pieces(struct ref_vm *vm, uint64_t n, uint32_t unit, bool from_end, piece_fn *fn,
                      void *what)
{
    for (uint64_t done = 0; done < n;) {
        uint64_t piece = MIN(n - done, PIECE_BYTES / unit);
        if (done > 0 && vm->fuel_used >= vm->fuel_limit)
            return ref_trap(vm, WASM_TRAP_FUEL);
        fn(what, from_end ? n - done - piece : done, piece);
        vm->fuel_used += piece * unit / 64;
        done += piece;
    }
    return true;
}

struct copy {
    void *to;
    const void *from;
    uint32_t unit;
};

static void copy_piece(void *what, uint64_t at, uint64_t n)
{
    struct copy *c = what;
    memmove((char *)c->to + at * c->unit, (const char *)c->from + at * c->unit, n * c->unit);
}

struct fill {
    struct value *elems; /* or NULL, and: */
    uint8_t *bytes;
    struct value v;
};

static void fill_piece(void *what, uint64_t at, uint64_t n)
{
    struct fill *f = what;
    for (uint64_t k = at; k < at + n; k++) {
        if (f->elems)
            f->elems[k] = f->v;
        else
            f->bytes[k] = (uint8_t)f->v.lo;
    }
}

static bool memory_copy(struct ref_vm *vm, struct ref_inst *i, struct reader *r)
{
    struct ref_memory *to = i->memories[rd_u32(r)], *from = i->memories[rd_u32(r)];
    uint64_t n = ref_pop(vm).lo, s = ref_pop(vm).lo, d = ref_pop(vm).lo;
    if (!inside(s, n, from->pages * PAGE_BYTES) || !inside(d, n, to->pages * PAGE_BYTES))
        return ref_trap(vm, WASM_TRAP_MEMORY);
    struct copy c = {to->bytes + d, from->bytes + s, 1};
    return in_pieces(vm, n, 1, d > s, copy_piece, &c);
}

static bool memory_fill(struct ref_vm *vm, struct ref_inst *i, struct reader *r)
{
    struct ref_memory *m = i->memories[rd_u32(r)];
    uint64_t n = ref_pop(vm).lo;
    struct value v = ref_pop(vm);
    uint64_t d = ref_pop(vm).lo;
    if (!inside(d, n, m->pages * PAGE_BYTES))
        return ref_trap(vm, WASM_TRAP_MEMORY);
    struct fill f = {.bytes = m->bytes + d, .v = v};
    return in_pieces(vm, n, 1, false, fill_piece, &f);
}

static bool memory_init(struct ref_vm *vm, struct ref_inst *i, struct reader *r)
{
    uint32_t segment = rd_u32(r);
    struct ref_memory *m = i->memories[rd_u32(r)];
    struct span bytes = i->module->datas[segment].bytes;
    uint64_t n = ref_pop(vm).lo, s = ref_pop(vm).lo, d = ref_pop(vm).lo;
    if (!inside(s, n, i->dropped_datas[segment] ? 0 : bytes.n) ||
        !inside(d, n, m->pages * PAGE_BYTES))
        return ref_trap(vm, WASM_TRAP_MEMORY);
    struct copy c = {m->bytes + d, bytes.p + s, 1};
    return in_pieces(vm, n, 1, false, copy_piece, &c);
}

static bool memory_grow(struct ref_vm *vm, struct ref_memory *m)
{
    uint64_t old = m->pages, failed = m->type.is64 ? UINT64_MAX : UINT32_MAX;
    ref_push64(vm, ref_memory_grow(m, ref_pop(vm).lo) ? old : failed);
    return true;
}

bool ref_bulk(struct ref_vm *vm, struct ref_inst *i, uint32_t op, struct reader *r)
{
    switch (op) {
    case OP_MEMORY_SIZE:
        ref_push64(vm, i->memories[rd_u32(r)]->pages);
        return true;
    case OP_MEMORY_GROW:
        return memory_grow(vm, i->memories[rd_u32(r)]);
    case OP_MEMORY_COPY:
        return memory_copy(vm, i, r);
    case OP_MEMORY_FILL:
        return memory_fill(vm, i, r);
    case OP_MEMORY_INIT:
        return memory_init(vm, i, r);
    default:
        assert(op == OP_DATA_DROP);
        i->dropped_datas[rd_u32(r)] = true;
        return true;
    }
}

/* ---- tables ---- */

static bool table_copy(struct ref_vm *vm, struct ref_inst *i, struct reader *r)
{
    struct ref_table *to = i->tables[rd_u32(r)], *from = i->tables[rd_u32(r)];
    uint64_t n = ref_pop(vm).lo, s = ref_pop(vm).lo, d = ref_pop(vm).lo;
    if (!inside(s, n, from->n) || !inside(d, n, to->n))
        return ref_trap(vm, WASM_TRAP_TABLE);
    struct copy c = {to->elems + d, from->elems + s, sizeof(struct value)};
    return in_pieces(vm, n, ELEM_BYTES, d > s, copy_piece, &c);
}

struct init {
    struct ref_inst *i;
    const struct elem_segment *from;
    struct value *to;
    uint64_t s;
};

static void init_piece(void *what, uint64_t at, uint64_t n)
{
    struct init *x = what;
    for (uint64_t k = at; k < at + n; k++)
        x->to[k] = ref_elem(x->i, x->from, x->s + k);
}

static bool table_init(struct ref_vm *vm, struct ref_inst *i, struct reader *r)
{
    uint32_t segment = rd_u32(r);
    struct ref_table *t = i->tables[rd_u32(r)];
    const struct elem_segment *from = &i->module->elems[segment];
    uint64_t n = ref_pop(vm).lo, s = ref_pop(vm).lo, d = ref_pop(vm).lo;
    if (!inside(s, n, i->dropped_elems[segment] ? 0 : from->n) || !inside(d, n, t->n))
        return ref_trap(vm, WASM_TRAP_TABLE);
    struct init x = {i, from, t->elems + d, s};
    return in_pieces(vm, n, ELEM_BYTES, false, init_piece, &x);
}

static bool table_fill(struct ref_vm *vm, struct ref_table *t)
{
    uint64_t n = ref_pop(vm).lo;
    struct value v = ref_pop(vm);
    uint64_t d = ref_pop(vm).lo;
    if (!inside(d, n, t->n))
        return ref_trap(vm, WASM_TRAP_TABLE);
    struct fill f = {.elems = t->elems + d, .v = v};
    return in_pieces(vm, n, ELEM_BYTES, false, fill_piece, &f);
}

static bool table_get(struct ref_vm *vm, struct ref_table *t)
{
    uint64_t at = ref_pop(vm).lo;
    if (at >= t->n)
        return ref_trap(vm, WASM_TRAP_TABLE);
    ref_push(vm, t->elems[at]);
    return true;
}

static bool table_set(struct ref_vm *vm, struct ref_table *t)
{
    struct value v = ref_pop(vm);
    uint64_t at = ref_pop(vm).lo;
    if (at >= t->n)
        return ref_trap(vm, WASM_TRAP_TABLE);
    t->elems[at] = v;
    return true;
}

struct grow {
    struct ref_table *t;
    struct value v;
    bool ok;
};

static void grow_piece(void *what, uint64_t at, uint64_t n)
{
    struct grow *g = what;
    (void)at;
    g->ok = g->ok && ref_table_grow(g->t, n, g->v);
}

static bool table_grow(struct ref_vm *vm, struct ref_table *t)
{
    uint64_t n = ref_pop(vm).lo, old = t->n, failed = t->type.is64 ? UINT64_MAX : UINT32_MAX;
    struct grow g = {t, ref_pop(vm), true};
    g.ok = n <= t->max - t->n;
    if (g.ok && !in_pieces(vm, n, ELEM_BYTES, false, grow_piece, &g))
        return false;
    ref_push64(vm, g.ok ? old : failed);
    return true;
}

bool ref_table(struct ref_vm *vm, struct ref_inst *i, uint32_t op, struct reader *r)
{
    switch (op) {
    case OP_TABLE_GET:
        return table_get(vm, i->tables[rd_u32(r)]);
    case OP_TABLE_SET:
        return table_set(vm, i->tables[rd_u32(r)]);
    case OP_TABLE_SIZE:
        ref_push64(vm, i->tables[rd_u32(r)]->n);
        return true;
    case OP_TABLE_GROW:
        return table_grow(vm, i->tables[rd_u32(r)]);
    case OP_TABLE_FILL:
        return table_fill(vm, i->tables[rd_u32(r)]);
    case OP_TABLE_COPY:
        return table_copy(vm, i, r);
    case OP_TABLE_INIT:
        return table_init(vm, i, r);
    default:
        assert(op == OP_ELEM_DROP);
        i->dropped_elems[rd_u32(r)] = true;
        return true;
    }
}
