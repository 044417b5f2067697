/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: made, and found in the folder where `par` and other programs keep them, one file NAME.nk with a seed each. */
#include "ctl/table.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include "lattice/id/id.h"

#define KEYS_MAX 4096u
#define SUFFIX ".nk"

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

/* "u_account" or "u_account.nk", never a path. */
bool cmd_keys_get(struct ctl *c, struct err *e)
{
    struct str name = str_of(word(c, 0));
    const char *folder;
    struct id_key key;
    char seed[ID_SEED_LEN + 1];
    if (str_ends(name, STR(SUFFIX)))
        name.n -= strlen(SUFFIX);
    if (str_find(name, '/') < name.n || !name.n)
        return err_set(e, ERR_INVALID, "'%s' is not a name of a key", word(c, 0));
    if (!keyring_folder(c, &folder, e))
        return false;
    char *path = arena_printf(&c->arena, "%s/%.*s" SUFFIX, folder, STR_ARG(name));
    if (!path)
        return arena_full(&c->arena, e);
    if (!keyring_read(path, &key, e))
        return false;
    buf_printf(&c->text, "%s\n", id_key_seed(&key, seed));
    result_set(c, "seed", json_string(seed));
    id_key_fini(&key);
    return true;
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

bool cmd_keys_list(struct ctl *c, struct err *e)
{
    const char *folder;
    struct str *names = arena_array(&c->arena, struct str, KEYS_MAX);
    size_t n = 0;
    if (!names)
        return arena_full(&c->arena, e);
    if (!keyring_folder(c, &folder, e))
        return false;
    DIR *d = opendir(folder);
    if (!d && errno != ENOENT)
        return err_errno(e, errno, "read the folder '%s'", folder);
    for (struct dirent *f; d && n < KEYS_MAX && (f = readdir(d));) {
        struct str name = str_of(f->d_name);
        if (str_ends(name, STR(SUFFIX)))
            names[n++] = arena_str(&c->arena, str_sub(name, 0, name.n - strlen(SUFFIX)));
    }
    if (d)
        closedir(d);
    if (n)
        qsort(names, n, sizeof *names, by_text);
    json_t *list = json_array();
    buf_printf(&c->text, "Keys in %s:\n", folder);
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_str(names[i]));
        buf_printf(&c->text, "  %.*s\n", STR_ARG(names[i]));
    }
    result_set(c, "keys", list);
    return true;
}
