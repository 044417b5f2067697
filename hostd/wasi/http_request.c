/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:http/types and wasi:http/outgoing-handler: their texts and rows, and the requests that a guest prepares
 * (http_fetch.c makes them). Spec: wasi:http 0.2. */
#include "hostd/wasi/wasi_int.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define TEXT_BYTES_MAX 65536u /* path, authority, scheme or method */

void wasi_outgoing_request_free(struct wasi_outgoing_request *r)
{
    wasi_fields_release(r->headers);
    wasi_outbody_release(r->body);
    free(r->method);
    free(r->scheme);
    free(r->authority);
    free(r->path_with_query);
    free(r);
}

static void request_drop(void *user, void *obj)
{
    (void)user;
    wasi_outgoing_request_free(obj);
}
const struct comp_class wasi_outgoing_request_class = {"outgoing-request", request_drop};

/* ---- outgoing-request ---- */

static enum comp_host_status request_new(struct comp_host_call *hc, const struct wit_value *args,
                                         struct wit_value *result)
{
    struct wasi_outgoing_request *r = xnew(struct wasi_outgoing_request);
    *r = (struct wasi_outgoing_request){.method = str_dup(STR("GET")),
                                        .headers = wasi_fields_take(args[0].obj)};
    *result = wasi_own(hc, &wasi_outgoing_request_class, r);
    return wasi_done(hc);
}

static enum comp_host_status request_body(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    struct wasi_outgoing_request *r = args[0].obj;
    bool has_length;
    uint64_t length;
    if (r->body || !wasi_fields_length(r->headers, &has_length, &length)) {
        *result = WASI_ERR;
        return wasi_done(hc);
    }
    r->body = wasi_outbody_new(wasi_of(hc), true);
    r->body->has_length = has_length;
    r->body->length = length;
    *result = wasi_ok(hc, wasi_own(hc, &wasi_outgoing_body_class, wasi_outbody_hold(r->body)));
    return wasi_done(hc);
}

static enum comp_host_status request_headers(struct comp_host_call *hc,
                                             const struct wit_value *args, struct wit_value *result)
{
    const struct wasi_outgoing_request *r = args[0].obj;
    *result = wasi_fields_own(hc, wasi_fields_hold(r->headers));
    return wasi_done(hc);
}

/* Text that may stand in a request line: no blanks or control bytes. */
static bool text_ok(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    return s.n <= TEXT_BYTES_MAX;
}

/* Replaces *text; the answer is a bare result. */
static enum comp_host_status set_text(struct comp_host_call *hc, char **text, bool some,
                                      struct str s, struct wit_value *result)
{
    bool ok = !some || text_ok(s);
    if (ok) {
        free(*text);
        *text = some ? str_dup(s) : NULL;
    }
    *result = ok ? WASI_OK : WASI_ERR;
    return wasi_done(hc);
}

static enum comp_host_status request_method(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    const struct wasi_outgoing_request *r = args[0].obj;
    *result = wasi_method_value(hc, r->method);
    return wasi_done(hc);
}

static enum comp_host_status request_set_method(struct comp_host_call *hc,
                                                const struct wit_value *args,
                                                struct wit_value *result)
{
    struct wasi_outgoing_request *r = args[0].obj;
    struct str method = wasi_method_text(&args[1]);
    if (method.n == 0) {
        *result = WASI_ERR;
        return wasi_done(hc);
    }
    return set_text(hc, &r->method, true, method, result);
}

static enum comp_host_status request_scheme(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    const struct wasi_outgoing_request *r = args[0].obj;
    *result = r->scheme ? wasi_some(hc, wasi_scheme_value(hc, r->scheme)) : WASI_NONE;
    return wasi_done(hc);
}

static enum comp_host_status request_set_scheme(struct comp_host_call *hc,
                                                const struct wit_value *args,
                                                struct wit_value *result)
{
    struct wasi_outgoing_request *r = args[0].obj;
    struct str scheme = args[1].n ? wasi_scheme_text(args[1].v) : STR_NONE;
    return set_text(hc, &r->scheme, args[1].n, scheme, result);
}

static enum comp_host_status request_path(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    const struct wasi_outgoing_request *r = args[0].obj;
    *result = wasi_optional_text(hc, r->path_with_query);
    return wasi_done(hc);
}

static enum comp_host_status
request_set_path(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    struct wasi_outgoing_request *r = args[0].obj;
    struct str path = args[1].n ? wit_get_str(args[1].v) : STR_NONE;
    return set_text(hc, &r->path_with_query, args[1].n, path, result);
}

