/* SPDX-License-Identifier: Apache-2.0 */
/* Applications in the manifest bucket: key {lattice}-{app} holds all versions of one, key {lattice} the sorted list
 * of names, exactly as wadm keeps them (migration both ways). Owns the cache that follows the bucket; what the API
 * reads before it changes something comes from the bucket itself.
 * Keeps: every write is a compare-and-set, save that a deleted application is purged whatever it had become, as wadm
 * does; keys that only look like ours (lattice "a-b" beside "a") are left alone; a manifest that cannot be read spoils
 * only its own application; of a deleted one is remembered what it may have put into the lattice. */
#include "manifests/scheduler_int.h"

#include "lattice/base/log.h"

#define INDEX_TRIES 3
#define RETIRED_MAX 8u

struct store {
    struct scheduler *s;
    struct bucket *bucket;
    struct app *apps;
    struct store_op *ops;
    bool ready;
};

/* ---- documents ------------------------------------------------------------------------------------- */

json_t *doc_new(void)
{
    json_t *doc = json_object();
    json_object_set_new(doc, "manifests", json_object());
    json_object_set_new(doc, "deployed_version", json_null());
    return doc;
}

static json_t *doc_parse(struct span bytes, struct err *e)
{
    json_error_t why;
    if (bytes.n > STORE_DOC_BYTES_MAX) {
        err_set(e, ERR_LIMIT, "a stored application of %zu bytes, the limit is %u", bytes.n,
                STORE_DOC_BYTES_MAX);
        return NULL;
    }
    json_t *doc = json_loadb((const char *)bytes.p, bytes.n, JSON_REJECT_DUPLICATES, &why);
    if (json_is_object(json_object_get(doc, "manifests")))
        return doc;
    err_set(e, ERR_PROTOCOL, "a stored application cannot be read: %s",
            doc ? "no manifests in it" : why.text);
    json_decref(doc);
    return NULL;
}

static json_t *manifests(json_t *doc)
{
    return json_object_get(doc, "manifests");
}

size_t doc_count(json_t *doc)
{
    return json_object_size(manifests(doc));
}

struct str doc_latest(json_t *doc)
{
    struct str last = STR_NONE;
    for (void *it = json_object_iter(manifests(doc)); it;
         it = json_object_iter_next(manifests(doc), it))
        last = (struct str){json_object_iter_key(it), json_object_iter_key_len(it)};
    return last;
}

json_t *doc_version(json_t *doc, struct str version)
{
    if (version.n == 0)
        version = doc_latest(doc);
    return version.p ? json_object_getn(manifests(doc), version.p, version.n) : NULL;
}

struct str doc_deployed(json_t *doc)
{
    json_t *v = json_object_get(doc, "deployed_version");
    return (struct str){json_string_value(v), json_string_length(v)};
}

void doc_add(json_t *doc, struct str version, json_t *manifest)
{
    json_object_setn_new(manifests(doc), version.p, version.n, manifest);
}

void doc_remove(json_t *doc, struct str version)
{
    json_object_deln(manifests(doc), version.p, version.n);
}

void doc_deploy(json_t *doc, struct str version)
{
    json_object_set_new(doc, "deployed_version",
                        version.p ? json_stringn(version.p, version.n) : json_null());
}

/* Is it the application's, not one of another lattice whose name makes the same key? */
static bool doc_is_of(json_t *doc, struct str app)
{
    json_t *any = doc_version(doc, STR_NONE);
    json_t *name = json_object_get(json_object_get(any, "metadata"), "name");
    return !any || str_eq((struct str){json_string_value(name), json_string_length(name)}, app);
}

/* ---- the cache ------------------------------------------------------------------------------------- */

static void version_fini(struct app_version *v)
{
    manifest_free(v->manifest);
    free(v->broken);
}

static void app_clear(struct app *a)
{
    for (size_t i = 0; i < a->nversions; i++)
        version_fini(&a->versions[i]);
    free(a->versions);
    json_decref(a->doc);
    a->versions = NULL;
    a->doc = NULL;
    a->nversions = a->deployed = 0;
}

void store_forget(struct store *st, struct app *a)
{
    HASH_DELETE(hh, st->apps, a);
    app_clear(a);
    for (size_t i = 0; i < a->nretired; i++)
        manifest_free(a->retired[i]);
    free(a->retired);
    free(a->name);
    free(a);
}

/* What was deployed may have left its links behind. */
static void retire(struct app *a)
{
    if (a->deployed == a->nversions || !a->versions[a->deployed].manifest)
        return;
    if (a->nretired == RETIRED_MAX) {
        manifest_free(a->retired[0]);
        memmove(a->retired, a->retired + 1, --a->nretired * sizeof(struct manifest *));
    }
    a->retired = xrealloc(a->retired, (a->nretired + 1) * sizeof(struct manifest *));
    a->retired[a->nretired++] = MOVE(a->versions[a->deployed].manifest);
}

