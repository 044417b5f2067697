/* SPDX-License-Identifier: Apache-2.0 */
/* Who wants which image: jobs for the pool, with what they need to know copied into them. At most PULLS_MAX talk to
 * registries at a time, so that slow ones leave the rest of the pool alone; the others queue.
 *
 * Keeps: a job is in `waiting`, or with the pool until its result is on the loop; `shared` outlives both. */
#include "hostd/image/image.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "hostd/image/files.h"
#include "hostd/image/par.h"
#include "hostd/image/pull.h"
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/log.h"
#include "lattice/base/loop.h"

#define REF_ARENA_BYTES (4 * IMAGE_REF_MAX)
#define PULLS_MAX 2
#define REGISTRIES_MAX 256
#define CA_FILE_MAX (4u << 20)
#define NS_PER_S 1000000000u

struct registry {
    struct registry *next;
    char *authority, *username, *password, *token;
};

/* What jobs and images have in common; goes with the last of them. Loop thread but for `stop`. */
struct shared {
    uint32_t refs;
    atomic_bool stop;
};

struct images {
    struct image_opts opts;
    struct shared *shared;
    char *cache, *insecure, *mirrors, *ca_files;
    struct registry *registries;
    uint32_t nregistries;
    struct job *waiting, **last;
    uint32_t pulling;
};

struct job {
    struct job *next;
    struct images *im; /* not to be looked at once shared->stop */
    struct loop *loop;
    struct shared *shared;
    enum image_kind kind;
    char *ref;        /* IMAGE_OCI: normal form; else a path */
    char *own;        /* name of our own provider at the path, for errors; NULL: somebody's file */
    struct pull pull; /* IMAGE_OCI; texts belong to the job */
    char *authority;  /* to ask; NULL: the reference's */
    struct registry keys;
    char *cache, *ca_files;
    image_fn *fn;                   /* of a component, or ... */
    image_provider_fn *provider_fn; /* ... of a provider */
    void *user;
    uint64_t cache_bytes_max;
    struct image_hold *hold;
    struct span bytes; /* the component */
    char *program;     /* the provider */
    char *token;
    bool failed;
    struct err e;
};

static char *copy(struct str s)
{
    return s.n ? str_dup(s) : NULL;
}

static void shared_unref(struct shared *s)
{
    if (--s->refs == 0)
        free(s);
}

static void registry_fini(struct registry *r)
{
    free(r->authority);
    free(r->username);
    free(r->password);
    free(r->token);
}

static void job_free(struct job *j)
{
    shared_unref(j->shared);
    registry_fini(&j->keys);
    image_hold_free(j->hold);
    free(j->ref);
    free(j->own);
    free(j->authority);
    free(j->cache);
    free(j->ca_files);
    free(j->program);
    free(j->token);
    free(j);
}

/* ---- on the pool ---- */

/* After what was just fetched: it is held. */
static void trim_cache(struct job *j)
{
    struct image_trimmed t;
    struct err e = ERR_INIT;
    if (!j->cache_bytes_max)
        return;
    if (!image_cache_trim(j->cache, IMAGE_CACHE_ALL, j->cache_bytes_max, &t, &e))
        log_warn("image cache not trimmed", LE(&e));
    else if (t.removed)
        log_info("image cache trimmed", LI("files", t.removed), LI("bytes", t.removed_bytes),
                 LI("left_bytes", t.left_bytes));
}

static bool pull(struct job *j, enum oci_what what, struct span *out)
{
    char digest[DIGEST_LEN + 1];
    return cache_open(j->cache, &j->e) &&
           pull_image(&j->pull, str_of(j->ref), what, out, digest, &j->e);
}

static bool load_component(struct job *j)
{
    return j->kind == IMAGE_OCI ? pull(j, OCI_COMPONENT, &j->bytes)
                                : file_read(j->ref, j->pull.bytes_max, &j->bytes, &j->e);
}

/* Once more when somebody removes it before we hold it. */
static void keep_program(struct job *j, struct span bytes)
{
    for (int tries = 0; tries < 2; tries++) {
        free(j->program);
        j->program = cache_program(j->cache, bytes, &j->e);
        if (!j->program || image_hold_add(j->hold, j->program))
            return;
    }
}

