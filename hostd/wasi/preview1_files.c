/* SPDX-License-Identifier: Apache-2.0 */
/* WASI 0.1: descriptors and paths, over the confined paths of files.c. Reads and writes go straight between the
 * machine's descriptor and the guest's memory; what is not ready parks the guest.
 * Keeps: a function is called only with the rights its row names, and nothing that changes files reaches a directory
 * that is there for reading only, or what was opened below it. */
#include "hostd/wasi/files.h"
#include "hostd/wasi/preview1.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define FILES_MAX 4096u
#define VECTORS_MAX 1024 /* of one read or write; the guest sees a short count */
#define IOVEC_BYTES 8u
#define DIRENT_BYTES 24u
#define FILESTAT_BYTES 64u
#define FILESTAT_BYTES_OLD 56u /* the number of links is shorter */
#define FDSTAT_BYTES 24u
#define NS_PER_S 1000000000u

enum { TYPE_BLOCK = 1, TYPE_CHARACTER, TYPE_DIRECTORY, TYPE_FILE, TYPE_STREAM = 6, TYPE_LINK };
enum { LOOKUP_FOLLOW = 1 };
enum { TIME_ACCESS = 1, TIME_ACCESS_NOW = 2, TIME_WRITE = 4, TIME_WRITE_NOW = 8 };

#define STREAM_RIGHTS \
    (P1_FD_READ | P1_FD_WRITE | P1_FD_SET_FLAGS | P1_FD_FILESTAT_GET | P1_POLL_READWRITE)
#define FILE_RIGHTS                                                                         \
    (STREAM_RIGHTS | P1_FD_DATASYNC | P1_FD_SYNC | P1_FD_SEEK | P1_FD_TELL | P1_FD_ADVISE | \
     P1_FD_ALLOCATE | P1_FD_SET_SIZE | P1_FD_SET_TIMES)
#define PATH_CHANGES                                                                              \
    (P1_PATH_CREATE_DIRECTORY | P1_PATH_CREATE_FILE | P1_PATH_LINK_SOURCE | P1_PATH_LINK_TARGET | \
     P1_PATH_RENAME_SOURCE | P1_PATH_RENAME_TARGET | P1_PATH_SET_SIZE | P1_PATH_SET_TIMES |       \
     P1_PATH_SYMLINK | P1_PATH_REMOVE_DIRECTORY | P1_PATH_UNLINK_FILE)
#define DIRECTORY_RIGHTS                                                                     \
    (PATH_CHANGES | P1_PATH_OPEN | P1_FD_READDIR | P1_PATH_READLINK | P1_PATH_FILESTAT_GET | \
     P1_FD_FILESTAT_GET | P1_FD_SET_TIMES | P1_FD_SET_FLAGS | P1_FD_SYNC | P1_FD_DATASYNC)
#define ALL_RIGHTS (FILE_RIGHTS | DIRECTORY_RIGHTS)
#define CHANGES (PATH_CHANGES | P1_FD_SET_TIMES | P1_FD_SET_SIZE | P1_FD_ALLOCATE)

/* ---- the table of descriptors ---- */

static uint32_t free_number(struct wasi_p1 *p)
{
    for (uint32_t i = 0; i < p->nfiles; i++)
        if (p->files[i].fd < 0)
            return i;
    return p->nfiles;
}

/* Takes f->fd over. */
static int add_file(struct wasi_p1 *p, const struct p1_file *f, uint32_t *number)
{
    *number = free_number(p);
    if (*number == FILES_MAX) {
        close(f->fd);
        return EMFILE;
    }
    if (*number == p->nfiles)
        p->files = xrealloc(p->files, ++p->nfiles * sizeof *p->files);
    p->files[*number] = *f;
    return 0;
}

static void close_file(struct p1_file *f)
{
    if (f->entries)
        closedir(f->entries);
    if (f->fd >= 0)
        close(f->fd);
    *f = (struct p1_file){.fd = -1};
}

