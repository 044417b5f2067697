/* SPDX-License-Identifier: Apache-2.0 */
/* Text to a tree of nodes with positions: YAML by libyaml's events, JSON by jansson.
 * Keeps: size, depth, node count (aliases expanded) and anchors are bounded while reading, so hostile text costs
 * little; keys of a map are strings and differ; scalars follow the YAML 1.2 core schema ("no" is a string). */
#include "manifests/manifests_int.h"

#include <errno.h>
#include <math.h>
#include <yaml.h>

#define ANCHORS_MAX 256u

static const char *const kind_names[] = {
    [NODE_NULL] = "nothing",    [NODE_BOOL] = "a boolean", [NODE_NUMBER] = "a number",
    [NODE_STRING] = "a string", [NODE_MAP] = "a map",      [NODE_LIST] = "a list",
};

const char *node_kind_name(enum node_kind kind)
{
    return kind_names[kind];
}

/* ---- YAML ------------------------------------------------------------------------------------------ */

struct anchor {
    struct str name;
    const struct node *node; /* NULL while it is still open */
};

/* A collection being filled. */
struct level {
    struct node *node, *last;
    struct str key; /* maps: the key read, p == NULL before it */
    struct manifest_pos key_pos;
    uint32_t anchor; /* index + 1 of its anchor; 0: none */
};

struct yaml_reader {
    struct arena *arena;
    struct manifest_pos *at;
    struct err *e;
    struct node *root;
    struct level levels[MANIFEST_DEPTH_MAX];
    uint32_t depth, nodes, nanchors;
    struct anchor anchors[ANCHORS_MAX];
};

static struct manifest_pos mark_pos(const yaml_mark_t *m)
{
    return (struct manifest_pos){(uint32_t)m->line + 1, (uint32_t)m->column + 1};
}

static bool refuse(struct yaml_reader *r, struct manifest_pos at, enum err_code code,
                   const char *text)
{
    *r->at = at;
    return err_set(r->e, code, "%s", text);
}

static struct str event_str(const yaml_char_t *z)
{
    return str_of((const char *)z);
}

static bool all_in(struct str s, const char *set)
{
    for (size_t i = 0; i < s.n; i++)
        if (!memchr(set, s.p[i], strlen(set)))
            return false;
    return s.n > 0;
}

static bool is_one_of(struct str s, const char *const *words)
{
    for (; *words; words++)
        if (str_eqz(s, *words))
            return true;
    return false;
}

static size_t digits(struct str s, size_t from)
{
    size_t i = from;
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
        i++;
    return i - from;
}

/* [-+]? ( . digits | digits ( . digits? )? ) ( [eE] [-+]? digits )? */
static bool is_decimal(struct str s)
{
    size_t i = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+') ? 1 : 0;
    size_t whole = digits(s, i), fraction = 0;
    i += whole;
    if (i < s.n && s.p[i] == '.') {
        fraction = digits(s, i + 1);
        i += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        i++;
        if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
            i++;
        size_t exponent = digits(s, i);
        if (exponent == 0)
            return false;
        i += exponent;
    }
    return i == s.n;
}

static bool is_number(struct str s)
{
    static const char *const special[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                          "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                          ".NaN",  ".NAN",  NULL};
    if (str_starts(s, STR("0o")))
        return all_in(str_sub(s, 2, s.n), "01234567");
    if (str_starts(s, STR("0x")))
        return all_in(str_sub(s, 2, s.n), "0123456789abcdefABCDEF");
    return is_decimal(s) || is_one_of(s, special);
}

static enum node_kind plain_kind(struct str s)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const bools[] = {"true", "True", "TRUE", "false", "False", "FALSE", NULL};
    if (is_one_of(s, nulls))
        return NODE_NULL;
    if (is_one_of(s, bools))
        return NODE_BOOL;
    return is_number(s) ? NODE_NUMBER : NODE_STRING;
}

static bool account(struct yaml_reader *r, struct manifest_pos pos, uint32_t nodes)
{
    if (nodes > MANIFEST_NODES_MAX - r->nodes)
        return refuse(r, pos, ERR_LIMIT, "more values than the limit of 100000, aliases expanded");
    r->nodes += nodes;
    return true;
}
_Static_assert(MANIFEST_NODES_MAX == 100000, "the message names it");

static struct node *node_new(struct yaml_reader *r, struct manifest_pos pos, enum node_kind kind)
{
    if (!account(r, pos, 1))
        return NULL;
    struct node *n = arena_new(r->arena, struct node);
    if (!n) {
        *r->at = pos;
        arena_full(r->arena, r->e);
        return NULL;
    }
    n->kind = kind;
    n->pos = pos;
    n->weight = 1;
    return n;
}

