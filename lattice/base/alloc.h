/* SPDX-License-Identifier: Apache-2.0 */
/* Memory whose size we chose comes from here and never fails: out of memory stops the process with a
 * message. Memory whose size an outsider chose comes from an arena or buf with a ceiling. Released with
 * free(). Also AUTO and MOVE: scope-bound owners. Any thread. */
#ifndef HOSTD_BASE_ALLOC_H
#define HOSTD_BASE_ALLOC_H

#include <stddef.h>
#include <stdlib.h>

void *xalloc(size_t size); /* zeroed */
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
/* A size that an outsider chose and the caller has bounded: NULL when there is no memory, p stays as it was. */
void *try_realloc(void *p, size_t size);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define xnew(type) ((type *)xalloc(sizeof(type)))

/* `AUTO(thing_freep) struct thing *t = ...;` releases t at the end of scope through
 * `static inline void thing_freep(struct thing **t)`. MOVE(t) hands it out and leaves NULL. */
#define AUTO(freep) __attribute__((cleanup(freep)))
#define MOVE(v)                     \
    ({                              \
        __typeof__(v) moved_ = (v); \
        (v) = NULL;                 \
        moved_;                     \
    })

static inline void free_p(void *pp)
{
    free(*(void **)pp);
}
#define AUTO_FREE AUTO(free_p)

void free_secret(char *text); /* overwrites it first; NULL is fine */
static inline void free_secret_p(char **text)
{
    free_secret(*text);
}
#define AUTO_FREE_SECRET AUTO(free_secret_p)

#endif
