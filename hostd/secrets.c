/* SPDX-License-Identifier: Apache-2.0 */
/* Asking secrets backends: the key of a backend once, then one sealed question per secret, all at the same time.
 * Owns: the backends' keys, what is being asked.
 * Keeps: a question's key is made for it alone; the first failure ends the whole fetch; what a backend answers is in
 * memory that is overwritten before it is freed. */
#include "hostd/secrets.h"

#include <assert.h>
#include <stdatomic.h>
#include <utlist.h>

#include "lattice/base/alloc.h"
#include "lattice/base/map.h"
#include "lattice/base/num.h"
#include "lattice/bus/bus.h"
#include "lattice/id/id.h"

#define FETCH_BYTES_MAX (8u << 20) /* what one fetch asks, copied */
#define ANSWER_BYTES_MAX (8u << 20)
#define HEADER_HOST_KEY "WasmCloud-Host-Xkey"
#define HEADER_ANSWER_KEY "Server-Response-Xkey"

struct secret_set {
    atomic_uint refs;
    struct arena arena;
    struct proto_secrets all;
};

struct backend {
    UT_hash_handle hh;
    struct secrets *s;
    char *name;
    bool known;
    uint8_t key[ID_RAW_BYTES];
    struct bus_request *asking; /* for the key */
    struct ask *waiting;        /* until it is known */
};

/* One secret of a fetch. */
struct ask {
    struct ask *prev, *next; /* in waiting */
    struct secrets_fetch *fetch;
    struct backend *waits; /* for the key of that one; NULL: not any more */
    struct proto_secret_ref ref;
    struct id_key key;
    struct bus_request *request;
};

struct secrets_fetch {
    struct secrets_fetch *prev, *next;
    struct secrets *s;
    struct arena arena;
    struct secrets_who who;
    struct ask *asks;
    uint32_t n, open; /* open: not answered yet */
    struct secret_set *set;
    struct proto_secret *values; /* of the set; one per ask */
    secrets_fn *fn;
    void *user;
};

struct secrets {
    struct bus *ctl;
    char *topic, *host_jwt;
    struct backend *backends;
    struct secrets_fetch *fetches;
};

/* ---- sets ------------------------------------------------------------------------------------------ */

