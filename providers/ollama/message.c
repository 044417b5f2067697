/* SPDX-License-Identifier: Apache-2.0 */
/* Ollama's JSON and the records of thomastaylor312:ollama/generate. Pure. */
#include <jansson.h>
#include "lattice/base/num.h"
#include "providers/ollama/provider.h"

enum { REQUEST_PROMPT, REQUEST_IMAGES };

#define ERROR_TEXT_MAX 400

/* ---- the request ---- */

static json_t *text(struct str s) /* NULL: not UTF-8 */
{
    return json_stringn(s.n ? s.p : "", s.n);
}

static bool add_images(json_t *message, const struct wit_value *option)
{
    json_t *out = json_array();
    const struct wit_value *list = option->v;
    bool ok = true;
    for (uint32_t i = 0; option->n && ok && i < list->n; i++)
        ok = json_array_append_new(out, text(wit_get_str(&list->v[i]))) == 0;
    if (ok && option->n)
        json_object_set(message, "images", out);
    json_decref(out);
    return ok;
}

/* A number is a number of seconds; anything else is a duration such as "5m". */
static json_t *keep_alive_of(struct str s)
{
    uint64_t seconds;
    if (str_eqz(s, "-1"))
        return json_integer(-1);
    return str_u64(s, &seconds) && seconds <= INT64_MAX ? json_integer((json_int_t)seconds)
                                                        : text(s);
}

static bool add_options(json_t *message, struct str options, struct err *e)
{
    json_error_t why;
    json_t *json = json_loadb(options.p, options.n, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(json)) {
        json_decref(json);
        return err_set(e, ERR_INVALID, "setting options: not a JSON object");
    }
    json_object_set_new(message, "options", json);
    return true;
}

char *message_request(const struct settings *s, const struct wit_value *request, struct err *e)
{
    json_t *message = json_object();
    bool ok =
        json_object_set_new(message, "model", text(s->model_name)) == 0 &&
        json_object_set_new(message, "prompt", text(wit_get_str(&request->v[REQUEST_PROMPT]))) == 0;
    if (!ok)
        err_set(e, ERR_INVALID, "model_name or prompt is not UTF-8");
    json_object_set_new(message, "stream", json_false());
    if (ok && !add_images(message, &request->v[REQUEST_IMAGES]))
        ok = err_set(e, ERR_INVALID, "images: not UTF-8, and they should be base64");
    if (s->keep_alive.n)
        json_object_set_new(message, "keep_alive", keep_alive_of(s->keep_alive));
    ok = ok && (s->options.n == 0 || add_options(message, s->options, e));
    char *out = ok ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);
    return out;
}

/* ---- the response ---- */

enum kind { TEXT, TRUTH, NUMBERS, NUMBER };

/* The fields of the record, in order. */
static const struct {
    const char *name;
    enum kind kind;
    bool optional;
    uint64_t max; /* NUMBER; one that is larger has no value */
} fields[] = {
    {"model", TEXT, false, 0},
    {"created_at", TEXT, false, 0},
    {"response", TEXT, false, 0},
    {"done", TRUTH, false, 0},
    {"context", NUMBERS, true, 0},
    {"total_duration", NUMBER, true, INT64_MAX},
    {"load_duration", NUMBER, true, INT64_MAX},
    {"prompt_eval_count", NUMBER, true, UINT16_MAX},
    {"prompt_eval_duration", NUMBER, true, INT64_MAX},
    {"eval_count", NUMBER, true, UINT16_MAX},
    {"eval_duration", NUMBER, true, INT64_MAX},
};

static bool numbers(const json_t *json, struct arena *a, struct wit_value *out, struct err *e)
{
    size_t n = json_array_size(json);
    struct wit_value *v = arena_array(a, struct wit_value, n);
    if (!v)
        return arena_full(a, e);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(json, i);
        json_int_t value = json_integer_value(item);
        if (!json_is_integer(item) || value < INT32_MIN || value > INT32_MAX)
            return err_set(e, ERR_PROTOCOL, "not a list of numbers of 32 bits");
        v[i] = (struct wit_value){.s64 = value};
    }
    *out = (struct wit_value){.v = v, .n = (uint32_t)n};
    return true;
}

static bool field(const json_t *json, size_t i, struct arena *a, struct wit_value *out,
                  struct err *e)
{
    static const json_type types[] = {
        [TEXT] = JSON_STRING, [NUMBERS] = JSON_ARRAY, [NUMBER] = JSON_INTEGER};
    enum kind kind = fields[i].kind;
    if (kind == TRUTH ? !json_is_boolean(json) : json_typeof(json) != types[kind])
        return err_set(e, ERR_PROTOCOL, "of another type than it should be");
    switch (kind) {
    case TEXT: {
        struct str s =
            arena_str(a, (struct str){json_string_value(json), json_string_length(json)});
        *out = wit_str(s);
        return s.p || arena_full(a, e);
    }
    case TRUTH:
        *out = wit_u64(json_is_true(json));
        return true;
    case NUMBERS:
        return numbers(json, a, out, e);
    case NUMBER:
        *out = wit_u64((uint64_t)json_integer_value(json));
        return json_integer_value(json) >= 0 || err_set(e, ERR_PROTOCOL, "negative");
    }
    return false;
}

/* An option has its payload behind it. */
static bool optional_field(const json_t *json, size_t i, struct arena *a, struct wit_value *out,
                           struct err *e)
{
    *out = (struct wit_value){.n = 0};
    if (!json || json_is_null(json))
        return true;
    struct wit_value *payload = arena_new(a, struct wit_value);
    if (!payload)
        return arena_full(a, e);
    if (!field(json, i, a, payload, e))
        return false;
    if (fields[i].kind != NUMBER || payload->u64 <= fields[i].max)
        *out = (struct wit_value){.v = payload, .n = 1};
    return true;
}

bool message_response(struct span bytes, struct arena *a, struct wit_value *out, struct err *e)
{
    json_error_t why;
    json_t *json = json_loadb((const char *)bytes.p, bytes.n, 0, &why);
    struct wit_value *v = arena_array(a, struct wit_value, ARRAY_LEN(fields));
    bool ok = v != NULL || arena_full(a, e);
    if (ok && !json_is_object(json))
        ok = err_set(e, ERR_PROTOCOL, "the server's answer is not a JSON object");
    for (size_t i = 0; ok && i < ARRAY_LEN(fields); i++) {
        const json_t *member = json_object_get(json, fields[i].name);
        if (fields[i].optional)
            ok = optional_field(member, i, a, &v[i], e);
        else
            ok = member ? field(member, i, a, &v[i], e) : err_set(e, ERR_PROTOCOL, "missing");
        if (!ok)
            err_wrap(e, "the server's answer: %s", fields[i].name);
    }
    json_decref(json);
    *out = (struct wit_value){.v = v, .n = ARRAY_LEN(fields)};
    return ok;
}

void message_error(struct span bytes, struct buf *out)
{
    json_error_t why;
    char shown[ERROR_TEXT_MAX];
    json_t *json = json_loadb((const char *)bytes.p, bytes.n, 0, &why);
    const char *error = json_string_value(json_object_get(json, "error"));
    if (error)
        buf_printf(out, ": %s", str_show(str_of(error), shown, sizeof shown));
    json_decref(json);
}
