/* SPDX-License-Identifier: Apache-2.0 */
/* Bulk memory and table operations, a piece at a time.
 * Keeps: the whole range is checked before the first byte moves; what is left to do stands in
 * the operands, so a guest can be stopped between two pieces; fuel is the length / 64, the same
 * however it was cut. */
#include "hostd/wasm/engine.h"

#include "lattice/base/num.h"

#define BYTES_PER_UNIT 64u
#define ELEM_BYTES 8u
#define ELEMS_PER_PIECE (BULK_PIECE / ELEM_BYTES)

static bool in_range(uint64_t start, uint64_t n, uint64_t size)
{
    return start <= size && n <= size - start;
}

/* Operands are addresses in slots, i32s zero-extended. The first `done` of them are through. */
static enum bulk_status advance(struct wasm_vm *vm, uint64_t *dst, uint64_t *src, uint64_t *n,
                                uint64_t done, uint32_t unit_bytes)
{
    vm->fuel_used += done * unit_bytes / BYTES_PER_UNIT;
    if (dst)
        *dst += done;
    if (src)
        *src += done;
    *n -= done;
    return *n ? BULK_MORE : BULK_DONE;
}

enum bulk_status bulk_memory_copy(struct wasm_vm *vm, uint32_t to, uint32_t from, uint64_t *dst,
                                  uint64_t *src, uint64_t *n)
{
    const struct wasm_memory *d = vm->inst->memories[to], *s = vm->inst->memories[from];
    if (!in_range(*dst, *n, d->size_bytes) || !in_range(*src, *n, s->size_bytes))
        return BULK_MEMORY;
    if (*n == 0)
        return BULK_DONE;
    uint64_t piece = MIN(*n, BULK_PIECE);
    if (*dst <= *src) {
        memmove(d->base + *dst, s->base + *src, piece);
        return advance(vm, dst, src, n, piece, 1);
    }
    uint64_t rest = *n - piece; /* overlapping upwards: the end first */
    memmove(d->base + *dst + rest, s->base + *src + rest, piece);
    return advance(vm, NULL, NULL, n, piece, 1);
}

enum bulk_status bulk_memory_fill(struct wasm_vm *vm, uint32_t memory, uint64_t *dst,
                                  uint64_t value, uint64_t *n)
{
    const struct wasm_memory *m = vm->inst->memories[memory];
    if (!in_range(*dst, *n, m->size_bytes))
        return BULK_MEMORY;
    if (*n == 0)
        return BULK_DONE;
    uint64_t piece = MIN(*n, BULK_PIECE);
    memset(m->base + *dst, (uint8_t)value, piece);
    return advance(vm, dst, NULL, n, piece, 1);
}

enum bulk_status bulk_memory_init(struct wasm_vm *vm, uint32_t memory, uint32_t segment,
                                  uint64_t *dst, uint64_t *src, uint64_t *n)
{
    const struct wasm_memory *m = vm->inst->memories[memory];
    struct span bytes = vm->inst->module->datas[segment].bytes;
    uint64_t size = vm->inst->dropped_datas[segment] ? 0 : bytes.n;
    if (!in_range(*src, *n, size) || !in_range(*dst, *n, m->size_bytes))
        return BULK_MEMORY;
    uint64_t piece = MIN(*n, BULK_PIECE);
    if (piece)
        memcpy(m->base + *dst, bytes.p + *src, piece);
    return advance(vm, dst, src, n, piece, 1);
}

static void move_exns(struct wasm_vm *vm, wasm_slot *to, const wasm_slot *from, uint64_t n,
                      bool downwards)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = downwards ? n - 1 - i : i;
        exn_set(vm, &to[at], from[at]);
    }
}

enum bulk_status bulk_table_copy(struct wasm_vm *vm, uint32_t to, uint32_t from, uint64_t *dst,
                                 uint64_t *src, uint64_t *n)
{
    struct wasm_table *d = vm->inst->tables[to], *s = vm->inst->tables[from];
    if (!in_range(*dst, *n, d->n) || !in_range(*src, *n, s->n))
        return BULK_TABLE;
    uint64_t piece = MIN(*n, ELEMS_PER_PIECE);
    bool upwards = *dst > *src;
    uint64_t at = upwards ? *n - piece : 0;
    if (type_is_exn(d->elem_type))
        move_exns(vm, d->elems + *dst + at, s->elems + *src + at, piece, upwards);
    else if (piece)
        memmove(d->elems + *dst + at, s->elems + *src + at, piece * ELEM_BYTES);
    if (upwards)
        return advance(vm, NULL, NULL, n, piece, ELEM_BYTES);
    return advance(vm, dst, src, n, piece, ELEM_BYTES);
}

enum bulk_status bulk_table_fill(struct wasm_vm *vm, uint32_t table, uint64_t *dst, uint64_t value,
                                 uint64_t *n)
{
    struct wasm_table *t = vm->inst->tables[table];
    if (!in_range(*dst, *n, t->n))
        return BULK_TABLE;
    uint64_t piece = MIN(*n, ELEMS_PER_PIECE);
    for (uint64_t i = 0; i < piece; i++)
        table_set(vm, t, *dst + i, value);
    return advance(vm, dst, NULL, n, piece, ELEM_BYTES);
}

enum bulk_status bulk_table_grow(struct wasm_vm *vm, uint32_t table, wasm_slot value, uint64_t n)
{
    struct wasm_table *t = vm->inst->tables[table];
    if (vm->grown == 0 && !table_reserve(t, n)) {
        vm->grow_result = t->type.is64 ? UINT64_MAX : UINT32_MAX;
        return BULK_DONE;
    }
    uint64_t piece = MIN(n - vm->grown, ELEMS_PER_PIECE);
    table_append(t, piece, value);
    vm->fuel_used += piece * ELEM_BYTES / BYTES_PER_UNIT;
    vm->grown += piece;
    if (vm->grown < n)
        return BULK_MORE;
    vm->grown = 0;
    vm->grow_result = t->n - n;
    return BULK_DONE;
}

enum bulk_status bulk_table_init(struct wasm_vm *vm, uint32_t table, uint32_t segment,
                                 uint64_t *dst, uint64_t *src, uint64_t *n)
{
    struct wasm_table *t = vm->inst->tables[table];
    const struct elem_segment *s = &vm->inst->module->elems[segment];
    uint64_t size = vm->inst->dropped_elems[segment] ? 0 : s->n;
    if (!in_range(*src, *n, size) || !in_range(*dst, *n, t->n))
        return BULK_TABLE;
    uint64_t piece = MIN(*n, ELEMS_PER_PIECE);
    for (uint64_t i = 0; i < piece; i++)
        table_set(vm, t, *dst + i, elem_value(vm->inst, s, (uint32_t)(*src + i)));
    return advance(vm, dst, src, n, piece, ELEM_BYTES);
}
