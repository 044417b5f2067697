/* SPDX-License-Identifier: Apache-2.0 */
/* Claims: tokens of the form base64url(header).base64url(claims).base64url(signature), signed with Ed25519.
 * Keeps: decoding bounds everything by the token's own size (ID_TOKEN_MAX); nothing is believed before
 * id_claims_check, which works on the token as it came. */
#include "lattice/id/id.h"

#include <inttypes.h>
#include <jansson.h>
#include "lattice/base/alloc.h"
#include "lattice/base/base64.h"
#include "lattice/base/num.h"

#define HEADER_JSON "{\"typ\":\"jwt\",\"alg\":\"Ed25519\"}"

/* ---- decoding ------------------------------------------------------------------------------------- */

struct parts {
    struct str header, claims, signature, signed_text;
};

static bool split(struct str token, struct parts *out, struct err *e)
{
    struct str rest = token, extra;
    if (token.n > ID_TOKEN_MAX)
        return err_set(e, ERR_LIMIT, "token of %zu bytes, the limit is %u", token.n, ID_TOKEN_MAX);
    bool ok = token.n && str_cut(&rest, '.', &out->header) && str_cut(&rest, '.', &out->claims) &&
              str_cut(&rest, '.', &out->signature) && !str_cut(&rest, '.', &extra);
    if (!ok)
        return err_set(e, ERR_INVALID, "token does not have three parts separated by dots");
    out->signed_text = str_sub(token, 0, out->header.n + 1 + out->claims.n);
    return true;
}

static json_t *parse_part(struct str part, const char *what, struct err *e)
{
    json_error_t je;
    AUTO_FREE uint8_t *text = xalloc(part.n + 1);
    size_t n = base64_decode(BASE64_URL, part, text);
    if (n == SIZE_MAX) {
        err_set(e, ERR_INVALID, "token %s is not base64url", what);
        return NULL;
    }
    json_t *json = json_loadb((const char *)text, n, JSON_REJECT_DUPLICATES, &je);
    if (json_is_object(json))
        return json;
    json_decref(json);
    err_set(e, ERR_INVALID, "token %s is not a JSON object", what);
    return NULL;
}

/* Reads members of one JSON object; the first bad one is remembered. */
struct members {
    const json_t *object;
    struct arena *arena;
    struct err *e;
    bool ok;
};

static const json_t *member(struct members *m, const char *key, bool right_type, const char *type)
{
    const json_t *v = json_object_get(m->object, key);
    if (!v || json_is_null(v) || right_type)
        return json_is_null(v) ? NULL : v;
    if (m->ok)
        err_set(m->e, ERR_INVALID, "claims: '%s' is not %s", key, type);
    m->ok = false;
    return NULL;
}

static struct str copy_text(struct members *m, const json_t *v)
{
    struct str text =
        arena_str(m->arena, (struct str){json_string_value(v), json_string_length(v)});
    if (!text.p && m->ok)
        m->ok = arena_full(m->arena, m->e);
    return text;
}

static struct str get_text(struct members *m, const char *key)
{
    const json_t *v = member(m, key, json_is_string(json_object_get(m->object, key)), "a text");
    return v ? copy_text(m, v) : STR_NONE;
}

static uint64_t get_number(struct members *m, const char *key, uint64_t absent)
{
    const json_t *raw = json_object_get(m->object, key);
    const json_t *v = member(m, key, json_is_integer(raw) && json_integer_value(raw) >= 0,
                             "a number of 0 or more");
    return v ? (uint64_t)json_integer_value(v) : absent;
}

static void get_tags(struct members *m, struct id_claims *out)
{
    const json_t *v =
        member(m, "tags", json_is_array(json_object_get(m->object, "tags")), "an array");
    size_t n = json_array_size(v), i;
    const json_t *tag;
    if (n == 0)
        return;
    struct str *tags = arena_array(m->arena, struct str, n);
    if (!tags) {
        m->ok = m->ok && arena_full(m->arena, m->e);
        return;
    }
    json_array_foreach(v, i, tag)
    {
        if (!json_is_string(tag) && m->ok)
            m->ok = err_set(m->e, ERR_INVALID, "claims: a tag is not a text");
        tags[i] = copy_text(m, tag);
    }
    out->tags = tags;
    out->ntags = n;
}

static void get_targets(struct members *m, struct id_claims *out)
{
    json_t *raw = json_object_get(m->object, "target_hashes"), *hash;
    const json_t *v = member(m, "target_hashes", json_is_object(raw), "an object");
    size_t n = json_object_size(v), i = 0;
    const char *name;
    if (n == 0)
        return;
    struct id_target *targets = arena_array(m->arena, struct id_target, n);
    if (!targets) {
        m->ok = m->ok && arena_full(m->arena, m->e);
        return;
    }
    json_object_foreach(raw, name, hash)
    {
        if (!json_is_string(hash) && m->ok)
            m->ok = err_set(m->e, ERR_INVALID, "claims: a target hash is not a text");
        targets[i].name = arena_str(m->arena, str_of(name));
        targets[i++].hash = copy_text(m, hash);
    }
    out->targets = targets;
    out->ntargets = n;
}

