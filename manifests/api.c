/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest API: one row per operation. Any scheduler of the lattice may get a request (queue group), so what it
 * changes or shows of one application is read from the bucket first; lists and statuses come from what was followed.
 * Keeps: every request gets one answer, and at most CALLS_MAX are under way; a write that lost a race is done again
 * from the beginning, three times. Payloads: wadm 0.18 - 0.21, with the arrays that its error replies lack. */
#include "manifests/scheduler_int.h"

#include "lattice/base/log.h"
#include "lattice/base/rand.h"

#define TRIES 3
#define PATIENCE_MS 2000
#define CALLS_MAX 1000u

struct call {
    struct api *api;
    struct call *next, **at;
    struct arena arena;
    enum proto_api_op op;
    struct str app, reply; /* in the arena */
    struct str version;    /* asked for; p == NULL: none */
    json_t *manifest;      /* put */
    struct str previous;   /* put: the latest version before */
    uint32_t tries;
    bool waiting;    /* for the store */
    bool undeploys;  /* del */
    size_t count;    /* put: versions afterwards */
    struct buf json; /* the answer */
    struct err e;
};

struct api {
    struct scheduler *s;
    struct bus_sub *sub;
    struct call *calls;
    uint32_t ncalls;
    struct loop_timer *patience; /* with those that wait for the store */
};

/* ---- calls and answers ----------------------------------------------------------------------------- */

static struct call *call_new(struct api *api, const struct bus_msg *msg, enum proto_api_op op,
                             struct str app)
{
    struct call *c = xnew(struct call);
    *c = (struct call){.api = api, .next = api->calls, .at = &api->calls, .op = op};
    arena_init(&c->arena, PROTO_ARENA_BYTES);
    c->app = arena_str(&c->arena, app);
    c->reply = arena_str(&c->arena, msg->reply);
    if (c->next)
        c->next->at = &c->next;
    api->calls = c;
    api->ncalls++;
    return c;
}

static void call_free(struct call *c)
{
    c->api->ncalls--;
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    json_decref(c->manifest);
    buf_fini(&c->json);
    arena_fini(&c->arena);
    free(c);
}

/* Sends what was encoded into c->json (or not: c->e) and ends the call. */
static void answer(struct call *c, bool encoded)
{
    if (encoded && c->reply.n > 0)
        encoded =
            bus_publish(c->api->s->bus, c->reply, STR_NONE, NULL, 0, buf_span(&c->json), &c->e);
    if (!encoded)
        log_warn("manifest API answer not sent", LS("app", c->app), LE(&c->e));
    call_free(c);
}

static void answer_error(struct call *c, const char *text)
{
    struct str message = str_of(text);
    if (c->op == PROTO_API_GET && c->app.n == 0)
        answer(c, proto_api_models_encode(
                      &(struct proto_api_models){.result = PROTO_RESULT_ERROR, .message = message},
                      &c->json, &c->e));
    else if (c->op == PROTO_API_VERSIONS)
        answer(c,
               proto_api_versions_encode(
                   &(struct proto_api_versions){.result = PROTO_RESULT_ERROR, .message = message},
                   &c->json, &c->e));
    else
        answer(c, proto_api_error_encode(
                      &(struct proto_api_error){.result = PROTO_RESULT_ERROR, .message = message},
                      &c->json, &c->e));
}

/* before A between B after; A and B are a user's. */
static struct str say(struct call *c, const char *before, struct str a, const char *between,
                      struct str b, const char *after)
{
    struct shown x, y;
    char *out =
        arena_printf(&c->arena, "%s%s%s%s%s", before, show(&x, a), between, show(&y, b), after);
    return out ? str_of(out) : STR("");
}

static void publish_event(struct call *c, enum proto_api_event what, struct str data)
{
    struct proto_subject subject;
    struct buf json = BUF_INIT;
    struct err e = ERR_INIT;
    struct scheduler *s = c->api->s;
    if (!proto_api_event_subject(s->space.lattice, what, &subject, &e) ||
        !proto_api_event_encode(what, data, &json, &e) ||
        !bus_publish(s->bus, proto_subject_str(&subject), STR_NONE, NULL, 0, buf_span(&json), &e))
        log_debug("wadm event not published", LE(&e));
    buf_fini(&json);
}

