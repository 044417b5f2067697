/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to a checked component: sections, scopes, index spaces. One pass: each definition is read, checked against
 * the typed index spaces of its scope and appended, so memory is bounded by the input and the limits.
 * Keeps: every index that a definition mentions was in range, of the right sort and type when it was read; a
 * resource that a thing in a component's index spaces mentions belongs to that component.
 * Spec: component-model Binary.md; component-model.md 2. */
#include "hostd/component/decode.h"

#include <assert.h>
#include <stdio.h>
#include "lattice/base/num.h"

/* ---- what the other decoders lean on ---- */

bool dec_fail(struct decoder *d, enum err_code code, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return rd_fail(d->r, code, "%s", text);
}

/* A checker filled d->why: say where. */
bool dec_why(struct decoder *d)
{
    return rd_fail(d->r, d->why.code, "%s", d->why.text);
}

bool dec_full(struct decoder *d)
{
    arena_full(d->arena, &d->why);
    return dec_why(d);
}

/* Types are shared, so walking them again and again can cost far more than the bytes they came from. */
bool dec_work(struct decoder *d, const struct thing *t)
{
    d->work += thing_nodes(t);
    return d->work <= COMP_WORK_MAX ||
           dec_fail(d, ERR_LIMIT, "comparing types takes more than %d steps", COMP_WORK_MAX);
}

static bool grow(struct decoder *d, void *array, uint32_t n, uint32_t *cap, size_t size,
                 size_t align)
{
    return array_room(d->arena, array, n, cap, size, align) || dec_full(d);
}

bool dec_push(struct decoder *d, const struct thing *t)
{
    struct vec_things *v = &d->scope->space[t->sort];
    if (v->n >= COMP_SPACE_MAX)
        return dec_fail(d, ERR_LIMIT, "more than %d %ss", COMP_SPACE_MAX, sort_name[t->sort]);
    if (!grow(d, &v->p, v->n, &v->cap, sizeof *v->p, alignof(struct thing)))
        return false;
    v->p[v->n] = *t;
    if (t->sort == S_TYPE)
        v->p[v->n].def.abstract = false; /* once it has an index, it is equal to itself */
    v->n++;
    return true;
}

const struct thing *dec_get_in(struct decoder *d, struct scope *s, enum sort sort, uint32_t index)
{
    if (!rd_ok(d->r))
        return NULL;
    if (index < s->space[sort].n)
        return &s->space[sort].p[index];
    dec_fail(d, ERR_INVALID, "unknown %s %u: there are %u so far", sort_name[sort], index,
             s->space[sort].n);
    return NULL;
}

const struct thing *dec_get(struct decoder *d, enum sort sort, uint32_t index)
{
    return dec_get_in(d, d->scope, sort, index);
}

bool dec_named(struct decoder *d, struct vec_named *v, struct str name, const struct thing *t)
{
    if (!grow(d, &v->p, v->n, &v->cap, sizeof *v->p, alignof(struct named)))
        return false;
    v->p[v->n] = (struct named){name, *t};
    if (name_map_put(d->arena, &v->by_name, name, v->n) == MAP_FULL)
        return dec_full(d);
    v->n++;
    return true;
}

bool dec_op(struct decoder *d, const struct op *op)
{
    struct scope *s = d->scope;
    if (s->kind != SCOPE_COMPONENT)
        return true; /* types have nothing to carry out */
    if (!grow(d, &s->ops, s->nops, &s->ops_cap, sizeof *s->ops, alignof(struct op)))
        return false;
    s->ops[s->nops++] = *op;
    return true;
}

const struct wit_resource *dec_resource(struct decoder *d, struct str name)
{
    struct scope *s = d->scope;
    struct wit_resource *r = arena_new(d->arena, struct wit_resource);
    if (!r) {
        dec_full(d);
        return NULL;
    }
    *r = (struct wit_resource){.name = name, .owner = s->owner, .slot = NONE};
    if (s->kind == SCOPE_COMPONENT)
        r->slot = s->component->nslots++;
    return r;
}

const struct wit_type *dec_name_node(struct decoder *d, const struct wit_type *t,
                                     const struct wit_naming *naming)
{
    struct wit_type *node = arena_new(d->arena, struct wit_type);
    if (!node) {
        dec_full(d);
        return NULL;
    }
    *node = *t;
    node->naming = naming;
    return node;
}

