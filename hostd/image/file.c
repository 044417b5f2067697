/* SPDX-License-Identifier: Apache-2.0 */
/* Images in files, read and looked at on the pool. A job belongs to the pool until its result is on the loop. */
#include "hostd/image/image.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/buf.h"
#include "lattice/base/loop.h"

#define OPEN_ARENA_BYTES (4 * IMAGE_REF_MAX)
#define MAGIC_BYTES 4

struct job {
    char *path;
    uint64_t bytes_max;
    struct str own; /* name of our own provider; empty: a file that was named */
    uint8_t *bytes;
    size_t n;
    bool failed;
    struct err e;
    void *user;
    image_fn *fn;
    image_provider_fn *provider_fn;
};

static void job_free(struct job *j)
{
    free(j->path);
    free(j);
}

/* -1: e says why. Only regular files: a pipe or a device might never end. */
static int open_file(const char *path, struct stat *st, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        err_errno(e, errno, "open '%s'", path);
        return -1;
    }
    if (fstat(fd, st) != 0)
        err_errno(e, errno, "read '%s'", path);
    else if (!S_ISREG(st->st_mode))
        err_set(e, ERR_INVALID, "'%s' is not a regular file", path);
    else
        return fd;
    close(fd);
    return -1;
}

/* Reads n bytes or to the end of the file, whichever comes first. */
static bool read_up_to(int fd, const char *path, uint8_t *out, size_t n, size_t *got, struct err *e)
{
    for (*got = 0; *got < n;) {
        ssize_t k = read(fd, out + *got, n - *got);
        if (k < 0 && errno != EINTR)
            return err_errno(e, errno, "read '%s'", path);
        if (k == 0)
            break;
        *got += k > 0 ? (size_t)k : 0;
    }
    return true;
}

/* ---- components ----------------------------------------------------------------------------------- */

static bool read_component(struct job *j)
{
    struct stat st;
    int fd = open_file(j->path, &st, &j->e);
    if (fd < 0)
        return false;
    bool ok = (uint64_t)st.st_size <= j->bytes_max ||
              err_set(&j->e, ERR_LIMIT, "'%s' has %" PRIu64 " bytes, an image may have %" PRIu64,
                      j->path, (uint64_t)st.st_size, j->bytes_max);
    struct buf b;
    buf_init(&b, (size_t)st.st_size);
    uint8_t *p = ok ? buf_grow(&b, (size_t)st.st_size) : NULL;
    ok = ok && read_up_to(fd, j->path, p, (size_t)st.st_size, &b.n, &j->e);
    close(fd);
    if (ok)
        j->bytes = buf_take(&b, &j->n);
    buf_fini(&b);
    return ok;
}

static void component_work(void *user)
{
    struct job *j = user;
    j->failed = !read_component(j);
}

static void component_done(void *user)
{
    struct job *j = user;
    if (j->failed) {
        j->fn(j->user, (struct span){NULL, 0}, &j->e);
    } else {
        j->fn(j->user, (struct span){j->bytes, j->n}, NULL);
    }
    job_free(j);
}

static bool file_allowed(const struct image_opts *opts, struct str ref, struct err *e)
{
    char text[128];
    return opts->allow_file || err_set(e, ERR_DENIED,
                                       "image '%s': this host does not load files (it was started "
                                       "without --allow-file-load)",
                                       str_escape(ref, text, sizeof text));
}

static bool refuse_oci(struct str ref, struct err *e)
{
    char text[128];
    return err_set(
        e, ERR_UNSUPPORTED,
        "image '%s': pulling from registries is not built yet; copy the file to the host and "
        "use file:///PATH",
        str_escape(ref, text, sizeof text));
}

bool image_load(struct loop *l, struct str ref, const struct image_opts *opts, image_fn *fn,
                void *user, struct err *e)
{
    struct arena arena;
    struct image_ref r;
    char text[128];
    arena_init(&arena, OPEN_ARENA_BYTES);
    bool ok = image_ref_parse(ref, &arena, &r, e);
    if (ok && r.kind == IMAGE_OCI)
        ok = refuse_oci(ref, e);
    else if (ok && r.kind == IMAGE_BUILTIN)
        ok = err_set(e, ERR_INVALID, "image '%s': a built-in provider, not a component",
                     str_escape(ref, text, sizeof text));
    else
        ok = ok && file_allowed(opts, ref, e);
    if (ok) {
        struct job *j = xnew(struct job);
        *j = (struct job){
            .path = str_dup(r.normal), .bytes_max = opts->bytes_max, .fn = fn, .user = user};
        loop_work(l, component_work, component_done, j);
    }
    arena_fini(&arena);
    return ok;
}

