/* SPDX-License-Identifier: Apache-2.0 */
/* A component with several links for one interface. Every word of the path is done in turn:
 *   NAME    set-link-name of wasmcloud:bus/lattice@2.0.0 for store and atomics; says the error if there is one
 *   !NAME   the same of 1.0.0, which says nothing
 *   +KEY    adds one to the key in the bucket of the link that is chosen, and says the count
 * Built by tests/guests/build. */
#include <stddef.h>
#include <stdint.h>

#define TYPES "wasi:http/types@0.2.2"
#define STREAMS "wasi:io/streams@0.2.2"
#define BUS1 "wasmcloud:bus/lattice@1.0.0"
#define BUS2 "wasmcloud:bus/lattice@2.0.0"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
#define SIX const char *, size_t, const char *, size_t, const char *, size_t

typedef int32_t handle_t;

IMPORT(BUS1, "[constructor]call-target-interface") handle_t target_v1(SIX);
IMPORT(BUS1, "set-link-name") void set_link_v1(const char *name, size_t name_n, const handle_t *targets, size_t n);
IMPORT(BUS2, "[constructor]call-target-interface") handle_t target_v2(SIX);
IMPORT(BUS2, "set-link-name")
void set_link_v2(const char *name, size_t name_n, const handle_t *targets, size_t n, void *ret);
IMPORT("wasi:keyvalue/store@0.2.0-draft", "open") void store_open(const char *name, size_t name_n, void *ret);
IMPORT("wasi:keyvalue/atomics@0.2.0-draft", "increment")
void bucket_increment(handle_t bucket, const char *key, size_t key_n, int64_t delta, void *ret);
IMPORT(TYPES, "[constructor]fields") handle_t fields_new(void);
IMPORT(TYPES, "[method]incoming-request.path-with-query") void request_path(handle_t request, void *ret);
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

static _Alignas(8) uint8_t ret[32];
static char said[4096];
static size_t said_n;

static void say(const char *p, size_t n)
{
    for (size_t i = 0; i < n && said_n < sizeof said; i++)
        said[said_n++] = p[i];
}

static void say_number(uint64_t v)
{
    char digits[20];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + v % 10);
    while (v /= 10);
    while (n > 0)
        say(&digits[--n], 1);
}

#define STORE "wasi", 4, "keyvalue", 8, "store", 5
#define ATOMICS "wasi", 4, "keyvalue", 8, "atomics", 7

static void choose(const char *name, size_t n)
{
    if (n && name[0] == '!') {
        const handle_t targets[] = {target_v1(STORE), target_v1(ATOMICS)};
        set_link_v1(name + 1, n - 1, targets, 2);
        return;
    }
    const handle_t targets[] = {target_v2(STORE), target_v2(ATOMICS)};
    set_link_v2(name, n, targets, 2, ret);
    if (ret[0])
        say(*(const char **)(ret + 4), *(size_t *)(ret + 8));
}

static void count(const char *key, size_t n)
{
    store_open("", 0, ret);
    if (ret[0])
        __builtin_trap();
    bucket_increment(*(handle_t *)(ret + 4), key, n, 1, ret); /* result<u64, error> */
    if (ret[0])
        say("error", 5);
    else
        say_number(*(uint64_t *)(ret + 8));
}

EXPORT("wasi:http/incoming-handler@0.2.2#handle") void serve(handle_t request, handle_t out)
{
    request_path(request, ret);
    const char *path = *(const char **)(ret + 4);
    size_t n = *(size_t *)(ret + 8);
    for (size_t at = 1, end; at < n; at = end + 1) {
        for (end = at; end < n && path[end] != '/'; end++)
            ;
        if (path[at] == '+')
            count(path + at + 1, end - at - 1);
        else
            choose(path + at, end - at);
        say("\n", 1);
    }
    handle_t response = response_new(fields_new());
    response_body(response, ret);
    handle_t body = *(handle_t *)(ret + 4);
    outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0);
    body_write(body, ret);
    handle_t stream = *(handle_t *)(ret + 4);
    stream_write(stream, said, said_n, ret);
    stream_drop(stream);
    body_finish(body, 0, 0, ret);
}