const struct wit_resource *dec_fresh(void *user, struct str name)
{
    return dec_resource(user, name);
}

struct scope *dec_scope_open(struct decoder *d, enum scope_kind kind)
{
    struct scope *s = arena_new(d->arena, struct scope);
    if (!s) {
        dec_full(d);
        return NULL;
    }
    if (d->depth >= d->comp->limits.depth_max) {
        dec_fail(d, ERR_LIMIT, "nested deeper than %u", d->comp->limits.depth_max);
        return NULL;
    }
    *s = (struct scope){.kind = kind, .parent = d->scope, .owner = s};
    d->scope = s;
    d->depth++;
    return s;
}

void dec_scope_close(struct decoder *d)
{
    d->scope = d->scope->parent;
    d->depth--;
}

const struct comp_type *dec_comp_type(struct decoder *d, const struct scope *s)
{
    struct comp_type *t = arena_new(d->arena, struct comp_type);
    bool binds = false;
    if (!t) {
        dec_full(d);
        return NULL;
    }
    *t = (struct comp_type){.owner = s->owner,
                            .nimports = s->imports.n,
                            .nexports = s->exports.n,
                            .imports = s->imports.p,
                            .exports = s->exports.p,
                            .by_import = s->imports.by_name,
                            .by_export = s->exports.by_name,
                            .depth = 1,
                            .nodes = 1};
    if (!type_weigh(t->imports, t->nimports, &t->depth, &t->nodes, &binds, NULL, &d->why) ||
        !type_weigh(t->exports, t->nexports, &t->depth, &t->nodes, &binds, NULL, &d->why)) {
        dec_why(d);
        return NULL;
    }
    return t;
}

/* ---- sections ---- */

static bool dec_part(struct decoder *d)
{
    if (++d->nparts > COMP_PARTS_MAX)
        return dec_fail(d, ERR_LIMIT, "more than %d modules and components", COMP_PARTS_MAX);
    return true;
}

/* The next module's part of what comp_frames wrote; empty when there is none. */
static struct span next_frames(struct decoder *d)
{
    return rd_bytes(&d->frames, rd_u32(&d->frames));
}

static bool dec_module(struct decoder *d)
{
    struct span bytes = rd_bytes(d->r, rd_left(d->r));
    size_t offset = (size_t)(bytes.p - d->r->start);
    if (!dec_part(d))
        return false;
    struct wasm_limits limits = d->comp->limits.wasm;
    limits.known_frames = next_frames(d);
    struct wasm_module *m = wasm_module_load(bytes, false, &limits, &d->why);
    if (!m) {
        err_wrap(&d->why, "core module %u (from offset %zu)", d->scope->space[S_CORE_MODULE].n,
                 offset);
        return dec_why(d);
    }
    if (!comp_own_module(d->comp, m)) {
        wasm_module_unref(m);
        return dec_full(d);
    }
    struct thing t = {.sort = S_CORE_MODULE, .module = module_type_of(d->arena, m, &d->why)};
    if (!t.module)
        return dec_why(d);
    return dec_push(d, &t) && dec_op(d, &(struct op){.kind = OP_MODULE, .module = m, .thing = t});
}

static bool dec_component(struct decoder *d, struct component **out);

static bool dec_nested(struct decoder *d)
{
    struct component *c;
    if (!dec_part(d) || !dec_component(d, &c))
        return false;
    return dec_push(d, &(struct thing){.sort = S_COMPONENT, .comp = c->type}) &&
           dec_op(d, &(struct op){.kind = OP_COMPONENT, .component = c});
}

static bool dec_core_type(struct decoder *d)
{
    return dec_type(d, true);
}

static bool dec_any_type(struct decoder *d)
{
    return dec_type(d, false);
}

static bool dec_start(struct decoder *d)
{
    return dec_fail(d, ERR_UNSUPPORTED, "component start functions are not supported");
}

static bool dec_value(struct decoder *d)
{
    return dec_fail(d, ERR_UNSUPPORTED, "component values are not supported");
}