/* ---- providers ------------------------------------------------------------------------------------ */

/* The folder of the running program, where our own providers lie, too. */
static bool own_folder(char *out, size_t cap, struct err *e)
{
    ssize_t n = readlink("/proc/self/exe", out, cap - 1);
    if (n < 0)
        return err_errno(e, errno, "find the folder of this program");
    out[n] = '\0';
    char *slash = strrchr(out, '/');
    assert(slash);
    *slash = '\0';
    return true;
}

static bool check_executable(struct job *j)
{
    struct stat st;
    uint8_t magic[MAGIC_BYTES] = {0};
    size_t n = 0;
    int fd = open_file(j->path, &st, &j->e);
    if (fd < 0 && j->own.n)
        return err_set(&j->e, ERR_NOT_FOUND,
                       "provider '%.*s' is not part of this installation: no file '%s'",
                       STR_ARG(j->own), j->path);
    if (fd < 0)
        return false;
    bool ok = read_up_to(fd, j->path, magic, sizeof magic, &n, &j->e);
    close(fd);
    if (!ok)
        return false;
    if (n == sizeof magic && memcmp(magic, "\0asm", sizeof magic) == 0)
        return err_set(&j->e, ERR_INVALID, "'%s' is WebAssembly: a provider is an executable",
                       j->path);
    if (memcmp(magic,
               "\x7f"
               "ELF",
               sizeof magic) != 0 &&
        memcmp(magic, "#!", 2) != 0)
        return err_set(&j->e, ERR_UNSUPPORTED,
                       "'%s' is not an executable; provider archives (.par, .par.gz) are not built "
                       "yet, unpack "
                       "it and name the binary",
                       j->path);
    if (access(j->path, X_OK) != 0)
        return err_errno(&j->e, errno, "'%s' may not be executed", j->path);
    return true;
}

static void provider_work(void *user)
{
    struct job *j = user;
    j->failed = !check_executable(j);
}

static void provider_done(void *user)
{
    struct job *j = user;
    struct image_provider p = {.path = str_of(j->path)};
    j->provider_fn(j->user, j->failed ? NULL : &p, j->failed ? &j->e : NULL);
    job_free(j);
}

static char *provider_path(const struct image_ref *r, struct str ref, const struct image_opts *opts,
                           struct str *own, struct err *e)
{
    char folder[4096], text[128];
    if (r->kind == IMAGE_FILE)
        return file_allowed(opts, ref, e) ? str_dup(r->normal) : NULL;
    *own = r->kind == IMAGE_BUILTIN || !opts->no_aliases ? image_alias(r->normal) : STR_NONE;
    if (own->n == 0 && r->kind == IMAGE_BUILTIN)
        err_set(e, ERR_NOT_FOUND, "there is no built-in provider '%s'",
                str_escape(r->normal, text, sizeof text));
    else if (own->n == 0)
        refuse_oci(ref, e);
    else if (own_folder(folder, sizeof folder, e))
        return xasprintf("%s/%.*s", folder, STR_ARG(*own));
    return NULL;
}

bool image_provider_find(struct loop *l, struct str ref, const struct image_opts *opts,
                         image_provider_fn *fn, void *user, struct err *e)
{
    struct arena arena;
    struct image_ref r;
    struct str own = STR_NONE;
    arena_init(&arena, OPEN_ARENA_BYTES);
    char *path = image_ref_parse(ref, &arena, &r, e) ? provider_path(&r, ref, opts, &own, e) : NULL;
    arena_fini(&arena);
    if (!path)
        return false;
    struct job *j = xnew(struct job);
    *j = (struct job){.path = path, .own = own, .provider_fn = fn, .user = user};
    loop_work(l, provider_work, provider_done, j);
    return true;
}