int wasi_p1_file(struct wasi_p1 *p, wasm_slot fd, uint32_t rights, struct p1_file **out)
{
    if (fd >= p->nfiles || p->files[fd].fd < 0)
        return EBADF;
    struct p1_file *f = &p->files[fd];
    if (rights & ~f->rights)
        return P1_NOT_CAPABLE;
    if (f->read_only && rights & CHANGES)
        return EROFS;
    *out = f;
    return 0;
}

static void add_duplicate(struct wasi_p1 *p, int fd, struct p1_file f)
{
    struct stat st;
    uint32_t number;
    f.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    bool stored = f.fd >= 0 && fstat(f.fd, &st) == 0 && S_ISREG(st.st_mode);
    if (stored)
        f.rights = FILE_RIGHTS;
    f.always_ready |= stored;
    add_file(p, &f, &number);
}

void wasi_p1_open_files(struct wasi_p1 *p)
{
    const struct wasi_opts *o = &p->ctx->opts;
    for (int fd = 0; fd < 3; fd++)
        add_duplicate(p, fd, (struct p1_file){.rights = STREAM_RIGHTS});
    for (size_t i = 0; i < o->npreopens; i++)
        add_duplicate(p, o->preopens[i].fd,
                      (struct p1_file){
                          .rights = DIRECTORY_RIGHTS,
                          .inheriting = ALL_RIGHTS,
                          .always_ready = true,
                          .preopen = o->preopens[i].guest,
                          .read_only = o->preopens[i].read_only,
                      });
}

void wasi_p1_close_files(struct wasi_p1 *p)
{
    for (uint32_t i = 0; i < p->nfiles; i++)
        close_file(&p->files[i]);
    free(p->files);
}

static int fd_close(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)p;
    (void)a;
    close_file(f);
    return 0;
}

static int fd_renumber(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    struct p1_file *to;
    int error = wasi_p1_file(p, a[1], 0, &to);
    if (error || to == f)
        return error;
    close_file(to);
    *to = *f;
    *f = (struct p1_file){.fd = -1};
    return 0;
}

static int fd_prestat_get(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    if (!f->preopen.p)
        return EBADF;
    return wasi_p1_put_u32(p, a[1], 0) && wasi_p1_put_u32(p, a[1] + 4, (uint32_t)f->preopen.n)
               ? 0
               : EFAULT;
}

static int fd_prestat_dir_name(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    if (!f->preopen.p)
        return EBADF;
    if (a[2] < f->preopen.n)
        return ENAMETOOLONG;
    uint8_t *to = wasi_p1_at(p, a[1], f->preopen.n);
    if (!to)
        return EFAULT;
    memcpy(to, f->preopen.p, f->preopen.n);
    return 0;
}

/* ---- reading and writing ---- */

struct vectors {
    struct iovec v[VECTORS_MAX];
    int n;
};

/* The guest's list of buffers. */
static bool take_vectors(struct wasi_p1 *p, wasm_slot at, wasm_slot n, struct vectors *out)
{
    const uint8_t *list = wasi_p1_at(p, at, n * IOVEC_BYTES);
    out->n = (int)MIN(n, VECTORS_MAX);
    for (int i = 0; list && i < out->n; i++, list += IOVEC_BYTES) {
        uint64_t length = p1_load(list + 4, 4);
        uint8_t *base = wasi_p1_at(p, p1_load(list, 4), length);
        if (!base)
            return false;
        out->v[i] = (struct iovec){base, (size_t)length};
    }
    return list != NULL;
}

/* Whether a read or write would find what it needs; else what to answer: EAGAIN, or parked until it does. */
static int await_ready(struct wasi_p1 *p, const struct p1_file *f, short events)
{
    struct pollfd at = {.fd = f->fd, .events = events};
    if (f->always_ready || poll(&at, 1, 0) != 0)
        return 0;
    return f->flags & P1_NONBLOCK ? EAGAIN : wasi_p1_wait_fd(p, f->fd, events);
}

