/* SPDX-License-Identifier: Apache-2.0 */
/* A core module on WASI 0.1 for `hostctl run`. The first argument says what to do:
 *   args, env        print them, a line each       cat PATH          print a file of the first directory
 *   echo             copy stdin to stdout          put PATH TEXT     append a line to it
 *   sleep MS         wait so long                  list PATH         names and types in a directory
 *   race MS          wait for stdin or so long     make|remove|unlink PATH, move|link|symlink PATH PATH
 *   exit N           end with this status          wild              bad pointers to every function
 *   tail PATH        its last four bytes           size PATH         bytes of it
 *   fds              numbers are given out lowest first and taken back
 *   loop, trap       never end; trap
 * Whoever fails prints "WHAT ERRNO". `sum A B` is there for --invoke: it traps unless _initialize ran before.
 * No libc. Built by tests/guests/build. */
#include <stddef.h>
#include <stdint.h>

/* What unstable.c has otherwise. */
#ifndef WASI_MODULE
#define WASI_MODULE "wasi_snapshot_preview1"
enum { SUBSCRIPTION = 48, CLOCK = 16, FROM_END = 2, STAT = 64, STAT_SIZE = 32 };
#endif

#define WASI(name) __attribute__((import_module(WASI_MODULE), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(name)))

typedef int32_t i32;
typedef int64_t i64;

WASI(args_get) i32 args_get(i32, i32);
WASI(args_sizes_get) i32 args_sizes_get(i32, i32);
WASI(environ_get) i32 environ_get(i32, i32);
WASI(environ_sizes_get) i32 environ_sizes_get(i32, i32);
WASI(clock_res_get) i32 clock_res_get(i32, i32);
WASI(clock_time_get) i32 clock_time_get(i32, i64, i32);
WASI(fd_close) i32 fd_close(i32);
WASI(fd_fdstat_get) i32 fd_fdstat_get(i32, i32);
WASI(fd_filestat_get) i32 fd_filestat_get(i32, i32);
WASI(fd_pread) i32 fd_pread(i32, i32, i32, i64, i32);
WASI(fd_prestat_get) i32 fd_prestat_get(i32, i32);
WASI(fd_prestat_dir_name) i32 fd_prestat_dir_name(i32, i32, i32);
WASI(fd_pwrite) i32 fd_pwrite(i32, i32, i32, i64, i32);
WASI(fd_read) i32 fd_read(i32, i32, i32, i32);
WASI(fd_readdir) i32 fd_readdir(i32, i32, i32, i64, i32);
WASI(fd_renumber) i32 fd_renumber(i32, i32);
WASI(fd_seek) i32 fd_seek(i32, i64, i32, i32);
WASI(fd_tell) i32 fd_tell(i32, i32);
WASI(fd_write) i32 fd_write(i32, i32, i32, i32);
WASI(path_create_directory) i32 path_create_directory(i32, i32, i32);
WASI(path_filestat_get) i32 path_filestat_get(i32, i32, i32, i32, i32);
WASI(path_filestat_set_times) i32 path_filestat_set_times(i32, i32, i32, i32, i64, i64, i32);
WASI(path_link) i32 path_link(i32, i32, i32, i32, i32, i32, i32);
WASI(path_open) i32 path_open(i32, i32, i32, i32, i32, i64, i64, i32, i32);
WASI(path_readlink) i32 path_readlink(i32, i32, i32, i32, i32, i32);
WASI(path_remove_directory) i32 path_remove_directory(i32, i32, i32);
WASI(path_rename) i32 path_rename(i32, i32, i32, i32, i32, i32);
WASI(path_symlink) i32 path_symlink(i32, i32, i32, i32, i32);
WASI(path_unlink_file) i32 path_unlink_file(i32, i32, i32);
WASI(poll_oneoff) i32 poll_oneoff(i32, i32, i32, i32);
WASI(proc_exit) _Noreturn void proc_exit(i32);
WASI(random_get) i32 random_get(i32, i32);

enum { ROOT = 3, CREATE = 1, DIRECTORY = 2, APPEND = 1, EVENT = 32 };
enum { BADF = 8, FAULT = 21, FD_READ = 1 << 1, FD_SEEK = 1 << 2, FD_WRITE = 1 << 6, FD_READDIR = 1 << 14 };

static char bytes[65536];
static i32 words[1024];
static i32 argv[256];
static i32 argc;

static i32 at(const void *p)
{
    return (i32)(uintptr_t)p;
}