static enum comp_host_status
request_authority(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    const struct wasi_outgoing_request *r = args[0].obj;
    *result = wasi_optional_text(hc, r->authority);
    return wasi_done(hc);
}

static enum comp_host_status request_set_authority(struct comp_host_call *hc,
                                                   const struct wit_value *args,
                                                   struct wit_value *result)
{
    struct wasi_outgoing_request *r = args[0].obj;
    struct str authority = args[1].n ? wit_get_str(args[1].v) : STR_NONE;
    return set_text(hc, &r->authority, args[1].n, authority, result);
}

/* ---- request-options ---- */

static void options_drop(void *user, void *obj)
{
    (void)user;
    free(obj);
}
const struct comp_class wasi_request_options_class = {"request-options", options_drop};

static enum comp_host_status options_new(struct comp_host_call *hc, const struct wit_value *args,
                                         struct wit_value *result)
{
    (void)args;
    *result = wasi_own(hc, &wasi_request_options_class, xnew(struct wasi_request_options));
    return wasi_done(hc);
}

static enum comp_host_status get_timeout(struct comp_host_call *hc, const struct wit_value *args,
                                         struct wit_value *result, enum wasi_timeout which)
{
    const struct wasi_request_options *o = args[0].obj;
    *result = o->timeouts[which].set ? wasi_some(hc, wit_u64(o->timeouts[which].ns)) : WASI_NONE;
    return wasi_done(hc);
}

static enum comp_host_status set_timeout(struct comp_host_call *hc, const struct wit_value *args,
                                         struct wit_value *result, enum wasi_timeout which)
{
    struct wasi_request_options *o = args[0].obj;
    o->timeouts[which].set = args[1].n;
    o->timeouts[which].ns = args[1].n ? args[1].v->u64 : 0;
    *result = WASI_OK;
    return wasi_done(hc);
}

#define TIMEOUT_FUNCS(name, which)                                                         \
    static enum comp_host_status get_##name(                                               \
        struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result) \
    {                                                                                      \
        return get_timeout(hc, args, result, which);                                       \
    }                                                                                      \
    static enum comp_host_status set_##name(                                               \
        struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result) \
    {                                                                                      \
        return set_timeout(hc, args, result, which);                                       \
    }
TIMEOUT_FUNCS(connect, TIMEOUT_CONNECT)
TIMEOUT_FUNCS(first_byte, TIMEOUT_FIRST_BYTE)
TIMEOUT_FUNCS(between_bytes, TIMEOUT_BETWEEN_BYTES)
#undef TIMEOUT_FUNCS

/* ---- errors ---- */

static enum comp_host_status http_error_code(struct comp_host_call *hc,
                                             const struct wit_value *args, struct wit_value *result)
{
    const struct wasi_error *error = args[0].obj;
    *result = error->http_code == WASI_NO_HTTP_CODE
                  ? WASI_NONE
                  : wasi_some(hc, wasi_http_code(hc, error->http_code, error->http_size));
    return wasi_done(hc);
}

/* ---- rows ---- */

