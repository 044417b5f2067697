/* SPDX-License-Identifier: Apache-2.0 */
/* claims: signing components, so that policy services and secrets backends can tell them; tokens by themselves. */
#include "ctl/table.h"

#include <string.h>
#include "hostd/image/files.h"
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"
#include "lattice/base/rand.h"

#define COMPONENT_BYTES_MAX ((uint64_t)1 << 30)
#define NS_PER_S 1000000000u
#define S_PER_DAY 86400u
#define DAYS_MAX 36500u

/* "dir/name.wasm" -> "dir/name", and from where on it is the name */
static const char *stem_of(struct ctl *c, const char *path, size_t *name_at)
{
    struct str s = str_of(path);
    size_t slash = str_rfind(s, '/'), dot = str_rfind(s, '.');
    *name_at = slash < s.n ? slash + 1 : 0;
    if (dot < s.n && dot > *name_at)
        s = str_sub(s, 0, dot);
    return arena_printf(&c->arena, "%.*s", STR_ARG(s));
}

/* A number of days from now as seconds since 1970; untouched when the option is not given. */
static bool days(const struct ctl *c, const char *option, json_int_t now_s, json_t **out,
                 struct err *e)
{
    uint64_t n = option_number(c, option);
    if (!option_given(c, option))
        return true;
    if (n > DAYS_MAX)
        return err_set(e, ERR_INVALID, "--%s: at most %u days", option, DAYS_MAX);
    *out = json_integer(now_s + (json_int_t)n * S_PER_DAY);
    return true;
}

static json_t *tags_of(const struct ctl *c)
{
    json_t *tags = json_array();
    const char *tag;
    for (size_t i = 0; (tag = option_at(c, "tag", i)); i++)
        json_array_append_new(tags, json_string(tag));
    return tags;
}

/* The text of a token about `subject`. Takes wascap, what is said of it. */
static bool claims_text(struct ctl *c, const struct id_key *issuer, const struct id_key *subject,
                        json_t *wascap, char **out, struct err *e)
{
    char id[ID_PUBLIC_LEN + 1], account[ID_PUBLIC_LEN + 1], nuid[NUID_LEN + 1];
    json_int_t now_s = (json_int_t)(clock_wall_ns() / NS_PER_S);
    json_t *expires = NULL, *not_before = NULL;
    if (!days(c, "expires", now_s, &expires, e) || !days(c, "nbf", now_s, &not_before, e)) {
        json_decref(expires);
        json_decref(wascap);
        return false;
    }
    rand_nuid(nuid);
    json_t *claims = json_pack("{s:s, s:I, s:o*, s:o*, s:s, s:s, s:o, s:i}", "jti", nuid, "iat",
                               now_s, "exp", expires, "nbf", not_before, "iss",
                               id_key_public(issuer, account), "sub", id_key_public(subject, id),
                               "wascap", wascap, "wascap_revision", ID_WASCAP_REVISION);
    *out = claims ? json_dumps(claims, JSON_COMPACT) : NULL;
    json_decref(claims);
    return *out || err_set(e, ERR_INVALID, "a name or tag is not UTF-8");
}

static json_t *component_part(const struct ctl *c, const char *name, const char *hash)
{
    return json_pack("{s:s, s:s, s:o, s:I, s:s, s:s*, s:b}", "name", name, "hash", hash, "tags",
                     tags_of(c), "rev", (json_int_t)option_number(c, "rev"), "ver",
                     option_text(c, "ver"), "call_alias", option_text(c, "call-alias"), "prov", 0);
}

/* ---- sign ---- */

static bool sign(struct ctl *c, const char *name, struct span wasm, const struct id_key *issuer,
                 const struct id_key *subject, struct buf *out, struct err *e)
{
    struct buf plain = BUF_INIT, token = BUF_INIT;
    char hash[ID_HASH_LEN + 1];
    AUTO_FREE char *text = NULL;
    bool ok = id_component_strip(wasm, &plain, e) &&
              claims_text(c, issuer, subject,
                          component_part(c, name, id_hash(buf_span(&plain), hash)), &text, e);
    if (ok) {
        id_token_sign(issuer, str_of(text), &token);
        ok = id_component_embed(wasm, buf_view(&token), out, e);
    }
    buf_fini(&plain);
    buf_fini(&token);
    return ok;
}

static bool sign_file(struct ctl *c, struct span wasm, const char *stem, const char *base,
                      struct err *e)
{
    struct id_key issuer = {0}, subject = {0};
    char id[ID_PUBLIC_LEN + 1];
    struct buf out = BUF_INIT;
    const char *name = option_text(c, "name"), *to = option_text(c, "destination");
    if (!to)
        to = arena_printf(&c->arena, "%s_s.wasm", stem);
    bool ok = to || arena_full(&c->arena, e);
    ok = ok && keyring_get(c, "issuer", ID_ACCOUNT, base, &issuer, e) &&
         keyring_get(c, "subject", ID_MODULE, base, &subject, e) &&
         sign(c, name ? name : base, wasm, &issuer, &subject, &out, e) &&
         file_write(to, buf_span(&out), 0644, e);
    if (ok) {
        result_say(c, "signed as %s: %s", id_key_public(&subject, id), to);
        result_set(c, "destination", json_string(to));
        result_set(c, "subject", json_string(id));
    }
    id_key_fini(&issuer);
    id_key_fini(&subject);
    buf_fini(&out);
    return ok;
}

