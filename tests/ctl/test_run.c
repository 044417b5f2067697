/* SPDX-License-Identifier: Apache-2.0 */
/* `hostctl run` with the guests of tests/guests/command (a component), tests/guests/preview1 (a core module on WASI
 * 0.1) and tests/guests/rust-net (sockets): what they print and how they end. Each run is a process of its own, for
 * it uses the standard streams. */
#include <check.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "ctl/table.h"
#include "lattice/base/num.h"

#define GUEST "tests/guests/command/command.wasm"

#define MODULE "tests/guests/preview1/preview1.wasm"
#define OLD "tests/guests/preview1/unstable.wasm"
#define NET "tests/guests/rust-net/rust-net.wasm"

static char directory[64];

/* A core module: add of i64, div of i32, neg of f64, loop. */
static const uint8_t numbers[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x15, 0x04, 0x60, 0x02, 0x7e, 0x7e,
    0x01, 0x7e, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f, 0x60, 0x01, 0x7c, 0x01, 0x7c, 0x60, 0x00,
    0x00, 0x03, 0x05, 0x04, 0x00, 0x01, 0x02, 0x03, 0x07, 0x1a, 0x04, 0x03, 'a',  'd',  'd',
    0x00, 0x00, 0x03, 'd',  'i',  'v',  0x00, 0x01, 0x03, 'n',  'e',  'g',  0x00, 0x02, 0x04,
    'l',  'o',  'o',  'p',  0x00, 0x03, 0x0a, 0x1f, 0x04, 0x07, 0x00, 0x20, 0x00, 0x20, 0x01,
    0x7c, 0x0b, 0x07, 0x00, 0x20, 0x00, 0x20, 0x01, 0x6d, 0x0b, 0x05, 0x00, 0x20, 0x00, 0x9a,
    0x0b, 0x07, 0x00, 0x03, 0x40, 0x0c, 0x00, 0x0b, 0x0b,
};

/* A core module that imports a function f of env. */
static const uint8_t stranger[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x04, 0x01, 0x60, 0x00,
    0x00, 0x02, 0x09, 0x01, 0x03, 'e',  'n',  'v',  0x01, 'f',  0x00, 0x00,
};

/* In the child: main() without the showing of errors as JSON. */
static int run_line(const char *line)
{
    char *argv[32], text[1024];
    int argc = 0;
    struct ctl c = {.status = -1};
    struct err e = ERR_INIT;
    snprintf(text, sizeof text, "hostctl run %s", line);
    char *rest = NULL;
    for (char *p = strtok_r(text, " ", &rest); p; p = strtok_r(NULL, " ", &rest))
        argv[argc++] = p;
    arena_init(&c.arena, 1 << 20);
    bool ok = args_read(&c, argc, argv, &e) == ARGS_RUN && cmd_run(&c, &e);
    if (!ok)
        printf("[%s]", e.text);
    else if (c.status < 0)
        c.status = output_result(&c);
    json_decref(c.result);
    buf_fini(&c.text);
    fflush(stdout);
    arena_fini(&c.arena);
    return c.status >= 0 ? c.status : 1;
}

/* Exit status; what it wrote to stdout, or "[why it failed]", in out. input NULL: none comes, and no end. */
static int run(const char *line, const char *input, char *out, size_t room)
{
    int in[2], from[2], status;
    ck_assert(pipe(in) == 0 && pipe(from) == 0);
    if (input) {
        ck_assert(write(in[1], input, strlen(input)) == (ssize_t)strlen(input));
        close(in[1]);
    }
    pid_t pid = fork();
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(from[1], 1);
        close(from[0]);
        _exit(run_line(line));
    }
    close(in[0]);
    close(from[1]);
    size_t n = 0;
    for (ssize_t got; (got = read(from[0], out + n, room - 1 - n)) > 0;)
        n += (size_t)got;
    out[n] = '\0';
    close(from[0]);
    ck_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    if (!input)
        close(in[1]);
    return WEXITSTATUS(status);
}