static bool unpack(struct job *j, struct span file)
{
    struct par par;
    struct str target = par_native();
    bool ok = par_read(file, j->pull.bytes_max, target, &par, &j->e) &&
              par_check(&par, target, clock_wall_ns() / NS_PER_S, &j->e);
    if (ok) {
        j->token = str_dup(par.token);
        keep_program(j, par_find(&par, target)->bytes);
    }
    par_fini(&par);
    return (ok && j->program) || err_wrap(&j->e, "provider '%s'", j->ref);
}

static bool find_program(struct job *j, bool *archive)
{
    if (file_is_program(j->ref, archive, &j->e))
        return true;
    return j->own && j->e.code == ERR_NOT_FOUND
               ? err_set(&j->e, ERR_NOT_FOUND,
                         "provider '%s' is not part of this installation: no file '%s'", j->own,
                         j->ref)
               : false;
}

static bool find_provider(struct job *j)
{
    struct span file = {0};
    bool archive = true;
    if (j->kind != IMAGE_OCI && !find_program(j, &archive))
        return false;
    if (!archive) {
        j->program = str_dup(str_of(j->ref));
        return true;
    }
    bool ok = j->kind == IMAGE_OCI ? pull(j, OCI_PROVIDER, &file)
                                   : cache_open(j->cache, &j->e) &&
                                         file_read(j->ref, j->pull.bytes_max, &file, &j->e);
    ok = ok && unpack(j, file);
    free((void *)file.p);
    return ok;
}

static void work(void *user)
{
    struct job *j = user;
    j->hold = j->pull.hold = image_hold_new();
    j->failed = !(j->fn ? load_component(j) : find_provider(j));
    if (j->kind == IMAGE_OCI || j->token) /* the cache took part */
        trim_cache(j);
}

/* ---- on the loop ---- */

static void done(void *user);

static void begin(struct job *j)
{
    if (j->kind == IMAGE_OCI)
        j->im->pulling++;
    loop_work(j->loop, work, done, j);
}

static void begin_waiting(struct images *im)
{
    while (im->waiting && im->pulling < PULLS_MAX) {
        struct job *j = im->waiting;
        im->waiting = j->next;
        if (!im->waiting)
            im->last = &im->waiting;
        begin(j);
    }
}

static void tell(struct job *j)
{
    const struct err *e = j->failed ? &j->e : NULL;
    struct image_provider p = {.path = str_of(j->program), .token = str_of(j->token)};
    struct image_hold *hold = e ? NULL : MOVE(j->hold);
    p.hold = hold;
    if (j->fn)
        j->fn(j->user, j->failed ? (struct span){NULL, 0} : j->bytes, hold, e);
    else
        j->provider_fn(j->user, e ? NULL : &p, e);
    job_free(j);
}

static void done(void *user)
{
    struct job *j = user;
    if (!atomic_load(&j->shared->stop) && j->kind == IMAGE_OCI) {
        j->im->pulling--;
        begin_waiting(j->im);
    }
    tell(j);
}

/* ---- registries ---- */

/* The value of "KEY=VALUE" for key in a list. */
static struct str lookup(const char *list, struct str key)
{
    struct str rest = str_of(list), part;
    while (rest.n && str_cut(&rest, ',', &part)) {
        size_t equals = str_find(part, '=');
        if (str_ieq(str_trim(str_sub(part, 0, equals)), key))
            return str_trim(str_sub(part, equals + 1, part.n));
    }
    return STR_NONE;
}

static bool listed(const char *list, struct str key)
{
    struct str rest = str_of(list), part;
    while (rest.n && str_cut(&rest, ',', &part))
        if (str_ieq(str_trim(part), key))
            return true;
    return false;
}

static struct registry *find_registry(const struct images *im, struct str authority)
{
    for (struct registry *r = im->registries; r; r = r->next)
        if (str_ieq(str_of(r->authority), authority))
            return r;
    return NULL;
}

