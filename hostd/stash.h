/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that wait on disk for the loop thread, which never waits for the disk itself: spools, on a thread of their own.
 *   stash_new -> stash_put, stash_get -> on_data, once for each get; or on_fail, once -> stash_free
 * Everything here is for the loop thread, and both callbacks come there, never inside a function of these. Private to
 * the daemon. */
#ifndef HOSTD_STASH_H
#define HOSTD_STASH_H

#include "lattice/base/buf.h"
#include "lattice/base/err.h"

struct loop;
struct spool_disk;
struct stash;
struct stashes; /* of a host: the thread */

/* Bytes put, of all stashes together, that the disk has not taken yet. */
#define STASH_PENDING_BYTES_MAX (64u << 20)

/* The spools' bounds are limits', which outlives it. */
struct stashes *stashes_open(struct loop *loop, struct spool_disk *limits);
/* All of them were freed. Drains the loop. NULL is fine. */
void stashes_close(struct stashes *all);

/* The bytes that were put first; they live during the callback. */
typedef void stash_data_fn(void *user, struct span data);
/* They cannot be had, ever: ERR_LIMIT when a bound is reached, else the disk's fault. */
typedef void stash_fail_fn(void *user, const struct err *why);

struct stash *stash_new(struct stashes *all, stash_data_fn *on_data, stash_fail_fn *on_fail,
                        void *user);
void stash_free(struct stash *s); /* no callback comes after this; NULL is fine */
/* Copies. ERR_LIMIT: past STASH_PENDING_BYTES_MAX. */
bool stash_put(struct stash *s, struct span data, struct err *e);
/* There are bytes, and none were asked for. */
void stash_get(struct stash *s);

#endif