static struct app_version read_version(const char *name, size_t n, json_t *manifest)
{
    struct app_version v = {.name = {name, n}};
    struct err e = ERR_INIT;
    char *text = json_dumps(manifest, JSON_COMPACT | JSON_ENCODE_ANY);
    v.manifest = manifest_parse_all(str_of(text), MANIFEST_JSON, STR_NONE, NULL, &e);
    if (!v.manifest)
        v.broken = str_dup(str_of(e.text));
    free(text);
    return v;
}

static void app_load(struct app *a, json_t *doc)
{
    retire(a);
    app_clear(a);
    a->doc = doc;
    struct str deployed = doc_deployed(doc);
    a->versions = xcalloc(doc_count(doc), sizeof *a->versions);
    a->deployed = doc_count(doc);
    for (void *it = json_object_iter(manifests(doc)); it;
         it = json_object_iter_next(manifests(doc), it)) {
        struct app_version *v = &a->versions[a->nversions];
        *v = read_version(json_object_iter_key(it), json_object_iter_key_len(it),
                          json_object_iter_value(it));
        if (deployed.p && str_eq(v->name, deployed))
            a->deployed = a->nversions;
        a->nversions++;
    }
}

static int by_name(const struct app *a, const struct app *b)
{
    return strcmp(a->name, b->name);
}

static struct app *app_get(struct store *st, struct str name)
{
    struct app *a = store_find(st, name);
    if (a)
        return a;
    a = xnew(struct app);
    a->name = str_dup(name);
    HASH_ADD_KEYPTR_INORDER(hh, st->apps, a->name, name.n, a, by_name);
    return a;
}

/* The application of a key, when it is one of this lattice. */
static bool key_app(const struct store *st, struct str key, struct str *app)
{
    size_t n = strlen(st->s->lattice);
    if (key.n < n + 2 || memcmp(key.p, st->s->lattice, n) != 0 || key.p[n] != '-')
        return false;
    *app = str_sub(key, n + 1, key.n);
    return manifest_name_ok(*app);
}

static void on_put(struct store *st, struct str app, struct span value)
{
    struct err e = ERR_INIT;
    json_t *doc = doc_parse(value, &e);
    if (doc && !doc_is_of(doc, app)) {
        json_decref(doc);
        return;
    }
    if (!doc) {
        log_warn("stored application ignored", LS("app", app), LE(&e));
        return;
    }
    struct app *a = app_get(st, app);
    a->known = true;
    app_load(a, doc);
}

static void on_gone(struct store *st, struct str app)
{
    struct app *a = app_get(st, app); /* even when unknown: what carries its name is to go */
    retire(a);
    app_clear(a);
    a->known = true;
}

/* Applications that vanished without a word (the bucket was replaced) are left as they run. */
static void sweep(struct store *st)
{
    struct app *a, *next;
    HASH_ITER(hh, st->apps, a, next)
    {
        if (!a->known)
            store_forget(st, a);
    }
}

static void on_entry(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct store *st = user;
    struct str app;
    if (e) {
        st->ready = false;
        st->s->desired.valid = false;
        for (struct app *a = st->apps; a; a = a->hh.next)
            a->known = false;
        return;
    }
    if (!entry) {
        sweep(st);
        st->ready = true;
    } else if (!key_app(st, entry->key, &app)) {
        return;
    } else if (entry->op == KV_PUT) {
        on_put(st, app, entry->value);
    } else {
        on_gone(st, app);
    }
    scheduler_desires(st->s);
}

bool store_ready(const struct store *st)
{
    return st->ready;
}

struct app *store_first(const struct store *st)
{
    return st->apps;
}

struct app *store_find(const struct store *st, struct str app)
{
    struct app *a;
    MAP_FIND(st->apps, app, a);
    return a;
}

const struct manifest *store_deployed(const struct store *st, struct str app)
{
    const struct app *a = store_find(st, app);
    return a && a->deployed < a->nversions ? a->versions[a->deployed].manifest : NULL;
}

/* ---- reading and writing --------------------------------------------------------------------------- */

struct store_op {
    struct store *st;
    struct store_op *next, **at;
    char *app, *key;
    store_read_fn *read;
    store_write_fn *write;
    void *user;
    bool present; /* the name belongs into the index */
    uint32_t tries;
};

static struct store_op *op_new(struct store *st, struct str app, void *user)
{
    struct store_op *op = xnew(struct store_op);
    *op = (struct store_op){.st = st, .next = st->ops, .at = &st->ops, .user = user};
    op->app = str_dup(app);
    op->key = xasprintf("%s-%.*s", st->s->lattice, STR_ARG(app));
    if (op->next)
        op->next->at = &op->next;
    st->ops = op;
    return op;
}

static void op_free(struct store_op *op)
{
    *op->at = op->next;
    if (op->next)
        op->next->at = op->at;
    free(op->app);
    free(op->key);
    free(op);
}

static void read_end(struct store_op *op, json_t *doc, uint64_t revision, const struct err *e)
{
    store_read_fn *fn = op->read;
    void *user = op->user;
    op_free(op);
    fn(user, doc, revision, e);
}

