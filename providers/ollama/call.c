/* SPDX-License-Identifier: Apache-2.0 */
/* A call from its parameters to its answer: one request to Ollama. Errors reach the component as text that says which
 * server and which model. */
#include "providers/ollama/provider.h"

#include <inttypes.h>
#include <stdio.h>
#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"

#define CALL_ARENA_BYTES (32u << 20) /* decoded parameters and answer of one call */
#define CONNECT_MS 10000u
#define STATUS_OK 200
#define STATUS_NOT_FOUND 404

#define INSTANCE "thomastaylor312:ollama/generate"

static const char functions_wit[] =
    "record request { prompt: string, images: option<list<string>> }\n"
    "record response { model: string, created-at: string, response: string, done: bool,\n"
    "  context: option<list<s32>>, total-duration: option<u64>, load-duration: option<u64>,\n"
    "  prompt-eval-count: option<u16>, prompt-eval-duration: option<u64>,\n"
    "  eval-count: option<u16>, eval-duration: option<u64> }\n"
    "generate: func(req: request) -> result<response, string>;\n";

struct call {
    struct call *prev, *next;
    struct provider *provider;
    const struct model *model;
    struct sdk_typed *typed; /* NULL: answered */
    struct http_fetch *fetch;
    struct loop_timer *timer;
    uint16_t status;
    struct buf body;
};

/* ---- ends ---- */

static void call_free(struct call *c)
{
    struct provider *p = c->provider;
    loop_timer_stop(&c->timer);
    http_fetch_free(c->fetch);
    if (c->typed)
        sdk_drop(c->typed);
    DL_DELETE(p->calls, c);
    p->ncalls--;
    buf_fini(&c->body);
    free(c);
    if (p->stopped && !p->calls)
        sdk_stopped(p->sdk);
}

static void answer(struct call *c, uint32_t which, const struct wit_value *payload)
{
    sdk_answer(MOVE(c->typed), c->provider->generate->result,
               &(struct wit_value){.n = which, .v = payload});
    call_free(c);
}

static void fail(struct call *c, const char *text)
{
    struct wit_value error = wit_str(str_of(text));
    answer(c, 1, &error);
}

/* "Ollama at http://127.0.0.1:11434, model 'x': ..." */
static void fail_asked(struct call *c, const char *why)
{
    const struct settings *s = &c->model->settings;
    struct buf text = BUF_INIT;
    char model[128];
    buf_printf(&text, "Ollama at %.*s://%.*s, model '%s': %s%c", STR_ARG(s->scheme),
               STR_ARG(s->authority), str_escape(s->model_name, model, sizeof model), why, '\0');
    log_warn("request failed", LS("source", c->model->link->def->source_id),
             LZ("error", (const char *)text.p));
    fail(c, (const char *)text.p);
    buf_fini(&text);
}

/* ---- the server's answer ---- */

static void on_head(void *user, uint16_t status, const struct http_fetch_field *fields, size_t n)
{
    struct call *c = user;
    (void)fields;
    (void)n;
    c->status = status;
}

static void on_body(void *user, struct span data)
{
    struct call *c = user;
    buf_put(&c->body, data.p, data.n);
    if (c->body.full)
        fail_asked(c, "its answer is longer than 4 MiB");
    else
        http_fetch_consumed(c->fetch, data.n);
}

static void refused(struct call *c)
{
    struct buf why = BUF_INIT;
    buf_printf(&why, "it answers %u", c->status);
    message_error(buf_span(&c->body), &why);
    if (c->status == STATUS_NOT_FOUND)
        buf_printf(&why, " (is the model there? `ollama pull` fetches one)");
    buf_byte(&why, '\0');
    fail_asked(c, (const char *)why.p);
    buf_fini(&why);
}

static void on_end(void *user, const struct http_fetch_field *trailers, size_t n)
{
    struct call *c = user;
    struct wit_value response;
    struct err e = ERR_INIT;
    (void)trailers;
    (void)n;
    if (c->status != STATUS_OK)
        refused(c);
    else if (message_response(buf_span(&c->body), sdk_arena(c->typed), &response, &e))
        answer(c, 0, &response);
    else
        fail_asked(c, e.text);
}

