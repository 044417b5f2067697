/* SPDX-License-Identifier: Apache-2.0 */
/* nkeys: base32 of type bytes, 32 raw bytes and a CRC-16; Ed25519 and SHA-256 by OpenSSL.
 * Keeps: a key's public half always belongs to its seed. OpenSSL failing here means out of memory: a bug to us. */
#include "lattice/id/id.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include "lattice/base/num.h"
#include "lattice/base/rand.h"

#define SEED_PREFIX (18u << 3) /* 'S' */

static const struct {
    uint8_t prefix;
    struct str name, alias;
} types[] = {
    [ID_ACCOUNT] = {0, STR_INIT("account"), STR_INIT("account")},
    [ID_CLUSTER] = {2 << 3, STR_INIT("cluster"), STR_INIT("cluster")},
    [ID_MODULE] = {12 << 3, STR_INIT("module"), STR_INIT("component")},
    [ID_SERVER] = {13 << 3, STR_INIT("server"), STR_INIT("host")},
    [ID_OPERATOR] = {14 << 3, STR_INIT("operator"), STR_INIT("operator")},
    [ID_USER] = {20 << 3, STR_INIT("user"), STR_INIT("user")},
    [ID_SERVICE] = {21 << 3, STR_INIT("service"), STR_INIT("provider")},
    [ID_CURVE] = {23 << 3, STR_INIT("curve"), STR_INIT("x25519")},
};

bool id_key_type_parse(struct str name, enum id_key_type *out)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (!str_ieq(name, types[i].name) && !str_ieq(name, types[i].alias))
            continue;
        *out = (enum id_key_type)i;
        return true;
    }
    return false;
}

static bool type_of(uint8_t prefix, enum id_key_type *out)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (types[i].prefix != prefix)
            continue;
        *out = (enum id_key_type)i;
        return true;
    }
    return false;
}

/* ---- text form ------------------------------------------------------------------------------------ */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* CRC-16/XMODEM */
static uint16_t crc16(const uint8_t *p, size_t n)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < n; i++) {
        crc = (uint16_t)(crc ^ p[i] << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc;
}

/* Appends the checksum (p has room for it) and writes n + 2 bytes as text. */
static char *encode(uint8_t *p, size_t n, char *out)
{
    uint16_t crc = crc16(p, n);
    p[n++] = (uint8_t)crc;
    p[n++] = (uint8_t)(crc >> 8);
    uint32_t bits = 0;
    int have = 0;
    char *to = out;
    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | p[i];
        for (have += 8; have >= 5; have -= 5)
            *to++ = alphabet[bits >> (have - 5) & 31];
    }
    if (have)
        *to++ = alphabet[bits << (5 - have) & 31];
    *to = '\0';
    return out;
}

/* Reads text of exactly n bytes plus checksum. Never says what the text was: it may be a seed. */
static bool decode(struct str text, uint8_t *out, size_t n, const char *what, struct err *e)
{
    uint8_t raw[2 + ID_RAW_BYTES + 2];
    uint32_t bits = 0;
    int have = 0;
    size_t at = 0;
    if (text.n != ((n + 2) * 8 + 4) / 5)
        return err_set(e, ERR_INVALID, "%s: %zu characters, expected %zu", what, text.n,
                       ((n + 2) * 8 + 4) / 5);
    for (size_t i = 0; i < text.n; i++) {
        const char *digit = text.p[i] ? strchr(alphabet, text.p[i]) : NULL;
        if (!digit)
            return err_set(e, ERR_INVALID, "%s: character %zu is not base32 (A-Z, 2-7)", what,
                           i + 1);
        bits = bits << 5 | (uint32_t)(digit - alphabet);
        have += 5;
        if (have >= 8) {
            have -= 8;
            raw[at++] = (uint8_t)(bits >> have);
        }
    }
    assert(at == n + 2);
    bool trailing = (bits & ((1u << have) - 1)) != 0;
    bool ok = !trailing && crc16(raw, n) == (raw[n] | raw[n + 1] << 8);
    if (ok)
        memcpy(out, raw, n);
    OPENSSL_cleanse(raw, sizeof raw);
    return ok ||
           err_set(e, ERR_INVALID, "%s: checksum does not match, it was mistyped or cut", what);
}

char *id_key_public(const struct id_key *k, char out[ID_PUBLIC_LEN + 1])
{
    uint8_t raw[1 + ID_RAW_BYTES + 2] = {types[k->type].prefix};
    memcpy(raw + 1, k->public_key, ID_RAW_BYTES);
    return encode(raw, 1 + ID_RAW_BYTES, out);
}