struct secret_set *secret_set_ref(struct secret_set *set)
{
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void secret_set_unref(struct secret_set *set)
{
    if (!set || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1)
        return;
    arena_wipe(&set->arena);
    free(set);
}

const struct proto_secrets *secret_set_all(const struct secret_set *set)
{
    return &set->all;
}

const struct proto_secret *secret_set_get(const struct secret_set *set, struct str name)
{
    for (uint32_t i = 0; i < set->all.n; i++) {
        if (str_eq(set->all.v[i].name, name))
            return &set->all.v[i];
    }
    return NULL;
}

/* ---- ends ------------------------------------------------------------------------------------------ */

static void backend_free(struct backend *b)
{
    bus_cancel(&b->asking);
    MAP_DEL(b->s->backends, b);
    free(b->name);
    free(b);
}

static void ask_end(struct ask *a)
{
    if (a->waits)
        DL_DELETE(a->waits->waiting, a);
    a->waits = NULL;
    bus_cancel(&a->request);
    id_key_fini(&a->key);
}

static void fetch_free(struct secrets_fetch *f)
{
    DL_DELETE(f->s->fetches, f);
    for (uint32_t i = 0; i < f->n; i++)
        ask_end(&f->asks[i]);
    secret_set_unref(f->set);
    arena_fini(&f->arena);
    free(f);
}

void secrets_cancel(struct secrets_fetch **f)
{
    if (*f)
        fetch_free(MOVE(*f));
}

static void fetch_end(struct secrets_fetch *f, const struct err *e)
{
    secrets_fn *fn = f->fn;
    void *user = f->user;
    struct secret_set *set = e ? NULL : MOVE(f->set);
    fetch_free(f);
    fn(user, set, e);
}

static void wrap(const struct ask *a, struct err *e)
{
    char name[80], backend[80];
    err_wrap(e, "secret \"%s\" of backend \"%s\"", str_escape(a->ref.name, name, sizeof name),
             str_escape(a->ref.backend, backend, sizeof backend));
}

static void ask_failed(struct ask *a, const struct err *why)
{
    struct err e = *why;
    wrap(a, &e);
    fetch_end(a->fetch, &e);
}

/* ---- an answer ------------------------------------------------------------------------------------- */

static const struct bus_header *header(const struct bus_msg *msg, struct str name)
{
    for (size_t i = 0; i < msg->nheaders; i++) {
        if (str_ieq(msg->headers[i].name, name))
            return &msg->headers[i];
    }
    return NULL;
}

/* The backend's own words: "Unauthorized", {"Other":"..."}. */
static bool refused(struct str error, struct err *e)
{
    char shown[300];
    return err_set(e, ERR_DENIED, "it refuses: %s", str_show(error, shown, sizeof shown));
}

/* Into the set; nothing of the text may show up in an error. Only errors may come in the open. */
static bool take(struct ask *a, struct span json, bool sealed, struct arena *scratch, struct err *e)
{
    struct err hidden = ERR_INIT;
    struct proto_secret_response r = {.secret = NULL};
    struct secrets_fetch *f = a->fetch;
    struct proto_secret *out = &f->values[a - f->asks];
    if (!proto_secret_response_decode(json, scratch, &r, &hidden))
        return err_set(e, ERR_PROTOCOL, "its answer cannot be read");
    if (!r.secret)
        return r.error.p ? refused(r.error, e) : err_set(e, ERR_NOT_FOUND, "it has none");
    if (!sealed)
        return err_set(e, ERR_PROTOCOL, "its answer is not sealed");
    struct proto_secret v = {.name = arena_str(&f->set->arena, a->ref.name)};
    if (r.secret->string_secret.p)
        v.string = arena_str(&f->set->arena, r.secret->string_secret);
    else if (r.secret->binary_secret.p)
        v.bytes = arena_span(&f->set->arena, r.secret->binary_secret);
    else
        return err_set(e, ERR_NOT_FOUND, "its answer holds no value");
    if (!v.name.p || (!v.string.p && !v.bytes.p))
        return arena_full(&f->set->arena, e);
    *out = v;
    return true;
}

static bool open_answer(struct ask *a, const struct bus_msg *msg, struct err *e)
{
    const struct bus_header *from = header(msg, STR(HEADER_ANSWER_KEY));
    struct buf plain = {.max = ANSWER_BYTES_MAX, .secret = true};
    uint8_t key[ID_RAW_BYTES];
    struct arena scratch;
    arena_init(&scratch, ANSWER_BYTES_MAX);
    bool ok;
    if (!from)
        ok = take(a, msg->data, false, &scratch, e);
    else
        ok = (id_xkey_parse(from->value, key, e) || err_wrap(e, HEADER_ANSWER_KEY)) &&
             id_open(&a->key, key, msg->data, &plain, e) &&
             take(a, buf_span(&plain), true, &scratch, e);
    arena_wipe(&scratch);
    buf_fini(&plain);
    return ok;
}

/* It may have another one by now. */
static void forget_key(struct secrets *s, struct str name)
{
    struct backend *b;
    MAP_FIND(s->backends, name, b);
    if (b)
        b->known = false;
}

/* Of several with one name the last one counts, and is the only one. */
static void drop_doubles(struct secrets_fetch *f)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        uint32_t later = i + 1;
        while (later < f->n && !str_eq(f->values[later].name, f->values[i].name))
            later++;
        if (later == f->n)
            f->values[n++] = f->values[i];
    }
    f->set->all.n = n;
}