static void on_fail(void *user, enum http_failure why, const char *text)
{
    struct call *c = user;
    char shown[400];
    const char *hint = why == HTTP_FAIL_REFUSED ? " (is it running?)" : "";
    snprintf(shown, sizeof shown, "%s%s", text, hint);
    fail_asked(c, shown);
}

static void on_timeout(void *user)
{
    struct call *c = user;
    char text[96];
    c->timer = NULL;
    snprintf(text, sizeof text, "no answer within %" PRIu64 " ms (setting timeout_ms)",
             c->model->settings.timeout_ms);
    fail_asked(c, text);
}

/* ---- starts ---- */

static void ask(struct call *c)
{
    static const struct http_fetch_handler handler = {
        .head = on_head, .body = on_body, .end = on_end, .fail = on_fail};
    static const struct http_fetch_field fields[] = {
        {STR_INIT("content-type"), STR_INIT("application/json")}};
    const struct settings *s = &c->model->settings;
    struct err e = ERR_INIT;
    enum http_failure why;
    AUTO_FREE char *message = message_request(s, &sdk_args(c->typed)[0], &e);
    if (!message) {
        fail(c, e.text);
        return;
    }
    size_t n = strlen(message);
    struct http_fetch_opts opts = {.method = STR("POST"),
                                   .scheme = s->scheme,
                                   .authority = s->authority,
                                   .path_with_query = s->path,
                                   .fields = fields,
                                   .nfields = ARRAY_LEN(fields),
                                   .has_body = true,
                                   .body_bytes = n,
                                   .connect_ms = CONNECT_MS,
                                   .first_byte_ms = s->timeout_ms,
                                   .between_bytes_ms = s->timeout_ms,
                                   .handler = &handler,
                                   .user = c};
    c->fetch = http_fetch_open(c->provider->http, &opts, &why, &e);
    if (!c->fetch) {
        fail_asked(c, e.text);
        return;
    }
    c->timer = loop_after(sdk_loop(c->provider->sdk), s->timeout_ms, on_timeout, c);
    http_fetch_send(c->fetch, str_span((struct str){message, n}));
    http_fetch_send_end(c->fetch, NULL, 0);
}

static const struct model *find_model(const struct call *c)
{
    struct str source = sdk_caller(c->typed), name = sdk_caller_link(c->typed);
    for (const struct model *m = c->provider->models; m; m = m->next)
        if (str_eq(m->link->def->source_id, source) && str_eq(m->link->def->name, name))
            return m;
    return NULL;
}

static void on_call(void *user, struct sdk_typed *typed)
{
    struct provider *p = user;
    struct call *c = xnew(struct call);
    c->provider = p;
    c->typed = typed;
    buf_init(&c->body, ANSWER_BYTES_MAX);
    DL_APPEND(p->calls, c);
    p->ncalls++;
    c->model = find_model(c);
    if (p->ncalls > CALLS_MAX)
        fail(c, "too many requests at a time for this provider: try again later");
    else if (!c->model)
        fail(c, "the component has no link to this provider");
    else if (c->model->problem.code != ERR_NONE)
        fail(c, c->model->problem.text);
    else
        ask(c);
}

/* ---- all of them ---- */

bool calls_serve(struct provider *p, struct err *e)
{
    const struct wit_iface *iface =
        wit_parse(&p->types, STR(INSTANCE), str_of(functions_wit), NULL, 0, e);
    if (!iface)
        return false;
    p->generate = wit_iface_func(iface, STR("generate"));
    return sdk_serve_typed(p->sdk, STR(INSTANCE), p->generate, on_call, p, &p->served, e);
}

void calls_unserve(struct provider *p)
{
    sdk_func_stop(p->served);
}

void calls_of_model_fail(struct provider *p, const struct model *m, const char *why)
{
    struct call *c, *next;
    DL_FOREACH_SAFE(p->calls, c, next)
    {
        if (c->model == m)
            fail(c, why);
    }
}

void calls_free(struct provider *p)
{
    while (p->calls)
        call_free(p->calls);
    sdk_func_free(p->served);
}
