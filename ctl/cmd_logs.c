/* SPDX-License-Identifier: Apache-2.0 */
/* logs: what detached hosts of this machine wrote, with their providers and components, and the NATS server that `up`
 * started; also of those that have ended. */
#include "ctl/table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define LOGS_MAX 1024u
#define TAIL_BYTES_MAX ((size_t)8 << 20)
#define FOLLOW_MS 200
#define LOG_SUFFIX ".log"

struct log_file {
    struct str id;                       /* of the host, or "nats-4222" */
    const char *path;                    /* in c->arena, as id */
    const struct local_process *process; /* NULL: it has ended */
    time_t changed;
};

struct logs {
    struct ctl *c;
    struct local_list local;
    struct log_file v[LOGS_MAX];
    size_t n;
};

/* ---- which there are ---- */

static void add_log(struct logs *all, struct str id, struct str path, const struct local_process *p)
{
    struct stat st;
    struct ctl *c = all->c;
    const char *text = arena_printf(&c->arena, "%.*s", STR_ARG(path));
    for (size_t i = 0; text && i < all->n; i++)
        if (strcmp(all->v[i].path, text) == 0)
            return;
    if (!text || all->n == LOGS_MAX || stat(text, &st) != 0 || !S_ISREG(st.st_mode))
        return;
    all->v[all->n++] = (struct log_file){arena_str(&c->arena, id), text, p, st.st_mtime};
}

static bool is_nats(const struct log_file *l)
{
    return str_starts(l->id, STR("nats-"));
}

static bool find_logs(struct logs *all, struct err *e)
{
    struct ctl *c = all->c;
    const char *folder;
    if (!local_processes(c, &all->local, e) || !local_path(c, "", &folder, e))
        return false;
    for (size_t i = 0; i < all->local.n; i++) {
        const struct local_process *p = &all->local.v[i];
        char *port = arena_printf(
            &c->arena, "nats-%.*s",
            STR_ARG(str_sub(p->address, str_rfind(p->address, ':') + 1, p->address.n)));
        if (p->log.n)
            add_log(all, p->host_id.n ? p->host_id : str_of(port), p->log, p);
    }
    DIR *d = opendir(folder);
    for (struct dirent *f; d && (f = readdir(d));) {
        struct str name = str_of(f->d_name);
        const char *path = arena_printf(&c->arena, "%s%s", folder, f->d_name);
        if (!str_ends(name, STR(LOG_SUFFIX)) || !path)
            continue;
        name = str_sub(name, str_starts(name, STR("hostd-")) ? 6 : 0, name.n - strlen(LOG_SUFFIX));
        add_log(all, name, str_of(path), NULL);
    }
    if (d)
        closedir(d);
    return true;
}

/* ---- which one is meant ---- */

static bool matches(const struct log_file *l, const char *wanted)
{
    if (wanted)
        return str_ieq(str_sub(l->id, 0, strlen(wanted)), str_of(wanted));
    return !is_nats(l) && l->process;
}

static bool which_one(const struct logs *all, const char *wanted, struct err *e)
{
    struct buf list = BUF_INIT;
    for (size_t i = 0; i < all->n; i++)
        buf_printf(&list, "\n  %.*s%s", STR_ARG(all->v[i].id),
                   all->v[i].process ? "" : " (has ended)");
    if (wanted)
        err_set(e, ERR_NOT_FOUND, "not one log whose name begins with '%s', but these:%.*s", wanted,
                STR_ARG(buf_view(&list)));
    else
        err_set(e, ERR_INVALID, "several hosts run here, say which:%.*s", STR_ARG(buf_view(&list)));
    buf_fini(&list);
    return false;
}

/* The one named; else of the host that runs; else of the one that ended last. */
static bool choose(const struct logs *all, const char *wanted, const struct log_file **out,
                   struct err *e)
{
    const struct log_file *found = NULL, *last = NULL;
    size_t n = 0;
    for (size_t i = 0; i < all->n; i++) {
        const struct log_file *l = &all->v[i];
        if (matches(l, wanted) && n++ == 0)
            found = l;
        if (!is_nats(l) && (!last || l->changed > last->changed))
            last = l;
    }
    if (!n && !wanted)
        found = last;
    if (!found && !all->n)
        return err_set(e, ERR_NOT_FOUND,
                       "no logs on this machine: `hostctl up --detached` makes one");
    if (!found || n > 1)
        return which_one(all, wanted, e);
    *out = found;
    return true;
}

/* ---- lines ---- */

/* "2026-01-02T03:04:05.678901Z WARN hostd: ..." or {...,"target":"hostd",...} */
static bool is_from(struct str line, const char *program)
{
    struct str rest = line, part = STR_NONE;
    if (!program)
        return true;
    if (line.n && line.p[0] == '{') {
        json_t *json = json_loadb(line.p, line.n, 0, NULL);
        const char *target = json_string_value(json_object_get(json, "target"));
        bool same = target && strcmp(target, program) == 0;
        json_decref(json);
        return same;
    }
    for (int i = 0; i < 3; i++)
        if (!str_cut(&rest, ' ', &part))
            return false;
    return str_eq(str_sub(part, 0, str_find(part, ':')), str_of(program));
}

