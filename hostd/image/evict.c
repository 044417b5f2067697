/* SPDX-License-Identifier: Apache-2.0 */
/* What of the image cache is in use, and what goes when it grows too big: the files that were used longest ago.
 *
 * In use is what somebody has under a shared lock (flock), in whatever process: locks go with their process, so nothing
 * has to be cleaned up after a crash. A file is removed under an exclusive lock. Its last use is its time of
 * modification. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "hostd/image/cache.h"
#include "hostd/image/files.h"
#include "hostd/image/image.h"
#include "hostd/image/oci.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define ABANDONED_S 3600 /* a file that was being written when its writer ended */

struct image_hold {
    int fds[OCI_LAYERS_MAX + 2]; /* manifest, layers, program */
    size_t n;
};

/* ---- in use ---- */

struct image_hold *image_hold_new(void)
{
    return xnew(struct image_hold);
}

void image_hold_free(struct image_hold *h)
{
    for (size_t i = 0; h && i < h->n; i++)
        close(h->fds[i]);
    free(h);
}

/* Between open and lock it may have been removed: then its name is somebody else's, or nobody's. */
static bool is_still_there(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

bool image_hold_add(struct image_hold *h, const char *path)
{
    int fd = h->n < ARRAY_LEN(h->fds) ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0)
        return false;
    if (flock(fd, LOCK_SH) != 0 || !is_still_there(fd)) {
        close(fd);
        return false;
    }
    futimens(fd, NULL);
    h->fds[h->n++] = fd;
    return true;
}

/* ---- eviction ---- */

struct entry {
    char *path;
    uint64_t bytes;
    struct timespec used;
};

struct entries {
    struct entry *v;
    size_t n, cap;
    uint64_t bytes;
};

static void add_entry(struct entries *all, char *path, const struct stat *st)
{
    if (all->n == all->cap) {
        all->cap = all->cap ? all->cap * 2 : 64;
        all->v = xrealloc(all->v, all->cap * sizeof *all->v);
    }
    all->v[all->n++] = (struct entry){path, (uint64_t)st->st_size, st->st_mtim};
    all->bytes += (uint64_t)st->st_size;
}

static bool is_temporary(const char *name)
{
    return strchr(name, '.') != NULL; /* all others are hexadecimal, or a version and that */
}

static void look_at(const char *folder, int dir, const char *name, struct entries *all)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return;
    if (!is_temporary(name))
        add_entry(all, xasprintf("%s/%s", folder, name), &st);
    else if (st.st_mtim.tv_sec + ABANDONED_S < time(NULL))
        unlinkat(dir, name, 0);
}

static bool list(const char *cache, const char *part, struct entries *all, struct err *e)
{
    AUTO_FREE char *folder = xasprintf("%s/%s", cache, part);
    DIR *d = opendir(folder);
    if (!d)
        return errno == ENOENT || err_errno(e, errno, "read the folder '%s'", folder);
    for (struct dirent *f; (f = readdir(d));)
        look_at(folder, dirfd(d), f->d_name, all);
    closedir(d);
    return true;
}

static int by_use(const void *a, const void *b)
{
    const struct timespec x = ((const struct entry *)a)->used, y = ((const struct entry *)b)->used;
    if (x.tv_sec != y.tv_sec)
        return x.tv_sec < y.tv_sec ? -1 : 1;
    return x.tv_nsec < y.tv_nsec ? -1 : x.tv_nsec > y.tv_nsec;
}

/* False: it is in use, or gone already. */
static bool remove_unused(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    bool removed = flock(fd, LOCK_EX | LOCK_NB) == 0 && is_still_there(fd) && unlink(path) == 0;
    close(fd);
    return removed;
}

/* Tags of manifests that are not here any more mean nothing. */
static void forget_tags(const char *cache)
{
    struct entries tags = {0};
    struct err ignored;
    struct span digest;
    list(cache, "tags", &tags, &ignored);
    for (size_t i = 0; i < tags.n; i++) {
        if (file_read(tags.v[i].path, DIGEST_LEN, &digest, &ignored)) {
            bool valid = digest_valid(span_str(digest));
            AUTO_FREE char *blob = valid ? cache_blob_path(cache, span_str(digest)) : NULL;
            if (!valid || access(blob, F_OK) != 0)
                unlink(tags.v[i].path);
            free((void *)digest.p);
        }
        free(tags.v[i].path);
    }
    free(tags.v);
}

bool image_cache_trim(const char *cache, uint32_t parts, uint64_t bytes_max,
                      struct image_trimmed *out, struct err *e)
{
    static const struct {
        enum image_cache_part part;
        const char *folder;
    } folders[] = {{IMAGE_CACHE_IMAGES, "blobs"},
                   {IMAGE_CACHE_PROGRAMS, "programs"},
                   {IMAGE_CACHE_NOTES, "notes"}};
    struct entries all = {0};
    bool ok = true;
    *out = (struct image_trimmed){0};
    for (size_t i = 0; ok && i < ARRAY_LEN(folders); i++)
        ok = !(parts & folders[i].part) || list(cache, folders[i].folder, &all, e);
    if (all.n)
        qsort(all.v, all.n, sizeof *all.v, by_use);
    out->left_bytes = all.bytes;
    for (size_t i = 0; i < all.n; i++) {
        if (ok && out->left_bytes > bytes_max && remove_unused(all.v[i].path)) {
            out->left_bytes -= all.v[i].bytes;
            out->removed_bytes += all.v[i].bytes;
            out->removed++;
        }
        free(all.v[i].path);
    }
    free(all.v);
    if (out->removed && (parts & IMAGE_CACHE_IMAGES))
        forget_tags(cache);
    return ok;
}
