/* SPDX-License-Identifier: Apache-2.0 */
/* Provider archives over libarchive, which knows tar's dialects and gzip; only these two are switched on. */
#include "hostd/image/par.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include "lattice/id/id.h"

#define TARGET_MAX 64
#define ENTRIES_MAX 256
#define ARENA_SPARE 65536

struct str par_native(void)
{
#if defined(__x86_64__)
    return STR("x86_64-linux");
#elif defined(__aarch64__)
    return STR("aarch64-linux");
#else
#error "name this machine's target as provider archives do"
#endif
}

#define TAR_MAGIC_AT 257

bool par_looks_like(struct span file)
{
    bool gzip = file.n > 2 && memcmp(file.p, "\x1f\x8b", 2) == 0;
    return gzip || (file.n >= TAR_MAGIC_AT + 5 && memcmp(file.p + TAR_MAGIC_AT, "ustar", 5) == 0);
}

/* ---- reading ---- */

static bool archive_failed(struct archive *a, const char *what, struct err *e)
{
    char text[256];
    const char *why = archive_error_string(a);
    return err_set(e, ERR_INVALID, "%s: %s", what,
                   str_escape(str_of(why ? why : "unknown reason"), text, sizeof text));
}

static struct str stem_of(const char *path)
{
    struct str s = str_of(path);
    size_t slash = str_rfind(s, '/');
    if (slash < s.n)
        s = str_sub(s, slash + 1, s.n);
    return str_sub(s, 0, str_rfind(s, '.'));
}

/* What the header says is never believed: the arena's ceiling counts what really comes. */
static bool read_content(struct archive *a, struct arena *arena, struct span *out, struct err *e)
{
    struct buf b;
    buf_init(&b, arena->max_bytes - arena->used_bytes);
    const void *p;
    size_t n;
    la_int64_t at;
    int status;
    while ((status = archive_read_data_block(a, &p, &n, &at)) == ARCHIVE_OK && !b.full) {
        if (at != (la_int64_t)b.n)
            status = ARCHIVE_FATAL; /* a sparse file is nothing that we or upstream write */
        if (status != ARCHIVE_OK)
            break;
        buf_put(&b, p, n);
    }
    bool ok =
        b.full ? buf_ok(&b, e) : status == ARCHIVE_EOF || archive_failed(a, "provider archive", e);
    if (ok) {
        *out = arena_span(arena, buf_span(&b));
        ok = out->p || arena_full(arena, e);
    }
    buf_fini(&b);
    return ok;
}

