/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's world without a guest: host functions are called by name with values, as the component runtime would,
 * and what they do to the embedder is written down. Stands in for the runtime's comp_trap, comp_exit and
 * comp_host_child, so a test including this must not link a real guest. */
#ifndef HOSTD_TESTS_WASI_FAKE_H
#define HOSTD_TESTS_WASI_FAKE_H

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "hostd/wasi/wasi.h"
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"

#define HTTP "wasi:http/types@0.2.2"
#define STREAMS "wasi:io/streams@0.2.0"
#define POLL "wasi:io/poll@0.2.6"

struct fake {
    struct wasi_ctx *ctx;
    struct arena arena;
    struct comp_host_call hc;
    struct wit_value result;
    const struct wit_func *func; /* of the last call */
    char trap[256];
    uint32_t exit_code, children;
    uint64_t now_ns;

    struct buf printed; /* "1:line|2:line|" */
    struct buf
        fetched; /* of the requests and calls it made: "1 GET https://h/p|1 data abc|1 finished|" */
    struct buf head; /* "200 name=value name=value" or "error CODE text" */
    struct buf body;
    size_t consumed;
    char end[64]; /* "finished", "finished name=value", "aborted"; empty before */
};

static inline bool fake_push(const struct fake *f, uint32_t exchange, struct span data)
{
    struct err e = ERR_INIT;
    return wasi_body_push(f->ctx, exchange, data, &e);
}

/* ---- the runtime ---- */

enum comp_host_status comp_trap(struct comp_host_call *hc, const char *fmt, ...)
{
    struct fake *f = wasi_user(hc->user);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->trap, sizeof f->trap, fmt, ap);
    va_end(ap);
    return COMP_HOST_TRAP;
}

enum comp_host_status comp_exit(struct comp_host_call *hc, uint32_t code)
{
    struct fake *f = wasi_user(hc->user);
    f->exit_code = code;
    return COMP_HOST_EXIT;
}

void comp_host_child(struct comp_host_call *hc, void *parent, void *child)
{
    struct fake *f = wasi_user(hc->user);
    ck_assert(parent && child && parent != child);
    f->children++;
}

/* ---- the embedder ---- */

static void put_fields(struct buf *out, const struct http_field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, " %.*s=%.*s", STR_ARG(fields[i].name), STR_ARG(fields[i].value));
}

static void fake_print(void *user, int fd, struct str line)
{
    struct fake *f = user;
    buf_printf(&f->printed, "%d:%.*s|", fd, STR_ARG(line));
}

static void fake_respond(void *user, const struct http_response *head,
                         const struct http_error *error)
{
    struct fake *f = user;
    ck_assert_uint_eq(f->head.n, 0);
    ck_assert(!head != !error);
    if (head) {
        buf_printf(&f->head, "%u", head->status);
        put_fields(&f->head, head->fields, head->nfields);
    } else {
        buf_printf(&f->head, "error %s %.*s", http_error_name(error->code), STR_ARG(error->text));
    }
}

static void fake_body_data(void *user, uint32_t exchange, struct span data)
{
    struct fake *f = user;
    ck_assert_uint_gt(data.n, 0);
    if (exchange != WASI_SERVED) {
        buf_printf(&f->fetched, "%u data %.*s|", exchange, STR_ARG(span_str(data)));
        return;
    }
    ck_assert(f->head.n > 0 && !f->end[0]);
    buf_put(&f->body, data.p, data.n);
}

static void fake_body_end(void *user, uint32_t exchange, bool finished,
                          const struct http_field *trailers, size_t ntrailers)
{
    struct fake *f = user;
    AUTO(buf_fini) struct buf text = BUF_INIT;
    buf_printf(&text, "%s", finished ? "finished" : "aborted");
    put_fields(&text, trailers, ntrailers);
    if (exchange != WASI_SERVED) {
        buf_printf(&f->fetched, "%u %.*s|", exchange, STR_ARG(buf_view(&text)));
        return;
    }
    ck_assert(f->head.n > 0 && !f->end[0]);
    snprintf(f->end, sizeof f->end, "%.*s", STR_ARG(buf_view(&text)));
}

static void fake_body_consumed(void *user, uint32_t exchange, size_t n)
{
    struct fake *f = user;
    if (exchange == WASI_SERVED)
        f->consumed += n;
    else
        buf_printf(&f->fetched, "%u consumed %zu|", exchange, n);
}

static void fake_fetch(void *user, uint32_t exchange, const struct wasi_request *r)
{
    struct fake *f = user;
    buf_printf(&f->fetched, "%u %.*s %.*s://%.*s%.*s", exchange, STR_ARG(r->head.method),
               STR_ARG(r->head.scheme), STR_ARG(r->head.authority),
               STR_ARG(r->head.path_with_query));
    put_fields(&f->fetched, r->head.fields, r->head.nfields);
    if (r->has_body && r->body_bytes == UINT64_MAX)
        buf_printf(&f->fetched, " body");
    else if (r->has_body)
        buf_printf(&f->fetched, " body of %u", (unsigned)r->body_bytes);
    if (r->connect_ns)
        buf_printf(&f->fetched, " connect %u", (unsigned)r->connect_ns);
    buf_printf(&f->fetched, "|");
}

static void fake_call_out(void *user, uint32_t exchange, const struct wasi_call *call)
{
    struct fake *f = user;
    buf_printf(&f->fetched, "%u %.*s", exchange, STR_ARG(call->func));
    for (size_t i = 0; i < call->params.n; i++)
        buf_printf(&f->fetched, " %02x", call->params.p[i]);
    buf_printf(&f->fetched, call->has_body ? " body|" : "|");
}