/* ---- one application: read, change, write ---------------------------------------------------------- */

static void call_start(struct call *c);

static struct str json_text(struct call *c, json_t *v)
{
    char *z = json_dumps(v, JSON_COMPACT);
    struct str out = arena_str(&c->arena, str_of(z));
    free(z);
    return out;
}

static void after_write(struct call *c, json_t *doc);

struct write {
    struct call *c;
    json_t *doc; /* as written; NULL: removed */
};

static void on_written(void *user, const struct err *e)
{
    struct write w = *(struct write *)user;
    free(user);
    if (!e)
        after_write(w.c, w.doc);
    else if (e->code == ERR_CONFLICT && ++w.c->tries < TRIES)
        call_start(w.c);
    else
        answer_error(w.c, e->text);
    json_decref(w.doc);
}

/* Takes doc. */
static void write_doc(struct call *c, json_t *doc, uint64_t revision)
{
    struct err e = ERR_INIT;
    struct write *w = xnew(struct write);
    *w = (struct write){c, doc};
    if (store_write(c->api->s->store, c->app, doc, revision, on_written, w, &e))
        return;
    free(w);
    json_decref(doc);
    answer_error(c, e.text);
}

static void do_put(struct call *c, json_t *doc, uint64_t revision)
{
    json_t *target = doc ? json_incref(doc) : doc_new();
    if (doc_version(target, c->version)) {
        json_decref(target);
        answer_error(c,
                     say(c, "Manifest version ", c->version, " of ", c->app, " already exists").p);
        return;
    }
    if (doc_count(target) >= STORE_VERSIONS_MAX) {
        json_decref(target);
        answer_error(
            c, say(c, "", c->app, " has ", STR("200"), " versions, the limit: delete old ones").p);
        return;
    }
    struct str previous = doc_latest(target);
    c->previous = previous.p ? arena_str(&c->arena, previous) : STR("");
    doc_add(target, c->version, json_incref(c->manifest));
    c->count = doc_count(target);
    write_doc(c, target, revision);
}
_Static_assert(STORE_VERSIONS_MAX == 200, "the message names it");

static void do_get(struct call *c, json_t *doc, uint64_t revision)
{
    json_t *manifest = doc ? doc_version(doc, c->version) : NULL;
    (void)revision;
    if (manifest)
        answer(c, proto_api_get_encode(
                      &(struct proto_api_get){
                          .result = PROTO_RESULT_SUCCESS,
                          .manifest = json_text(c, manifest),
                          .message = say(c, "Found manifest ", c->app, "", STR(""), "")},
                      &c->json, &c->e));
    else if (doc)
        answer(c, proto_api_get_encode(
                      &(struct proto_api_get){
                          .result = PROTO_RESULT_NOT_FOUND,
                          .message = say(c, "Model ", c->app, " has no version ", c->version, "")},
                      &c->json, &c->e));
    else
        answer(c, proto_api_get_encode(
                      &(struct proto_api_get){.result = PROTO_RESULT_NOT_FOUND,
                                              .message = say(c, "Model with the name ", c->app,
                                                             " was not found", STR(""), "")},
                      &c->json, &c->e));
}

static void do_versions(struct call *c, json_t *doc, uint64_t revision)
{
    (void)revision;
    if (!doc) {
        answer(c, proto_api_versions_encode(
                      &(struct proto_api_versions){.result = PROTO_RESULT_NOT_FOUND,
                                                   .message = say(c, "Model with the name ", c->app,
                                                                  " was not found", STR(""), "")},
                      &c->json, &c->e));
        return;
    }
    struct proto_model_version *v =
        arena_array(&c->arena, struct proto_model_version, doc_count(doc));
    struct str deployed = doc_deployed(doc);
    json_t *all = json_object_get(doc, "manifests");
    uint32_t n = 0;
    for (void *it = json_object_iter(all); v && it; it = json_object_iter_next(all, it)) {
        struct str name = {json_object_iter_key(it), json_object_iter_key_len(it)};
        v[n++] = (struct proto_model_version){name, deployed.p && str_eq(name, deployed)};
    }
    answer(c, proto_api_versions_encode(
                  &(struct proto_api_versions){
                      .result = PROTO_RESULT_SUCCESS,
                      .message = say(c, "Found the versions of ", c->app, "", STR(""), ""),
                      .versions = {v, n}},
                  &c->json, &c->e));
}

