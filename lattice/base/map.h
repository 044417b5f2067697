/* SPDX-License-Identifier: Apache-2.0 */
/* uthash with our settings: keyed hash for keys that an outsider chooses, no exit() when out of memory.
 * Include this, never uthash.h itself. HASH_FIND_STRV etc. take a struct str key. */
#ifndef HOSTD_BASE_MAP_H
#define HOSTD_BASE_MAP_H

#include <stdint.h>
#include <stdlib.h>
#include "lattice/base/str.h"

uint32_t map_hash(const void *key, size_t n); /* seeded once per process from the kernel */

#define HASH_NONFATAL_OOM 0
#define uthash_fatal(msg) abort()
#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = map_hash((keyptr), (keylen)))
#include <uthash.h>

/* An empty view has no address, but memcmp wants one. */
static inline const char *map_key(struct str key)
{
    return key.p ? key.p : "";
}

#define MAP_FIND(head, key, out) HASH_FIND(hh, (head), map_key(key), (key).n, (out))
/* The key bytes must live as long as the item. */
#define MAP_ADD(head, key, item) HASH_ADD_KEYPTR(hh, (head), map_key(key), (key).n, (item))
#define MAP_DEL(head, item) HASH_DELETE(hh, (head), (item))

#endif