static void on_answer(void *user, const struct bus_msg *msg, const struct err *why)
{
    struct ask *a = user;
    struct secrets_fetch *f = a->fetch;
    struct err e = ERR_INIT;
    a->request = NULL;
    bool ok = msg && open_answer(a, msg, &e);
    ask_end(a);
    if (!ok) {
        forget_key(f->s, a->ref.backend);
        ask_failed(a, msg ? &e : why);
    } else if (--f->open == 0) {
        drop_doubles(f);
        fetch_end(f, NULL);
    }
}

/* ---- a question ------------------------------------------------------------------------------------ */

static bool seal_question(struct ask *a, const struct backend *b, struct buf *out, struct err *e)
{
    const struct secrets_fetch *f = a->fetch;
    struct buf json = BUF_INIT;
    struct proto_secret_request q = {
        .key = a->ref.key,
        .field = a->ref.field,
        .version = a->ref.version,
        .context = {.entity_jwt = f->who.token,
                    .host_jwt = str_of(f->s->host_jwt),
                    .application = {.name = f->who.application, .policy = a->ref.policy}},
    };
    bool ok = proto_secret_request_encode(&q, &json, e) &&
              id_seal(&a->key, b->key, buf_span(&json), out, e);
    buf_fini(&json);
    return ok;
}

/* The backend's key is known. */
static bool ask(struct ask *a, const struct backend *b, struct err *e)
{
    struct secrets *s = a->fetch->s;
    char public_key[ID_PUBLIC_LEN + 1];
    struct buf body = BUF_INIT;
    struct proto_subject subject;
    id_key_generate(ID_CURVE, &a->key);
    struct bus_header h = {STR(HEADER_HOST_KEY), str_of(id_key_public(&a->key, public_key))};
    bool ok =
        seal_question(a, b, &body, e) &&
        proto_secrets_subject(str_of(s->topic), a->ref.backend, PROTO_SECRETS_GET, &subject, e) &&
        bus_request(s->ctl, proto_subject_str(&subject), &h, 1, buf_span(&body), SECRETS_TIMEOUT_MS,
                    on_answer, a, &a->request, e);
    buf_fini(&body);
    return ok;
}

/* ---- a backend's key ------------------------------------------------------------------------------- */

/* Whoever is told may end other fetches that wait, too. */
static void on_key(void *user, const struct bus_msg *msg, const struct err *why)
{
    struct backend *b = user;
    struct err e = ERR_INIT;
    b->asking = NULL;
    if (msg)
        b->known = id_xkey_parse(str_trim(span_str(msg->data)), b->key, &e);
    else
        e = *why;
    if (!b->known)
        err_wrap(&e, "ask for its key");
    while (b->waiting) {
        struct ask *a = b->waiting;
        struct err mine = e;
        DL_DELETE(b->waiting, a);
        a->waits = NULL;
        if (!b->known || !ask(a, b, &mine))
            ask_failed(a, &mine);
    }
    if (!b->known && !b->asking)
        backend_free(b);
}

static bool ask_for_key(struct backend *b, struct err *e)
{
    struct proto_subject subject;
    return b->asking ||
           (proto_secrets_subject(str_of(b->s->topic), str_of(b->name), PROTO_SECRETS_SERVER_XKEY,
                                  &subject, e) &&
            bus_request(b->s->ctl, proto_subject_str(&subject), NULL, 0, (struct span){0},
                        SECRETS_TIMEOUT_MS, on_key, b, &b->asking, e));
}

static struct backend *backend_get(struct secrets *s, struct str name, struct err *e)
{
    struct backend *b;
    MAP_FIND(s->backends, name, b);
    if (b)
        return b;
    if (HASH_COUNT(s->backends) >= SECRETS_BACKENDS_MAX) {
        err_set(e, ERR_LIMIT, "this host has asked %u backends already", SECRETS_BACKENDS_MAX);
        return NULL;
    }
    b = xnew(struct backend);
    b->s = s;
    b->name = str_dup(name);
    MAP_ADD(s->backends, str_of(b->name), b);
    return b;
}