static void do_del(struct call *c, json_t *doc, uint64_t revision)
{
    bool all = c->version.n == 0;
    if (!doc || (!all && !doc_version(doc, c->version))) {
        if (!doc || !doc_deployed(doc).p) /* for whoever missed the first time */
            publish_event(c, PROTO_API_UNPUBLISHED, c->app);
        answer(c, proto_api_delete_encode(
                      &(struct proto_api_delete){.result = PROTO_RESULT_NOOP,
                                                 .message = say(c, "Model ", c->app, " ",
                                                                all ? STR("") : STR("version "),
                                                                "not found, nothing deleted")},
                      &c->json, &c->e));
        return;
    }
    struct str deployed = doc_deployed(doc);
    c->undeploys = all || doc_count(doc) == 1 || (deployed.p && str_eq(deployed, c->version));
    if (all || doc_count(doc) == 1) {
        write_doc(c, NULL, revision);
        return;
    }
    doc_remove(doc, c->version);
    if (c->undeploys)
        doc_deploy(doc, STR_NONE);
    write_doc(c, json_incref(doc), revision);
}

/* An explicit id that another deployed application has. */
static const struct app *id_taken(struct call *c, const struct manifest *m, struct str *id)
{
    for (size_t i = 0; i < m->ncomponents; i++) {
        *id = m->components[i].id;
        for (struct app *a = store_first(c->api->s->store); a && id->p; a = a->hh.next) {
            const struct manifest *other = store_deployed(c->api->s->store, str_of(a->name));
            for (size_t k = 0; other && !str_eqz(c->app, a->name) && k < other->ncomponents; k++)
                if (other->components[k].id.p && str_eq(other->components[k].id, *id))
                    return a;
        }
    }
    return NULL;
}

/* The first shared component that is not there. */
static const struct manifest_component *shared_missing(struct call *c, const struct manifest *m)
{
    for (size_t i = 0; i < m->ncomponents; i++) {
        const struct manifest_component *comp = &m->components[i], *found = NULL;
        if (!comp->shared_app.p)
            continue;
        const struct manifest *other = store_deployed(c->api->s->store, comp->shared_app);
        if (other && other->shared)
            found = manifest_find(other, comp->shared_component);
        if (!found || found->capability != comp->capability)
            return comp;
    }
    return NULL;
}

static bool may_deploy(struct call *c, json_t *manifest)
{
    struct err e = ERR_INIT;
    struct str stored = json_text(c, manifest), id;
    struct manifest *m = manifest_parse_all(stored, MANIFEST_JSON, STR_NONE, NULL, &e);
    const struct app *taken = m ? id_taken(c, m, &id) : NULL;
    const struct manifest_component *missing = m ? shared_missing(c, m) : NULL;
    struct str why = STR_NONE;
    if (!m)
        why = say(c, "the stored manifest cannot be used: ", str_of(e.text), "", STR(""), "");
    else if (taken)
        why = say(c, "component identifier ", id, " is already used by deployed application ",
                  str_of(taken->name), "");
    else if (missing)
        why =
            say(c, "shared component ", missing->name,
                ": no such component in a deployed, shared application ", missing->shared_app, "");
    manifest_free(m);
    if (why.p)
        answer_error(c, why.p);
    return !why.p;
}

static void do_deploy(struct call *c, json_t *doc, uint64_t revision)
{
    bool latest = c->version.n == 0 || str_eqz(c->version, "latest");
    if (!doc) {
        answer(c, proto_api_deploy_encode(
                      &(struct proto_api_deploy){.result = PROTO_RESULT_NOT_FOUND,
                                                 .name = c->app,
                                                 .version = c->version,
                                                 .message = say(c, "Model with the name ", c->app,
                                                                " was not found", STR(""), "")},
                      &c->json, &c->e));
        return;
    }
    struct str version = latest ? doc_latest(doc) : c->version;
    json_t *manifest = doc_version(doc, version);
    if (!manifest) {
        answer(c, proto_api_deploy_encode(
                      &(struct proto_api_deploy){
                          .result = PROTO_RESULT_ERROR,
                          .name = c->app,
                          .version = c->version,
                          .message = say(c, "Model ", c->app, " has no version ", version, "")},
                      &c->json, &c->e));
        return;
    }
    if (!may_deploy(c, manifest))
        return;
    c->version = arena_str(&c->arena, version);
    doc_deploy(doc, c->version);
    write_doc(c, json_incref(doc), revision);
}

