/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:cli: environment, exit, standard streams, terminals. Spec: wasi:cli 0.2 and component-model.md 12.6.
 * Output is cut into lines for the embedder; every handle of stdout writes to the same unfinished line.
 * With pass_stdio the streams are the process's own. There are no terminals. */
#include "hostd/wasi/files.h"

#include "lattice/base/num.h"

#define LINE_BYTES_MAX 4096u /* a longer line is printed in pieces */
#define PRINT_ROOM 65536u

/* ---- environment and exit ---- */

static enum comp_host_status get_environment(struct comp_host_call *hc,
                                             const struct wit_value *args, struct wit_value *result)
{
    const struct wasi_opts *o = &wasi_of(hc)->opts;
    struct wit_value *list = wasi_list(hc, o->nenv);
    (void)args;
    for (size_t i = 0; i < o->nenv && list; i++)
        list[i] = wasi_tuple(
            hc, (struct wit_value[]){wit_str(o->env[i].name), wit_str(o->env[i].value)}, 2);
    *result = (struct wit_value){.v = list, .n = (uint32_t)o->nenv};
    return wasi_done(hc);
}

static enum comp_host_status get_arguments(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    static const char *const none[] = {"main.wasm", NULL};
    const char *const *a = wasi_of(hc)->opts.args ? wasi_of(hc)->opts.args : none;
    uint32_t n = 0;
    (void)args;
    while (a[n])
        n++;
    struct wit_value *list = wasi_list(hc, n);
    for (uint32_t i = 0; i < n && list; i++)
        list[i] = wit_str(str_of(a[i]));
    *result = (struct wit_value){.v = list, .n = n};
    return wasi_done(hc);
}

static enum comp_host_status none(struct comp_host_call *hc, const struct wit_value *args,
                                  struct wit_value *result)
{
    (void)args;
    *result = WASI_NONE;
    return wasi_done(hc);
}

static enum comp_host_status
exit_with_result(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    (void)result;
    return comp_exit(hc, args[0].n);
}

static enum comp_host_status exit_with_code(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    (void)result;
    return comp_exit(hc, (uint32_t)args[0].u64);
}

/* ---- stdin: what the embedder gave, then closed; or descriptor 0 ---- */

static enum wasi_state stdin_peek(struct wasi_input *s, struct span *view)
{
    const struct wasi_ctx *c = s->source;
    *view = (struct span){c->opts.stdin_bytes.p + c->stdin_at, c->opts.stdin_bytes.n - c->stdin_at};
    return view->n > 0 ? WASI_OPEN : WASI_CLOSED;
}

static void stdin_take(struct wasi_input *s, size_t n)
{
    struct wasi_ctx *c = s->source;
    c->stdin_at += n;
}

static const struct wasi_input_ops stdin_ops = {stdin_peek, stdin_take, NULL};

static enum comp_host_status get_stdin(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    struct wasi_ctx *c = wasi_of(hc);
    (void)args;
    *result = wasi_own(hc, &wasi_input_class,
                       c->opts.pass_stdio ? files_input(c, 0, FILES_AT_CURRENT, 0)
                                          : wasi_input_new(&stdin_ops, c));
    return wasi_done(hc);
}

/* ---- stdout and stderr ---- */

static void print_line(const struct wasi_line *line, struct str text)
{
    const struct wasi_opts *o = &line->ctx->opts;
    if (o->world->print)
        o->world->print(o->user, line->fd, text);
}

void wasi_line_end(struct wasi_line *line)
{
    if (line->text.n > 0)
        print_line(line, buf_view(&line->text));
    buf_clear(&line->text);
}

/* Up to and with the next newline, or a piece of a line that is too long. */
static size_t print_some(struct wasi_line *line, struct str data)
{
    size_t n = MIN(str_find(data, '\n'), LINE_BYTES_MAX - line->text.n);
    buf_put(&line->text, data.p, n);
    if (n < data.n && data.p[n] == '\n') {
        print_line(line, buf_view(&line->text));
        buf_clear(&line->text);
        return n + 1;
    }
    if (line->text.n == LINE_BYTES_MAX)
        wasi_line_end(line);
    return n;
}

static enum wasi_state line_room(struct wasi_output *s, size_t *n)
{
    (void)s;
    *n = PRINT_ROOM;
    return WASI_OPEN;
}

