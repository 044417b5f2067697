/* SPDX-License-Identifier: Apache-2.0 */
/* A command for `hostctl run`. The first argument says what to do:
 *   args, env    print them, a line each      cat PATH        print a file of the first directory
 *   echo         copy stdin to stdout         put PATH TEXT   append a line to it
 *   sleep MS     wait so long                 exit N          end with this status
 *   loop         never end                    trap            trap
 *   fail         let run return an error
 * No libc; imports are the canonical ABI's flattened forms. Built by tests/guests/build. */
#include <stddef.h>
#include <stdint.h>

#define STREAMS "wasi:io/streams@0.2.2"
#define POLL "wasi:io/poll@0.2.2"
#define CLOCK "wasi:clocks/monotonic-clock@0.2.2"
#define ENVIRONMENT "wasi:cli/environment@0.2.12"
#define FILES "wasi:filesystem/types@0.2.2"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

typedef int32_t handle_t;

IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(handle_t stream, const void *p, size_t n, void *ret);
IMPORT(STREAMS, "[resource-drop]output-stream") void output_drop(handle_t stream);
IMPORT(STREAMS, "[method]input-stream.blocking-read") void stream_read(handle_t stream, int64_t n, void *ret);
IMPORT(STREAMS, "[resource-drop]input-stream") void input_drop(handle_t stream);
IMPORT(POLL, "[method]pollable.block") void pollable_block(handle_t pollable);
IMPORT(POLL, "[resource-drop]pollable") void pollable_drop(handle_t pollable);
IMPORT(CLOCK, "subscribe-duration") handle_t subscribe_duration(int64_t ns);
IMPORT(ENVIRONMENT, "get-arguments") void get_arguments(void *ret);
IMPORT(ENVIRONMENT, "get-environment") void get_environment(void *ret);
IMPORT("wasi:cli/stdin@0.2.2", "get-stdin") handle_t get_stdin(void);
IMPORT("wasi:cli/stdout@0.2.2", "get-stdout") handle_t get_stdout(void);
IMPORT("wasi:cli/exit@0.2.12", "exit-with-code") void exit_with_code(int32_t code);
IMPORT("wasi:filesystem/preopens@0.2.2", "get-directories") void get_directories(void *ret);
IMPORT(FILES, "[method]descriptor.open-at")
void open_at(handle_t dir, int32_t path_flags, const char *path, size_t n, int32_t open_flags, int32_t flags,
             void *ret);
IMPORT(FILES, "[method]descriptor.read-via-stream") void read_via_stream(handle_t file, int64_t offset, void *ret);
IMPORT(FILES, "[method]descriptor.append-via-stream") void append_via_stream(handle_t file, void *ret);

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

struct texts {
    struct text *v;
    size_t n;
};

/* result<handle, error-code> as the canonical ABI stores it */
struct handle_result {
    uint8_t is_err;
    union {
        uint8_t error;
        handle_t handle;
    } __attribute__((aligned(4)));
};

static handle_t out;

static int equal(struct text a, struct text b)
{
    size_t i = 0;
    while (i < a.n && i < b.n && a.p[i] == b.p[i])
        i++;
    return i == a.n && i == b.n;
}

static uint32_t number(struct text s)
{
    uint32_t v = 0;
    for (size_t i = 0; i < s.n; i++)
        v = v * 10 + (uint32_t)(s.p[i] - '0');
    return v;
}

static int put_to(handle_t stream, struct text t)
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

static int say(struct text t)
{
    return put_to(out, t);
}

static int say_error(const char *what, size_t n, uint8_t code)
{
    char digits[3] = {(char)('0' + code / 10), (char)('0' + code % 10), '\n'};
    say((struct text){what, n});
    say((struct text){digits, 3});
    return 0;
}
#define SAY_ERROR(literal, code) say_error(literal " ", sizeof(literal), code)

/* All of the stream to stdout; true when it ended well. */
static int copy(handle_t in)
{
    struct {
        uint32_t is_err;
        union {
            struct text bytes;
            uint32_t closed;
        };
    } ret;
    uintptr_t mark = top;
    for (;;) {
        stream_read(in, 65536, &ret);
        if (ret.is_err & 0xff) {
            input_drop(in);
            return (ret.closed & 0xff) == 1;
        }
        if (!say(ret.bytes))
            return 0;
        top = mark; /* the bytes are written: the same memory serves the next read */
    }
}

static struct handle_result open(struct text path, int32_t open_flags, int32_t flags)
{
    struct {
        struct {
            handle_t dir;
            struct text name;
        } *v;
        size_t n;
    } dirs;
    struct handle_result file = {1, {.error = 20}};
    get_directories(&dirs);
    if (dirs.n)
        open_at(dirs.v[0].dir, 1, path.p, path.n, open_flags, flags, &file);
    return file;
}

static int cat(struct text path)
{
    struct handle_result file = open(path, 0, 1), stream;
    if (file.is_err)
        return SAY_ERROR("open", file.error);
    read_via_stream(file.handle, 0, &stream);
    return stream.is_err ? SAY_ERROR("read", stream.error) : copy(stream.handle);
}

static int put(struct text path, struct text line)
{
    struct handle_result file = open(path, 1, 2), stream;
    if (file.is_err)
        return SAY_ERROR("open", file.error);
    append_via_stream(file.handle, &stream);
    if (stream.is_err)
        return SAY_ERROR("append", stream.error);
    int ok = put_to(stream.handle, line) && put_to(stream.handle, TEXT("\n"));
    output_drop(stream.handle);
    return ok;
}

static int print_environment(void)
{
    struct {
        struct {
            struct text name, value;
        } *v;
        size_t n;
    } env;
    get_environment(&env);
    for (size_t i = 0; i < env.n; i++) {
        say(env.v[i].name);
        say(TEXT("="));
        say(env.v[i].value);
        say(TEXT("\n"));
    }
    return 1;
}

static int print_arguments(struct texts args)
{
    for (size_t i = 1; i < args.n; i++) {
        say(args.v[i]);
        say(TEXT("\n"));
    }
    return 1;
}

static int sleep_ms(uint32_t ms)
{
    handle_t p = subscribe_duration((int64_t)ms * 1000000);
    pollable_block(p);
    pollable_drop(p);
    return 1;
}

static int run(struct texts args)
{
    struct text verb = args.n > 1 ? args.v[1] : TEXT("args");
    if (equal(verb, TEXT("args")))
        return print_arguments(args);
    if (equal(verb, TEXT("env")))
        return print_environment();
    if (equal(verb, TEXT("echo")))
        return copy(get_stdin());
    if (equal(verb, TEXT("cat")) && args.n == 3)
        return cat(args.v[2]);
    if (equal(verb, TEXT("put")) && args.n == 4)
        return put(args.v[2], args.v[3]);
    if (equal(verb, TEXT("sleep")) && args.n == 3)
        return sleep_ms(number(args.v[2]));
    if (equal(verb, TEXT("exit")) && args.n == 3)
        exit_with_code((int32_t)number(args.v[2]));
    if (equal(verb, TEXT("trap")))
        __builtin_trap();
    for (volatile int forever = 1; equal(verb, TEXT("loop")) && forever;)
        ;
    return 0;
}

EXPORT("wasi:cli/run@0.2.12#run") int32_t cli_run(void)
{
    struct texts args;
    out = get_stdout();
    get_arguments(&args);
    return !run(args);
}
