/* SPDX-License-Identifier: Apache-2.0 */
/* One reader and one writer for every JSON payload, driven by the tables of message_*.c.
 * Keeps: a reader never trusts a type, a count or a range; what it could not use is named by its path. What the writer
 * puts out is always well-formed JSON, whatever bytes the strings hold. */
#include <assert.h>
#include <inttypes.h>
#include <malloc.h>

#include "lattice/base/num.h"
#include "lattice/proto/proto_int.h"

/* How every {v, n} list lies in memory. */
struct any_list {
    const void *v;
    uint32_t n;
};
_Static_assert(sizeof(struct any_list) == sizeof(struct proto_map), "lists share one layout");
_Static_assert(sizeof(struct any_list) == sizeof(struct proto_link_list), "lists share one layout");
_Static_assert(sizeof(enum proto_result) == sizeof(int), "enums are int-sized");

struct reading {
    struct arena *arena;
    struct err *e;
};

static bool read_value(struct reading *rd, const struct shape_member *m, json_t *v, void *at);

/* ---- reading --------------------------------------------------------------------------------------- */

static bool want(struct reading *rd, bool is, const char *what)
{
    return is || err_set(rd->e, ERR_INVALID, "%s expected", what);
}

static bool read_text(struct reading *rd, json_t *v, struct str *out)
{
    if (!want(rd, json_is_string(v), "string"))
        return false;
    struct str s = arena_str(rd->arena, (struct str){json_string_value(v), json_string_length(v)});
    if (!s.p)
        return arena_full(rd->arena, rd->e);
    *out = s;
    return true;
}

static bool read_number(struct reading *rd, json_t *v, int64_t min, int64_t max, int64_t *out)
{
    if (!want(rd, json_is_integer(v), "whole number"))
        return false;
    json_int_t n = json_integer_value(v);
    if (n < min || n > max)
        return err_set(rd->e, ERR_INVALID, "number %" JSON_INTEGER_FORMAT " is out of range", n);
    *out = n;
    return true;
}

static bool read_bool(struct reading *rd, json_t *v, bool *out)
{
    if (!want(rd, json_is_boolean(v), "true or false"))
        return false;
    *out = json_is_true(v);
    return true;
}

static bool count_ok(struct reading *rd, size_t n)
{
    return n <= PROTO_LIST_MAX ||
           err_set(rd->e, ERR_LIMIT, "%zu entries, limit is %u", n, PROTO_LIST_MAX);
}

static bool read_map(struct reading *rd, json_t *v, struct proto_map *out)
{
    if (!want(rd, json_is_object(v), "map of strings") || !count_ok(rd, json_object_size(v)))
        return false;
    uint32_t n = (uint32_t)json_object_size(v), i = 0;
    struct proto_pair *pairs = arena_array(rd->arena, struct proto_pair, n);
    if (!pairs)
        return arena_full(rd->arena, rd->e);
    const char *name;
    json_t *value;
    json_object_foreach(v, name, value)
    {
        pairs[i].key = arena_str(rd->arena, str_of(name));
        if (!pairs[i].key.p)
            return arena_full(rd->arena, rd->e);
        if (!read_text(rd, value, &pairs[i++].value))
            return err_wrap(rd->e, "\"%.40s\"", name);
    }
    *out = (struct proto_map){pairs, n};
    return true;
}

static bool read_strs(struct reading *rd, json_t *v, struct proto_strs *out)
{
    if (!want(rd, json_is_array(v), "array of strings") || !count_ok(rd, json_array_size(v)))
        return false;
    uint32_t n = (uint32_t)json_array_size(v);
    struct str *strs = arena_array(rd->arena, struct str, n);
    if (!strs)
        return arena_full(rd->arena, rd->e);
    for (uint32_t i = 0; i < n; i++) {
        if (!read_text(rd, json_array_get(v, i), &strs[i]))
            return err_wrap(rd->e, "[%u]", i);
    }
    *out = (struct proto_strs){strs, n};
    return true;
}

static bool read_tags(struct reading *rd, json_t *v, struct proto_strs *out)
{
    if (!json_is_string(v))
        return read_strs(rd, v, out);
    struct str all, part;
    if (!read_text(rd, v, &all))
        return false;
    uint32_t n = 0;
    for (struct str rest = all; all.n && str_cut(&rest, ',', &part);)
        n++;
    if (!count_ok(rd, n))
        return false;
    struct str *strs = arena_array(rd->arena, struct str, n);
    if (!strs)
        return arena_full(rd->arena, rd->e);
    uint32_t i = 0;
    for (struct str rest = all; i < n && str_cut(&rest, ',', &part);)
        strs[i++] = part;
    *out = (struct proto_strs){strs, n};
    return true;
}

