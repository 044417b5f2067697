/* SPDX-License-Identifier: Apache-2.0 */
/* The image cache. A name inside it is always the hexadecimal form of a hash, so nothing from outside ever becomes
 * part of a path. */
#include "hostd/image/cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hostd/image/files.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "lattice/id/id.h"

#define DIGEST_PREFIX STR("sha256:")

bool digest_valid(struct str digest)
{
    if (digest.n != DIGEST_LEN || !str_starts(digest, DIGEST_PREFIX))
        return false;
    for (size_t i = DIGEST_PREFIX.n; i < digest.n; i++)
        if (!strchr("0123456789abcdef", digest.p[i]) || digest.p[i] == '\0')
            return false;
    return true;
}

char *digest_of(struct span bytes, char out[DIGEST_LEN + 1])
{
    char hash[ID_HASH_LEN + 1];
    id_hash(bytes, hash);
    for (char *p = hash; *p; p++)
        *p = *p >= 'A' ? (char)(*p | 0x20) : *p;
    snprintf(out, DIGEST_LEN + 1, "sha256:%s", hash);
    return out;
}

/* ---- folders ---- */

static bool make_folder(const char *path, struct err *e)
{
    struct stat st;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_errno(e, errno, "make the folder '%s'", path);
    if (stat(path, &st) != 0)
        return err_errno(e, errno, "look at '%s'", path);
    return (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022)) ||
           err_set(e, ERR_DENIED,
                   "'%s' must be a folder of this user that nobody else may write: what lies "
                   "there is run",
                   path);
}

/* The parents may be anybody's. */
static bool make_parents(const char *path, struct err *e)
{
    char *copy = str_dup(str_of(path));
    bool ok = true;
    for (char *p = copy + 1; ok && *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        ok = mkdir(copy, 0755) == 0 || errno == EEXIST ||
             err_errno(e, errno, "make the folder '%s'", copy);
        *p = '/';
    }
    free(copy);
    return ok;
}

bool cache_open(const char *folder, struct err *e)
{
    static const char *const parts[] = {"blobs", "programs", "tags", "notes"};
    bool ok = make_parents(folder, e) && make_folder(folder, e);
    for (size_t i = 0; ok && i < ARRAY_LEN(parts); i++) {
        char *path = xasprintf("%s/%s", folder, parts[i]);
        ok = make_folder(path, e);
        free(path);
    }
    return ok || err_wrap(e, "image cache");
}

/* ---- files ---- */

static char *path_of(const char *folder, const char *part, struct str digest)
{
    struct str hex = str_sub(digest, DIGEST_PREFIX.n, digest.n);
    return xasprintf("%s/%s/%.*s", folder, part, STR_ARG(hex));
}

/* Reads and checks; a file that is not what its name says goes. */
static bool read_sound(const char *path, struct str digest, uint64_t bytes_max, struct span *out)
{
    struct err ignored;
    char found[DIGEST_LEN + 1];
    if (!file_read(path, bytes_max, out, &ignored))
        return false;
    if (str_eqz(digest, digest_of(*out, found)))
        return true;
    free((void *)out->p);
    unlink(path);
    return false;
}

char *cache_blob_path(const char *folder, struct str digest)
{
    return path_of(folder, "blobs", digest);
}

bool cache_get(const char *folder, struct str digest, uint64_t bytes_max, struct span *out)
{
    char *path = path_of(folder, "blobs", digest);
    bool ok = read_sound(path, digest, bytes_max, out);
    free(path);
    return ok;
}

bool cache_put(const char *folder, struct str digest, struct span bytes, struct err *e)
{
    char *path = path_of(folder, "blobs", digest);
    bool ok = file_write(path, bytes, 0600, e) || err_wrap(e, "image cache");
    free(path);
    return ok;
}

char *cache_program(const char *folder, struct span bytes, struct err *e)
{
    char digest[DIGEST_LEN + 1];
    struct span there;
    digest_of(bytes, digest);
    char *path = path_of(folder, "programs", str_of(digest));
    if (read_sound(path, str_of(digest), bytes.n, &there)) {
        free((void *)there.p);
        return path;
    }
    if (file_write(path, bytes, 0700, e))
        return path;
    free(path);
    err_wrap(e, "image cache");
    return NULL;
}

/* ---- tags ---- */

static char *tag_path(const char *folder, struct str reference)
{
    char name[DIGEST_LEN + 1];
    digest_of(str_span(reference), name);
    return path_of(folder, "tags", str_of(name));
}

bool cache_tag_get(const char *folder, struct str reference, char digest[DIGEST_LEN + 1])
{
    struct err ignored;
    struct span text;
    char *path = tag_path(folder, reference);
    bool ok = file_read(path, DIGEST_LEN, &text, &ignored);
    free(path);
    if (!ok)
        return false;
    ok = digest_valid(span_str(text));
    if (ok)
        snprintf(digest, DIGEST_LEN + 1, "%.*s", STR_ARG(span_str(text)));
    free((void *)text.p);
    return ok;
}

bool cache_tag_put(const char *folder, struct str reference, struct str digest, struct err *e)
{
    char *path = tag_path(folder, reference);
    bool ok = file_write(path, str_span(digest), 0600, e) || err_wrap(e, "image cache");
    free(path);
    return ok;
}
