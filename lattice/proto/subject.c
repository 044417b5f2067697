/* SPDX-License-Identifier: Apache-2.0 */
/* Every subject, bucket and key name but those of calls: built and taken apart here, spelled nowhere else.
 * Keeps: what a builder returned is one well-formed subject whose variable parts are single tokens, so that no id can
 * widen a subscription or reach another lattice. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "lattice/base/num.h"
#include "lattice/proto/service.h"

/* Fixed heads; the control and manifest ones are only defaults. */
#define EVENT_HEAD "wasmbus.evt"
#define RPC_HEAD "wasmbus.rpc"
#define WADM_EVENT_HEAD "wadm.evt"
#define WADM_STATUS_HEAD "wadm.status"
#define CTL_VERSION "v1"
#define SECRETS_VERSION "v1alpha1"
#define BUCKET_LATTICE "LATTICEDATA_"
#define BUCKET_CONFIG "CONFIGDATA_"
#define KEY_SPEC "COMPONENT_"
#define KEY_CLAIMS "CLAIMS_"

/* ---- tokens ---------------------------------------------------------------------------------------- */

bool proto_token_ok(struct str s)
{
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c == 0x7f || c == '.' || c == '*' || c == '>')
            return false;
    }
    return true;
}

bool proto_lattice_ok(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return s.n > 0;
}

bool proto_is_secret(struct str config_name)
{
    return str_starts(config_name, STR("SECRET"));
}

static bool check_token(struct str s, const char *what, struct err *e)
{
    char shown[80];
    if (proto_token_ok(s))
        return true;
    return err_set(
        e, ERR_INVALID,
        "%s \"%s\" is not usable in a subject: it must not be empty and must not contain "
        "dots, blanks, '*' or '>'",
        what, str_escape(s, shown, sizeof shown));
}

/* The prefixes come from the operator and may have several tokens. */
static bool check_prefix(struct str s, struct err *e)
{
    struct str token;
    while (str_cut(&s, '.', &token)) {
        if (!check_token(token, "subject prefix part", e))
            return false;
    }
    return true;
}

__attribute__((format(printf, 3, 4))) static bool put(struct proto_subject *out, struct err *e,
                                                      const char *fmt, ...)
{
    struct proto_subject s;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(s.text, sizeof s.text, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof s.text)
        return err_set(e, ERR_LIMIT, "subject is longer than %zu bytes", sizeof s.text - 1);
    s.n = (size_t)n;
    *out = s;
    return true;
}

static struct str ctl_prefix(const struct proto_space *space)
{
    return space->ctl_prefix.n ? space->ctl_prefix : STR(PROTO_CTL_PREFIX);
}

static struct str api_prefix(const struct proto_space *space)
{
    return space->api_prefix.n ? space->api_prefix : STR(PROTO_API_PREFIX);
}

/* ---- control interface ----------------------------------------------------------------------------- */

static const struct op_row {
    struct str text;
    bool has_arg;
} op_rows[PROTO_OP_COUNT] = {
#define X(name, text, arg) {STR_INIT(text), arg},
    PROTO_OPS(X)
#undef X
};

bool proto_ctl_subject(const struct proto_space *space, enum proto_op op, struct str arg,
                       struct proto_subject *out, struct err *e)
{
    assert(op < PROTO_OP_COUNT);
    struct str prefix = ctl_prefix(space);
    if (!check_prefix(prefix, e) || !check_token(space->lattice, "lattice", e))
        return false;
    if (!op_rows[op].has_arg)
        return put(out, e, "%.*s." CTL_VERSION ".%.*s.%.*s", STR_ARG(prefix),
                   STR_ARG(space->lattice), STR_ARG(op_rows[op].text));
    return check_token(arg, "name", e) &&
           put(out, e, "%.*s." CTL_VERSION ".%.*s.%.*s.%.*s", STR_ARG(prefix),
               STR_ARG(space->lattice), STR_ARG(op_rows[op].text), STR_ARG(arg));
}

/* Cuts "head." off the front of *s. */
static bool cut_head(struct str *s, struct str head)
{
    if (!str_starts(*s, head) || s->n <= head.n || s->p[head.n] != '.')
        return false;
    *s = str_sub(*s, head.n + 1, s->n);
    return true;
}

