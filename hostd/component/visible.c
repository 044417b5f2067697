/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that make what a component imports and exports presentable: annotated names belong to functions of the
 * right shape. Nothing at run time depends on them.
 * Spec: Explainer.md "Import and Export Definitions"; component-model.md 3.3, 9.3. */
#include "hostd/component/component_int.h"

static bool bad_annotation(struct decoder *d, struct str name, const char *why)
{
    return dec_fail(d, ERR_INVALID, "\"%.*s\": %s", STR_ARG(name), why);
}

/* The resource that an annotated name speaks of must have been named in this scope before. */
static const struct wit_resource *named_resource(struct decoder *d, const struct extern_name *n)
{
    const struct vec_named *lists[] = {&d->scope->imports, &d->scope->exports};
    for (int i = 0; i < 2; i++) {
        uint32_t k = name_map_find(&lists[i]->by_name, n->resource);
        if (k != NONE && lists[i]->p[k].thing.sort == S_TYPE &&
            lists[i]->p[k].thing.def.kind == DEF_RESOURCE)
            return lists[i]->p[k].thing.def.resource;
    }
    return NULL;
}

static bool is_own(const struct wit_type *t, const struct wit_resource *r)
{
    return t && t->kind == WIT_OWN && t->resource == r;
}

bool dec_annotation(struct decoder *d, struct str name, const struct extern_name *n,
                    const struct thing *t)
{
    if (n->kind == NAME_INTERFACE)
        return t->sort == S_INSTANCE || t->sort == S_COMPONENT || t->sort == S_FUNC ||
               t->sort == S_CORE_MODULE || t->sort == S_TYPE;
    if (n->kind == NAME_LABEL)
        return true;
    if (t->sort != S_FUNC)
        return bad_annotation(d, name, "only functions can have annotated names");
    const struct wit_resource *r = named_resource(d, n);
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