/* Gives a finished scalar, or a collection just begun, its place. */
static bool place(struct yaml_reader *r, struct node *n)
{
    if (r->depth == 0) {
        r->root = n;
        return true;
    }
    struct level *l = &r->levels[r->depth - 1];
    if (l->node->kind == NODE_MAP) {
        if (!l->key.p) {
            if (n->kind == NODE_MAP || n->kind == NODE_LIST)
                return refuse(r, n->pos, ERR_INVALID, "a map or list cannot be a key");
            l->key = n->text;
            l->key_pos = n->pos;
            return true;
        }
        n->key = l->key;
        n->key_pos = l->key_pos;
        l->key = STR_NONE;
    }
    if (l->last)
        l->last->next = n;
    else
        l->node->first = n;
    l->last = n;
    l->node->n++;
    return true;
}

static bool anchor_add(struct yaml_reader *r, const yaml_char_t *name, struct manifest_pos pos,
                       const struct node *n, uint32_t *index)
{
    *index = 0;
    if (!name)
        return true;
    if (r->nanchors == ANCHORS_MAX)
        return refuse(r, pos, ERR_LIMIT, "more anchors than the limit of 256");
    struct str copy = arena_str(r->arena, event_str(name));
    if (!copy.p)
        return arena_full(r->arena, r->e);
    r->anchors[r->nanchors++] = (struct anchor){copy, n};
    *index = r->nanchors;
    return true;
}
_Static_assert(ANCHORS_MAX == 256, "the message names it");

static bool on_alias(struct yaml_reader *r, const yaml_event_t *ev)
{
    struct manifest_pos pos = mark_pos(&ev->start_mark);
    struct str name = event_str(ev->data.alias.anchor);
    for (uint32_t i = r->nanchors; i-- > 0;) { /* the latest of that name counts */
        if (!str_eq(r->anchors[i].name, name))
            continue;
        const struct node *from = r->anchors[i].node;
        if (!from)
            return refuse(r, pos, ERR_INVALID, "an alias inside the value it stands for");
        if (from->height > MANIFEST_DEPTH_MAX - r->depth)
            return refuse(r, pos, ERR_LIMIT, "nested deeper than the limit of 64 levels");
        if (!account(r, pos, from->weight - 1))
            return false;
        struct node *n = node_new(r, pos, from->kind);
        if (!n)
            return false;
        n->text = from->text;
        n->first = from->first;
        n->n = from->n;
        n->weight = from->weight;
        n->height = from->height;
        return place(r, n);
    }
    return refuse(r, pos, ERR_INVALID, "an alias without an anchor of that name before it");
}

#define TAG_PREFIX "tag:yaml.org,2002:"

static bool on_scalar(struct yaml_reader *r, const yaml_event_t *ev)
{
    struct manifest_pos pos = mark_pos(&ev->start_mark);
    struct str text = {(const char *)ev->data.scalar.value, ev->data.scalar.length};
    struct str tag = event_str(ev->data.scalar.tag);
    if (memchr(text.p, 0, text.n))
        return refuse(r, pos, ERR_INVALID, "a NUL character in a text");
    enum node_kind kind = NODE_STRING;
    if (tag.n == 0 && ev->data.scalar.plain_implicit)
        kind = plain_kind(text);
    else if (tag.n > 0 && !str_eqz(tag, "!") && !str_eqz(tag, TAG_PREFIX "str"))
        return refuse(r, pos, ERR_UNSUPPORTED, "a tag; only !!str is understood");
    struct node *n = node_new(r, pos, kind);
    if (!n)
        return false;
    n->text = arena_str(r->arena, text);
    if (!n->text.p)
        return arena_full(r->arena, r->e);
    uint32_t index;
    return anchor_add(r, ev->data.scalar.anchor, pos, n, &index) && place(r, n);
}

static bool on_begin(struct yaml_reader *r, const yaml_event_t *ev, enum node_kind kind,
                     const yaml_char_t *anchor, const yaml_char_t *tag)
{
    struct manifest_pos pos = mark_pos(&ev->start_mark);
    if (r->depth == MANIFEST_DEPTH_MAX)
        return refuse(r, pos, ERR_LIMIT, "nested deeper than the limit of 64 levels");
    if (tag)
        return refuse(r, pos, ERR_UNSUPPORTED, "a tag; only !!str is understood");
    struct node *n = node_new(r, pos, kind);
    struct level l = {.node = n};
    if (!n || !anchor_add(r, anchor, pos, NULL, &l.anchor) || !place(r, n))
        return false;
    r->levels[r->depth++] = l;
    return true;
}
_Static_assert(MANIFEST_DEPTH_MAX == 64, "the message names it");

