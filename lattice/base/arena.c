/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas of doubling blocks. Keeps: used_bytes <= max_bytes; what is handed out is zeroed. */
#include "lattice/base/arena.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include "lattice/base/num.h"

#define BLOCK_MIN 256
#define BLOCK_GROW_MAX ((size_t)1 << 20)

struct arena_block {
    struct arena_block *next;
    size_t size; /* of data */
    _Alignas(16) uint8_t data[];
};

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max_bytes = max_bytes};
}

static void free_blocks(struct arena_block *b)
{
    while (b) {
        struct arena_block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_fini(struct arena *a)
{
    free_blocks(a->head);
    *a = (struct arena){.max_bytes = a->max_bytes};
}

void arena_wipe(struct arena *a)
{
    for (struct arena_block *b = a->head; b; b = b->next)
        explicit_bzero(b->data, b->size);
    arena_fini(a);
}

void arena_reset(struct arena *a)
{
    struct arena_block *b = a->head;
    if (!b)
        return;
    free_blocks(b->next);
    b->next = NULL;
    memset(b->data, 0, (size_t)((a->end == b->data + b->size ? a->p : a->end) - b->data));
    a->p = b->data;
    a->end = b->data + b->size;
    a->used_bytes = sizeof *b + b->size;
}

/* A new head block with room for `need` bytes, alignment slack included. */
static bool add_block(struct arena *a, size_t need)
{
    size_t size = a->head ? MIN(a->head->size * 2, BLOCK_GROW_MAX) : BLOCK_MIN;
    size_t left = a->max_bytes - a->used_bytes;
    if (left <= sizeof(struct arena_block) || need > left - sizeof(struct arena_block))
        return false;
    size = MIN(MAX(size, need), left - sizeof(struct arena_block));
    struct arena_block *b = calloc(1, sizeof *b + size);
    if (!b)
        return false;
    b->size = size;
    b->next = a->head;
    a->head = b;
    a->used_bytes += sizeof *b + size;
    a->p = b->data;
    a->end = b->data + size;
    return true;
}

void *arena_alloc(struct arena *a, size_t size, size_t align)
{
    assert(align && (align & (align - 1)) == 0 && align <= 64);
    if (size == 0)
        size = 1;
    uintptr_t at = round_up((uintptr_t)a->p, align);
    if (!a->p || at > (uintptr_t)a->end || size > (uintptr_t)a->end - at) {
        size_t need;
        if (!add_ok(size, align, &need) || !add_block(a, need))
            return NULL;
        at = round_up((uintptr_t)a->p, align);
    }
    a->p = (uint8_t *)at + size;
    return (void *)at;
}

void *arena_calloc(struct arena *a, size_t count, size_t size, size_t align)
{
    size_t total;
    return mul_ok(count, size, &total) ? arena_alloc(a, total, align) : NULL;
}

struct str arena_str(struct arena *a, struct str s)
{
    size_t n;
    char *p = add_ok(s.n, (size_t)1, &n) ? arena_alloc(a, n, 1) : NULL;
    if (!p)
        return STR_NONE;
    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

struct span arena_span(struct arena *a, struct span s)
{
    return str_span(arena_str(a, span_str(s)));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1, 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return p;
}

bool arena_full(const struct arena *a, struct err *e)
{
    return err_set(e, ERR_LIMIT, "needs more than %zu bytes of memory", a->max_bytes);
}
