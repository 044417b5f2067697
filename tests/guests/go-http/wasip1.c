/* SPDX-License-Identifier: Apache-2.0 */
/* What Go's runtime wants of WASI 0.1, straight on WASI 0.2, merged with Go's module. Not the public adapter: that
 * needs memory of its own, from an exported allocator, which in Go cannot run before the runtime is up, or else by
 * growing the memory, of which Go takes itself for the only user and soon overwrites what another put there.
 * Keeps: all memory used lies below 12 KiB, which Go leaves alone: the stack in the page of null pointers, then static
 * data. */
#include <stddef.h>
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define WASI(type, name) __attribute__((export_name(#name))) type name
#define ERRNO_BADF 8
#define ERRNO_NOTSUP 58

typedef int32_t handle_t;

IMPORT("wasi:clocks/monotonic-clock@0.2.12", "now") uint64_t monotonic_now(void);
IMPORT("wasi:clocks/monotonic-clock@0.2.12", "subscribe-duration") handle_t subscribe_duration(uint64_t ns);
IMPORT("wasi:clocks/monotonic-clock@0.2.12", "subscribe-instant") handle_t subscribe_instant(uint64_t ns);
IMPORT("wasi:io/poll@0.2.12", "[method]pollable.block") void pollable_block(handle_t pollable);
IMPORT("wasi:io/poll@0.2.12", "[resource-drop]pollable") void pollable_drop(handle_t pollable);
IMPORT("wasi:random/random@0.2.12", "get-random-u64") uint64_t random_u64(void);
IMPORT("wasi:cli/stderr@0.2.12", "get-stderr") handle_t get_stderr(void);
IMPORT("wasi:io/streams@0.2.12", "[method]output-stream.blocking-write-and-flush")
void stream_write(handle_t stream, const void *p, size_t n, void *ret);
IMPORT("wasi:io/streams@0.2.12", "[resource-drop]output-stream") void stream_drop(handle_t stream);

struct datetime {
    uint64_t seconds;
    uint32_t nanoseconds;
};
IMPORT("wasi:clocks/wall-clock@0.2.12", "now") void wall_now(struct datetime *ret);

struct iovec {
    const uint8_t *p;
    size_t n;
};

enum { CLOCK_REALTIME, CLOCK_MONOTONIC };

WASI(int32_t, clock_time_get)(uint32_t id, uint64_t precision, uint64_t *out)
{
    struct datetime t;
    (void)precision;
    if (id == CLOCK_MONOTONIC) {
        *out = monotonic_now();
        return 0;
    }
    wall_now(&t);
    *out = t.seconds * 1000000000 + t.nanoseconds;
    return 0;
}

struct subscription {
    uint64_t user;
    uint8_t kind; /* 0: a clock */
    uint32_t clock;
    uint64_t timeout, precision;
    uint16_t flags; /* 1: timeout is an instant */
};

struct event {
    uint64_t user;
    uint16_t error;
    uint8_t kind;
    uint64_t unused[2];
};

/* One clock at a time, which is how a runtime without sockets sleeps. */
WASI(int32_t, poll_oneoff)(const struct subscription *in, struct event *out, size_t n, size_t *nevents)
{
    if (n != 1 || in->kind != 0)
        return ERRNO_NOTSUP;
    handle_t p = in->flags & 1 ? subscribe_instant(in->timeout) : subscribe_duration(in->timeout);
    pollable_block(p);
    pollable_drop(p);
    *out = (struct event){.user = in->user};
    *nevents = 1;
    return 0;
}

WASI(int32_t, random_get)(uint8_t *p, size_t n)
{
    for (uint64_t v = 0; n > 0; n--, v >>= 8) {
        if (n % 8 == 0 || v == 0)
            v = random_u64();
        *p++ = (uint8_t)v;
    }
    return 0;
}

/* Both outputs are the log of the host. */
WASI(int32_t, fd_write)(int32_t fd, const struct iovec *v, size_t n, size_t *written)
{
    uint32_t ret[4];
    if (fd != 1 && fd != 2)
        return ERRNO_BADF;
    *written = 0;
    handle_t stream = get_stderr();
    for (; n > 0; n--, v++) {
        for (size_t at = 0; at < v->n; at += 4096)
            stream_write(stream, v->p + at, v->n - at < 4096 ? v->n - at : 4096, ret);
        *written += v->n;
    }
    stream_drop(stream);
    return 0;
}

WASI(int32_t, fd_read)(int32_t fd, const struct iovec *v, size_t n, size_t *got)
{
    (void)fd;
    (void)v;
    (void)n;
    *got = 0;
    return 0;
}

/* type: character device */
WASI(int32_t, fd_fdstat_get)(int32_t fd, uint8_t *out)
{
    if (fd > 2)
        return ERRNO_BADF;
    for (int i = 0; i < 24; i++)
        out[i] = i == 0 ? 2 : 0;
    return 0;
}

/* Neither arguments nor variables. */
WASI(int32_t, args_sizes_get)(size_t *n, size_t *bytes)
{
    *n = *bytes = 0;
    return 0;
}

WASI(int32_t, environ_sizes_get)(size_t *n, size_t *bytes)
{
    *n = *bytes = 0;
    return 0;
}

WASI(int32_t, args_get)(void *p, void *bytes)
{
    (void)p;
    (void)bytes;
    return 0;
}

WASI(int32_t, environ_get)(void *p, void *bytes)
{
    (void)p;
    (void)bytes;
    return 0;
}

WASI(int32_t, fd_prestat_get)(int32_t fd, void *out)
{
    (void)fd;
    (void)out;
    return ERRNO_BADF;
}

WASI(int32_t, fd_prestat_dir_name)(int32_t fd, void *p, size_t n)
{
    (void)fd;
    (void)p;
    (void)n;
    return ERRNO_BADF;
}

WASI(int32_t, fd_fdstat_set_flags)(int32_t fd, uint32_t flags)
{
    (void)fd;
    (void)flags;
    return 0;
}

WASI(int32_t, fd_close)(int32_t fd)
{
    (void)fd;
    return 0;
}

WASI(int32_t, sched_yield)(void)
{
    return 0;
}

WASI(_Noreturn void, proc_exit)(int32_t code)
{
    (void)code;
    __builtin_trap();
}