static bool read_bytes(struct reading *rd, json_t *v, struct span *out)
{
    if (!want(rd, json_is_array(v), "array of byte values"))
        return false;
    size_t n = json_array_size(v);
    uint8_t *bytes = arena_array(rd->arena, uint8_t, n);
    if (!bytes)
        return arena_full(rd->arena, rd->e);
    for (size_t i = 0; i < n; i++) {
        int64_t byte;
        if (!read_number(rd, json_array_get(v, i), 0, UINT8_MAX, &byte))
            return err_wrap(rd->e, "[%zu]", i);
        bytes[i] = (uint8_t)byte;
    }
    *out = (struct span){bytes, n};
    return true;
}

static bool read_json(struct reading *rd, json_t *v, struct str *out)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        return err_set(rd->e, ERR_LIMIT, "value cannot be written as text");
    struct str s = arena_str(rd->arena, str_of(text));
    free(text);
    if (!s.p)
        return arena_full(rd->arena, rd->e);
    *out = s;
    return true;
}

static bool read_enum(struct reading *rd, const struct shape_names *names, json_t *v, int *out)
{
    if (!want(rd, json_is_string(v), "string"))
        return false;
    const char *text = json_string_value(v);
    for (uint32_t i = 0; names->aliases && names->aliases[i][0]; i++) {
        if (strcmp(text, names->aliases[i][0]) == 0)
            text = names->aliases[i][1];
    }
    for (uint32_t i = 0; i < names->n; i++) {
        if (strcmp(text, names->v[i]) == 0) {
            *out = (int)i;
            return true;
        }
    }
    return err_set(rd->e, ERR_INVALID, "unknown value \"%.40s\"", text);
}

static bool read_secret(struct reading *rd, json_t *v, struct proto_secret *out)
{
    if (!want(rd, json_is_object(v), "object"))
        return false;
    json_t *value = json_object_get(v, "value");
    const char *kind = json_string_value(json_object_get(v, "kind"));
    if (kind && strcmp(kind, "String") == 0)
        return read_text(rd, value, &out->string);
    if (kind && strcmp(kind, "Bytes") == 0)
        return read_bytes(rd, value, &out->bytes);
    return err_set(rd->e, ERR_INVALID, "\"kind\" must be \"String\" or \"Bytes\"");
}

static bool read_object(struct reading *rd, const struct shape *shape, json_t *v, void *at)
{
    if (!want(rd, json_is_object(v), "object"))
        return false;
    for (uint32_t i = 0; i < shape->nmembers; i++) {
        const struct shape_member *m = &shape->members[i];
        void *field = (uint8_t *)at + m->offset;
        json_t *member = json_object_get(v, m->name);
        if (!member && m->alias)
            member = json_object_get(v, m->alias);
        if (!member || json_is_null(member)) {
            if (m->flags & NEED)
                return err_set(rd->e, ERR_INVALID, "member \"%s\" is missing", m->name);
            if (m->kind == SHAPE_STR && m->preset)
                *(struct str *)field = str_of(m->preset);
            continue;
        }
        if (!read_value(rd, m, member, field))
            return err_wrap(rd->e, "\"%s\"", m->name);
    }
    return true;
}

static bool read_pointer(struct reading *rd, const struct shape *shape, json_t *v, void *at)
{
    void *obj = arena_alloc(rd->arena, shape->size, alignof(max_align_t));
    if (!obj)
        return arena_full(rd->arena, rd->e);
    if (!read_object(rd, shape, v, obj))
        return false;
    memcpy(at, &obj, sizeof obj);
    return true;
}

/* What lists may hold: structs, maps of strings, secrets. */
static size_t element_size(const struct shape_member *m)
{
    switch (m->kind) {
    case SHAPE_OBJECT:
        return ((const struct shape *)m->sub)->size;
    case SHAPE_MAP:
        return sizeof(struct proto_map);
    case SHAPE_SECRET:
        return sizeof(struct proto_secret);
    default:
        assert(false);
        return 0;
    }
}