static int by_key(const void *a, const void *b)
{
    const struct node *x = *(const struct node *const *)a, *y = *(const struct node *const *)b;
    int order = str_cmp(x->key, y->key);
    if (order == 0 && x->key_pos.line != y->key_pos.line)
        return x->key_pos.line < y->key_pos.line ? -1 : 1;
    return order != 0 || x->key_pos.column == y->key_pos.column ? order
           : x->key_pos.column < y->key_pos.column              ? -1
                                                                : 1;
}

static bool keys_differ(struct yaml_reader *r, const struct node *map)
{
    struct arena *a = r->arena;
    const struct node **sorted = arena_array(a, const struct node *, map->n);
    if (!sorted)
        return arena_full(a, r->e);
    size_t n = 0;
    for (const struct node *c = map->first; c; c = c->next)
        sorted[n++] = c;
    qsort(sorted, n, sizeof *sorted, by_key);
    for (size_t i = 1; i < n; i++) {
        if (!str_eq(sorted[i - 1]->key, sorted[i]->key))
            continue;
        struct shown key;
        *r->at = sorted[i]->key_pos;
        return err_set(r->e, ERR_INVALID, "duplicate key '%s', first given in line %u",
                       show(&key, sorted[i]->key), sorted[i - 1]->key_pos.line);
    }
    return true;
}

static bool on_end(struct yaml_reader *r)
{
    struct level *l = &r->levels[r->depth - 1];
    for (const struct node *c = l->node->first; c; c = c->next) {
        l->node->weight += c->weight; /* cannot wrap: the sum was accounted */
        l->node->height = MAX(l->node->height, c->height);
    }
    l->node->height++;
    if (l->anchor)
        r->anchors[l->anchor - 1].node = l->node;
    r->depth--;
    return l->node->kind != NODE_MAP || keys_differ(r, l->node);
}

/* One event; *done at the end of the stream. */
static bool on_event(struct yaml_reader *r, const yaml_event_t *ev, bool *done)
{
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        return !r->root || refuse(r, mark_pos(&ev->start_mark), ERR_INVALID,
                                  "a second document; one manifest per file");
    case YAML_SCALAR_EVENT:
        return on_scalar(r, ev);
    case YAML_ALIAS_EVENT:
        return on_alias(r, ev);
    case YAML_MAPPING_START_EVENT:
        return on_begin(r, ev, NODE_MAP, ev->data.mapping_start.anchor, ev->data.mapping_start.tag);
    case YAML_SEQUENCE_START_EVENT:
        return on_begin(r, ev, NODE_LIST, ev->data.sequence_start.anchor,
                        ev->data.sequence_start.tag);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return on_end(r);
    case YAML_STREAM_END_EVENT:
        *done = true;
        return true;
    default: /* stream start, document end */
        return true;
    }
}

static bool syntax_error(const yaml_parser_t *p, struct manifest_pos *at, struct err *e)
{
    if (p->error == YAML_READER_ERROR) {
        *at = (struct manifest_pos){0, 0};
        return err_set(e, ERR_INVALID, "YAML: %s at byte %zu",
                       p->problem ? p->problem : "unreadable", p->problem_offset);
    }
    *at = mark_pos(&p->problem_mark);
    if (p->context)
        return err_set(e, ERR_INVALID, "YAML: %s, %s that starts in line %zu", p->problem,
                       p->context, p->context_mark.line + 1);
    return err_set(e, ERR_INVALID, "YAML: %s", p->problem ? p->problem : "out of memory");
}

struct node *node_read_yaml(struct arena *a, struct str text, struct manifest_pos *at,
                            struct err *e)
{
    struct yaml_reader *r = arena_new(a, struct yaml_reader);
    yaml_parser_t parser;
    *at = (struct manifest_pos){0, 0};
    if (!r || !yaml_parser_initialize(&parser)) {
        arena_full(a, e);
        return NULL;
    }
    *r = (struct yaml_reader){.arena = a, .at = at, .e = e};
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    bool ok = true, done = false;
    while (ok && !done) {
        yaml_event_t ev;
        ok = yaml_parser_parse(&parser, &ev) || syntax_error(&parser, at, e);
        if (!ok)
            break;
        ok = on_event(r, &ev, &done);
        yaml_event_delete(&ev);
    }
    yaml_parser_delete(&parser);
    if (ok && !r->root)
        ok = err_set(e, ERR_INVALID, "the document is empty");
    return ok ? r->root : NULL;
}

/* ---- JSON ------------------------------------------------------------------------------------------ */

struct json_reader {
    struct arena *arena;
    struct err *e;
    uint32_t nodes, depth;
};

static struct node *from_json(struct json_reader *r, json_t *v);

static bool json_child(struct json_reader *r, struct node *parent, struct node ***tail,
                       const char *key, json_t *v)
{
    struct node *c = from_json(r, v);
    if (!c)
        return false;
    if (key) {
        c->key = arena_str(r->arena, str_of(key));
        if (!c->key.p)
            return arena_full(r->arena, r->e);
    }
    **tail = c;
    *tail = &c->next;
    parent->n++;
    parent->weight += c->weight;
    return true;
}

