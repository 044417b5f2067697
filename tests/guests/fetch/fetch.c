/* SPDX-License-Identifier: Apache-2.0 */
/* A command: fetch SCHEME AUTHORITY PATH [BODY]. Writes "STATUS\n" and the response's body to its standard output, or
 * "error CODE\n", the number of an error-code, and fails. No libc. Built by tests/guests/build. */
#include <stddef.h>
#include <stdint.h>

#define TYPES "wasi:http/types@0.2.2"
#define STREAMS "wasi:io/streams@0.2.2"
#define POLL "wasi:io/poll@0.2.2"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

typedef int32_t handle_t;

IMPORT("wasi:cli/environment@0.2.2", "get-arguments") void get_arguments(void *ret);
IMPORT("wasi:cli/stdout@0.2.2", "get-stdout") handle_t get_stdout(void);
IMPORT(TYPES, "[constructor]fields") handle_t fields_new(void);
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
IMPORT(TYPES, "[method]outgoing-body.write") void body_write(handle_t body, void *ret);
IMPORT(TYPES, "[static]outgoing-body.finish")
void body_finish(handle_t body, int32_t has_trailers, handle_t trailers, void *ret);
IMPORT("wasi:http/outgoing-handler@0.2.2", "handle")
void handle(handle_t request, int32_t some, handle_t options, void *ret);
IMPORT(TYPES, "[method]future-incoming-response.subscribe") handle_t future_subscribe(handle_t f);
IMPORT(TYPES, "[method]future-incoming-response.get") void future_get(handle_t f, void *ret);
IMPORT(TYPES, "[method]incoming-response.status") int32_t incoming_status(handle_t r);
IMPORT(TYPES, "[method]incoming-response.consume") void incoming_consume(handle_t r, void *ret);
IMPORT(TYPES, "[method]incoming-body.stream") void incoming_stream(handle_t body, void *ret);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(handle_t stream, const void *p, size_t n, void *ret);
IMPORT(STREAMS, "[method]output-stream.blocking-splice")
void stream_splice(handle_t to, handle_t from, int64_t n, void *ret);
IMPORT(STREAMS, "[resource-drop]output-stream") void output_drop(handle_t stream);
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

struct text {
    const char *p;
    size_t n;
};

/* Where a function writes its result; payloads with an error-code are aligned to 8. */
static _Alignas(8) uint8_t ret[64];
static handle_t out;

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

static void say_number(const char *before, size_t n, uint32_t v)
{
    char line[24], digits[10];
    size_t k = 0, at = 0;
    for (; at < n; at++)
        line[at] = before[at];
    do
        digits[k++] = (char)('0' + v % 10);
    while (v /= 10);
    while (k > 0)
        line[at++] = digits[--k];
    line[at++] = '\n';
    stream_write(out, line, at, ret);
}

static int32_t failed(uint32_t code)
{
    say_number("error ", 6, code);
    return 1;
}

static void write_body(handle_t body, struct text t)
{
    body_write(body, ret);
    handle_t stream = ok_handle();
    for (size_t n; t.n; t.p += n, t.n -= n) {
        n = t.n < 4096 ? t.n : 4096;
        stream_write(stream, t.p, n, ret);
        if (ret[0])
            break;
    }
    output_drop(stream);
    body_finish(body, 0, 0, ret);
}

EXPORT("wasi:cli/run@0.2.2#run") int32_t run(void)
{
    get_arguments(ret);
    const struct text *args = *(struct text **)ret;
    size_t n = *(size_t *)(ret + 4);
    if (n < 4)
        return 1;
    out = get_stdout();
    handle_t request = outgoing_new(fields_new());
    outgoing_set_method(request, n > 4 ? 2 : 0, 0, 0);
    outgoing_set_scheme(request, 1, args[1].n == 5, 0, 0);
    outgoing_set_authority(request, 1, args[2].p, args[2].n);
    outgoing_set_path(request, 1, args[3].p, args[3].n);
    handle_t body = 0;
    if (n > 4) {
        outgoing_body(request, ret);
        body = ok_handle();
    }
    handle(request, 0, 0, ret);
    if (ret[0])
        return failed(ret[8]);
    handle_t future = handle_at(8);
    if (n > 4)
        write_body(body, args[4]);
    handle_t pollable = future_subscribe(future);
    pollable_block(pollable);
    pollable_drop(pollable);
    future_get(future, ret);
    if (ret[16])
        return failed(ret[24]);
    handle_t response = handle_at(24);
    say_number("", 0, (uint32_t)incoming_status(response));
    incoming_consume(response, ret);
    incoming_stream(ok_handle(), ret);
    handle_t input = ok_handle();
    do
        stream_splice(out, input, 65536, ret);
    while (!ret[0]);
    return ret[8] != 1;
}
