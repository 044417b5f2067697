/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:filesystem: descriptors, their streams, directory entries, and the directories that the embedder opened for the
 * guest (wasi_opts.preopens; none in the daemon, so that there no guest ever holds a descriptor). Paths are files.c's.
 * Spec: wasi:filesystem 0.2 and component-model.md 12.7.
 * Keeps: a file is read and written only as its descriptor's flags say; streams live on without it. Nothing below a
 * directory that may not be changed can be: descriptors inherit that. A directory that may be changed says
 * mutate-directory whether it was asked for or not (docs/decisions/0010-files.md). */
#include "hostd/wasi/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define READ_MAX 65536u /* bytes of one descriptor.read, whatever was asked */
#define NS_PER_S 1000000000u

/* In the order of the types' cases and labels. */
enum {
    TYPE_UNKNOWN,
    TYPE_BLOCK,
    TYPE_CHARACTER,
    TYPE_DIRECTORY,
    TYPE_FIFO,
    TYPE_LINK,
    TYPE_FILE,
    TYPE_SOCKET
};
enum {
    FLAG_READ = 1,
    FLAG_WRITE = 2,
    FLAG_FILE_SYNC = 4,
    FLAG_DATA_SYNC = 8,
    FLAG_READ_SYNC = 16, /* requested-write-sync; here it is file-integrity-sync */
    FLAG_MUTATE = 32
};
enum { PATH_FOLLOW = 1 };
enum { TIME_KEEP, TIME_NOW, TIME_GIVEN };

struct descriptor {
    int fd;
    uint64_t flags; /* FLAG_... */
    bool directory;
    bool may_change; /* neither it nor what is below it is there for reading only */
};

static void descriptor_drop(void *user, void *obj)
{
    struct descriptor *d = obj;
    (void)user;
    close(d->fd);
    free(d);
}
const struct comp_class wasi_descriptor_class = {"descriptor", descriptor_drop};

static int fd_of(const struct wit_value *arg)
{
    return ((const struct descriptor *)arg->obj)->fd;
}

static struct descriptor *descriptor_new(int fd, uint64_t flags, bool directory, bool may_change)
{
    struct descriptor *d = xnew(struct descriptor);
    *d = (struct descriptor){fd, flags, directory, may_change};
    return d;
}

/* ---- outcomes ---- */

/* errno, case of error-code */
static const struct {
    int error;
    uint32_t code;
} codes[] = {
    {EACCES, 0},       {EAGAIN, 1},   {EALREADY, 2},         {EBADF, 3},         {EBUSY, 4},
    {EDEADLK, 5},      {EDQUOT, 6},   {EEXIST, 7},           {EFBIG, 8},         {EILSEQ, 9},
    {EINPROGRESS, 10}, {EINTR, 11},   {EINVAL, 12},          {EIO, 13},          {EISDIR, 14},
    {ELOOP, 15},       {EMLINK, 16},  {EMSGSIZE, 17},        {ENAMETOOLONG, 18}, {ENODEV, 19},
    {ENOENT, 20},      {ENOLCK, 21},  {ENOMEM, 22},          {ENOSPC, 23},       {ENOTDIR, 24},
    {ENOTEMPTY, 25},   {ENOTSUP, 27}, {ENOSYS, 27},          {ENOTTY, 28},       {ENXIO, 29},
    {EOVERFLOW, 30},   {EPERM, 31},   {EPIPE, 32},           {EROFS, 33},        {ESPIPE, 34},
    {ETXTBSY, 35},     {EXDEV, 36},   {ENOTRECOVERABLE, 26},
};
#define CODE_IO 13u

static uint32_t code_of(int error)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i].error == error)
            return codes[i].code;
    return CODE_IO;
}

/* result<_, error-code> */
static enum comp_host_status end(struct comp_host_call *hc, int error, struct wit_value *result)
{
    *result = error ? wasi_err(hc, wasi_bare(code_of(error))) : WASI_OK;
    return wasi_done(hc);
}

/* The same of a system call's answer. */
static enum comp_host_status end_call(struct comp_host_call *hc, int answer,
                                      struct wit_value *result)
{
    return end(hc, answer < 0 ? errno : 0, result);
}

