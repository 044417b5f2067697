/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:http/types.fields: header and trailer lists. Spec: wasi:http 0.2, RFC 9110 section 5, component-model.md 12.5.
 *
 * Keeps: names are valid tokens in lower case, values hold no control bytes, both are our own copies; the bytes of
 * one object stay below WASI_FIELDS_BYTES_MAX and count for the guest's WASI_HELD_BYTES_MAX. Fields are shared by
 * their holders (messages, handles), so handing them out is cheap and the order in which a guest drops handles does not
 * matter; what was received or given away is immutable. */
#include "hostd/wasi/wasi_int.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

enum header_error { INVALID_SYNTAX, FORBIDDEN, IMMUTABLE, HEADER_OK };

/* Counted per field beside its bytes, so that many empty ones are bounded too. */
#define FIELD_OVERHEAD 32u

/* Belong to the connection, not to the message. */
static const char *const forbidden[] = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "host",
    "http2-settings",
};

/* ---- the object ---- */

static struct wasi_fields *fields_empty(struct wasi_ctx *c)
{
    struct wasi_fields *f = xnew(struct wasi_fields);
    f->ctx = c;
    f->holders = 1;
    return f;
}

struct wasi_fields *wasi_fields_hold(struct wasi_fields *f)
{
    f->holders++;
    return f;
}

static void free_field(struct http_field *field)
{
    free((char *)(uintptr_t)field->name.p);
    free((char *)(uintptr_t)field->value.p);
}

void wasi_fields_release(struct wasi_fields *f)
{
    if (!f || --f->holders > 0)
        return;
    for (size_t i = 0; i < f->n; i++)
        free_field(&f->at[i]);
    f->ctx->held -= f->bytes;
    free(f->at);
    free(f);
}

/* What a guest's handle stands for. */
struct fields_handle {
    struct wasi_fields *fields;
};

static void fields_drop(void *user, void *obj)
{
    struct fields_handle *h = obj;
    (void)user;
    wasi_fields_release(h->fields);
    free(h);
}
const struct comp_class wasi_fields_class = {"fields", fields_drop};

struct wit_value wasi_fields_own(struct comp_host_call *hc, struct wasi_fields *f)
{
    struct fields_handle *h = xnew(struct fields_handle);
    h->fields = f;
    return wasi_own(hc, &wasi_fields_class, h);
}

struct wasi_fields *wasi_fields_take(void *handle)
{
    struct fields_handle *h = handle;
    struct wasi_fields *f = h->fields;
    free(h);
    f->immutable = true;
    return f;
}

static struct wasi_fields *self(const struct wit_value *args)
{
    return ((struct fields_handle *)args[0].obj)->fields;
}

/* ---- rules ---- */

static bool token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool name_ok(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!token_char(name.p[i]))
            return false;
    return name.n > 0;
}

static bool value_ok(struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        uint8_t c = (uint8_t)value.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_forbidden(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
        if (str_ieq(name, str_of(forbidden[i])))
            return true;
    return false;
}

/* May this object's entries of that name be changed? */
static enum header_error may_change(const struct wasi_fields *f, struct str name)
{
    if (!name_ok(name))
        return INVALID_SYNTAX;
    if (is_forbidden(name))
        return FORBIDDEN;
    return f->immutable ? IMMUTABLE : HEADER_OK;
}

/* ---- entries ---- */

static struct str lower_copy(struct str s)
{
    char *p = str_dup(s);
    for (size_t i = 0; i < s.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] - 'A' + 'a');
    return (struct str){p, s.n};
}

/* Adds checked text; false when the object, or all the guest holds, would become too large. */
static bool add(struct wasi_fields *f, struct str name, struct str value)
{
    size_t bytes = name.n + value.n + FIELD_OVERHEAD;
    if (name.n > WASI_FIELDS_BYTES_MAX || value.n > WASI_FIELDS_BYTES_MAX ||
        bytes > WASI_FIELDS_BYTES_MAX - f->bytes || bytes > WASI_HELD_BYTES_MAX - f->ctx->held)
        return false;
    if (f->n == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 8;
        f->at = xrealloc(f->at, f->cap * sizeof *f->at);
    }
    f->at[f->n++] = (struct http_field){lower_copy(name), {str_dup(value), value.n}};
    f->bytes += bytes;
    f->ctx->held += bytes;
    return true;
}

static void remove_all(struct wasi_fields *f, struct str name)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->n; i++) {
        if (str_ieq(f->at[i].name, name)) {
            size_t bytes = f->at[i].name.n + f->at[i].value.n + FIELD_OVERHEAD;
            f->bytes -= bytes;
            f->ctx->held -= bytes;
            free_field(&f->at[i]);
        } else {
            f->at[kept++] = f->at[i];
        }
    }
    f->n = kept;
}

/* The first of that name. NULL: none. */
static const struct http_field *find(const struct wasi_fields *f, struct str name)
{
    for (size_t i = 0; i < f->n; i++)
        if (str_ieq(f->at[i].name, name))
            return &f->at[i];
    return NULL;
}

struct wasi_fields *wasi_fields_received(struct wasi_ctx *c, const struct http_field *fields,
                                         size_t n)
{
    struct wasi_fields *f = fields_empty(c);
    for (size_t i = 0; i < n; i++)
        if (name_ok(fields[i].name) && value_ok(fields[i].value) && !is_forbidden(fields[i].name) &&
            !add(f, fields[i].name, fields[i].value))
            break;
    f->immutable = true;
    return f;
}

