/* SPDX-License-Identifier: Apache-2.0 */
/* Key-value buckets as plain requests to JetStream: a bucket is the stream KV_{bucket}, a key the subject
 * $KV.{bucket}.{key}, its value the last message there, its revision that message's sequence number. A deletion
 * is a message with the header KV-Operation.
 * Owns: struct kv, its calls (one write or read each, in flight). Watches: kv_watch.c.
 * Works with servers from 2.9; what it needs of a bucket is what every client creates. */
#include "lattice/bus/bus_int.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include "lattice/base/alloc.h"
#include "lattice/base/base64.h"
#include "lattice/base/num.h"

#define JS_STREAM_NOT_FOUND 10059
#define JS_STREAM_NAME_IN_USE 10058
#define JS_WRONG_LAST_SEQUENCE 10071
#define DUPLICATE_WINDOW_MS 120000

enum call_kind { CALL_GET, CALL_PUT, CALL_UPDATE, CALL_CREATE, CALL_DELETE, CALL_PURGE };

struct kv_call {
    struct kv *kv;
    struct kv_call *next, **at;
    enum call_kind kind;
    char *key;
    struct bus_copy *value; /* CALL_CREATE: kept for the second attempt */
    kv_done_fn *fn;
    void *user;
    struct bus_request *request;
};

struct opening {
    struct kv *kv;
    struct kv_opts opts; /* without its strings */
    kv_open_fn *fn;
    void *user;
    bool created;
};

/* ---- names ---------------------------------------------------------------------------------------- */

bool kv_key_ok(struct str key)
{
    if (key.n == 0 || key.n > BUS_SUBJECT_MAX / 2 || key.p[0] == '.' || key.p[key.n - 1] == '.')
        return false;
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (c == '\0' || !strchr("-/_=.", c)))
            return false;
    }
    return true;
}

static bool name_ok(struct str s)
{
    if (s.n > KV_NAME_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && c != '-' && c != '_')
            return false;
    }
    return true;
}

bool kv_key_of(const struct kv *kv, struct str subject, struct str *key)
{
    struct str prefix = str_of(kv->subject);
    if (!str_starts(subject, prefix))
        return false;
    *key = str_sub(subject, prefix.n, subject.n);
    return true;
}

enum kv_op kv_op_of(const struct bus_msg *m)
{
    struct str op = bus_header(m, "KV-Operation");
    return str_eqz(op, "DEL") ? KV_DELETE : str_eqz(op, "PURGE") ? KV_PURGE : KV_PUT;
}

struct str kv_bucket(const struct kv *kv)
{
    return str_of(kv->bucket);
}

/* ---- the JetStream API ---------------------------------------------------------------------------- */

bool kv_api(struct kv *kv, json_t *body, bus_reply_fn *fn, void *user, struct bus_request **out,
            struct err *e, const char *fmt, ...)
{
    char subject[BUS_SUBJECT_MAX + 1];
    size_t prefix = strlen(kv->api);
    memcpy(subject, kv->api, prefix);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(subject + prefix, sizeof subject - prefix, fmt, args);
    va_end(args);
    AUTO_FREE char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (n < 0 || (size_t)n >= sizeof subject - prefix)
        return err_set(e, ERR_LIMIT, "subject longer than %d bytes", BUS_SUBJECT_MAX);
    return bus_request(kv->bus, str_of(subject), NULL, 0, str_span(str_of(text)), KV_API_TIMEOUT_MS,
                       fn, user, out, e);
}

static enum err_code code_of(int err_code, int http_code)
{
    if (err_code == JS_WRONG_LAST_SEQUENCE)
        return ERR_CONFLICT;
    if (http_code == 404)
        return ERR_NOT_FOUND;
    return http_code == 503 ? ERR_IO : ERR_PEER;
}