static enum comp_host_status end_with(struct comp_host_call *hc, struct wit_value value,
                                      struct wit_value *result)
{
    *result = wasi_ok(hc, value);
    return wasi_done(hc);
}

/* EROFS unless the descriptor may be changed: for functions that change what it, or a path below it, names. */
static int check_change(const struct wit_value *descriptor)
{
    return ((const struct descriptor *)descriptor->obj)->may_change ? 0 : EROFS;
}

/* The content of a file needs the flag that it was opened with. */
static int check_content(const struct descriptor *d, uint64_t flag)
{
    if (d->directory)
        return EISDIR;
    return d->flags & flag ? 0 : EBADF;
}

static bool is_directory(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

/* What a path names, to look at or touch: opened without access to its content. */
static int open_path(const struct wit_value *dir, const struct wit_value *path_flags,
                     const struct wit_value *path, int *fd)
{
    return files_look(fd_of(dir), wit_get_str(path), path_flags->u64 & PATH_FOLLOW, fd);
}

/* ---- content ---- */

static enum comp_host_status stream_in(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    const struct descriptor *d = args[0].obj;
    int error = args[1].u64 > INT64_MAX ? EINVAL : check_content(d, FLAG_READ);
    if (error)
        return end(hc, error, result);
    struct wasi_input *s = files_input(wasi_of(hc), d->fd, FILES_AT_OFFSET, args[1].u64);
    return end_with(hc, wasi_own(hc, &wasi_input_class, s), result);
}

static enum comp_host_status stream_out(struct comp_host_call *hc, const struct descriptor *d,
                                        enum files_place place, uint64_t offset,
                                        struct wit_value *result)
{
    int error = offset > INT64_MAX ? EINVAL : check_content(d, FLAG_WRITE);
    if (error)
        return end(hc, error, result);
    struct wasi_output *s = files_output(d->fd, place, offset);
    return end_with(hc, wasi_own(hc, &wasi_output_class, s), result);
}

static enum comp_host_status
write_via_stream(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    return stream_out(hc, args[0].obj, FILES_AT_OFFSET, args[1].u64, result);
}

static enum comp_host_status
append_via_stream(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    return stream_out(hc, args[0].obj, FILES_AT_END, 0, result);
}

static enum comp_host_status read_at(struct comp_host_call *hc, const struct wit_value *args,
                                     struct wit_value *result)
{
    size_t want = (size_t)MIN(args[1].u64, READ_MAX);
    int error = args[2].u64 > INT64_MAX ? EINVAL : check_content(args[0].obj, FLAG_READ);
    if (error)
        return end(hc, error, result);
    uint8_t *bytes = arena_array(hc->arena, uint8_t, want);
    ssize_t n = bytes ? pread(fd_of(&args[0]), bytes, want, (off_t)args[2].u64) : 0;
    wasi_of(hc)->full |= !bytes;
    if (n < 0)
        return end(hc, errno, result);
    struct wit_value pair[] = {wit_bytes((struct span){bytes, (size_t)n}),
                               wit_u64(n == 0 && want > 0)};
    return end_with(hc, wasi_tuple(hc, pair, 2), result);
}

static enum comp_host_status write_at(struct comp_host_call *hc, const struct wit_value *args,
                                      struct wit_value *result)
{
    int error = args[2].u64 > INT64_MAX ? EINVAL : check_content(args[0].obj, FLAG_WRITE);
    if (error)
        return end(hc, error, result);
    ssize_t n = pwrite(fd_of(&args[0]), args[1].p, args[1].n, (off_t)args[2].u64);
    return n < 0 ? end(hc, errno, result) : end_with(hc, wit_u64((uint64_t)n), result);
}

static enum comp_host_status set_size(struct comp_host_call *hc, const struct wit_value *args,
                                      struct wit_value *result)
{
    int error = args[1].u64 > INT64_MAX ? EINVAL : check_content(args[0].obj, FLAG_WRITE);
    if (error)
        return end(hc, error, result);
    return end_call(hc, ftruncate(fd_of(&args[0]), (off_t)args[1].u64), result);
}

static enum comp_host_status advise(struct comp_host_call *hc, const struct wit_value *args,
                                    struct wit_value *result)
{
    return end(hc, files_advise(fd_of(&args[0]), args[1].u64, args[2].u64, args[3].n), result);
}

static enum comp_host_status sync_all(struct comp_host_call *hc, const struct wit_value *args,
                                      struct wit_value *result)
{
    return end_call(hc, fsync(fd_of(&args[0])), result);
}

static enum comp_host_status sync_data(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    return end_call(hc, fdatasync(fd_of(&args[0])), result);
}

/* ---- what is known of a file ---- */

static uint32_t type_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFBLK:
        return TYPE_BLOCK;
    case S_IFCHR:
        return TYPE_CHARACTER;
    case S_IFDIR:
        return TYPE_DIRECTORY;
    case S_IFIFO:
        return TYPE_FIFO;
    case S_IFLNK:
        return TYPE_LINK;
    case S_IFREG:
        return TYPE_FILE;
    case S_IFSOCK:
        return TYPE_SOCKET;
    }
    return TYPE_UNKNOWN;
}