static void line_write(struct wasi_output *s, struct span data)
{
    struct str rest = span_str(data);
    while (rest.n > 0)
        rest = str_sub(rest, print_some(s->sink, rest), rest.n);
}

static bool line_flushed(struct wasi_output *s)
{
    (void)s;
    return true;
}

static const struct wasi_output_ops line_ops = {line_room, line_write, line_flushed, NULL};

static enum comp_host_status get_output(struct comp_host_call *hc, struct wasi_line *line,
                                        struct wit_value *result)
{
    *result = wasi_own(hc, &wasi_output_class,
                       line->ctx->opts.pass_stdio ? files_output(line->fd, FILES_AT_CURRENT, 0)
                                                  : wasi_output_new(&line_ops, line));
    return wasi_done(hc);
}

static enum comp_host_status get_stdout(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    (void)args;
    return get_output(hc, &wasi_of(hc)->out, result);
}

static enum comp_host_status get_stderr(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    (void)args;
    return get_output(hc, &wasi_of(hc)->err, result);
}

/* ---- rows ---- */

static const char environment_wit[] = "get-environment: func() -> list<tuple<string, string>>;\n"
                                      "get-arguments: func() -> list<string>;\n"
                                      "initial-cwd: func() -> option<string>;\n";
static const struct comp_host_func environment_funcs[] = {
    {"get-environment", get_environment},
    {"get-arguments", get_arguments},
    {"initial-cwd", none},
    {NULL, NULL},
};

static const char exit_wit[] = "exit: func(status: result);\n"
                               "exit-with-code: func(status-code: u8);\n";
static const struct comp_host_func exit_funcs[] = {
    {"exit", exit_with_result},
    {"exit-with-code", exit_with_code},
    {NULL, NULL},
};

static const char stdin_wit[] = "use wasi:io/streams.{input-stream};\n"
                                "get-stdin: func() -> input-stream;\n";
static const char stdout_wit[] = "use wasi:io/streams.{output-stream};\n"
                                 "get-stdout: func() -> output-stream;\n";
static const char stderr_wit[] = "use wasi:io/streams.{output-stream};\n"
                                 "get-stderr: func() -> output-stream;\n";
static const struct comp_host_func stdin_funcs[] = {{"get-stdin", get_stdin}, {NULL, NULL}};
static const struct comp_host_func stdout_funcs[] = {{"get-stdout", get_stdout}, {NULL, NULL}};
static const struct comp_host_func stderr_funcs[] = {{"get-stderr", get_stderr}, {NULL, NULL}};

static const char terminal_input_wit[] = "resource terminal-input;\n";
static const char terminal_output_wit[] = "resource terminal-output;\n";
static const char terminal_stdin_wit[] = "use wasi:cli/terminal-input.{terminal-input};\n"
                                         "get-terminal-stdin: func() -> option<terminal-input>;\n";
static const char terminal_stdout_wit[] =
    "use wasi:cli/terminal-output.{terminal-output};\n"
    "get-terminal-stdout: func() -> option<terminal-output>;\n";
static const char terminal_stderr_wit[] =
    "use wasi:cli/terminal-output.{terminal-output};\n"
    "get-terminal-stderr: func() -> option<terminal-output>;\n";

static const struct wasi_row rows[] = {
    {"wasi:cli/environment@0.2.12", {environment_wit}, {environment_funcs}, NULL},
    {"wasi:cli/exit@0.2.12", {exit_wit}, {exit_funcs}, NULL},
    {"wasi:cli/stdin@0.2.12", {stdin_wit}, {stdin_funcs}, NULL},
    {"wasi:cli/stdout@0.2.12", {stdout_wit}, {stdout_funcs}, NULL},
    {"wasi:cli/stderr@0.2.12", {stderr_wit}, {stderr_funcs}, NULL},
    {"wasi:cli/terminal-input@0.2.12", {terminal_input_wit}, {NULL}, NULL},
    {"wasi:cli/terminal-output@0.2.12", {terminal_output_wit}, {NULL}, NULL},
    {"wasi:cli/terminal-stdin@0.2.12", {terminal_stdin_wit}, {NULL}, none},
    {"wasi:cli/terminal-stdout@0.2.12", {terminal_stdout_wit}, {NULL}, none},
    {"wasi:cli/terminal-stderr@0.2.12", {terminal_stderr_wit}, {NULL}, none},
};
const struct wasi_rows wasi_cli_rows = {rows, ARRAY_LEN(rows)};
