/* SPDX-License-Identifier: Apache-2.0 */
/* A component that passes its request on and hands back what came of it, bodies streamed both ways, trailers included:
 *   x-target: SCHEME://AUTHORITY/PATH   where to; without it the answer is 400
 *   x-first-byte-ms, x-between-ms       time limits of that request
 *   x-drop: future | response           gives it up there and answers 204
 * A request that failed is answered by 502 and "CODE TEXT": the number of its error-code, internal-error's text.
 * No libc; imports are the canonical ABI's flattened forms. Built by tests/guests/build. */
#include <stddef.h>
#include <stdint.h>

#define TYPES "wasi:http/types@0.2.2"
#define STREAMS "wasi:io/streams@0.2.2"
#define POLL "wasi:io/poll@0.2.2"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

typedef int32_t handle_t;

IMPORT(TYPES, "[constructor]fields") handle_t fields_new(void);
IMPORT(TYPES, "[method]fields.get") void fields_get(handle_t f, const char *name, size_t n, void *ret);
IMPORT(TYPES, "[method]fields.clone") handle_t fields_clone(handle_t f);
IMPORT(TYPES, "[resource-drop]fields") void fields_drop(handle_t f);
IMPORT(TYPES, "[method]incoming-request.method") void request_method(handle_t r, void *ret);
IMPORT(TYPES, "[method]incoming-request.headers") handle_t request_headers(handle_t r);
IMPORT(TYPES, "[method]incoming-request.consume") void request_consume(handle_t r, void *ret);
IMPORT(TYPES, "[method]incoming-body.stream") void incoming_stream(handle_t body, void *ret);
IMPORT(TYPES, "[static]incoming-body.finish") handle_t incoming_finish(handle_t body);
IMPORT(TYPES, "[method]future-trailers.subscribe") handle_t trailers_subscribe(handle_t t);
IMPORT(TYPES, "[method]future-trailers.get") void trailers_get(handle_t t, void *ret);
IMPORT(TYPES, "[resource-drop]future-trailers") void trailers_drop(handle_t t);
IMPORT(TYPES, "[constructor]outgoing-request") handle_t outgoing_new(handle_t fields);
IMPORT(TYPES, "[method]outgoing-request.set-method")
int32_t outgoing_set_method(handle_t r, int32_t kind, const char *p, size_t n);
IMPORT(TYPES, "[method]outgoing-request.set-scheme")
int32_t outgoing_set_scheme(handle_t r, int32_t some, int32_t kind, const char *p, size_t n);
IMPORT(TYPES, "[method]outgoing-request.set-authority")
int32_t outgoing_set_authority(handle_t r, int32_t some, const char *p, size_t n);
IMPORT(TYPES, "[method]outgoing-request.set-path-with-query")
int32_t outgoing_set_path(handle_t r, int32_t some, const char *p, size_t n);
IMPORT(TYPES, "[method]outgoing-request.body") void outgoing_body(handle_t r, void *ret);
IMPORT(TYPES, "[constructor]request-options") handle_t options_new(void);
IMPORT(TYPES, "[method]request-options.set-first-byte-timeout")
int32_t options_first_byte(handle_t o, int32_t some, int64_t ns);
IMPORT(TYPES, "[method]request-options.set-between-bytes-timeout")
int32_t options_between_bytes(handle_t o, int32_t some, int64_t ns);
IMPORT("wasi:http/outgoing-handler@0.2.2", "handle")
void handle(handle_t request, int32_t some, handle_t options, void *ret);
IMPORT(TYPES, "[method]future-incoming-response.subscribe") handle_t future_subscribe(handle_t f);
IMPORT(TYPES, "[method]future-incoming-response.get") void future_get(handle_t f, void *ret);
IMPORT(TYPES, "[resource-drop]future-incoming-response") void future_drop(handle_t f);
IMPORT(TYPES, "[method]incoming-response.status") int32_t incoming_status(handle_t r);
IMPORT(TYPES, "[method]incoming-response.headers") handle_t incoming_headers(handle_t r);
IMPORT(TYPES, "[method]incoming-response.consume") void incoming_consume(handle_t r, void *ret);
IMPORT(TYPES, "[resource-drop]incoming-response") void incoming_drop(handle_t r);
IMPORT(TYPES, "[constructor]outgoing-response") handle_t response_new(handle_t fields);
IMPORT(TYPES, "[method]outgoing-response.set-status-code") int32_t response_status(handle_t r, int32_t status);
IMPORT(TYPES, "[method]outgoing-response.body") void response_body(handle_t r, void *ret);
IMPORT(TYPES, "[static]response-outparam.set")
void outparam_set(handle_t out, int32_t is_err, handle_t response, int32_t, int64_t, int32_t, int32_t, int32_t,
                  int32_t);