static struct wit_value when(struct comp_host_call *hc, struct timespec t)
{
    bool before_1970 = t.tv_sec < 0;
    struct wit_value datetime[] = {wit_u64(before_1970 ? 0 : (uint64_t)t.tv_sec),
                                   wit_u64(before_1970 ? 0 : (uint64_t)t.tv_nsec)};
    return wasi_some(hc, wasi_tuple(hc, datetime, 2));
}

static enum comp_host_status end_stat(struct comp_host_call *hc, int fd, struct wit_value *result)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return end(hc, errno, result);
    struct wit_value members[] = {
        wasi_bare(type_of(st.st_mode)), wit_u64(st.st_nlink), wit_u64((uint64_t)st.st_size),
        when(hc, st.st_atim),           when(hc, st.st_mtim), when(hc, st.st_ctim),
    };
    return end_with(hc, wasi_tuple(hc, members, ARRAY_LEN(members)), result);
}

/* Equal for equal files, and says nothing of device and inode: mixed with numbers of this guest. */
static enum comp_host_status end_hash(struct comp_host_call *hc, int fd, struct wit_value *result)
{
    const struct wasi_ctx *c = wasi_of(hc);
    struct stat st;
    struct wit_value halves[2];
    if (fstat(fd, &st) < 0)
        return end(hc, errno, result);
    for (int i = 0; i < 2; i++) {
        uint64_t v = c->insecure_seed[i];
        const uint64_t parts[] = {st.st_dev, st.st_ino, c->insecure_seed[1 - i]};
        for (size_t k = 0; k < ARRAY_LEN(parts); k++) {
            v = (v ^ parts[k]) * 0x9e3779b97f4a7c15u; /* 2^64 / golden ratio: an odd spreader */
            v ^= v >> 32;
        }
        halves[i] = wit_u64(v);
    }
    return end_with(hc, wasi_tuple(hc, halves, 2), result);
}

/* `finish` of the descriptor, or of what a path below it names. */
static enum comp_host_status end_path(struct comp_host_call *hc, const struct wit_value *args,
                                      enum comp_host_status (*finish)(struct comp_host_call *, int,
                                                                      struct wit_value *),
                                      struct wit_value *result)
{
    int fd, error = open_path(&args[0], &args[1], &args[2], &fd);
    if (error)
        return end(hc, error, result);
    enum comp_host_status status = finish(hc, fd, result);
    close(fd);
    return status;
}

static enum comp_host_status stat_fd(struct comp_host_call *hc, const struct wit_value *args,
                                     struct wit_value *result)
{
    return end_stat(hc, fd_of(&args[0]), result);
}

static enum comp_host_status stat_at(struct comp_host_call *hc, const struct wit_value *args,
                                     struct wit_value *result)
{
    return end_path(hc, args, end_stat, result);
}

static enum comp_host_status hash_fd(struct comp_host_call *hc, const struct wit_value *args,
                                     struct wit_value *result)
{
    return end_hash(hc, fd_of(&args[0]), result);
}

