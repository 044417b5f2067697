/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of callers as keys of a bucket: see provider.h. */
#include "lattice/base/buf.h"
#include "providers/keyvalue_nats/provider.h"

#define KEY_BYTES_MAX 512u /* as stored; the bus has the same limit */
#define ESCAPE_BYTES 4u    /* "=_2E" */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Does "=_HH" stand at i? */
static bool is_escape(struct str s, size_t i)
{
    return s.n - i >= ESCAPE_BYTES && s.p[i] == '=' && s.p[i + 1] == '_' &&
           hex_digit(s.p[i + 2]) >= 0 && hex_digit(s.p[i + 3]) >= 0;
}

/* May byte i of a key stand for itself? */
static bool is_plain(struct str key, size_t i)
{
    char c = key.p[i];
    if (c == '.')
        return i > 0 && i + 1 < key.n && key.p[i - 1] != '.';
    if (c == '=')
        return !is_escape(key, i) && !str_eqz(key, "=_");
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '/' || c == '_';
}

bool key_encode(struct str key, struct arena *a, struct str *out, struct err *e)
{
    char text[64];
    struct buf b;
    buf_init(&b, KEY_BYTES_MAX);
    if (key.n == 0)
        buf_str(&b, STR("=_"));
    for (size_t i = 0; i < key.n && !b.full; i++) {
        if (is_plain(key, i))
            buf_byte(&b, (uint8_t)key.p[i]);
        else
            buf_printf(&b, "=_%02X", (unsigned)(uint8_t)key.p[i]);
    }
    bool fits = !b.full;
    if (fits)
        *out = arena_str(a, buf_view(&b));
    buf_fini(&b);
    if (!fits)
        return err_set(e, ERR_LIMIT, "key '%s' of %zu bytes is too long: %u bytes when escaped",
                       str_escape(key, text, sizeof text), key.n, KEY_BYTES_MAX);
    return out->p || arena_full(a, e);
}

bool key_decode(struct str stored, struct arena *a, struct str *out, struct err *e)
{
    char *p = arena_alloc(a, stored.n, 1);
    size_t n = 0;
    if (!p)
        return arena_full(a, e);
    for (size_t i = 0; i < stored.n && !str_eqz(stored, "=_"); n++) {
        if (is_escape(stored, i)) {
            p[n] = (char)(hex_digit(stored.p[i + 2]) << 4 | hex_digit(stored.p[i + 3]));
            i += ESCAPE_BYTES;
        } else {
            p[n] = stored.p[i++];
        }
    }
    *out = (struct str){p, n};
    return true;
}