static void do_undeploy(struct call *c, json_t *doc, uint64_t revision)
{
    if (!doc) {
        answer(c, proto_api_deploy_encode(
                      &(struct proto_api_deploy){.result = PROTO_RESULT_NOT_FOUND,
                                                 .name = c->app,
                                                 .message = say(c, "Model with the name ", c->app,
                                                                " was not found", STR(""), "")},
                      &c->json, &c->e));
        return;
    }
    doc_deploy(doc, STR_NONE);
    write_doc(c, json_incref(doc), revision);
}

/* At once, so that nobody takes the old status for the new one; the active scheduler follows with its own. */
static void tell(struct call *c, enum proto_status_type type, struct str message)
{
    const struct proto_status status = {.status = {type, message}};
    statuses_tell(c->api->s->statuses, c->app, &status);
}

static void after_write(struct call *c, json_t *doc)
{
    switch (c->op) {
    case PROTO_API_PUT:
        answer(c, proto_api_put_encode(
                      &(struct proto_api_put){
                          .result = c->count == 1 ? PROTO_RESULT_CREATED : PROTO_RESULT_NEW_VERSION,
                          .message = say(c, "Stored manifest ", c->app, " ", c->previous, ""),
                          .name = c->app,
                          .current_version = c->version,
                          .total_versions = c->count},
                      &c->json, &c->e));
        return;
    case PROTO_API_DEL:
        if (c->undeploys) {
            publish_event(c, PROTO_API_UNPUBLISHED, c->app);
            tell(c, PROTO_STATUS_UNDEPLOYED, STR(""));
        }
        answer(c, proto_api_delete_encode(
                      &(struct proto_api_delete){
                          .result = PROTO_RESULT_DELETED,
                          .undeploy = c->undeploys,
                          .message = say(c, "Deleted ", c->app, " ", c->version, "")},
                      &c->json, &c->e));
        return;
    case PROTO_API_DEPLOY:
        publish_event(c, PROTO_API_PUBLISHED, json_text(c, doc_version(doc, c->version)));
        tell(c, PROTO_STATUS_RECONCILING, say(c, "deploying ", c->version, "", STR(""), ""));
        answer(c, proto_api_deploy_encode(
                      &(struct proto_api_deploy){
                          .result = PROTO_RESULT_ACKNOWLEDGED,
                          .name = c->app,
                          .version = c->version,
                          .message = say(c, "Deployed model ", c->app, " ", c->version, "")},
                      &c->json, &c->e));
        return;
    default: /* undeploy */
        publish_event(c, PROTO_API_UNPUBLISHED, c->app);
        tell(c, PROTO_STATUS_UNDEPLOYED, STR(""));
        answer(c, proto_api_deploy_encode(
                      &(struct proto_api_deploy){
                          .result = PROTO_RESULT_ACKNOWLEDGED,
                          .name = c->app,
                          .message = say(c, "Undeployed model ", c->app, "", STR(""), "")},
                      &c->json, &c->e));
    }
}

/* ---- from what was followed ------------------------------------------------------------------------ */

static struct proto_model model(struct call *c, struct app *a)
{
    struct str latest = doc_latest(a->doc);
    json_t *annotations =
        json_object_get(json_object_get(doc_version(a->doc, latest), "metadata"), "annotations");
    json_t *description = json_object_get(annotations, "description");
    struct proto_model m = {
        .name = str_of(a->name),
        .version = latest,
        .description = {json_string_value(description), json_string_length(description)},
        .deployed_version = doc_deployed(a->doc)};
    if (!statuses_get(c->api->s->statuses, m.name, &m.detailed_status))
        m.detailed_status.status = (struct proto_status_info){
            PROTO_STATUS_WAITING, STR("Lattice contains no hosts, or nothing was deployed yet")};
    m.status = m.detailed_status.status.type;
    if (m.status == PROTO_STATUS_WAITING && !m.deployed_version.p)
        m.status = PROTO_STATUS_UNDEPLOYED;
    m.status_message =
        m.detailed_status.status.message.p ? m.detailed_status.status.message : STR("");
    return m;
}

