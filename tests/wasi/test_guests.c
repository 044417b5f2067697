/* SPDX-License-Identifier: Apache-2.0 */
/* Real guests on the real component runtime and this folder's host functions: requests in, answers out, with bodies
 * that come and leave a few bytes at a time. The guests are not in the tree: $HOSTD_DATA/guests, else
 * ../shared/data/guests; without them the tests say that they are skipped. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "hostd/wasi/wasi.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define STEP 7u /* bytes of body, either way, each time the guest waits */

struct world {
    struct buf head, body, printed;
    size_t consumed;
    bool ended, finished;
};

static void on_print(void *user, int fd, struct str line)
{
    struct world *w = user;
    buf_printf(&w->printed, "%d:%.*s|", fd, STR_ARG(line));
}

static void on_respond(void *user, const struct http_response *head, const struct http_error *error)
{
    struct world *w = user;
    ck_assert(head && !error && w->head.n == 0);
    buf_printf(&w->head, "%u", head->status);
    for (size_t i = 0; i < head->nfields; i++)
        buf_printf(&w->head, " %.*s=%.*s", STR_ARG(head->fields[i].name),
                   STR_ARG(head->fields[i].value));
}

static void on_body_data(void *user, uint32_t exchange, struct span data)
{
    struct world *w = user;
    ck_assert(!w->ended && exchange == WASI_SERVED);
    buf_put(&w->body, data.p, data.n);
}

static void on_body_end(void *user, uint32_t exchange, bool finished,
                        const struct http_field *trailers, size_t ntrailers)
{
    struct world *w = user;
    (void)trailers;
    ck_assert(!w->ended && ntrailers == 0 && exchange == WASI_SERVED);
    w->ended = true;
    w->finished = finished;
}

static void on_consumed(void *user, uint32_t exchange, size_t n)
{
    ck_assert(exchange == WASI_SERVED);
    ((struct world *)user)->consumed += n;
}

static const struct wasi_world world = {
    .print = on_print,
    .respond = on_respond,
    .body_data = on_body_data,
    .body_end = on_body_end,
    .body_consumed = on_consumed,
};

/* ---- linking: everything that is not ours answers ok ---- */

static enum comp_host_status answer_ok(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    static const struct wit_value thing = {.obj = (void *)&thing};
    (void)hc;
    (void)args;
    *result = (struct wit_value){.v = &thing};
    return COMP_HOST_DONE;
}

static bool bind(void *user, const struct comp_link_site *site, struct str import,
                 const struct wit_func *func, comp_host_fn **fn, void **func_user, struct err *e)
{
    (void)site;
    (void)user;
    (void)import;
    (void)func;
    (void)e;
    *fn = answer_ok;
    *func_user = NULL;
    return true;
}

static const struct comp_host_iface *find(void *user, struct str import)
{
    (void)user;
    return wasi_find(import);
}

static const struct comp_class *find_class(void *user, struct str import, struct str resource)
{
    (void)user;
    return wasi_find_class(import, resource);
}

static struct comp_linked *load(const char *name)
{
    static uint8_t bytes[1 << 20];
    const struct comp_linker linker = {find, find_class, bind, NULL};
    const char *data = getenv("HOSTD_DATA");
    struct err e = ERR_INIT;
    AUTO_FREE char *path =
        xasprintf("%s/guests/%s/%s.wasm", data ? data : "../shared/data", name, name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        printf("skipped: no guest %s\n", path);
        return NULL;
    }
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    struct comp *c = comp_load((struct span){bytes, n}, NULL, &e);
    ck_assert_msg(c, "%s", e.text);
    struct comp_linked *l = comp_link(c, &linker, &e);
    ck_assert_msg(l, "%s", e.text);
    comp_unref(c);
    return l;
}

/* ---- one request ---- */

/* Lets a little more of both bodies through; false when that makes nothing ready. */
static bool feed(struct wasi_ctx *ctx, struct span *body)
{
    struct span part = {body->p, MIN(body->n, STEP)};
    struct err e = ERR_INIT;
    if (part.n > 0)
        ck_assert_msg(wasi_body_push(ctx, WASI_SERVED, part, &e), "%s", e.text);
    else
        wasi_body_end(ctx, WASI_SERVED, NULL, 0);
    body->p += part.n;
    body->n -= part.n;
    wasi_body_credit(ctx, WASI_SERVED, STEP);
    return wasi_ready(ctx);
}

