/* SPDX-License-Identifier: Apache-2.0 */
/* Confined paths. Confinement is the kernel's (openat2, RESOLVE_BENEATH): there is no moment between a check and a use.
 * Without openat2 (Linux 5.6; setting times takes 5.8) every path fails with ENOSYS; embedders ask
 * wasi_preopen_check first.
 * Keeps: a guest's path is resolved in open_beneath and nowhere else; a name in a `struct place` has no slash but at
 * its end and is not "..", so that calls which do not follow the last link stay in `parent`. */
#include "hostd/wasi/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define RACES_MAX 16 /* openat2 gives up when directories are renamed meanwhile: try again */
#define NEW_FILE_MODE 0666
#define NEW_DIRECTORY_MODE 0777

static int check_path(struct str path, char out[PATH_MAX])
{
    if (path.n == 0)
        return ENOENT;
    if (path.n >= PATH_MAX)
        return ENAMETOOLONG;
    if (path.p[0] == '/')
        return EPERM;
    if (memchr(path.p, '\0', path.n))
        return EILSEQ;
    memcpy(out, path.p, path.n);
    out[path.n] = '\0';
    return 0;
}

/* With flags of open(2). */
static int open_beneath(int dir, struct str path, int flags, int *fd)
{
    char text[PATH_MAX];
    struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .mode = flags & O_CREAT ? NEW_FILE_MODE : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    int error = check_path(path, text);
    if (error)
        return error;
    for (int i = 0; i < RACES_MAX; i++) {
        long got = syscall(SYS_openat2, dir, text, &how, sizeof how);
        if (got >= 0) {
            *fd = (int)got;
            return 0;
        }
        error = errno;
        if (error != EAGAIN && error != EINTR)
            break;
    }
    return error == EXDEV ? EPERM : error; /* EXDEV: the path leads out */
}

/* ---- opening ---- */

int files_open(int dir, struct str path, const struct files_how *how, int *fd)
{
    static const struct {
        uint64_t bit;
        int flag;
    } bits[] = {{FILES_CREATE, O_CREAT},
                {FILES_DIRECTORY, O_DIRECTORY},
                {FILES_EXCLUSIVE, O_EXCL},
                {FILES_TRUNCATE, O_TRUNC}};
    int flags = how->write ? (how->read ? O_RDWR : O_WRONLY) : O_RDONLY;
    if (how->open & FILES_DIRECTORY &&
        how->open & (FILES_CREATE | FILES_EXCLUSIVE | FILES_TRUNCATE))
        return EINVAL;
    if (how->open & FILES_TRUNCATE && !how->write)
        return EINVAL;
    for (size_t i = 0; i < ARRAY_LEN(bits); i++)
        flags |= how->open & bits[i].bit ? bits[i].flag : 0;
    flags |=
        (how->follow ? 0 : O_NOFOLLOW) | (how->sync ? O_SYNC : 0) | (how->data_sync ? O_DSYNC : 0);
    /* a fifo without a peer must not stop us */
    return open_beneath(dir, path, flags | O_NOCTTY | O_NONBLOCK, fd);
}

int files_look(int dir, struct str path, bool follow, int *fd)
{
    return open_beneath(dir, path, O_PATH | (follow ? 0 : O_NOFOLLOW), fd);
}

bool wasi_preopen_check(const struct wasi_preopen *dir, struct err *e)
{
    int fd, error = files_look(dir->fd, STR("."), true, &fd);
    if (error)
        return err_errno(e, error, "directories of guests need Linux 5.8 (openat2)");
    close(fd);
    return true;
}

int files_advise(int fd, uint64_t offset, uint64_t length, uint32_t advice)
{
    static const int known[] = {POSIX_FADV_NORMAL,   POSIX_FADV_SEQUENTIAL, POSIX_FADV_RANDOM,
                                POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED,   POSIX_FADV_NOREUSE};
    if (advice >= ARRAY_LEN(known) || offset > INT64_MAX || length > INT64_MAX)
        return EINVAL;
    return posix_fadvise(fd, (off_t)offset, (off_t)length, known[advice]);
}

/* ---- names ---- */

