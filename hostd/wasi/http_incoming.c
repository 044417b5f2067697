/* SPDX-License-Identifier: Apache-2.0 */
/* The request that a guest serves: incoming-request, and the embedder's side of it. Spec: wasi:http 0.2.
 * The request object belongs to the context, so it needs no owner between being made and being lowered; the guest's
 * handle to it is one use of it. A guest that drops it unread discards the body. */
#include "hostd/wasi/wasi_int.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* ---- names of methods and schemes, in the order of the cases; what is not listed is `other` ---- */

static const char *const methods[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                      "CONNECT", "OPTIONS", "TRACE", "PATCH"};
static const char *const schemes[] = {"http", "https"};

static struct wit_value choice(struct comp_host_call *hc, const char *const *names, uint32_t n,
                               const char *text)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(names[i], text) == 0)
            return wasi_bare(i);
    return wasi_case(hc, n, wit_str(str_of(text)));
}

struct wit_value wasi_method_value(struct comp_host_call *hc, const char *text)
{
    return choice(hc, methods, ARRAY_LEN(methods), text);
}

struct wit_value wasi_scheme_value(struct comp_host_call *hc, const char *text)
{
    return choice(hc, schemes, ARRAY_LEN(schemes), text);
}

struct str wasi_method_text(const struct wit_value *v)
{
    return v->n < ARRAY_LEN(methods) ? str_of(methods[v->n]) : wit_get_str(v->v);
}

struct str wasi_scheme_text(const struct wit_value *v)
{
    return v->n < ARRAY_LEN(schemes) ? str_of(schemes[v->n]) : wit_get_str(v->v);
}

/* option<string> of a text that may be NULL */
struct wit_value wasi_optional_text(struct comp_host_call *hc, const char *text)
{
    return text ? wasi_some(hc, wit_str(str_of(text))) : WASI_NONE;
}

/* ---- the object ---- */

struct wasi_incoming_request {
    char *method, *scheme, *authority, *path_with_query; /* NULL: none */
    struct wasi_fields *headers;
    bool consumed;
};

void wasi_incoming_request_free(struct wasi_incoming_request *r)
{
    if (!r)
        return;
    wasi_fields_release(r->headers);
    free(r->method);
    free(r->scheme);
    free(r->authority);
    free(r->path_with_query);
    free(r);
}

static void request_drop(void *user, void *obj)
{
    struct wasi_ctx *c = user;
    const struct wasi_incoming_request *r = obj;
    if (!r->consumed)
        wasi_inbody_discard(c->request_body);
}
const struct comp_class wasi_incoming_request_class = {"incoming-request", request_drop};

static char *dup_unless_empty(struct str s)
{
    return s.n ? str_dup(s) : NULL;
}

static struct wasi_incoming_request *request_new(struct wasi_ctx *c,
                                                 const struct http_request *from)
{
    struct wasi_incoming_request *r = xnew(struct wasi_incoming_request);
    *r = (struct wasi_incoming_request){
        .method = str_dup(from->method),
        .scheme = dup_unless_empty(from->scheme),
        .authority = dup_unless_empty(from->authority),
        .path_with_query = dup_unless_empty(from->path_with_query),
        .headers = wasi_fields_received(c, from->fields, from->nfields),
    };
    return r;
}

/* ---- the embedder's side ---- */

bool wasi_http_args(struct wasi_ctx *c, const struct http_request *request,
                    struct wit_value args[2], struct err *e)
{
    if (c->request)
        return err_set(e, ERR_EXISTS, "this context already has an HTTP request");
    if (request->method.n == 0)
        return err_set(e, ERR_INVALID, "an HTTP request without a method");
    c->request = request_new(c, request);
    c->request_body = wasi_inbody_new(c, WASI_SERVED);
    c->head_request = str_eqz(request->method, "HEAD");
    args[0] = (struct wit_value){.obj = c->request};
    args[1] = (struct wit_value){.obj = c}; /* the response-outparam says nothing but whose it is */
    return true;
}

/* ---- functions ---- */

static enum comp_host_status request_method(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    const struct wasi_incoming_request *r = args[0].obj;
    *result = wasi_method_value(hc, r->method);
    return wasi_done(hc);
}

static enum comp_host_status request_path(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    const struct wasi_incoming_request *r = args[0].obj;
    *result = wasi_optional_text(hc, r->path_with_query);
    return wasi_done(hc);
}

static enum comp_host_status request_scheme(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    const struct wasi_incoming_request *r = args[0].obj;
    *result = r->scheme ? wasi_some(hc, wasi_scheme_value(hc, r->scheme)) : WASI_NONE;
    return wasi_done(hc);
}

static enum comp_host_status
request_authority(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    const struct wasi_incoming_request *r = args[0].obj;
    *result = wasi_optional_text(hc, r->authority);
    return wasi_done(hc);
}

static enum comp_host_status request_headers(struct comp_host_call *hc,
                                             const struct wit_value *args, struct wit_value *result)
{
    const struct wasi_incoming_request *r = args[0].obj;
    *result = wasi_fields_own(hc, wasi_fields_hold(r->headers));
    return wasi_done(hc);
}

static enum comp_host_status request_consume(struct comp_host_call *hc,
                                             const struct wit_value *args, struct wit_value *result)
{
    struct wasi_incoming_request *r = args[0].obj;
    if (r->consumed) {
        *result = WASI_ERR;
        return wasi_done(hc);
    }
    r->consumed = true;
    struct wasi_inbody *b = wasi_inbody_hold(wasi_of(hc)->request_body);
    *result = wasi_ok(hc, wasi_own(hc, &wasi_incoming_body_class, b));
    return wasi_done(hc);
}

const struct comp_host_func wasi_incoming_funcs[] = {
    {"[method]incoming-request.method", request_method},
    {"[method]incoming-request.path-with-query", request_path},
    {"[method]incoming-request.scheme", request_scheme},
    {"[method]incoming-request.authority", request_authority},
    {"[method]incoming-request.headers", request_headers},
    {"[method]incoming-request.consume", request_consume},
    {NULL, NULL},
};
