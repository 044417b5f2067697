/* SPDX-License-Identifier: Apache-2.0 */
/* wasi-libc as an HTTP handler: the library's own needs (allocator, stdio, clock, environment) go through the public
 * WASI 0.1 adapter, the handler's through imports of WASI 0.2 written by hand. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HTTP "wasi:http/types@0.2.12"
#define STREAMS "wasi:io/streams@0.2.12"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

typedef int32_t handle_t;

struct result {
    uint8_t failed;
    handle_t handle;
    uint32_t more[8];
};

IMPORT(HTTP, "[constructor]fields") handle_t fields_new(void);
IMPORT(HTTP, "[method]incoming-request.path-with-query") void request_path(handle_t request, void *ret);
IMPORT(HTTP, "[resource-drop]incoming-request") void request_drop(handle_t request);
IMPORT(HTTP, "[constructor]outgoing-response") handle_t response_new(handle_t fields);
IMPORT(HTTP, "[method]outgoing-response.body") void response_body(handle_t response, void *ret);
IMPORT(HTTP, "[static]response-outparam.set")
void outparam_set(handle_t out, int32_t err, handle_t response, int32_t, int64_t, int32_t, int32_t, int32_t,
                  int32_t);
IMPORT(HTTP, "[method]outgoing-body.write") void body_write(handle_t body, void *ret);
IMPORT(HTTP, "[static]outgoing-body.finish")
void body_finish(handle_t body, int32_t some, handle_t trailers, void *ret);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(handle_t stream, const void *p, size_t n, void *ret);
IMPORT(STREAMS, "[resource-drop]output-stream") void stream_drop(handle_t stream);

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size)
{
    if (size == 0)
        return (void *)align;
    void *p = realloc(old_size ? old : NULL, size);
    if (!p)
        abort();
    return p;
}

static void respond(handle_t out, const char *text, size_t n)
{
    struct result r;
    handle_t response = response_new(fields_new());
    response_body(response, &r);
    handle_t body = r.handle;
    outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0);
    body_write(body, &r);
    handle_t stream = r.handle;
    for (size_t at = 0; at < n; at += 4096)
        stream_write(stream, text + at, n - at < 4096 ? n - at : 4096, &r);
    stream_drop(stream);
    body_finish(body, 0, 0, &r);
}

EXPORT("wasi:http/incoming-handler@0.2.12#handle") void handle(handle_t request, handle_t out)
{
    static unsigned served;
    struct {
        uint32_t some;
        char *p;
        size_t n;
    } path;
    char *text;
    size_t n;
    request_path(request, &path);
    FILE *f = open_memstream(&text, &n);
    fprintf(f, "hello from libc: %.*s\n", (int)path.n, path.p);
    fprintf(f, "served %u, pi %.4f, mode %s, clock %s\n", ++served, 3.14159265,
            getenv("MODE") ? getenv("MODE") : "none", time(NULL) > 1700000000 ? "runs" : "stands");
    fclose(f);
    fprintf(stderr, "c-http: %.*s\n", (int)path.n, path.p);
    respond(out, text, n);
    free(text);
    free(path.p);
    request_drop(request);
}
