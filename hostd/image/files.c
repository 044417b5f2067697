/* SPDX-License-Identifier: Apache-2.0 */
/* Files that somebody named: read whole, or looked at. */
#include "hostd/image/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hostd/image/par.h"
#include "lattice/base/alloc.h"
#include "lattice/base/buf.h"

#define HEAD_BYTES 512

/* -1: e says why. */
static int open_file(const char *path, struct stat *st, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        err_errno(e, errno, "open '%s'", path);
        return -1;
    }
    if (fstat(fd, st) != 0)
        err_errno(e, errno, "read '%s'", path);
    else if (!S_ISREG(st->st_mode))
        err_set(e, ERR_INVALID, "'%s' is not a regular file", path);
    else
        return fd;
    close(fd);
    return -1;
}

/* Reads n bytes or to the end of the file, whichever comes first. */
static bool read_up_to(int fd, const char *path, uint8_t *out, size_t n, size_t *got, struct err *e)
{
    for (*got = 0; *got < n;) {
        ssize_t k = read(fd, out + *got, n - *got);
        if (k < 0 && errno != EINTR)
            return err_errno(e, errno, "read '%s'", path);
        if (k == 0)
            break;
        *got += k > 0 ? (size_t)k : 0;
    }
    return true;
}

bool file_read(const char *path, uint64_t bytes_max, struct span *out, struct err *e)
{
    struct stat st;
    int fd = open_file(path, &st, e);
    if (fd < 0)
        return false;
    bool ok = (uint64_t)st.st_size <= bytes_max ||
              err_set(e, ERR_LIMIT, "'%s' has %" PRIu64 " bytes, at most %" PRIu64 " are read",
                      path, (uint64_t)st.st_size, bytes_max);
    struct buf b;
    buf_init(&b, (size_t)st.st_size);
    uint8_t *p = ok ? buf_grow(&b, (size_t)st.st_size) : NULL;
    ok = ok && read_up_to(fd, path, p, (size_t)st.st_size, &b.n, e);
    close(fd);
    if (ok)
        out->p = buf_take(&b, &out->n);
    buf_fini(&b);
    return ok;
}

static bool write_all(int fd, struct span bytes)
{
    for (size_t at = 0; at < bytes.n;) {
        ssize_t n = write(fd, bytes.p + at, bytes.n - at);
        if (n < 0 && errno != EINTR)
            return false;
        at += n > 0 ? (size_t)n : 0;
    }
    return true;
}

bool file_write(const char *path, struct span bytes, mode_t mode, struct err *e)
{
    char *temporary = xasprintf("%s.XXXXXX", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    bool ok = fd >= 0 && write_all(fd, bytes) && fchmod(fd, mode) == 0;
    int why = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        why = errno;
        ok = false;
    }
    if (ok && rename(temporary, path) != 0) {
        why = errno;
        ok = false;
    }
    if (!ok && fd >= 0)
        unlink(temporary);
    free(temporary);
    return ok || err_errno(e, why, "write '%s'", path);
}

bool file_is_program(const char *path, bool *archive, struct err *e)
{
    struct stat st;
    uint8_t head[HEAD_BYTES];
    size_t n = 0;
    int fd = open_file(path, &st, e);
    if (fd < 0)
        return false;
    bool ok = read_up_to(fd, path, head, sizeof head, &n, e);
    close(fd);
    if (!ok)
        return false;
    *archive = par_looks_like((struct span){head, n});
    if (*archive)
        return true;
    if (n >= 4 && memcmp(head, "\0asm", 4) == 0)
        return err_set(e, ERR_INVALID, "'%s' is WebAssembly: a provider is an executable", path);
    if (n < 4 || (memcmp(head,
                         "\x7f"
                         "ELF",
                         4) != 0 &&
                  memcmp(head, "#!", 2) != 0))
        return err_set(e, ERR_UNSUPPORTED,
                       "'%s' is neither an executable nor a provider archive (.par, .par.gz)",
                       path);
    return access(path, X_OK) == 0 || err_errno(e, errno, "'%s' may not be executed", path);
}
