/* SPDX-License-Identifier: Apache-2.0 */
/* Keys for signing: seeds from options, or from the folder of keys, where they are made when they are missing. */
#include "ctl/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "hostd/image/files.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define KEY_FILE_MAX 256

bool keyring_folder(struct ctl *c, const char **out, struct err *e)
{
    const char *given = option_text(c, "directory"), *own = getenv("WASH_KEYS_DIR"), *ours, *wash;
    const char *home = getenv("HOME");
    struct err none = ERR_INIT;
    if (given || (own && *own)) {
        *out = given ? given : own;
        return true;
    }
    if (!local_folder(c, "hostctl", &ours, e))
        return false;
    if (!local_folder(c, "wash", &wash, &none))
        wash = ours;
    const char *candidates[] = {arena_printf(&c->arena, "%s/keys", ours),
                                arena_printf(&c->arena, "%s/keys", wash),
                                arena_printf(&c->arena, "%s/.wash/keys", home ? home : "")};
    if (!candidates[0] || !candidates[1] || !candidates[2])
        return arena_full(&c->arena, e);
    *out = candidates[0];
    for (size_t i = ARRAY_LEN(candidates); i-- > 0;)
        if (access(candidates[i], X_OK) == 0)
            *out = candidates[i];
    return true;
}

bool keyring_read(const char *path, struct id_key *out, struct err *e)
{
    struct span text;
    if (!file_read(path, KEY_FILE_MAX, &text, e))
        return false;
    bool ok = id_key_from_seed(str_trim(span_str(text)), out, e) || err_wrap(e, "key '%s'", path);
    explicit_bzero((void *)text.p, text.n);
    free((void *)text.p);
    return ok;
}

static bool make_key_file(struct ctl *c, const char *folder, const char *path,
                          enum id_key_type type, struct id_key *out, struct err *e)
{
    char seed[ID_SEED_LEN + 1];
    if (!local_make_folders(folder, e))
        return false;
    id_key_generate(type, out);
    bool ok = file_write(path, str_span(str_of(id_key_seed(out, seed))), 0600, e);
    explicit_bzero(seed, sizeof seed);
    if (ok)
        notice(c, "made the key %s: keep it secret", path);
    return ok;
}

bool keyring_given(const char *text, struct id_key *out, struct err *e)
{
    return access(text, F_OK) == 0 ? keyring_read(text, out, e)
                                   : id_key_from_seed(str_of(text), out, e);
}

/* An account's key is the user's, whatever it signs. */
static char *key_path(struct ctl *c, const char *folder, enum id_key_type type, const char *name)
{
    static const char *const kinds[] = {[ID_ACCOUNT] = "account",
                                        [ID_MODULE] = "module",
                                        [ID_SERVICE] = "service",
                                        [ID_OPERATOR] = "operator"};
    const char *user = getenv("USER");
    assert(type < ARRAY_LEN(kinds) && kinds[type]);
    if (type == ID_ACCOUNT)
        name = user && *user ? user : "user";
    return arena_printf(&c->arena, "%s/%s_%s.nk", folder, name, kinds[type]);
}

bool keyring_get(struct ctl *c, const char *option, enum id_key_type type, const char *name,
                 struct id_key *out, struct err *e)
{
    const char *given = option_text(c, option), *folder;
    if (given && !keyring_given(given, out, e))
        return err_wrap(e, "--%s", option);
    if (given)
        return out->type == type || err_set(e, ERR_INVALID, "--%s: a key of another type", option);
    if (!keyring_folder(c, &folder, e))
        return false;
    const char *path = key_path(c, folder, type, name);
    if (!path)
        return arena_full(&c->arena, e);
    if (keyring_read(path, out, e))
        return true;
    if (e->code != ERR_NOT_FOUND || option_flag(c, "disable-keygen"))
        return false;
    *e = (struct err)ERR_INIT;
    return make_key_file(c, folder, path, type, out, e);
}