static enum comp_host_status hash_at(struct comp_host_call *hc, const struct wit_value *args,
                                     struct wit_value *result)
{
    return end_path(hc, args, end_hash, result);
}

static enum comp_host_status get_flags(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    return end_with(hc, wit_u64(((const struct descriptor *)args[0].obj)->flags), result);
}

static enum comp_host_status get_type(struct comp_host_call *hc, const struct wit_value *args,
                                      struct wit_value *result)
{
    struct stat st;
    if (fstat(fd_of(&args[0]), &st) < 0)
        return end(hc, errno, result);
    return end_with(hc, wasi_bare(type_of(st.st_mode)), result);
}

static enum comp_host_status is_same(struct comp_host_call *hc, const struct wit_value *args,
                                     struct wit_value *result)
{
    struct stat a, b;
    bool known = fstat(fd_of(&args[0]), &a) == 0 && fstat(fd_of(&args[1]), &b) == 0;
    *result = wit_u64(known && a.st_dev == b.st_dev && a.st_ino == b.st_ino);
    return wasi_done(hc);
}

/* ---- times ---- */

static bool read_time(const struct wit_value *v, struct timespec *out)
{
    *out = (struct timespec){.tv_nsec = v->n == TIME_KEEP ? UTIME_OMIT : UTIME_NOW};
    if (v->n != TIME_GIVEN)
        return true;
    const struct wit_value *datetime = v->v->v;
    if (datetime[0].u64 > INT64_MAX || datetime[1].u64 >= NS_PER_S)
        return false;
    *out = (struct timespec){(time_t)datetime[0].u64, (long)datetime[1].u64};
    return true;
}

static enum comp_host_status put_times(struct comp_host_call *hc, int fd,
                                       const struct wit_value *times, struct wit_value *result)
{
    struct timespec t[2];
    if (!read_time(&times[0], &t[0]) || !read_time(&times[1], &t[1]))
        return end(hc, EINVAL, result);
    return end_call(hc, utimensat(fd, "", t, AT_EMPTY_PATH), result);
}

static enum comp_host_status set_times(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    int error = check_change(&args[0]);
    return error ? end(hc, error, result) : put_times(hc, fd_of(&args[0]), &args[1], result);
}

static enum comp_host_status set_times_at(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    int fd, error = check_change(&args[0]);
    error = error ? error : open_path(&args[0], &args[1], &args[2], &fd);
    if (error)
        return end(hc, error, result);
    enum comp_host_status status = put_times(hc, fd, &args[3], result);
    close(fd);
    return status;
}

/* ---- opening ---- */

static enum comp_host_status open_at(struct comp_host_call *hc, const struct wit_value *args,
                                     struct wit_value *result)
{
    const struct descriptor *dir = args[0].obj;
    uint64_t want = args[4].u64;
    struct files_how how = {
        .open = args[3].u64,
        .follow = args[1].u64 & PATH_FOLLOW,
        .read = want & FLAG_READ,
        .write = want & FLAG_WRITE,
        .sync = want & (FLAG_FILE_SYNC | FLAG_READ_SYNC),
        .data_sync = want & FLAG_DATA_SYNC,
    };
    bool changes = want & (FLAG_WRITE | FLAG_MUTATE) || how.open & (FILES_CREATE | FILES_TRUNCATE);
    if (changes && !dir->may_change)
        return end(hc, EROFS, result);
    int fd, error = files_open(dir->fd, wit_get_str(&args[2]), &how, &fd);
    if (error)
        return end(hc, error, result);
    bool directory = is_directory(fd);
    uint64_t flags = want & ~(uint64_t)FLAG_MUTATE;
    if (dir->may_change && directory)
        flags |= FLAG_MUTATE;
    struct descriptor *d = descriptor_new(fd, flags, directory, dir->may_change);
    return end_with(hc, wasi_own(hc, &wasi_descriptor_class, d), result);
}

/* ---- changing directories ---- */

static enum comp_host_status create_directory_at(struct comp_host_call *hc,
                                                 const struct wit_value *args,
                                                 struct wit_value *result)
{
    int error = check_change(&args[0]);
    return end(hc, error ? error : files_make_directory(fd_of(&args[0]), wit_get_str(&args[1])),
               result);
}