/* Where the last n lines of that program begin in the text. */
static size_t last_lines(struct str text, const char *program, uint64_t n)
{
    size_t at = text.n;
    while (at > 0 && n > 0) {
        size_t end = at - (text.p[at - 1] == '\n'), line = str_rfind(str_sub(text, 0, end), '\n');
        line = line < end ? line + 1 : 0;
        n -= is_from(str_sub(text, line, end), program);
        at = line;
    }
    return at;
}

/* Takes whole lines from the text; what is left of it is the beginning of one. */
static void show_lines(struct ctl *c, struct str *text, const char *program, json_t *list)
{
    size_t end;
    while ((end = str_find(*text, '\n')) < text->n) {
        struct str line = str_sub(*text, 0, end);
        *text = str_sub(*text, end + 1, text->n);
        if (!is_from(line, program))
            continue;
        json_array_append_new(list, json_str(line));
        buf_printf(&c->text, "%.*s\n", STR_ARG(line));
    }
}

/* ---- reading ---- */

static bool read_from(int fd, const char *path, off_t *at, size_t max, struct buf *out,
                      struct err *e)
{
    uint8_t piece[65536];
    while (max > 0) {
        ssize_t n = pread(fd, piece, MIN(max, sizeof piece), *at);
        if (n < 0)
            return err_errno(e, errno, "read '%s'", path);
        if (n == 0)
            break;
        buf_put(out, piece, (size_t)n);
        *at += n;
        max -= (size_t)n;
    }
    return buf_ok(out, e);
}

static void nap(void)
{
    const struct timespec t = {.tv_nsec = FOLLOW_MS * 1000000L};
    nanosleep(&t, NULL);
}

/* What is new, until the process has ended. */
static bool follow(struct ctl *c, int fd, const struct log_file *l, off_t at, struct err *e)
{
    struct buf fresh;
    const char *program = option_text(c, "program");
    bool ok = true, alive = true;
    buf_init(&fresh, TAIL_BYTES_MAX);
    while (ok && alive) {
        struct stat st;
        alive = l->process && local_alive(l->process); /* asked first: then the rest is read */
        if (fstat(fd, &st) == 0 && st.st_size < at)
            at = 0; /* begun anew */
        ok = read_from(fd, l->path, &at, TAIL_BYTES_MAX - fresh.n, &fresh, e);
        struct str text = buf_view(&fresh);
        show_lines(c, &text, program, NULL);
        buf_drop(&fresh, text.n < TAIL_BYTES_MAX ? fresh.n - text.n : fresh.n);
        if (c->text.n)
            fwrite(c->text.p, 1, c->text.n, stdout);
        ok = ok && (fflush(stdout) == 0 || err_errno(e, errno, "write"));
        buf_clear(&c->text);
        if (alive)
            nap();
    }
    buf_fini(&fresh);
    if (ok)
        notice(c, "%.*s has ended", STR_ARG(l->id));
    return ok;
}

static bool show(struct ctl *c, const struct log_file *l, struct err *e)
{
    struct stat st;
    struct buf tail;
    const char *program = option_text(c, "program");
    json_t *list = json_array();
    result_set(c, "id", json_str(l->id));
    result_set(c, "log", json_string(l->path));
    result_set(c, "lines", list);
    int fd = open(l->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int why = errno;
        if (fd >= 0)
            close(fd);
        return err_errno(e, why, "read '%s'", l->path);
    }
    off_t at = st.st_size > (off_t)TAIL_BYTES_MAX ? st.st_size - (off_t)TAIL_BYTES_MAX : 0;
    buf_init(&tail, TAIL_BYTES_MAX);
    bool ok = read_from(fd, l->path, &at, TAIL_BYTES_MAX, &tail, e);
    struct str text = buf_view(&tail);
    text = str_sub(text, last_lines(text, program, option_number(c, "lines")), text.n);
    show_lines(c, &text, program, list);
    at -= (off_t)text.n; /* the beginning of a line comes again, whole */
    buf_fini(&tail);
    if (ok && option_flag(c, "follow"))
        ok = follow(c, fd, l, at, e);
    close(fd);
    return ok;
}

bool cmd_logs(struct ctl *c, struct err *e)
{
    struct logs *all = arena_new(&c->arena, struct logs);
    const struct log_file *l = NULL;
    if (!all)
        return arena_full(&c->arena, e);
    *all = (struct logs){.c = c};
    if (c->json && option_flag(c, "follow"))
        return err_set(e, ERR_INVALID, "--follow has no form in JSON");
    return find_logs(all, e) && choose(all, word(c, 0), &l, e) && show(c, l, e);
}