static void do_list(struct call *c)
{
    uint32_t n = 0;
    struct store *st = c->api->s->store;
    for (struct app *a = store_first(st); a; a = a->hh.next)
        n += a->doc != NULL;
    struct proto_model *v = arena_array(&c->arena, struct proto_model, n);
    n = 0;
    for (struct app *a = store_first(st); v && a; a = a->hh.next)
        if (a->doc)
            v[n++] = model(c, a);
    if (c->op == PROTO_API_LIST)
        answer(c, proto_model_list_encode(&(struct proto_model_list){.v = v, .n = n}, &c->json,
                                          &c->e));
    else
        answer(c, proto_api_models_encode(
                      &(struct proto_api_models){.result = PROTO_RESULT_SUCCESS,
                                                 .message = STR("Fetched all models"),
                                                 .models = {v, n}},
                      &c->json, &c->e));
}

static void do_status(struct call *c, json_t *doc, uint64_t revision)
{
    struct proto_status status = {.status = {.type = PROTO_STATUS_UNDEPLOYED}};
    struct str message = say(c, "Found the status of ", c->app, "", STR(""), "");
    (void)revision;
    if (!doc)
        message = say(c, "Model with the name ", c->app, " was not found", STR(""), "");
    else if (!statuses_get(c->api->s->statuses, c->app, &status) && doc_deployed(doc).p)
        status.status = (struct proto_status_info){PROTO_STATUS_WAITING, STR("not planned yet")};
    answer(c, proto_api_status_encode(&(struct proto_api_status){.result = PROTO_RESULT_OK,
                                                                 .message = message,
                                                                 .status = status},
                                      &c->json, &c->e));
}

/* ---- the table ------------------------------------------------------------------------------------- */

static const struct {
    void (*with_doc)(struct call *c, json_t *doc, uint64_t revision); /* doc NULL: there is none */
    void (*alone)(struct call *c);
} operations[PROTO_API_OP_COUNT] = {
    [PROTO_API_PUT] = {do_put, NULL},           [PROTO_API_GET] = {do_get, do_list},
    [PROTO_API_LIST] = {NULL, do_list},         [PROTO_API_VERSIONS] = {do_versions, NULL},
    [PROTO_API_DEL] = {do_del, NULL},           [PROTO_API_DEPLOY] = {do_deploy, NULL},
    [PROTO_API_UNDEPLOY] = {do_undeploy, NULL}, [PROTO_API_STATUS] = {do_status, NULL},
};

static void on_doc(void *user, json_t *doc, uint64_t revision, const struct err *e)
{
    struct call *c = user;
    enum proto_api_op op = c->op;
    if (e)
        answer_error(c, e->text);
    else
        operations[op].with_doc(c, doc, revision);
    json_decref(doc);
}

static void call_start(struct call *c)
{
    struct err e = ERR_INIT;
    if (!store_read(c->api->s->store, c->app, on_doc, c, &e))
        answer_error(c, e.text);
}

/* ---- before the store has been read ---------------------------------------------------------------- */

static void call_run(struct call *c)
{
    if (c->op != PROTO_API_PUT && c->app.n == 0)
        operations[c->op].alone(c);
    else
        call_start(c);
}

/* The first that waits; running it takes it off. */
static struct call *waiting(const struct api *api)
{
    struct call *c = api->calls;
    while (c && !c->waiting)
        c = c->next;
    return c;
}

void api_ready(struct api *api)
{
    struct call *c;
    loop_timer_stop(&api->patience);
    while ((c = waiting(api))) {
        c->waiting = false;
        call_run(c);
    }
}

static void on_patience(void *user)
{
    struct api *api = user;
    struct call *c;
    api->patience = NULL;
    while ((c = waiting(api)))
        answer_error(c, "the stored manifests cannot be read (is JetStream enabled?)");
}