IMPORT(TYPES, "[method]outgoing-body.write") void body_write(handle_t body, void *ret);
IMPORT(TYPES, "[static]outgoing-body.finish")
void body_finish(handle_t body, int32_t some, handle_t trailers, void *ret);
IMPORT(TYPES, "[resource-drop]outgoing-body") void body_drop(handle_t body);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(handle_t stream, const void *p, size_t n, void *ret);
IMPORT(STREAMS, "[method]output-stream.blocking-splice")
void stream_splice(handle_t to, handle_t from, int64_t n, void *ret);
IMPORT(STREAMS, "[resource-drop]output-stream") void output_drop(handle_t stream);
IMPORT(STREAMS, "[resource-drop]input-stream") void input_drop(handle_t stream);
IMPORT(POLL, "[method]pollable.block") void pollable_block(handle_t pollable);
IMPORT(POLL, "[resource-drop]pollable") void pollable_drop(handle_t pollable);

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

/* Where a function writes its result; every payload with an error-code is aligned to 8. */
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

struct text {
    const char *p;
    size_t n;
};
#define TEXT(literal) ((struct text){literal, sizeof(literal) - 1})

static int same(struct text a, struct text b)
{
    if (a.n != b.n)
        return 0;
    for (size_t i = 0; i < a.n; i++)
        if (a.p[i] != b.p[i])
            return 0;
    return 1;
}

static struct text header(handle_t headers, struct text name)
{
    fields_get(headers, name.p, name.n, ret);
    const struct text *values = *(struct text **)ret;
    return handle_at(4) ? values[0] : (struct text){NULL, 0};
}

static uint32_t number(struct text s)
{
    uint32_t v = 0;
    for (size_t at = 0; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++)
        v = v * 10 + (uint32_t)(s.p[at] - '0');
    return v;
}

static void wait_for(handle_t pollable)
{
    pollable_block(pollable);
    pollable_drop(pollable);
}

/* ---- answers ---- */

static handle_t respond(handle_t out, int32_t status, handle_t headers)
{
    handle_t response = response_new(headers);
    response_status(response, status);
    response_body(response, ret);
    handle_t body = ok_handle();
    outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0);
    return body;
}

static void answer(handle_t out, int32_t status, struct text text)
{
    handle_t body = respond(out, status, fields_new());
    body_write(body, ret);
    handle_t stream = ok_handle();
    stream_write(stream, text.p, text.n, ret);
    output_drop(stream);
    body_finish(body, 0, 0, ret);
}

/* The error-code at `at` in ret. */
static void answer_error(handle_t out, size_t at)
{
    static char text[256];
    size_t n = 0;
    uint8_t code = ret[at];
    if (code >= 10)
        text[n++] = (char)('0' + code / 10);
    text[n++] = (char)('0' + code % 10);
    text[n++] = ' ';
    if (code == 38 && ret[at + 8]) {
        const char *p = *(const char **)(ret + at + 12);
        for (size_t i = 0, more = *(size_t *)(ret + at + 16); i < more && n < sizeof text; i++)
            text[n++] = p[i];
    }
    answer(out, 502, (struct text){text, n});
}

