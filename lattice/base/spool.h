/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of bytes that may become long: the oldest in memory, what does not fit there in a temporary file that has no
 * name, so that nothing stays behind whatever ends the process. A spool belongs to one thread at a time; any number of
 * them share the bounds of a struct spool_disk, from any threads.
 * With a file, putting and peeking take as long as the file system does: not for the loop thread. */
#ifndef HOSTD_BASE_SPOOL_H
#define HOSTD_BASE_SPOOL_H

#include <stdatomic.h>
#include <stdint.h>
#include "lattice/base/buf.h"

/* What spools may put into files; outlives them. */
struct spool_disk {
    const char *folder;      /* NULL: $TMPDIR, or the system's temporary folder */
    uint64_t file_bytes_max; /* of one spool */
    uint64_t bytes_max;      /* of all together */
    _Atomic uint64_t bytes;  /* taken now */
};

struct spool {
    struct buf head; /* the oldest bytes, from `at` on */
    size_t at, memory_max;
    struct spool_disk *disk; /* NULL: memory only */
    int fd;                  /* -1: no file */
    /* Of the file: what lies before `freed` was given back, before `begin` it was read; at `end` the next byte goes. */
    uint64_t freed, begin, end;
};

void spool_init(struct spool *s, size_t memory_max, struct spool_disk *disk);
void spool_fini(struct spool *s); /* leaves an empty, usable spool */

/* Copies. ERR_LIMIT: a bound is reached, descriptors included; ERR_IO and others: the file cannot be made or written,
 * for instance because the disk is full. The text says which. What was put before is still there. */
bool spool_put(struct spool *s, struct span data, struct err *e);
/* The oldest bytes, at least one unless the spool is empty; until the next call. ERR_IO: they cannot be read. */
bool spool_peek(struct spool *s, struct span *view, struct err *e);
void spool_take(struct spool *s, size_t n); /* of what peek showed */
uint64_t spool_size(const struct spool *s);
void spool_clear(struct spool *s);

#endif
