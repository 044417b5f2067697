/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that docker keeps: in $DOCKER_CONFIG/config.json (~/.docker), or with a credential program that it
 * names there. Only a file that cannot be read is a reason to fail: without credentials one asks as anybody. */
#include "ctl/table.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hostd/image/files.h"
#include "lattice/base/alloc.h"
#include "lattice/base/base64.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"

#define CONFIG_BYTES_MAX (1u << 20)
#define ANSWER_BYTES_MAX (64u << 10)
#define PROGRAM_MS 30000 /* it may ask its user something */
#define HUB "https://index.docker.io/v1/"

extern char **environ;

/* ---- a credential program: the registry's name in, JSON out -------------------------------------------------- */

struct talk {
    pid_t pid;
    int in, out; /* its stdin and stdout */
};

static bool start(const char *program, struct talk *t, struct err *e)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0)
        return err_errno(e, errno, "make a pipe");
    if (pipe2(out, O_CLOEXEC) != 0) {
        err_errno(e, errno, "make a pipe");
        close(in[0]);
        close(in[1]);
        return false;
    }
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, out[1], STDOUT_FILENO);
    char *argv[] = {(char *)program, (char *)"get", NULL};
    int failed = posix_spawnp(&t->pid, program, &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    close(in[0]);
    close(out[1]);
    t->in = in[1];
    t->out = out[0];
    if (!failed)
        return true;
    close(t->in);
    close(t->out);
    return err_errno(e, failed, "start '%s'", program);
}

/* To the end of its output. */
static bool read_answer(const struct talk *t, struct buf *out, struct err *e)
{
    uint64_t until = clock_mono_ms() + PROGRAM_MS;
    for (;;) {
        uint64_t now = clock_mono_ms();
        struct pollfd p = {.fd = t->out, .events = POLLIN};
        int ready = now < until ? poll(&p, 1, (int)(until - now)) : 0;
        if (ready == 0)
            return err_set(e, ERR_TIMEOUT, "no answer within %d s", PROGRAM_MS / 1000);
        char piece[4096];
        ssize_t n = ready > 0 ? read(t->out, piece, sizeof piece) : -1;
        if (n == 0 || out->full)
            return buf_ok(out, e);
        if (n < 0 && errno != EINTR)
            return err_errno(e, errno, "read its answer");
        buf_put(out, piece, n > 0 ? (size_t)n : 0);
    }
}

static bool run_program(const char *program, const char *server, struct buf *out, struct err *e)
{
    struct talk t;
    int status = 0;
    if (!start(program, &t, e))
        return false;
    ssize_t ignored = write(t.in, server, strlen(server)); /* a program need not read it */
    (void)ignored;
    close(t.in);
    bool ok = read_answer(&t, out, e);
    close(t.out);
    if (!ok)
        kill(t.pid, SIGKILL);
    while (waitpid(t.pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!ok)
        return false;
    char shown[200];
    struct str said = str_trim(buf_view(out));
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
           err_set(e, ERR_NOT_FOUND, "%s", str_show(said, shown, sizeof shown));
}

/* ---- what was found ------------------------------------------------------------------------------------------ */

static bool take(struct ctl *c, const char *user, const char *password, struct docker_login *out)
{
    if (!user || !password || !*user)
        return false;
    out->username = arena_printf(&c->arena, "%s", user);
    out->password = arena_printf(&c->arena, "%s", password);
    return out->username && out->password;
}

static bool program_name_ok(const char *name)
{
    static const char more[] = "-_.";
    for (const char *p = name; *p; p++)
        if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') && !(*p >= '0' && *p <= '9') &&
            !strchr(more, *p))
            return false;
    return *name != '\0';
}