/* Handlers of vectors read one entry each; the others the whole section. */
static const struct section {
    const char *name;
    bool vector;
    bool (*read)(struct decoder *d);
} sections[] = {
    {"custom section", false, NULL},
    {"core module", false, dec_module},
    {"core instance section", true, dec_core_instance},
    {"core type section", true, dec_core_type},
    {"component", false, dec_nested},
    {"instance section", true, dec_instance},
    {"alias section", true, dec_alias},
    {"type section", true, dec_any_type},
    {"canon section", true, dec_canon},
    {"start section", false, dec_start},
    {"import section", true, dec_import},
    {"export section", true, dec_export},
    {"value section", true, dec_value},
};

static void dec_section_body(struct decoder *d, const struct section *s)
{
    if (!s->vector) {
        s->read(d);
        return;
    }
    uint32_t n = rd_count(d->r, 1, COMP_SECTIONS_MAX, "entries of a section");
    for (uint32_t i = 0; i < n && rd_ok(d->r); i++)
        if (!s->read(d))
            assert(!rd_ok(d->r)); /* who fails says why */
}

/* A custom section without a name is malformed; what follows the name is nobody's business. */
static void dec_custom(struct decoder *d)
{
    rd_name(d->r);
    rd_bytes(d->r, rd_left(d->r));
}

static bool dec_section(struct decoder *d)
{
    uint8_t id = rd_u8(d->r);
    uint32_t size = rd_u32(d->r);
    if (!rd_ok(d->r))
        return false;
    if (id >= ARRAY_LEN(sections))
        return dec_fail(d, ERR_INVALID, "unknown section id %u", id);
    if (++d->nsections > COMP_SECTIONS_MAX)
        return dec_fail(d, ERR_LIMIT, "more than %d sections", COMP_SECTIONS_MAX);
    struct reader *outer = d->r;
    struct reader part = rd_part(outer, size);
    if (!rd_ok(outer))
        return false;
    d->r = &part;
    if (sections[id].read)
        dec_section_body(d, &sections[id]);
    else
        dec_custom(d);
    d->r = outer;
    rd_join(outer, &part, sections[id].name);
    return rd_ok(outer);
}

/* version and layer, one 16-bit number each */
#define PREAMBLE_MAGIC 0x6d736100u
#define PREAMBLE_COMPONENT 0x0001000du
#define PREAMBLE_MODULE 0x00000001u

static bool dec_preamble(struct decoder *d)
{
    uint32_t magic = rd_fixed32(d->r), version = rd_fixed32(d->r);
    if (!rd_ok(d->r))
        return false;
    if (magic != PREAMBLE_MAGIC)
        return dec_fail(d, ERR_INVALID,
                        "not a WebAssembly file: it does not begin with \"\\0asm\"");
    if (version == PREAMBLE_MODULE)
        return dec_fail(d, ERR_INVALID,
                        "this is a core module, but a component is needed: make one of it with "
                        "`wasm-tools component new MODULE -o COMPONENT` (and the WASI adapter, "
                        "if it was built for WASI 0.1)");
    return version == PREAMBLE_COMPONENT ||
           dec_fail(d, ERR_INVALID,
                    "unknown binary version 0x%x, layer 0x%x: a component has 0xd, 1",
                    version & 0xffff, version >> 16);
}

static bool dec_component(struct decoder *d, struct component **out)
{
    struct component *c = arena_new(d->arena, struct component);
    if (!c)
        return dec_full(d);
    struct scope *s = dec_scope_open(d, SCOPE_COMPONENT);
    if (!s)
        return false;
    s->owner = s->component = c;
    if (!dec_preamble(d))
        return false;
    while (rd_more(d->r))
        if (!dec_section(d))
            return false;
    if (!rd_ok(d->r) || !(c->type = dec_comp_type(d, s)))
        return false;
    for (int i = 0; i < SORTS; i++)
        c->count[i] = s->space[i].n;
    c->nops = s->nops;
    c->ops = s->ops;
    dec_scope_close(d);
    *out = c;
    return true;
}

bool comp_decode(struct comp *c, struct err *e)
{
    struct reader r;
    struct decoder d = {.comp = c, .arena = &c->arena, .r = &r};
    struct err ignored;
    rd_init(&r, c->bytes, e);
    rd_init(&d.frames, c->limits.known_frames, &ignored);
    return dec_component(&d, &c->root);
}
