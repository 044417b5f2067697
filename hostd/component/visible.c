/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that make what a component imports and exports presentable: annotated names belong to functions of the
 * right shape, and the types of imports and exports mention only what has a name outside. Nothing at run time
 * depends on them.
 *
 * A type has a name outside when it was reached through an import or export: so importing or exporting one makes a new
 * node of equal structure, and a handle is visible when the index of its resource was. Only records, variants, enums
 * and flags need a name; the node of any other tells readers of its text how it is called (world.c).
 * Spec: Explainer.md "Import and Export Definitions"; component-model.md 3.3, 9.3. */
#include "hostd/component/decode.h"

static bool bad_annotation(struct decoder *d, struct str name, const char *why)
{
    return dec_fail(d, ERR_INVALID, "\"%.*s\": %s", STR_ARG(name), why);
}

/* The resource that an annotated name speaks of must have been named before, beside it. */
static const struct wit_resource *named_resource(const struct vec_named *list,
                                                 const struct extern_name *n)
{
    uint32_t k = name_map_find(&list->by_name, n->resource);
    if (k == NONE || list->p[k].thing.sort != S_TYPE || list->p[k].thing.def.kind != DEF_RESOURCE)
        return NULL;
    return list->p[k].thing.def.resource;
}

static bool is_own(const struct wit_type *t, const struct wit_resource *r)
{
    return t && t->kind == WIT_OWN && t->resource == r;
}

static bool implements_ok(struct decoder *d, const struct extern_name *n, const struct thing *t)
{
    if (!n->implements)
        return true;
    if (t->sort != S_INSTANCE)
        return dec_fail(d, ERR_INVALID, "only instances can have an `implements`");
    return n->kind == NAME_LABEL ||
           dec_fail(d, ERR_INVALID, "only a plain name is valid with `implements`");
}

bool dec_annotation(struct decoder *d, const struct vec_named *list, struct str name,
                    const struct extern_name *n, const struct thing *t)
{
    if (!implements_ok(d, n, t))
        return false;
    if (n->kind == NAME_INTERFACE || n->kind == NAME_LABEL)
        return true;
    if (t->sort != S_FUNC)
        return bad_annotation(d, name, "only functions can have annotated names");
    const struct wit_resource *r = named_resource(list, n);
    const struct wit_func *f = t->func;
    if (!r)
        return bad_annotation(d, name, "resource used in the name is not known in this scope");
    if (n->kind == NAME_CONSTRUCTOR && !is_own(f->result, r) &&
        !(f->result && f->result->kind == WIT_RESULT && is_own(f->result->elem, r)))
        return bad_annotation(d, name, "a constructor must return the resource it constructs");
    if (n->kind == NAME_METHOD &&
        (f->nparams == 0 || !str_eqz(f->params[0].name, "self") ||
         f->params[0].type->kind != WIT_BORROW || f->params[0].type->resource != r))
        return bad_annotation(
            d, name, "a method's first parameter must be `self`, a borrow of its resource");
    return true;
}

/* ---- visibility ---- */

static const char by_import, by_export; /* marks in scope->visible */

static bool mark(struct decoder *d, const void *p, bool import)
{
    return ptr_map_put(d->arena, &d->scope->visible, p, import ? &by_import : &by_export) ||
           dec_full(d);
}

/* Imports cannot depend on the names of exports. */
static bool marked(const struct scope *s, const void *p, bool import)
{
    for (; s; s = s->kind == SCOPE_COMPONENT ? NULL : s->parent) {
        const void *how = ptr_map_find(&s->visible, p);
        if (how && !(import && how == &by_export))
            return true;
    }
    return false;
}

static bool is_nominal(const struct wit_type *t)
{
    return t->kind == WIT_RECORD || t->kind == WIT_VARIANT || t->kind == WIT_ENUM ||
           t->kind == WIT_FLAGS;
}

static bool parts_named(const struct scope *s, const struct wit_type *t, bool import);

static bool is_named(const struct scope *s, const struct wit_type *t, bool import)
{
    if (!t)
        return true;
    if (t->resource)
        return marked(s, t->resource, import) || marked(s, t, import);
    return is_nominal(t) ? marked(s, t, import) : parts_named(s, t, import);
}

static bool parts_named(const struct scope *s, const struct wit_type *t, bool import)
{
    for (uint32_t i = 0; i < t->ncases; i++)
        if (!is_named(s, t->cases[i].type, import))
            return false;
    return is_named(s, t->elem, import) && is_named(s, t->err, import);
}

