/* SPDX-License-Identifier: Apache-2.0 */
/* A component whose paths provoke what the platform must survive or do well:
 *   /echo        streams the request body back as it comes      /sleep/MS    answers after MS milliseconds
 *   /big/N       N bytes of body, N decimal                     /late        head first, body 50 ms later, in pieces
 *   /echo/MS     the same after MS milliseconds               /count       how many bytes the request body has
 *   /trap        traps before answering                         /trap-body   traps in the middle of the body
 *   /loop        never ends                                     /silent      returns without answering
 *   /log         writes a line to stderr, then answers        /ask/TEXT    asks the linked oracle
 *   anything     "workbench\n"
 * No libc; imports are the canonical ABI's flattened forms. Built by tests/guests/build. */
#include <stddef.h>
#include <stdint.h>

#define TYPES "wasi:http/types@0.2.2"
#define STREAMS "wasi:io/streams@0.2.2"
#define POLL "wasi:io/poll@0.2.2"
#define CLOCK "wasi:clocks/monotonic-clock@0.2.2"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

typedef int32_t handle_t;

IMPORT(TYPES, "[constructor]fields") handle_t fields_new(void);
IMPORT(TYPES, "[method]fields.append")
void fields_append(handle_t fields, const char *name, size_t name_n, const char *value, size_t value_n, void *ret);
IMPORT(TYPES, "[method]incoming-request.path-with-query") void request_path(handle_t request, void *ret);
IMPORT(TYPES, "[method]incoming-request.consume") void request_consume(handle_t request, void *ret);
IMPORT(TYPES, "[method]incoming-body.stream") void incoming_stream(handle_t body, void *ret);
IMPORT(TYPES, "[resource-drop]incoming-body") void incoming_drop(handle_t body);
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
IMPORT(STREAMS, "[method]input-stream.blocking-read") void stream_read(handle_t stream, int64_t n, void *ret);
IMPORT(STREAMS, "[resource-drop]input-stream") void input_drop(handle_t stream);
IMPORT(POLL, "[method]pollable.block") void pollable_block(handle_t pollable);
IMPORT(POLL, "[resource-drop]pollable") void pollable_drop(handle_t pollable);
IMPORT(CLOCK, "subscribe-duration") handle_t subscribe_duration(int64_t ns);
IMPORT("wasi:cli/stderr@0.2.2", "get-stderr") handle_t get_stderr(void);
IMPORT("hostd:tests/oracle", "ask") void oracle_ask(const char *question, size_t n, void *ret);

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

static handle_t ok_handle(const void *ret)
{
    const uint8_t *p = ret;
    if (p[0])
        __builtin_trap();
    return *(const handle_t *)(p + 4);
}

struct text {
    const char *p;
    size_t n;
};
#define TEXT(literal) ((struct text){literal, sizeof(literal) - 1})

static int starts(struct text s, struct text prefix)
{
    if (s.n < prefix.n)
        return 0;
    for (size_t i = 0; i < prefix.n; i++)
        if (s.p[i] != prefix.p[i])
            return 0;
    return 1;
}

static uint32_t number_after(struct text s, size_t at)
{
    uint32_t v = 0;
    for (; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++)
        v = v * 10 + (uint32_t)(s.p[at] - '0');
    return v;
}

static int say(handle_t stream, struct text t)
{
    _Alignas(8) uint8_t ret[16];
    for (size_t step; t.n; t.p += step, t.n -= step) {
        step = t.n < 4096 ? t.n : 4096;
        stream_write(stream, t.p, step, ret);
        if (ret[0])
            return 0;
    }
    return 1;
}

static void sleep_ms(uint32_t ms)
{
    handle_t p = subscribe_duration((int64_t)ms * 1000000);
    pollable_block(p);
    pollable_drop(p);
}

struct answer {
    handle_t body, stream;
};

static struct answer begin(handle_t out)
{
    _Alignas(8) uint8_t ret[64];
    handle_t fields = fields_new();
    fields_append(fields, "content-type", 12, "text/plain", 10, ret);
    handle_t response = response_new(fields);
    struct answer a;
    response_body(response, ret);
    a.body = ok_handle(ret);
    outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0);
    body_write(a.body, ret);
    a.stream = ok_handle(ret);
    return a;
}

static void end(struct answer a)
{
    _Alignas(8) uint8_t ret[64];
    stream_drop(a.stream);
    body_finish(a.body, 0, 0, ret);
}

static void answer(handle_t out, struct text t)
{
    struct answer a = begin(out);
    say(a.stream, t);
    end(a);
}