static void serve(struct comp_linked *l, struct comp_inst *inst, struct wasi_ctx *ctx,
                  const struct http_request *request, struct span body)
{
    const struct comp_func *f =
        comp_find(l, STR("wasi:http/incoming-handler@0.2.0"), STR("handle"));
    struct wit_value args[2];
    struct err e = ERR_INIT;
    enum comp_outcome outcome;
    ck_assert_ptr_nonnull(f);
    ck_assert_msg(wasi_http_args(ctx, request, args, &e), "%s", e.text);
    ck_assert_msg(comp_call(inst, f, args, &e), "%s", e.text);
    int stuck = 0;
    while ((outcome = comp_run(inst)) == COMP_PARKED && stuck < 100)
        for (stuck = 0; !feed(ctx, &body) && stuck < 100; stuck++)
            ;
    ck_assert_msg(outcome == COMP_DONE, "outcome %d %s", outcome, comp_trap_text(inst));
}

static const struct exchange {
    const char *guest, *method, *path, *body;
    const char *head, *answer, *printed;
} exchanges[] = {
    {"hello-c", "GET", "/x?y", "", "200 content-type=text/plain", "hello from c: /x?y\n", ""},
    {"hello-c", "POST", "/", "unread", "200 content-type=text/plain", "hello from c: /\n", ""},
    {"hello-c", "HEAD", "/", "", "200 content-type=text/plain", "", ""},
    {"hello-rust", "GET", "/abc", "", "200", "hello from rust: /abc (4 bytes)\n", ""},
    {"smartcms-c", "GET", "/nope", "", "200", "Invalid route!\n", "2:cms: /nope|"},
    {"smartcms-c", "POST", "/api/create", "a name\nand a story long enough for a few pieces", "200",
     "Stored a name\n", "2:cms: /api/create|"},
};

static void exchange(const struct exchange *x, struct comp_linked *l, struct comp_inst **inst)
{
    struct world w = {0};
    struct err e = ERR_INIT;
    const struct http_request request = {.method = str_of(x->method),
                                         .scheme = STR("http"),
                                         .authority = STR("localhost"),
                                         .path_with_query = str_of(x->path)};
    struct wasi_ctx *ctx = wasi_ctx_new(&(struct wasi_opts){.world = &world, .user = &w});
    if (*inst && !comp_inst_reset(*inst, ctx)) {
        comp_inst_free(*inst);
        *inst = NULL;
    }
    if (!*inst)
        *inst = comp_inst_new(l, ctx, &e);
    ck_assert_msg(*inst, "%s", e.text);
    serve(l, *inst, ctx, &request, str_span(str_of(x->body)));
    ck_assert(str_eqz(buf_view(&w.head), x->head));
    ck_assert_msg(str_eqz(buf_view(&w.body), x->answer), "%.*s", STR_ARG(buf_view(&w.body)));
    ck_assert(str_eqz(buf_view(&w.printed), x->printed));
    ck_assert(w.ended && w.finished);
    /* the objects behind the guest's handles go before the context does */
    if (!comp_inst_reset(*inst, NULL)) {
        comp_inst_free(*inst);
        *inst = NULL;
    }
    wasi_ctx_free(ctx);
    buf_fini(&w.head);
    buf_fini(&w.body);
    buf_fini(&w.printed);
}

START_TEST(guests_answer)
{
    const struct exchange *x = &exchanges[_i];
    struct comp_linked *l = load(x->guest);
    struct comp_inst *inst = NULL;
    for (int round = 0; l && round < 3; round++)
        exchange(x, l, &inst);
    comp_inst_free(inst);
    comp_linked_unref(l);
}
END_TEST

START_TEST(a_guest_can_be_ended_at_any_wait)
{
    struct comp_linked *l = load("hello-c");
    struct err e = ERR_INIT;
    const struct http_request request = {.method = STR("GET"), .path_with_query = STR("/")};
    for (size_t credit = 0; l && credit < 40; credit++) {
        struct world w = {0};
        struct wit_value args[2];
        struct wasi_ctx *ctx = wasi_ctx_new(&(struct wasi_opts){.world = &world, .user = &w});
        struct comp_inst *inst = comp_inst_new(l, ctx, &e);
        ck_assert(wasi_http_args(ctx, &request, args, &e));
        ck_assert(comp_call(
            inst, comp_find(l, STR("wasi:http/incoming-handler@0.2.0"), STR("handle")), args, &e));
        wasi_body_credit(ctx, WASI_SERVED, credit);
        enum comp_outcome outcome = comp_run(inst);
        ck_assert(outcome == COMP_PARKED || outcome == COMP_DONE);
        comp_inst_free(inst);
        wasi_ctx_free(ctx);
        ck_assert(w.ended && w.finished == (outcome == COMP_DONE));
        buf_fini(&w.head);
        buf_fini(&w.body);
    }
    comp_linked_unref(l);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("guests");
    wasm_init();
    tcase_add_loop_test(c, guests_answer, 0, ARRAY_LEN(exchanges));
    tcase_add_test(c, a_guest_can_be_ended_at_any_wait);
    Suite *s = suite_create("wasi/guests");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