enum proto_op proto_ctl_parse(const struct proto_space *space, struct str subject, struct str *arg)
{
    struct str rest = subject, version, lattice, noun, verb, name = STR(""), excess;
    *arg = STR("");
    if (!cut_head(&rest, ctl_prefix(space)) || !str_cut(&rest, '.', &version) ||
        !str_cut(&rest, '.', &lattice))
        return PROTO_OP_UNKNOWN;
    struct str tail = rest;
    if (!str_cut(&rest, '.', &noun) || !str_cut(&rest, '.', &verb))
        return PROTO_OP_UNKNOWN;
    bool has_arg = str_cut(&rest, '.', &name);
    if (str_cut(&rest, '.', &excess))
        return PROTO_OP_UNKNOWN;
    struct str text = str_sub(tail, 0, noun.n + 1 + verb.n);
    for (uint32_t op = 0; op < PROTO_OP_COUNT; op++) {
        if (op_rows[op].has_arg == has_arg && str_eq(op_rows[op].text, text)) {
            *arg = name;
            return (enum proto_op)op;
        }
    }
    return PROTO_OP_UNKNOWN;
}

/* What a host listens to: text behind the lattice, does the host id follow, queue group behind the lattice. */
static const struct sub_row {
    const char *text;
    bool host;
    const char *queue;
    enum proto_op op;
} sub_rows[] = {
    {"registry.put", false, NULL, PROTO_OP_UNKNOWN},
    {"host.ping", false, NULL, PROTO_OP_UNKNOWN},
    {"host.*", true, NULL, PROTO_OP_UNKNOWN},
    {"component.auction", false, NULL, PROTO_COMPONENT_AUCTION},
    {"component.*", true, NULL, PROTO_OP_UNKNOWN},
    {"provider.auction", false, NULL, PROTO_PROVIDER_AUCTION},
    {"provider.*", true, NULL, PROTO_OP_UNKNOWN},
    {"label.*", true, NULL, PROTO_OP_UNKNOWN},
    {"link.*", false, "link", PROTO_OP_UNKNOWN},
    {"claims.get", false, "claims", PROTO_OP_UNKNOWN},
    {"config.>", false, "config", PROTO_OP_UNKNOWN},
};

uint32_t proto_ctl_nsubs(void)
{
    return (uint32_t)ARRAY_LEN(sub_rows);
}

bool proto_ctl_sub(const struct proto_space *space, uint32_t i, struct str host_id,
                   struct proto_subject *subject, struct proto_subject *queue, enum proto_op *op,
                   struct err *e)
{
    assert(i < ARRAY_LEN(sub_rows));
    const struct sub_row *row = &sub_rows[i];
    struct str prefix = ctl_prefix(space);
    struct proto_subject s, q = {.n = 0};
    if (!check_prefix(prefix, e) || !check_token(space->lattice, "lattice", e) ||
        !check_token(host_id, "host id", e))
        return false;
    struct str tail = row->host ? host_id : STR("");
    if (!put(&s, e, "%.*s." CTL_VERSION ".%.*s.%s%s%.*s", STR_ARG(prefix), STR_ARG(space->lattice),
             row->text, row->host ? "." : "", STR_ARG(tail)))
        return false;
    if (row->queue && !put(&q, e, "%.*s." CTL_VERSION ".%.*s.%s", STR_ARG(prefix),
                           STR_ARG(space->lattice), row->queue))
        return false;
    *subject = s;
    *queue = q;
    *op = row->op;
    return true;
}

/* ---- events ---------------------------------------------------------------------------------------- */

static const char *const event_names[PROTO_EVENT_COUNT] = {
#define X(name, text, shape) text,
    PROTO_EVENTS(X)
#undef X
};

const char *proto_event_name(enum proto_event_kind kind)
{
    return kind < PROTO_EVENT_COUNT ? event_names[kind] : "unknown";
}

bool proto_event_subject(struct str lattice, enum proto_event_kind kind, struct proto_subject *out,
                         struct err *e)
{
    assert(kind < PROTO_EVENT_COUNT);
    return check_token(lattice, "lattice", e) &&
           put(out, e, EVENT_HEAD ".%.*s.%s", STR_ARG(lattice), event_names[kind]);
}

