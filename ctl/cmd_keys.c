/* SPDX-License-Identifier: Apache-2.0 */
/* Keys. */
#include "ctl/table.h"

#include "lattice/id/id.h"

bool cmd_keys_gen(struct ctl *c, struct err *e)
{
    struct id_key key;
    enum id_key_type type;
    char seed[ID_SEED_LEN + 1], public_key[ID_PUBLIC_LEN + 1];
    if (!id_key_type_parse(str_of(word(c, 0)), &type))
        return err_set(
            e, ERR_INVALID,
            "'%s' is no type of key: account, user, component, provider, host, operator, "
            "cluster or curve",
            word(c, 0));
    id_key_generate(type, &key);
    buf_printf(&c->text,
               "Public Key: %s\nSeed: %s\n\nWhoever knows the seed is you: keep it secret.\n",
               id_key_public(&key, public_key), id_key_seed(&key, seed));
    result_set(c, "public_key", json_string(public_key));
    result_set(c, "seed", json_string(seed));
    id_key_fini(&key);
    return true;
}