/* The end of a read or write that moved n bytes (-1: errno), to be told at `at`. */
static int end_transfer(struct wasi_p1 *p, const struct p1_file *f, short events, ssize_t n,
                        wasm_slot at)
{
    if (n >= 0)
        return wasi_p1_put_u32(p, at, (uint32_t)n) ? 0 : EFAULT;
    if (errno != EAGAIN || f->flags & P1_NONBLOCK)
        return errno;
    return wasi_p1_wait_fd(p, f->fd, events); /* somebody else was faster */
}

static int fd_read(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    struct vectors to;
    if (!take_vectors(p, a[1], a[2], &to))
        return EFAULT;
    int error = await_ready(p, f, POLLIN);
    return error ? error : end_transfer(p, f, POLLIN, readv(f->fd, to.v, to.n), a[3]);
}

static int fd_write(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    struct vectors from;
    if (!take_vectors(p, a[1], a[2], &from))
        return EFAULT;
    int error = await_ready(p, f, POLLOUT);
    if (error)
        return error;
    ssize_t n = f->flags & P1_APPEND ? pwritev2(f->fd, from.v, from.n, -1, RWF_APPEND)
                                     : writev(f->fd, from.v, from.n);
    return end_transfer(p, f, POLLOUT, n, a[3]);
}

static int fd_pread(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    struct vectors to;
    if (!take_vectors(p, a[1], a[2], &to))
        return EFAULT;
    if (a[3] > INT64_MAX)
        return EINVAL;
    return end_transfer(p, f, POLLIN, preadv(f->fd, to.v, to.n, (off_t)a[3]), a[4]);
}

static int fd_pwrite(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    struct vectors from;
    if (!take_vectors(p, a[1], a[2], &from))
        return EFAULT;
    if (a[3] > INT64_MAX)
        return EINVAL;
    return end_transfer(p, f, POLLOUT, pwritev(f->fd, from.v, from.n, (off_t)a[3]), a[4]);
}

static int seek(struct wasi_p1 *p, const struct p1_file *f, wasm_slot offset, int whence,
                wasm_slot at)
{
    off_t now = lseek(f->fd, (off_t)offset, whence);
    if (now < 0)
        return errno;
    return wasi_p1_put_u64(p, at, (uint64_t)now) ? 0 : EFAULT;
}

static int fd_seek(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    static const int whence[2][3] = {{SEEK_SET, SEEK_CUR, SEEK_END},
                                     {SEEK_CUR, SEEK_END, SEEK_SET}};
    return a[2] < 3 ? seek(p, f, a[1], whence[p->old][a[2]], a[3]) : EINVAL;
}

static int fd_tell(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    return seek(p, f, 0, SEEK_CUR, a[1]);
}

static int fd_sync(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)p;
    (void)a;
    return fsync(f->fd) < 0 ? errno : 0;
}

static int fd_datasync(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)p;
    (void)a;
    return fdatasync(f->fd) < 0 ? errno : 0;
}

static int fd_advise(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)p;
    return files_advise(f->fd, a[1], a[2], (uint32_t)a[3]);
}

static int fd_allocate(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)p;
    if (a[1] > INT64_MAX || a[2] > INT64_MAX)
        return EINVAL;
    return posix_fallocate(f->fd, (off_t)a[1], (off_t)a[2]);
}

/* ---- what is known of a file ---- */

static uint8_t type_of(mode_t mode)
{
    static const struct {
        mode_t mode;
        uint8_t type;
    } types[] = {{S_IFBLK, TYPE_BLOCK}, {S_IFCHR, TYPE_CHARACTER}, {S_IFDIR, TYPE_DIRECTORY},
                 {S_IFREG, TYPE_FILE},  {S_IFSOCK, TYPE_STREAM},   {S_IFLNK, TYPE_LINK}};
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (types[i].mode == (mode & S_IFMT))
            return types[i].type;
    return 0;
}

