/* SPDX-License-Identifier: Apache-2.0 */
/* Images on disk, in a folder that only this user may write:
 *
 *     blobs/HEX       bytes by their SHA-256, verified whenever they are opened
 *     programs/HEX    executables of providers, likewise
 *     tags/NAME       what a tag last meant: the digest of a manifest
 *     notes/NAME      what was found out about an image (notes.c)
 *
 * Everything is written to a name of its own and renamed, so several processes may share the folder and a crash
 * leaves nothing half done. Blocking; any thread. evict.c says what stays. */
#ifndef HOSTD_IMAGE_CACHE_H
#define HOSTD_IMAGE_CACHE_H

#include "lattice/base/err.h"
#include "lattice/base/str.h"

#define DIGEST_LEN (7 + 64) /* "sha256:" and lower-case hexadecimal */

/* Is it one that we understand? */
bool digest_valid(struct str digest);
char *digest_of(struct span bytes, char out[DIGEST_LEN + 1]); /* returns out */

/* Makes the folders when needed; refuses one that belongs to somebody else. */
bool cache_open(const char *folder, struct err *e);

/* Malloced bytes; false when it is not there, not what its name says (then it is removed) or larger. */
bool cache_get(const char *folder, struct str digest, uint64_t bytes_max, struct span *out);
bool cache_put(const char *folder, struct str digest, struct span bytes, struct err *e);

char *cache_blob_path(const char *folder, struct str digest); /* free() it */

/* The path of an executable with this content, written unless it is there and sound. free() it; NULL: e. */
char *cache_program(const char *folder, struct span bytes, struct err *e);

/* What reference (any text) last meant. */
bool cache_tag_get(const char *folder, struct str reference, char digest[DIGEST_LEN + 1]);
bool cache_tag_put(const char *folder, struct str reference, struct str digest, struct err *e);

/* ---- evict.c ---- */

struct image_hold *image_hold_new(void);
/* The file is in use until the hold is freed, and was used just now. False: it is not there, or there is no
 * descriptor left for it; then it is like any other. */
bool image_hold_add(struct image_hold *h, const char *path);

#endif
