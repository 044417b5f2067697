/* SPDX-License-Identifier: Apache-2.0 */
/* Provider archives: a tar file, optionally compressed with gzip, with the claims of a provider and one executable
 * per target ("x86_64-linux"). Entries are known by their base name without its extension, in any order; their modes
 * and times mean nothing. Any thread. Spec: lattice protocol 6.2. */
#ifndef HOSTD_IMAGE_PAR_H
#define HOSTD_IMAGE_PAR_H

#include "lattice/base/arena.h"
#include "lattice/base/buf.h"

#define PAR_TARGETS_MAX 32

struct par_binary {
    struct str target;
    struct span bytes; /* empty when it was not asked for */
};

struct par {
    struct arena arena;
    struct str token;
    struct span world; /* the provider's WIT package as a binary; empty: none */
    struct par_binary binaries[PAR_TARGETS_MAX];
    size_t nbinaries;
};

/* The target of this machine. */
struct str par_native(void);

/* gzip or tar: what an archive begins with. */
bool par_looks_like(struct span file);

/* Unpacks at most bytes_max bytes; of the binaries only the one for `target`, an empty target means all, and
 * PAR_NONE none. Release with par_fini, also when it failed. */
#define PAR_NONE STR("-")
bool par_read(struct span file, uint64_t bytes_max, struct str target, struct par *out,
              struct err *e);
void par_fini(struct par *p);

struct par_binary *par_find(struct par *p, struct str target);

/* Are the claims sound at this time, and do the binary of `target` and the WIT package match the hashes in them? */
bool par_check(struct par *p, struct str target, uint64_t now_s, struct err *e);

/* Appends the archive, claims first. */
bool par_write(const struct par *p, bool compressed, struct buf *out, struct err *e);

#endif
