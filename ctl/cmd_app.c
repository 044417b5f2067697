/* SPDX-License-Identifier: Apache-2.0 */
/* Applications: manifests to the scheduler, and what became of them. A manifest is read, checked and written anew
 * here, so that mistakes are found before anything is sent. */
#include "ctl/table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "manifests/manifests.h"

#define WAIT_DEFAULT_MS 60000

/* ---- asking the scheduler ------------------------------------------------------------------------- */

struct ask {
    struct ctl *c;
    void (*take)(struct ctl *c, const struct proto_api_reply *r, void *user);
    void *user;
};

static void on_reply(void *user, const struct proto_api_reply *r, const struct err *e)
{
    struct ask *a = user;
    struct err refused = ERR_INIT;
    if (r && r->result == PROTO_RESULT_ERROR)
        err_set(&refused, ERR_PEER, "the scheduler refuses: %.*s", STR_ARG(r->message));
    else if (r && r->result == PROTO_RESULT_NOT_FOUND)
        err_set(&refused, ERR_NOT_FOUND, "%.*s", STR_ARG(r->message));
    else if (r && a->take)
        a->take(a->c, r, a->user);
    session_answer(a->c, r ? &refused : e);
}

static bool answered(struct ctl *c, bool sent, struct err *e)
{
    if (session_await(c, sent, e))
        return true;
    if (e->code == ERR_NO_RESPONDERS)
        err_set(e, ERR_NO_RESPONDERS,
                "no scheduler answers on lattice '%.*s': start a host with `hostctl up`, without "
                "--disable-wadm",
                STR_ARG(session_lattice(c)));
    return false;
}

static bool ask(struct ctl *c, enum proto_api_op op, const char *app, const char *version,
                void (*take)(struct ctl *c, const struct proto_api_reply *r, void *user),
                void *user, struct err *e)
{
    struct ask a = {c, take, user};
    if (!manifest_name_ok(str_of(app)))
        return err_set(e, ERR_INVALID, "'%s' is neither a file nor the name of an application",
                       app);
    return answered(
               c, proto_api_ask(c->client, op, str_of(app), str_of(version), on_reply, &a, NULL, e),
               e) ||
           err_wrap(e, "application '%s'", app);
}

/* ---- manifests ------------------------------------------------------------------------------------ */

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
}

static bool looks_like_file(const char *text)
{
    struct str s = str_of(text);
    return is_file(text) || str_find(s, '/') < s.n || str_ends(s, STR(".yaml")) ||
           str_ends(s, STR(".yml")) || str_ends(s, STR(".json"));
}

bool manifest_text(struct ctl *c, const char *path, struct buf *out, struct err *e)
{
    buf_init(out, MANIFEST_SIZE_MAX);
    if (is_url(path))
        return fetch_url(c, path, out, e) || err_wrap(e, "manifest");
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (!f)
        return err_errno(e, errno, "open manifest '%s'", path);
    uint8_t chunk[8192];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        buf_put(out, chunk, n);
    bool ok = !ferror(f) || err_errno(e, errno, "read manifest '%s'", path);
    if (f != stdin)
        fclose(f);
    return ok && (buf_ok(out, e) || err_wrap(e, "manifest '%s'", path));
}

bool manifest_find_images(struct manifest *m, const char *path, struct err *e)
{
    struct str name = str_of(path);
    size_t slash = str_rfind(name, '/');
    return strcmp(path, "-") == 0 || is_url(path) ||
           manifest_images_absolute(m, slash < name.n ? str_sub(name, 0, slash) : STR("."), name,
                                    e);
}

/* Reads and checks; warnings go to stderr. NULL: e has the first error, the others are listed, too. */
static struct manifest *load(struct ctl *c, const char *path, struct err *e)
{
    struct buf text = BUF_INIT;
    struct manifest_problems problems = {0};
    struct manifest *m = NULL;
    const char *name = strcmp(path, "-") == 0 ? "stdin" : path;
    if (manifest_text(c, path, &text, e))
        m = manifest_parse_all(buf_view(&text), MANIFEST_ANY, str_of(name), &problems, e);
    for (size_t i = 0; i < problems.n; i++) {
        const struct manifest_problem *p = &problems.list[i];
        bool first = p->level == MANIFEST_ERROR && strstr(e->text, p->text);
        if (!m && first)
            continue; /* e says it */
        notice(c, "%s:%u:%u: %s: %s", name, p->pos.line, p->pos.column,
               p->level == MANIFEST_ERROR ? "error" : "warning", p->text);
    }
    if (m && !manifest_find_images(m, path, e)) {
        manifest_free(m);
        m = NULL;
    }
    manifest_problems_fini(&problems);
    buf_fini(&text);
    return m;
}

