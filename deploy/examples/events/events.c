/* SPDX-License-Identifier: Apache-2.0 */
/* Takes JSON events of game clients and writes each to a topic of a message database, over its REST interface:
 *   OPTIONS /events   what a browser asks first        POST /events   one event, up to 60,000 bytes
 * Answers 202 when the database took it, 502 with {"error": ...} when not, always with CORS headers.
 * Configuration: `authority` (HOST[:PORT], reached by HTTPS), `topic`, `user` and `password` (Basic), `origin` (of the
 * web pages that may ask). No libc; imports are the canonical ABI's flattened forms. Built by tests/guests/build. */
#include <stddef.h>
#include <stdint.h>

#define TYPES "wasi:http/types@0.2.2"
#define STREAMS "wasi:io/streams@0.2.2"
#define POLL "wasi:io/poll@0.2.2"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

typedef int32_t handle_t;

IMPORT("wasi:config/store@0.2.0-draft", "get") void config_get(const char *key, size_t key_n, void *ret);
IMPORT(TYPES, "[constructor]fields") handle_t fields_new(void);
IMPORT(TYPES, "[method]fields.append")
void fields_append(handle_t fields, const char *name, size_t name_n, const char *value, size_t value_n, void *ret);
IMPORT(TYPES, "[method]incoming-request.method") void request_method(handle_t request, void *ret);
IMPORT(TYPES, "[method]incoming-request.consume") void request_consume(handle_t request, void *ret);
IMPORT(TYPES, "[method]incoming-body.stream") void incoming_stream(handle_t body, void *ret);
IMPORT(TYPES, "[constructor]outgoing-request") handle_t outgoing_new(handle_t fields);
IMPORT(TYPES, "[method]outgoing-request.set-method")
int32_t outgoing_set_method(handle_t r, int32_t kind, const char *p, size_t n);
IMPORT(TYPES, "[method]outgoing-request.set-authority")
int32_t outgoing_set_authority(handle_t r, int32_t some, const char *p, size_t n);
IMPORT(TYPES, "[method]outgoing-request.set-path-with-query")
int32_t outgoing_set_path(handle_t r, int32_t some, const char *p, size_t n);
IMPORT(TYPES, "[method]outgoing-request.body") void outgoing_body(handle_t r, void *ret);
IMPORT(TYPES, "[constructor]request-options") handle_t options_new(void);
IMPORT(TYPES, "[method]request-options.set-first-byte-timeout")
int32_t options_first_byte(handle_t o, int32_t some, int64_t ns);
IMPORT("wasi:http/outgoing-handler@0.2.2", "handle")
void handle(handle_t request, int32_t some, handle_t options, void *ret);
IMPORT(TYPES, "[method]future-incoming-response.subscribe") handle_t future_subscribe(handle_t f);
IMPORT(TYPES, "[method]future-incoming-response.get") void future_get(handle_t f, void *ret);
IMPORT(TYPES, "[method]incoming-response.status") int32_t incoming_status(handle_t r);
IMPORT(TYPES, "[constructor]outgoing-response") handle_t response_new(handle_t fields);
IMPORT(TYPES, "[method]outgoing-response.set-status-code") int32_t response_status(handle_t response, int32_t status);
IMPORT(TYPES, "[method]outgoing-response.body") void response_body(handle_t response, void *ret);
IMPORT(TYPES, "[static]response-outparam.set")
void outparam_set(handle_t out, int32_t is_err, handle_t response, int32_t, int64_t, int32_t, int32_t, int32_t,
                  int32_t);
IMPORT(TYPES, "[method]outgoing-body.write") void body_write(handle_t body, void *ret);
IMPORT(TYPES, "[static]outgoing-body.finish")
void body_finish(handle_t body, int32_t has_trailers, handle_t trailers, void *ret);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(handle_t stream, const void *p, size_t n, void *ret);
IMPORT(STREAMS, "[resource-drop]output-stream") void output_drop(handle_t stream);
IMPORT(STREAMS, "[method]input-stream.blocking-read") void stream_read(handle_t stream, int64_t n, void *ret);
IMPORT(POLL, "[method]pollable.block") void pollable_block(handle_t pollable);
IMPORT(POLL, "[resource-drop]pollable") void pollable_drop(handle_t pollable);