static bool func_named(const struct scope *s, const struct wit_func *f, bool import)
{
    for (uint32_t i = 0; i < f->nparams; i++)
        if (!is_named(s, f->params[i].type, import))
            return false;
    return is_named(s, f->result, import);
}

/* The names that an instance brings along. */
static bool mark_exports(struct decoder *d, const struct inst_type *t, bool import)
{
    for (uint32_t i = 0; i < t->n; i++) {
        const struct thing *x = &t->exports[i].thing;
        bool ok = true;
        if (x->sort == S_INSTANCE)
            ok = mark_exports(d, x->inst, import);
        else if (x->sort == S_TYPE && x->def.kind == DEF_RESOURCE)
            ok = mark(d, x->def.resource, import);
        else if (x->sort == S_TYPE && x->def.kind == DEF_VALUE)
            ok = mark(d, x->def.value, import);
        if (!ok)
            return false;
    }
    return true;
}

static const struct inst_type *instance_of(const struct thing *t)
{
    if (t->sort == S_INSTANCE)
        return t->inst;
    return t->sort == S_TYPE && t->def.kind == DEF_INSTANCE ? t->def.inst : NULL;
}

static bool thing_named(const struct scope *s, const struct thing *t, bool import);

static bool exports_named(const struct scope *s, const struct inst_type *t, bool import)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (!thing_named(s, &t->exports[i].thing, import))
            return false;
    return true;
}

/* A type that is itself being named only needs its parts to have names. */
static bool thing_named(const struct scope *s, const struct thing *t, bool import)
{
    if (t->sort == S_FUNC)
        return func_named(s, t->func, import);
    if (instance_of(t))
        return exports_named(s, instance_of(t), import);
    if (t->sort == S_TYPE && t->def.kind == DEF_VALUE)
        return t->def.value->resource ? is_named(s, t->def.value, import)
                                      : parts_named(s, t->def.value, import);
    return t->sort != S_TYPE || t->def.kind != DEF_FUNC || func_named(s, t->def.func, import);
}

/* Nothing gets a name by being an inline export, so the resource must have had one. */
bool dec_inline_annotation(struct decoder *d, const struct vec_named *list, struct str name,
                           const struct extern_name *n, const struct thing *t)
{
    bool of_resource = n->kind == NAME_CONSTRUCTOR || n->kind == NAME_METHOD;
    return dec_annotation(d, list, name, n, t) &&
           (!of_resource || func_named(d->scope, t->func, false) ||
            bad_annotation(d, name, "its resource has no name outside"));
}

/* Gives the type a node of its own, so that this name can be told from the type itself. */
static bool name_value(struct decoder *d, struct def *def, bool import)
{
    const struct wit_type *t = def->value;
    def->value = dec_name_node(d, t, def->naming);
    if (!def->value)
        return false;
    bool marks = is_nominal(t) || (t->resource && marked(d->scope, t, import));
    return !marks || mark(d, def->value, import);
}

static bool name_type(struct decoder *d, struct str name, struct def *def, bool import)
{
    def->visible = true;
    if (def->kind != DEF_VALUE && def->kind != DEF_RESOURCE)
        return true;
    struct wit_naming *naming = arena_new(d->arena, struct wit_naming);
    if (!naming)
        return dec_full(d);
    naming->name = name;
    def->of = def->naming;
    def->naming = naming;
    if (def->kind == DEF_VALUE)
        return name_value(d, def, import);
    return !def->abstract || mark(d, def->resource, import);
}

bool dec_visible(struct decoder *d, struct str name, struct thing *t, bool import)
{
    if (!dec_work(d, t))
        return false;
    if (instance_of(t) && !mark_exports(d, instance_of(t), import))
        return false;
    /* an instance type is looked at where an instance of it is imported or exported */
    if (d->scope->kind != SCOPE_INSTANCE_TYPE && !thing_named(d->scope, t, import))
        return dec_fail(d, ERR_INVALID,
                        "%s \"%.*s\" is not valid to be used as %s: it mentions a type that "
                        "has no name outside",
                        sort_name[t->sort], STR_ARG(name), import ? "import" : "export");
    return t->sort != S_TYPE || name_type(d, name, &t->def, import);
}

bool dec_handle_visible(struct decoder *d, const struct thing *resource,
                        const struct wit_type *handle)
{
    return !resource->def.visible || mark(d, handle, false);
}