static void fake_fetch_drop(void *user, uint32_t exchange)
{
    buf_printf(&((struct fake *)user)->fetched, "%u dropped|", exchange);
}

static bool fake_config_get(void *user, struct str key, struct str *value)
{
    (void)user;
    *value = STR("blue");
    return str_eqz(key, "color");
}

static bool fake_config_at(void *user, size_t i, struct str *key, struct str *value)
{
    (void)user;
    *key = STR("color");
    *value = STR("blue");
    return i == 0;
}

static void fake_log(void *user, uint32_t level, struct str context, struct str message)
{
    struct fake *f = user;
    buf_printf(&f->printed, "log%u:%.*s:%.*s|", level, STR_ARG(context), STR_ARG(message));
}

static const struct wasi_world fake_world = {
    .print = fake_print,
    .config_get = fake_config_get,
    .config_at = fake_config_at,
    .log = fake_log,
    .respond = fake_respond,
    .body_data = fake_body_data,
    .body_end = fake_body_end,
    .body_consumed = fake_body_consumed,
    .fetch = fake_fetch,
    .call = fake_call_out,
    .fetch_drop = fake_fetch_drop,
};

static uint64_t fake_now(void *user)
{
    return ((struct fake *)user)->now_ns;
}

/* Heap, because contexts point back to it. */
static inline struct fake *fake_new(const struct wasi_opts *opts)
{
    struct fake *f = xnew(struct fake);
    struct wasi_opts o = opts ? *opts : (struct wasi_opts){0};
    o.world = &fake_world;
    o.user = f;
    f->now_ns = 1000000000;
    clock_source(fake_now, f, 1700000000000000000u);
    arena_init(&f->arena, 1 << 20);
    f->ctx = wasi_ctx_new(&o);
    return f;
}

static inline void fake_free(struct fake *f)
{
    wasi_ctx_free(f->ctx);
    clock_source(NULL, NULL, 0);
    arena_fini(&f->arena);
    buf_fini(&f->printed);
    buf_fini(&f->fetched);
    buf_fini(&f->head);
    buf_fini(&f->body);
    free(f);
}

/* ---- calling ---- */

#define ARGS(...)                            \
    (const struct wit_value[]){__VA_ARGS__}, \
        sizeof((struct wit_value[]){__VA_ARGS__}) / sizeof(struct wit_value)
#define NO_ARGS NULL, 0
#define OBJ(p) ((struct wit_value){.obj = (p)})
#define NONE ((struct wit_value){.n = 0})
#define OKAY(v_) ((struct wit_value){.v = (v_), .n = 0})
#define SOME(v_) ((struct wit_value){.v = (v_), .n = 1})
#define TEXT(z) wit_str(str_of(z))

static inline comp_host_fn *fake_find(struct fake *f, const char *iface, const char *func)
{
    const struct comp_host_iface *i = wasi_find(str_of(iface));
    ck_assert_msg(i, "no interface %s", iface);
    for (uint32_t k = 0; k < i->nfuncs; k++) {
        if (strcmp(i->funcs[k].name, func) != 0)
            continue;
        f->func = wit_iface_func(i->types, str_of(func));
        return i->funcs[k].fn;
    }
    ck_abort_msg("no function %s", func);
    return NULL;
}

/* Once; a PENDING function is called again with fake_again. */
static inline enum comp_host_status fake_try(struct fake *f, const char *iface, const char *func,
                                             const struct wit_value *args, size_t nargs)
{
    comp_host_fn *fn = fake_find(f, iface, func);
    ck_assert_uint_eq(nargs, f->func->nparams);
    f->hc.user = f->ctx;
    f->hc.arena = &f->arena;
    f->result = (struct wit_value){0};
    enum comp_host_status status = fn(&f->hc, args, &f->result);
    if (status != COMP_HOST_PENDING)
        f->hc.state = NULL;
    return status;
}

/* Must be done at once; the result as text. */
static inline const char *fake_call(struct fake *f, const char *iface, const char *func,
                                    const struct wit_value *args, size_t nargs)
{
    enum comp_host_status status = fake_try(f, iface, func, args, nargs);
    ck_assert_msg(status == COMP_HOST_DONE, "%s: status %d %s", func, status, f->trap);
    if (!f->func->result)
        return "";
    AUTO(buf_fini) struct buf text = BUF_INIT;
    wit_value_text(f->func->result, &f->result, &text);
    return arena_printf(&f->arena, "%.*s", STR_ARG(buf_view(&text)));
}

/* The object of the last result: own<r>, or ok/some of it. */
static inline void *fake_obj(const struct fake *f)
{
    return f->func->result->kind == WIT_OWN ? f->result.obj : f->result.v->obj;
}

static inline void *fake_make(struct fake *f, const char *iface, const char *func,
                              const struct wit_value *args, size_t nargs)
{
    fake_call(f, iface, func, args, nargs);
    return fake_obj(f);
}

static inline void fake_drop(struct fake *f, const char *iface, const char *resource, void *obj)
{
    const struct comp_class *class = wasi_find_class(str_of(iface), str_of(resource));
    ck_assert_msg(class, "no class %s", resource);
    class->drop(f->ctx, obj);
}

static inline int fake_run(const char *name, TCase *c)
{
    Suite *s = suite_create(name);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}

#define EXPECT(text, ...) ck_assert_str_eq(fake_call(__VA_ARGS__), text)

#endif