enum { METHOD_POST = 2, METHOD_OPTIONS = 6 };
enum { EVENT_BYTES_MAX = 60000, TEXT_BYTES_MAX = 65536 };
static const int64_t ANSWER_NS = 5000000000;

extern unsigned char __heap_base;
static uintptr_t top;

/* One call per instance: memory is only ever handed out. */
EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_n, size_t align, size_t n)
{
    if (!top)
        top = (uintptr_t)&__heap_base;
    uintptr_t at = (top + align - 1) & ~(uintptr_t)(align - 1);
    size_t pages = (at + n + 65535) >> 16, have = __builtin_wasm_memory_size(0);
    if (pages > have && __builtin_wasm_memory_grow(0, pages - have) == (size_t)-1)
        __builtin_trap();
    top = at + n;
    for (size_t i = 0; i < old_n && i < n; i++)
        ((char *)at)[i] = ((char *)old)[i];
    return (void *)at;
}

/* ---- texts ---- */

struct text {
    const char *p;
    size_t n;
};
#define TEXT(literal) ((struct text){literal, sizeof(literal) - 1})

struct writer {
    char p[TEXT_BYTES_MAX];
    size_t n;
};

static void put(struct writer *w, struct text t)
{
    for (size_t i = 0; i < t.n && w->n < sizeof w->p; i++)
        w->p[w->n++] = t.p[i];
}

static void put_number(struct writer *w, uint32_t v)
{
    char digits[10];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + v % 10);
    while (v /= 10);
    while (n > 0)
        put(w, (struct text){&digits[--n], 1});
}

static void put_base64(struct writer *w, struct text t)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < t.n; i += 3) {
        uint32_t bits = 0, have = (uint32_t)(t.n - i < 3 ? t.n - i : 3);
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < have ? (uint8_t)t.p[i + k] : 0);
        for (uint32_t k = 0; k < 4; k++)
            put(w, (struct text){k <= have ? &alphabet[bits >> (18 - 6 * k) & 63] : "=", 1});
    }
}

/* ---- what the host says ---- */

/* Where a function writes its result; payloads with an error-code are aligned to 8. */
static _Alignas(8) uint8_t ret[64];

static handle_t handle_at(size_t at)
{
    return *(handle_t *)(ret + at);
}

static handle_t ok_handle(void) /* of a bare result<handle> */
{
    if (ret[0])
        __builtin_trap();
    return handle_at(4);
}

static struct text config(struct text key)
{
    config_get(key.p, key.n, ret); /* result<option<string>, error> */
    return ret[0] || !ret[4] ? TEXT("") : (struct text){*(char **)(ret + 8), *(size_t *)(ret + 12)};
}

static void append(handle_t fields, struct text name, struct text value)
{
    fields_append(fields, name.p, name.n, value.p, value.n, ret);
}

/* False: the other side does not take it. */
static int write_all(handle_t body, struct text t)
{
    body_write(body, ret);
    handle_t stream = ok_handle();
    int ok = 1;
    for (size_t n; ok && t.n; t.p += n, t.n -= n) {
        n = t.n < 4096 ? t.n : 4096;
        stream_write(stream, t.p, n, ret);
        ok = !ret[0];
    }
    output_drop(stream);
    body_finish(body, 0, 0, ret);
    return ok;
}

/* ---- the client ---- */

static void answer(handle_t out, int32_t status, struct text json)
{
    handle_t fields = fields_new();
    append(fields, TEXT("access-control-allow-origin"), config(TEXT("origin")));
    append(fields, TEXT("access-control-allow-methods"), TEXT("POST, OPTIONS"));
    append(fields, TEXT("access-control-allow-headers"), TEXT("content-type"));
    append(fields, TEXT("content-type"), TEXT("application/json"));
    handle_t response = response_new(fields);
    response_status(response, status);
    response_body(response, ret);
    handle_t body = ok_handle();
    outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0);
    write_all(body, json);
}