/* ---- put, deploy ---------------------------------------------------------------------------------- */

struct stored {
    char *name, *version; /* in c->arena */
};

static void take_put(struct ctl *c, const struct proto_api_reply *r, void *user)
{
    struct stored *s = user;
    s->name = arena_printf(&c->arena, "%.*s", STR_ARG(r->body.put->name));
    s->version = arena_printf(&c->arena, "%.*s", STR_ARG(r->body.put->current_version));
}

static void take_deploy(struct ctl *c, const struct proto_api_reply *r, void *user)
{
    struct stored *s = user;
    s->name = arena_printf(&c->arena, "%.*s", STR_ARG(r->body.deploy->name));
    s->version = arena_printf(&c->arena, "%.*s", STR_ARG(r->body.deploy->version));
}

static bool put(struct ctl *c, const struct manifest *m, struct stored *out, struct err *e)
{
    struct buf json = BUF_INIT;
    struct ask a = {c, take_put, out};
    bool ok =
        manifest_json(m, &json, e) &&
        answered(c, proto_api_put(c->client, buf_span(&json), true, on_reply, &a, NULL, e), e);
    buf_fini(&json);
    if (!ok && strstr(e->text, "already exists"))
        err_set(e, ERR_EXISTS,
                "version '%.*s' already exists: give the manifest a new version annotation, `app "
                "deploy --replace` it, or deploy what is stored with `hostctl app deploy %.*s`",
                STR_ARG(m->version), STR_ARG(m->name));
    return ok || err_wrap(e, "put application '%.*s'", STR_ARG(m->name));
}

static void say_stored(struct ctl *c, const char *verb, const struct stored *s)
{
    buf_printf(&c->text, "%s application \"%s\", version \"%s\"\n", verb, s->name, s->version);
    result_set(c, "deployed", json_true());
    result_set(c, "model_name", json_str(str_of(s->name)));
    result_set(c, "model_version", json_str(str_of(s->version)));
}

bool cmd_app_put(struct ctl *c, struct err *e)
{
    struct stored s = {0};
    struct manifest *m = load(c, word(c, 0) ? word(c, 0) : "-", e);
    bool ok = m && session_open(c, e) && put(c, m, &s, e);
    manifest_free(m);
    if (ok)
        say_stored(c, "Put", &s);
    return ok;
}

/* With --replace: what is there under the manifest's version goes first, failing only warns. */
static void replace(struct ctl *c, const struct manifest *m)
{
    struct err e = ERR_INIT;
    char *name = arena_printf(&c->arena, "%.*s", STR_ARG(m->name));
    char *version = m->version.p ? arena_printf(&c->arena, "%.*s", STR_ARG(m->version)) : NULL;
    if (!ask(c, PROTO_API_DEL, name, version, NULL, NULL, &e) && e.code != ERR_NOT_FOUND)
        notice(c, "could not delete what was there: %s", e.text);
}

struct comparison {
    json_t *ours;
    bool same;
};

static void take_stored(struct ctl *c, const struct proto_api_reply *r, void *user)
{
    struct comparison *cmp = user;
    struct str text = r->body.get->manifest;
    json_t *stored = text.p ? json_loadb(text.p, text.n, 0, NULL) : NULL;
    (void)c;
    cmp->same = stored && json_equal(stored, cmp->ours);
    json_decref(stored);
}

/* Is the very same manifest stored under this name and version? */
static bool is_stored(struct ctl *c, const struct manifest *m, const struct stored *s)
{
    struct buf json = BUF_INIT;
    struct err e = ERR_INIT;
    if (!manifest_json(m, &json, &e))
        return false;
    struct comparison cmp = {.ours = json_from(&json)};
    buf_fini(&json);
    bool ok = ask(c, PROTO_API_GET, s->name, s->version, take_stored, &cmp, &e) && cmp.same;
    json_decref(cmp.ours);
    return ok;
}