static bool read_list(struct reading *rd, const struct shape_member *elem, json_t *v, void *at)
{
    if (!want(rd, json_is_array(v), "array") || !count_ok(rd, json_array_size(v)))
        return false;
    uint32_t n = (uint32_t)json_array_size(v);
    size_t size = element_size(elem);
    uint8_t *all = arena_calloc(rd->arena, n, size, alignof(max_align_t));
    if (!all)
        return arena_full(rd->arena, rd->e);
    for (uint32_t i = 0; i < n; i++) {
        if (!read_value(rd, elem, json_array_get(v, i), all + i * size))
            return err_wrap(rd->e, "[%u]", i);
    }
    memcpy(at, &(struct any_list){all, n}, sizeof(struct any_list));
    return true;
}

static bool read_named(struct reading *rd, const struct shape_member *elem, json_t *v, void *at)
{
    if (!want(rd, json_is_object(v), "object") || !count_ok(rd, json_object_size(v)))
        return false;
    uint32_t n = (uint32_t)json_object_size(v);
    size_t size = element_size(elem);
    uint8_t *all = arena_calloc(rd->arena, n, size, alignof(max_align_t)), *one = all;
    if (!all)
        return arena_full(rd->arena, rd->e);
    const char *name;
    json_t *value;
    json_object_foreach(v, name, value)
    {
        struct str key = arena_str(rd->arena, str_of(name));
        if (!key.p)
            return arena_full(rd->arena, rd->e);
        memcpy(one, &key, sizeof key);
        if (!read_value(rd, elem, value, one))
            return err_wrap(rd->e, "\"%.40s\"", name);
        one += size;
    }
    memcpy(at, &(struct any_list){all, n}, sizeof(struct any_list));
    return true;
}

static bool read_value(struct reading *rd, const struct shape_member *m, json_t *v, void *at)
{
    int64_t n = 0;
    switch ((enum shape_kind)m->kind) {
    case SHAPE_STR:
        return read_text(rd, v, at);
    case SHAPE_BOOL:
        return read_bool(rd, v, at);
    case SHAPE_U32:
        if (!read_number(rd, v, 0, UINT32_MAX, &n))
            return false;
        *(uint32_t *)at = (uint32_t)n;
        return true;
    case SHAPE_I32:
        if (!read_number(rd, v, INT32_MIN, INT32_MAX, &n))
            return false;
        *(int32_t *)at = (int32_t)n;
        return true;
    case SHAPE_U64:
        if (!read_number(rd, v, 0, INT64_MAX, &n))
            return false;
        *(uint64_t *)at = (uint64_t)n;
        return true;
    case SHAPE_OPTU64:
        if (!read_number(rd, v, 0, INT64_MAX, &n))
            return false;
        *(struct proto_u64 *)at = (struct proto_u64){(uint64_t)n, true};
        return true;
    case SHAPE_OPTBOOL:
        ((struct proto_bool *)at)->set = true;
        return read_bool(rd, v, &((struct proto_bool *)at)->v);
    case SHAPE_ENUM:
        return read_enum(rd, m->sub, v, at);
    case SHAPE_MAP:
        return read_map(rd, v, at);
    case SHAPE_STRS:
        return read_strs(rd, v, at);
    case SHAPE_TAGS:
        return read_tags(rd, v, at);
    case SHAPE_BYTES:
        return read_bytes(rd, v, at);
    case SHAPE_JSON:
        return read_json(rd, v, at);
    case SHAPE_OBJECT:
        return read_object(rd, m->sub, v, at);
    case SHAPE_POINTER:
        return read_pointer(rd, m->sub, v, at);
    case SHAPE_LIST:
        return read_list(rd, m->sub, v, at);
    case SHAPE_NAMED:
        return read_named(rd, m->sub, v, at);
    case SHAPE_SECRET:
        return read_secret(rd, v, at);
    case SHAPE_CONST:
        return true;
    }
    assert(false);
    return false;
}

/* Payloads may hold secrets: what jansson lets go of is overwritten. */
static void forget(void *p)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

/* Before main, since no thread may be using jansson then. */
__attribute__((constructor)) static void set_jansson_up(void)
{
    json_set_alloc_funcs(malloc, forget);
}

