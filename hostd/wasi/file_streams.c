/* SPDX-License-Identifier: Apache-2.0 */
/* Streams over file descriptors: of files, each with a position of its own, and the process's standard streams.
 * Keeps: a stream owns its descriptor; what was read ahead is given out before anything else is read. */
#include "hostd/wasi/files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define STREAM_BYTES 65536u /* read ahead, and accepted by one write */

static int duplicate(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static struct wasi_error stream_failure(int error)
{
    return (struct wasi_error){
        .http_code = WASI_NO_HTTP_CODE, .file_errno = error, .text = strerrordesc_np(error)};
}

/* ---- input ---- */

struct source {
    struct wasi_ctx *ctx;
    int fd;
    enum files_place place;
    uint64_t at;     /* of the next read, FILES_AT_OFFSET */
    size_t from, to; /* read ahead, not yet taken */
    bool ended;
    int error;
    uint8_t bytes[STREAM_BYTES];
};

/* A pipe or terminal that has nothing yet must not stop a guest that also waits for a timer. */
static bool has_input(const struct source *f)
{
    struct pollfd p = {.fd = f->fd, .events = POLLIN};
    return f->place == FILES_AT_OFFSET || poll(&p, 1, 0) != 0;
}

static void fill(struct source *f)
{
    ssize_t n;
    do {
        n = f->place == FILES_AT_OFFSET ? pread(f->fd, f->bytes, sizeof f->bytes, (off_t)f->at)
                                        : read(f->fd, f->bytes, sizeof f->bytes);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN && f->place == FILES_AT_CURRENT) { /* somebody else was faster */
        wasi_watch(f->ctx, f->fd);
        return;
    }
    f->error = n < 0 ? errno : 0;
    f->ended = n == 0;
    f->from = 0;
    f->to = n > 0 ? (size_t)n : 0;
    f->at += f->to;
}

static enum wasi_state source_peek(struct wasi_input *s, struct span *view)
{
    struct source *f = s->source;
    if (f->from == f->to && !f->ended && !f->error) {
        if (has_input(f))
            fill(f);
        else
            wasi_watch(f->ctx, f->fd);
    }
    *view = (struct span){f->bytes + f->from, f->to - f->from};
    if (f->error)
        s->failure = stream_failure(f->error);
    return f->error ? WASI_FAILED : f->ended ? WASI_CLOSED : WASI_OPEN;
}

static void source_take(struct wasi_input *s, size_t n)
{
    struct source *f = s->source;
    f->from += n;
}

static void source_drop(struct wasi_input *s)
{
    struct source *f = s->source;
    if (f->fd >= 0)
        close(f->fd);
    free(f);
}

static const struct wasi_input_ops source_ops = {source_peek, source_take, source_drop};

struct wasi_input *files_input(struct wasi_ctx *c, int fd, enum files_place place, uint64_t offset)
{
    struct source *f = xnew(struct source);
    f->ctx = c;
    f->place = place;
    f->at = offset;
    f->fd = duplicate(fd);
    f->error = f->fd < 0 ? errno : 0;
    return wasi_input_new(&source_ops, f);
}

/* ---- output ---- */

struct sink {
    int fd;
    enum files_place place;
    uint64_t at;
    int error;
};

static enum wasi_state sink_room(struct wasi_output *s, size_t *n)
{
    const struct sink *f = s->sink;
    *n = f->error ? 0 : STREAM_BYTES;
    if (f->error)
        s->failure = stream_failure(f->error);
    return f->error ? WASI_FAILED : WASI_OPEN;
}

static ssize_t write_some(const struct sink *f, struct span data)
{
    struct iovec piece = {(void *)(uintptr_t)data.p, data.n};
    switch (f->place) {
    case FILES_AT_OFFSET:
        return pwrite(f->fd, data.p, data.n, (off_t)f->at);
    case FILES_AT_END:
        return pwritev2(f->fd, &piece, 1, 0, RWF_APPEND);
    case FILES_AT_CURRENT:
        break;
    }
    return write(f->fd, data.p, data.n);
}

static void sink_write(struct wasi_output *s, struct span data)
{
    struct sink *f = s->sink;
    while (data.n > 0 && !f->error) {
        ssize_t n = write_some(f, data);
        if (n >= 0) {
            data = (struct span){data.p + n, data.n - (size_t)n};
            f->at += (uint64_t)n;
        } else if (errno == EAGAIN) { /* a pipe that somebody made non-blocking */
            poll(&(struct pollfd){.fd = f->fd, .events = POLLOUT}, 1, -1);
        } else if (errno != EINTR) {
            f->error = errno;
        }
    }
}

static bool sink_flushed(struct wasi_output *s)
{
    (void)s;
    return true;
}

static void sink_drop(struct wasi_output *s)
{
    struct sink *f = s->sink;
    if (f->fd >= 0)
        close(f->fd);
    free(f);
}

static const struct wasi_output_ops sink_ops = {sink_room, sink_write, sink_flushed, sink_drop};

struct wasi_output *files_output(int fd, enum files_place place, uint64_t offset)
{
    struct sink *f = xnew(struct sink);
    f->place = place;
    f->at = offset;
    f->fd = duplicate(fd);
    f->error = f->fd < 0 ? errno : 0;
    return wasi_output_new(&sink_ops, f);
}
