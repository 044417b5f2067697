/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens inside WebAssembly binaries: finding them, and the binary without them.
 * A binary is its eight byte header and sections (id, length, payload); only custom sections (a name first) and
 * nested modules and components are looked into. */
#include "lattice/id/id.h"

#include "lattice/base/num.h"
#include "lattice/base/reader.h"

#define HEADER_BYTES 8
#define TOKEN_SECTION "wasmcloud_jwt"
#define TOKEN_SECTION_OLD "jwt"

enum { SECTION_CUSTOM = 0, SECTION_CORE_MODULE = 1, SECTION_COMPONENT = 4 };

struct section {
    uint8_t id;
    struct span payload;
    struct str name;     /* SECTION_CUSTOM */
    struct span content; /* behind the name */
};

static bool is_component(struct span wasm)
{
    return wasm.n >= HEADER_BYTES && wasm.p[6] == 1;
}

static bool holds_wasm(struct span outer, const struct section *s)
{
    return is_component(outer) && (s->id == SECTION_CORE_MODULE || s->id == SECTION_COMPONENT);
}

static bool open_wasm(struct span wasm, struct reader *r, struct err *e)
{
    if (wasm.n < HEADER_BYTES || memcmp(wasm.p, "\0asm", 4) != 0)
        return err_set(e, ERR_INVALID, "not a WebAssembly binary");
    rd_init(r, wasm, e);
    rd_bytes(r, HEADER_BYTES);
    return true;
}

static bool next_section(struct reader *r, struct section *out)
{
    if (!rd_more(r))
        return false;
    out->id = rd_u8(r);
    out->payload = rd_bytes(r, rd_u32(r));
    if (out->id == SECTION_CUSTOM && rd_ok(r)) {
        struct reader in;
        rd_init(&in, out->payload, r->e);
        out->name = rd_name(&in);
        out->content = (struct span){in.p, rd_left(&in)};
        if (!rd_ok(&in))
            return rd_fail(r, ERR_INVALID, "name of a custom section");
    }
    return rd_ok(r);
}

static bool is_token(const struct section *s)
{
    return s->id == SECTION_CUSTOM &&
           (str_eqz(s->name, TOKEN_SECTION) || str_eqz(s->name, TOKEN_SECTION_OLD));
}

static bool too_deep(size_t depth, struct err *e)
{
    return depth > ID_NESTING_MAX &&
           !err_set(e, ERR_LIMIT, "components nested deeper than %d", ID_NESTING_MAX);
}

/* The first one wins: the new name counts at the top only, the old one everywhere. */
static bool find_token(struct span wasm, size_t depth, struct str *out, struct err *e)
{
    struct reader r;
    struct section s;
    if (too_deep(depth, e) || !open_wasm(wasm, &r, e))
        return false;
    while (!out->p && next_section(&r, &s)) {
        if (is_token(&s) && (depth == 0 || str_eqz(s.name, TOKEN_SECTION_OLD)))
            *out = span_str(s.content);
        else if (holds_wasm(wasm, &s) && !find_token(s.payload, depth + 1, out, e))
            return false;
    }
    return rd_ok(&r);
}

bool id_component_token(struct span wasm, struct str *out, struct err *e)
{
    struct str found = STR_NONE;
    if (!find_token(wasm, 0, &found, e))
        return false;
    *out = found;
    return true;
}

/* What stripping leaves of a binary, in bytes; nested lengths must be known before their content is written. */
static bool strip_size(struct span wasm, size_t depth, size_t *out, struct err *e);

static size_t leb_size(size_t v)
{
    size_t n = 1;
    while (v >>= 7)
        n++;
    return n;
}

static bool section_size(struct span wasm, const struct section *s, size_t depth, size_t *out,
                         struct err *e)
{
    *out = s->payload.n;
    return !holds_wasm(wasm, s) || strip_size(s->payload, depth + 1, out, e);
}

static bool strip_size(struct span wasm, size_t depth, size_t *out, struct err *e)
{
    struct reader r;
    struct section s;
    size_t total = HEADER_BYTES, n;
    if (too_deep(depth, e) || !open_wasm(wasm, &r, e))
        return false;
    while (next_section(&r, &s)) {
        if (is_token(&s))
            continue;
        if (!section_size(wasm, &s, depth, &n, e))
            return false;
        total += 1 + leb_size(n) + n; /* never more than was read */
    }
    *out = total;
    return rd_ok(&r);
}

/* After strip_size has found wasm to be sound. */
static bool strip(struct span wasm, size_t depth, struct buf *out, struct err *e)
{
    struct reader r;
    struct section s;
    size_t n;
    if (!open_wasm(wasm, &r, e))
        return false;
    buf_put(out, wasm.p, HEADER_BYTES);
    while (next_section(&r, &s)) {
        if (is_token(&s))
            continue;
        if (!section_size(wasm, &s, depth, &n, e))
            return false;
        buf_byte(out, s.id);
        buf_leb_u64(out, n);
        if (!holds_wasm(wasm, &s))
            buf_put(out, s.payload.p, s.payload.n);
        else if (!strip(s.payload, depth + 1, out, e))
            return false;
    }
    return rd_ok(&r);
}

bool id_component_strip(struct span wasm, struct buf *out, struct err *e)
{
    size_t n;
    return strip_size(wasm, 0, &n, e) && strip(wasm, 0, out, e) && buf_ok(out, e);
}

bool id_component_embed(struct span wasm, struct str token, struct buf *out, struct err *e)
{
    static const struct str name = STR_INIT(TOKEN_SECTION);
    if (token.n > ID_TOKEN_MAX)
        return err_set(e, ERR_LIMIT, "token of %zu bytes, the limit is %u", token.n, ID_TOKEN_MAX);
    if (!id_component_strip(wasm, out, e))
        return false;
    buf_byte(out, SECTION_CUSTOM);
    buf_leb_u64(out, leb_size(name.n) + name.n + token.n);
    buf_leb_u64(out, name.n);
    buf_str(out, name);
    buf_str(out, token);
    return buf_ok(out, e);
}

static bool check_hash(struct span wasm, const struct id_claims *c, struct err *e)
{
    char hash[ID_HASH_LEN + 1];
    struct buf stripped = BUF_INIT;
    bool ok = id_component_strip(wasm, &stripped, e);
    if (ok && !str_eqz(c->hash, id_hash(buf_span(&stripped), hash)))
        ok = err_set(e, ERR_DENIED, "the component was changed after it was signed: its hash is %s",
                     hash);
    buf_fini(&stripped);
    return ok;
}

bool id_component_claims(struct span wasm, uint64_t now_s, struct arena *a, struct id_claims *out,
                         bool *found, struct err *e)
{
    struct str token;
    if (!id_component_token(wasm, &token, e))
        return false;
    *found = token.p != NULL;
    if (!token.p)
        return true;
    struct id_claims c;
    if (!id_claims_decode(token, a, &c, e))
        return err_wrap(e, "embedded claims");
    if (!c.has_metadata)
        return err_set(e, ERR_INVALID, "embedded claims: no 'wascap' member");
    if (c.wascap_revision >= ID_WASCAP_REVISION && !check_hash(wasm, &c, e))
        return err_wrap(e, "embedded claims");
    if (!id_claims_check(&c, now_s, e))
        return err_wrap(e, "embedded claims");
    *out = c;
    return true;
}
