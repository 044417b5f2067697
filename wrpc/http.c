/* SPDX-License-Identifier: Apache-2.0 */
/* wrpc:http@0.1.0 root bytes. Requests and responses are written by hand, straight from the plain structs, since this
 * is the path of every HTTP request; reading goes through the codec, which has done the checking then.
 * Keeps: one entry per header name, lower case, with all its values: peers refuse a request with two. */
#include "wrpc/http.h"

#include <assert.h>
#include <pthread.h>
#include "lattice/base/num.h"

/* ---- types ---- */

const char http_plain_types_wit[] =
    "variant method { get, head, post, put, delete, connect, options, trace, patch, other(string) "
    "}\n"
    "variant scheme { HTTP, HTTPS, other(string) }\n"
    "record DNS-error-payload { rcode: option<string>, info-code: option<u16> }\n"
    "record TLS-alert-received-payload { alert-id: option<u8>, alert-message: option<string> }\n"
    "record field-size-payload { field-name: option<string>, field-size: option<u32> }\n"
    "variant error-code {\n"
    "  DNS-timeout, DNS-error(DNS-error-payload), destination-not-found, destination-unavailable,\n"
    "  destination-IP-prohibited, destination-IP-unroutable, connection-refused,\n"
    "  connection-terminated, connection-timeout, connection-read-timeout,\n"
    "  connection-write-timeout, connection-limit-reached, TLS-protocol-error,\n"
    "  TLS-certificate-error, TLS-alert-received(TLS-alert-received-payload),\n"
    "  HTTP-request-denied, HTTP-request-length-required, HTTP-request-body-size(option<u64>),\n"
    "  HTTP-request-method-invalid, HTTP-request-URI-invalid, HTTP-request-URI-too-long,\n"
    "  HTTP-request-header-section-size(option<u32>),\n"
    "  HTTP-request-header-size(option<field-size-payload>),\n"
    "  HTTP-request-trailer-section-size(option<u32>),\n"
    "  HTTP-request-trailer-size(field-size-payload), HTTP-response-incomplete,\n"
    "  HTTP-response-header-section-size(option<u32>),\n"
    "  HTTP-response-header-size(field-size-payload), HTTP-response-body-size(option<u64>),\n"
    "  HTTP-response-trailer-section-size(option<u32>),\n"
    "  HTTP-response-trailer-size(field-size-payload),\n"
    "  HTTP-response-transfer-coding(option<string>),\n"
    "  HTTP-response-content-coding(option<string>), HTTP-response-timeout, HTTP-upgrade-failed,\n"
    "  HTTP-protocol-error, loop-detected, configuration-error, internal-error(option<string>),\n"
    "}\n"
    "variant header-error { invalid-syntax, forbidden, immutable }\n"
    "type field-key = string;\n"
    "type field-name = field-key;\n"
    "type field-value = list<u8>;\n"
    "type status-code = u16;\n";

/* What wrpc:http adds: resources of wasi:http as plain records. */
static const char wire_wit[] =
    "type fields = list<tuple<string, list<list<u8>>>>;\n"
    "type trailers = option<fields>;\n"
    "record request { body: stream<u8>, trailers: future<trailers>, method: method,\n"
    "  path-with-query: option<string>, scheme: option<scheme>, authority: option<string>,\n"
    "  headers: fields }\n"
    "record response { body: stream<u8>, trailers: future<trailers>, status: u16,\n"
    "  headers: fields }\n"
    "record request-options { connect-timeout: option<u64>, first-byte-timeout: option<u64>,\n"
    "  between-bytes-timeout: option<u64> }\n"
    "type handle-result = result<response, error-code>;\n";

/* Fields of the records, by position. */
enum {
    REQUEST_BODY,
    REQUEST_TRAILERS,
    REQUEST_METHOD,
    REQUEST_PATH,
    REQUEST_SCHEME,
    REQUEST_AUTHORITY,
    REQUEST_HEADERS
};
enum { RESPONSE_BODY, RESPONSE_TRAILERS, RESPONSE_STATUS, RESPONSE_HEADERS };

static struct http_types types;
static const struct wit_type *trailers_type;
static pthread_once_t types_once = PTHREAD_ONCE_INIT;