static bool begin(struct ask *a, struct err *e)
{
    struct backend *b = backend_get(a->fetch->s, a->ref.backend, e);
    if (!b)
        return false;
    if (b->known)
        return ask(a, b, e);
    if (!ask_for_key(b, e)) {
        backend_free(b); /* nobody waits: it would be asking */
        return false;
    }
    DL_APPEND(b->waiting, a);
    a->waits = b;
    return true;
}

/* ---- fetches --------------------------------------------------------------------------------------- */

static bool copy_ref(struct arena *a, const struct proto_secret_ref *in,
                     struct proto_secret_ref *out)
{
    *out = (struct proto_secret_ref){.name = arena_str(a, in->name),
                                     .backend = arena_str(a, in->backend),
                                     .key = arena_str(a, in->key),
                                     .policy = arena_str(a, in->policy)};
    if (in->field.p)
        out->field = arena_str(a, in->field);
    if (in->version.p)
        out->version = arena_str(a, in->version);
    return out->name.p && out->backend.p && out->key.p && out->policy.p &&
           (out->field.p || !in->field.p) && (out->version.p || !in->version.p);
}

static bool fetch_fill(struct secrets_fetch *f, const struct secrets_who *who,
                       const struct proto_secret_ref *refs, uint32_t n, struct err *e)
{
    f->who.token = arena_str(&f->arena, who->token);
    if (who->application.p)
        f->who.application = arena_str(&f->arena, who->application);
    f->asks = arena_array(&f->arena, struct ask, n);
    f->values = arena_array(&f->set->arena, struct proto_secret, n);
    bool ok = f->who.token.p && (f->who.application.p || !who->application.p) && f->asks;
    if (!f->values)
        return arena_full(&f->set->arena, e);
    for (uint32_t i = 0; ok && i < n; i++)
        ok = copy_ref(&f->arena, &refs[i], &f->asks[i].ref);
    if (!ok)
        return arena_full(&f->arena, e);
    f->set->all = (struct proto_secrets){f->values, n};
    for (f->n = 0; f->n < n;) {
        struct ask *a = &f->asks[f->n++];
        a->fetch = f;
        f->open++;
        if (!begin(a, e)) {
            wrap(a, e);
            return false;
        }
    }
    return true;
}

bool secrets_fetch(struct secrets *s, const struct secrets_who *who,
                   const struct proto_secret_ref *refs, uint32_t n, secrets_fn *fn, void *user,
                   struct secrets_fetch **out, struct err *e)
{
    struct secrets_fetch *f = xnew(struct secrets_fetch);
    assert(n > 0);
    f->s = s;
    f->fn = fn;
    f->user = user;
    arena_init(&f->arena, FETCH_BYTES_MAX);
    f->set = xnew(struct secret_set);
    f->set->refs = 1;
    arena_init(&f->set->arena, SECRETS_BYTES_MAX);
    DL_APPEND(s->fetches, f);
    if (!fetch_fill(f, who, refs, n, e)) {
        fetch_free(f);
        return false;
    }
    *out = f;
    return true;
}

/* ---- life ------------------------------------------------------------------------------------------ */

struct secrets *secrets_open(const struct secrets_opts *opts)
{
    struct secrets *s = xnew(struct secrets);
    s->ctl = opts->ctl;
    s->topic = str_dup(opts->topic);
    s->host_jwt = str_dup(opts->host_jwt);
    return s;
}

void secrets_close(struct secrets *s)
{
    struct backend *b, *next;
    if (!s)
        return;
    while (s->fetches)
        fetch_free(s->fetches);
    HASH_ITER(hh, s->backends, b, next)
    backend_free(b);
    free(s->topic);
    free(s->host_jwt);
    free(s);
}
