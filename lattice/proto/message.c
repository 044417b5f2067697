/* SPDX-License-Identifier: Apache-2.0 */
/* The typed doors to every payload, control replies' envelope, and small things payloads share. The tables behind
 * them are in message_*.c. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "lattice/base/num.h"
#include "lattice/proto/proto_int.h"

#define X(name, type)                                                                       \
    bool proto_##name##_decode(struct span json, struct arena *a, type *out, struct err *e) \
    {                                                                                       \
        return shape_decode(&proto_root_##name, json, a, out, e);                           \
    }                                                                                       \
    bool proto_##name##_encode(const type *m, struct buf *out, struct err *e)               \
    {                                                                                       \
        shape_encode(&proto_root_##name, m, out);                                           \
        return buf_ok(out, e);                                                              \
    }
PROTO_MESSAGES(X)
PROTO_SERVICE_MESSAGES(X)
#undef X

/* ---- the reply envelope ---------------------------------------------------------------------------- */

/* What an operation answers with; none for those that only confirm. */
static const struct shape_member *const response_roots[PROTO_OP_COUNT] = {
    [PROTO_HOST_PING] = &proto_root_host,
    [PROTO_HOST_GET] = &proto_root_inventory,
    [PROTO_COMPONENT_AUCTION] = &proto_root_component_bid,
    [PROTO_PROVIDER_AUCTION] = &proto_root_provider_bid,
    [PROTO_LINK_GET] = &proto_root_link_list,
    [PROTO_CLAIMS_GET] = &proto_root_maps,
    [PROTO_CONFIG_GET] = &proto_root_config,
};

static const struct shape_member *response_root(enum proto_op op)
{
    return op < PROTO_OP_COUNT ? response_roots[op] : NULL;
}

static bool read_reply(enum proto_op op, json_t *v, struct arena *a, struct proto_reply *out,
                       struct err *e)
{
    static const struct shape_member rows[] = {
        {"success", SHAPE_BOOL, NEED, offsetof(struct proto_reply, success)},
        {"message", SHAPE_STR, NEED, offsetof(struct proto_reply, message)},
    };
    static const struct shape envelope = SHAPE(struct proto_reply, rows);
    static const struct shape_member root = {.kind = SHAPE_OBJECT, .sub = &envelope};
    struct proto_reply r = {.success = false};
    if (!shape_read(&root, v, a, &r, e))
        return false;
    json_t *response = json_object_get(v, "response");
    const struct shape_member *payload = response_root(op);
    if (response && !json_is_null(response) && payload) {
        void *at = arena_alloc(a, shape_size(payload), alignof(max_align_t));
        if (!at)
            return arena_full(a, e);
        if (!shape_read(payload, response, a, at, e))
            return err_wrap(e, "\"response\"");
        r.response.any = at;
    }
    *out = r;
    return true;
}

bool proto_reply_decode(enum proto_op op, struct span json, struct arena *a,
                        struct proto_reply *out, struct err *e)
{
    json_t *v = shape_parse(json, e);
    if (!v)
        return false;
    bool ok = read_reply(op, v, a, out, e);
    json_decref(v);
    return ok;
}

bool proto_reply_encode(enum proto_op op, const struct proto_reply *r, struct buf *out,
                        struct err *e)
{
    buf_str(out, r->success ? STR("{\"success\":true,\"message\":")
                            : STR("{\"success\":false,\"message\":"));
    shape_text(r->message, out);
    if (r->response.any) {
        assert(response_root(op));
        buf_str(out, STR(",\"response\":"));
        shape_encode(response_root(op), r->response.any, out);
    }
    buf_byte(out, '}');
    return buf_ok(out, e);
}

/* ---- shared by payloads ---------------------------------------------------------------------------- */

bool proto_map_get(const struct proto_map *m, struct str key, struct str *value)
{
    for (uint32_t i = 0; i < m->n; i++) {
        if (str_eq(m->v[i].key, key)) {
            *value = m->v[i].value;
            return true;
        }
    }
    return false;
}

bool proto_map_eq(const struct proto_map *a, const struct proto_map *b)
{
    struct str value;
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++) {
        if (!proto_map_get(b, a->v[i].key, &value) || !str_eq(value, a->v[i].value))
            return false;
    }
    return true;
}

bool proto_strs_eq(const struct proto_strs *a, const struct proto_strs *b)
{
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++) {
        if (!str_eq(a->v[i], b->v[i]))
            return false;
    }
    return true;
}

bool proto_strs_has(const struct proto_strs *list, struct str s)
{
    for (uint32_t i = 0; i < list->n; i++) {
        if (str_eq(list->v[i], s))
            return true;
    }
    return false;
}

struct proto_map proto_map_copy(struct arena *a, const struct proto_map *m)
{
    struct proto_pair *v = arena_array(a, struct proto_pair, m->n);
    if (!v)
        return (struct proto_map){NULL, 0};
    for (uint32_t i = 0; i < m->n; i++) {
        v[i].key = arena_str(a, m->v[i].key);
        v[i].value = arena_str(a, m->v[i].value);
        if (!v[i].key.p || !v[i].value.p)
            return (struct proto_map){NULL, 0};
    }
    return (struct proto_map){v, m->n};
}

struct proto_strs proto_strs_copy(struct arena *a, const struct proto_strs *s)
{
    struct str *v = arena_array(a, struct str, s->n);
    if (!v)
        return (struct proto_strs){NULL, 0};
    for (uint32_t i = 0; i < s->n; i++) {
        v[i] = arena_str(a, s->v[i]);
        if (!v[i].p)
            return (struct proto_strs){NULL, 0};
    }
    return (struct proto_strs){v, s->n};
}

char *proto_uptime(uint64_t seconds, char out[PROTO_UPTIME_MAX])
{
    static const struct unit {
        uint64_t seconds;
        const char *one, *many;
    } units[] = {
        {31557600, "year", "years"},  /* 365.25 days */
        {2630016, "month", "months"}, /* 30.44 days */
        {86400, "day", "days"},       {3600, "h", "h"}, {60, "m", "m"}, {1, "s", "s"},
    };
    size_t at = 0;
    snprintf(out, PROTO_UPTIME_MAX, "0s");
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        uint64_t n = seconds / units[i].seconds;
        seconds %= units[i].seconds;
        if (n == 0)
            continue;
        int put = snprintf(out + at, PROTO_UPTIME_MAX - at, "%s%" PRIu64 "%s", at ? " " : "", n,
                           n == 1 ? units[i].one : units[i].many);
        at += put > 0 ? (size_t)put : 0;
        assert(at < PROTO_UPTIME_MAX);
    }
    return out;
}