/* A version that is stored already is deployed when it is the same, or when `any_content`. */
static bool put_or_reuse(struct ctl *c, const struct manifest *m, bool any_content,
                         struct stored *s, struct err *e)
{
    if (put(c, m, s, e))
        return true;
    if (e->code != ERR_EXISTS)
        return false;
    s->name = arena_printf(&c->arena, "%.*s", STR_ARG(m->name));
    s->version = arena_printf(&c->arena, "%.*s", STR_ARG(m->version));
    return any_content || is_stored(c, m, s);
}

static bool deploy_manifest(struct ctl *c, const char *path, bool any_content, struct err *e)
{
    struct stored s = {0};
    struct manifest *m = load(c, path, e);
    if (m && !c->client && !session_open(c, e)) {
        manifest_free(m);
        return false;
    }
    if (m && c->command->run == cmd_app_deploy && option_flag(c, "replace"))
        replace(c, m);
    bool ok = m && put_or_reuse(c, m, any_content, &s, e);
    manifest_free(m);
    if (!ok || !ask(c, PROTO_API_DEPLOY, s.name, s.version, take_deploy, &s, e))
        return false;
    say_stored(c, "Deployed", &s);
    return true;
}

bool app_deploy_file(struct ctl *c, const char *path, struct err *e)
{
    return deploy_manifest(c, path, true, e);
}

/* ---- waiting for it ------------------------------------------------------------------------------- */

struct follow {
    struct ctl *c;
    struct proto_status status; /* of the last report; its texts are gone */
    char message[ERR_TEXT_MAX];
    bool over;
};

static void take_status_type(struct ctl *c, const struct proto_api_reply *r, void *user)
{
    struct follow *f = user;
    (void)c;
    const struct proto_status_info *s = &r->body.status->status.status;
    f->status.status.type = s->type;
    snprintf(f->message, sizeof f->message, "%.*s", STR_ARG(s->message));
    f->over = s->type == PROTO_STATUS_DEPLOYED;
}

static void on_status(void *user, const struct bus_msg *m)
{
    struct follow *f = user;
    (void)m;
    session_answer(f->c, NULL); /* something changed: ask again */
}

/* Until the application is deployed. The status subject wakes us; now and then we look without it. */
static bool wait_deployed(struct ctl *c, const char *app, uint64_t patience_ms, struct err *e)
{
    struct follow f = {.c = c};
    struct proto_subject subject;
    struct bus_sub *sub = NULL;
    uint64_t until = clock_mono_ms() + patience_ms;
    bool ok = proto_api_status_subject(session_lattice(c), str_of(app), &subject, e) &&
              bus_subscribe(c->bus, proto_subject_str(&subject), STR_NONE, on_status, &f, &sub, e);
    while (ok && !f.over) {
        ok = ask(c, PROTO_API_STATUS, app, NULL, take_status_type, &f, e);
        if (ok && !f.over && clock_mono_ms() >= until)
            ok = err_set(
                e, ERR_TIMEOUT,
                "application '%s' is %s after %llu ms: %s; `hostctl app status %s` tells more", app,
                proto_status_name(f.status.status.type), (unsigned long long)patience_ms, f.message,
                app);
        ok = ok && (f.over || session_sleep(c, 1000, e));
    }
    bus_unsubscribe(&sub);
    return ok;
}

bool cmd_app_deploy(struct ctl *c, struct err *e)
{
    const char *source = word(c, 0);
    struct stored s = {0};
    bool from_file = strcmp(source, "-") == 0 || looks_like_file(source);
    if (from_file) {
        if (word(c, 1))
            return err_set(e, ERR_INVALID,
                           "a VERSION goes with the name of an application, not with a file");
        if (!deploy_manifest(c, source, false, e))
            return false;
    } else {
        if (!session_open(c, e) ||
            !ask(c, PROTO_API_DEPLOY, source, word(c, 1), take_deploy, &s, e))
            return false;
        say_stored(c, "Deployed", &s);
    }
    if (!option_given(c, "wait"))
        return true;
    uint64_t patience_ms = option_number(c, "wait");
    return wait_deployed(c, json_string_value(json_object_get(c->result, "model_name")),
                         patience_ms ? patience_ms : WAIT_DEFAULT_MS, e);
}