static void make_types(void)
{
    static struct arena forever;
    struct err e = ERR_INIT;
    struct buf text = BUF_INIT;
    arena_init(&forever, 1 << 20);
    buf_str(&text, str_of(http_plain_types_wit));
    buf_str(&text, str_of(wire_wit));
    const struct wit_iface *i =
        wit_parse(&forever, STR("wrpc:http/types@0.1.0"), buf_view(&text), NULL, 0, &e);
    assert(i);
    buf_fini(&text);
    trailers_type = wit_iface_type(i, STR("trailers"));
    types = (struct http_types){
        .fields = wit_iface_type(i, STR("fields")),
        .request = wit_iface_type(i, STR("request")),
        .response = wit_iface_type(i, STR("response")),
        .options = wit_iface_type(i, STR("request-options")),
        .method = wit_iface_type(i, STR("method")),
        .scheme = wit_iface_type(i, STR("scheme")),
        .error_code = wit_iface_type(i, STR("error-code")),
        .handle_result = wit_iface_type(i, STR("handle-result")),
    };
    assert(types.error_code->ncases == HTTP_ERROR_COUNT);
}

const struct http_types *http_types_get(void)
{
    pthread_once(&types_once, make_types);
    return &types;
}

const char *http_error_name(enum http_error_code code)
{
    static const char *const names[] = {
#define X(id, text) [HTTP_##id] = text,
        HTTP_ERRORS(X)
#undef X
    };
    assert(code < HTTP_ERROR_COUNT);
    return names[code];
}

enum http_error_code http_error_find(const char *name)
{
    enum http_error_code code = HTTP_DNS_TIMEOUT;
    while (code < HTTP_INTERNAL_ERROR && strcmp(http_error_name(code), name) != 0)
        code++;
    return code;
}

/* Cases before `other`, in order. */
static const struct str methods[] = {
    STR_INIT("GET"),     STR_INIT("HEAD"),   STR_INIT("POST"),
    STR_INIT("PUT"),     STR_INIT("DELETE"), STR_INIT("CONNECT"),
    STR_INIT("OPTIONS"), STR_INIT("TRACE"),  STR_INIT("PATCH"),
};
static const struct str schemes[] = {STR_INIT("http"), STR_INIT("https")};

/* ---- writing ---- */

static void put_str(struct buf *out, struct str s)
{
    buf_leb_u64(out, s.n);
    buf_str(out, s);
}

static void put_option(struct buf *out, struct str s)
{
    buf_byte(out, s.n > 0);
    if (s.n)
        put_str(out, s);
}

static void put_method(struct buf *out, struct str method)
{
    uint8_t i = 0;
    while (i < ARRAY_LEN(methods) && !str_eq(methods[i], method))
        i++;
    buf_byte(out, i);
    if (i == ARRAY_LEN(methods))
        put_str(out, method);
}

static void put_scheme(struct buf *out, struct str scheme)
{
    uint8_t i = 0;
    buf_byte(out, scheme.n > 0);
    if (!scheme.n)
        return;
    while (i < ARRAY_LEN(schemes) && !str_ieq(schemes[i], scheme))
        i++;
    buf_byte(out, i);
    if (i == ARRAY_LEN(schemes))
        put_str(out, scheme);
}

static void put_lower(struct buf *out, struct str s)
{
    buf_leb_u64(out, s.n);
    uint8_t *p = buf_grow(out, s.n);
    for (size_t i = 0; p && i < s.n; i++)
        p[i] = (uint8_t)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] | 0x20 : s.p[i]);
}

/* Which fields share a name: the first of them stands for all. */
struct merged {
    uint32_t hash[HTTP_FIELDS_MAX]; /* of the name in lower case, nearly */
    uint16_t first[HTTP_FIELDS_MAX];
    uint16_t values[HTTP_FIELDS_MAX]; /* of first ones */
    size_t entries;
};

static uint32_t name_hash(struct str name)
{
    uint32_t h = 0;
    for (size_t i = 0; i < name.n; i++)
        h = h * 31 + ((uint8_t)name.p[i] | 0x20u);
    return h;
}