static void on_read(void *user, const struct kv_entry *entry, const struct err *failed)
{
    struct store_op *op = user;
    struct err e = ERR_INIT;
    if (!entry) {
        read_end(op, NULL, 0, failed->code == ERR_NOT_FOUND ? NULL : failed);
        return;
    }
    json_t *doc = doc_parse(entry->value, &e);
    if (doc && !doc_is_of(doc, str_of(op->app))) {
        err_set(&e, ERR_EXISTS, "the key '%s' belongs to an application of another lattice",
                op->key);
        json_decref(doc);
        doc = NULL;
    }
    read_end(op, doc, doc ? entry->revision : 0, doc ? NULL : &e);
}

static bool no_bucket(struct err *e)
{
    return err_set(e, ERR_IO, "the manifest bucket is not open (is JetStream enabled?)");
}

bool store_read(struct store *st, struct str app, store_read_fn *fn, void *user, struct err *e)
{
    struct kv *kv = bucket_kv(st->bucket);
    if (!kv)
        return no_bucket(e);
    struct store_op *op = op_new(st, app, user);
    op->read = fn;
    if (kv_get(kv, str_of(op->key), on_read, op, e))
        return true;
    op_free(op);
    return false;
}

static void write_end(struct store_op *op, const struct err *e)
{
    store_write_fn *fn = op->write;
    void *user = op->user;
    op_free(op);
    fn(user, e);
}

static void index_update(struct store_op *op);

static void on_index_written(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct store_op *op = user;
    if (!entry && e->code == ERR_CONFLICT && ++op->tries < INDEX_TRIES)
        index_update(op);
    else
        write_end(op, NULL); /* ours is the watch, not the index: the change itself is done */
}

/* The list with or without the name; NULL: it is right already. */
static json_t *index_with(json_t *old, struct str app, bool present)
{
    json_t *list = json_array();
    bool found = false, placed = !present;
    for (size_t i = 0; i < json_array_size(old); i++) {
        json_t *item = json_array_get(old, i);
        struct str name = {json_string_value(item), json_string_length(item)};
        int order = str_cmp(name, app);
        found |= order == 0;
        if (!placed && order >= 0) {
            json_array_append_new(list, json_stringn(app.p, app.n));
            placed = true;
        }
        if (order != 0)
            json_array_append(list, item);
    }
    if (!placed)
        json_array_append_new(list, json_stringn(app.p, app.n));
    if (found != present)
        return list;
    json_decref(list);
    return NULL;
}

static void on_index_read(void *user, const struct kv_entry *entry, const struct err *failed)
{
    struct store_op *op = user;
    struct err e = ERR_INIT;
    if (!entry && failed->code != ERR_NOT_FOUND) {
        write_end(op, NULL);
        return;
    }
    json_t *old = entry ? json_loadb((const char *)entry->value.p, entry->value.n, 0, NULL) : NULL;
    json_t *list = index_with(old, str_of(op->app), op->present);
    char *text = list ? json_dumps(list, JSON_COMPACT) : NULL;
    bool sent = text && kv_update(bucket_kv(op->st->bucket), str_of(op->st->s->lattice),
                                  str_span(str_of(text)), entry ? entry->revision : 0,
                                  on_index_written, op, &e);
    free(text);
    json_decref(list);
    json_decref(old);
    if (!sent)
        write_end(op, NULL);
}

static void index_update(struct store_op *op)
{
    struct kv *kv = bucket_kv(op->st->bucket);
    struct err e = ERR_INIT;
    if (!kv || !kv_get(kv, str_of(op->st->s->lattice), on_index_read, op, &e))
        write_end(op, NULL);
}

static void on_written(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct store_op *op = user;
    if (entry)
        index_update(op);
    else
        write_end(op, e);
}

bool store_write(struct store *st, struct str app, json_t *doc, uint64_t revision,
                 store_write_fn *fn, void *user, struct err *e)
{
    struct kv *kv = bucket_kv(st->bucket);
    if (!kv)
        return no_bucket(e);
    AUTO_FREE char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
    size_t n = text ? strlen(text) : 0, max = bus_max_payload(st->s->bus);
    if (n > max)
        return err_set(
            e, ERR_LIMIT,
            "the application with all its versions takes %zu bytes, the server's limit is "
            "%zu: delete old versions",
            n, max);
    struct store_op *op = op_new(st, app, user);
    op->write = fn;
    op->present = doc != NULL;
    if (doc ? kv_update(kv, str_of(op->key), str_span(str_of(text)), revision, on_written, op, e)
            : kv_purge(kv, str_of(op->key), on_written, op, e))
        return true;
    op_free(op);
    return false;
}

/* ---- open, close ----------------------------------------------------------------------------------- */

struct store *store_open(struct scheduler *s)
{
    struct store *st = xnew(struct store);
    st->s = s;
    st->bucket = bucket_open(&(struct bucket_opts){
        .bus = s->bus, .name = s->bucket, .domain = s->domain, .watch = on_entry, .user = st});
    return st;
}

void store_close(struct store *st)
{
    if (!st)
        return;
    bucket_close(st->bucket); /* no callback from here on */
    while (st->ops)
        op_free(st->ops);
    while (st->apps)
        store_forget(st, st->apps);
    free(st);
}