json_t *kv_answer(const struct bus_msg *m, int *err_code, struct err *e)
{
    json_error_t je;
    *err_code = 0;
    json_t *answer = json_loadb((const char *)m->data.p, m->data.n, JSON_REJECT_DUPLICATES, &je);
    if (!json_is_object(answer)) {
        json_decref(answer);
        err_set(e, ERR_PROTOCOL, "JetStream's answer is not a JSON object");
        return NULL;
    }
    json_t *error = json_object_get(answer, "error");
    if (!error)
        return answer;
    char text[200];
    const char *description = json_string_value(json_object_get(error, "description"));
    *err_code = (int)json_integer_value(json_object_get(error, "err_code"));
    err_set(e, code_of(*err_code, (int)json_integer_value(json_object_get(error, "code"))),
            "JetStream says: %s",
            str_escape(str_of(description ? description : "error"), text, sizeof text));
    json_decref(answer);
    return NULL;
}

/* ---- opening -------------------------------------------------------------------------------------- */

static void kv_free(struct kv *kv)
{
    bus_unlisten(kv->bus, &kv->listener);
    free(kv);
}

static void open_end(struct opening *o, struct err *e)
{
    struct opening done = *o;
    free(o);
    if (!e) {
        done.fn(done.user, done.kv, NULL);
        return;
    }
    if (e->code == ERR_NO_RESPONDERS)
        err_set(
            e, ERR_NO_RESPONDERS,
            "the NATS server has no JetStream: start it with -js (or check the JetStream domain)");
    err_wrap(e, "open bucket '%s'", done.kv->bucket);
    kv_free(done.kv);
    done.fn(done.user, NULL, e);
}

static bool ask_info(struct opening *o, struct err *e);
static bool ask_create(struct opening *o, struct err *e);

static void on_stream(void *user, const struct bus_msg *m, const struct err *failed)
{
    struct opening *o = user;
    struct err e = *failed;
    int err_code = 0;
    json_t *answer = m ? kv_answer(m, &err_code, &e) : NULL;
    if (answer) {
        json_t *config = json_object_get(answer, "config");
        o->kv->direct = json_is_true(json_object_get(config, "allow_direct"));
        json_decref(answer);
        open_end(o, NULL);
        return;
    }
    bool asked = false;
    if (err_code == JS_STREAM_NOT_FOUND && o->opts.create && !o->created)
        asked = ask_create(o, &e);
    else if (err_code == JS_STREAM_NAME_IN_USE && o->created) /* somebody else was faster */
        asked = ask_info(o, &e);
    if (!asked)
        open_end(o, &e);
}

static bool ask_info(struct opening *o, struct err *e)
{
    o->created = false;
    return kv_api(o->kv, NULL, on_stream, o, NULL, e, "STREAM.INFO.KV_%s", o->kv->bucket);
}

static bool ask_create(struct opening *o, struct err *e)
{
    const struct kv_opts *w = &o->opts;
    char name[KV_NAME_MAX + 8], subjects[KV_NAME_MAX + 16];
    snprintf(name, sizeof name, "KV_%s", o->kv->bucket);
    snprintf(subjects, sizeof subjects, "%s>", o->kv->subject);
    uint64_t window_ms =
        w->ttl_ms ? MIN(w->ttl_ms, (uint64_t)DUPLICATE_WINDOW_MS) : DUPLICATE_WINDOW_MS;
    o->created = true;
    json_t *config = json_pack(
        "{s:s, s:[s], s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:i, s:b, s:b, s:b, s:b}",
        "name", name, "subjects", subjects, "retention", "limits", "storage",
        w->in_memory ? "memory" : "file", "discard", "new", "max_msgs_per_subject",
        w->history ? w->history : 1, "max_msgs", -1, "max_bytes", -1, "max_msg_size", -1,
        "max_consumers", -1, "max_age", (json_int_t)(w->ttl_ms * 1000000), "duplicate_window",
        (json_int_t)(window_ms * 1000000), "num_replicas", w->replicas ? w->replicas : 1,
        "allow_rollup_hdrs", 1, "deny_delete", 1, "deny_purge", 0, "allow_direct", 1);
    assert(config);
    return kv_api(o->kv, config, on_stream, o, NULL, e, "STREAM.CREATE.%s", name);
}

