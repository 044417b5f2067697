/* SPDX-License-Identifier: Apache-2.0 */
/* What C components without a libc have in common: imports in the canonical ABI's flattened forms, memory, texts, a
 * request in and an answer out. One call per instance, so memory is only ever handed out. What is not used here is not
 * imported. For the examples, and for guests of the tests. */
#ifndef GUEST_H
#define GUEST_H

#include <stddef.h>
#include <stdint.h>

#define TYPES "wasi:http/types@0.2.2"
#define STREAMS "wasi:io/streams@0.2.2"
#define POLL "wasi:io/poll@0.2.2"
#define STORE "wasi:keyvalue/store@0.2.0-draft"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

typedef int32_t handle_t;

/* ---- wasi:http: the request that came, and its answer ---- */

IMPORT(TYPES, "[constructor]fields") handle_t fields_new(void);
IMPORT(TYPES, "[method]fields.append")
void fields_append(handle_t fields, const char *name, size_t name_n, const char *value, size_t value_n, void *ret);
IMPORT(TYPES, "[method]fields.get") void fields_get(handle_t fields, const char *name, size_t n, void *ret);
IMPORT(TYPES, "[method]fields.clone") handle_t fields_clone(handle_t fields);
IMPORT(TYPES, "[method]incoming-request.method") void request_method(handle_t request, void *ret);
IMPORT(TYPES, "[method]incoming-request.path-with-query") void request_path(handle_t request, void *ret);
IMPORT(TYPES, "[method]incoming-request.headers") handle_t request_headers(handle_t request);
IMPORT(TYPES, "[method]incoming-request.consume") void request_consume(handle_t request, void *ret);
IMPORT(TYPES, "[resource-drop]incoming-request") void request_drop(handle_t request);
IMPORT(TYPES, "[method]incoming-body.stream") void incoming_stream(handle_t body, void *ret);
IMPORT(TYPES, "[static]incoming-body.finish") handle_t incoming_finish(handle_t body);
IMPORT(TYPES, "[resource-drop]incoming-body") void incoming_drop(handle_t body);
IMPORT(TYPES, "[method]future-trailers.subscribe") handle_t trailers_subscribe(handle_t trailers);
IMPORT(TYPES, "[method]future-trailers.get") void trailers_get(handle_t trailers, void *ret);
IMPORT(TYPES, "[resource-drop]future-trailers") void trailers_drop(handle_t trailers);
IMPORT(TYPES, "[constructor]outgoing-response") handle_t response_new(handle_t fields);
IMPORT(TYPES, "[method]outgoing-response.set-status-code") int32_t response_status(handle_t response, int32_t status);
IMPORT(TYPES, "[method]outgoing-response.body") void response_body(handle_t response, void *ret);
IMPORT(TYPES, "[static]response-outparam.set")
void outparam_set(handle_t out, int32_t is_err, handle_t response, int32_t, int64_t, int32_t, int32_t, int32_t,
                  int32_t);
IMPORT(TYPES, "[method]outgoing-body.write") void body_write(handle_t body, void *ret);
IMPORT(TYPES, "[static]outgoing-body.finish")
void body_finish(handle_t body, int32_t has_trailers, handle_t trailers, void *ret);
IMPORT(TYPES, "[resource-drop]outgoing-body") void body_drop(handle_t body);

/* ---- wasi:http: a request of our own ---- */