static bool ask_program(struct ctl *c, const char *name, const char *server,
                        struct docker_login *out)
{
    struct err e = ERR_INIT;
    struct buf answer;
    if (!name || !program_name_ok(name))
        return false;
    buf_init(&answer, ANSWER_BYTES_MAX);
    char *program = arena_printf(&c->arena, "docker-credential-%s", name);
    bool ok = program && run_program(program, server, &answer, &e);
    json_t *json = ok ? json_loadb((const char *)answer.p, answer.n, 0, NULL) : NULL;
    const char *user = json_string_value(json_object_get(json, "Username"));
    if (!ok)
        notice(c, "no credentials from %s: %s", program, e.text);
    else if (!user || strcmp(user, "<token>") == 0)
        notice(c, "no credentials from %s: it knows a token, or nothing", program);
    else
        ok = take(c, user, json_string_value(json_object_get(json, "Secret")), out);
    json_decref(json);
    buf_fini(&answer);
    return ok && out->username;
}

/* {"auth": base64("user:password")}, or both by name. */
static bool read_entry(struct ctl *c, const json_t *entry, struct docker_login *out)
{
    const char *auth = json_string_value(json_object_get(entry, "auth"));
    if (!auth || !*auth)
        return take(c, json_string_value(json_object_get(entry, "username")),
                    json_string_value(json_object_get(entry, "password")), out);
    AUTO_FREE char *text = str_dup(str_of(auth));
    size_t n = base64_decode(BASE64_STANDARD, str_of(text), text);
    if (n == SIZE_MAX)
        return false;
    struct str both = {text, n};
    size_t colon = str_find(both, ':');
    const char *user = arena_str(&c->arena, str_sub(both, 0, colon)).p;
    return colon < n && take(c, user, arena_str(&c->arena, str_sub(both, colon + 1, n)).p, out);
}

/* Keys are "ghcr.io", "https://ghcr.io", "https://index.docker.io/v1/". */
static bool same_server(const char *key, struct str authority)
{
    static const char *const hub[] = {"docker.io", "index.docker.io", "registry-1.docker.io"};
    struct str s = str_of(key);
    size_t scheme = str_starts(s, STR("https://")) ? 8 : str_starts(s, STR("http://")) ? 7 : 0;
    s = str_sub(s, scheme, s.n);
    s = str_sub(s, 0, str_find(s, '/'));
    bool ours = false, theirs = false;
    for (size_t i = 0; i < ARRAY_LEN(hub); i++) {
        ours |= str_ieq(authority, str_of(hub[i]));
        theirs |= str_ieq(s, str_of(hub[i]));
    }
    return str_ieq(s, authority) || (ours && theirs);
}

static const json_t *member_of(json_t *map, struct str authority)
{
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value)
    {
        if (same_server(key, authority))
            return value;
    }
    return NULL;
}

/* As docker does: the program for this registry, or for all; else what stands in the file. */
static void look_up(struct ctl *c, json_t *config, struct str authority, struct docker_login *out)
{
    char *server = same_server(HUB, authority)
                       ? arena_printf(&c->arena, HUB)
                       : arena_printf(&c->arena, "%.*s", STR_ARG(authority));
    const json_t *own = member_of(json_object_get(config, "credHelpers"), authority);
    const json_t *store = json_object_get(config, "credsStore");
    if (server && ask_program(c, json_string_value(own ? own : store), server, out))
        return;
    *out = (struct docker_login){0};
    read_entry(c, member_of(json_object_get(config, "auths"), authority), out);
}

bool docker_login(struct ctl *c, struct str authority, struct docker_login *out, struct err *e)
{
    const char *folder = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
    struct span text;
    *out = (struct docker_login){0};
    if ((!folder || !*folder) && (!home || !*home))
        return true;
    char *path = folder && *folder ? arena_printf(&c->arena, "%s/config.json", folder)
                                   : arena_printf(&c->arena, "%s/.docker/config.json", home);
    if (!path)
        return arena_full(&c->arena, e);
    if (access(path, F_OK) != 0)
        return true;
    if (!file_read(path, CONFIG_BYTES_MAX, &text, e))
        return err_wrap(e, "credentials of docker");
    json_t *config = json_loadb((const char *)text.p, text.n, 0, NULL);
    free((void *)text.p);
    if (!json_is_object(config))
        err_set(e, ERR_INVALID, "credentials of docker: '%s' is not a JSON object", path);
    else
        look_up(c, config, authority, out);
    bool ok = json_is_object(config);
    json_decref(config);
    return ok;
}