bool kv_open(struct bus *b, const struct kv_opts *opts, kv_open_fn *fn, void *user, struct err *e)
{
    loop_assert(b->loop);
    char text[64];
    if (opts->bucket.n == 0 || !name_ok(opts->bucket))
        return err_set(e, ERR_INVALID,
                       "'%s' is not a bucket name: only A-Z a-z 0-9 - _ are allowed",
                       str_escape(opts->bucket, text, sizeof text));
    if (!name_ok(opts->js_domain))
        return err_set(e, ERR_INVALID, "'%s' is not a JetStream domain",
                       str_escape(opts->js_domain, text, sizeof text));
    if (opts->ttl_ms > INT64_MAX / 1000000)
        return err_set(e, ERR_LIMIT, "bucket TTL of %" PRIu64 " ms is too long", opts->ttl_ms);
    struct kv *kv = xnew(struct kv);
    kv->bus = b;
    snprintf(kv->bucket, sizeof kv->bucket, "%.*s", STR_ARG(opts->bucket));
    snprintf(kv->subject, sizeof kv->subject, "$KV.%s.", kv->bucket);
    if (opts->js_domain.n) {
        snprintf(kv->api, sizeof kv->api, "$JS.%.*s.API.", STR_ARG(opts->js_domain));
        snprintf(kv->put, sizeof kv->put, "%s%s", kv->api, kv->subject);
    } else {
        snprintf(kv->api, sizeof kv->api, "$JS.API.");
        snprintf(kv->put, sizeof kv->put, "%s", kv->subject);
    }
    kv->listener = (struct bus_listener){.fn = kv_watches_on_state, .user = kv};
    bus_listen(b, &kv->listener);
    struct opening *o = xnew(struct opening);
    *o = (struct opening){.kv = kv, .opts = *opts, .fn = fn, .user = user};
    if (ask_info(o, e))
        return true;
    kv_free(kv);
    free(o);
    return false;
}

static void call_free(struct kv_call *c);

void kv_close(struct kv *kv)
{
    if (!kv)
        return;
    loop_assert(kv->bus->loop);
    while (kv->calls)
        call_free(kv->calls);
    while (kv->watches)
        kv_watch_close(kv->watches);
    kv_free(kv);
}

/* ---- calls ---------------------------------------------------------------------------------------- */

static void call_free(struct kv_call *c)
{
    bus_cancel(&c->request);
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    free(c->value);
    free(c->key);
    free(c);
}

/* The callback may close the bucket, so the call is taken out of it first. */
static void call_end(struct kv_call *c, const struct kv_entry *found, struct err *e)
{
    kv_done_fn *fn = c->fn;
    void *user = c->user;
    if (found) {
        AUTO_FREE char *key = MOVE(c->key);
        struct kv_entry entry = *found;
        entry.key = str_of(key);
        call_free(c);
        fn(user, &entry, NULL);
        return;
    }
    err_wrap(e, "bucket '%s', key '%s'", c->kv->bucket, c->key);
    call_free(c);
    fn(user, NULL, e);
}

static void on_pub_ack(void *user, const struct bus_msg *m, const struct err *failed);

static bool call_publish(struct kv_call *c, const struct bus_header *headers, size_t nheaders,
                         struct span value, struct err *e)
{
    AUTO_FREE char *subject = xasprintf("%s%s", c->kv->put, c->key);
    return bus_request(c->kv->bus, str_of(subject), headers, nheaders, value, KV_API_TIMEOUT_MS,
                       on_pub_ack, c, &c->request, e);
}

static bool call_publish_expecting(struct kv_call *c, struct span value, uint64_t revision,
                                   struct err *e)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, revision);
    const struct bus_header expect = {STR("Nats-Expected-Last-Subject-Sequence"), str_of(text)};
    return call_publish(c, &expect, 1, value, e);
}

