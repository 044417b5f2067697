/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the tree of nested instantiations out flat. Every component instance runs through its component's
 * operations once, with items (what a name stands for in the running tree) in place of types; what remains for run
 * time is a list of core instantiations and, for each lift, lower and built-in, one record.
 * Keeps: items fit the types that decoding gave them, so lookups by name cannot fail; a resource slot is filled
 * before a record refers to it.
 * Spec: component-model.md 4; Explainer.md "Instance Definitions". */
#include "hostd/component/guest.h"

#include <assert.h>

#define PLAN_DEPTH_MAX 64

struct plan_module {
    struct wasm_module *module;
    const struct module_type *type;
};
/* A core instance: a real one, or a bag of things that exist already. */
struct core_bag {
    uint32_t inst; /* NONE: a bag */
    const struct name_map *names;
    const struct core_ref *refs;
};
struct closure {
    const struct component *component;
    struct env *env; /* where it was defined: for outer aliases */
};

/* One component instance while it is written out. */
struct env {
    const struct component *c;
    struct env *outer;
    uint32_t instance;
    uint32_t *res; /* slot -> plan resource */
    struct item *space[SORTS];
    uint32_t n[SORTS];
    struct item *exports;
    uint32_t nexports;
    const struct op *with; /* the instantiation's arguments; NULL for the root */
    const struct item *args;
};

struct planner {
    struct arena *arena;
    struct plan *plan;
    uint32_t cap_ops, cap_cores, cap_resources, cap_imports, cap_lifts, cap_tramps, cap_instances;
    uint32_t depth, instances_max;
    struct err *e;
};

static bool full(struct planner *p)
{
    return arena_full(p->arena, p->e);
}