/* The directory that holds what a path names, and the last part of the path: a single name, perhaps with slashes
 * behind it, for system calls that do not follow a link there. */
struct place {
    int parent;
    char name[NAME_MAX + 2];
};

static int find_place(int dir, struct str path, struct place *out)
{
    size_t end = path.n;
    if (path.n == 0)
        return ENOENT;
    while (end > 1 && path.p[end - 1] == '/')
        end--;
    size_t slash = str_rfind(str_sub(path, 0, end), '/');
    size_t start = slash < end ? slash + 1 : 0;
    struct str last = str_sub(path, start, end);
    if (str_eqz(last, ".."))
        return EPERM;
    if (last.n > NAME_MAX)
        return ENAMETOOLONG;
    if (memchr(last.p, '\0', last.n))
        return EILSEQ;
    struct str parent = start > 0 ? str_sub(path, 0, start) : STR(".");
    int error = open_beneath(dir, parent, O_PATH | O_DIRECTORY, &out->parent);
    if (error)
        return error;
    memcpy(out->name, last.p, last.n);
    size_t n = last.n;
    if (end < path.n)
        out->name[n++] = '/';
    out->name[n] = '\0';
    return 0;
}

static int find_places(int dir_a, struct str path_a, struct place *a, int dir_b, struct str path_b,
                       struct place *b)
{
    int error = find_place(dir_a, path_a, a);
    if (error)
        return error;
    error = find_place(dir_b, path_b, b);
    if (error)
        close(a->parent);
    return error;
}

int files_make_directory(int dir, struct str path)
{
    struct place at;
    int error = find_place(dir, path, &at);
    if (error)
        return error;
    error = mkdirat(at.parent, at.name, NEW_DIRECTORY_MODE) < 0 ? errno : 0;
    close(at.parent);
    return error;
}

static int remove_name(int dir, struct str path, int flags)
{
    struct place at;
    int error = find_place(dir, path, &at);
    if (error)
        return error;
    error = unlinkat(at.parent, at.name, flags) < 0 ? errno : 0;
    close(at.parent);
    return error;
}

int files_remove_directory(int dir, struct str path)
{
    return remove_name(dir, path, AT_REMOVEDIR);
}

int files_unlink(int dir, struct str path)
{
    return remove_name(dir, path, 0);
}

int files_rename(int dir, struct str path, int to_dir, struct str to)
{
    struct place a, b;
    int error = find_places(dir, path, &a, to_dir, to, &b);
    if (error)
        return error;
    error = renameat(a.parent, a.name, b.parent, b.name) < 0 ? errno : 0;
    close(a.parent);
    close(b.parent);
    return error;
}

int files_link(int dir, struct str path, int to_dir, struct str to)
{
    struct place a, b;
    if (str_ends(path, STR("/"))) /* linkat would follow it; files have no slash */
        return ENOTDIR;
    int error = find_places(dir, path, &a, to_dir, to, &b);
    if (error)
        return error;
    error = linkat(a.parent, a.name, b.parent, b.name, 0) < 0 ? errno : 0;
    close(a.parent);
    close(b.parent);
    return error;
}

/* ---- symbolic links ---- */

int files_make_link(struct str target, int dir, struct str path)
{
    struct place at;
    if (str_starts(target, STR("/")))
        return EPERM;
    if (target.n > 0 && memchr(target.p, '\0', target.n))
        return EILSEQ;
    int error = find_place(dir, path, &at);
    if (error)
        return error;
    AUTO_FREE char *text = str_dup(target);
    error = symlinkat(text, at.parent, at.name) < 0 ? errno : 0;
    close(at.parent);
    return error;
}

int files_read_link(int dir, struct str path, char target[PATH_MAX], size_t *n)
{
    int fd, error = files_look(dir, path, false, &fd);
    if (error)
        return error;
    ssize_t got = readlinkat(fd, "", target, PATH_MAX);
    error = got < 0 ? errno : 0;
    close(fd);
    if (error) /* of an empty name, ENOENT says that it is no link */
        return error == ENOENT ? EINVAL : error;
    if (!utf8_valid((const uint8_t *)target, (size_t)got))
        return EILSEQ;
    if (target[0] == '/')
        return EPERM;
    *n = (size_t)got;
    return 0;
}