static enum comp_host_status remove_directory_at(struct comp_host_call *hc,
                                                 const struct wit_value *args,
                                                 struct wit_value *result)
{
    int error = check_change(&args[0]);
    return end(hc, error ? error : files_remove_directory(fd_of(&args[0]), wit_get_str(&args[1])),
               result);
}

static enum comp_host_status unlink_file_at(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    int error = check_change(&args[0]);
    return end(hc, error ? error : files_unlink(fd_of(&args[0]), wit_get_str(&args[1])), result);
}

static enum comp_host_status rename_at(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    int error = check_change(&args[0]);
    error = error ? error : check_change(&args[2]);
    if (!error)
        error = files_rename(fd_of(&args[0]), wit_get_str(&args[1]), fd_of(&args[2]),
                             wit_get_str(&args[3]));
    return end(hc, error, result);
}

static enum comp_host_status link_at(struct comp_host_call *hc, const struct wit_value *args,
                                     struct wit_value *result)
{
    int error = args[1].u64 & PATH_FOLLOW ? EINVAL : check_change(&args[0]);
    error = error ? error : check_change(&args[3]);
    if (!error)
        error = files_link(fd_of(&args[0]), wit_get_str(&args[2]), fd_of(&args[3]),
                           wit_get_str(&args[4]));
    return end(hc, error, result);
}

static enum comp_host_status symlink_at(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    int error = check_change(&args[0]);
    if (!error)
        error = files_make_link(wit_get_str(&args[1]), fd_of(&args[0]), wit_get_str(&args[2]));
    return end(hc, error, result);
}

static enum comp_host_status readlink_at(struct comp_host_call *hc, const struct wit_value *args,
                                         struct wit_value *result)
{
    char text[PATH_MAX];
    size_t n;
    int error = files_read_link(fd_of(&args[0]), wit_get_str(&args[1]), text, &n);
    if (error)
        return end(hc, error, result);
    return end_with(hc, wasi_copy_bytes(hc, (struct span){(const uint8_t *)text, n}), result);
}

/* ---- directory entries ---- */

static void entries_drop(void *user, void *obj)
{
    (void)user;
    closedir(obj);
}
const struct comp_class wasi_entries_class = {"directory-entry-stream", entries_drop};

static enum comp_host_status read_directory(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    static const struct files_how how = {.open = FILES_DIRECTORY, .read = true};
    int fd, error = files_open(fd_of(&args[0]), STR("."), &how, &fd);
    if (error)
        return end(hc, error, result);
    DIR *dir = fdopendir(fd); /* a position of its own: the same directory may be read twice */
    if (!dir) {
        error = errno;
        close(fd);
        return end(hc, error, result);
    }
    return end_with(hc, wasi_own(hc, &wasi_entries_class, dir), result);
}

static uint32_t entry_type(DIR *dir, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return type_of((mode_t)DTTOIF(entry->d_type));
    return fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? type_of(st.st_mode)
                                                                             : TYPE_UNKNOWN;
}

static enum comp_host_status read_entry(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    DIR *dir = args[0].obj;
    const struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(dir);
    } while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    if (!entry)
        return errno ? end(hc, errno, result) : end_with(hc, WASI_NONE, result);
    struct span name = str_span(str_of(entry->d_name));
    if (!utf8_valid(name.p, name.n))
        return end(hc, EILSEQ, result);
    struct wit_value members[] = {wasi_bare(entry_type(dir, entry)), wasi_copy_bytes(hc, name)};
    return end_with(hc, wasi_some(hc, wasi_tuple(hc, members, 2)), result);
}

/* ---- the rest ---- */

static enum comp_host_status filesystem_error_code(struct comp_host_call *hc,
                                                   const struct wit_value *args,
                                                   struct wit_value *result)
{
    const struct wasi_error *error = args[0].obj;
    *result = error->file_errno ? wasi_some(hc, wasi_bare(code_of(error->file_errno))) : WASI_NONE;
    return wasi_done(hc);
}