/* Quadratic in the number of fields, which HTTP_FIELDS_MAX keeps harmless. */
static void merge(const struct http_field *f, size_t n, struct merged *m)
{
    m->entries = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        m->hash[i] = name_hash(f[i].name);
        while (k < i && (m->hash[k] != m->hash[i] || !str_ieq(f[k].name, f[i].name)))
            k++;
        m->first[i] = (uint16_t)k;
        m->values[i] = 0;
        m->values[k]++;
        m->entries += k == i;
    }
}

static bool put_fields(struct buf *out, const struct http_field *f, size_t n, struct err *e)
{
    struct merged m;
    if (n > HTTP_FIELDS_MAX)
        return err_set(e, ERR_LIMIT, "%zu header fields, limit is %d", n, HTTP_FIELDS_MAX);
    merge(f, n, &m);
    buf_leb_u64(out, m.entries);
    for (size_t i = 0; i < n; i++) {
        if (m.first[i] != i)
            continue;
        put_lower(out, f[i].name);
        buf_leb_u64(out, m.values[i]);
        put_str(out, f[i].value);
        for (size_t k = i + 1; m.values[i] > 1 && k < n; k++)
            if (m.first[k] == i)
                put_str(out, f[k].value);
    }
    return buf_ok(out, e);
}

/* Body and trailers travel on their own channels. */
static void put_pending_body(struct buf *out)
{
    buf_byte(out, 0);
    buf_byte(out, 0);
}

bool http_request_encode(const struct http_request *r, struct buf *out, struct err *e)
{
    put_pending_body(out);
    put_method(out, r->method);
    put_option(out, r->path_with_query);
    put_scheme(out, r->scheme);
    put_option(out, r->authority);
    return put_fields(out, r->fields, r->nfields, e);
}

bool http_response_encode(const struct http_response *r, struct buf *out, struct err *e)
{
    buf_byte(out, 0); /* ok */
    put_pending_body(out);
    buf_leb_u64(out, r->status);
    return put_fields(out, r->fields, r->nfields, e);
}

void http_response_join(struct span response, struct span body, struct span trailers,
                        struct buf *out)
{
    assert(response.n > 3 && response.p[0] == 0 && body.n && trailers.n);
    buf_byte(out, 0); /* ok */
    buf_leb_u64(out, body.n);
    buf_put(out, body.p, body.n);
    buf_byte(out, 1); /* ready */
    buf_put(out, trailers.p, trailers.n);
    buf_put(out, response.p + 3, response.n - 3);
}

/* A payload that was left out: every payload is an option, or a record of options; all are none. */
static void put_empty_payload(struct buf *out, const struct wit_type *t)
{
    for (uint32_t i = 0; i < (t->kind == WIT_RECORD ? t->ncases : 1); i++)
        buf_byte(out, 0);
}

bool http_error_encode(const struct http_error *x, struct buf *out, struct err *e)
{
    const struct wit_type *payload = http_types_get()->error_code->cases[x->code].type;
    buf_byte(out, 1); /* err */
    buf_leb_u64(out, x->code);
    if (payload && x->payload.v)
        return wit_encode(&payload, &x->payload, 1, out, NULL, e);
    if (x->code == HTTP_INTERNAL_ERROR)
        put_option(out, x->text);
    else if (payload)
        put_empty_payload(out, payload);
    return buf_ok(out, e);
}

bool http_trailers_encode(const struct http_field *fields, size_t nfields, struct buf *out,
                          struct err *e)
{
    buf_byte(out, nfields > 0);
    return nfields ? put_fields(out, fields, nfields, e) : buf_ok(out, e);
}

/* ---- reading ---- */

/* Names in order, the last case being other(string). */
static struct str get_name(const struct wit_value *v, const struct str *names, size_t n)
{
    return v->n < n ? names[v->n] : wit_get_str(v->v);
}

static struct str get_option(const struct wit_value *v)
{
    return v->n ? wit_get_str(v->v) : STR_NONE;
}

