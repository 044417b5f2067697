/* SPDX-License-Identifier: Apache-2.0 */
/* A provider's keys, and secrets as settings.
 * Keeps: what is opened lives in arenas that their owners wipe; no error shows any of it. */
#include "providers/sdk/sdk_int.h"

#define OPENED_BYTES_MAX (8u << 20) /* the secrets of one link */

bool keys_read(const struct proto_host_data *h, struct sdk_keys *out, struct err *e)
{
    struct sdk_keys k = {.given = h->provider_xkey_private_key.n > 0};
    if (k.given && !id_key_from_seed(h->provider_xkey_private_key, &k.own, e))
        return err_wrap(e, "host data: provider_xkey_private_key");
    k.host_given = h->host_xkey_public_key.n > 0;
    if (k.host_given && !id_xkey_parse(h->host_xkey_public_key, k.host, e)) {
        keys_fini(&k);
        return err_wrap(e, "host data: host_xkey_public_key");
    }
    if (k.given && k.own.type != ID_CURVE) {
        keys_fini(&k);
        return err_set(e, ERR_INVALID,
                       "host data: provider_xkey_private_key does not begin with SX");
    }
    *out = k;
    explicit_bzero(&k, sizeof k);
    return true;
}

void keys_fini(struct sdk_keys *k)
{
    id_key_fini(&k->own);
}

bool keys_open(const struct sdk_keys *k, struct span box, struct arena *a,
               struct proto_secrets *out, struct err *e)
{
    struct buf plain = {.max = OPENED_BYTES_MAX, .secret = true};
    struct err hidden = ERR_INIT; /* it may quote the text */
    if (!box.p) {
        *out = (struct proto_secrets){NULL, 0};
        return true;
    }
    bool ok = (k->given && k->host_given) ||
              err_set(e, ERR_INVALID, "the host sealed them, but gave no keys");
    ok = ok && id_open(&k->own, k->host, box, &plain, e);
    if (ok && !proto_secrets_decode(buf_span(&plain), a, out, &hidden))
        ok = err_set(e, ERR_PROTOCOL, "what the host sealed cannot be read");
    buf_fini(&plain);
    return ok || err_wrap(e, "secrets");
}

/* Settings are found whatever the case of their keys. */
static bool names(const struct proto_secrets *secrets, struct str key)
{
    for (uint32_t i = 0; i < secrets->n; i++) {
        if (secrets->v[i].string.p && str_ieq(secrets->v[i].name, key))
            return true;
    }
    return false;
}

bool secrets_overlay(const struct proto_map *config, const struct proto_secrets *secrets,
                     struct arena *a, struct proto_map *out, struct err *e)
{
    struct proto_pair *v = arena_array(a, struct proto_pair, (size_t)config->n + secrets->n);
    uint32_t n = 0;
    if (!v)
        return arena_full(a, e);
    for (uint32_t i = 0; i < config->n; i++) {
        if (!names(secrets, config->v[i].key))
            v[n++] = config->v[i];
    }
    for (uint32_t i = 0; i < secrets->n; i++) {
        if (secrets->v[i].string.p)
            v[n++] = (struct proto_pair){secrets->v[i].name, secrets->v[i].string};
    }
    *out = (struct proto_map){v, n};
    return true;
}
