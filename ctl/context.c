/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts: named sets of connection options, a JSON file each, and a file `default` with the name of one. The
 * folder is ours, or wash's as long as we have none: the files are the same. */
#include "ctl/table.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hostd/image/files.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define CONTEXT_BYTES_MAX 65536u
#define NAME_BYTES_MAX 128u
#define DEFAULT_FILE "default"
#define SUFFIX ".json"

/* ---- the folder ---- */

static bool is_folder(const char *path)
{
    struct stat st;
    return path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* What the environment says, else the first that exists, else where ours will be. */
bool context_folder(struct ctl *c, const char *given, const char **out, struct err *e)
{
    const char *home = getenv("HOME"), *xdg = getenv("XDG_CONFIG_HOME");
    const char *named[] = {given, getenv("HOSTCTL_CONTEXT_DIR"), getenv("WASH_CONTEXT_DIR")};
    for (size_t i = 0; i < ARRAY_LEN(named); i++) {
        if (named[i] && *named[i]) {
            *out = named[i];
            return true;
        }
    }
    if (!home || *home != '/')
        return err_set(e, ERR_NOT_FOUND, "no place for contexts: set HOME or HOSTCTL_CONTEXT_DIR");
    const char *config = xdg && *xdg == '/' ? xdg : arena_printf(&c->arena, "%s/.config", home);
    const char *candidates[] = {arena_printf(&c->arena, "%s/hostctl/contexts", config),
                                arena_printf(&c->arena, "%s/wash/contexts", config),
                                arena_printf(&c->arena, "%s/.wash/contexts", home)};
    if (!config || !candidates[0] || !candidates[1] || !candidates[2])
        return arena_full(&c->arena, e);
    *out = candidates[0];
    for (size_t i = ARRAY_LEN(candidates); i-- > 0;)
        if (is_folder(candidates[i]))
            *out = candidates[i];
    return true;
}

/* ---- names ---- */

static bool name_ok(struct str name)
{
    static const char more[] = "-_.";
    for (size_t i = 0; i < name.n; i++) {
        char p = name.p[i];
        bool letter = (p >= 'a' && p <= 'z') || (p >= 'A' && p <= 'Z') || (p >= '0' && p <= '9');
        if (!letter && (p == '\0' || !strchr(more, p)))
            return false;
    }
    return name.n > 0 && name.n <= NAME_BYTES_MAX && name.p[0] != '.' &&
           !str_eqz(name, DEFAULT_FILE);
}

bool context_path(struct ctl *c, const char *folder, struct str name, const char **out,
                  struct err *e)
{
    char shown[NAME_BYTES_MAX];
    if (!name_ok(name))
        return err_set(e, ERR_INVALID, "'%s' is not a name of a context: use A-Z a-z 0-9 - _ .",
                       str_escape(name, shown, sizeof shown));
    *out = arena_printf(&c->arena, "%s/%.*s" SUFFIX, folder, STR_ARG(name));
    return *out || arena_full(&c->arena, e);
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

bool context_names(struct ctl *c, const char *folder, struct proto_strs *out, struct err *e)
{
    struct str *names = arena_array(&c->arena, struct str, CONTEXTS_MAX);
    uint32_t n = 0;
    if (!names)
        return arena_full(&c->arena, e);
    DIR *d = opendir(folder);
    for (struct dirent *f; d && n < CONTEXTS_MAX && (f = readdir(d));) {
        struct str name = str_of(f->d_name);
        if (!str_ends(name, STR(SUFFIX)))
            continue;
        name = str_sub(name, 0, name.n - strlen(SUFFIX));
        if (name_ok(name))
            names[n++] = arena_str(&c->arena, name);
    }
    if (d)
        closedir(d);
    if (n)
        qsort(names, n, sizeof *names, by_text);
    *out = (struct proto_strs){names, n};
    return true;
}

/* ---- the default ---- */

static char *default_path(struct ctl *c, const char *folder)
{
    return arena_printf(&c->arena, "%s/" DEFAULT_FILE, folder);
}

struct str context_default(struct ctl *c, const char *folder)
{
    struct err ignored;
    struct span text;
    const char *path = default_path(c, folder);
    if (!path || !file_read(path, NAME_BYTES_MAX + 2, &text, &ignored))
        return STR_NONE;
    struct str name = arena_str(&c->arena, str_trim(span_str(text)));
    free((void *)text.p);
    return name;
}

bool context_set_default(struct ctl *c, const char *folder, struct str name, struct err *e)
{
    const char *path = default_path(c, folder);
    if (!path)
        return arena_full(&c->arena, e);
    if (!name.n)
        return unlink(path) == 0 || errno == ENOENT || err_errno(e, errno, "remove '%s'", path);
    return file_write(path, str_span(name), 0600, e);
}

/* ---- one ---- */

static bool read_object(const char *path, json_t **out, struct err *e)
{
    struct span text;
    if (!file_read(path, CONTEXT_BYTES_MAX, &text, e))
        return false;
    json_error_t why;
    json_t *json = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, &why);
    free((void *)text.p);
    if (!json_is_object(json)) {
        int line = json ? 1 : why.line;
        json_decref(json);
        return err_set(e, ERR_INVALID, "'%s' line %d: not a JSON object", path, line);
    }
    *out = json;
    return true;
}

bool context_check(const char *path, struct err *e)
{
    json_t *json = NULL;
    bool ok = read_object(path, &json, e);
    json_decref(json);
    return ok;
}

/* Numbers and truths become texts, as options are; what is null or empty is not set. */
static void keep_texts(json_t *context)
{
    const char *key;
    json_t *v;
    void *next;
    json_object_foreach_safe(context, next, key, v)
    {
        char number[24];
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        if (json_is_integer(v))
            json_object_set_new(context, key, json_string(number));
        else if (json_is_boolean(v))
            json_object_set_new(context, key, json_string(json_is_true(v) ? "true" : "false"));
        else if (!json_is_string(v) || json_string_length(v) == 0)
            json_object_del(context, key);
    }
}

bool context_load(struct ctl *c, const char *name, struct err *e)
{
    const char *folder, *path;
    struct err none;
    if (!context_folder(c, option_at(c, "context-dir", 0), &folder, name ? e : &none))
        return name == NULL;
    struct str wanted = name ? str_of(name) : context_default(c, folder);
    if (!wanted.n)
        return true;
    if (!context_path(c, folder, wanted, &path, e) || !read_object(path, &c->context, e))
        return err_wrap(e, "context '%.*s'", STR_ARG(wanted));
    keep_texts(c->context);
    c->context_name = arena_str(&c->arena, wanted).p;
    return c->context_name || arena_full(&c->arena, e);
}

const char *context_text(const struct ctl *c, const char *keys)
{
    struct str rest = str_of(keys), key;
    while (keys && rest.n && str_cut(&rest, ' ', &key)) {
        json_t *v = json_object_getn(c->context, key.p, key.n);
        if (v)
            return json_string_value(v);
    }
    return NULL;
}