/* ---- undeploy, delete ----------------------------------------------------------------------------- */

/* The name (and version) that a word of the command line stands for. */
static bool name_of(struct ctl *c, const char *source, struct stored *out, struct err *e)
{
    *out = (struct stored){.name = arena_printf(&c->arena, "%s", source)};
    if (!is_file(source))
        return true;
    struct manifest *m = load(c, source, e);
    if (!m)
        return false;
    out->name = arena_printf(&c->arena, "%.*s", STR_ARG(m->name));
    out->version = m->version.p ? arena_printf(&c->arena, "%.*s", STR_ARG(m->version)) : NULL;
    manifest_free(m);
    return true;
}

/* Names (and latest versions) of applications, in c->arena. */
struct names {
    struct stored *v;
    uint32_t n;
    bool undeployed_only, deployed_only;
};

static void take_names(struct ctl *c, const struct proto_api_reply *r, void *user)
{
    struct names *names = user;
    const struct proto_model_list *list = r->body.list;
    names->v = arena_array(&c->arena, struct stored, list->n);
    for (uint32_t i = 0; names->v && i < list->n; i++) {
        const struct proto_model *m = &list->v[i];
        if ((names->undeployed_only && m->status != PROTO_STATUS_UNDEPLOYED) ||
            (names->deployed_only && !m->deployed_version.n))
            continue;
        names->v[names->n++] =
            (struct stored){arena_printf(&c->arena, "%.*s", STR_ARG(m->name)),
                            arena_printf(&c->arena, "%.*s", STR_ARG(m->version))};
    }
}

static bool list_names(struct ctl *c, struct names *out, struct err *e)
{
    struct ask a = {c, take_names, out};
    return answered(c, proto_api_list(c->client, on_reply, &a, NULL, e), e);
}

bool cmd_app_undeploy(struct ctl *c, struct err *e)
{
    bool all = option_flag(c, "all"), ok = true;
    struct names names = {.deployed_only = true};
    struct stored one;
    json_t *done = json_array();
    result_set(c, "undeployed_application_names", done);
    if (!all == !word(c, 0))
        return err_set(e, ERR_INVALID, "say which application (NAME or FILE), or --all");
    if (!all && !name_of(c, word(c, 0), &one, e))
        return false;
    if (!session_open(c, e) || (all && !list_names(c, &names, e)))
        return false;
    if (!all)
        names = (struct names){.v = &one, .n = 1};
    for (uint32_t i = 0; ok && i < names.n; i++) {
        ok = ask(c, PROTO_API_UNDEPLOY, names.v[i].name, NULL, NULL, NULL, e);
        if (ok)
            json_array_append_new(done, json_str(str_of(names.v[i].name)));
    }
    if (!ok)
        return err_wrap(e, "undeploy (%zu done before)", json_array_size(done));
    char *text = !all      ? arena_printf(&c->arena, "Undeployed application: %s", one.name)
                 : names.n ? arena_printf(&c->arena, "Undeployed [%u] applications", names.n)
                           : arena_printf(&c->arena, "No applications undeployed");
    buf_printf(&c->text, "%s\n", text);
    result_set(c, "results", json_str(str_of(text)));
    return true;
}

static void take_delete(struct ctl *c, const struct proto_api_reply *r, void *user)
{
    (void)c;
    *(bool *)user = r->result == PROTO_RESULT_DELETED;
}

static bool delete_all_undeployed(struct ctl *c, struct err *e)
{
    struct names names = {.undeployed_only = true};
    json_t *done = json_array();
    bool deleted;
    result_set(c, "deleted_applications", done);
    if (!list_names(c, &names, e))
        return false;
    for (uint32_t i = 0; i < names.n; i++) {
        if (!ask(c, PROTO_API_DEL, names.v[i].name, names.v[i].version, take_delete, &deleted, e))
            return err_wrap(e, "delete (%u done before)", i);
        json_array_append_new(done, json_pack("{s:s, s:s}", "model_name", names.v[i].name,
                                              "version", names.v[i].version));
    }
    buf_printf(&c->text, "Deleted [%u] applications\n", names.n);
    return true;
}

