/* SPDX-License-Identifier: Apache-2.0 */
/* What hostctl started on this machine: a folder with one record per process (name, pid, start time of that pid, and
 * what it serves), logs, and the data of nats-server.
 * Keeps: a pid is signalled only while the process of that start time lives, never a stranger that got its number. */
#include "ctl/table.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"

#define RECORD_SUFFIX ".pid.json"
#define RECORD_BYTES_MAX 8192
#define TAIL_BYTES 2048
#define POLL_MS 20

extern char **environ;

/* ---- places --------------------------------------------------------------------------------------- */

bool local_make_folders(const char *path, struct err *e)
{
    AUTO_FREE char *part = str_dup(str_of(path));
    for (char *p = part + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return err_errno(e, errno, "make folder '%s'", part);
        *p = '/';
    }
    if (mkdir(part, 0700) != 0 && errno != EEXIST)
        return err_errno(e, errno, "make folder '%s'", part);
    return true;
}

bool local_folder(struct ctl *c, const char *program, const char **out, struct err *e)
{
    const char *own = getenv("HOSTCTL_DATA_DIR"), *xdg = getenv("XDG_DATA_HOME"),
               *home = getenv("HOME");
    if (own && *own && strcmp(program, "hostctl") == 0)
        *out = own;
    else if (xdg && *xdg == '/')
        *out = arena_printf(&c->arena, "%s/%s", xdg, program);
    else if (home && *home == '/')
        *out = arena_printf(&c->arena, "%s/.local/share/%s", home, program);
    else
        return err_set(e, ERR_NOT_FOUND,
                       "no place for keys, pid files and logs: set HOME or HOSTCTL_DATA_DIR");
    return *out || arena_full(&c->arena, e);
}

bool local_path(struct ctl *c, const char *name, const char **out, struct err *e)
{
    const char *folder;
    if (!local_folder(c, "hostctl", &folder, e))
        return false;
    char *path = arena_printf(&c->arena, "%s/%s", folder, name);
    if (!path)
        return arena_full(&c->arena, e);
    if (!local_make_folders(folder, e))
        return false;
    *out = path;
    return true;
}

bool local_find_program(struct ctl *c, const char *name, const char **out, struct err *e)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self);
    struct str folder = {self, n > 0 ? (size_t)n : 0};
    folder = str_sub(folder, 0, str_rfind(folder, '/'));
    struct str rest = str_of(getenv("PATH")), from = folder;
    bool more = true;
    while (more) {
        char *path = arena_printf(&c->arena, "%.*s/%s", STR_ARG(from), name);
        if (!path)
            return arena_full(&c->arena, e);
        if (from.n && access(path, X_OK) == 0) {
            *out = path;
            return true;
        }
        more = str_cut(&rest, ':', &from);
    }
    return err_set(e, ERR_NOT_FOUND, "program '%s' is neither in '%.*s' nor on PATH", name,
                   STR_ARG(folder));
}

const char *local_log_tail(struct ctl *c, const char *path)
{
    char *text = arena_alloc(&c->arena, TAIL_BYTES + 1, 1);
    FILE *f = fopen(path, "r");
    if (!f || !text)
        return "";
    if (fseek(f, -TAIL_BYTES, SEEK_END) != 0)
        rewind(f);
    text[fread(text, 1, TAIL_BYTES, f)] = '\0';
    fclose(f);
    struct str last = str_trim(str_of(text));
    for (int lines = 0; lines < 3; lines++) { /* the last three */
        size_t at = str_rfind(last, '\n');
        if (at == last.n || lines == 2)
            return arena_printf(&c->arena, "%s",
                                lines == 2 && at < last.n ? last.p + at + 1 : last.p);
        last.n = at;
    }
    return text;
}

/* ---- processes ------------------------------------------------------------------------------------ */