/* One field per value, from one entry per name. */
static bool get_fields(const struct wit_value *entries, struct arena *a,
                       const struct http_field **fields, size_t *nfields, struct err *e)
{
    size_t n = 0;
    for (uint32_t i = 0; i < entries->n; i++)
        n += entries->v[i].v[1].n;
    struct http_field *f = arena_array(a, struct http_field, n);
    if (!f)
        return arena_full(a, e);
    *fields = f;
    *nfields = n;
    for (uint32_t i = 0; i < entries->n; i++) {
        const struct wit_value *name = &entries->v[i].v[0], *values = &entries->v[i].v[1];
        for (uint32_t k = 0; k < values->n; k++)
            *f++ = (struct http_field){wit_get_str(name), wit_get_str(&values->v[k])};
    }
    return true;
}

static bool check_pending(const struct wit_value *request, struct err *e)
{
    if (request->v[REQUEST_BODY].n != WIT_READY && request->v[REQUEST_TRAILERS].n != WIT_READY)
        return true;
    return err_set(e, ERR_UNSUPPORTED, "a body inside the message instead of on its own channel");
}

bool http_request_decode(struct span in, struct arena *a, struct http_request *out, struct err *e)
{
    const struct wit_type *t = http_types_get()->request;
    struct wit_pendings pend;
    struct wit_value v;
    struct http_request r = {.nfields = 0};
    size_t used;
    if (!wit_decode(&t, 1, in, a, &v, &used, &pend, e) || !check_pending(&v, e) ||
        !get_fields(&v.v[REQUEST_HEADERS], a, &r.fields, &r.nfields, e))
        return false;
    const struct wit_value *scheme = &v.v[REQUEST_SCHEME];
    r.method = get_name(&v.v[REQUEST_METHOD], methods, ARRAY_LEN(methods));
    r.scheme = scheme->n ? get_name(scheme->v, schemes, ARRAY_LEN(schemes)) : STR_NONE;
    r.authority = get_option(&v.v[REQUEST_AUTHORITY]);
    r.path_with_query = get_option(&v.v[REQUEST_PATH]);
    *out = r;
    return true;
}

/* option<fields> */
static bool get_trailers(const struct wit_value *v, struct arena *a,
                         const struct http_field **fields, size_t *n, struct err *e)
{
    *fields = NULL;
    *n = 0;
    return v->n == 0 || get_fields(v->v, a, fields, n, e);
}

static bool get_response(const struct wit_value *v, struct arena *a, struct http_response *out,
                         struct err *e)
{
    struct http_response r = {.status = (uint16_t)v->v[RESPONSE_STATUS].u64};
    if (r.status < 100 || r.status > 999)
        return err_set(e, ERR_INVALID, "HTTP status %u", r.status);
    const struct wit_value *body = &v->v[RESPONSE_BODY], *trailers = &v->v[RESPONSE_TRAILERS];
    if (body->n == WIT_READY)
        r.body = (struct span){body->p, body->aux};
    r.trailers_ready = trailers->n == WIT_READY;
    if (!get_fields(&v->v[RESPONSE_HEADERS], a, &r.fields, &r.nfields, e) ||
        (r.trailers_ready && !get_trailers(trailers->v, a, &r.trailers, &r.ntrailers, e)))
        return false;
    *out = r;
    return true;
}

static void get_error(const struct wit_value *v, struct http_error *out)
{
    *out = (struct http_error){.code = (enum http_error_code)v->n};
    if (v->v)
        out->payload = *v->v;
    if (out->code == HTTP_INTERNAL_ERROR)
        out->text = get_option(&out->payload);
}

bool http_result_decode(struct span in, struct arena *a, struct http_response *response,
                        struct http_error *error, bool *is_error, struct err *e)
{
    const struct wit_type *t = http_types_get()->handle_result;
    struct wit_pendings pend;
    struct wit_value v;
    size_t used;
    if (!wit_decode(&t, 1, in, a, &v, &used, &pend, e))
        return false;
    if (v.n)
        get_error(v.v, error);
    else if (!get_response(v.v, a, response, e))
        return false;
    *is_error = v.n;
    return true;
}

bool http_trailers_decode(struct span in, struct arena *a, const struct http_field **fields,
                          size_t *nfields, struct err *e)
{
    http_types_get();
    struct wit_value v;
    size_t used;
    if (!wit_decode(&trailers_type, 1, in, a, &v, &used, NULL, e))
        return false;
    return get_trailers(&v, a, fields, nfields, e);
}
