/* SPDX-License-Identifier: Apache-2.0 */
/* call: one invocation of a component, as a provider would make it: an HTTP handler with a request from the options, or
 * a function without parameters that returns a string. */
#include "ctl/table.h"

#include <inttypes.h>
#include <stdio.h>
#include "hostd/image/files.h"
#include "lattice/base/alloc.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "wrpc/http.h"
#include "wrpc/wrpc.h"

#define BODY_BYTES_MAX (64u << 20)
#define HTTP_INSTANCE "wrpc:http/incoming-handler@0.1.0"

static const struct wit_path body_path = {2, {0, 0}}, trailers_path = {2, {0, 1}};

struct calling {
    struct ctl *c;
    bool http;
    struct wrpc *wrpc;
    struct wrpc_call *call;
    struct buf root, body;
    struct wrpc_stream_reader reader;
    struct loop_timer *timer;
    bool root_ended, body_ended;
};

/* ---- what comes back ---- */

static void done_if_complete(struct calling *k)
{
    if (k->root_ended && (k->body_ended || !k->http))
        session_answer(k->c, NULL);
}

static void on_data(void *user, struct span data)
{
    struct calling *k = user;
    buf_put(&k->body, data.p, data.n);
    wrpc_call_consumed(k->call, &body_path, data.n);
}

static void on_body(struct calling *k, struct span piece)
{
    struct err e = ERR_INIT;
    if (k->body_ended)
        return;
    if (piece.n && !wrpc_stream_feed(&k->reader, piece, on_data, k, &e))
        session_answer(k->c, &e);
    if (piece.n == 0 && !k->reader.ended) {
        err_set(&e, ERR_PEER, "the response's body was cut short");
        session_answer(k->c, &e);
    }
    k->body_ended = piece.n == 0 || k->reader.ended;
}

static void on_bytes(void *user, const struct wit_path *path, struct span piece)
{
    struct calling *k = user;
    if (path->n == 0)
        buf_put(&k->root, piece.p, piece.n);
    else if (wit_path_eq(path, &body_path))
        on_body(k, piece);
    done_if_complete(k);
}

static void on_end(void *user, const struct err *why)
{
    struct calling *k = user;
    if (why) {
        session_answer(k->c, why);
        return;
    }
    k->root_ended = true;
    /* an answer that is no response, or that holds its body, has no channel for one */
    struct http_response response;
    struct http_error error;
    struct err ignored = ERR_INIT;
    bool is_error = false;
    if (k->http && http_result_decode(buf_span(&k->root), &k->c->arena, &response, &error,
                                      &is_error, &ignored))
        k->body_ended |= is_error || response.body.n > 0;
    done_if_complete(k);
}

/* ---- HTTP ---- */

static bool read_body(struct ctl *c, struct span *out, struct err *e)
{
    const char *text = option_text(c, "http-body"), *path = option_text(c, "http-body-path");
    *out = str_span(str_of(text));
    if (!path)
        return true;
    struct span file;
    if (!file_read(path, BODY_BYTES_MAX, &file, e))
        return false;
    *out = arena_span(&c->arena, file);
    free((void *)file.p);
    return out->p || arena_full(&c->arena, e);
}

static bool send_body(struct calling *k, struct span body, struct err *e)
{
    struct wrpc_out *out, *trailers;
    static const uint8_t none[1] = {0};
    if (!wrpc_call_param(k->call, &body_path, &out, e) ||
        !wrpc_call_param(k->call, &trailers_path, &trailers, e) || !wrpc_out_chunk(out, body, e))
        return false;
    wrpc_out_finish_stream(out);
    bool ok = wrpc_out_write(trailers, (struct span){none, 1}, e);
    wrpc_out_done(trailers);
    return ok;
}

static bool call_http(struct calling *k, struct wrpc_target *t, struct err *e)
{
    struct ctl *c = k->c;
    const char *type = option_text(c, "http-content-type");
    struct http_field fields[1] = {{STR("content-type"), str_of(type)}};
    struct span body;
    struct wit_pendings paths;
    struct buf params = BUF_INIT;
    const struct wit_type *result = http_types_get()->handle_result;
    struct http_request r = {.method = str_of(option_text(c, "http-method")),
                             .scheme = str_of(option_text(c, "http-scheme")),
                             .path_with_query = STR("/"),
                             .fields = fields,
                             .nfields = type ? 1 : 0};
    r.authority = str_of(arena_printf(&c->arena, "%s:%" PRIu64, option_text(c, "http-host"),
                                      option_number(c, "http-port")));
    t->instance = STR(HTTP_INSTANCE);
    bool ok = read_body(c, &body, e) && wit_paths(&result, 1, &paths, e) &&
              http_request_encode(&r, &params, e) &&
              wrpc_invoke(k->wrpc, t, buf_span(&params), &paths, option_number(c, "rpc-timeout-ms"),
                          on_bytes, on_end, k, &k->call, e) &&
              send_body(k, body, e);
    buf_fini(&params);
    return ok;
}

static json_t *headers_of(const struct http_response *r)
{
    json_t *out = json_object();
    for (size_t i = 0; i < r->nfields; i++) {
        char name[256], value[1024];
        json_object_set_new(out, str_show(r->fields[i].name, name, sizeof name),
                            json_string(str_show(r->fields[i].value, value, sizeof value)));
    }
    return out;
}