bool cmd_app_delete(struct ctl *c, struct err *e)
{
    bool all = option_flag(c, "all-undeployed"), deleted = false;
    struct stored one;
    if (!all == !word(c, 0))
        return err_set(e, ERR_INVALID, "say which application (NAME or FILE), or --all-undeployed");
    if (!all && !name_of(c, word(c, 0), &one, e))
        return false;
    if (!session_open(c, e))
        return false;
    if (all)
        return delete_all_undeployed(c, e);
    const char *version = word(c, 1) ? word(c, 1) : one.version;
    if (!ask(c, PROTO_API_DEL, one.name, version, take_delete, &deleted, e))
        return false;
    buf_printf(&c->text, "%s application: %s\n", deleted ? "Deleted" : "Already deleted", one.name);
    result_set(c, "deleted", json_true());
    return true;
}

/* ---- list, get, history, status ------------------------------------------------------------------- */

/* "deployed" -> "Deployed" */
static struct str title(enum proto_status_type type, char out[16])
{
    snprintf(out, 16, "%s", proto_status_name(type));
    out[0] = (char)(out[0] - 'a' + 'A');
    return str_of(out);
}

static void take_list(struct ctl *c, const struct proto_api_reply *r, void *user)
{
    const struct proto_model_list *list = r->body.list;
    struct table t;
    struct buf json = BUF_INIT;
    struct err e = ERR_INIT;
    (void)user;
    table_begin(&t, 3);
    table_row(&t, 3, (struct str[]){STR("Name"), STR("Deployed Version"), STR("Status")});
    for (uint32_t i = 0; i < list->n; i++) {
        const struct proto_model *m = &list->v[i];
        char type[16];
        table_row(&t, 3,
                  (struct str[]){m->name, m->deployed_version.n ? m->deployed_version : STR("N/A"),
                                 title(m->status, type)});
        if (!m->description.n)
            continue;
        AUTO_FREE char *text = xasprintf("  └ %.*s", STR_ARG(m->description));
        table_row(&t, 1, (struct str[]){str_of(text)});
    }
    table_end(&t, c);
    if (proto_model_list_encode(list, &json, &e))
        result_set(c, "applications", json_from(&json));
    buf_fini(&json);
}

static bool show_list(struct ctl *c, struct err *e)
{
    struct ask a = {c, take_list, NULL};
    return answered(c, proto_api_list(c->client, on_reply, &a, NULL, e), e);
}

bool cmd_app_list(struct ctl *c, struct err *e)
{
    return session_open(c, e) && session_watch(c, 1000, show_list, e);
}

static void take_get(struct ctl *c, const struct proto_api_reply *r, void *user)
{
    struct err *bad = user;
    struct str json = r->body.get->manifest;
    if (json.p && manifest_yaml_from_json(json, &c->text, bad))
        result_set(c, "application", json_loadb(json.p, json.n, 0, NULL));
}

static bool show_manifest(struct ctl *c, struct err *e)
{
    struct err bad = ERR_INIT;
    if (!ask(c, PROTO_API_GET, word(c, 0), word(c, 1), take_get, &bad, e))
        return false;
    if (bad.code != ERR_NONE)
        *e = bad;
    return bad.code == ERR_NONE;
}

bool cmd_app_get(struct ctl *c, struct err *e)
{
    return session_open(c, e) && session_watch(c, 1000, word(c, 0) ? show_manifest : show_list, e);
}

static void take_history(struct ctl *c, const struct proto_api_reply *r, void *user)
{
    const struct proto_model_version_list *list = &r->body.versions->versions;
    struct table t;
    json_t *revisions = json_array();
    (void)user;
    table_begin(&t, 2);
    table_row(&t, 2, (struct str[]){STR("Version"), STR("Deployed")});
    for (uint32_t i = 0; i < list->n; i++) {
        table_row(
            &t, 2,
            (struct str[]){list->v[i].version, list->v[i].deployed ? STR("true") : STR("false")});
        json_array_append_new(revisions,
                              json_pack("{s:o, s:b}", "version", json_str(list->v[i].version),
                                        "deployed", list->v[i].deployed));
    }
    table_end(&t, c);
    result_set(c, "revisions", revisions);
}

