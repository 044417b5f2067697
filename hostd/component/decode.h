/* SPDX-License-Identifier: Apache-2.0 */
/* Private to hostd/component: the decoder's state and what its files offer one another (decode.c decode_type.c
 * decode_core.c decode_inst.c canon.c visible.c). Nothing of it outlives comp_load. */
#ifndef HOSTD_COMPONENT_DECODE_H
#define HOSTD_COMPONENT_DECODE_H

#include "hostd/component/component_int.h"
#include "lattice/base/reader.h"

struct vec_things {
    struct thing *p;
    uint32_t n, cap;
};
struct vec_named {
    struct named *p;
    uint32_t n, cap;
    struct name_map by_name;
    struct name_map keys; /* strongly unique forms */
};

enum scope_kind { SCOPE_COMPONENT, SCOPE_COMPONENT_TYPE, SCOPE_INSTANCE_TYPE, SCOPE_MODULE_TYPE };
struct scope {
    enum scope_kind kind;
    struct scope *parent;
    const void *owner;           /* of resources made here */
    struct component *component; /* SCOPE_COMPONENT */
    struct vec_things space[SORTS];
    struct vec_named imports, exports;
    struct ptr_map defined; /* resources defined here, not imported */
    struct ptr_map visible; /* types and resources that have a name outside (visible.c) */
    struct op *ops;
    uint32_t nops, ops_cap;
};

/* Where a definition is read from and put to. A function that fails has marked the reader failed, so callers only
 * stop; checkers without a reader write into `why`, and dec_why adds the place. */
struct decoder {
    struct comp *comp;
    struct arena *arena;
    struct reader *r;
    struct reader frames; /* known of the modules that are still to come */
    struct scope *scope;
    uint32_t depth;
    uint32_t nparts, nsections;
    uint64_t work; /* nodes of types that were walked */
    struct err why;
};

/* decode.c */
bool dec_fail(struct decoder *d, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool dec_why(struct decoder *d);
bool dec_full(struct decoder *d);
bool dec_work(struct decoder *d, const struct thing *t); /* before walking its type */
bool dec_push(struct decoder *d, const struct thing *t);
bool dec_named(struct decoder *d, struct vec_named *v, struct str name, const struct thing *t);
bool dec_op(struct decoder *d, const struct op *op);
const struct thing *dec_get(struct decoder *d, enum sort sort, uint32_t index);
const struct thing *dec_get_in(struct decoder *d, struct scope *s, enum sort sort, uint32_t index);
const struct wit_resource *dec_resource(struct decoder *d, struct str name);
/* The same type as a node of its own, with a name; NULL: the arena is full. */
const struct wit_type *dec_name_node(struct decoder *d, const struct wit_type *t,
                                     const struct wit_naming *naming);
const struct wit_resource *dec_fresh(void *decoder, struct str name); /* for struct subst */
struct scope *dec_scope_open(struct decoder *d, enum scope_kind kind);
void dec_scope_close(struct decoder *d);
const struct comp_type *dec_comp_type(struct decoder *d, const struct scope *s);
/* decode_type.c */
bool dec_type(struct decoder *d, bool core);
bool dec_result_type(struct decoder *d, const struct wit_type **out); /* NULL: none */
/* decode_core.c */
bool dec_core_def(struct decoder *d, struct thing *out);
bool dec_core_instance(struct decoder *d);
bool dec_alias_core(struct decoder *d, enum sort sort, uint32_t instance, struct str name);
/* decode_inst.c */
bool dec_core_sort(struct decoder *d, enum sort *out);
bool dec_alias(struct decoder *d);
bool dec_instance(struct decoder *d);
bool dec_import(struct decoder *d);
bool dec_export(struct decoder *d);
bool dec_declare(struct decoder *d, struct vec_named *list, const char *what); /* in a type */
/* visible.c: rules about names and types that make a component presentable */
bool dec_annotation(struct decoder *d, const struct vec_named *list, struct str name,
                    const struct extern_name *parsed, const struct thing *t);
bool dec_inline_annotation(struct decoder *d, const struct vec_named *list, struct str name,
                           const struct extern_name *parsed, const struct thing *t);
bool dec_visible(struct decoder *d, struct str name, struct thing *t, bool import);
bool dec_handle_visible(struct decoder *d, const struct thing *resource,
                        const struct wit_type *handle);
/* canon.c */
bool dec_canon(struct decoder *d);
bool dec_memory(struct decoder *d, uint32_t *out);
bool dec_opts(struct decoder *d, struct canon_opts *o);
bool dec_check_opts(struct decoder *d, const struct abi *abi, const struct canon_opts *o);
/* A core function that the host provides. */
bool dec_provide(struct decoder *d, struct op *op, const struct wasm_functype *type);
/* builtins.c */
bool dec_builtin(struct decoder *d, uint8_t code);

#endif