static void get_metadata(struct members *m, struct id_claims *out)
{
    const json_t *rev = json_object_get(m->object, "rev");
    json_int_t number = json_integer_value(rev);
    bool fits = json_is_integer(rev) && number >= INT32_MIN && number <= INT32_MAX;
    out->has_metadata = true;
    out->name = get_text(m, "name");
    out->hash = get_text(m, "hash");
    out->version = get_text(m, "ver");
    out->vendor = get_text(m, "vendor");
    out->call_alias = get_text(m, "call_alias");
    out->has_revision = member(m, "rev", fits, "a 32-bit number") != NULL;
    out->revision = out->has_revision ? (int32_t)number : 0;
    out->is_provider = json_is_true(json_object_get(m->object, "prov"));
    get_tags(m, out);
    get_targets(m, out);
    const json_t *schema = json_object_get(m->object, "config_schema");
    if (schema && !json_is_null(schema)) {
        AUTO_FREE char *text = json_dumps(schema, JSON_COMPACT | JSON_ENCODE_ANY);
        out->config_schema = arena_str(m->arena, str_of(text));
    }
}

static bool read_claims(const json_t *json, struct arena *a, struct id_claims *out, struct err *e)
{
    struct members m = {json, a, e, true};
    out->id = get_text(&m, "jti");
    out->issuer = get_text(&m, "iss");
    out->subject = get_text(&m, "sub");
    out->issued_s = get_number(&m, "iat", 0);
    out->not_before_s = get_number(&m, "nbf", 0);
    out->expires_s = get_number(&m, "exp", ID_NEVER);
    uint64_t revision = get_number(&m, "wascap_revision", 0);
    if (!fit_u32(revision, &out->wascap_revision) && m.ok)
        m.ok = err_set(e, ERR_INVALID, "claims: 'wascap_revision' is too large");
    const json_t *raw = json_object_get(json, "wascap");
    const json_t *metadata = member(&m, "wascap", json_is_object(raw), "an object");
    if (metadata) {
        m.object = metadata;
        get_metadata(&m, out);
    }
    return m.ok;
}

bool id_claims_decode(struct str token, struct arena *a, struct id_claims *out, struct err *e)
{
    struct parts parts;
    struct id_claims claims = {.token = arena_str(a, token)};
    if (!split(token, &parts, e))
        return false;
    if (!claims.token.p)
        return arena_full(a, e);
    json_t *json = parse_part(parts.claims, "body", e);
    bool ok = json && read_claims(json, a, &claims, e);
    json_decref(json);
    if (ok)
        *out = claims;
    return ok;
}

/* ---- checking ------------------------------------------------------------------------------------- */

static bool check_header(struct str part, struct err *e)
{
    json_t *header = parse_part(part, "header", e);
    if (!header)
        return false;
    struct str typ = str_of(json_string_value(json_object_get(header, "typ")));
    struct str alg = str_of(json_string_value(json_object_get(header, "alg")));
    bool ok = str_eqz(typ, "jwt") && str_eqz(alg, "Ed25519");
    json_decref(header);
    return ok || err_set(e, ERR_DENIED, "token is not of type jwt with algorithm Ed25519");
}

static bool check_signature(const struct parts *parts, struct str issuer, struct err *e)
{
    enum id_key_type type;
    uint8_t key[ID_RAW_BYTES], signature[ID_SIGNATURE_BYTES + 2];
    if (!id_public_parse(issuer, &type, key, e)) {
        e->code = ERR_DENIED;
        return err_wrap(e, "issuer of the token");
    }
    bool form = parts->signature.n == (ID_SIGNATURE_BYTES * 8 + 5) / 6 &&
                base64_decode(BASE64_URL, parts->signature, signature) == ID_SIGNATURE_BYTES;
    if (!form || type == ID_CURVE || !id_verify(key, str_span(parts->signed_text), signature))
        return err_set(e, ERR_DENIED, "token was not signed by its issuer, or was changed since");
    return true;
}

bool id_claims_check(const struct id_claims *c, uint64_t now_s, struct err *e)
{
    struct parts parts;
    if (!split(c->token, &parts, e) || !check_header(parts.header, e))
        return false;
    if (c->issuer.n == 0 || c->subject.n == 0)
        return err_set(e, ERR_DENIED, "token names no %s", c->issuer.n ? "subject" : "issuer");
    if (!check_signature(&parts, c->issuer, e))
        return false;
    if (c->expires_s < now_s)
        return err_set(e, ERR_DENIED, "token expired %" PRIu64 " s ago", now_s - c->expires_s);
    if (now_s < c->not_before_s)
        return err_set(e, ERR_DENIED, "token is valid in %" PRIu64 " s only",
                       c->not_before_s - now_s);
    return true;
}

/* ---- signing -------------------------------------------------------------------------------------- */

void id_token_sign(const struct id_key *issuer, struct str claims_json, struct buf *out)
{
    uint8_t signature[ID_SIGNATURE_BYTES];
    size_t start = out->n;
    base64_encode(BASE64_URL, str_span(STR(HEADER_JSON)), out);
    buf_byte(out, '.');
    base64_encode(BASE64_URL, str_span(claims_json), out);
    if (out->full)
        return;
    id_sign(issuer, (struct span){out->p + start, out->n - start}, signature);
    buf_byte(out, '.');
    base64_encode(BASE64_URL, (struct span){signature, sizeof signature}, out);
}