IMPORT(TYPES, "[constructor]outgoing-request") handle_t outgoing_new(handle_t fields);
IMPORT(TYPES, "[method]outgoing-request.set-method")
int32_t outgoing_set_method(handle_t request, int32_t kind, const char *p, size_t n);
IMPORT(TYPES, "[method]outgoing-request.set-scheme")
int32_t outgoing_set_scheme(handle_t request, int32_t some, int32_t kind, const char *p, size_t n);
IMPORT(TYPES, "[method]outgoing-request.set-authority")
int32_t outgoing_set_authority(handle_t request, int32_t some, const char *p, size_t n);
IMPORT(TYPES, "[method]outgoing-request.set-path-with-query")
int32_t outgoing_set_path(handle_t request, int32_t some, const char *p, size_t n);
IMPORT(TYPES, "[method]outgoing-request.body") void outgoing_body(handle_t request, void *ret);
IMPORT(TYPES, "[constructor]request-options") handle_t options_new(void);
IMPORT(TYPES, "[method]request-options.set-first-byte-timeout")
int32_t options_first_byte(handle_t options, int32_t some, int64_t ns);
IMPORT(TYPES, "[method]request-options.set-between-bytes-timeout")
int32_t options_between_bytes(handle_t options, int32_t some, int64_t ns);
IMPORT("wasi:http/outgoing-handler@0.2.2", "handle")
void outgoing_send(handle_t request, int32_t some, handle_t options, void *ret);
IMPORT(TYPES, "[method]future-incoming-response.subscribe") handle_t future_subscribe(handle_t future);
IMPORT(TYPES, "[method]future-incoming-response.get") void future_get(handle_t future, void *ret);
IMPORT(TYPES, "[resource-drop]future-incoming-response") void future_drop(handle_t future);
IMPORT(TYPES, "[method]incoming-response.status") int32_t received_status(handle_t response);
IMPORT(TYPES, "[method]incoming-response.headers") handle_t received_headers(handle_t response);
IMPORT(TYPES, "[method]incoming-response.consume") void received_consume(handle_t response, void *ret);
IMPORT(TYPES, "[resource-drop]incoming-response") void received_drop(handle_t response);

/* ---- wasi:io ---- */

IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(handle_t stream, const char *p, size_t n, void *ret);
IMPORT(STREAMS, "[method]output-stream.blocking-splice")
void stream_splice(handle_t to, handle_t from, int64_t n, void *ret);
IMPORT(STREAMS, "[resource-drop]output-stream") void stream_drop(handle_t stream);
IMPORT(STREAMS, "[method]input-stream.blocking-read") void stream_read(handle_t stream, int64_t n, void *ret);
IMPORT(STREAMS, "[resource-drop]input-stream") void input_drop(handle_t stream);
IMPORT(POLL, "[method]pollable.block") void pollable_block(handle_t pollable);
IMPORT(POLL, "[resource-drop]pollable") void pollable_drop(handle_t pollable);

/* ---- wasi:keyvalue ---- */

IMPORT(STORE, "open") void store_open(const char *name, size_t name_n, void *ret);
IMPORT(STORE, "[method]bucket.get") void bucket_get(handle_t bucket, const char *key, size_t key_n, void *ret);
IMPORT(STORE, "[method]bucket.set")
void bucket_set(handle_t bucket, const char *key, size_t key_n, const char *value, size_t value_n, void *ret);
IMPORT(STORE, "[resource-drop]bucket") void bucket_drop(handle_t bucket);
IMPORT("wasi:keyvalue/atomics@0.2.0-draft", "increment")
void bucket_increment(handle_t bucket, const char *key, size_t key_n, int64_t delta, void *ret);

enum { METHOD_GET = 0, METHOD_POST = 2, METHOD_PUT = 3, METHOD_OPTIONS = 6 };
enum { NO_SUCH_STORE, ACCESS_DENIED };

/* ---- memory and texts ---- */

extern unsigned char __heap_base;
static uintptr_t top;

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

struct text {
    const char *p;
    size_t n;
};
#define TEXT(literal) ((struct text){literal, sizeof(literal) - 1})

static inline int same(struct text a, struct text b)
{
    size_t i = 0;
    while (i < a.n && i < b.n && a.p[i] == b.p[i])
        i++;
    return i == a.n && i == b.n;
}

static inline int starts(struct text s, struct text prefix)
{
    for (size_t i = 0; i < prefix.n; i++)
        if (i >= s.n || s.p[i] != prefix.p[i])
            return 0;
    return 1;
}

static inline struct text join(struct text a, struct text b)
{
    char *to = cabi_realloc((void *)a.p, a.n, 1, a.n + b.n);
    for (size_t i = 0; i < b.n; i++)
        to[a.n + i] = b.p[i];
    return (struct text){to, a.n + b.n};
}