/* Behind the plain types of wrpc/http.h. */
static const char types_wit[] =
    "use wasi:clocks/monotonic-clock.{duration};\n"
    "use wasi:io/streams.{input-stream, output-stream};\n"
    "use wasi:io/error.{error as io-error};\n"
    "use wasi:io/poll.{pollable};\n"
    "resource fields {\n"
    "  constructor();\n"
    "  from-list: static func(entries: list<tuple<field-name, field-value>>)\n"
    "    -> result<fields, header-error>;\n"
    "  get: func(name: field-name) -> list<field-value>;\n"
    "  has: func(name: field-name) -> bool;\n"
    "  set: func(name: field-name, value: list<field-value>) -> result<_, header-error>;\n"
    "  delete: func(name: field-name) -> result<_, header-error>;\n"
    "  append: func(name: field-name, value: field-value) -> result<_, header-error>;\n"
    "  entries: func() -> list<tuple<field-name, field-value>>;\n"
    "  clone: func() -> fields;\n"
    "}\n"
    "type headers = fields;\n"
    "type trailers = fields;\n"
    "resource incoming-request {\n"
    "  method: func() -> method;\n"
    "  path-with-query: func() -> option<string>;\n"
    "  scheme: func() -> option<scheme>;\n"
    "  authority: func() -> option<string>;\n"
    "  headers: func() -> headers;\n"
    "  consume: func() -> result<incoming-body>;\n"
    "}\n"
    "resource outgoing-request {\n"
    "  constructor(headers: headers);\n"
    "  body: func() -> result<outgoing-body>;\n"
    "  method: func() -> method;\n"
    "  set-method: func(method: method) -> result;\n"
    "  path-with-query: func() -> option<string>;\n"
    "  set-path-with-query: func(path-with-query: option<string>) -> result;\n"
    "  scheme: func() -> option<scheme>;\n"
    "  set-scheme: func(scheme: option<scheme>) -> result;\n"
    "  authority: func() -> option<string>;\n"
    "  set-authority: func(authority: option<string>) -> result;\n"
    "  headers: func() -> headers;\n"
    "}\n"
    "resource request-options {\n"
    "  constructor();\n"
    "  connect-timeout: func() -> option<duration>;\n"
    "  set-connect-timeout: func(duration: option<duration>) -> result;\n"
    "  first-byte-timeout: func() -> option<duration>;\n"
    "  set-first-byte-timeout: func(duration: option<duration>) -> result;\n"
    "  between-bytes-timeout: func() -> option<duration>;\n"
    "  set-between-bytes-timeout: func(duration: option<duration>) -> result;\n"
    "}\n"
    "resource response-outparam {\n"
    "  send-informational: func(status: u16, headers: headers) -> result<_, error-code>;\n"
    "  set: static func(param: response-outparam, response: result<outgoing-response, "
    "error-code>);\n"
    "}\n"
    "resource incoming-response {\n"
    "  status: func() -> status-code;\n"
    "  headers: func() -> headers;\n"
    "  consume: func() -> result<incoming-body>;\n"
    "}\n"
    "resource incoming-body {\n"
    "  %stream: func() -> result<input-stream>;\n"
    "  finish: static func(this: incoming-body) -> future-trailers;\n"
    "}\n"
    "resource future-trailers {\n"
    "  subscribe: func() -> pollable;\n"
    "  get: func() -> option<result<result<option<trailers>, error-code>>>;\n"
    "}\n"
    "resource outgoing-response {\n"
    "  constructor(headers: headers);\n"
    "  status-code: func() -> status-code;\n"
    "  set-status-code: func(status-code: status-code) -> result;\n"
    "  headers: func() -> headers;\n"
    "  body: func() -> result<outgoing-body>;\n"
    "}\n"
    "resource outgoing-body {\n"
    "  write: func() -> result<output-stream>;\n"
    "  finish: static func(this: outgoing-body, trailers: option<trailers>) -> result<_, "
    "error-code>;\n"
    "}\n"
    "resource future-incoming-response {\n"
    "  subscribe: func() -> pollable;\n"
    "  get: func() -> option<result<result<incoming-response, error-code>>>;\n"
    "}\n"
    "http-error-code: func(err: borrow<io-error>) -> option<error-code>;\n";

static const struct comp_host_func request_funcs[] = {
    {"[constructor]outgoing-request", request_new},
    {"[method]outgoing-request.body", request_body},
    {"[method]outgoing-request.headers", request_headers},
    {"[method]outgoing-request.method", request_method},
    {"[method]outgoing-request.set-method", request_set_method},
    {"[method]outgoing-request.scheme", request_scheme},
    {"[method]outgoing-request.set-scheme", request_set_scheme},
    {"[method]outgoing-request.path-with-query", request_path},
    {"[method]outgoing-request.set-path-with-query", request_set_path},
    {"[method]outgoing-request.authority", request_authority},
    {"[method]outgoing-request.set-authority", request_set_authority},
    {"[constructor]request-options", options_new},
    {"[method]request-options.connect-timeout", get_connect},
    {"[method]request-options.set-connect-timeout", set_connect},
    {"[method]request-options.first-byte-timeout", get_first_byte},
    {"[method]request-options.set-first-byte-timeout", set_first_byte},
    {"[method]request-options.between-bytes-timeout", get_between_bytes},
    {"[method]request-options.set-between-bytes-timeout", set_between_bytes},
    {"http-error-code", http_error_code},
    {NULL, NULL},
};

static const char handler_wit[] =
    "use wasi:http/types.{outgoing-request, request-options, future-incoming-response, "
    "error-code};\n"
    "handle: func(request: outgoing-request, options: option<request-options>)\n"
    "  -> result<future-incoming-response, error-code>;\n";

static const struct wasi_row rows[] = {
    {"wasi:http/types@0.2.12",
     {http_plain_types_wit, types_wit},
     {wasi_fields_funcs, wasi_incoming_funcs, wasi_outgoing_funcs, wasi_body_funcs, request_funcs,
      wasi_fetch_funcs},
     NULL},
    {"wasi:http/outgoing-handler@0.2.12", {handler_wit}, {wasi_handler_funcs}, NULL},
};
const struct wasi_rows wasi_http_rows = {rows, ARRAY_LEN(rows)};