static void call_begin(struct call *c)
{
    struct api *api = c->api;
    if (store_ready(api->s->store)) {
        call_run(c);
        return;
    }
    c->waiting = true;
    if (!api->patience)
        api->patience = loop_after(api->s->loop, PATIENCE_MS, on_patience, api);
}

/* ---- requests -------------------------------------------------------------------------------------- */

static bool content_format(const struct bus_msg *msg, enum manifest_format *format, struct err *e)
{
    struct shown type;
    *format = MANIFEST_ANY;
    for (size_t i = 0; i < msg->nheaders; i++) {
        if (!str_ieq(msg->headers[i].name, STR("Content-Type")))
            continue;
        if (str_eqz(msg->headers[i].value, "application/json"))
            *format = MANIFEST_JSON;
        else if (str_eqz(msg->headers[i].value, "application/yaml"))
            *format = MANIFEST_YAML;
        else
            return err_set(e, ERR_UNSUPPORTED, "unsupported content type '%s'",
                           show(&type, msg->headers[i].value));
    }
    return true;
}

static void put_start(struct call *c, const struct bus_msg *msg)
{
    enum manifest_format format;
    struct err e = ERR_INIT;
    struct manifest *m = NULL;
    char ulid[ULID_LEN + 1];
    if (!content_format(msg, &format, &e) ||
        !(m = manifest_parse_all(span_str(msg->data), format, STR_NONE, NULL, &e))) {
        answer_error(c, e.text);
        return;
    }
    c->manifest = manifest_to_json(m);
    c->app = arena_str(&c->arena, m->name);
    c->version = m->version.n > 0 ? arena_str(&c->arena, m->version) : STR_NONE;
    manifest_free(m);
    if (!c->version.p) {
        rand_ulid(ulid);
        c->version = arena_str(&c->arena, str_of(ulid));
        json_t *metadata = json_object_get(c->manifest, "metadata");
        json_object_set_new(json_object_get(metadata, "annotations"), "version", json_string(ulid));
    }
    call_begin(c);
}

static bool body_version(struct call *c, const struct bus_msg *msg, struct err *e)
{
    struct proto_api_request request = {0};
    bool takes = c->op == PROTO_API_GET || c->op == PROTO_API_DEL || c->op == PROTO_API_DEPLOY;
    if (!takes || msg->data.n == 0)
        return true;
    if (!proto_api_request_decode(msg->data, &c->arena, &request, e)) {
        err_wrap(e, "request body");
        return false;
    }
    c->version = request.version;
    return true;
}

static void on_request(void *user, const struct bus_msg *msg)
{
    struct api *api = user;
    struct str app = STR("");
    struct err e = ERR_INIT;
    enum proto_api_op op = proto_api_parse(&api->s->space, msg->subject, &app);
    struct call *c = call_new(api, msg, op, app);
    if (api->ncalls > CALLS_MAX)
        answer_error(c, "too many requests at once");
    else if (op == PROTO_API_UNKNOWN)
        answer_error(c, "invalid or unsupported subject");
    else if (op == PROTO_API_PUT)
        put_start(c, msg);
    else if (op == PROTO_API_HISTORY)
        answer_error(c, "history is not supported; ask for versions");
    else if (app.n == 0)
        call_begin(c);
    else if (!manifest_name_ok(app))
        answer_error(c, "not a possible application name");
    else if (!body_version(c, msg, &e))
        answer_error(c, e.text);
    else
        call_begin(c);
}

struct api *api_open(struct scheduler *s, struct err *e)
{
    struct api *api = xnew(struct api);
    struct proto_subject subject;
    struct str queue;
    api->s = s;
    if (proto_api_sub(&s->space, &subject, &queue, e) &&
        bus_subscribe(s->bus, proto_subject_str(&subject), queue, on_request, api, &api->sub, e))
        return api;
    free(api);
    return NULL;
}

void api_close(struct api *api)
{
    if (!api)
        return;
    bus_unsubscribe(&api->sub);
    loop_timer_stop(&api->patience);
    while (api->calls)
        call_free(api->calls);
    free(api);
}