json_t *shape_parse(struct span json, struct err *e)
{
    if (json.n > PROTO_JSON_BYTES_MAX) {
        err_set(e, ERR_LIMIT, "payload of %zu bytes, limit is %u", json.n, PROTO_JSON_BYTES_MAX);
        return NULL;
    }
    json_error_t why;
    json_t *v =
        json_loadb(json.n ? (const char *)json.p : "", json.n, JSON_REJECT_DUPLICATES, &why);
    if (!v)
        err_set(e, ERR_INVALID, "not valid JSON: line %d, column %d: %s", why.line, why.column,
                why.text);
    return v;
}

bool shape_read(const struct shape_member *root, json_t *v, struct arena *a, void *out,
                struct err *e)
{
    struct reading rd = {a, e};
    return read_value(&rd, root, v, out);
}

size_t shape_size(const struct shape_member *root)
{
    return root->kind == SHAPE_OBJECT ? ((const struct shape *)root->sub)->size
                                      : sizeof(struct any_list);
}

/* Reads into the arena first, so that *out stays as it was on failure. */
bool shape_decode(const struct shape_member *root, struct span json, struct arena *a, void *out,
                  struct err *e)
{
    size_t size = shape_size(root);
    void *tmp = arena_alloc(a, size, alignof(max_align_t));
    if (!tmp)
        return arena_full(a, e);
    if (json.n > 0 || !(root->flags & EMPTY)) {
        json_t *v = shape_parse(json, e);
        if (!v)
            return false;
        bool ok = shape_read(root, v, a, tmp, e);
        json_decref(v);
        if (!ok)
            return false;
    }
    memcpy(out, tmp, size);
    return true;
}

/* ---- writing --------------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 sequence at p, 0 if it is none. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
    size_t n = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
    return n <= left && utf8_valid(p, n) ? n : 0;
}

void shape_text(struct str s, struct buf *out)
{
    const uint8_t *p = (const uint8_t *)s.p;
    const uint8_t *end = s.n ? p + s.n : p;
    buf_byte(out, '"');
    while (p < end) {
        size_t n = utf8_len(p, (size_t)(end - p));
        if (n == 0)
            buf_str(out, STR("\xef\xbf\xbd"));
        else if (*p == '"' || *p == '\\')
            buf_printf(out, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            buf_printf(out, "\\u%04x", *p);
        else
            buf_put(out, p, n);
        p += n ? n : 1;
    }
    buf_byte(out, '"');
}

static void write_map(const struct proto_map *m, struct buf *out)
{
    buf_byte(out, '{');
    for (uint32_t i = 0; i < m->n; i++) {
        if (i)
            buf_byte(out, ',');
        shape_text(m->v[i].key, out);
        buf_byte(out, ':');
        shape_text(m->v[i].value, out);
    }
    buf_byte(out, '}');
}

static void write_strs(const struct proto_strs *s, struct buf *out)
{
    buf_byte(out, '[');
    for (uint32_t i = 0; i < s->n; i++) {
        if (i)
            buf_byte(out, ',');
        shape_text(s->v[i], out);
    }
    buf_byte(out, ']');
}

static void write_bytes(const struct span *s, struct buf *out)
{
    buf_byte(out, '[');
    for (size_t i = 0; i < s->n; i++)
        buf_printf(out, i ? ",%u" : "%u", s->p[i]);
    buf_byte(out, ']');
}

static void write_secret(const struct proto_secret *s, struct buf *out)
{
    buf_printf(out, "{\"kind\":\"%s\",\"value\":", s->string.p ? "String" : "Bytes");
    if (s->string.p)
        shape_text(s->string, out);
    else
        write_bytes(&s->bytes, out);
    buf_byte(out, '}');
}

/* Is the value at `at` none (or, for BLANK rows, empty)? Only kinds that can be left out or null are asked. */
static bool is_none(const struct shape_member *m, const void *at)
{
    switch ((enum shape_kind)m->kind) {
    case SHAPE_OPTU64:
        return !((const struct proto_u64 *)at)->set;
    case SHAPE_OPTBOOL:
        return !((const struct proto_bool *)at)->set;
    case SHAPE_STR:
    case SHAPE_JSON:
        return !((const struct str *)at)->p || ((m->flags & BLANK) && !((const struct str *)at)->n);
    case SHAPE_MAP:
    case SHAPE_STRS:
    case SHAPE_TAGS:
    case SHAPE_LIST:
    case SHAPE_NAMED: {
        struct any_list list;
        memcpy(&list, at, sizeof list);
        return !list.v || ((m->flags & BLANK) && !list.n);
    }
    case SHAPE_BYTES:
        return !((const struct span *)at)->p;
    case SHAPE_POINTER: {
        const void *p;
        memcpy(&p, at, sizeof p);
        return !p;
    }
    default:
        return false;
    }
}