bool proto_events_subject(struct str lattice, struct proto_subject *out, struct err *e)
{
    return check_token(lattice, "lattice", e) &&
           put(out, e, EVENT_HEAD ".%.*s.>", STR_ARG(lattice));
}

/* ---- host to provider ------------------------------------------------------------------------------ */

static const char *const rpc_tails[] = {
    [PROTO_RPC_LINK_PUT] = "linkdefs.put",     [PROTO_RPC_LINK_DEL] = "linkdefs.del",
    [PROTO_RPC_CONFIG] = "config.update",      [PROTO_RPC_HEALTH] = "health",
    [PROTO_RPC_SHUTDOWN] = "default.shutdown",
};

bool proto_rpc_subject(struct str lattice, struct str token, enum proto_rpc what,
                       struct proto_subject *out, struct err *e)
{
    assert(what < ARRAY_LEN(rpc_tails));
    return check_token(lattice, "lattice", e) && check_token(token, "provider id", e) &&
           put(out, e, RPC_HEAD ".%.*s.%.*s.%s", STR_ARG(lattice), STR_ARG(token), rpc_tails[what]);
}

/* ---- secrets backends ------------------------------------------------------------------------------ */

static const char *const secrets_tails[] = {
    [PROTO_SECRETS_SERVER_XKEY] = "server_xkey",
    [PROTO_SECRETS_GET] = "get",
};

bool proto_topic_ok(struct str topic)
{
    struct str token;
    if (topic.n == 0)
        return false;
    while (str_cut(&topic, '.', &token)) {
        if (!proto_lattice_ok(token))
            return false;
    }
    return true;
}

bool proto_secrets_subject(struct str topic, struct str backend, enum proto_secrets_op what,
                           struct proto_subject *out, struct err *e)
{
    assert(what < ARRAY_LEN(secrets_tails));
    return check_prefix(topic, e) && check_token(backend, "backend", e) &&
           put(out, e, "%.*s." SECRETS_VERSION ".%.*s.%s", STR_ARG(topic), STR_ARG(backend),
               secrets_tails[what]);
}

/* ---- lattice data ---------------------------------------------------------------------------------- */

static bool bucket(const char *head, struct str lattice, struct proto_subject *out, struct err *e)
{
    char shown[80];
    if (!proto_lattice_ok(lattice))
        return err_set(
            e, ERR_INVALID,
            "lattice \"%s\" cannot name a bucket: only letters, digits, '-' and '_' may be "
            "used",
            str_escape(lattice, shown, sizeof shown));
    return put(out, e, "%s%.*s", head, STR_ARG(lattice));
}

bool proto_bucket_lattice(struct str lattice, struct proto_subject *out, struct err *e)
{
    return bucket(BUCKET_LATTICE, lattice, out, e);
}

bool proto_bucket_config(struct str lattice, struct proto_subject *out, struct err *e)
{
    return bucket(BUCKET_CONFIG, lattice, out, e);
}

static bool key(const char *head, struct str id, struct proto_subject *out, struct err *e)
{
    char shown[80];
    if (!proto_token_ok(id) || !kv_key_ok(id))
        return err_set(
            e, ERR_INVALID,
            "\"%s\" cannot be an id: only letters, digits, '-', '_', '/' and '=' may be used",
            str_escape(id, shown, sizeof shown));
    return put(out, e, "%s%.*s", head, STR_ARG(id));
}

bool proto_key_spec(struct str id, struct proto_subject *out, struct err *e)
{
    return key(KEY_SPEC, id, out, e);
}

bool proto_key_claims(struct str public_key, struct proto_subject *out, struct err *e)
{
    return key(KEY_CLAIMS, public_key, out, e);
}

