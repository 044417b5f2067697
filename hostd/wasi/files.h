/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the machine, for filesystem.c and cli.c: paths that cannot leave their directory, and streams over file
 * descriptors. Functions that can fail return an errno value, 0 when all went well.
 *
 * These calls block the thread. That is fine for `hostctl run`, which has nothing else to do; the daemon hands out
 * no directory and no standard stream, so there no guest ever gets here. */
#ifndef HOSTD_WASI_FILES_H
#define HOSTD_WASI_FILES_H

#include <limits.h>
#include <sys/types.h>
#include "hostd/wasi/wasi_int.h"

/* Opens `path` below the directory, with flags of open(2): never above it, never through a link that leads out
 * (EPERM). This is the only place where a guest's path is resolved. */
int files_open(int dir, struct str path, int flags, mode_t mode, int *fd);

/* The directory that holds what `path` names, opened below dir, and the last part of the path: a single name, perhaps
 * with slashes behind it, for system calls that do not follow a link there. close(parent). */
struct files_name {
    int parent;
    char name[NAME_MAX + 2];
};
int files_name(int dir, struct str path, struct files_name *out);

/* Where a stream reads or writes. */
enum files_place {
    FILES_AT_OFFSET,  /* at a position of its own */
    FILES_AT_END,     /* output only: each write behind the last byte */
    FILES_AT_CURRENT, /* where the descriptor stands: terminals and pipes, too */
};
/* Streams on a duplicate of fd: they live on when the fd is closed. A duplicate that could not be made shows as a
 * failure of the first operation. offset is at most INT64_MAX. */
struct wasi_input *files_input(struct wasi_ctx *c, int fd, enum files_place place, uint64_t offset);
struct wasi_output *files_output(int fd, enum files_place place, uint64_t offset);

#endif