bool images_put_registry(struct images *im, const struct image_registry *in, struct err *e)
{
    struct registry *r = find_registry(im, in->authority);
    if (!r && im->nregistries == REGISTRIES_MAX)
        return err_set(e, ERR_LIMIT, "credentials for more than %d registries", REGISTRIES_MAX);
    struct registry *next = im->registries;
    if (r) {
        next = r->next;
        registry_fini(r);
    } else {
        im->nregistries++;
        r = im->registries = xnew(struct registry);
    }
    bool both = in->username.n && in->password.n;
    *r = (struct registry){.next = next,
                           .authority = str_dup(in->authority),
                           .username = both ? str_dup(in->username) : NULL,
                           .password = both ? str_dup(in->password) : NULL,
                           .token = both ? NULL : copy(in->token)};
    return true;
}

/* Who is asked, and as whom. */
static void choose_registry(struct images *im, struct job *j, struct str authority)
{
    struct str mirror = lookup(im->mirrors, authority);
    struct str asked = mirror.n ? mirror : authority;
    const struct registry *r = find_registry(im, asked);
    j->authority = copy(mirror);
    if (r)
        j->keys = (struct registry){.username = copy(str_of(r->username)),
                                    .password = copy(str_of(r->password)),
                                    .token = copy(str_of(r->token))};
    j->pull.access = (struct oci_access){.authority = j->authority,
                                         .plain_http = listed(im->insecure, asked),
                                         .username = j->keys.username,
                                         .password = j->keys.password,
                                         .token = j->keys.token,
                                         .ca_files = j->ca_files,
                                         .stop = &j->shared->stop};
}

/* ---- open and close ---- */

static bool check_mirrors(struct str mirrors, struct err *e)
{
    struct str rest = mirrors, part;
    while (rest.n && str_cut(&rest, ',', &part)) {
        size_t equals = str_find(part, '=');
        if (equals == 0 || equals + 1 >= part.n)
            return err_set(e, ERR_INVALID,
                           "mirror '%.*s' is not FROM=TO, as in "
                           "ghcr.io=localhost:5000",
                           STR_ARG(part));
    }
    return true;
}

/* So that a wrong path is told at the start and not at the first pull. */
static bool check_ca_files(struct str files, struct err *e)
{
    struct str rest = files, part;
    while (rest.n && str_cut(&rest, ',', &part)) {
        struct span pem;
        AUTO_FREE char *path = str_dup(str_trim(part));
        if (!file_read(path, CA_FILE_MAX, &pem, e))
            return err_wrap(e, "certificates for registries");
        bool found = memmem(pem.p, pem.n, "-----BEGIN CERTIFICATE", 22) != NULL;
        free((void *)pem.p);
        if (!found)
            return err_set(e, ERR_INVALID, "'%s' holds no certificate in PEM form", path);
    }
    return true;
}

char *image_cache_folder(struct str given)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME"), *tmp = getenv("TMPDIR");
    if (given.n)
        return str_dup(given);
    if (cache && cache[0] == '/')
        return xasprintf("%s/hostd", cache);
    if (home && home[0] == '/')
        return xasprintf("%s/.cache/hostd", home);
    return xasprintf("%s/hostd-cache-%u", tmp && tmp[0] == '/' ? tmp : P_tmpdir,
                     (unsigned)geteuid());
}

const char *images_cache(const struct images *im)
{
    return im->cache;
}

struct images *images_open(const struct image_opts *opts, struct err *e)
{
    if (!check_mirrors(opts->mirrors, e) || !check_ca_files(opts->ca_files, e))
        return NULL;
    struct images *im = xnew(struct images);
    *im = (struct images){.opts = *opts,
                          .shared = xnew(struct shared),
                          .cache = image_cache_folder(opts->cache),
                          .insecure = copy(opts->insecure),
                          .mirrors = copy(opts->mirrors),
                          .ca_files = copy(opts->ca_files)};
    im->shared->refs = 1;
    im->last = &im->waiting;
    return im;
}

