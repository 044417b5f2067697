/* SPDX-License-Identifier: Apache-2.0 */
/* ctx: lists, makes, removes, edits contexts and chooses the default one. The first of these commands makes a context
 * of presets when there is none at all. */
#include "ctl/table.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hostd/image/files.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define FIRST "host_config"
#define LINE_BYTES_MAX 8192

extern char **environ;

/* The members that wash writes, too; empty: null. */
static const struct {
    const char *name, *preset;
    bool number;
} members[] = {
    {"cluster_seed", "", false},   {"ctl_host", "127.0.0.1", false}, {"ctl_port", "4222", true},
    {"ctl_jwt", "", false},        {"ctl_seed", "", false},          {"ctl_credsfile", "", false},
    {"ctl_timeout", "2000", true}, {"ctl_tls_ca_file", "", false},   {"lattice", "default", false},
    {"js_domain", "", false},      {"rpc_host", "127.0.0.1", false}, {"rpc_port", "4222", true},
    {"rpc_jwt", "", false},        {"rpc_seed", "", false},          {"rpc_credsfile", "", false},
    {"rpc_timeout", "2000", true}, {"rpc_tls_ca_file", "", false},
};

/* ---- asking the user ---- */

/* A line from stdin, without its end; NULL: there is none, or it is too long. */
static const char *ask(struct ctl *c, const char *what, const char *preset)
{
    char line[LINE_BYTES_MAX];
    fprintf(stderr, *preset ? "%s [%s]: " : "%s: ", what, preset);
    if (!fgets(line, sizeof line, stdin) || (!strchr(line, '\n') && !feof(stdin)))
        return NULL;
    struct str said = str_trim(str_of(line));
    return said.n ? arena_str(&c->arena, said).p : preset;
}

static const char *name_or_ask(struct ctl *c, struct err *e)
{
    const char *name = word(c, 0) ? word(c, 0) : ask(c, "name of the context", "");
    if (!name || !*name)
        err_set(e, ERR_INVALID, "NAME is missing");
    return name && *name ? name : NULL;
}

/* ---- files ---- */

static bool write_context(struct ctl *c, const char *path, struct str name, bool interactive,
                          struct err *e)
{
    json_t *json = json_pack("{s:o}", "name", json_str(name));
    bool ok = true;
    for (size_t i = 0; ok && i < ARRAY_LEN(members); i++) {
        const char *value = members[i].preset;
        uint64_t n = 0;
        if (interactive)
            value = ask(c, members[i].name, members[i].preset);
        if (!value)
            ok = err_set(e, ERR_INVALID, "no answer for %s, or too long a line", members[i].name);
        else if (members[i].number && (!str_u64(str_of(value), &n) || n > INT64_MAX))
            ok = err_set(e, ERR_INVALID, "%s: '%s' is not a number", members[i].name, value);
        else
            json_object_set_new(json, members[i].name,
                                members[i].number ? json_integer((json_int_t)n)
                                : *value          ? json_string(value)
                                                  : json_null());
    }
    char *text = ok ? json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
    json_decref(json);
    ok = ok && file_write(path, str_span(str_of(text)), 0600, e);
    free(text);
    return ok;
}

/* The folder with something in it. */
static bool folder_ready(struct ctl *c, const char **out, struct err *e)
{
    const char *path;
    struct proto_strs names;
    if (!context_folder(c, option_text(c, "directory"), out, e) || !local_make_folders(*out, e) ||
        !context_names(c, *out, &names, e))
        return false;
    if (names.n)
        return true;
    return context_path(c, *out, STR(FIRST), &path, e) &&
           write_context(c, path, STR(FIRST), false, e) &&
           context_set_default(c, *out, STR(FIRST), e);
}

static bool existing(struct ctl *c, const char **folder, const char **name, const char **path,
                     struct err *e)
{
    if (!folder_ready(c, folder, e))
        return false;
    *name = name_or_ask(c, e);
    if (!*name || !context_path(c, *folder, str_of(*name), path, e))
        return false;
    return access(*path, F_OK) == 0 ||
           err_set(e, ERR_NOT_FOUND, "there is no context '%s' in '%s'", *name, *folder);
}

/* ---- commands ---- */

bool cmd_ctx_list(struct ctl *c, struct err *e)
{
    const char *folder;
    struct proto_strs names;
    if (!folder_ready(c, &folder, e) || !context_names(c, folder, &names, e))
        return false;
    struct str chosen = context_default(c, folder);
    json_t *list = json_array();
    buf_printf(&c->text, "Contexts in %s:\n", folder);
    for (uint32_t i = 0; i < names.n; i++) {
        json_array_append_new(list, json_str(names.v[i]));
        buf_printf(&c->text, "  %.*s%s\n", STR_ARG(names.v[i]),
                   str_eq(names.v[i], chosen) ? " (default)" : "");
    }
    result_set(c, "contexts", list);
    result_set(c, "default", chosen.n ? json_str(chosen) : json_null());
    return true;
}

bool cmd_ctx_new(struct ctl *c, struct err *e)
{
    const char *folder, *name, *path;
    if (!folder_ready(c, &folder, e))
        return false;
    name = name_or_ask(c, e);
    if (!name || !context_path(c, folder, str_of(name), &path, e))
        return false;
    if (access(path, F_OK) == 0)
        return err_set(e, ERR_EXISTS, "there is a context '%s' already: '%s'", name, path);
    if (!write_context(c, path, str_of(name), option_flag(c, "interactive"), e))
        return false;
    result_say(c, "Created context '%s' in %s", name, path);
    return true;
}

bool cmd_ctx_del(struct ctl *c, struct err *e)
{
    const char *folder, *name, *path;
    if (!existing(c, &folder, &name, &path, e))
        return false;
    if (unlink(path) != 0)
        return err_errno(e, errno, "remove '%s'", path);
    if (str_eqz(context_default(c, folder), name)) {
        notice(c, "that was the default context; `hostctl ctx default NAME` chooses another");
        if (!context_set_default(c, folder, STR_NONE, e))
            return false;
    }
    buf_printf(&c->text, "Removed context '%s'\n", name);
    result_set(c, "message", json_str(str_trim(buf_view(&c->text))));
    return true;
}

bool cmd_ctx_default(struct ctl *c, struct err *e)
{
    const char *folder, *name, *path;
    if (!existing(c, &folder, &name, &path, e) || !context_set_default(c, folder, str_of(name), e))
        return false;
    result_say(c, "Set new context default to '%s'", name);
    return true;
}

bool cmd_ctx_edit(struct ctl *c, struct err *e)
{
    const char *folder, *name, *path, *editor = option_text(c, "editor");
    pid_t pid;
    int status = 0;
    if (!editor)
        return err_set(e, ERR_INVALID, "no editor: set EDITOR, or use --editor");
    if (!existing(c, &folder, &name, &path, e))
        return false;
    char *argv[] = {(char *)editor, (char *)path, NULL};
    int failed = posix_spawnp(&pid, editor, NULL, NULL, argv, environ);
    if (failed)
        return err_errno(e, failed, "start '%s'", editor);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(e, ERR_IO, "'%s' did not end well", editor);
    if (!context_check(path, e))
        return err_wrap(e, "the context cannot be read any more");
    result_say(c, "Edited context '%s'", name);
    return true;
}
