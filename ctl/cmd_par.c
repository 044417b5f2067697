/* SPDX-License-Identifier: Apache-2.0 */
/* par: provider archives. Claims are signed with the key of an account; the provider has a key of its own. */
#include "ctl/table.h"

#include <stdio.h>
#include <string.h>
#include "hostd/image/files.h"
#include "hostd/image/par.h"
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/rand.h"
#include "lattice/id/id.h"

#define PAR_BYTES_MAX ((uint64_t)1 << 30)
#define NS_PER_S 1000000000u

/* ---- claims ---- */

static json_t *target_hashes(const struct par *p)
{
    char hash[ID_HASH_LEN + 1], target[64];
    json_t *out = json_object();
    for (size_t i = 0; i < p->nbinaries; i++) {
        snprintf(target, sizeof target, "%.*s", STR_ARG(p->binaries[i].target));
        json_object_set_new(out, target, json_string(id_hash(p->binaries[i].bytes, hash)));
    }
    if (p->world.n)
        json_object_set_new(out, "world.wasm", json_string(id_hash(p->world, hash)));
    return out;
}

struct identity {
    const char *name, *vendor, *version;
    int64_t revision;
    const char *schema; /* JSON text; NULL: none */
};

static bool sign(struct ctl *c, struct par *p, const struct identity *who,
                 const struct id_key *issuer, const struct id_key *subject, struct err *e)
{
    char id[ID_PUBLIC_LEN + 1], account[ID_PUBLIC_LEN + 1], nuid[NUID_LEN + 1];
    rand_nuid(nuid);
    json_error_t why;
    json_t *schema = who->schema ? json_loads(who->schema, 0, &why) : NULL;
    if (who->schema && !schema)
        return err_set(e, ERR_INVALID, "the configuration schema is no JSON: line %d, %s", why.line,
                       why.text);
    json_t *claims = json_pack(
        "{s:s, s:I, s:s, s:s, s:{s:s, s:s, s:s, s:I, s:o, s:o*}, s:i}", "jti", nuid, "iat",
        (json_int_t)(clock_wall_ns() / NS_PER_S), "iss", id_key_public(issuer, account), "sub",
        id_key_public(subject, id), "wascap", "name", who->name, "vendor", who->vendor, "ver",
        who->version, "rev", (json_int_t)who->revision, "target_hashes", target_hashes(p),
        "config_schema", schema, "wascap_revision", ID_WASCAP_REVISION);
    AUTO_FREE char *text = claims ? json_dumps(claims, JSON_COMPACT) : NULL;
    json_decref(claims);
    struct buf token;
    buf_init(&token, ID_TOKEN_MAX);
    if (text)
        id_token_sign(issuer, str_of(text), &token);
    p->token = arena_str(&c->arena, buf_view(&token));
    bool ok = (text || err_set(e, ERR_INVALID, "a name is not UTF-8")) && buf_ok(&token, e) &&
              (p->token.p || arena_full(&c->arena, e));
    buf_fini(&token);
    return ok;
}

static bool sign_with_keys(struct ctl *c, struct par *p, const struct identity *who,
                           const char *stem, struct err *e)
{
    struct id_key issuer = {0}, subject = {0};
    bool ok = keyring_get(c, "issuer", ID_ACCOUNT, stem, &issuer, e) &&
              keyring_get(c, "subject", ID_SERVICE, stem, &subject, e) &&
              sign(c, p, who, &issuer, &subject, e);
    id_key_fini(&issuer);
    id_key_fini(&subject);
    return ok;
}

/* ---- archives ---- */

static struct str target_option(const struct ctl *c)
{
    const char *arch = option_text(c, "arch");
    return arch ? str_of(arch) : par_native();
}

/* "dir/name.ext" -> "name" */
static const char *stem_of(struct ctl *c, const char *path)
{
    struct str s = str_of(path);
    size_t slash = str_rfind(s, '/');
    s = slash < s.n ? str_sub(s, slash + 1, s.n) : s;
    return arena_printf(&c->arena, "%.*s", STR_ARG(str_sub(s, 0, str_find(s, '.'))));
}