char *id_key_seed(const struct id_key *k, char out[ID_SEED_LEN + 1])
{
    uint8_t prefix = types[k->type].prefix;
    uint8_t raw[2 + ID_RAW_BYTES + 2] = {(uint8_t)(SEED_PREFIX | prefix >> 5),
                                         (uint8_t)((prefix & 31) << 3)};
    memcpy(raw + 2, k->seed, ID_RAW_BYTES);
    encode(raw, 2 + ID_RAW_BYTES, out);
    OPENSSL_cleanse(raw, sizeof raw);
    return out;
}

bool id_key_from_seed(struct str text, struct id_key *out, struct err *e)
{
    uint8_t raw[2 + ID_RAW_BYTES];
    enum id_key_type type;
    if (!decode(text, raw, sizeof raw, "seed", e))
        return false;
    bool ok = (raw[0] & 0xf8) == SEED_PREFIX && (raw[1] & 7) == 0 &&
              type_of((uint8_t)((raw[0] & 7) << 5 | raw[1] >> 3), &type);
    if (ok)
        id_key_from_raw(type, raw + 2, out);
    OPENSSL_cleanse(raw, sizeof raw);
    return ok || err_set(e, ERR_INVALID,
                         "seed: does not begin with S and the letter of a known key type");
}

bool id_public_parse(struct str text, enum id_key_type *type, uint8_t out[ID_RAW_BYTES],
                     struct err *e)
{
    uint8_t raw[1 + ID_RAW_BYTES];
    enum id_key_type found;
    if (!decode(text, raw, sizeof raw, "public key", e))
        return false;
    if (!type_of(raw[0], &found))
        return err_set(e, ERR_INVALID,
                       "public key: does not begin with the letter of a known key type");
    *type = found;
    memcpy(out, raw + 1, ID_RAW_BYTES);
    return true;
}

/* ---- OpenSSL -------------------------------------------------------------------------------------- */

void id_key_from_raw(enum id_key_type type, const uint8_t seed[ID_RAW_BYTES], struct id_key *out)
{
    size_t n = ID_RAW_BYTES;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(
        type == ID_CURVE ? EVP_PKEY_X25519 : EVP_PKEY_ED25519, NULL, seed, ID_RAW_BYTES);
    assert(key);
    int ok = EVP_PKEY_get_raw_public_key(key, out->public_key, &n);
    assert(ok == 1 && n == ID_RAW_BYTES);
    (void)ok;
    EVP_PKEY_free(key);
    out->type = type;
    memmove(out->seed, seed, ID_RAW_BYTES);
}

void id_key_generate(enum id_key_type type, struct id_key *out)
{
    uint8_t seed[ID_RAW_BYTES];
    rand_bytes(seed, sizeof seed);
    id_key_from_raw(type, seed, out);
    OPENSSL_cleanse(seed, sizeof seed);
}

void id_key_fini(struct id_key *k)
{
    OPENSSL_cleanse(k, sizeof *k);
}

void id_sign(const struct id_key *k, struct span message, uint8_t out[ID_SIGNATURE_BYTES])
{
    size_t n = ID_SIGNATURE_BYTES;
    assert(k->type != ID_CURVE);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, k->seed, ID_RAW_BYTES);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = key && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestSign(ctx, out, &n, message.p, message.n) == 1;
    assert(ok && n == ID_SIGNATURE_BYTES);
    (void)ok;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
}

bool id_verify(const uint8_t public_key[ID_RAW_BYTES], struct span message,
               const uint8_t signature[ID_SIGNATURE_BYTES])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, ID_RAW_BYTES);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestVerify(ctx, signature, ID_SIGNATURE_BYTES, message.p, message.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

char *id_hash(struct span bytes, char out[ID_HASH_LEN + 1])
{
    uint8_t digest[ID_HASH_LEN / 2];
    unsigned int n = 0;
    int ok = EVP_Digest(bytes.p, bytes.n, digest, &n, EVP_sha256(), NULL);
    assert(ok == 1 && n == sizeof digest);
    (void)ok;
    for (size_t i = 0; i < sizeof digest; i++) {
        out[2 * i] = "0123456789ABCDEF"[digest[i] >> 4];
        out[2 * i + 1] = "0123456789ABCDEF"[digest[i] & 15];
    }
    out[ID_HASH_LEN] = '\0';
    return out;
}