bool cmd_claims_sign(struct ctl *c, struct err *e)
{
    const char *path = word(c, 0);
    struct span wasm;
    size_t base;
    const char *stem = stem_of(c, path, &base);
    if (!stem)
        return arena_full(&c->arena, e);
    if (!file_read(path, COMPONENT_BYTES_MAX, &wasm, e))
        return false;
    bool ok = sign_file(c, wasm, stem, stem + base, e) || err_wrap(e, "sign '%s'", path);
    free((void *)wasm.p);
    return ok;
}

/* ---- token ---- */

static json_t *token_component(const struct ctl *c, const char *name, struct err *e)
{
    (void)e;
    return component_part(c, name, "");
}

static json_t *token_provider(const struct ctl *c, const char *name, struct err *e)
{
    (void)e;
    return json_pack("{s:s, s:s*, s:I, s:s, s:{}}", "name", name, "vendor",
                     option_text(c, "vendor"), "rev", (json_int_t)option_number(c, "rev"), "ver",
                     option_text(c, "ver"), "target_hashes");
}

/* A public key, or that of a seed or of a file with one. */
static bool signer_id(const char *text, char id[ID_PUBLIC_LEN + 1], struct err *e)
{
    uint8_t raw[ID_RAW_BYTES];
    enum id_key_type type;
    struct id_key key = {0};
    struct err none = ERR_INIT;
    if (id_public_parse(str_of(text), &type, raw, &none)) {
        snprintf(id, ID_PUBLIC_LEN + 1, "%s", text);
        return true;
    }
    if (!keyring_given(text, &key, e))
        return err_wrap(e, "--additional-key");
    id_key_public(&key, id);
    id_key_fini(&key);
    return true;
}

/* Of accounts and operators: who else signs in their name. */
static json_t *token_signer(const struct ctl *c, const char *name, struct err *e)
{
    char id[ID_PUBLIC_LEN + 1];
    json_t *signers = json_array();
    const char *text;
    for (size_t i = 0; (text = option_at(c, "additional-key", i)); i++) {
        if (!signer_id(text, id, e)) {
            json_decref(signers);
            return NULL;
        }
        json_array_append_new(signers, json_string(id));
    }
    return json_pack("{s:s, s:o}", "name", name, "valid_signers", signers);
}

static const struct token_kind {
    const char *word;
    enum id_key_type issuer, subject;
    json_t *(*part)(const struct ctl *c, const char *name, struct err *e); /* NULL, e perhaps set */
} token_kinds[] = {
    {"component", ID_ACCOUNT, ID_MODULE, token_component},
    {"provider", ID_ACCOUNT, ID_SERVICE, token_provider},
    {"account", ID_OPERATOR, ID_ACCOUNT, token_signer},
    {"operator", ID_OPERATOR, ID_OPERATOR, token_signer},
};

static bool make_token(struct ctl *c, const struct token_kind *kind, const char *name,
                       struct err *e)
{
    struct id_key issuer = {0}, subject = {0};
    struct buf token = BUF_INIT;
    AUTO_FREE char *text = NULL;
    /* an operator signs for itself */
    const char *whose = kind->issuer == kind->subject ? "issuer" : "subject";
    json_t *said = kind->part(c, name, e);
    bool ok = e->code == ERR_NONE && keyring_get(c, "issuer", kind->issuer, name, &issuer, e) &&
              keyring_get(c, whose, kind->subject, name, &subject, e) &&
              claims_text(c, &issuer, &subject, json_incref(said), &text, e);
    json_decref(said);
    if (ok) {
        id_token_sign(&issuer, str_of(text), &token);
        buf_printf(&c->text, "%.*s\n", STR_ARG(buf_view(&token)));
        result_set(c, "token", json_str(buf_view(&token)));
    }
    buf_fini(&token);
    id_key_fini(&issuer);
    id_key_fini(&subject);
    return ok;
}

bool cmd_claims_token(struct ctl *c, struct err *e)
{
    const char *name = option_text(c, "name");
    const struct token_kind *kind = NULL;
    for (size_t i = 0; i < ARRAY_LEN(token_kinds); i++)
        if (strcmp(word(c, 0), token_kinds[i].word) == 0)
            kind = &token_kinds[i];
    if (!kind)
        return err_set(e, ERR_INVALID, "'%s' is none of component, provider, account, operator",
                       word(c, 0));
    if (!name || !*name || strchr(name, '/'))
        return err_set(e, ERR_INVALID, "--name is missing, or no name");
    if (kind->subject == ID_SERVICE && !option_text(c, "vendor"))
        return err_set(e, ERR_INVALID, "--vendor is missing");
    return make_token(c, kind, name, e);
}