#define APPEND(p, what, type)                                                                     \
    (array_room((p)->arena, &(p)->plan->what, (p)->plan->n##what, &(p)->cap_##what, sizeof(type), \
                alignof(type))                                                                    \
         ? &(p)->plan->what[(p)->plan->n##what++]                                                 \
         : NULL)

/* ---- items ---- */

static void push(struct env *env, struct item item)
{
    assert(env->n[item.sort] < env->c->count[item.sort]);
    env->space[item.sort][env->n[item.sort]++] = item;
}

static struct item get(const struct env *env, enum sort sort, uint32_t index)
{
    assert(index < env->n[sort]);
    return env->space[sort][index];
}

static struct core_ref core_ref_of(const struct env *env, enum sort sort, uint32_t index)
{
    return index == NONE ? CORE_REF_NONE : get(env, sort, index).core;
}

static struct core_ref core_export(const struct core_bag *bag, struct str name)
{
    uint32_t k = name_map_find(bag->names, name);
    assert(k != NONE);
    return bag->inst == NONE ? bag->refs[k] : (struct core_ref){bag->inst, k};
}

struct item bag_get(const struct bag *bag, struct str name)
{
    uint32_t k = name_map_find(bag->names, name);
    assert(k != NONE);
    return bag->items[k];
}

static uint32_t resource_of(const struct env *env, const struct wit_resource *r)
{
    assert(r->owner == env->c && r->slot < env->c->nslots);
    return env->res[r->slot];
}

/* Fills the resource slots that `thing`, as this component sees it, has from what it stands for. */
static void bind_slots(struct env *env, const struct thing *thing, struct item item)
{
    if (thing->sort == S_INSTANCE) {
        for (uint32_t i = 0; i < thing->inst->n; i++) {
            const struct named *x = &thing->inst->exports[i];
            if (x->thing.sort == S_TYPE || x->thing.sort == S_INSTANCE)
                bind_slots(env, &x->thing, bag_get(item.inst, x->name));
        }
    } else if (thing->sort == S_TYPE && thing->def.kind == DEF_RESOURCE &&
               thing->def.resource->owner == env->c) {
        env->res[thing->def.resource->slot] = item.resource;
    }
}

/* A resource that came along inside a type, but under no name, has nothing to stand for. */
static bool unnamed(struct planner *p, const struct wit_resource *r)
{
    return err_set(p->e, ERR_INVALID,
                   "resource \"%.*s\" is used, but its instance does not export it",
                   STR_ARG(r->name));
}

static bool value_bound(struct planner *p, const struct env *env, const struct wit_type *t)
{
    if (!t || !t->has_resource)
        return true;
    if (t->resource)
        return resource_of(env, t->resource) != NONE || unnamed(p, t->resource);
    for (uint32_t i = 0; i < t->ncases; i++)
        if (!value_bound(p, env, t->cases[i].type))
            return false;
    return value_bound(p, env, t->elem) && value_bound(p, env, t->err);
}

/* Every resource that calls of f will look at has its slot filled. */
static bool func_bound(struct planner *p, const struct env *env, const struct wit_func *f)
{
    for (uint32_t i = 0; i < f->nparams; i++)
        if (!value_bound(p, env, f->params[i].type))
            return false;
    return value_bound(p, env, f->result);
}

static struct item type_item(const struct env *env, const struct thing *t)
{
    bool resource = t->def.kind == DEF_RESOURCE;
    return (struct item){.sort = S_TYPE,
                         .resource = resource ? resource_of(env, t->def.resource) : NONE};
}

/* What a component's index (or type) stands for. */
static struct item item_of(const struct env *env, const struct thing *t, enum sort sort,
                           uint32_t index)
{
    return sort == S_TYPE ? type_item(env, t) : get(env, sort, index);
}

static struct plan_opts opts_of(const struct env *env, const struct canon_opts *o)
{
    return (struct plan_opts){.encoding = o->encoding,
                              .memory = core_ref_of(env, S_CORE_MEMORY, o->memory),
                              .realloc = core_ref_of(env, S_CORE_FUNC, o->realloc),
                              .post_return = core_ref_of(env, S_CORE_FUNC, o->post_return)};
}

/* ---- imports of the root ---- */

static bool root_import(struct planner *p, struct env *env, struct str iface, struct str name,
                        const struct thing *t, struct item *out);

static bool root_instance(struct planner *p, struct env *env, struct str iface,
                          const struct inst_type *t, struct item *out)
{
    struct bag *bag = arena_new(p->arena, struct bag);
    struct item *items = arena_array(p->arena, struct item, t->n);
    if (!bag || !items)
        return full(p);
    for (uint32_t i = 0; i < t->n; i++)
        if (!root_import(p, env, iface, t->exports[i].name, &t->exports[i].thing, &items[i]))
            return false;
    *bag = (struct bag){&t->by_name, items};
    *out = (struct item){.sort = S_INSTANCE, .inst = bag};
    return true;
}

static bool root_type(struct planner *p, struct env *env, struct str iface, struct str name,
                      const struct thing *t, struct item *out)
{
    *out = (struct item){.sort = S_TYPE, .resource = NONE};
    if (t->def.kind != DEF_RESOURCE)
        return true;
    if (t->def.abstract) {
        out->resource = p->plan->nresources;
        struct plan_resource *r = APPEND(p, resources, struct plan_resource);
        if (!r)
            return full(p);
        *r = (struct plan_resource){
            .name = name, .import = iface, .owner = NONE, .dtor = CORE_REF_NONE};
        env->res[t->def.resource->slot] = out->resource;
    }
    out->resource = resource_of(env, t->def.resource);
    return true;
}

static bool root_import(struct planner *p, struct env *env, struct str iface, struct str name,
                        const struct thing *t, struct item *out)
{
    if (t->sort == S_TYPE)
        return root_type(p, env, iface, name, t, out);
    if (t->sort == S_INSTANCE && iface.n == 0)
        return root_instance(p, env, name, t->inst, out);
    if (t->sort != S_FUNC)
        return err_set(p->e, ERR_UNSUPPORTED,
                       "import \"%.*s\": a %s cannot be provided by the host", STR_ARG(name),
                       sort_name[t->sort]);
    if (t->func->async)
        return err_set(p->e, ERR_UNSUPPORTED,
                       "import \"%.*s\": async functions (WASI 0.3) are not supported",
                       STR_ARG(name));
    *out = (struct item){.sort = S_FUNC, .func = {true, p->plan->nimports}};
    if (!func_bound(p, env, t->func))
        return false;
    struct plan_import *f = APPEND(p, imports, struct plan_import);
    struct wit_func *type = arena_new(p->arena, struct wit_func);
    if (!f || !type)
        return full(p);
    *type = *t->func;
    type->name = name;
    *f = (struct plan_import){.iface = iface, .name = name, .type = type, .res = env->res};
    return true;
}

/* ---- one operation each ---- */

static bool op_module(struct planner *p, struct env *env, const struct op *op)
{
    struct plan_module *m = arena_new(p->arena, struct plan_module);
    if (!m)
        return full(p);
    *m = (struct plan_module){op->module, op->thing.module};
    push(env, (struct item){.sort = S_CORE_MODULE, .module = m});
    return true;
}

static bool new_core_bag(struct planner *p, struct env *env, struct core_bag bag)
{
    struct core_bag *b = arena_new(p->arena, struct core_bag);
    if (!b)
        return full(p);
    *b = bag;
    push(env, (struct item){.sort = S_CORE_INSTANCE, .core_inst = b});
    return true;
}

static bool add_op(struct planner *p, enum plan_op_kind kind, uint32_t index)
{
    struct plan_op *op = APPEND(p, ops, struct plan_op);
    if (!op)
        return full(p);
    *op = (struct plan_op){kind, index};
    return true;
}

static bool count_instance(struct planner *p)
{
    return p->plan->ncores + p->plan->ninstances < p->instances_max ||
           err_set(p->e, ERR_LIMIT, "instantiation makes more than %u instances", p->instances_max);
}

static bool op_core_instantiate(struct planner *p, struct env *env, const struct op *op)
{
    const struct plan_module *m = get(env, S_CORE_MODULE, op->index).module;
    struct core_ref *imports = arena_array(p->arena, struct core_ref, m->type->nimports);
    uint32_t inst = p->plan->ncores;
    if (!count_instance(p))
        return false;
    struct plan_core *core = APPEND(p, cores, struct plan_core);
    if (!imports || !core)
        return full(p);
    for (uint32_t i = 0; i < m->type->nimports; i++) {
        uint32_t k = name_map_find(&op->arg_names, m->type->imports[i].module);
        assert(k != NONE);
        imports[i] = core_export(get(env, S_CORE_INSTANCE, op->args[k].index).core_inst,
                                 m->type->imports[i].name);
    }
    *core = (struct plan_core){m->module, imports, env->instance};
    return add_op(p, PLAN_CORE, inst) &&
           new_core_bag(p, env, (struct core_bag){.inst = inst, .names = &m->type->by_name});
}

static bool op_core_bag(struct planner *p, struct env *env, const struct op *op)
{
    struct core_ref *refs = arena_array(p->arena, struct core_ref, op->nargs);
    if (!refs)
        return full(p);
    for (uint32_t i = 0; i < op->nargs; i++)
        refs[i] = get(env, op->args[i].sort, op->args[i].index).core;
    return new_core_bag(p, env, (struct core_bag){NONE, &op->arg_names, refs});
}

static bool op_component(struct planner *p, struct env *env, const struct op *op)
{
    struct closure *c = arena_new(p->arena, struct closure);
    if (!c)
        return full(p);
    *c = (struct closure){op->component, env};
    push(env, (struct item){.sort = S_COMPONENT, .comp = c});
    return true;
}

static bool instantiate(struct planner *p, struct env *env, struct env *outer,
                        const struct component *c, uint32_t parent);

static bool args_of(struct planner *p, const struct env *env, const struct op *op,
                    struct item **out)
{
    struct item *items = arena_array(p->arena, struct item, op->nargs);
    if (!items)
        return full(p);
    for (uint32_t i = 0; i < op->nargs; i++)
        items[i] = item_of(env, &op->args[i].thing, op->args[i].sort, op->args[i].index);
    *out = items;
    return true;
}

static bool push_bag(struct planner *p, struct env *env, const struct name_map *names,
                     const struct item *items)
{
    struct bag *bag = arena_new(p->arena, struct bag);
    if (!bag)
        return full(p);
    *bag = (struct bag){names, items};
    push(env, (struct item){.sort = S_INSTANCE, .inst = bag});
    return true;
}

static bool op_instantiate(struct planner *p, struct env *env, const struct op *op)
{
    const struct closure *c = get(env, S_COMPONENT, op->index).comp;
    struct item *args;
    if (!args_of(p, env, op, &args))
        return false;
    struct env *child = arena_new(p->arena, struct env);
    if (!child)
        return full(p);
    *child = (struct env){.with = op, .args = args};
    if (!instantiate(p, child, c->env, c->component, env->instance) ||
        !push_bag(p, env, &c->component->type->by_export, child->exports))
        return false;
    bind_slots(env, &op->thing, get(env, S_INSTANCE, env->n[S_INSTANCE] - 1));
    return true;
}

static bool op_bag(struct planner *p, struct env *env, const struct op *op)
{
    struct item *items;
    return args_of(p, env, op, &items) && push_bag(p, env, &op->arg_names, items);
}

static bool op_alias(struct planner *p, struct env *env, const struct op *op)
{
    (void)p;
    struct item item = bag_get(get(env, S_INSTANCE, op->index).inst, op->name);
    if (op->sort != S_TYPE)
        push(env, item);
    return true;
}

static bool op_alias_core(struct planner *p, struct env *env, const struct op *op)
{
    (void)p;
    struct core_ref ref = core_export(get(env, S_CORE_INSTANCE, op->index).core_inst, op->name);
    push(env, (struct item){.sort = op->sort, .core = ref});
    return true;
}

static bool op_alias_outer(struct planner *p, struct env *env, const struct op *op)
{
    (void)p;
    struct env *from = env;
    for (uint32_t i = 0; i < op->count; i++)
        from = from->outer;
    if (op->sort != S_TYPE && op->sort != S_CORE_TYPE)
        push(env, get(from, op->sort, op->index));
    return true;
}

static bool op_resource(struct planner *p, struct env *env, const struct op *op)
{
    uint32_t index = p->plan->nresources;
    struct plan_resource *r = APPEND(p, resources, struct plan_resource);
    if (!r)
        return full(p);
    *r = (struct plan_resource){.name = op->resource->name,
                                .owner = env->instance,
                                .dtor = core_ref_of(env, S_CORE_FUNC, op->index)};
    env->res[op->resource->slot] = index;
    return true;
}

static bool count_trampoline(struct planner *p)
{
    return p->plan->nlifts + p->plan->ntramps < COMP_TRAMPOLINES_MAX ||
           err_set(p->e, ERR_LIMIT, "more than %d lifted and lowered functions",
                   COMP_TRAMPOLINES_MAX);
}

/* `from`: what is lowered, NULL for a lift. */
static bool can_run(struct planner *p, const struct abi *abi, const struct func_ref *from)
{
    if (!abi->refused)
        return true;
    err_set(p->e, ERR_UNSUPPORTED, "calls that pass %s are not supported", abi->refused);
    if (!from || !from->imported)
        return false;
    const struct plan_import *i = &p->plan->imports[from->index];
    return err_wrap(p->e, "import \"%.*s\", function \"%.*s\"", STR_ARG(i->iface),
                    STR_ARG(i->name));
}

static bool op_lift(struct planner *p, struct env *env, const struct op *op)
{
    uint32_t index = p->plan->nlifts;
    if (!count_trampoline(p) || !func_bound(p, env, op->abi->type) || !can_run(p, op->abi, NULL))
        return false;
    struct plan_lift *l = APPEND(p, lifts, struct plan_lift);
    if (!l)
        return full(p);
    *l = (struct plan_lift){.instance = env->instance,
                            .func = core_ref_of(env, S_CORE_FUNC, op->index),
                            .abi = op->abi,
                            .res = env->res,
                            .opts = opts_of(env, &op->opts)};
    push(env, (struct item){.sort = S_FUNC, .func = {false, index}});
    return true;
}

static bool op_trampoline(struct planner *p, struct env *env, const struct op *op)
{
    uint32_t index = p->plan->ntramps;
    bool passes = op->kind == OP_LOWER || op->kind == OP_TASK_RETURN;
    struct func_ref from = {0};
    if (op->kind == OP_LOWER)
        from = get(env, S_FUNC, op->index).func;
    if (!count_trampoline(p) ||
        (passes && (!func_bound(p, env, op->abi->type) || !can_run(p, op->abi, &from))))
        return false;
    struct plan_tramp *t = APPEND(p, tramps, struct plan_tramp);
    if (!t)
        return full(p);
    *t = (struct plan_tramp){.kind = op->kind,
                             .instance = env->instance,
                             .core = op->core_type,
                             .res = env->res,
                             .name = op->name,
                             .slot = op->index};
    if (passes) {
        t->abi = op->abi;
        t->opts = opts_of(env, &op->opts);
    }
    if (op->kind == OP_LOWER) {
        t->target = from;
    } else if (op->resource && !passes) {
        t->resource = resource_of(env, op->resource);
        if (t->resource == NONE)
            return unnamed(p, op->resource);
    }

    push(env, (struct item){.sort = S_CORE_FUNC, .core = {NONE, index}});
    return true;
}

static bool op_import(struct planner *p, struct env *env, const struct op *op)
{
    struct item item;
    if (!env->with) {
        if (!root_import(p, env, STR(""), op->name, &op->thing, &item))
            return false;
    } else {
        uint32_t k = name_map_find(&env->with->arg_names, op->name);
        assert(k != NONE);
        item = env->args[k];
        bind_slots(env, &op->thing, item);
    }
    if (item.sort != S_TYPE)
        push(env, item);
    return true;
}

static bool op_export(struct planner *p, struct env *env, const struct op *op)
{
    struct item item = item_of(env, &op->item, op->sort, op->index);
    bind_slots(env, &op->thing, item);
    if (item.sort == S_TYPE && item.resource != NONE && !p->plan->resources[item.resource].name.n)
        p->plan->resources[item.resource].name = op->name; /* definitions have none */
    env->exports[env->nexports++] = item;
    if (item.sort != S_TYPE)
        push(env, item);
    return true;
}

static bool (*const steps[])(struct planner *p, struct env *env, const struct op *op) = {
    [OP_MODULE] = op_module,
    [OP_CORE_INSTANTIATE] = op_core_instantiate,
    [OP_CORE_BAG] = op_core_bag,
    [OP_COMPONENT] = op_component,
    [OP_INSTANTIATE] = op_instantiate,
    [OP_BAG] = op_bag,
    [OP_ALIAS] = op_alias,
    [OP_ALIAS_CORE] = op_alias_core,
    [OP_ALIAS_OUTER] = op_alias_outer,
    [OP_RESOURCE] = op_resource,
    [OP_LIFT] = op_lift,
    [OP_LOWER] = op_trampoline,
    [OP_RESOURCE_NEW] = op_trampoline,
    [OP_RESOURCE_DROP] = op_trampoline,
    [OP_RESOURCE_REP] = op_trampoline,
    [OP_CONTEXT_GET] = op_trampoline,
    [OP_CONTEXT_SET] = op_trampoline,
    [OP_BACKPRESSURE_INC] = op_trampoline,
    [OP_BACKPRESSURE_DEC] = op_trampoline,
    [OP_TASK_RETURN] = op_trampoline,
    [OP_STUB] = op_trampoline,
    [OP_IMPORT] = op_import,
    [OP_EXPORT] = op_export,
};

/* ---- one component instance ---- */

static bool env_init(struct planner *p, struct env *env)
{
    const struct component *c = env->c;
    env->res = arena_array(p->arena, uint32_t, c->nslots);
    env->exports = arena_array(p->arena, struct item, c->type->nexports);
    if (!env->res || !env->exports)
        return full(p);
    for (uint32_t i = 0; i < c->nslots; i++)
        env->res[i] = NONE;
    for (int s = 0; s < SORTS; s++)
        if (!(env->space[s] = arena_array(p->arena, struct item, c->count[s])))
            return full(p);
    return true;
}

static bool instantiate(struct planner *p, struct env *env, struct env *outer,
                        const struct component *c, uint32_t parent)
{
    env->c = c;
    env->outer = outer;
    env->instance = p->plan->ninstances;
    if (!count_instance(p))
        return false;
    if (p->depth >= PLAN_DEPTH_MAX)
        return err_set(p->e, ERR_LIMIT, "instances nested deeper than %d", PLAN_DEPTH_MAX);
    struct plan_instance *inst = APPEND(p, instances, struct plan_instance);
    if (!inst || !env_init(p, env))
        return full(p);
    inst->parent = parent;
    p->depth++;
    for (uint32_t i = 0; i < c->nops; i++)
        if (!steps[c->ops[i].kind](p, env, &c->ops[i]))
            return false;
    p->depth--;
    return add_op(p, PLAN_READY, env->instance);
}

const struct plan *plan_new(struct arena *a, const struct component *root, uint32_t instances_max,
                            struct err *e)
{
    struct plan *plan = arena_new(a, struct plan);
    struct bag *exports = arena_new(a, struct bag);
    struct env *env = arena_new(a, struct env);
    struct planner p = {.arena = a, .plan = plan, .instances_max = instances_max, .e = e};
    if (!plan || !exports || !env) {
        arena_full(a, e);
        return NULL;
    }
    if (!instantiate(&p, env, NULL, root, NONE))
        return NULL;
    *exports = (struct bag){&root->type->by_export, env->exports};
    plan->exports = exports;
    return plan;
}