static bool call_get(struct kv_call *c, struct err *e);

static void on_pub_ack(void *user, const struct bus_msg *m, const struct err *failed)
{
    struct kv_call *c = user;
    struct err e = *failed;
    int err_code = 0;
    c->request = NULL;
    json_t *answer = m ? kv_answer(m, &err_code, &e) : NULL;
    if (answer) {
        struct kv_entry entry = {.revision =
                                     (uint64_t)json_integer_value(json_object_get(answer, "seq"))};
        json_decref(answer);
        call_end(c, &entry, NULL);
        return;
    }
    /* creating a key whose last message is a deletion: look which, and try on top of that, once */
    if (err_code == JS_WRONG_LAST_SEQUENCE && c->kind == CALL_CREATE && c->value && call_get(c, &e))
        return;
    call_end(c, NULL, &e);
}

/* What a get found, or e. */
static void on_found(struct kv_call *c, struct kv_entry *entry, struct err *e)
{
    if (c->kind == CALL_CREATE) {
        struct bus_copy *value = MOVE(c->value);
        uint64_t revision = entry ? entry->revision : 0;
        bool free_key = entry ? entry->op != KV_PUT : e->code == ERR_NOT_FOUND;
        bool asked = false;
        if (free_key)
            asked = call_publish_expecting(c, value->msg.data, revision, e);
        else if (entry)
            err_set(e, ERR_CONFLICT, "there is a value already, revision %" PRIu64, revision);
        free(value);
        if (!asked)
            call_end(c, NULL, e);
    } else if (entry && entry->op != KV_PUT) {
        err_set(e, ERR_NOT_FOUND, "deleted");
        call_end(c, NULL, e);
    } else {
        call_end(c, entry, e);
    }
}

static void on_direct_get(void *user, const struct bus_msg *m, const struct err *failed)
{
    struct kv_call *c = user;
    struct err e = *failed;
    struct kv_entry entry = {0};
    c->request = NULL;
    bool found = false;
    if (m && m->status == 404)
        err_set(&e, ERR_NOT_FOUND, "no such key");
    else if (m && !str_u64(bus_header(m, "Nats-Sequence"), &entry.revision))
        err_set(&e, ERR_PROTOCOL, "JetStream's answer has no Nats-Sequence");
    else
        found = m != NULL;
    if (found) {
        entry.value = m->data;
        entry.op = kv_op_of(m);
    }
    on_found(c, found ? &entry : NULL, &e);
}

/* A bucket made without direct gets: the message comes as JSON, header block and value in base64. */
static void on_stored_get(void *user, const struct bus_msg *m, const struct err *failed)
{
    struct kv_call *c = user;
    struct err e = *failed;
    int err_code;
    c->request = NULL;
    json_t *answer = m ? kv_answer(m, &err_code, &e) : NULL;
    json_t *stored = json_object_get(answer, "message");
    struct kv_entry entry = {0};
    const char *data = json_string_value(json_object_get(stored, "data"));
    const char *hdrs = json_string_value(json_object_get(stored, "hdrs"));
    AUTO_FREE char *value = str_dup(str_of(data));
    AUTO_FREE char *block = str_dup(str_of(hdrs));
    entry.revision = (uint64_t)json_integer_value(json_object_get(stored, "seq"));
    entry.value =
        (struct span){(const uint8_t *)value, base64_decode(BASE64_STANDARD, str_of(value), value)};
    size_t block_n = base64_decode(BASE64_STANDARD, str_of(block), block);
    bool ok = answer && stored && entry.value.n != SIZE_MAX && block_n != SIZE_MAX;
    if (ok && memmem(block, block_n, "KV-Operation: DEL\r\n", 19))
        entry.op = KV_DELETE;
    if (ok && memmem(block, block_n, "KV-Operation: PURGE\r\n", 21))
        entry.op = KV_PURGE;
    if (answer && !ok)
        err_set(&e, ERR_PROTOCOL, "JetStream's answer is not a stored message");
    on_found(c, ok ? &entry : NULL, &e);
    json_decref(answer);
}

