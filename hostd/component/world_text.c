/* SPDX-License-Identifier: Apache-2.0 */
/* A component's world as WIT text: the world, whose name no component tells, and then the packages of the interfaces
 * that it mentions, laid out as `wasm-tools component wit` does. Of a package: what it declares, and then the others.
 * Keeps: types are written by name where they have one, so that only those without are written out; the ceiling of the
 * text ends the walk, too.
 * Spec: component-model WIT.md. */
#include "hostd/component/world.h"

#include "lattice/base/num.h"

struct writer {
    const struct world *world;
    const struct world_package *package; /* that we are in; NULL: a component's */
    struct buf *out;
    uint32_t indent;
    bool items; /* something stands in this block, so a blank line comes before what follows */
    struct err *e;
    bool failed;
};

static bool stopped(const struct writer *w)
{
    return w->failed || w->out->full;
}

/* ---- words ---- */

/* A label that is one of these is written with % before it. */
static const char *const keywords[] = {
    "use",     "type",  "func",          "u8",     "u16",    "u32",         "u64",
    "s8",      "s16",   "s32",           "s64",    "f32",    "f64",         "float32",
    "float64", "char",  "bool",          "string", "record", "resource",    "flags",
    "variant", "enum",  "option",        "result", "future", "stream",      "list",
    "map",     "own",   "borrow",        "as",     "from",   "static",      "interface",
    "tuple",   "world", "import",        "export", "with",   "constructor", "package",
    "include", "async", "error-context",
};

static void put(struct writer *w, const char *text)
{
    buf_str(w->out, str_of(text));
}

static void put_name(struct writer *w, struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
        if (str_eqz(name, keywords[i]))
            put(w, "%");
    buf_str(w->out, name);
}

static void begin_line(struct writer *w)
{
    for (uint32_t i = 0; i < w->indent; i++)
        put(w, "  ");
}

/* The first line of something that stands for itself. */
static void item(struct writer *w)
{
    if (w->items)
        put(w, "\n");
    w->items = true;
    begin_line(w);
}

static void block_open(struct writer *w)
{
    put(w, " {\n");
    w->indent++;
}

static void block_close(struct writer *w)
{
    w->indent--;
    begin_line(w);
    put(w, "}\n");
}

static void put_package(struct writer *w, const struct wit_name *n)
{
    put_name(w, n->ns);
    put(w, ":");
    put_name(w, n->pkg);
}

static void put_version(struct writer *w, const struct wit_name *n)
{
    if (n->version.n)
        put(w, "@");
    buf_str(w->out, n->version);
}

/* From inside its package the name alone is enough. */
static void put_path(struct writer *w, const struct world_iface *i)
{
    if (i->package != w->package) {
        put_package(w, &i->name);
        put(w, "/");
    }
    put_name(w, i->name.iface);
    if (i->package != w->package)
        put_version(w, &i->name);
}

/* ---- types where they are used ---- */

static void put_type(struct writer *w, const struct wit_type *t);

/* What must have a name, but not in this world. */
static void unnamed(struct writer *w, const struct wit_type *t)
{
    struct str name = t->naming ? t->naming->name : STR("without a name");
    w->failed = true;
    err_set(w->e, ERR_UNSUPPORTED, "WIT cannot say what %s \"%.*s\" is: no interface has it",
            wit_kind_name(t->kind), STR_ARG(name));
}

static void put_handle(struct writer *w, const struct wit_type *t, const struct world_type *r,
                       bool spell_own)
{
    bool wrapped = spell_own || t->kind == WIT_BORROW;
    r = r ? r : world_type_of(w->world, t->resource);
    if (!r) {
        unnamed(w, t);
        return;
    }
    if (wrapped) {
        put(w, wit_kind_name(t->kind));
        put(w, "<");
    }
    put_name(w, r->name);
    put(w, wrapped ? ">" : "");
}

static void put_members(struct writer *w, const struct wit_type *t)
{
    for (uint32_t i = 0; i < t->ncases && !stopped(w); i++) {
        put(w, i ? ", " : "");
        put_type(w, t->cases[i].type);
    }
}