static uint64_t since_1970(struct timespec t)
{
    uint64_t ns;
    if (t.tv_sec < 0)
        return 0;
    return mul_ok((uint64_t)t.tv_sec, NS_PER_S, &ns) && add_ok(ns, (uint64_t)t.tv_nsec, &ns)
               ? ns
               : UINT64_MAX;
}

static int put_stat(struct wasi_p1 *p, int fd, wasm_slot at)
{
    struct stat st;
    size_t n = p->old ? FILESTAT_BYTES_OLD : FILESTAT_BYTES;
    uint8_t *to = wasi_p1_at(p, at, n);
    if (!to)
        return EFAULT;
    uint8_t *rest = to + n - 32; /* size and times */
    if (fstat(fd, &st) < 0)
        return errno;
    memset(to, 0, n);
    p1_store(to, 8, st.st_dev);
    p1_store(to + 8, 8, st.st_ino);
    to[16] = type_of(st.st_mode);
    if (p->old)
        p1_store(to + 20, 4, MIN(st.st_nlink, UINT32_MAX));
    else
        p1_store(to + 24, 8, st.st_nlink);
    p1_store(rest, 8, (uint64_t)st.st_size);
    p1_store(rest + 8, 8, since_1970(st.st_atim));
    p1_store(rest + 16, 8, since_1970(st.st_mtim));
    p1_store(rest + 24, 8, since_1970(st.st_ctim));
    return 0;
}

static int fd_filestat_get(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    return put_stat(p, f->fd, a[1]);
}

static int fd_filestat_set_size(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)p;
    if (a[1] > INT64_MAX)
        return EINVAL;
    return ftruncate(f->fd, (off_t)a[1]) < 0 ? errno : 0;
}

static bool read_time(wasm_slot ns, wasm_slot flags, unsigned given, unsigned now,
                      struct timespec *out)
{
    *out = (struct timespec){.tv_nsec = UTIME_OMIT};
    if (flags & given)
        *out = (struct timespec){(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
    else if (flags & now)
        out->tv_nsec = UTIME_NOW;
    return !(flags & given && flags & now);
}

/* a: access, write, flags */
static int put_times(int fd, const wasm_slot *a)
{
    struct timespec t[2];
    if (!read_time(a[0], a[2], TIME_ACCESS, TIME_ACCESS_NOW, &t[0]) ||
        !read_time(a[1], a[2], TIME_WRITE, TIME_WRITE_NOW, &t[1]))
        return EINVAL;
    return utimensat(fd, "", t, AT_EMPTY_PATH) < 0 ? errno : 0;
}

static int fd_filestat_set_times(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)p;
    return put_times(f->fd, a + 1);
}

static int fd_fdstat_get(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    struct stat st;
    uint8_t *to = wasi_p1_at(p, a[1], FDSTAT_BYTES);
    if (!to)
        return EFAULT;
    if (fstat(f->fd, &st) < 0)
        return errno;
    memset(to, 0, FDSTAT_BYTES);
    to[0] = type_of(st.st_mode);
    p1_store(to + 2, 2, f->flags);
    p1_store(to + 8, 8, f->rights);
    p1_store(to + 16, 8, f->inheriting);
    return 0;
}

/* Both are kept by us and looked at with each read and write; how a file is synced is settled when it is opened. */
static int fd_fdstat_set_flags(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    uint16_t flags = (uint16_t)a[1], kept = P1_APPEND | P1_NONBLOCK;
    (void)p;
    if ((flags ^ f->flags) & ~kept)
        return ENOTSUP;
    f->flags = flags;
    return 0;
}

static int fd_fdstat_set_rights(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)p;
    if (a[1] & ~(uint64_t)f->rights || a[2] & ~(uint64_t)f->inheriting)
        return P1_NOT_CAPABLE;
    f->rights = (uint32_t)a[1];
    f->inheriting = (uint32_t)a[2];
    return 0;
}

/* ---- directories ---- */

