/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps: every byte of the file is newer than every byte in memory; while there is a file nothing is appended to the
 * memory but what is read from it; the file is closed as soon as all of it was read, which gives its room back at once.
 * While a reader follows closely behind a writer, what was read is punched out of the file now and then. */
#include "lattice/base/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define REFILL_BYTES (256u << 10)
#define PUNCH_BYTES (4u << 20)

void spool_init(struct spool *s, size_t memory_max, struct spool_disk *disk)
{
    *s = (struct spool){.memory_max = memory_max, .disk = disk, .fd = -1};
}

static void file_close(struct spool *s)
{
    if (s->fd < 0)
        return;
    close(s->fd);
    s->disk->bytes -= s->end - s->freed;
    s->fd = -1;
    s->freed = s->begin = s->end = 0;
}

void spool_clear(struct spool *s)
{
    file_close(s);
    buf_clear(&s->head);
    s->at = 0;
}

void spool_fini(struct spool *s)
{
    file_close(s);
    buf_fini(&s->head);
    s->at = 0;
}

static size_t in_memory(const struct spool *s)
{
    return s->head.n - s->at;
}

uint64_t spool_size(const struct spool *s)
{
    return in_memory(s) + (s->end - s->begin);
}

/* ---- the file ---- */

static const char *folder_of(const struct spool_disk *d)
{
    const char *tmp = getenv("TMPDIR");
    return d->folder ? d->folder : tmp && tmp[0] == '/' ? tmp : P_tmpdir;
}

/* Not every file system knows files without a name. */
static int open_and_unlink(const char *folder)
{
    char *path = xasprintf("%s/spool-XXXXXX", folder);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    free(path);
    return fd;
}

static bool file_open(struct spool *s, struct err *e)
{
    const char *folder = folder_of(s->disk);
    s->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (s->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        s->fd = open_and_unlink(folder);
    return s->fd >= 0 || err_errno(e, errno, "temporary file in %s", folder);
}

static bool reserve(struct spool *s, uint64_t n, struct err *e)
{
    struct spool_disk *d = s->disk;
    uint64_t mine = s->end - s->freed;
    if (n > d->file_bytes_max - MIN(mine, d->file_bytes_max))
        return err_set(e, ERR_LIMIT, "%" PRIu64 " bytes wait, the limit is %" PRIu64,
                       spool_size(s) + n, d->file_bytes_max);
    uint64_t before = atomic_fetch_add(&d->bytes, n);
    if (before <= d->bytes_max && n <= d->bytes_max - before)
        return true;
    d->bytes -= n;
    return err_set(e, ERR_LIMIT, "temporary files hold %" PRIu64 " bytes, the limit is %" PRIu64,
                   before, d->bytes_max);
}

static bool write_at(int fd, uint64_t at, struct span data, struct err *e)
{
    while (data.n > 0) {
        ssize_t n = pwrite(fd, data.p, data.n, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_errno(e, n < 0 ? errno : ENOSPC, "write a temporary file");
        at += (uint64_t)n;
        data = (struct span){data.p + n, data.n - (size_t)n};
    }
    return true;
}

static bool file_put(struct spool *s, struct span data, struct err *e)
{
    if (!reserve(s, data.n, e))
        return false;
    if ((s->fd < 0 && !file_open(s, e)) || !write_at(s->fd, s->end, data, e)) {
        s->disk->bytes -= data.n;
        return false;
    }
    s->end += data.n;
    return true;
}

/* Gives back what was read, where the file system can; else it counts until the file is closed. */
static void file_punch(struct spool *s)
{
    uint64_t n = s->begin - s->freed;
    if (n < PUNCH_BYTES || fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                     (off_t)s->freed, (off_t)n) != 0)
        return;
    s->disk->bytes -= n;
    s->freed = s->begin;
}

/* The next bytes of the file into the memory, which is empty. */
static bool refill(struct spool *s, struct err *e)
{
    size_t want = (size_t)MIN(s->end - s->begin, (uint64_t)REFILL_BYTES), got = 0;
    buf_clear(&s->head);
    s->at = 0;
    uint8_t *to = buf_grow(&s->head, want);
    while (got < want) {
        ssize_t n = pread(s->fd, to + got, want - got, (off_t)(s->begin + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            buf_clear(&s->head);
            return err_errno(e, n < 0 ? errno : EIO, "read a temporary file");
        }
        got += (size_t)n;
    }
    s->begin += want;
    if (s->begin == s->end)
        file_close(s);
    else
        file_punch(s);
    return true;
}

/* ---- the queue ---- */

bool spool_put(struct spool *s, struct span data, struct err *e)
{
    size_t waiting = in_memory(s);
    if (s->fd < 0 && waiting <= s->memory_max && data.n <= s->memory_max - waiting) {
        buf_put(&s->head, data.p, data.n);
        return true;
    }
    return s->disk ? data.n == 0 || file_put(s, data, e)
                   : err_set(e, ERR_LIMIT, "%zu bytes wait, the limit is %zu", waiting + data.n,
                             s->memory_max);
}

bool spool_peek(struct spool *s, struct span *view, struct err *e)
{
    if (in_memory(s) == 0 && s->fd >= 0 && !refill(s, e))
        return false;
    *view = (struct span){s->head.p + s->at, in_memory(s)};
    return true;
}

/* The taken front goes when it outweighs the rest, which keeps many small steps linear. */
void spool_take(struct spool *s, size_t n)
{
    assert(n <= in_memory(s));
    s->at += n;
    if (s->at >= in_memory(s)) {
        buf_drop(&s->head, s->at);
        s->at = 0;
    }
}