struct body {
    handle_t body, stream;
};

static struct body body_of(handle_t request)
{
    _Alignas(8) uint8_t ret[16];
    struct body b;
    request_consume(request, ret);
    b.body = ok_handle(ret);
    incoming_stream(b.body, ret);
    b.stream = ok_handle(ret);
    return b;
}

/* The next chunk, in memory that is used from `mark` on; without bytes when there is no more. */
static struct text next_chunk(struct body b, uintptr_t mark)
{
    _Alignas(8) uint8_t ret[16];
    top = mark;
    stream_read(b.stream, 16384, ret);
    return ret[0] ? (struct text){0, 0} : (struct text){*(char **)(ret + 4), *(size_t *)(ret + 8)};
}

static void body_drop(struct body b)
{
    input_drop(b.stream);
    incoming_drop(b.body);
}

static void echo(handle_t request, handle_t out)
{
    struct body b = body_of(request);
    struct answer a = begin(out);
    uintptr_t mark = top;
    for (struct text chunk; (chunk = next_chunk(b, mark)).n;)
        if (!say(a.stream, chunk))
            break;
    body_drop(b);
    end(a);
}

static void count(handle_t request, handle_t out)
{
    struct body b = body_of(request);
    uintptr_t mark = top;
    uint32_t n = 0;
    for (struct text chunk; (chunk = next_chunk(b, mark)).n;)
        n += chunk.n;
    body_drop(b);
    char digits[11];
    size_t at = sizeof digits;
    digits[--at] = '\n';
    do
        digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    answer(out, (struct text){digits + at, sizeof digits - at});
}

static void big(handle_t out, uint32_t n)
{
    static char block[4096];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (char)('a' + i % 26);
    struct answer a = begin(out);
    while (n) {
        uint32_t step = n < sizeof block ? n : (uint32_t)sizeof block;
        if (!say(a.stream, (struct text){block, step}))
            break;
        n -= step;
    }
    end(a);
}

static void late(handle_t out)
{
    struct answer a = begin(out);
    for (int i = 0; i < 3; i++) {
        sleep_ms(50);
        say(a.stream, TEXT("piece\n"));
    }
    end(a);
}

static void log_line(handle_t out)
{
    handle_t err = get_stderr();
    say(err, TEXT("workbench was here\n"));
    stream_drop(err);
    answer(out, TEXT("logged\n"));
}

static void ask(handle_t out, struct text question)
{
    struct {
        uint32_t is_err;
        char *p;
        size_t n;
    } reply;
    oracle_ask(question.p, question.n, &reply);
    struct answer a = begin(out);
    say(a.stream, reply.is_err & 1 ? TEXT("refused: ") : TEXT("answer: "));
    say(a.stream, (struct text){reply.p, reply.n});
    end(a);
}

__attribute__((noinline)) static void trap_here(void)
{
    __builtin_trap();
}

EXPORT("wasi:http/incoming-handler@0.2.2#handle") void handle(handle_t request, handle_t out)
{
    struct {
        uint32_t some;
        char *p;
        size_t n;
    } got;
    request_path(request, &got);
    struct text path = {got.p, got.some & 1 ? got.n : 0};

    if (starts(path, TEXT("/echo"))) {
        sleep_ms(number_after(path, 6)); /* "/echo/300" reads nothing before */
        echo(request, out);
    } else if (starts(path, TEXT("/count"))) {
        count(request, out);
    } else if (starts(path, TEXT("/sleep/"))) {
        sleep_ms(number_after(path, 7));
        answer(out, TEXT("slept\n"));
    } else if (starts(path, TEXT("/big/"))) {
        big(out, number_after(path, 5));
    } else if (starts(path, TEXT("/late"))) {
        late(out);
    } else if (starts(path, TEXT("/trap-body"))) {
        struct answer a = begin(out);
        say(a.stream, TEXT("half"));
        trap_here();
    } else if (starts(path, TEXT("/trap"))) {
        trap_here();
    } else if (starts(path, TEXT("/loop"))) {
        for (volatile uint32_t i = 0;; i++) {
        }
    } else if (starts(path, TEXT("/silent"))) {
        return;
    } else if (starts(path, TEXT("/ask/"))) {
        ask(out, (struct text){path.p + 5, path.n - 5});
    } else if (starts(path, TEXT("/log"))) {
        log_line(out);
    } else {
        answer(out, TEXT("workbench\n"));
    }
    request_drop(request);
}