static const struct {
    const char *line, *input, *output; /* DIR stands for the test's directory */
    int status;
} cases[] = {
    {GUEST " args --fuel -x z", "", "args\n--fuel\n-x\nz\n", 0},
    {"--env A=1 -e B=two " GUEST " env", "", "A=1\nB=two\n", 0},
    {GUEST " env", "", "", 0},
    {GUEST " echo", "what comes\nin", "what comes\nin", 0},
    {"--dir DIR::/ " GUEST " put note one", "", "", 0},
    {"--dir DIR " GUEST " put note two", "", "", 0},
    {"--dir DIR " GUEST " cat note", "", "one\ntwo\n", 0},
    {"--dir DIR " GUEST " cat none", "", "open 20\n", 1},
    {"--dir DIR " GUEST " cat ../../etc/passwd", "", "open 31\n", 1},
    {GUEST " cat note", "", "open 20\n", 1},
    {GUEST " exit 7", "", "", 7},
    {GUEST " fail", "", "", 1},
    {GUEST " sleep 1", "", "", 0},
    {"--timeout 20ms " GUEST " sleep 100000", "", "[*deadline passed*]", 124},
    {"--timeout 20ms " GUEST " loop", "", "[*deadline passed*]", 124},
    {"--fuel 1000 " GUEST " loop", "", "[*fuel used up*]", 134},
    {GUEST " trap", "", "[*unreachable*]", 134},
    {"tests/guests/workbench/workbench.wasm", "", "[*hostd:tests/oracle*]", 1},
    {"deploy/examples/hello/hello.wasm", "", "[*is no command*]", 1},
    {"tests/guests/none.wasm", "", "[*No such file*]", 1},
    {"--dir DIR/none " GUEST, "", "[--dir *No such file*]", 1},
    {"--env A " GUEST, "", "[--env*]", 1},
    {"", "", "[*FILE is missing*]", 1},
    {"--invoke add DIR/numbers 9223372036854775807 -1", "", "9223372036854775806\n", 0},
    {"--invoke div DIR/numbers -7 2", "", "-3\n", 0},
    {"--invoke neg DIR/numbers 1.5", "", "-1.5\n", 0},
    {"--invoke div DIR/numbers 1 0", "", "[*divide by zero*]", 134},
    {"--invoke div DIR/numbers 1 4294967296", "", "[*argument 2*]", 1},
    {"--invoke div DIR/numbers 1 x", "", "[*argument 2*]", 1},
    {"--invoke div DIR/numbers 1", "", "[*2 arguments, 1 are given*]", 1},
    {"--invoke mul DIR/numbers", "", "[*no function 'mul'*]", 1},
    {"--invoke loop --timeout 20ms DIR/numbers", "", "[*deadline passed*]", 124},
    {"--invoke loop --fuel 1000 DIR/numbers", "", "[*fuel used up*]", 134},
    {"--invoke run " GUEST, "", "[*it is a component*]", 1},
    {"DIR/numbers", "", "[*no function '_start'*]", 1},
    {MODULE " args --fuel -x z", "", "args\n--fuel\n-x\nz\n", 0},
    {"--env A=1 -e B=two " MODULE " env", "", "A=1\nB=two\n", 0},
    {MODULE " env", "", "", 0},
    {MODULE " echo", "what comes\nin", "what comes\nin", 0},
    {"--dir DIR::/ " MODULE " put old one", "", "", 0},
    {"--dir DIR " MODULE " put old two", "", "", 0},
    {"--dir DIR " MODULE " cat old", "", "one\ntwo\n", 0},
    {"--dir DIR " MODULE " tail old", "", "two\n", 0},
    {"--dir DIR " MODULE " size old", "", "8\n", 0},
    {"--dir DIR " OLD " tail old", "", "two\n", 0},
    {"--dir DIR " OLD " size old", "", "8\n", 0},
    {"--dir DIR " OLD " list .", "", "*old 4\n*", 0},
    {OLD " race 100000", "x", "input\n", 0},
    {OLD " race 1", NULL, "clock\n", 0},
    {"--dir DIR " OLD " wild", "", "all faults\n", 0},
    {"--dir DIR " MODULE " cat none", "", "open 44\n", 1},
    {"--dir DIR " MODULE " cat ../../etc/passwd", "", "open 63\n", 1},
    {"--dir DIR " MODULE " cat /etc/passwd", "", "open 63\n", 1},
    {MODULE " cat old", "", "open 8\n", 1},
    {"--dir DIR " MODULE " make old.d", "", "", 0},
    {"--dir DIR " MODULE " make old.d", "", "make 20\n", 1},
    {"--dir DIR " MODULE " link old old.d/a-longer-name", "", "", 0},
    {"--dir DIR " MODULE " symlink ../old old.d/s", "", "", 0},
    {"--dir DIR " MODULE " symlink /etc old.d/t", "", "symlink 63\n", 1},
    {"--dir DIR " MODULE " cat old.d/s", "", "one\ntwo\n", 0},
    {"--dir DIR " MODULE " list old.d", "", "*a-longer-name 4\n*", 0},
    {"--dir DIR " MODULE " list old.d", "", "*s 7\n*", 0},
    {"--dir DIR " MODULE " remove old.d", "", "remove 55\n", 1},
    {"--dir DIR " MODULE " unlink old.d", "", "unlink 31\n", 1},
    {"--dir DIR " MODULE " fds", "", "", 0},
    {"--read-only-dir DIR " MODULE " cat old", "", "one\ntwo\n", 0},
    {"--read-only-dir DIR " MODULE " put old three", "", "put 69\n", 1},
    {"--read-only-dir DIR " MODULE " make new", "", "make 69\n", 1},
    {"--read-only-dir DIR " MODULE " unlink old", "", "unlink 69\n", 1},
    {"--read-only-dir DIR " MODULE " move old new", "", "move 69\n", 1},
    {"--read-only-dir DIR " MODULE " link old new", "", "link 69\n", 1},
    {"--read-only-dir DIR " MODULE " symlink old new", "", "symlink 69\n", 1},
    {"--read-only-dir DIR " GUEST " cat old", "", "one\ntwo\n", 0},
    {"--read-only-dir DIR " GUEST " put old three", "", "open 33\n", 1},
    {"--dir DIR " MODULE " move old old.d/moved", "", "", 0},
    {"--dir DIR " MODULE " wild", "", "all faults\n", 0},
    {MODULE " exit 7", "", "", 7},
    {MODULE " sleep 1", "", "", 0},
    {MODULE " race 100000", "x", "input\n", 0},
    {"--timeout 20ms " MODULE " sleep 100000", "", "[*deadline passed*]", 124},
    {"--timeout 20ms " MODULE " echo", NULL, "[*deadline passed*]", 124},
    {"--timeout 20ms " GUEST " echo", NULL, "[*deadline passed*]", 124},
    {MODULE " race 1", NULL, "clock\n", 0},
    {"--timeout 20ms " MODULE " loop", "", "[*deadline passed*]", 124},
    {"--fuel 1000 " MODULE " loop", "", "[*fuel used up*]", 134},
    {MODULE " trap", "", "[*unreachable*in start (func *]", 134},
    {"--invoke sum " MODULE " 2 3", "", "5\n", 0},
    {NET " alone", "", "failed PermissionDenied\n", 1},
    {"--net-allow 127.0.0.1:* " NET " alone", "",
     "accepted true\nfar \"to the far end\"\nnear \"and back\"\nthen Err(ConnectionRefused)\n"
     "datagram true true\nanswer true\n",
     0},
    {"--net-allow localhost:1 " NET " talk localhost:1", "", "failed ConnectionRefused\n", 1},
    {"--net-allow localhost:1 " NET " talk 127.0.0.1:1", "", "failed PermissionDenied\n", 1},
    {"--net-allow localhost:1 " NET " talk example.com:1", "", "failed PermissionDenied\n", 1},
    {"--net-allow localhost " NET " alone", "", "[--net-allow: 'localhost' is not HOST:PORT*]", 1},
    {"--invoke none " MODULE, "", "[*no function 'none'*]", 1},
    {"DIR/stranger", "", "[*'env' 'f'*WASI 0.1*]", 1},
};