/* What stands between < and >. */
static void put_arguments(struct writer *w, const struct wit_type *t)
{
    put(w, "<");
    if (t->kind == WIT_TUPLE)
        put_members(w, t);
    else if (t->is_map)
        put_members(w, t->elem);
    else if (t->elem)
        put_type(w, t->elem);
    else
        put(w, "_");
    if (t->err) {
        put(w, ", ");
        put_type(w, t->err);
    }
    if (t->kind == WIT_FIXED_LIST)
        buf_printf(w->out, ", %u", t->length);
    put(w, ">");
}

static bool is_nominal(const struct wit_type *t)
{
    return t->kind == WIT_RECORD || t->kind == WIT_VARIANT || t->kind == WIT_ENUM ||
           t->kind == WIT_FLAGS;
}

/* A type without a name. */
static void put_shape(struct writer *w, const struct wit_type *t)
{
    if (is_nominal(t)) {
        unnamed(w, t);
        return;
    }
    put(w, t->is_map ? "map" : wit_kind_name(t->kind));
    if (t->elem || t->err || t->ncases)
        put_arguments(w, t);
}

static void put_type(struct writer *w, const struct wit_type *t)
{
    const struct world_type *named = world_type_of(w->world, t->naming);
    if (stopped(w))
        return;
    if (named && named->def->kind == DEF_VALUE)
        put_name(w, named->name);
    else if (t->resource)
        put_handle(w, t, named, false);
    else
        put_shape(w, t);
}

/* ---- functions ---- */

static void put_func(struct writer *w, const struct world_func *f)
{
    const struct wit_func *t = f->type;
    bool makes = f->kind == NAME_CONSTRUCTOR;
    if (!makes) {
        put_name(w, f->name);
        put(w, f->kind == NAME_STATIC ? ": static " : ": ");
    }
    put(w, makes ? "constructor(" : t->async ? "async func(" : "func(");
    uint32_t self = f->kind == NAME_METHOD;
    for (uint32_t i = self; i < t->nparams && !stopped(w); i++) {
        put(w, i > self ? ", " : "");
        put_name(w, t->params[i].name);
        put(w, ": ");
        put_type(w, t->params[i].type);
    }
    put(w, ")");
    if (t->result && !(makes && t->result->kind == WIT_OWN)) {
        put(w, " -> ");
        put_type(w, t->result);
    }
    put(w, ";\n");
}

/* ---- declarations ---- */

static void declare_resource(struct writer *w, const struct world_type *t)
{
    put(w, "resource ");
    put_name(w, t->name);
    if (!t->funcs.first) {
        put(w, ";\n");
        return;
    }
    block_open(w);
    for (const struct world_func *f = t->funcs.first; f && !stopped(w); f = f->next) {
        begin_line(w);
        put_func(w, f);
    }
    block_close(w);
}

static void declare_cases(struct writer *w, struct str name, const struct wit_type *t)
{
    put(w, wit_kind_name(t->kind));
    put(w, " ");
    put_name(w, name);
    block_open(w);
    for (uint32_t i = 0; i < t->ncases && !stopped(w); i++) {
        const struct wit_type *payload = t->cases[i].type;
        begin_line(w);
        put_name(w, t->cases[i].name);
        if (payload) {
            put(w, t->kind == WIT_RECORD ? ": " : "(");
            put_type(w, payload);
            put(w, t->kind == WIT_RECORD ? "" : ")");
        }
        put(w, ",\n");
    }
    block_close(w);
}

static void declare_alias(struct writer *w, const struct world_type *t)
{
    put(w, "type ");
    put_name(w, t->name);
    put(w, " = ");
    if (t->same)
        put_name(w, t->same->name);
    else if (t->def->value->resource)
        put_handle(w, t->def->value, NULL, true);
    else
        put_shape(w, t->def->value);
    put(w, ";\n");
}

static void declare(struct writer *w, const struct world_type *t)
{
    item(w);
    if (t->same)
        declare_alias(w, t);
    else if (t->def->kind == DEF_RESOURCE)
        declare_resource(w, t);
    else if (is_nominal(t->def->value))
        declare_cases(w, t->name, t->def->value);
    else
        declare_alias(w, t);
}

