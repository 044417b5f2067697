/* SPDX-License-Identifier: Apache-2.0 */
/* push, pull: components and provider archives in registries and files. Credentials come from the options,
 * their environment variables, or what docker keeps. */
#include "ctl/table.h"

#include <stdlib.h>
#include <string.h>
#include "hostd/image/files.h"
#include "hostd/image/image.h"
#include "hostd/image/par.h"
#include "hostd/image/pull.h"

static bool access_options(struct ctl *c, struct str authority, struct oci_access *out,
                           struct err *e)
{
    struct docker_login login;
    *out = (struct oci_access){.plain_http = option_flag(c, "insecure"),
                               .trust_any = option_flag(c, "insecure-skip-tls-verify"),
                               .username = option_text(c, "user"),
                               .password = option_text(c, "password"),
                               .ca_files = option_text(c, "tls-ca-path")};
    if (out->username || out->password)
        return true;
    if (!docker_login(c, authority, &login, e))
        return false;
    out->username = login.username;
    out->password = login.password;
    return true;
}

/* The name in lower case, completed with --registry when it has none. */
static bool image_name(struct ctl *c, const char *text, const char **out, struct err *e)
{
    struct image_ref r;
    const char *registry = option_text(c, "registry");
    if (registry && !strchr(text, '/'))
        text = arena_printf(&c->arena, "%s/%s", registry, text);
    if (!text)
        return arena_full(&c->arena, e);
    if (!image_ref_parse(str_of(text), &c->arena, &r, e))
        return false;
    if (r.kind != IMAGE_OCI)
        return err_set(e, ERR_INVALID, "'%s' is no name in a registry", text);
    *out = arena_printf(&c->arena, "%.*s", STR_ARG(r.normal));
    return *out || arena_full(&c->arena, e);
}

static bool may_be_latest(const struct ctl *c, const struct oci_name *n, struct err *e)
{
    bool latest = !n->digest.n && str_eqz(n->tag, "latest");
    return !latest || option_flag(c, "allow-latest") ||
           err_set(e, ERR_DENIED, "name a version, or say --allow-latest");
}

bool registry_has(struct ctl *c, struct str normal, struct err *e)
{
    struct oci_name name;
    struct oci_access access;
    struct span manifest;
    if (!oci_name_parse(normal, &c->arena, &name, e) || !may_be_latest(c, &name, e) ||
        !access_options(c, name.authority, &access, e))
        return false;
    access.authority = arena_printf(&c->arena, "%.*s", STR_ARG(name.authority));
    struct oci *oci = oci_open(&access, e);
    bool ok = oci && oci_manifest(oci, &name, &c->arena, &manifest, e);
    oci_close(oci);
    return ok || err_wrap(e, "image '%.*s'", STR_ARG(normal));
}

/* ---- push ---- */

static bool kind_of(struct span content, const char *path, enum oci_what *out, struct err *e)
{
    struct par par;
    if (content.n >= 8 && memcmp(content.p, "\0asm", 4) == 0) {
        *out = OCI_COMPONENT;
        return true;
    }
    *out = OCI_PROVIDER;
    bool ok = par_read(content, ARTIFACT_BYTES_MAX, PAR_NONE, &par, e) ||
              err_wrap(e, "'%s' is neither WebAssembly nor a provider archive", path);
    par_fini(&par);
    return ok;
}

static const char *const *annotations(struct ctl *c)
{
    size_t n = 0;
    while (option_at(c, "annotation", n))
        n++;
    const char **out = arena_array(&c->arena, const char *, n + 1);
    for (size_t i = 0; out && i < n; i++)
        out[i] = option_at(c, "annotation", i);
    return out;
}

static bool push(struct ctl *c, const char *reference, struct span content, struct err *e)
{
    struct oci_name name;
    struct oci_access access;
    struct str digest;
    struct oci_artifact artifact = {.content = content, .annotations = annotations(c)};
    if (!kind_of(content, word(c, 1), &artifact.what, e) ||
        !oci_name_parse(str_of(reference), &c->arena, &name, e) || !may_be_latest(c, &name, e) ||
        !access_options(c, name.authority, &access, e))
        return false;
    access.authority = arena_printf(&c->arena, "%.*s", STR_ARG(name.authority));
    struct oci *oci = oci_open(&access, e);
    bool ok = oci && oci_push(oci, &name, &artifact, &c->arena, &digest, e);
    oci_close(oci);
    if (!ok)
        return err_wrap(e, "push '%s'", reference);
    result_say(c, "pushed %s as %.*s", reference, STR_ARG(digest));
    result_set(c, "url", json_string(reference));
    result_set(c, "digest", json_str(digest));
    result_set(c, "tag", json_str(name.tag));
    return true;
}

bool cmd_push(struct ctl *c, struct err *e)
{
    const char *reference;
    struct span content;
    if (!image_name(c, word(c, 0), &reference, e) ||
        !file_read(word(c, 1), ARTIFACT_BYTES_MAX, &content, e))
        return false;
    bool ok = push(c, reference, content, e);
    free((void *)content.p);
    return ok;
}

/* ---- pull ---- */

/* Malloced. */
static bool fetch(struct ctl *c, const char *reference, struct span *out, struct err *e)
{
    char digest[DIGEST_LEN + 1];
    const char *wanted = option_text(c, "digest");
    struct oci_name name;
    struct pull p = {.allow_latest = option_flag(c, "allow-latest"),
                     .bytes_max = ARTIFACT_BYTES_MAX};
    if (!oci_name_parse(str_of(reference), &c->arena, &name, e) ||
        !access_options(c, name.authority, &p.access, e) ||
        !pull_image(&p, str_of(reference), OCI_ANY, out, digest, e))
        return false;
    if (!wanted || strcmp(wanted, digest) == 0)
        return true;
    free((void *)out->p);
    return err_set(e, ERR_DENIED, "image '%s' has the digest %s, not %s", reference, digest,
                   wanted);
}

bool registry_fetch(struct ctl *c, const char *text, const char **reference, struct span *out,
                    struct err *e)
{
    return image_name(c, text, reference, e) && fetch(c, *reference, out, e);
}

static const char *default_name(struct ctl *c, const char *reference, struct span content)
{
    struct str s = str_of(reference);
    size_t slash = str_rfind(s, '/');
    s = slash < s.n ? str_sub(s, slash + 1, s.n) : s;
    s = str_sub(s, 0, str_find(s, '@'));
    s = str_sub(s, 0, str_find(s, ':'));
    return arena_printf(&c->arena, "%.*s%s", STR_ARG(s),
                        par_looks_like(content) ? ".par.gz" : ".wasm");
}

bool cmd_pull(struct ctl *c, struct err *e)
{
    const char *reference, *path = option_text(c, "destination");
    struct span content;
    if (!registry_fetch(c, word(c, 0), &reference, &content, e))
        return false;
    path = path ? path : default_name(c, reference, content);
    bool ok = path ? file_write(path, content, 0644, e) : arena_full(&c->arena, e);
    free((void *)content.p);
    if (!ok)
        return false;
    result_say(c, "pulled %s into %s", reference, path);
    result_set(c, "file", json_string(path));
    return true;
}