void images_close(struct images *im)
{
    if (!im)
        return;
    atomic_store(&im->shared->stop, true);
    while (im->waiting) {
        struct job *j = im->waiting;
        im->waiting = j->next;
        j->failed = true;
        err_set(&j->e, ERR_CLOSED, "image '%s': the host stops", j->ref);
        tell(j);
    }
    for (struct registry *r = im->registries, *next; r; r = next) {
        next = r->next;
        registry_fini(r);
        free(r);
    }
    free(im->cache);
    free(im->insecure);
    free(im->mirrors);
    free(im->ca_files);
    shared_unref(im->shared);
    free(im);
}

/* ---- asking ---- */

static struct job *job_new(struct images *im, const struct image_ref *r)
{
    struct job *j = xnew(struct job);
    *j = (struct job){.im = im,
                      .loop = im->opts.loop,
                      .shared = im->shared,
                      .kind = r->kind,
                      .ref = str_dup(r->normal),
                      .cache = str_dup(str_of(im->cache)),
                      .cache_bytes_max = im->opts.cache_bytes_max,
                      .ca_files = copy(str_of(im->ca_files))};
    j->shared->refs++;
    j->pull = (struct pull){
        .cache = j->cache, .allow_latest = im->opts.allow_latest, .bytes_max = im->opts.bytes_max};
    if (r->kind == IMAGE_OCI)
        choose_registry(im, j, r->authority.n ? r->authority : STR("docker.io"));
    return j;
}

static void submit(struct job *j)
{
    struct images *im = j->im;
    if (j->kind != IMAGE_OCI || im->pulling < PULLS_MAX) {
        begin(j);
        return;
    }
    *im->last = j;
    im->last = &j->next;
}

static bool file_allowed(const struct images *im, struct str ref, struct err *e)
{
    char text[128];
    return im->opts.allow_file || err_set(e, ERR_DENIED,
                                          "image '%s': this host does not load files (it was "
                                          "started without --allow-file-load)",
                                          str_escape(ref, text, sizeof text));
}

bool image_load(struct images *im, struct str ref, image_fn *fn, void *user, struct err *e)
{
    struct arena arena;
    struct image_ref r;
    char text[128];
    arena_init(&arena, REF_ARENA_BYTES);
    bool ok = image_ref_parse(ref, &arena, &r, e);
    if (ok && r.kind == IMAGE_BUILTIN)
        ok = err_set(e, ERR_INVALID, "image '%s': a built-in provider, not a component",
                     str_escape(ref, text, sizeof text));
    ok = ok && (r.kind == IMAGE_OCI || file_allowed(im, ref, e));
    if (ok) {
        struct job *j = job_new(im, &r);
        j->fn = fn;
        j->user = user;
        submit(j);
    }
    arena_fini(&arena);
    return ok;
}

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

/* One of ours, by its name or by an alias: a file beside this program. */
static bool own_provider(struct job *j, struct str own, struct err *e)
{
    char folder[4096];
    if (!own_folder(folder, sizeof folder, e))
        return false;
    free(j->ref);
    j->kind = IMAGE_FILE;
    j->ref = xasprintf("%s/%.*s", folder, STR_ARG(own));
    j->own = str_dup(own);
    return true;
}

bool image_provider_find(struct images *im, struct str ref, image_provider_fn *fn, void *user,
                         struct err *e)
{
    struct arena arena;
    struct image_ref r;
    char text[128];
    struct job *j = NULL;
    arena_init(&arena, REF_ARENA_BYTES);
    bool ok =
        image_ref_parse(ref, &arena, &r, e) && (r.kind != IMAGE_FILE || file_allowed(im, ref, e));
    if (ok) {
        bool may_be_own = r.kind == IMAGE_BUILTIN || (r.kind == IMAGE_OCI && !im->opts.no_aliases);
        struct str own = may_be_own ? image_alias(r.normal) : STR_NONE;
        j = job_new(im, &r);
        j->provider_fn = fn;
        j->user = user;
        if (own.n)
            ok = own_provider(j, own, e);
        else if (r.kind == IMAGE_BUILTIN)
            ok = err_set(e, ERR_NOT_FOUND, "there is no built-in provider '%s'",
                         str_escape(r.normal, text, sizeof text));
    }
    arena_fini(&arena);
    if (ok)
        submit(j);
    else if (j)
        job_free(j);
    return ok;
}