enum proto_key proto_key_parse(struct str k, struct str *id)
{
    static const struct key_row {
        struct str head;
        enum proto_key key;
    } rows[] = {
        {STR_INIT(KEY_SPEC), PROTO_KEY_SPEC},
        {STR_INIT(KEY_CLAIMS), PROTO_KEY_CLAIMS},
        {STR_INIT("LINKDEF_"), PROTO_KEY_LEGACY},
        {STR_INIT("REFMAP_"), PROTO_KEY_LEGACY},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (str_starts(k, rows[i].head) && k.n > rows[i].head.n) {
            *id = str_sub(k, rows[i].head.n, k.n);
            return rows[i].key;
        }
    }
    *id = STR("");
    return PROTO_KEY_UNKNOWN;
}

/* ---- manifest API ---------------------------------------------------------------------------------- */

#define API_QUEUE "wadm_server"

enum name_rule { NAME_NEVER, NAME_MAY, NAME_MUST };

static const struct api_row {
    struct str text;
    enum name_rule name;
} api_rows[PROTO_API_OP_COUNT] = {
#define X(name, text, app) {STR_INIT(text), NAME_##app},
    PROTO_API_OPS(X)
#undef X
};

static bool name_allowed(enum proto_api_op op, bool has_name)
{
    return has_name ? api_rows[op].name != NAME_NEVER : api_rows[op].name != NAME_MUST;
}

bool proto_api_subject(const struct proto_space *space, enum proto_api_op op, struct str app,
                       struct proto_subject *out, struct err *e)
{
    assert(op < PROTO_API_OP_COUNT);
    assert(name_allowed(op, app.n > 0) || app.n == 0);
    struct str prefix = api_prefix(space), text = api_rows[op].text;
    if (!check_prefix(prefix, e) || !check_token(space->lattice, "lattice", e))
        return false;
    if (app.n == 0 && api_rows[op].name != NAME_MUST)
        return put(out, e, "%.*s.%.*s.model.%.*s", STR_ARG(prefix), STR_ARG(space->lattice),
                   STR_ARG(text));
    return check_token(app, "application name", e) &&
           put(out, e, "%.*s.%.*s.model.%.*s.%.*s", STR_ARG(prefix), STR_ARG(space->lattice),
               STR_ARG(text), STR_ARG(app));
}

bool proto_api_sub(const struct proto_space *space, struct proto_subject *out, struct str *queue,
                   struct err *e)
{
    struct str prefix = api_prefix(space);
    if (!check_prefix(prefix, e) || !check_token(space->lattice, "lattice", e) ||
        !put(out, e, "%.*s.%.*s.>", STR_ARG(prefix), STR_ARG(space->lattice)))
        return false;
    *queue = STR(API_QUEUE);
    return true;
}

enum proto_api_op proto_api_parse(const struct proto_space *space, struct str subject,
                                  struct str *app)
{
    struct str rest = subject, lattice, model, verb, name = STR(""), excess;
    *app = STR("");
    if (!cut_head(&rest, api_prefix(space)) || !str_cut(&rest, '.', &lattice) ||
        !str_cut(&rest, '.', &model) || !str_cut(&rest, '.', &verb) ||
        !str_eq(lattice, space->lattice) || !str_eqz(model, "model"))
        return PROTO_API_UNKNOWN;
    bool has_name = str_cut(&rest, '.', &name);
    if (str_cut(&rest, '.', &excess))
        return PROTO_API_UNKNOWN;
    for (uint32_t op = 0; op < PROTO_API_OP_COUNT; op++) {
        if (str_eq(api_rows[op].text, verb) && name_allowed((enum proto_api_op)op, has_name)) {
            *app = name;
            return (enum proto_api_op)op;
        }
    }
    return PROTO_API_UNKNOWN;
}

bool proto_api_status_subject(struct str lattice, struct str app, struct proto_subject *out,
                              struct err *e)
{
    return check_token(lattice, "lattice", e) && check_token(app, "application name", e) &&
           put(out, e, WADM_STATUS_HEAD ".%.*s.%.*s", STR_ARG(lattice), STR_ARG(app));
}

bool proto_api_event_subject(struct str lattice, enum proto_api_event what,
                             struct proto_subject *out, struct err *e)
{
    return check_token(lattice, "lattice", e) &&
           put(out, e, WADM_EVENT_HEAD ".%.*s.%s", STR_ARG(lattice),
               what == PROTO_API_PUBLISHED ? "manifest_published" : "manifest_unpublished");
}