static void answer_error(handle_t out, int32_t status, struct text what, uint32_t number)
{
    static struct writer w;
    put(&w, TEXT("{\"error\":\""));
    put(&w, what);
    put_number(&w, number);
    put(&w, TEXT("\"}\n"));
    answer(out, status, (struct text){w.p, w.n});
}

/* The event, or one byte too many of it. */
static struct text read_event(handle_t request)
{
    static struct writer w;
    request_consume(request, ret);
    incoming_stream(ok_handle(), ret);
    handle_t stream = ok_handle();
    while (w.n <= EVENT_BYTES_MAX) {
        stream_read(stream, EVENT_BYTES_MAX + 1 - (int64_t)w.n, ret);
        if (ret[0])
            break;
        put(&w, (struct text){*(char **)(ret + 4), *(size_t *)(ret + 8)});
    }
    return (struct text){w.p, w.n};
}

/* ---- the database ---- */

static handle_t make_request(void)
{
    static struct writer login, credentials, path;
    put(&login, config(TEXT("user")));
    put(&login, TEXT(":"));
    put(&login, config(TEXT("password")));
    put(&credentials, TEXT("Basic "));
    put_base64(&credentials, (struct text){login.p, login.n});
    put(&path, TEXT("/topics/"));
    put(&path, config(TEXT("topic")));
    handle_t fields = fields_new();
    append(fields, TEXT("authorization"), (struct text){credentials.p, credentials.n});
    append(fields, TEXT("content-type"), TEXT("application/vnd.kafka.json.v2+json"));
    append(fields, TEXT("accept"), TEXT("application/vnd.kafka.v2+json"));
    struct text authority = config(TEXT("authority"));
    handle_t r = outgoing_new(fields);
    outgoing_set_method(r, METHOD_POST, 0, 0);
    outgoing_set_authority(r, 1, authority.p, authority.n);
    outgoing_set_path(r, 1, path.p, path.n);
    return r;
}

/* The response's status, or minus the number of an error-code and one. */
static int32_t post(struct text event)
{
    static struct writer records;
    put(&records, TEXT("{\"records\":[{\"value\":"));
    put(&records, event);
    put(&records, TEXT("}]}"));
    handle_t request = make_request(), options = options_new();
    options_first_byte(options, 1, ANSWER_NS);
    outgoing_body(request, ret);
    handle_t body = ok_handle();
    handle(request, 1, options, ret); /* result<future, error-code> */
    if (ret[0])
        return -1 - ret[8];
    handle_t future = handle_at(8);
    write_all(body, (struct text){records.p, records.n}); /* what fails there the future tells */
    handle_t pollable = future_subscribe(future);
    pollable_block(pollable);
    pollable_drop(pollable);
    future_get(future, ret); /* option<result<result<incoming-response, error-code>>> */
    return ret[16] ? -1 - ret[24] : incoming_status(handle_at(24));
}

static void serve_event(handle_t request, handle_t out)
{
    struct text event = read_event(request);
    if (event.n == 0 || event.n > EVENT_BYTES_MAX) {
        answer_error(out, event.n ? 413 : 400, TEXT("bytes of an event: "), (uint32_t)event.n);
        return;
    }
    int32_t status = post(event);
    if (status >= 200 && status < 300)
        answer(out, 202, TEXT("{\"accepted\":true}\n"));
    else if (status >= 0)
        answer_error(out, 502, TEXT("the database answered "), (uint32_t)status);
    else
        answer_error(out, 502, TEXT("the database cannot be reached: error-code "), (uint32_t)(-1 - status));
}

EXPORT("wasi:http/incoming-handler@0.2.2#handle") void serve(handle_t request, handle_t out)
{
    request_method(request, ret);
    if (ret[0] == METHOD_POST)
        serve_event(request, out);
    else if (ret[0] == METHOD_OPTIONS)
        answer(out, 204, TEXT(""));
    else
        answer_error(out, 405, TEXT("only POST and OPTIONS are served, not method "), ret[0]);
}
