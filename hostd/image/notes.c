/* SPDX-License-Identifier: Apache-2.0 */
/* Notes about images, in the image cache. Owns: how they are named, written and thinned out. */
#include "hostd/image/image.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hostd/image/cache.h"
#include "hostd/image/files.h"
#include "lattice/base/alloc.h"
#include "lattice/base/buf.h"
#include "lattice/base/num.h"
#include "lattice/base/worker.h"
#include "lattice/id/id.h"

#define PIECE_BYTES ((size_t)1 << 20)
#define THREADS_MAX 8u

/* ---- names ---- SHA-256 of the SHA-256s of the pieces: pieces can be taken by several threads, which matters as
 * hashing takes longer than all the rest of loading an image that is known */

struct pieces {
    struct span image;
    atomic_size_t next;
    char *hashes; /* ID_HASH_LEN each */
};

static void hash_some(void *user, uint32_t thread)
{
    struct pieces *p = user;
    (void)thread;
    for (;;) {
        size_t i = atomic_fetch_add(&p->next, 1), at = i * PIECE_BYTES;
        if (at >= p->image.n)
            return;
        char hash[ID_HASH_LEN + 1];
        id_hash((struct span){p->image.p + at, MIN(p->image.n - at, PIECE_BYTES)}, hash);
        memcpy(p->hashes + i * ID_HASH_LEN, hash, ID_HASH_LEN);
    }
}

struct image_note image_note_of(struct span image, uint32_t version)
{
    size_t n = image.n / PIECE_BYTES + 1;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct buf hashes = BUF_INIT;
    struct pieces p = {.image = image, .hashes = (char *)buf_grow(&hashes, n * ID_HASH_LEN)};
    memset(p.hashes, 0, n * ID_HASH_LEN);
    run_together((uint32_t)MIN(n, (size_t)MIN(MAX(cores, 1L), (long)THREADS_MAX)), hash_some, &p);
    char hash[ID_HASH_LEN + 1];
    id_hash(buf_span(&hashes), hash);
    buf_fini(&hashes);
    struct image_note note;
    snprintf(note.name, sizeof note.name, "%u-%s", version, hash);
    return note;
}

/* ---- files ---- */

static char *path_of(const char *cache, const char *name)
{
    return xasprintf("%s/notes/%s", cache, name);
}

bool image_note_get(const char *cache, const struct image_note *note, struct span *out)
{
    struct err ignored;
    AUTO_FREE char *path = path_of(cache, note->name);
    return file_read(path, IMAGE_NOTE_BYTES_MAX, out, &ignored);
}

static bool is_older(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

/* Removes the oldest note when there are too many. */
static void thin_out(const char *cache)
{
    char oldest[256] = "";
    struct timespec since = {0};
    uint32_t n = 0;
    AUTO_FREE char *folder = path_of(cache, "");
    DIR *d = opendir(folder);
    for (struct dirent *f; d && (f = readdir(d));) {
        struct stat st;
        if (fstatat(dirfd(d), f->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
            continue;
        if (n++ > 0 && !is_older(st.st_mtim, since))
            continue;
        since = st.st_mtim;
        snprintf(oldest, sizeof oldest, "%s", f->d_name);
    }
    if (n > IMAGE_NOTES_MAX)
        unlinkat(dirfd(d), oldest, 0);
    if (d)
        closedir(d);
}

bool image_note_put(const char *cache, const struct image_note *note, struct span text,
                    struct err *e)
{
    if (text.n == 0 || text.n > IMAGE_NOTE_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "a note of %zu bytes", text.n);
    AUTO_FREE char *path = path_of(cache, note->name);
    if (!cache_open(cache, e) || !file_write(path, text, 0600, e))
        return false;
    thin_out(cache);
    return true;
}
