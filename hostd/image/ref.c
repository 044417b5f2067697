/* SPDX-License-Identifier: Apache-2.0 */
/* References: what they name, their normal form, and which of upstream's providers are served by our own. */
#include "hostd/image/image.h"

#include "lattice/base/num.h"

static const struct {
    struct str scheme;
    enum image_kind kind;
} schemes[] = {
    {STR_INIT("file://"), IMAGE_FILE},
    {STR_INIT("oci://"), IMAGE_OCI},
    {STR_INIT("http://"), IMAGE_OCI},
    {STR_INIT("https://"), IMAGE_OCI},
    {STR_INIT("wasmcloud+builtin://"), IMAGE_BUILTIN},
};

static const struct {
    struct str repository; /* without tag and digest; "*" in front: whatever comes before */
    struct str name;
} aliases[] = {
    {STR_INIT("http-server"), STR_INIT("http-server")},
    {STR_INIT("keyvalue-nats"), STR_INIT("keyvalue-nats")},
    {STR_INIT("ollama"), STR_INIT("ollama")},
    {STR_INIT("ghcr.io/wasmcloud/http-server"), STR_INIT("http-server")},
    {STR_INIT("ghcr.io/wasmcloud/keyvalue-nats"), STR_INIT("keyvalue-nats")},
    {STR_INIT("*/ollama-provider"), STR_INIT("ollama")},
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes the path behind file://; the authority may only be empty or localhost. */
static bool parse_file(struct str rest, struct arena *a, struct image_ref *out, struct err *e)
{
    size_t slash = str_find(rest, '/');
    struct str authority = str_sub(rest, 0, slash);
    if (authority.n && !str_eqz(authority, "localhost"))
        return err_set(e, ERR_INVALID,
                       "a file reference needs an absolute path: file:///path/to/file");
    struct str path = str_sub(rest, slash, rest.n);
    char *p = arena_alloc(a, path.n + 1, 1);
    size_t n = 0;
    if (!p)
        return arena_full(a, e);
    for (size_t i = 0; i < path.n; i++) {
        int c = (unsigned char)path.p[i];
        if (c == '%') {
            int high = i + 2 < path.n ? hex_digit(path.p[i + 1]) : -1;
            int low = i + 2 < path.n ? hex_digit(path.p[i + 2]) : -1;
            c = high < 0 || low < 0 ? 0 : high << 4 | low;
            i += 2;
        }
        if (c == 0)
            return err_set(e, ERR_INVALID,
                           "a %% in a file reference stands before two hexadecimal digits");
        p[n++] = (char)c;
    }
    if (n < 2)
        return err_set(e, ERR_INVALID, "a file reference without a path");
    out->normal = (struct str){p, n};
    return true;
}

/* The form only; a registry has the last word on its names. */
static bool parse_oci(struct str rest, struct arena *a, struct image_ref *out, struct err *e)
{
    bool has_slash = str_find(rest, '/') < rest.n, all_hex = true;
    for (size_t i = 0; i < rest.n; i++) {
        char c = rest.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (i == 0 || c == '\0' || !strchr("._/:@-+", c)))
            return err_set(e, ERR_INVALID,
                           i == 0 && c == '/'
                               ? "a path alone is no image reference: write file://PATH"
                               : "not an image reference");
        all_hex = all_hex && hex_digit(c) >= 0;
    }
    if (rest.n == 0)
        return err_set(e, ERR_INVALID, "empty image reference");
    if (!has_slash && all_hex && rest.n == 64)
        return err_set(e, ERR_INVALID, "a digest alone is no image reference");
    out->normal = arena_str(a, rest);
    if (!out->normal.p)
        return arena_full(a, e);
    if (has_slash)
        out->authority = str_sub(out->normal, 0, str_find(out->normal, '/'));
    return true;
}

static bool parse_builtin(struct str rest, struct arena *a, struct image_ref *out, struct err *e)
{
    for (size_t i = 0; i < rest.n; i++)
        if (!(rest.p[i] >= 'a' && rest.p[i] <= 'z') && rest.p[i] != '-')
            return err_set(e, ERR_INVALID, "not the name of a built-in provider");
    if (rest.n == 0)
        return err_set(e, ERR_INVALID, "a built-in provider without a name");
    out->normal = arena_str(a, rest);
    return out->normal.p || arena_full(a, e);
}

bool image_ref_parse(struct str text, struct arena *a, struct image_ref *out, struct err *e)
{
    struct image_ref ref = {.kind = IMAGE_OCI};
    struct str rest = text;
    char shown[128];
    if (text.n > IMAGE_REF_MAX)
        return err_set(e, ERR_LIMIT, "image reference of %zu bytes, the limit is %d", text.n,
                       IMAGE_REF_MAX);
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (!str_starts(text, schemes[i].scheme))
            continue;
        ref.kind = schemes[i].kind;
        rest = str_sub(text, schemes[i].scheme.n, text.n);
        break;
    }
    bool ok = ref.kind == IMAGE_FILE      ? parse_file(rest, a, &ref, e)
              : ref.kind == IMAGE_BUILTIN ? parse_builtin(rest, a, &ref, e)
                                          : parse_oci(rest, a, &ref, e);
    if (!ok)
        return err_wrap(e, "image '%s'", str_escape(text, shown, sizeof shown));
    *out = ref;
    return true;
}

struct str image_alias(struct str ref)
{
    if (str_starts(ref, STR("file://")) || str_starts(ref, STR("/")))
        return STR_NONE;
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (str_starts(ref, schemes[i].scheme)) {
            ref = str_sub(ref, schemes[i].scheme.n, ref.n);
            break;
        }
    ref = str_sub(ref, 0, str_find(ref, '@'));
    size_t slash = str_rfind(ref, '/'), colon = str_rfind(ref, ':');
    if (colon < ref.n && (slash == ref.n || colon > slash)) /* a tag, not a port */
        ref = str_sub(ref, 0, colon);
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++) {
        struct str want = aliases[i].repository;
        bool anywhere = want.p[0] == '*';
        if (anywhere ? str_ends(ref, str_sub(want, 1, want.n)) : str_eq(ref, want))
            return aliases[i].name;
    }
    return STR_NONE;
}