static bool is_target(struct str stem)
{
    for (size_t i = 0; i < stem.n; i++) {
        char c = stem.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return stem.n > 0 && stem.n <= TARGET_MAX && str_find(stem, '-') < stem.n;
}

static bool read_binary(struct archive *a, struct str stem, struct str wanted, struct par *out,
                        struct err *e)
{
    char text[128];
    if (!is_target(stem))
        return true; /* something else's, as upstream sees it */
    if (par_find(out, stem))
        return err_set(e, ERR_INVALID, "provider archive: two binaries for %.*s", STR_ARG(stem));
    if (out->nbinaries == PAR_TARGETS_MAX)
        return err_set(e, ERR_LIMIT, "provider archive: more than %d targets", PAR_TARGETS_MAX);
    struct par_binary *b = &out->binaries[out->nbinaries++];
    *b = (struct par_binary){.target = arena_str(&out->arena, stem)};
    if (!b->target.p)
        return arena_full(&out->arena, e);
    return (wanted.n && !str_eq(stem, wanted)) || read_content(a, &out->arena, &b->bytes, e) ||
           err_wrap(e, "binary for %s", str_escape(stem, text, sizeof text));
}

static bool read_entry(struct archive *a, struct archive_entry *entry, struct str wanted,
                       struct par *out, struct err *e)
{
    const char *path = archive_entry_pathname(entry);
    if (!path || archive_entry_filetype(entry) != AE_IFREG)
        return true;
    struct str stem = stem_of(path);
    if (str_eqz(stem, "claims")) {
        struct span token;
        if (!read_content(a, &out->arena, &token, e))
            return err_wrap(e, "claims");
        out->token = str_trim(span_str(token));
        return true;
    }
    if (str_eqz(stem, "world"))
        return read_content(a, &out->arena, &out->world, e) || err_wrap(e, "WIT package");
    return read_binary(a, stem, wanted, out, e);
}

static bool read_entries(struct archive *a, struct str wanted, struct par *out, struct err *e)
{
    struct archive_entry *entry;
    int status = ARCHIVE_OK;
    for (uint32_t n = 0; (status = archive_read_next_header(a, &entry)) == ARCHIVE_OK; n++) {
        if (n == ENTRIES_MAX)
            return err_set(e, ERR_LIMIT, "provider archive: more than %d entries", ENTRIES_MAX);
        if (!read_entry(a, entry, wanted, out, e))
            return false;
    }
    if (status != ARCHIVE_EOF)
        return archive_failed(a, "provider archive", e);
    if (out->token.n == 0)
        return err_set(e, ERR_INVALID, "provider archive without claims.jwt");
    return true;
}

bool par_read(struct span file, uint64_t bytes_max, struct str target, struct par *out,
              struct err *e)
{
    *out = (struct par){.token = STR_NONE};
    arena_init(&out->arena, bytes_max + ARENA_SPARE);
    struct archive *a = archive_read_new();
    bool ok = a && archive_read_support_filter_gzip(a) == ARCHIVE_OK &&
              archive_read_support_format_tar(a) == ARCHIVE_OK &&
              archive_read_open_memory(a, file.p, file.n) == ARCHIVE_OK;
    ok = ok ? read_entries(a, target, out, e) : archive_failed(a, "not a provider archive", e);
    archive_read_free(a);
    return ok;
}

void par_fini(struct par *p)
{
    arena_fini(&p->arena);
}

struct par_binary *par_find(struct par *p, struct str target)
{
    for (size_t i = 0; i < p->nbinaries; i++)
        if (str_eq(p->binaries[i].target, target))
            return &p->binaries[i];
    return NULL;
}

/* ---- checking ---- */

static bool check_hash(const struct id_claims *c, struct str name, struct span bytes, struct err *e)
{
    char hash[ID_HASH_LEN + 1];
    for (size_t i = 0; i < c->ntargets; i++)
        if (str_eq(c->targets[i].name, name))
            return str_ieq(c->targets[i].hash, str_of(id_hash(bytes, hash))) ||
                   err_set(e, ERR_DENIED,
                           "provider archive: %.*s does not match its hash in the claims",
                           STR_ARG(name));
    return err_set(e, ERR_DENIED, "provider archive: the claims have no hash of %.*s",
                   STR_ARG(name));
}

bool par_check(struct par *p, struct str target, uint64_t now_s, struct err *e)
{
    struct id_claims claims;
    struct par_binary *b = par_find(p, target);
    if (!b)
        return err_set(e, ERR_NOT_FOUND, "provider archive without a binary for %.*s",
                       STR_ARG(target));
    return id_claims_decode(p->token, &p->arena, &claims, e) &&
           id_claims_check(&claims, now_s, e) && check_hash(&claims, target, b->bytes, e) &&
           (p->world.n == 0 || check_hash(&claims, STR("world.wasm"), p->world, e));
}

/* ---- writing ---- */

static la_ssize_t append(struct archive *a, void *user, const void *p, size_t n)
{
    struct buf *out = user;
    buf_put(out, p, n);
    if (!out->full)
        return (la_ssize_t)n;
    archive_set_error(a, EFBIG, "beyond %zu bytes", out->max);
    return -1;
}

static bool write_entry(struct archive *a, const char *name, struct span bytes, struct err *e)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0755);
    archive_entry_set_size(entry, (la_int64_t)bytes.n);
    bool ok = archive_write_header(a, entry) == ARCHIVE_OK &&
              archive_write_data(a, bytes.p, bytes.n) == (la_ssize_t)bytes.n;
    archive_entry_free(entry);
    return ok || archive_failed(a, "write the provider archive", e);
}

static bool write_entries(struct archive *a, const struct par *p, struct err *e)
{
    char name[TARGET_MAX + 8];
    if (!write_entry(a, "claims.jwt", str_span(p->token), e) ||
        (p->world.n && !write_entry(a, "world.wasm", p->world, e)))
        return false;
    for (size_t i = 0; i < p->nbinaries; i++) {
        snprintf(name, sizeof name, "%.*s.bin", STR_ARG(p->binaries[i].target));
        if (!write_entry(a, name, p->binaries[i].bytes, e))
            return false;
    }
    return true;
}

bool par_write(const struct par *p, bool compressed, struct buf *out, struct err *e)
{
    struct archive *a = archive_write_new();
    bool ok = a && archive_write_set_format_gnutar(a) == ARCHIVE_OK &&
              (!compressed || archive_write_add_filter_gzip(a) == ARCHIVE_OK) &&
              archive_write_set_bytes_in_last_block(a, 1) == ARCHIVE_OK &&
              archive_write_open(a, out, NULL, append, NULL) == ARCHIVE_OK;
    ok = ok ? write_entries(a, p, e) : archive_failed(a, "write the provider archive", e);
    if (ok && archive_write_close(a) != ARCHIVE_OK)
        ok = archive_failed(a, "write the provider archive", e);
    archive_write_free(a);
    return ok;
}
