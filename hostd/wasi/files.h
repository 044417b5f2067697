/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the machine, for filesystem.c, cli.c and WASI 0.1: paths that cannot leave their directory, what can be done
 * with what they name, and streams over file descriptors. Functions that can fail return an errno value, 0 when all
 * went well.
 *
 * These calls block the thread. That is fine for `hostctl run`, which has nothing else to do; the daemon hands out
 * no directory and no standard stream, so there no guest ever gets here. */
#ifndef HOSTD_WASI_FILES_H
#define HOSTD_WASI_FILES_H

#include <limits.h>
#include <sys/types.h>
#include "hostd/wasi/wasi_int.h"

/* ---- paths (files.c) ---- */

/* Bits of open-flags (0.2) and oflags (0.1). */
enum { FILES_CREATE = 1, FILES_DIRECTORY = 2, FILES_EXCLUSIVE = 4, FILES_TRUNCATE = 8 };

struct files_how {
    uint64_t open; /* FILES_CREATE ... */
    bool follow;   /* a link that the path ends with */
    bool read, write, sync, data_sync;
};
/* Opens `path` below the directory: never above it, never through a link that leads out (EPERM). EINVAL when what is
 * asked contradicts itself. */
int files_open(int dir, struct str path, const struct files_how *how, int *fd);
/* What a path names, to look at or touch: without access to its content. */
int files_look(int dir, struct str path, bool follow, int *fd);

/* advice: a case of 0.2's enum, which are 0.1's values, too. */
int files_advise(int fd, uint64_t offset, uint64_t length, uint32_t advice);

int files_make_directory(int dir, struct str path);
int files_remove_directory(int dir, struct str path);
int files_unlink(int dir, struct str path);
int files_rename(int dir, struct str path, int to_dir, struct str to);
int files_link(int dir, struct str path, int to_dir, struct str to); /* does not follow */
/* A link may point anywhere below; that it does not lead out is seen to when it is followed. */
int files_make_link(struct str target, int dir, struct str path);
int files_read_link(int dir, struct str path, char target[PATH_MAX], size_t *n);

/* ---- streams (file_streams.c) ---- */

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