static bool is_used(const struct world_type *t)
{
    return t->same && t->same->iface != t->iface;
}

/* Types of other interfaces, those of one together as far as they follow one another. */
static void put_uses(struct writer *w, const struct world_iface *i)
{
    const struct world_iface *from = NULL;
    for (const struct world_type *t = i->types; t && !stopped(w); t = t->next) {
        if (!is_used(t))
            continue;
        if (t->same->iface != from) {
            put(w, from ? "};\n" : "");
            from = t->same->iface;
            w->items = true;
            begin_line(w);
            put(w, "use ");
            put_path(w, from);
            put(w, ".{");
        } else {
            put(w, ", ");
        }
        put_name(w, t->same->name);
        if (!str_eq(t->same->name, t->name)) {
            put(w, " as ");
            put_name(w, t->name);
        }
    }
    put(w, from ? "};\n" : "");
}

static void put_types(struct writer *w, const struct world_iface *i)
{
    put_uses(w, i);
    for (const struct world_type *t = i->types; t && !stopped(w); t = t->next)
        if (!is_used(t))
            declare(w, t);
}

static void put_iface(struct writer *w, const struct world_iface *i)
{
    bool outer = w->items;
    w->items = false;
    block_open(w);
    put_types(w, i);
    for (const struct world_func *f = i->funcs.first; f && !stopped(w); f = f->next) {
        item(w);
        put_func(w, f);
    }
    block_close(w);
    w->items = outer;
}

/* ---- the whole ---- */

static void put_world_item(struct writer *w, const char *verb, const struct world_item *it)
{
    begin_line(w);
    put(w, verb);
    if (it->func) {
        put_func(w, it->func);
    } else if (it->iface->package) {
        put_path(w, it->iface);
        put(w, ";\n");
    } else {
        put_name(w, it->name);
        put(w, ": interface");
        put_iface(w, it->iface);
    }
}

static void put_scope(struct writer *w, const struct world_scope *s)
{
    put(w, "world ");
    put_name(w, s->name);
    block_open(w);
    w->items = false;
    for (const struct world_item *it = s->imports; it && !stopped(w); it = it->next) {
        put_world_item(w, "import ", it);
        w->items = true;
    }
    put_types(w, &s->own);
    for (const struct world_func *f = s->own.funcs.first; f && !stopped(w); f = f->next) {
        put_world_item(w, "import ", &(struct world_item){.func = f});
        w->items = true;
    }
    if (s->exports && w->items)
        put(w, "\n");
    for (const struct world_item *it = s->exports; it && !stopped(w); it = it->next)
        put_world_item(w, "export ", it);
    block_close(w);
}

static void put_declared(struct writer *w, const struct world_iface *i)
{
    begin_line(w);
    put(w, "interface ");
    put_name(w, i->name.iface);
    put_iface(w, i);
}

static void put_main(struct writer *w)
{
    static const struct wit_name component = {.ns = STR_INIT("root"), .pkg = STR_INIT("component")};
    const struct world_package *p = w->package = w->world->main;
    put(w, "package ");
    put_package(w, p ? p->name : &component);
    put_version(w, p ? p->name : &component);
    put(w, ";\n\n");
    for (const struct world_iface *i = p ? p->ifaces : NULL; i && !stopped(w); i = i->next) {
        put_declared(w, i);
        put(w, "\n");
    }
    for (const struct world_scope *s = w->world->scopes; s && !stopped(w); s = s->next)
        put_scope(w, s);
}

static void put_packages(struct writer *w)
{
    for (const struct world_package *p = w->world->order; p && !stopped(w); p = p->next) {
        w->package = p;
        put(w, p == w->world->order ? "package " : "\n\npackage ");
        put_package(w, p->name);
        put_version(w, p->name);
        block_open(w);
        for (const struct world_iface *i = p->ifaces; i && !stopped(w); i = i->next)
            put_declared(w, i);
        block_close(w);
    }
}

bool world_write(const struct world *world, struct buf *out, struct err *e)
{
    struct writer w = {.world = world, .out = out, .e = e};
    put_main(&w);
    put_packages(&w);
    return !w.failed && buf_ok(out, e);
}