bool wasi_fields_length(const struct wasi_fields *f, bool *has_length, uint64_t *length)
{
    const struct http_field *field = find(f, STR("content-length"));
    *has_length = field != NULL;
    *length = 0;
    return !field || str_u64(field->value, length);
}

/* ---- functions ---- */

static struct wit_value header_outcome(struct comp_host_call *hc, enum header_error error)
{
    return error == HEADER_OK ? WASI_OK : wasi_err(hc, wasi_bare(error));
}

static enum comp_host_status too_large(struct comp_host_call *hc)
{
    return comp_trap(hc, "fields larger than %u bytes, or %u bytes together", WASI_FIELDS_BYTES_MAX,
                     WASI_HELD_BYTES_MAX);
}

static enum comp_host_status fields_new(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    (void)args;
    *result = wasi_fields_own(hc, fields_empty(wasi_of(hc)));
    return wasi_done(hc);
}

static enum header_error entry_error(const struct wit_value *entry)
{
    struct str name = wit_get_str(&entry->v[0]);
    if (!name_ok(name) || !value_ok(wit_get_str(&entry->v[1])))
        return INVALID_SYNTAX;
    return is_forbidden(name) ? FORBIDDEN : HEADER_OK;
}

static enum comp_host_status
fields_from_list(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    const struct wit_value *list = &args[0];
    struct wasi_fields *f = fields_empty(wasi_of(hc));
    for (uint32_t i = 0; i < list->n; i++) {
        const struct wit_value *entry = &list->v[i];
        enum header_error error = entry_error(entry);
        if (error != HEADER_OK) {
            wasi_fields_release(f);
            *result = header_outcome(hc, error);
            return wasi_done(hc);
        }
        if (!add(f, wit_get_str(&entry->v[0]), wit_get_str(&entry->v[1]))) {
            wasi_fields_release(f);
            return too_large(hc);
        }
    }
    *result = wasi_ok(hc, wasi_fields_own(hc, f));
    return wasi_done(hc);
}

static enum comp_host_status fields_get(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    const struct wasi_fields *f = self(args);
    struct wit_value *list = wasi_list(hc, f->n);
    uint32_t n = 0;
    for (size_t i = 0; i < f->n && list; i++)
        if (str_ieq(f->at[i].name, wit_get_str(&args[1])))
            list[n++] = wit_str(f->at[i].value);
    *result = (struct wit_value){.v = list, .n = n};
    return wasi_done(hc);
}

static enum comp_host_status fields_has(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    *result = wit_u64(find(self(args), wit_get_str(&args[1])) != NULL);
    return wasi_done(hc);
}

static enum comp_host_status fields_set(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    struct wasi_fields *f = self(args);
    struct str name = wit_get_str(&args[1]);
    const struct wit_value *values = &args[2];
    enum header_error error = may_change(f, name);
    for (uint32_t i = 0; i < values->n && error == HEADER_OK; i++)
        if (!value_ok(wit_get_str(&values->v[i])))
            error = INVALID_SYNTAX;
    if (error == HEADER_OK) {
        remove_all(f, name);
        for (uint32_t i = 0; i < values->n; i++)
            if (!add(f, name, wit_get_str(&values->v[i])))
                return too_large(hc);
    }
    *result = header_outcome(hc, error);
    return wasi_done(hc);
}

static enum comp_host_status fields_delete(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    struct wasi_fields *f = self(args);
    struct str name = wit_get_str(&args[1]);
    enum header_error error = may_change(f, name);
    if (error == HEADER_OK)
        remove_all(f, name);
    *result = header_outcome(hc, error);
    return wasi_done(hc);
}

static enum comp_host_status fields_append(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    struct wasi_fields *f = self(args);
    struct str name = wit_get_str(&args[1]), value = wit_get_str(&args[2]);
    enum header_error error = may_change(f, name);
    if (error == HEADER_OK && !value_ok(value))
        error = INVALID_SYNTAX;
    if (error == HEADER_OK && !add(f, name, value))
        return too_large(hc);
    *result = header_outcome(hc, error);
    return wasi_done(hc);
}

static enum comp_host_status fields_entries(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    const struct wasi_fields *f = self(args);
    struct wit_value *list = wasi_list(hc, f->n);
    for (size_t i = 0; i < f->n && list; i++)
        list[i] = wasi_tuple(
            hc, (struct wit_value[]){wit_str(f->at[i].name), wit_str(f->at[i].value)}, 2);
    *result = (struct wit_value){.v = list, .n = (uint32_t)f->n};
    return wasi_done(hc);
}

static enum comp_host_status fields_clone(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    const struct wasi_fields *f = self(args);
    struct wasi_fields *copy = fields_empty(wasi_of(hc));
    for (size_t i = 0; i < f->n; i++) {
        if (!add(copy, f->at[i].name, f->at[i].value)) {
            wasi_fields_release(copy);
            return too_large(hc);
        }
    }
    *result = wasi_fields_own(hc, copy);
    return wasi_done(hc);
}

const struct comp_host_func wasi_fields_funcs[] = {
    {"[constructor]fields", fields_new},      {"[static]fields.from-list", fields_from_list},
    {"[method]fields.get", fields_get},       {"[method]fields.has", fields_has},
    {"[method]fields.set", fields_set},       {"[method]fields.delete", fields_delete},
    {"[method]fields.append", fields_append}, {"[method]fields.entries", fields_entries},
    {"[method]fields.clone", fields_clone},   {NULL, NULL},
};