static bool json_children(struct json_reader *r, struct node *n, json_t *v)
{
    struct node **tail = &n->first;
    if (++r->depth > MANIFEST_DEPTH_MAX)
        return err_set(r->e, ERR_LIMIT, "nested deeper than the limit of %u levels",
                       MANIFEST_DEPTH_MAX);
    if (n->kind == NODE_LIST) {
        for (size_t i = 0; i < json_array_size(v); i++)
            if (!json_child(r, n, &tail, NULL, json_array_get(v, i)))
                return false;
    } else {
        for (void *it = json_object_iter(v); it; it = json_object_iter_next(v, it))
            if (!json_child(r, n, &tail, json_object_iter_key(it), json_object_iter_value(it)))
                return false;
    }
    r->depth--;
    return true;
}

static struct str json_scalar_text(struct arena *a, const json_t *v)
{
    if (json_is_string(v))
        return arena_str(a, (struct str){json_string_value(v), json_string_length(v)});
    if (json_is_integer(v))
        return str_of(arena_printf(a, "%" JSON_INTEGER_FORMAT, json_integer_value(v)));
    if (json_is_real(v))
        return str_of(arena_printf(a, "%.17g", json_real_value(v)));
    return json_is_true(v) ? STR("true") : json_is_false(v) ? STR("false") : STR("null");
}

static struct node *from_json(struct json_reader *r, json_t *v)
{
    static const enum node_kind kinds[] = {
        [JSON_OBJECT] = NODE_MAP,     [JSON_ARRAY] = NODE_LIST,  [JSON_STRING] = NODE_STRING,
        [JSON_INTEGER] = NODE_NUMBER, [JSON_REAL] = NODE_NUMBER, [JSON_TRUE] = NODE_BOOL,
        [JSON_FALSE] = NODE_BOOL,     [JSON_NULL] = NODE_NULL,
    };
    if (r->nodes++ >= MANIFEST_NODES_MAX) {
        err_set(r->e, ERR_LIMIT, "more values than the limit of %u", MANIFEST_NODES_MAX);
        return NULL;
    }
    struct node *n = arena_new(r->arena, struct node);
    if (n) {
        n->kind = kinds[json_typeof(v)];
        n->strict = true;
        n->weight = 1;
        if (n->kind == NODE_MAP || n->kind == NODE_LIST)
            return json_children(r, n, v) ? n : NULL;
        n->text = json_scalar_text(r->arena, v);
    }
    if (!n || !n->text.p) {
        arena_full(r->arena, r->e);
        return NULL;
    }
    return n;
}

struct node *node_read_json(struct arena *a, struct str text, struct manifest_pos *at,
                            struct err *e)
{
    json_error_t why;
    json_t *v = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &why);
    *at = (struct manifest_pos){0, 0};
    if (!v) {
        *at = (struct manifest_pos){(uint32_t)MAX(why.line, 0), (uint32_t)MAX(why.column, 0)};
        err_set(e, ERR_INVALID, "JSON: %s", why.text);
        return NULL;
    }
    struct json_reader r = {.arena = a, .e = e};
    struct node *n = from_json(&r, v);
    json_decref(v);
    return n;
}

/* ---- back to JSON ---------------------------------------------------------------------------------- */

static json_t *number_json(struct str text)
{
    errno = 0;
    char *end;
    bool octal = str_starts(text, STR("0o"));
    long long i = strtoll(octal ? text.p + 2 : text.p, &end,
                          octal                         ? 8
                          : str_starts(text, STR("0x")) ? 16
                                                        : 10);
    if (errno == 0 && *end == '\0')
        return json_integer(i);
    double d = strtod(text.p, &end);
    if (*end == '\0' && isfinite(d))
        return json_real(d);
    return json_stringn(text.p, text.n);
}

json_t *node_json(const struct node *node)
{
    json_t *v;
    switch (node->kind) {
    case NODE_NULL:
        return json_null();
    case NODE_BOOL:
        return json_boolean(node->text.p[0] == 't' || node->text.p[0] == 'T');
    case NODE_NUMBER:
        return number_json(node->text);
    case NODE_STRING:
        return json_stringn(node->text.p, node->text.n);
    case NODE_LIST:
        v = json_array();
        for (const struct node *c = node->first; v && c; c = c->next)
            json_array_append_new(v, node_json(c));
        return v;
    case NODE_MAP:
        v = json_object();
        for (const struct node *c = node->first; v && c; c = c->next)
            json_object_setn_new(v, c->key.p, c->key.n, node_json(c));
        return v;
    }
    return NULL;
}