static bool show_http(struct calling *k, struct err *e)
{
    struct ctl *c = k->c;
    struct http_response r;
    struct http_error error;
    bool is_error;
    if (!http_result_decode(buf_span(&k->root), &c->arena, &r, &error, &is_error, e))
        return err_wrap(e, "the component's response");
    if (is_error)
        return err_set(e, ERR_PEER, "the component answered %s%s%.*s", http_error_name(error.code),
                       error.text.n ? ": " : "", STR_ARG(error.text));
    struct str body = r.body.n ? span_str(r.body) : buf_view(&k->body);
    if (option_flag(c, "http-response-extract-json")) {
        json_error_t why;
        json_t *json = json_loadb(body.p, body.n, JSON_DECODE_ANY, &why);
        if (!json)
            return err_set(e, ERR_INVALID, "the response's body is no JSON: %s", why.text);
        buf_printf(&c->text, "%.*s\n", STR_ARG(body));
        result_set(c, "response", json);
        return true;
    }
    json_t *response = json_pack("{s:i, s:o, s:o}", "status", r.status, "headers", headers_of(&r),
                                 "body", json_str(body));
    AUTO_FREE char *text = json_dumps(response, JSON_INDENT(2));
    buf_printf(&c->text, "%s\n", text);
    result_set(c, "response", response);
    return true;
}

/* ---- a function that returns a string ---- */

static bool show_text(struct calling *k, struct err *e)
{
    const struct wit_type *string = wit_prim(WIT_STRING);
    struct wit_value value;
    size_t used;
    if (!wit_decode(&string, 1, buf_span(&k->root), &k->c->arena, &value, &used, NULL, e))
        return err_set(e, ERR_INVALID,
                       "the function did not answer with a string: only functions without "
                       "parameters that return one can be called");
    struct str text = wit_get_str(&value);
    buf_printf(&k->c->text, "%.*s\n", STR_ARG(text));
    result_set(k->c, "result", json_str(text));
    return true;
}

/* ---- the command ---- */

/* "ns:pkg/iface.func" */
static bool read_function(const char *text, struct wrpc_target *t, bool *http, struct err *e)
{
    struct str s = str_of(text);
    size_t dot = str_rfind(s, '.');
    t->instance = str_sub(s, 0, dot);
    t->func = str_sub(s, dot + 1, s.n);
    struct wit_name name;
    if (dot == s.n || t->func.n == 0 || !wit_name_parse(t->instance, &name))
        return err_set(e, ERR_INVALID, "'%s' is not of the form ns:pkg/interface.function", text);
    *http =
        str_eqz(t->func, "handle") && (str_eqz(name.unversioned, "wasi:http/incoming-handler") ||
                                       str_eqz(name.unversioned, "wrpc:http/incoming-handler"));
    return true;
}

/* The call's own deadline ends with its root. */
static void on_timeout(void *user)
{
    struct calling *k = user;
    struct err e = ERR_INIT;
    k->timer = NULL;
    err_set(&e, ERR_TIMEOUT, "no complete answer within %" PRIu64 " ms (--rpc-timeout-ms)",
            option_number(k->c, "rpc-timeout-ms"));
    session_answer(k->c, &e);
}

static bool run(struct calling *k, struct wrpc_target *t, struct err *e)
{
    struct ctl *c = k->c;
    uint64_t timeout_ms = option_number(c, "rpc-timeout-ms");
    bool sent = k->http ? call_http(k, t, e)
                        : wrpc_invoke(k->wrpc, t, (struct span){NULL, 0}, NULL, timeout_ms,
                                      on_bytes, on_end, k, &k->call, e);
    k->timer = loop_after(c->loop, timeout_ms, on_timeout, k);
    bool ok = session_await(c, sent, e);
    loop_timer_stop(&k->timer);
    if (!ok) {
        if (e->code == ERR_NO_RESPONDERS)
            err_set(e, e->code,
                    "nobody serves '%s' on component '%s' in lattice '%.*s': is it "
                    "running? `hostctl get inventory` shows what is",
                    word(c, 1), word(c, 0), STR_ARG(session_lattice(c)));
        return false;
    }
    return k->http ? show_http(k, e) : show_text(k, e);
}

bool cmd_call(struct ctl *c, struct err *e)
{
    struct calling k = {.c = c};
    struct wrpc_target t = {0};
    struct session_where where = {.host = option_text(c, "rpc-host"),
                                  .port = option_number(c, "rpc-port"),
                                  .creds = option_text(c, "rpc-credsfile"),
                                  .jwt = option_text(c, "rpc-jwt"),
                                  .seed = option_text(c, "rpc-seed"),
                                  .ca_file = option_text(c, "rpc-ca-file")};
    if (!read_function(word(c, 1), &t, &k.http, e) ||
        !session_open_at(c, &where, option_number(c, "rpc-timeout-ms"), e))
        return false;
    const struct bus_header source = {STR("source-id"), STR("hostctl")};
    t.prefix = str_of(arena_printf(&c->arena, "%.*s.%s", STR_ARG(session_lattice(c)), word(c, 0)));
    t.headers = &source;
    t.nheaders = 1;
    t.paced = true;
    buf_init(&k.root, BODY_BYTES_MAX);
    buf_init(&k.body, BODY_BYTES_MAX);
    bool ok = wrpc_open(c->bus, NULL, &k.wrpc, e) && run(&k, &t, e);
    wrpc_call_abandon(k.call);
    wrpc_close(k.wrpc);
    buf_fini(&k.root);
    buf_fini(&k.body);
    return ok;
}
