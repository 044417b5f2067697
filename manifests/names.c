/* SPDX-License-Identifier: Apache-2.0 */
/* Names that upstream derives from a manifest: ids, configuration names, scaler ids. Instances started by wadm are
 * recognised by them, so they are exact (wadm 0.18 - 0.21). */
#include "manifests/manifests_int.h"

#include <openssl/evp.h>

/* By character, not byte: a letter outside ASCII becomes one '_'. */
void manifest_norm(struct str s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if ((c & 0xc0) == 0x80)
            continue;
        if (c >= 'A' && c <= 'Z')
            c = (uint8_t)(c - 'A' + 'a');
        buf_byte(out, (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_');
    }
}

void manifest_derived(struct str app, struct str part, struct buf *out)
{
    manifest_norm(app, out);
    buf_byte(out, '-');
    manifest_norm(part, out);
}

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool manifest_name_ok(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!word_char(name.p[i]))
            return false;
    return name.n > 0;
}

static struct str derived(struct arena *a, const char *prefix, struct str app, struct str part)
{
    struct buf text = BUF_INIT;
    buf_str(&text, str_of(prefix));
    manifest_derived(app, part, &text);
    struct str out = arena_str(a, buf_view(&text));
    buf_fini(&text);
    return out;
}

struct str name_component_id(struct arena *a, struct str app, const struct manifest_component *c)
{
    return c->id.p ? c->id : derived(a, "", app, c->name);
}

struct str name_config(struct arena *a, struct str app, const struct manifest_config *c)
{
    return c->owned ? derived(a, "", app, c->name) : c->name;
}

struct str name_secret(struct arena *a, struct str app, const struct manifest_secret *s)
{
    return derived(a, PROTO_SECRET_HEAD, app, s->name);
}

struct str name_hash(struct arena *a, const struct str *parts, size_t n)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    struct buf all = BUF_INIT;
    for (size_t i = 0; i < n; i++)
        buf_str(&all, parts[i]);
    int ok = EVP_Digest(all.p ? all.p : (const unsigned char *)"", all.n, digest, &size,
                        EVP_sha256(), NULL);
    buf_fini(&all);
    char *hex = ok == 1 ? arena_alloc(a, 2 * size + 1, 1) : NULL;
    if (!hex)
        return STR_NONE;
    for (unsigned int i = 0; i < size; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    return (struct str){hex, 2 * size};
}
