/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed boxes between curve keys: "xkv1", a nonce, and X25519 with XSalsa20-Poly1305 (libsodium), the tag in front.
 * Keeps: what could not be authenticated is never handed out. Spec: lattice protocol 4.1. */
#include "lattice/id/id.h"

#include <assert.h>
#include <sodium.h>
#include "lattice/base/rand.h"

static const struct str version = STR_INIT("xkv1");

_Static_assert(ID_RAW_BYTES == crypto_box_PUBLICKEYBYTES, "X25519 public keys");
_Static_assert(ID_RAW_BYTES == crypto_box_SECRETKEYBYTES, "a seed is the private key itself");
_Static_assert(ID_NONCE_BYTES == crypto_box_NONCEBYTES, "XSalsa20 nonces");
_Static_assert(ID_BOX_EXTRA == 4 + ID_NONCE_BYTES + crypto_box_MACBYTES, "what sealing adds");

bool id_xkey_parse(struct str text, uint8_t raw[ID_RAW_BYTES], struct err *e)
{
    enum id_key_type type;
    uint8_t found[ID_RAW_BYTES];
    if (!id_public_parse(text, &type, found, e))
        return false;
    if (type != ID_CURVE)
        return err_set(e, ERR_INVALID, "public key: not a curve key, which begins with X");
    memcpy(raw, found, sizeof found);
    return true;
}

bool id_seal_nonce(const struct id_key *from, const uint8_t to[ID_RAW_BYTES],
                   const uint8_t nonce[ID_NONCE_BYTES], struct span message, struct buf *out,
                   struct err *e)
{
    assert(from->type == ID_CURVE);
    if (message.n > ID_BOX_MAX - ID_BOX_EXTRA)
        return err_set(e, ERR_LIMIT, "sealing %zu bytes, the limit is %u", message.n,
                       ID_BOX_MAX - ID_BOX_EXTRA);
    size_t before = out->n;
    buf_str(out, version);
    buf_put(out, nonce, ID_NONCE_BYTES);
    uint8_t *box = buf_grow(out, crypto_box_MACBYTES + message.n);
    if (!box)
        return buf_ok(out, e);
    if (crypto_box_easy(box, message.n ? message.p : nonce, message.n, nonce, to, from->seed) == 0)
        return true;
    out->n = before;
    return err_set(e, ERR_INVALID, "nothing can be sealed for that public key: it is a weak one");
}

bool id_seal(const struct id_key *from, const uint8_t to[ID_RAW_BYTES], struct span message,
             struct buf *out, struct err *e)
{
    uint8_t nonce[ID_NONCE_BYTES];
    rand_bytes(nonce, sizeof nonce);
    return id_seal_nonce(from, to, nonce, message, out, e);
}

bool id_open(const struct id_key *to, const uint8_t from[ID_RAW_BYTES], struct span box,
             struct buf *out, struct err *e)
{
    assert(to->type == ID_CURVE);
    if (box.n < ID_BOX_EXTRA || box.n > ID_BOX_MAX)
        return err_set(e, ERR_INVALID, "a sealed box of %zu bytes: they have %u to %u", box.n,
                       ID_BOX_EXTRA, ID_BOX_MAX);
    if (!str_starts(span_str(box), version))
        return err_set(e, ERR_INVALID, "a sealed box does not begin with \"xkv1\"");
    const uint8_t *nonce = box.p + version.n, *sealed = nonce + ID_NONCE_BYTES;
    size_t before = out->n, n = box.n - ID_BOX_EXTRA;
    uint8_t *message = buf_grow(out, n + 1); /* one more: never none */
    if (!message)
        return buf_ok(out, e);
    bool ok =
        crypto_box_open_easy(message, sealed, n + crypto_box_MACBYTES, nonce, from, to->seed) == 0;
    out->n = ok ? before + n : before;
    return ok || err_set(e, ERR_DENIED,
                         "a sealed box does not open: it was sealed with other keys, or changed");
}