/* Start time of a process in clock ticks; 0: not there, or dead and not yet waited for. */
static uint64_t start_time(pid_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    struct str rest = {text, n}, field = STR_NONE;
    rest =
        str_sub(rest, str_rfind(rest, ')') + 2, rest.n); /* the name before it may hold anything */
    uint64_t ticks = 0;
    for (int i = 3; i <= 22 && str_cut(&rest, ' ', &field); i++)
        if (i == 3 && (str_eqz(field, "Z") || str_eqz(field, "X")))
            return 0;
    return str_u64(field, &ticks) ? ticks : 0;
}

static json_t *read_record(const char *path)
{
    json_t *v = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(v))
        return v;
    json_decref(v);
    return NULL;
}

bool local_alive(const struct local_process *p)
{
    return p->start_ticks && start_time(p->pid) == p->start_ticks;
}

static void forget(const struct local_process *p)
{
    unlink(p->file.p);
}

static struct str member(struct ctl *c, json_t *record, const char *key)
{
    const char *text = json_string_value(json_object_get(record, key));
    return text ? arena_str(&c->arena, str_of(text)) : STR_NONE;
}

/* False: no record there. */
static bool load(struct ctl *c, const char *path, struct local_process *out)
{
    json_t *record = read_record(path);
    if (!record)
        return false;
    *out = (struct local_process){
        .pid = (pid_t)json_integer_value(json_object_get(record, "pid")),
        .start_ticks = (uint64_t)json_integer_value(json_object_get(record, "start_ticks")),
        .name = member(c, record, "name"),
        .host_id = member(c, record, "host_id"),
        .address = member(c, record, "address"),
        .lattice = member(c, record, "lattice"),
        .log = member(c, record, "log"),
        .file = arena_str(&c->arena, str_of(path)),
    };
    json_decref(record);
    return out->pid > 0 && out->file.p;
}

bool local_processes(struct ctl *c, struct local_list *out, struct err *e)
{
    const char *folder;
    if (!local_path(c, "", &folder, e))
        return false;
    DIR *dir = opendir(folder);
    if (!dir)
        return err_errno(e, errno, "read folder '%s'", folder);
    *out = (struct local_list){0};
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir));) {
        struct local_process p;
        if (!str_ends(str_of(entry->d_name), STR(RECORD_SUFFIX)))
            continue;
        char *path = arena_printf(&c->arena, "%s%s", folder, entry->d_name);
        if (!path || !load(c, path, &p))
            continue;
        if (!local_alive(&p)) {
            notice(c, "%.*s (pid %d) has ended without `hostctl down`; removing its pid file",
                   STR_ARG(p.name), (int)p.pid);
            forget(&p);
            continue;
        }
        struct local_process *grown = arena_array(&c->arena, struct local_process, out->n + 1);
        ok = grown || arena_full(&c->arena, e);
        if (!ok)
            break;
        if (out->n)
            memcpy(grown, out->v, out->n * sizeof *grown);
        grown[out->n++] = p;
        out->v = grown;
    }
    closedir(dir);
    return ok;
}

bool local_record(struct ctl *c, struct local_process *p, struct err *e)
{
    const char *path;
    struct str key = p->host_id.n
                         ? p->host_id
                         : str_sub(p->address, str_rfind(p->address, ':') + 1, p->address.n);
    char *name = arena_printf(&c->arena, "%.*s-%.*s" RECORD_SUFFIX, STR_ARG(p->name), STR_ARG(key));
    if (!name)
        return arena_full(&c->arena, e);
    if (!local_path(c, name, &path, e))
        return false;
    p->file = str_of(path);
    json_t *record =
        json_pack("{s:s, s:i, s:I, s:o, s:o, s:o, s:o, s:o}", "version", HOSTD_VERSION, "pid",
                  (int)p->pid, "start_ticks", (json_int_t)p->start_ticks, "name", json_str(p->name),
                  "host_id", json_str(p->host_id), "address", json_str(p->address), "lattice",
                  json_str(p->lattice), "log", json_str(p->log));
    bool ok = json_dump_file(record, path, JSON_INDENT(2)) == 0;
    json_decref(record);
    return ok || err_errno(e, errno, "write '%s'", path);
}