/* New handles each time. What cannot be duplicated (the process is out of descriptors) is left out. */
static enum comp_host_status get_directories(struct comp_host_call *hc,
                                             const struct wit_value *args, struct wit_value *result)
{
    const struct wasi_opts *o = &wasi_of(hc)->opts;
    struct wit_value *list = wasi_list(hc, o->npreopens);
    struct wit_value *pairs = wasi_list(hc, 2 * o->npreopens);
    uint32_t n = 0;
    (void)args;
    for (size_t i = 0; i < o->npreopens && list && pairs; i++) {
        int fd = fcntl(o->preopens[i].fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
            continue;
        bool may_change = !o->preopens[i].read_only;
        pairs[2 * n].obj =
            descriptor_new(fd, FLAG_READ | (may_change ? FLAG_MUTATE : 0), true, may_change);
        pairs[2 * n + 1] = wit_str(o->preopens[i].guest);
        list[n] = (struct wit_value){.v = &pairs[2 * n], .n = 2};
        n++;
    }
    *result = (struct wit_value){.v = list, .n = n};
    return wasi_done(hc);
}

/* ---- rows ---- */

static const char types_wit[] =
    "use wasi:io/streams.{input-stream, output-stream};\n"
    "use wasi:io/error.{error};\n"
    "use wasi:clocks/wall-clock.{datetime};\n"
    "type filesize = u64;\n"
    "type link-count = u64;\n"
    "enum descriptor-type { unknown, block-device, character-device, directory, fifo, "
    "symbolic-link,\n"
    "  regular-file, socket }\n"
    "flags descriptor-flags { read, write, file-integrity-sync, data-integrity-sync,\n"
    "  requested-write-sync, mutate-directory }\n"
    "record descriptor-stat { %type: descriptor-type, link-count: link-count, size: filesize,\n"
    "  data-access-timestamp: option<datetime>, data-modification-timestamp: option<datetime>,\n"
    "  status-change-timestamp: option<datetime> }\n"
    "flags path-flags { symlink-follow }\n"
    "flags open-flags { create, directory, exclusive, truncate }\n"
    "variant new-timestamp { no-change, now, timestamp(datetime) }\n"
    "record directory-entry { %type: descriptor-type, name: string }\n"
    "enum error-code { access, would-block, already, bad-descriptor, busy, deadlock, quota, "
    "exist,\n"
    "  file-too-large, illegal-byte-sequence, in-progress, interrupted, invalid, io, "
    "is-directory,\n"
    "  loop, too-many-links, message-size, name-too-long, no-device, no-entry, no-lock,\n"
    "  insufficient-memory, insufficient-space, not-directory, not-empty, not-recoverable,\n"
    "  unsupported, no-tty, no-such-device, overflow, not-permitted, pipe, read-only, "
    "invalid-seek,\n"
    "  text-file-busy, cross-device }\n"
    "enum advice { normal, sequential, random, will-need, dont-need, no-reuse }\n"
    "record metadata-hash-value { lower: u64, upper: u64 }\n"
    "resource descriptor {\n"
    "  read-via-stream: func(offset: filesize) -> result<input-stream, error-code>;\n"
    "  write-via-stream: func(offset: filesize) -> result<output-stream, error-code>;\n"
    "  append-via-stream: func() -> result<output-stream, error-code>;\n"
    "  advise: func(offset: filesize, length: filesize, advice: advice) -> result<_, error-code>;\n"
    "  sync-data: func() -> result<_, error-code>;\n"
    "  get-flags: func() -> result<descriptor-flags, error-code>;\n"
    "  get-type: func() -> result<descriptor-type, error-code>;\n"
    "  set-size: func(size: filesize) -> result<_, error-code>;\n"
    "  set-times: func(data-access-timestamp: new-timestamp,\n"
    "    data-modification-timestamp: new-timestamp) -> result<_, error-code>;\n"
    "  read: func(length: filesize, offset: filesize) -> result<tuple<list<u8>, bool>, "
    "error-code>;\n"
    "  write: func(buffer: list<u8>, offset: filesize) -> result<filesize, error-code>;\n"
    "  read-directory: func() -> result<directory-entry-stream, error-code>;\n"
    "  sync: func() -> result<_, error-code>;\n"
    "  create-directory-at: func(path: string) -> result<_, error-code>;\n"
    "  stat: func() -> result<descriptor-stat, error-code>;\n"
    "  stat-at: func(path-flags: path-flags, path: string) -> result<descriptor-stat, "
    "error-code>;\n"
    "  set-times-at: func(path-flags: path-flags, path: string,\n"
    "    data-access-timestamp: new-timestamp,\n"
    "    data-modification-timestamp: new-timestamp) -> result<_, error-code>;\n"
    "  link-at: func(old-path-flags: path-flags, old-path: string,\n"
    "    new-descriptor: borrow<descriptor>, new-path: string) -> result<_, error-code>;\n"
    "  open-at: func(path-flags: path-flags, path: string, open-flags: open-flags,\n"
    "    %flags: descriptor-flags) -> result<descriptor, error-code>;\n"
    "  readlink-at: func(path: string) -> result<string, error-code>;\n"
    "  remove-directory-at: func(path: string) -> result<_, error-code>;\n"
    "  rename-at: func(old-path: string, new-descriptor: borrow<descriptor>,\n"
    "    new-path: string) -> result<_, error-code>;\n"
    "  symlink-at: func(old-path: string, new-path: string) -> result<_, error-code>;\n"
    "  unlink-file-at: func(path: string) -> result<_, error-code>;\n"
    "  is-same-object: func(other: borrow<descriptor>) -> bool;\n"
    "  metadata-hash: func() -> result<metadata-hash-value, error-code>;\n"
    "  metadata-hash-at: func(path-flags: path-flags,\n"
    "    path: string) -> result<metadata-hash-value, error-code>;\n"
    "}\n"
    "resource directory-entry-stream {\n"
    "  read-directory-entry: func() -> result<option<directory-entry>, error-code>;\n"
    "}\n"
    "filesystem-error-code: func(err: borrow<error>) -> option<error-code>;\n";

#define METHOD(name) "[method]descriptor." name
static const struct comp_host_func types_funcs[] = {
    {METHOD("read-via-stream"), stream_in},
    {METHOD("write-via-stream"), write_via_stream},
    {METHOD("append-via-stream"), append_via_stream},
    {METHOD("advise"), advise},
    {METHOD("sync-data"), sync_data},
    {METHOD("get-flags"), get_flags},
    {METHOD("get-type"), get_type},
    {METHOD("set-size"), set_size},
    {METHOD("set-times"), set_times},
    {METHOD("read"), read_at},
    {METHOD("write"), write_at},
    {METHOD("read-directory"), read_directory},
    {METHOD("sync"), sync_all},
    {METHOD("create-directory-at"), create_directory_at},
    {METHOD("stat"), stat_fd},
    {METHOD("stat-at"), stat_at},
    {METHOD("set-times-at"), set_times_at},
    {METHOD("link-at"), link_at},
    {METHOD("open-at"), open_at},
    {METHOD("readlink-at"), readlink_at},
    {METHOD("remove-directory-at"), remove_directory_at},
    {METHOD("rename-at"), rename_at},
    {METHOD("symlink-at"), symlink_at},
    {METHOD("unlink-file-at"), unlink_file_at},
    {METHOD("is-same-object"), is_same},
    {METHOD("metadata-hash"), hash_fd},
    {METHOD("metadata-hash-at"), hash_at},
    {"[method]directory-entry-stream.read-directory-entry", read_entry},
    {"filesystem-error-code", filesystem_error_code},
    {NULL, NULL},
};

static const char preopens_wit[] = "use wasi:filesystem/types.{descriptor};\n"
                                   "get-directories: func() -> list<tuple<descriptor, string>>;\n";

static const struct comp_host_func preopens_funcs[] = {
    {"get-directories", get_directories},
    {NULL, NULL},
};

static const struct wasi_row rows[] = {
    {"wasi:filesystem/types@0.2.12", {types_wit}, {types_funcs}, NULL},
    {"wasi:filesystem/preopens@0.2.12", {preopens_wit}, {preopens_funcs}, NULL},
};
const struct wasi_rows wasi_filesystem_rows = {rows, ARRAY_LEN(rows)};