/* ---- bodies ---- */

/* All of from's stream to to's; false when either broke. */
static int pump(handle_t to, handle_t from)
{
    int whole = 0;
    body_write(to, ret);
    handle_t output = ok_handle();
    incoming_stream(from, ret);
    handle_t input = ok_handle();
    do
        stream_splice(output, input, 65536, ret);
    while (!ret[0]);
    whole = ret[8] == 1; /* closed, not failed */
    output_drop(output);
    input_drop(input);
    return whole;
}

/* Hands over what came; a body that broke is broken off. */
static void pass(handle_t to, handle_t from)
{
    int whole = pump(to, from);
    handle_t trailers = incoming_finish(from);
    wait_for(trailers_subscribe(trailers));
    trailers_get(trailers, ret); /* option<result<result<option<trailers>, error-code>>> */
    int some = ret[8] == 0 && ret[16] == 0 && ret[24];
    handle_t fields = handle_at(28);
    trailers_drop(trailers);
    if (whole)
        body_finish(to, some, some ? fields : 0, ret);
    else
        body_drop(to);
}

/* ---- the request ---- */

static handle_t make_request(handle_t request, handle_t headers, struct text target)
{
    handle_t out = outgoing_new(fields_clone(headers));
    size_t colon = 0, slash;
    while (colon < target.n && target.p[colon] != ':')
        colon++;
    for (slash = colon + 3; slash < target.n && target.p[slash] != '/'; slash++)
        ;
    request_method(request, ret);
    outgoing_set_method(out, ret[0], *(const char **)(ret + 4), *(size_t *)(ret + 8));
    outgoing_set_scheme(out, 1, same((struct text){target.p, colon}, TEXT("https")), 0, 0);
    outgoing_set_authority(out, 1, target.p + colon + 3, slash - colon - 3);
    outgoing_set_path(out, 1, target.p + slash, target.n - slash);
    return out;
}

static handle_t make_options(handle_t headers)
{
    handle_t options = options_new();
    uint32_t first = number(header(headers, TEXT("x-first-byte-ms")));
    uint32_t between = number(header(headers, TEXT("x-between-ms")));
    options_first_byte(options, first > 0, (int64_t)first * 1000000);
    options_between_bytes(options, between > 0, (int64_t)between * 1000000);
    return options;
}

static void hand_back(handle_t out, handle_t response, struct text drop)
{
    if (same(drop, TEXT("response"))) {
        incoming_drop(response);
        answer(out, 204, TEXT(""));
        return;
    }
    handle_t headers = incoming_headers(response);
    handle_t to = respond(out, incoming_status(response), fields_clone(headers));
    incoming_consume(response, ret);
    pass(to, ok_handle());
}

EXPORT("wasi:http/incoming-handler@0.2.2#handle") void serve(handle_t request, handle_t out)
{
    handle_t headers = request_headers(request);
    struct text target = header(headers, TEXT("x-target")), drop = header(headers, TEXT("x-drop"));
    if (!target.n) {
        answer(out, 400, TEXT("no x-target\n"));
        return;
    }
    handle_t outgoing = make_request(request, headers, target);
    handle_t options = make_options(headers);
    outgoing_body(outgoing, ret);
    handle_t to = ok_handle();
    request_consume(request, ret);
    handle_t from = ok_handle();
    handle(outgoing, 1, options, ret);
    if (ret[0]) {
        answer_error(out, 8);
        return;
    }
    handle_t future = handle_at(8);
    if (same(drop, TEXT("future"))) {
        future_drop(future);
        answer(out, 204, TEXT(""));
        return;
    }
    pass(to, from);
    wait_for(future_subscribe(future));
    future_get(future, ret); /* option<result<result<incoming-response, error-code>>> */
    if (ret[16])
        answer_error(out, 24);
    else
        hand_back(out, handle_at(24), drop);
}