static int walk_from(struct p1_file *f, uint64_t cookie)
{
    static const struct files_how how = {.open = FILES_DIRECTORY, .read = true};
    if (cookie > INT64_MAX)
        return EINVAL;
    if (!f->entries) { /* a descriptor of its own, with its own position */
        int fd, error = files_open(f->fd, STR("."), &how, &fd);
        if (error)
            return error;
        f->entries = fdopendir(fd);
        if (!f->entries) {
            error = errno;
            close(fd);
            return error;
        }
    }
    if (cookie == 0)
        rewinddir(f->entries);
    else
        seekdir(f->entries, (long)cookie);
    return 0;
}

/* As much of the entry as there is room for; how much that was. */
static size_t put_entry(uint8_t *to, size_t room, const struct dirent *entry)
{
    uint8_t head[DIRENT_BYTES] = {0};
    struct str name = str_of(entry->d_name);
    p1_store(head, 8, (uint64_t)entry->d_off);
    p1_store(head + 8, 8, entry->d_ino);
    p1_store(head + 16, 4, name.n);
    head[20] = type_of((mode_t)DTTOIF(entry->d_type));
    size_t n = MIN(room, sizeof head), rest = MIN(room - n, name.n);
    memcpy(to, head, n);
    memcpy(to + n, name.p, rest);
    return n + rest;
}

static int fd_readdir(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    size_t room = (size_t)a[2], used = 0;
    uint8_t *to = wasi_p1_at(p, a[1], room);
    int error = to ? walk_from(f, a[3]) : EFAULT;
    if (error)
        return error;
    errno = 0;
    for (const struct dirent *entry; used < room && (entry = readdir(f->entries)) != NULL;)
        used += put_entry(to + used, room - used, entry);
    if (errno && used == 0)
        return errno;
    return wasi_p1_put_u32(p, a[4], (uint32_t)used) ? 0 : EFAULT;
}

/* ---- paths ---- */

static bool take_path(struct wasi_p1 *p, wasm_slot at, wasm_slot n, struct str *out)
{
    const uint8_t *path = wasi_p1_at(p, at, n);
    *out = (struct str){(const char *)path, (size_t)n};
    return path != NULL;
}

struct opening { /* what path_open was asked for */
    uint64_t open, rights, inheriting;
    uint16_t flags;
};

static int check_opening(const struct p1_file *dir, const struct opening *o, bool write)
{
    if (o->open & FILES_CREATE && !(dir->rights & P1_PATH_CREATE_FILE))
        return P1_NOT_CAPABLE;
    if (o->open & FILES_TRUNCATE && !(dir->rights & P1_PATH_SET_SIZE))
        return P1_NOT_CAPABLE;
    if (dir->read_only && (write || o->open & FILES_CREATE))
        return EROFS;
    return 0;
}

static int open_below(const struct p1_file *dir, struct str path, bool follow,
                      const struct opening *o, struct p1_file *out)
{
    struct stat st;
    uint64_t rights = o->rights & dir->inheriting;
    /* what the machine's descriptor is opened for; what of that the guest may use, its rights say */
    uint64_t writes =
        o->open & FILES_DIRECTORY ? P1_FD_WRITE : P1_FD_WRITE | P1_FD_ALLOCATE | P1_FD_SET_SIZE;
    bool write = rights & writes || o->open & FILES_TRUNCATE;
    struct files_how how = {
        .open = o->open,
        .follow = follow,
        .read = !write || rights & P1_FD_READ,
        .write = write,
        .sync = o->flags & P1_SYNC,
        .data_sync = o->flags & (P1_DSYNC | P1_RSYNC),
    };
    int fd, error = check_opening(dir, o, write);
    error = error ? error : files_open(dir->fd, path, &how, &fd);
    if (error)
        return error;
    bool known = fstat(fd, &st) == 0, directory = known && S_ISDIR(st.st_mode);
    *out = (struct p1_file){
        .fd = fd,
        .flags = o->flags,
        .rights = (uint32_t)rights & (directory ? DIRECTORY_RIGHTS : FILE_RIGHTS),
        .inheriting = directory ? (uint32_t)o->inheriting & dir->inheriting : 0,
        .always_ready = known && (directory || S_ISREG(st.st_mode)),
        .read_only = dir->read_only,
    };
    return 0;
}