static void write_value(const struct shape_member *m, const void *at, struct buf *out);

static void write_object(const struct shape *shape, const void *at, struct buf *out)
{
    bool first = true;
    buf_byte(out, '{');
    for (uint32_t i = 0; i < shape->nmembers; i++) {
        const struct shape_member *m = &shape->members[i];
        const void *field = (const uint8_t *)at + m->offset;
        bool none = is_none(m, field);
        if (none && (m->flags & (OMIT | BLANK)))
            continue;
        buf_printf(out, first ? "\"%s\":" : ",\"%s\":", m->name);
        first = false;
        if (none && (m->flags & NULLS))
            buf_str(out, STR("null"));
        else
            write_value(m, field, out);
    }
    buf_byte(out, '}');
}

static void write_list(const struct shape_member *elem, const void *at, struct buf *out)
{
    struct any_list list;
    memcpy(&list, at, sizeof list);
    size_t size = element_size(elem);
    buf_byte(out, '[');
    for (uint32_t i = 0; i < list.n; i++) {
        if (i)
            buf_byte(out, ',');
        write_value(elem, (const uint8_t *)list.v + i * size, out);
    }
    buf_byte(out, ']');
}

static void write_named(const struct shape_member *elem, const void *at, struct buf *out)
{
    struct any_list list;
    memcpy(&list, at, sizeof list);
    size_t size = element_size(elem);
    buf_byte(out, '{');
    for (uint32_t i = 0; i < list.n; i++) {
        const uint8_t *one = (const uint8_t *)list.v + i * size;
        struct str key;
        memcpy(&key, one, sizeof key);
        if (i)
            buf_byte(out, ',');
        shape_text(key, out);
        buf_byte(out, ':');
        write_value(elem, one, out);
    }
    buf_byte(out, '}');
}

static void write_bool(bool v, struct buf *out)
{
    buf_str(out, v ? STR("true") : STR("false"));
}

static void write_value(const struct shape_member *m, const void *at, struct buf *out)
{
    switch ((enum shape_kind)m->kind) {
    case SHAPE_STR:
        shape_text(*(const struct str *)at, out);
        break;
    case SHAPE_BOOL:
        write_bool(*(const bool *)at, out);
        break;
    case SHAPE_U32:
        buf_printf(out, "%" PRIu32, *(const uint32_t *)at);
        break;
    case SHAPE_I32:
        buf_printf(out, "%" PRId32, *(const int32_t *)at);
        break;
    case SHAPE_U64:
        buf_printf(out, "%" PRIu64, *(const uint64_t *)at);
        break;
    case SHAPE_OPTU64:
        buf_printf(out, "%" PRIu64, ((const struct proto_u64 *)at)->v);
        break;
    case SHAPE_OPTBOOL:
        write_bool(((const struct proto_bool *)at)->v, out);
        break;
    case SHAPE_ENUM:
        shape_text(str_of(((const struct shape_names *)m->sub)->v[*(const int *)at]), out);
        break;
    case SHAPE_MAP:
        write_map(at, out);
        break;
    case SHAPE_STRS:
    case SHAPE_TAGS:
        write_strs(at, out);
        break;
    case SHAPE_BYTES:
        write_bytes(at, out);
        break;
    case SHAPE_JSON:
        buf_str(out, *(const struct str *)at);
        break;
    case SHAPE_OBJECT:
        write_object(m->sub, at, out);
        break;
    case SHAPE_POINTER: {
        const void *p;
        memcpy(&p, at, sizeof p);
        write_object(m->sub, p, out);
        break;
    }
    case SHAPE_LIST:
        write_list(m->sub, at, out);
        break;
    case SHAPE_NAMED:
        write_named(m->sub, at, out);
        break;
    case SHAPE_SECRET:
        write_secret(at, out);
        break;
    case SHAPE_CONST:
        buf_str(out, str_of(m->preset));
        break;
    }
}

void shape_encode(const struct shape_member *root, const void *in, struct buf *out)
{
    write_value(root, in, out);
}