bool cmd_app_history(struct ctl *c, struct err *e)
{
    return session_open(c, e) &&
           ask(c, PROTO_API_VERSIONS, word(c, 0), NULL, take_history, NULL, e);
}

/* Takes "app-" (the app's name with '_' for '-') out of a scaler's name, wherever it stands. */
static char *short_name(struct ctl *c, struct str name, const char *app)
{
    struct buf prefix = BUF_INIT, out = BUF_INIT;
    manifest_norm(str_of(app), &prefix);
    buf_byte(&prefix, '-');
    for (size_t i = 0; i < name.n;) {
        struct str rest = str_sub(name, i, name.n);
        if (str_starts(rest, buf_view(&prefix))) {
            i += prefix.n;
            continue;
        }
        buf_byte(&out, (uint8_t)name.p[i++]);
    }
    char *text = arena_printf(&c->arena, "%.*s", STR_ARG(buf_view(&out)));
    buf_fini(&prefix);
    buf_fini(&out);
    return text;
}

static void show_scalers(struct ctl *c, const struct proto_scaler_list *list, const char *app)
{
    struct table t;
    bool any = false;
    table_begin(&t, 3);
    table_row(&t, 3, (struct str[]){STR("Name"), STR("Kind"), STR("Status")});
    for (uint32_t i = 0; i < list->n; i++) {
        const struct proto_scaler_status *s = &list->v[i];
        char type[16];
        AUTO_FREE char *status = xasprintf("%.*s%s", STR_ARG(title(s->status.type, type)),
                                           s->status.message.n ? " (*)" : "");
        table_row(&t, 3,
                  (struct str[]){str_of(short_name(c, s->name, app)), s->kind, str_of(status)});
        any = any || s->status.message.n;
    }
    table_end(&t, c);
    if (any)
        buf_str(&c->text, STR("\n  Status Messages\n"));
    for (uint32_t i = 0; i < list->n; i++) {
        const struct proto_scaler_status *s = &list->v[i];
        char text[ERR_TEXT_MAX];
        if (s->status.message.n)
            buf_printf(&c->text, "  %s\n    └ %s\n", short_name(c, s->name, app),
                       str_show(s->status.message, text, sizeof text));
    }
}

struct status_of {
    const char *app;
    struct str version;
};

static void take_version(struct ctl *c, const struct proto_api_reply *r, void *user)
{
    struct status_of *w = user;
    const struct proto_model_version_list *list = &r->body.versions->versions;
    for (uint32_t i = 0; i < list->n; i++)
        if (list->v[i].deployed)
            w->version = arena_str(&c->arena, list->v[i].version);
}

static void take_status(struct ctl *c, const struct proto_api_reply *r, void *user)
{
    struct status_of *w = user;
    const struct proto_status *s = &r->body.status->status;
    struct buf json = BUF_INIT;
    struct err e = ERR_INIT;
    char type[16];
    buf_printf(&c->text, "%s@%.*s - %.*s\n", w->app, STR_ARG(w->version),
               STR_ARG(title(s->status.type, type)));
    if (s->scalers.n) {
        buf_str(&c->text, STR("\n"));
        show_scalers(c, &s->scalers, w->app);
    } else if (s->status.message.n) {
        buf_printf(&c->text, "  %.*s\n", STR_ARG(s->status.message));
    }
    if (proto_status_encode(s, &json, &e))
        result_set(c, "status", json_from(&json));
    buf_fini(&json);
}

bool cmd_app_status(struct ctl *c, struct err *e)
{
    struct status_of w = {.app = word(c, 0)};
    struct err unknown = ERR_INIT;
    if (!session_open(c, e))
        return false;
    ask(c, PROTO_API_VERSIONS, w.app, NULL, take_version, &w,
        &unknown); /* an unknown app shows as undeployed */
    return ask(c, PROTO_API_STATUS, w.app, NULL, take_status, &w, e) &&
           (!option_flag(c, "wide") || placement_show(c, str_of(w.app), e));
}
