/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas: allocate by lifetime, release at once. Every arena has a ceiling in bytes, so that memory whose
 * size an outsider chose is bounded; past it allocation returns NULL and the caller reports ERR_LIMIT.
 * One thread at a time. */
#ifndef HOSTD_BASE_ARENA_H
#define HOSTD_BASE_ARENA_H

#include <stdalign.h>
#include "lattice/base/err.h"
#include "lattice/base/str.h"

struct arena_block;

struct arena {
    struct arena_block *head;
    uint8_t *p, *end;  /* free part of the head block */
    size_t used_bytes; /* handed out and block overhead */
    size_t max_bytes;
};

void arena_init(struct arena *a, size_t max_bytes);
void arena_fini(struct arena *a);  /* takes a zeroed arena */
void arena_wipe(struct arena *a);  /* the same for one that held secrets: overwrites them first */
void arena_reset(struct arena *a); /* empties it, keeps one block */

/* Zeroed memory, or NULL at the ceiling. Size 0 gives a unique non-NULL pointer. */
void *arena_alloc(struct arena *a, size_t size, size_t align);
void *arena_calloc(struct arena *a, size_t count, size_t size, size_t align);

#define arena_new(a, type) ((type *)arena_alloc((a), sizeof(type), alignof(type)))
#define arena_array(a, type, count) \
    ((type *)arena_calloc((a), (count), sizeof(type), alignof(type)))

/* Copies; p is NULL at the ceiling. arena_str adds a terminating NUL behind the view. */
struct str arena_str(struct arena *a, struct str s);
struct span arena_span(struct arena *a, struct span s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* For `return arena_full(a, e)`: ERR_LIMIT naming the ceiling. */
bool arena_full(const struct arena *a, struct err *e);

#endif