static bool write_archive(struct ctl *c, const struct par *p, const char *path, bool compressed,
                          struct err *e)
{
    struct buf out;
    buf_init(&out, PAR_BYTES_MAX);
    bool ok = par_write(p, compressed, &out, e) && file_write(path, buf_span(&out), 0644, e);
    buf_fini(&out);
    if (!ok)
        return false;
    result_say(c, "wrote %s", path);
    result_set(c, "file", json_string(path));
    return true;
}

static bool needed(const struct ctl *c, const char *option, const char **out, struct err *e)
{
    *out = option_text(c, option);
    return *out || err_set(e, ERR_INVALID, "--%s is needed", option);
}

static bool read_schema(struct ctl *c, const char **out, struct err *e)
{
    const char *path = option_text(c, "schema");
    struct span text;
    if (!path)
        return true;
    if (!file_read(path, ID_TOKEN_MAX, &text, e))
        return false;
    *out = arena_printf(&c->arena, "%.*s", STR_ARG(span_str(text)));
    free((void *)text.p);
    return *out || arena_full(&c->arena, e);
}

bool cmd_par_create(struct ctl *c, struct err *e)
{
    struct identity who = {.revision = (int64_t)option_number(c, "revision"),
                           .version = option_text(c, "version")};
    const char *binary, *path = option_text(c, "destination");
    struct span bytes;
    bool compressed = option_flag(c, "compress");
    if (!needed(c, "vendor", &who.vendor, e) || !needed(c, "name", &who.name, e) ||
        !needed(c, "binary", &binary, e) || !read_schema(c, &who.schema, e) ||
        !file_read(binary, PAR_BYTES_MAX, &bytes, e))
        return false;
    struct par p = {.binaries = {{target_option(c), bytes}}, .nbinaries = 1};
    const char *stem = stem_of(c, binary);
    if (!path && stem)
        path = arena_printf(&c->arena, "%s.par%s", stem, compressed ? ".gz" : "");
    bool ok = (stem && path) || arena_full(&c->arena, e);
    ok = ok && sign_with_keys(c, &p, &who, stem, e) && write_archive(c, &p, path, compressed, e);
    free((void *)bytes.p);
    return ok;
}

/* Puts the binary in place of the target's, or beside the others. */
static bool insert(struct par *p, struct str target, struct span bytes, struct err *e)
{
    struct par_binary *b = par_find(p, target);
    if (!b && p->nbinaries == PAR_TARGETS_MAX)
        return err_set(e, ERR_LIMIT, "an archive has at most %d targets", PAR_TARGETS_MAX);
    if (!b)
        b = &p->binaries[p->nbinaries++];
    *b = (struct par_binary){target, bytes};
    return true;
}

static const char *text_of(struct ctl *c, struct str s)
{
    return arena_printf(&c->arena, "%.*s", STR_ARG(s));
}

static bool add_to(struct ctl *c, struct par *p, struct span bytes, struct err *e)
{
    struct id_claims old;
    const char *archive = word(c, 0);
    if (!id_claims_decode(p->token, &c->arena, &old, e) || !insert(p, target_option(c), bytes, e))
        return false;
    struct identity who = {.name = text_of(c, old.name),
                           .vendor = text_of(c, old.vendor),
                           .version = text_of(c, old.version),
                           .revision = old.has_revision ? old.revision : 0,
                           .schema = old.config_schema.n ? text_of(c, old.config_schema) : NULL};
    const char *stem = stem_of(c, archive);
    if (!who.name || !who.vendor || !who.version || !stem)
        return arena_full(&c->arena, e);
    return sign_with_keys(c, p, &who, stem, e);
}

bool cmd_par_insert(struct ctl *c, struct err *e)
{
    const char *binary, *archive = word(c, 0);
    struct span file, bytes;
    struct par p;
    if (!needed(c, "binary", &binary, e) || !file_read(archive, PAR_BYTES_MAX, &file, e))
        return false;
    if (!file_read(binary, PAR_BYTES_MAX, &bytes, e)) {
        free((void *)file.p);
        return false;
    }
    bool compressed = file.n > 2 && memcmp(file.p, "\x1f\x8b", 2) == 0;
    bool ok = par_read(file, PAR_BYTES_MAX, STR_NONE, &p, e) && add_to(c, &p, bytes, e) &&
              write_archive(c, &p, archive, compressed, e);
    par_fini(&p);
    free((void *)file.p);
    free((void *)bytes.p);
    return ok;
}