static bool call_get(struct kv_call *c, struct err *e)
{
    struct kv *kv = c->kv;
    if (kv->direct)
        return kv_api(kv, NULL, on_direct_get, c, &c->request, e, "DIRECT.GET.KV_%s.%s%s",
                      kv->bucket, kv->subject, c->key);
    AUTO_FREE char *subject = xasprintf("%s%s", kv->subject, c->key);
    json_t *body = json_pack("{s:s}", "last_by_subj", subject);
    return kv_api(kv, body, on_stored_get, c, &c->request, e, "STREAM.MSG.GET.KV_%s", kv->bucket);
}

static bool call_send(struct kv_call *c, struct span value, uint64_t revision, struct err *e)
{
    static const struct bus_header purge[] = {{STR_INIT("KV-Operation"), STR_INIT("PURGE")},
                                              {STR_INIT("Nats-Rollup"), STR_INIT("sub")}};
    static const struct bus_header delete = {STR_INIT("KV-Operation"), STR_INIT("DEL")};
    switch (c->kind) {
    case CALL_GET:
        return call_get(c, e);
    case CALL_PUT:
        return call_publish(c, NULL, 0, value, e);
    case CALL_CREATE:
        c->value = bus_copy_new(&(struct bus_msg){.data = value});
        return call_publish_expecting(c, value, 0, e);
    case CALL_UPDATE:
        return call_publish_expecting(c, value, revision, e);
    case CALL_DELETE:
        return call_publish(c, &delete, 1, value, e);
    case CALL_PURGE:
        break;
    }
    return call_publish(c, purge, 2, value, e);
}

static bool call_start(struct kv *kv, enum call_kind kind, struct str key, struct span value,
                       uint64_t revision, kv_done_fn *fn, void *user, struct err *e)
{
    loop_assert(kv->bus->loop);
    char text[96];
    if (!kv_key_ok(key))
        return err_set(e, ERR_INVALID,
                       "'%s' is not a key of a bucket: use A-Z a-z 0-9 and - / _ = .",
                       str_escape(key, text, sizeof text));
    struct kv_call *c = xnew(struct kv_call);
    *c = (struct kv_call){.kv = kv, .kind = kind, .fn = fn, .user = user, .key = str_dup(key)};
    c->next = kv->calls;
    c->at = &kv->calls;
    if (c->next)
        c->next->at = &c->next;
    kv->calls = c;
    if (call_send(c, value, revision, e))
        return true;
    err_wrap(e, "bucket '%s', key '%s'", kv->bucket, c->key);
    call_free(c);
    return false;
}

#define NO_VALUE ((struct span){NULL, 0})

bool kv_get(struct kv *kv, struct str key, kv_done_fn *fn, void *user, struct err *e)
{
    return call_start(kv, CALL_GET, key, NO_VALUE, 0, fn, user, e);
}

bool kv_put(struct kv *kv, struct str key, struct span value, kv_done_fn *fn, void *user,
            struct err *e)
{
    return call_start(kv, CALL_PUT, key, value, 0, fn, user, e);
}

bool kv_update(struct kv *kv, struct str key, struct span value, uint64_t revision, kv_done_fn *fn,
               void *user, struct err *e)
{
    return call_start(kv, revision ? CALL_UPDATE : CALL_CREATE, key, value, revision, fn, user, e);
}

bool kv_delete(struct kv *kv, struct str key, kv_done_fn *fn, void *user, struct err *e)
{
    return call_start(kv, CALL_DELETE, key, NO_VALUE, 0, fn, user, e);
}

bool kv_purge(struct kv *kv, struct str key, kv_done_fn *fn, void *user, struct err *e)
{
    return call_start(kv, CALL_PURGE, key, NO_VALUE, 0, fn, user, e);
}