/* '*' in the pattern stands for any text. */
static bool matches(const char *pattern, const char *text)
{
    for (; *pattern && *pattern != '*'; pattern++, text++)
        if (*pattern != *text)
            return false;
    if (!*pattern)
        return !*text;
    for (;; text++) {
        if (matches(pattern + 1, text))
            return true;
        if (!*text)
            return false;
    }
}

START_TEST(runs)
{
    char line[512], out[4096];
    const char *dir = strstr(cases[_i].line, "DIR");
    int head = dir ? (int)(dir - cases[_i].line) : 0;
    snprintf(line, sizeof line, "%.*s%s%s", head, cases[_i].line, dir ? directory : "",
             dir ? dir + 3 : cases[_i].line);
    int status = run(line, cases[_i].input, out, sizeof out);
    ck_assert_msg(matches(cases[_i].output, out), "%s: %s", line, out);
    ck_assert_msg(status == cases[_i].status, "%s: status %d", line, status);
}
END_TEST

static bool write_module(const char *name, const uint8_t *bytes, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "wb");
    return f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0;
}

int main(void)
{
    char command[128];
    snprintf(directory, sizeof directory, P_tmpdir "/hostd-run-XXXXXX");
    if (!mkdtemp(directory) || !write_module("numbers", numbers, sizeof numbers) ||
        !write_module("stranger", stranger, sizeof stranger))
        return 1;
    TCase *c = tcase_create("run");
    tcase_add_loop_test(c, runs, 0, ARRAY_LEN(cases));
    Suite *s = suite_create("run");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    snprintf(command, sizeof command, "rm -r '%s'", directory);
    return system(command) != 0 || failed != 0;
}