static int path_open(struct wasi_p1 *p, struct p1_file *dir, const wasm_slot *a)
{
    struct opening o = {a[4], a[5], a[6], (uint16_t)a[7]};
    struct p1_file f;
    struct str path;
    uint32_t number;
    if (!take_path(p, a[2], a[3], &path) || !wasi_p1_at(p, a[8], 4))
        return EFAULT;
    int error = open_below(dir, path, a[1] & LOOKUP_FOLLOW, &o, &f);
    error = error ? error : add_file(p, &f, &number);
    if (!error)
        wasi_p1_put_u32(p, a[8], number);
    return error;
}

static int path_create_directory(struct wasi_p1 *p, struct p1_file *dir, const wasm_slot *a)
{
    struct str path;
    return take_path(p, a[1], a[2], &path) ? files_make_directory(dir->fd, path) : EFAULT;
}

static int path_remove_directory(struct wasi_p1 *p, struct p1_file *dir, const wasm_slot *a)
{
    struct str path;
    return take_path(p, a[1], a[2], &path) ? files_remove_directory(dir->fd, path) : EFAULT;
}

static int path_unlink_file(struct wasi_p1 *p, struct p1_file *dir, const wasm_slot *a)
{
    struct str path;
    return take_path(p, a[1], a[2], &path) ? files_unlink(dir->fd, path) : EFAULT;
}

static int path_rename(struct wasi_p1 *p, struct p1_file *dir, const wasm_slot *a)
{
    struct p1_file *to_dir;
    struct str path, to;
    int error = wasi_p1_file(p, a[3], P1_PATH_RENAME_TARGET, &to_dir);
    if (error)
        return error;
    if (!take_path(p, a[1], a[2], &path) || !take_path(p, a[4], a[5], &to))
        return EFAULT;
    return files_rename(dir->fd, path, to_dir->fd, to);
}

static int path_link(struct wasi_p1 *p, struct p1_file *dir, const wasm_slot *a)
{
    struct p1_file *to_dir;
    struct str path, to;
    int error = wasi_p1_file(p, a[4], P1_PATH_LINK_TARGET, &to_dir);
    if (error)
        return error;
    if (!take_path(p, a[2], a[3], &path) || !take_path(p, a[5], a[6], &to))
        return EFAULT;
    return a[1] & LOOKUP_FOLLOW ? EINVAL : files_link(dir->fd, path, to_dir->fd, to);
}

static int path_symlink(struct wasi_p1 *p, struct p1_file *dir, const wasm_slot *a)
{
    struct p1_file *to_dir;
    struct str target, path;
    (void)dir;
    int error = wasi_p1_file(p, a[2], P1_PATH_SYMLINK, &to_dir);
    if (error)
        return error;
    if (!take_path(p, a[0], a[1], &target) || !take_path(p, a[3], a[4], &path))
        return EFAULT;
    return files_make_link(target, to_dir->fd, path);
}

static int path_readlink(struct wasi_p1 *p, struct p1_file *dir, const wasm_slot *a)
{
    char target[PATH_MAX];
    struct str path;
    size_t n = 0;
    uint8_t *to = wasi_p1_at(p, a[3], a[4]);
    if (!to || !take_path(p, a[1], a[2], &path))
        return EFAULT;
    int error = files_read_link(dir->fd, path, target, &n);
    if (error)
        return error;
    n = MIN(n, a[4]);
    memcpy(to, target, n);
    return wasi_p1_put_u32(p, a[5], (uint32_t)n) ? 0 : EFAULT;
}

static int path_filestat_get(struct wasi_p1 *p, struct p1_file *dir, const wasm_slot *a)
{
    struct str path;
    int fd;
    if (!take_path(p, a[2], a[3], &path))
        return EFAULT;
    int error = files_look(dir->fd, path, a[1] & LOOKUP_FOLLOW, &fd);
    if (error)
        return error;
    error = put_stat(p, fd, a[4]);
    close(fd);
    return error;
}

