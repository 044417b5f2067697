/* SPDX-License-Identifier: Apache-2.0 */
/* Regular files, whole. Blocking; any thread. */
#ifndef HOSTD_IMAGE_FILES_H
#define HOSTD_IMAGE_FILES_H

#include <sys/types.h>
#include "lattice/base/err.h"
#include "lattice/base/str.h"

/* Malloced bytes. Only regular files: a pipe or a device might never end. */
bool file_read(const char *path, uint64_t bytes_max, struct span *out, struct err *e);

/* Writes to a name of its own beside the path and renames. */
bool file_write(const char *path, struct span bytes, mode_t mode, struct err *e);

/* May it be run as a provider? *archive tells that it looks like a provider archive instead. */
bool file_is_program(const char *path, bool *archive, struct err *e);

#endif