static inline struct text decimal(uint64_t v)
{
    char *end = (char *)cabi_realloc(0, 0, 1, 20) + 20, *p = end;
    do {
        *--p = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    return (struct text){p, (size_t)(end - p)};
}

/* ---- results, as they lie in memory ---- */

struct error {
    uint32_t which;
    struct text other;
};
struct result { /* of open, get, set */
    uint32_t is_err;
    union {
        handle_t bucket;
        struct {
            uint32_t some;
            struct text bytes;
        } value;
        struct error error;
    };
};
struct count_result {
    uint32_t is_err;
    union {
        uint64_t count;
        struct error error;
    };
};

static inline handle_t handle_at(const void *ret, size_t at)
{
    return *(const handle_t *)((const uint8_t *)ret + at);
}

static inline handle_t ok_handle(const void *ret) /* of a result<handle> whose error has at most 4 bytes alignment */
{
    if (*(const uint8_t *)ret)
        __builtin_trap();
    return handle_at(ret, 4);
}

static inline void wait_for(handle_t pollable)
{
    pollable_block(pollable);
    pollable_drop(pollable);
}

/* ---- requests and answers ---- */

struct request {
    uint8_t method;
    struct text path;
};

static inline struct request request_head(handle_t request)
{
    struct {
        uint32_t some;
        struct text path;
    } path;
    struct {
        uint8_t which;
        struct text other;
    } method;
    request_path(request, &path);
    request_method(request, &method);
    return (struct request){method.which, path.some & 1 ? path.path : TEXT("/")};
}

/* The whole body. Every chunk moves it to a new place: fine for small values. */
static inline struct text read_body(handle_t request)
{
    struct result got;
    struct text all = {0, 0};
    request_consume(request, &got);
    handle_t body = ok_handle(&got);
    incoming_stream(body, &got);
    handle_t in = ok_handle(&got);
    for (;;) {
        struct {
            uint8_t is_err;
            struct text chunk;
        } read;
        stream_read(in, 16384, &read);
        if (read.is_err)
            break; /* closed */
        all = join(all, read.chunk);
    }
    input_drop(in);
    incoming_drop(body);
    return all;
}

/* Begins the answer; returns its body. */
static inline handle_t respond(handle_t out, int32_t status, handle_t fields)
{
    _Alignas(8) uint8_t ret[64];
    handle_t response = response_new(fields);
    response_status(response, status);
    response_body(response, ret);
    handle_t body = ok_handle(ret);
    outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0);
    return body;
}

/* The whole of a body. False: the other side does not take it. */
static inline int write_all(handle_t body, struct text t)
{
    _Alignas(8) uint8_t ret[64];
    body_write(body, ret);
    handle_t stream = ok_handle(ret);
    int ok = 1;
    for (size_t n; ok && t.n; t.p += n, t.n -= n) {
        n = t.n < 4096 ? t.n : 4096;
        stream_write(stream, t.p, n, ret);
        ok = !ret[0];
    }
    stream_drop(stream);
    body_finish(body, 0, 0, ret);
    return ok;
}

static inline void append(handle_t fields, struct text name, struct text value)
{
    uint8_t ret[32];
    fields_append(fields, name.p, name.n, value.p, value.n, ret);
}

static inline void answer_as(handle_t out, int32_t status, struct text type, struct text t)
{
    handle_t fields = fields_new();
    append(fields, TEXT("content-type"), type);
    write_all(respond(out, status, fields), t);
}

static inline void answer(handle_t out, int32_t status, struct text t)
{
    answer_as(out, status, TEXT("text/plain; charset=utf-8"), t);
}

static inline void answer_error(handle_t out, const struct error *e)
{
    uint8_t which = (uint8_t)e->which;
    answer(out, 500,
           which == NO_SUCH_STORE   ? TEXT("no such store\n")
           : which == ACCESS_DENIED ? TEXT("access denied\n")
                                    : e->other);
}

#endif