static size_t length(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static i32 put(i32 fd, const char *p, size_t n)
{
    i32 piece[2] = {at(p), (i32)n}, written;
    return fd_write(fd, at(piece), 1, at(&written));
}

static void say(const char *s)
{
    put(1, s, length(s));
}

static void say_number(i32 v)
{
    char digits[12];
    size_t i = sizeof digits;
    digits[--i] = '\n';
    do
        digits[--i] = (char)('0' + v % 10);
    while (v /= 10);
    put(1, digits + i, sizeof digits - i);
}

/* Prints what went wrong, if it did; returns the exit status. */
static i32 tell(const char *what, i32 error)
{
    if (error) {
        say(what);
        say(" ");
        say_number(error);
    }
    return error != 0;
}

static const char *word(i32 i)
{
    return i < argc ? (const char *)(uintptr_t)argv[i] : "";
}

static i32 number(const char *s)
{
    i32 v = 0;
    for (; *s; s++)
        v = v * 10 + (*s - '0');
    return v;
}

static void say_strings(i32 from, i32 n)
{
    for (i32 i = from; i < n; i++) {
        say((const char *)(uintptr_t)words[i]);
        say("\n");
    }
}

static i32 copy(i32 fd)
{
    i32 piece[2] = {at(bytes), sizeof bytes}, n = 0, error;
    while ((error = fd_read(fd, at(piece), 1, at(&n))) == 0 && n > 0)
        put(1, bytes, (size_t)n);
    return tell("read", error);
}

static i32 open(const char *path, i32 flags, i64 rights, i32 fdflags, i32 *fd)
{
    return path_open(ROOT, 1, at(path), (i32)length(path), flags, rights, rights, fdflags, at(fd));
}

static i32 cat(const char *path)
{
    i32 fd, error = open(path, 0, FD_READ, 0, &fd);
    return error ? tell("open", error) : copy(fd);
}

static i32 append(const char *path, const char *text)
{
    i32 fd, error = open(path, CREATE, FD_WRITE, APPEND, &fd);
    error = error ? error : put(fd, text, length(text));
    error = error ? error : put(fd, "\n", 1);
    return tell("put", error);
}

/* A few bytes at a time, so that an entry is cut and asked for again. */
static i32 list(const char *path)
{
    i32 fd, n = 0, error = open(path, DIRECTORY, FD_READDIR, 0, &fd);
    i64 cookie = 0;
    while (!error && (error = fd_readdir(fd, at(bytes), 64, cookie, at(&n))) == 0 && n >= 24) {
        size_t names = (size_t)(*(i32 *)(void *)(bytes + 16));
        if (24 + names > (size_t)n)
            return tell("a long name", 1);
        cookie = *(i64 *)(void *)bytes;
        put(1, bytes + 24, names);
        say(" ");
        say_number(bytes[20]);
    }
    return tell("list", error);
}

static i32 tail(const char *path)
{
    i64 now;
    i32 fd, error = open(path, 0, FD_READ | FD_SEEK, 0, &fd);
    error = error ? error : fd_seek(fd, -4, FROM_END, at(&now));
    return error ? tell("tail", error) : copy(fd);
}

/* And touches nothing behind what is told. */
static i32 size_of(const char *path)
{
    bytes[STAT] = 'x';
    i32 error = path_filestat_get(ROOT, 1, at(path), (i32)length(path), at(bytes));
    if (!error)
        say_number(bytes[STAT] == 'x' ? *(i32 *)(void *)(bytes + STAT_SIZE) : -1);
    return tell("size", error);
}

/* A clock, and perhaps a descriptor to read from; the types of the events. */
static i32 wait(i32 ms, i32 fd)
{
    char *in = bytes, *out = bytes + 4096;
    i32 n = 1, events = 0, error;
    for (i32 i = 0; i < 2 * SUBSCRIPTION; i++)
        in[i] = 0;
    *(i32 *)(void *)(in + CLOCK) = 1; /* monotonic */
    *(i64 *)(void *)(in + CLOCK + 8) = (i64)ms * 1000000;
    if (fd >= 0) {
        in[SUBSCRIPTION + 8] = 1;
        *(i32 *)(void *)(in + SUBSCRIPTION + 16) = fd;
        n = 2;
    }
    error = poll_oneoff(at(in), at(out), n, at(&events));
    for (i32 i = 0; !error && fd >= 0 && i < events; i++)
        say(out[i * EVENT + 10] ? "input\n" : "clock\n");
    return tell("poll", error);
}

/* Every pointer out of bounds: at the end, across it, and wrapping around. */
static i32 wild(void)
{
    static const i32 pointers[] = {-1, -8, 0x7fffffff, 0x7fffff00};
    for (size_t i = 0; i < sizeof pointers / sizeof pointers[0]; i++) {
        i32 p = pointers[i], ok = at(bytes), cross = (i32)__builtin_wasm_memory_size(0) * 65536 - 4;
        i32 piece[2] = {p, 16}, far[2] = {ok, -1};
        const i32 errors[] = {
            args_get(p, ok), args_get(ok, p), args_sizes_get(p, ok), args_sizes_get(ok, p),
            clock_res_get(0, p), clock_time_get(0, 0, p), clock_time_get(1, 0, cross),
            fd_fdstat_get(0, p), fd_fdstat_get(0, cross), fd_filestat_get(1, p),
            fd_prestat_get(ROOT, p), fd_prestat_dir_name(ROOT, p, 100), fd_read(0, p, 1, ok),
            fd_read(0, at(piece), 1, ok), fd_read(0, at(far), 1, ok), fd_read(0, ok, 0x1fffffff, ok),
            fd_write(1, p, 1, ok), fd_write(1, at(piece), 1, ok), fd_write(1, cross, 1, ok),
            path_create_directory(ROOT, p, 1), path_create_directory(ROOT, ok, -1),
            path_filestat_get(ROOT, 0, p, 1, ok), path_filestat_set_times(ROOT, 0, p, 1, 0, 0, 0),
            path_link(ROOT, 0, p, 1, ROOT, ok, 1), path_link(ROOT, 0, ok, 1, ROOT, p, 1),
            path_open(ROOT, 0, p, 1, 0, 0, 0, 0, ok), path_open(ROOT, 0, ok, 1, 0, 0, 0, 0, p),
            path_readlink(ROOT, p, 1, ok, 1, ok), path_readlink(ROOT, ok, 1, p, 9, ok),
            path_remove_directory(ROOT, p, 1), path_rename(ROOT, p, 1, ROOT, ok, 1),
            path_rename(ROOT, ok, 1, ROOT, p, 1), path_symlink(p, 1, ROOT, ok, 1),
            path_symlink(ok, 1, ROOT, p, 1), path_unlink_file(ROOT, p, 1),
            poll_oneoff(p, ok, 1, ok), poll_oneoff(ok, p, 1, ok), poll_oneoff(cross, ok, 1, ok),
            random_get(p, 16), random_get(ok, -1),
        };
        for (size_t k = 0; k < sizeof errors / sizeof errors[0]; k++)
            if (errors[k] != FAULT) {
                say("call ");
                say_number((i32)k);
                return tell("pointer", errors[k]);
            }
    }
    say("all faults\n");
    return 0;
}

static i32 fds(void)
{
    i32 a, b, c;
    i32 error = open(".", DIRECTORY, 0, 0, &a);
    error = error ? error : open(".", DIRECTORY, 0, 0, &b);
    error = error ? error : fd_close(a);
    error = error ? error : open(".", DIRECTORY, 0, 0, &c);
    error = error ? error : fd_renumber(b, c);
    if (error || a != 4 || b != 5 || c != 4 || fd_close(b) != BADF || fd_close(c) || fd_close(c) != BADF ||
        fd_close(-1) != BADF || fd_close(1 << 30) != BADF)
        return tell("fds", error ? error : 1);
    return 0;
}

static i32 change(const char *verb, const char *a, const char *b)
{
    i32 na = (i32)length(a), nb = (i32)length(b), error = -1;
    if (same(verb, "make"))
        error = path_create_directory(ROOT, at(a), na);
    if (same(verb, "remove"))
        error = path_remove_directory(ROOT, at(a), na);
    if (same(verb, "unlink"))
        error = path_unlink_file(ROOT, at(a), na);
    if (same(verb, "move"))
        error = path_rename(ROOT, at(a), na, ROOT, at(b), nb);
    if (same(verb, "link"))
        error = path_link(ROOT, 0, at(a), na, ROOT, at(b), nb);
    if (same(verb, "symlink"))
        error = path_symlink(at(a), na, ROOT, at(b), nb);
    return tell(verb, error);
}

static i32 run(const char *verb)
{
    i32 n = 0, size = 0;
    if (same(verb, "args"))
        for (i32 i = 1; i < argc; i++)
            say(word(i)), say("\n");
    else if (same(verb, "env") && !environ_sizes_get(at(&n), at(&size)) && !environ_get(at(words), at(bytes)))
        say_strings(0, n);
    else if (same(verb, "echo"))
        return copy(0);
    else if (same(verb, "cat"))
        return cat(word(2));
    else if (same(verb, "put"))
        return append(word(2), word(3));
    else if (same(verb, "tail"))
        return tail(word(2));
    else if (same(verb, "size"))
        return size_of(word(2));
    else if (same(verb, "list"))
        return list(word(2));
    else if (same(verb, "sleep"))
        return wait(number(word(2)), -1);
    else if (same(verb, "race"))
        return wait(number(word(2)), 0);
    else if (same(verb, "exit"))
        proc_exit(number(word(2)));
    else if (same(verb, "wild"))
        return wild();
    else if (same(verb, "fds"))
        return fds();
    else if (same(verb, "loop"))
        for (volatile i32 i = 0;;)
            i++;
    else if (same(verb, "trap"))
        __builtin_trap();
    else if (!same(verb, "env"))
        return change(verb, word(2), word(3));
    return 0;
}

static char arguments[65536];

EXPORT("_start") void start(void)
{
    i32 size = 0;
    if (args_sizes_get(at(&argc), at(&size)) || argc > 255 || size > (i32)sizeof arguments ||
        args_get(at(argv), at(arguments)))
        __builtin_trap();
    i32 status = run(word(1));
    if (status)
        proc_exit(status);
}

static i64 initialized;

EXPORT("_initialize") void initialize(void)
{
    clock_time_get(0, 0, at(&initialized));
}

EXPORT("sum") i32 sum(i32 a, i32 b)
{
    if (!initialized)
        __builtin_trap();
    return a + b;
}