/* environ with additions in front; NAME=VALUE texts of the additions are in the arena. */
static char **make_environment(struct ctl *c, const struct proto_map *add)
{
    size_t n = 0, at = 0;
    while (environ[n])
        n++;
    char **env = arena_array(&c->arena, char *, n + add->n + 1);
    for (uint32_t i = 0; env && i < add->n; i++) {
        env[at] =
            arena_printf(&c->arena, "%.*s=%.*s", STR_ARG(add->v[i].key), STR_ARG(add->v[i].value));
        if (!env[at++])
            return NULL;
    }
    for (size_t i = 0; env && i < n; i++) {
        struct str name = str_sub(str_of(environ[i]), 0, str_find(str_of(environ[i]), '='));
        struct str value;
        if (!proto_map_get(add, name, &value))
            env[at++] = environ[i];
    }
    return env;
}

bool local_spawn(struct ctl *c, char *const argv[], const struct proto_map *env, const char *log,
                 struct local_process *out, struct err *e)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    char **environment = make_environment(c, env);
    if (!environment)
        return arena_full(&c->arena, e);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    sigset_t ours; /* what we ignore, others should not */
    sigemptyset(&ours);
    sigaddset(&ours, SIGPIPE);
    posix_spawnattr_setsigdefault(&attr, &ours);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (log)
        posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log,
                                         O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    int failed = posix_spawn(&out->pid, argv[0], &files, &attr, argv, environment);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    if (failed)
        return err_errno(e, failed, "start '%s'", argv[0]);
    out->start_ticks = start_time(out->pid);
    out->log = log ? str_of(log) : STR_NONE;
    return true;
}

static void nap(void)
{
    const struct timespec t = {.tv_nsec = POLL_MS * 1000000L};
    nanosleep(&t, NULL);
}

static bool wait_gone(const struct local_process *p, uint64_t patience_ms)
{
    uint64_t until = clock_mono_ms() + patience_ms;
    while (local_alive(p)) {
        if (clock_mono_ms() >= until)
            return false;
        nap();
    }
    waitpid(p->pid, NULL, WNOHANG); /* when it was our child */
    return true;
}

bool local_stop(const struct local_process *p, int signum, uint64_t patience_ms)
{
    if (signum && local_alive(p))
        kill(p->pid, signum);
    if (!wait_gone(p, patience_ms)) {
        kill(p->pid, SIGKILL);
        if (!wait_gone(p, 2000))
            return false;
    }
    forget(p);
    return true;
}

/* ---- who is there --------------------------------------------------------------------------------- */

static int connect_within(const struct addrinfo *a, int timeout_ms)
{
    int s = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol),
        failed = 0;
    socklen_t n = sizeof failed;
    if (s < 0)
        return -1;
    struct pollfd p = {.fd = s, .events = POLLOUT};
    bool ok = connect(s, a->ai_addr, a->ai_addrlen) == 0 ||
              (errno == EINPROGRESS && poll(&p, 1, timeout_ms) == 1 &&
               getsockopt(s, SOL_SOCKET, SO_ERROR, &failed, &n) == 0 && failed == 0);
    if (ok)
        return s;
    close(s);
    return -1;
}

enum probe local_probe(const char *host, uint64_t port, uint64_t timeout_ms)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    char service[24], hello[5] = "";
    int s = -1;
    snprintf(service, sizeof service, "%" PRIu64, port);
    if (getaddrinfo(host, service, &hints, &list) != 0)
        return PROBE_NOBODY;
    for (const struct addrinfo *a = list; a && s < 0; a = a->ai_next)
        s = connect_within(a, (int)timeout_ms);
    freeaddrinfo(list);
    if (s < 0)
        return PROBE_NOBODY;
    /* a NATS server speaks first */
    struct pollfd p = {.fd = s, .events = POLLIN};
    bool nats = poll(&p, 1, (int)timeout_ms) == 1 &&
                recv(s, hello, sizeof hello, 0) == sizeof hello &&
                memcmp(hello, "INFO ", sizeof hello) == 0;
    close(s);
    return nats ? PROBE_NATS : PROBE_STRANGER;
}
