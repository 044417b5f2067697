/* SPDX-License-Identifier: Apache-2.0 */
/* WASI 0.1 inside: the state of one guest, its rows, and its memory. preview1.c holds what needs no descriptor,
 * preview1_files.c descriptors and paths.
 * Functions answer an errno value of the machine, which preview1.c turns into the guest's, or one of enum p1_answer.
 * A function that answers P1_PENDING is called again, with the same arguments, once what it waits for is there. */
#ifndef HOSTD_WASI_PREVIEW1_H
#define HOSTD_WASI_PREVIEW1_H

#include <dirent.h>
#include <limits.h>
#include <poll.h>
#include <sys/uio.h>
#include "hostd/wasi/wasi_int.h"

enum p1_answer { P1_PENDING = -1, P1_EXITED = -2, P1_NOT_CAPABLE = -3 };

/* Bit numbers of rights. */
enum {
    P1_FD_DATASYNC = 1 << 0,
    P1_FD_READ = 1 << 1,
    P1_FD_SEEK = 1 << 2,
    P1_FD_SET_FLAGS = 1 << 3,
    P1_FD_SYNC = 1 << 4,
    P1_FD_TELL = 1 << 5,
    P1_FD_WRITE = 1 << 6,
    P1_FD_ADVISE = 1 << 7,
    P1_FD_ALLOCATE = 1 << 8,
    P1_PATH_CREATE_DIRECTORY = 1 << 9,
    P1_PATH_CREATE_FILE = 1 << 10,
    P1_PATH_LINK_SOURCE = 1 << 11,
    P1_PATH_LINK_TARGET = 1 << 12,
    P1_PATH_OPEN = 1 << 13,
    P1_FD_READDIR = 1 << 14,
    P1_PATH_READLINK = 1 << 15,
    P1_PATH_RENAME_SOURCE = 1 << 16,
    P1_PATH_RENAME_TARGET = 1 << 17,
    P1_PATH_FILESTAT_GET = 1 << 18,
    P1_PATH_SET_SIZE = 1 << 19,
    P1_PATH_SET_TIMES = 1 << 20,
    P1_FD_FILESTAT_GET = 1 << 21,
    P1_FD_SET_SIZE = 1 << 22,
    P1_FD_SET_TIMES = 1 << 23,
    P1_PATH_SYMLINK = 1 << 24,
    P1_PATH_REMOVE_DIRECTORY = 1 << 25,
    P1_PATH_UNLINK_FILE = 1 << 26,
    P1_POLL_READWRITE = 1 << 27,
    P1_NO_FD = 1 << 30, /* of a row: its function takes no descriptor */
};

/* Bits of fdflags. */
enum { P1_APPEND = 1, P1_DSYNC = 2, P1_NONBLOCK = 4, P1_RSYNC = 8, P1_SYNC = 16 };

/* A descriptor of the guest. Its position is that of the machine's descriptor. */
struct p1_file {
    int fd; /* -1: the number is free */
    uint16_t flags;
    uint32_t rights, inheriting;
    bool always_ready;  /* a regular file or a directory */
    bool read_only;     /* a directory that may not be changed, or what is below one */
    struct str preopen; /* name of a directory from the embedder; p NULL: none */
    DIR *entries;       /* while fd_readdir walks it */
};

struct p1_bound {
    const struct p1_row *row;
    struct wasm_func *func;
    bool old; /* for imports from wasi_unstable */
};

struct wasi_p1 {
    struct wasi_ctx *ctx;
    struct wasm_memory *memory; /* NULL: every pointer is wrong */
    struct p1_bound *bound;     /* one per row and snapshot */
    uint32_t nbound;
    bool old; /* the function under way is of snapshot 0 */
    struct p1_file *files;
    uint32_t nfiles;
    uint32_t exit_code;

    bool retry;          /* the function was called before, and had to wait */
    uint64_t started_ns; /* when it was called first, clock_mono_ns */
    struct pollfd *polled;
    uint32_t npolled; /* what poll_oneoff waits for, beside timers */
};

/* `f` is the descriptor that a[0] names, with the rights of the row; NULL with P1_NO_FD. */
typedef int p1_fn(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a);

struct p1_row {
    const char *name;
    const char *params; /* 'i', 'l' */
    uint32_t rights;
    p1_fn *fn;
};
extern const struct p1_row wasi_p1_file_rows[]; /* up to one without name */

/* ---- the guest's memory ---- NULL or false: out of bounds, EFAULT */

uint8_t *wasi_p1_at(struct wasi_p1 *p, wasm_slot at, uint64_t n);
bool wasi_p1_put_u32(struct wasi_p1 *p, wasm_slot at, uint32_t v);
bool wasi_p1_put_u64(struct wasi_p1 *p, wasm_slot at, uint64_t v);

/* Parks the guest until the machine's descriptor has one of `events` (POLLIN, POLLOUT). */
int wasi_p1_wait_fd(struct wasi_p1 *p, int fd, short events);

/* Little-endian fields of a record whose bytes are known to be there. */
static inline uint64_t p1_load(const uint8_t *at, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)at[i] << (8 * i);
    return v;
}
static inline void p1_store(uint8_t *at, size_t n, uint64_t v)
{
    for (size_t i = 0; i < n; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

/* ---- descriptors (preview1_files.c) ---- */

void wasi_p1_open_files(
    struct wasi_p1 *p); /* the standard streams and the embedder's directories */
void wasi_p1_close_files(struct wasi_p1 *p);
/* EBADF, or P1_NOT_CAPABLE without all the rights; the pointer lasts until a descriptor is opened. */
int wasi_p1_file(struct wasi_p1 *p, wasm_slot fd, uint32_t rights, struct p1_file **out);

#endif
