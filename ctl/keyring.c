/* SPDX-License-Identifier: Apache-2.0 */
/* Keys for signing: seeds from options, or from the folder of keys, where they are made when they are missing. */
#include "ctl/table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "hostd/image/files.h"
#include "lattice/base/alloc.h"

#define KEY_FILE_MAX 256

bool keyring_folder(struct ctl *c, const char **out, struct err *e)
{
    const char *given = option_text(c, "directory"), *home = getenv("HOME");
    *out = given ? given : arena_printf(&c->arena, "%s/.wash/keys", home ? home : ".");
    return *out || arena_full(&c->arena, e);
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

bool keyring_get(struct ctl *c, const char *option, enum id_key_type type, const char *name,
                 struct id_key *out, struct err *e)
{
    const char *seed = option_text(c, option), *folder;
    if (seed && access(seed, F_OK) == 0)
        return keyring_read(seed, out, e) || err_wrap(e, "--%s", option);
    if (seed)
        return id_key_from_seed(str_of(seed), out, e) || err_wrap(e, "--%s", option);
    if (!keyring_folder(c, &folder, e))
        return false;
    const char *path = arena_printf(&c->arena, "%s/%s.nk", folder, name);
    if (!path)
        return arena_full(&c->arena, e);
    if (keyring_read(path, out, e))
        return true;
    if (e->code != ERR_NOT_FOUND || option_flag(c, "disable-keygen"))
        return false;
    *e = (struct err)ERR_INIT;
    return make_key_file(c, folder, path, type, out, e);
}

bool keyring_account(struct ctl *c, struct id_key *out, struct err *e)
{
    const char *user = getenv("USER");
    const char *name = arena_printf(&c->arena, "%s_account", user && *user ? user : "user");
    return name ? keyring_get(c, "issuer", ID_ACCOUNT, name, out, e) : arena_full(&c->arena, e);
}
