/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest useful component: answers every HTTP request with a greeting that names the path. No libc; the
 * imports below are the canonical ABI's flattened forms of wasi:http/types. Built by tests/guests/build. */
#include <stddef.h>
#include <stdint.h>

#define TYPES "wasi:http/types@0.2.2"
#define STREAMS "wasi:io/streams@0.2.2"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

typedef int32_t handle_t;

IMPORT(TYPES, "[constructor]fields") handle_t fields_new(void);
IMPORT(TYPES, "[method]fields.append")
void fields_append(handle_t fields, const char *name, size_t name_n, const char *value, size_t value_n, void *ret);
IMPORT(TYPES, "[method]incoming-request.path-with-query") void request_path(handle_t request, void *ret);
IMPORT(TYPES, "[resource-drop]incoming-request") void request_drop(handle_t request);
IMPORT(TYPES, "[constructor]outgoing-response") handle_t response_new(handle_t fields);
IMPORT(TYPES, "[method]outgoing-response.body") void response_body(handle_t response, void *ret);
IMPORT(TYPES, "[static]response-outparam.set")
void outparam_set(handle_t out, int32_t is_err, handle_t response, int32_t, int64_t, int32_t, int32_t, int32_t,
                  int32_t);
IMPORT(TYPES, "[method]outgoing-body.write") void body_write(handle_t body, void *ret);
IMPORT(TYPES, "[static]outgoing-body.finish")
void body_finish(handle_t body, int32_t has_trailers, handle_t trailers, void *ret);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(handle_t stream, const void *p, size_t n, void *ret);
IMPORT(STREAMS, "[resource-drop]output-stream") void stream_drop(handle_t stream);

/* One call per instance: memory is only ever handed out. */
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

/* The ok payload of a result<handle> that a call stored at ret. */
static handle_t ok_handle(const void *ret)
{
    const uint8_t *p = ret;
    if (p[0])
        __builtin_trap();
    return *(const handle_t *)(p + 4);
}

static void say(handle_t stream, const char *text, size_t n)
{
    _Alignas(8) uint8_t ret[16];
    for (size_t step; n; text += step, n -= step) { /* one call takes 4,096 bytes at most */
        step = n < 4096 ? n : 4096;
        stream_write(stream, text, step, ret);
        if (ret[0])
            return; /* the client is gone */
    }
}

EXPORT("wasi:http/incoming-handler@0.2.2#handle") void handle(handle_t request, handle_t out)
{
    static const char greeting[] = "hello from hostd: ";
    _Alignas(8) uint8_t ret[64];
    struct {
        uint32_t some;
        char *p;
        size_t n;
    } path;

    request_path(request, &path);
    handle_t fields = fields_new();
    fields_append(fields, "content-type", 12, "text/plain", 10, ret);
    handle_t response = response_new(fields);
    response_body(response, ret);
    handle_t body = ok_handle(ret);
    outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0); /* the head leaves now, the body follows */

    body_write(body, ret);
    handle_t stream = ok_handle(ret);
    say(stream, greeting, sizeof greeting - 1);
    if (path.some & 1)
        say(stream, path.p, path.n);
    say(stream, "\n", 1);
    stream_drop(stream);
    body_finish(body, 0, 0, ret);
    request_drop(request);
}