static int path_filestat_set_times(struct wasi_p1 *p, struct p1_file *dir, const wasm_slot *a)
{
    struct str path;
    int fd;
    if (!take_path(p, a[2], a[3], &path))
        return EFAULT;
    int error = files_look(dir->fd, path, a[1] & LOOKUP_FOLLOW, &fd);
    if (error)
        return error;
    error = put_times(fd, a + 4);
    close(fd);
    return error;
}

/* ---- sockets: the embedder hands none to a guest of 0.1, so no descriptor is one ---- */

static int no_socket(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)p;
    (void)f;
    (void)a;
    return ENOTSOCK;
}

/* ---- rows ---- */

const struct p1_row wasi_p1_file_rows[] = {
    {"fd_advise", "illi", P1_FD_ADVISE, fd_advise},
    {"fd_allocate", "ill", P1_FD_ALLOCATE, fd_allocate},
    {"fd_close", "i", 0, fd_close},
    {"fd_datasync", "i", P1_FD_DATASYNC, fd_datasync},
    {"fd_fdstat_get", "ii", 0, fd_fdstat_get},
    {"fd_fdstat_set_flags", "ii", P1_FD_SET_FLAGS, fd_fdstat_set_flags},
    {"fd_fdstat_set_rights", "ill", 0, fd_fdstat_set_rights},
    {"fd_filestat_get", "ii", P1_FD_FILESTAT_GET, fd_filestat_get},
    {"fd_filestat_set_size", "il", P1_FD_SET_SIZE, fd_filestat_set_size},
    {"fd_filestat_set_times", "illi", P1_FD_SET_TIMES, fd_filestat_set_times},
    {"fd_pread", "iiili", P1_FD_READ | P1_FD_SEEK, fd_pread},
    {"fd_prestat_get", "ii", 0, fd_prestat_get},
    {"fd_prestat_dir_name", "iii", 0, fd_prestat_dir_name},
    {"fd_pwrite", "iiili", P1_FD_WRITE | P1_FD_SEEK, fd_pwrite},
    {"fd_read", "iiii", P1_FD_READ, fd_read},
    {"fd_readdir", "iiili", P1_FD_READDIR, fd_readdir},
    {"fd_renumber", "ii", 0, fd_renumber},
    {"fd_seek", "ilii", P1_FD_SEEK, fd_seek},
    {"fd_sync", "i", P1_FD_SYNC, fd_sync},
    {"fd_tell", "ii", P1_FD_TELL, fd_tell},
    {"fd_write", "iiii", P1_FD_WRITE, fd_write},
    {"path_create_directory", "iii", P1_PATH_CREATE_DIRECTORY, path_create_directory},
    {"path_filestat_get", "iiiii", P1_PATH_FILESTAT_GET, path_filestat_get},
    {"path_filestat_set_times", "iiiilli", P1_PATH_SET_TIMES, path_filestat_set_times},
    {"path_link", "iiiiiii", P1_PATH_LINK_SOURCE, path_link},
    {"path_open", "iiiiillii", P1_PATH_OPEN, path_open},
    {"path_readlink", "iiiiii", P1_PATH_READLINK, path_readlink},
    {"path_remove_directory", "iii", P1_PATH_REMOVE_DIRECTORY, path_remove_directory},
    {"path_rename", "iiiiii", P1_PATH_RENAME_SOURCE, path_rename},
    {"path_symlink", "iiiii", P1_NO_FD, path_symlink},
    {"path_unlink_file", "iii", P1_PATH_UNLINK_FILE, path_unlink_file},
    {"sock_accept", "iii", 0, no_socket},
    {"sock_recv", "iiiiii", 0, no_socket},
    {"sock_send", "iiiii", 0, no_socket},
    {"sock_shutdown", "ii", 0, no_socket},
    {NULL, NULL, 0, NULL},
};
