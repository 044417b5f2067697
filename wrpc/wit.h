/* SPDX-License-Identifier: Apache-2.0 */
/* WIT types and values: what crosses a component's border or a wire. Types are immutable and shared; values
 * live in an arena and are not self-describing, a type always travels beside them. Any thread (types); values
 * belong to their arena's thread.
 * Spec: component-model, Explainer.md "Type Definitions"; wire form: wRPC 0.0.1 (codec.c). */
#ifndef HOSTD_WIT_H
#define HOSTD_WIT_H

#include "lattice/base/arena.h"
#include "lattice/base/buf.h"
#include "lattice/base/err.h"
#include "lattice/base/str.h"

enum wit_kind {
    WIT_BOOL,
    WIT_S8,
    WIT_U8,
    WIT_S16,
    WIT_U16,
    WIT_S32,
    WIT_U32,
    WIT_S64,
    WIT_U64,
    WIT_F32,
    WIT_F64,
    WIT_CHAR,
    WIT_STRING,
    WIT_LIST,    /* elem */
    WIT_RECORD,  /* cases: fields */
    WIT_TUPLE,   /* cases: members, unnamed */
    WIT_VARIANT, /* cases, type NULL when without payload */
    WIT_ENUM,    /* cases, all without payload */
    WIT_OPTION,  /* elem */
    WIT_RESULT,  /* elem: ok or NULL; err: error or NULL */
    WIT_FLAGS,   /* cases: labels */
    WIT_OWN,
    WIT_BORROW, /* resource */
    WIT_FUTURE,
    WIT_STREAM,     /* elem or NULL; in a component only types: values are for the wire */
    WIT_FIXED_LIST, /* elem, length; only a type */
};

struct wit_type;

struct wit_case {
    struct str name;
    const struct wit_type *type;
};

/* A nominal resource. Identity is the pointer; the name is for messages. */
struct wit_resource {
    struct str name;   /* "fields" */
    const void *owner; /* whoever gives it meaning: a host class, a component's resource slot */
    uint32_t slot;
};

/* A name that a component gave a type when it imported or exported it. Identity is the pointer: two may read alike. */
struct wit_naming {
    struct str name;
};

/* Facts about a type are computed when it is made, so no later step walks an unbounded tree. */
struct wit_type {
    enum wit_kind kind;
    uint32_t ncases;
    const struct wit_case *cases;
    const struct wit_type *elem, *err;
    uint32_t length;
    bool is_map; /* a list of pairs, written map<key, value> */
    const struct wit_resource *resource;
    /* Of a handle: its resource's. NULL: none. It is there to be shown; two types are equal without it. */
    const struct wit_naming *naming;
    /* canonical ABI, 32-bit memories */
    uint32_t size, align;
    uint32_t flat;     /* core values when flattened, counted up to WIT_FLAT_CAP */
    uint32_t nodes;    /* of the fully expanded tree, saturating */
    uint32_t wire_min; /* least bytes of an encoded value */
    uint8_t depth;
    bool has_resource, has_borrow, has_heap /* string or list */, has_async /* future or stream */;
    bool has_fixed; /* list of fixed length */
};

#define WIT_FLAT_CAP 32
#define WIT_DEPTH_MAX 64
#define WIT_NODES_MAX 100000
#define WIT_CASES_MAX 10000 /* record fields, variant cases, tuple members, flags */
#define WIT_ENUM_MAX 65536

struct wit_param {
    struct str name;
    const struct wit_type *type;
};

struct wit_func {
    struct str name; /* as in WIT, with [method]r. and friends */
    uint32_t nparams;
    const struct wit_param *params;
    const struct wit_type *result; /* NULL: none */
    bool async;                    /* may wait (WASI 0.3) */
};

struct wit_iface {
    struct str name; /* "wasi:io/streams@0.2.0", or "" for functions at the root of a world */
    uint32_t nfuncs;
    const struct wit_func *funcs;
    uint32_t nresources;
    const struct wit_resource *const *resources;
    uint32_t ntypes; /* named types, to look at */
    const struct wit_case *types;
};

/* A value of 16 bytes.
 *   bool ints char   u64 (zero- or sign-extended into s64)     f32 f64       bits in u64
 *   string           p, n bytes of UTF-8
 *   list<u8>/<s8>    p, n raw bytes
 *   other list       v, n elements
 *   record tuple     v, n == ncases
 *   variant enum     v (payload or NULL), n = case
 *   option           n = 0 none, 1 some, v payload            result: n = 0 ok, 1 err, v payload or NULL
 *   flags            u64 for up to 64 labels, bit i = i-th label (more: p, n bytes)
 *   own borrow       n == 0: obj, inside a host; else p, n handle bytes, from or for the wire
 *   future stream    n = index into the call's pending list; or WIT_READY: future v (or NULL); stream as a list
 *                    whose count is aux */
struct wit_value {
    union {
        uint64_t u64;
        int64_t s64;
        const uint8_t *p;
        const struct wit_value *v;
        void *obj;
    };
    uint32_t n;
    uint32_t aux;
};

#define WIT_READY UINT32_MAX

/* ---- making types (type.c) ---- All copy what they are given into the arena; NULL and e on failure. */
const struct wit_type *wit_prim(enum wit_kind kind); /* bool .. string: static */
const struct wit_type *wit_list(struct arena *a, const struct wit_type *elem, struct err *e);
const struct wit_type *wit_map(struct arena *a, const struct wit_type *key,
                               const struct wit_type *value, struct err *e);
const struct wit_type *wit_fixed_list(struct arena *a, const struct wit_type *elem, uint32_t length,
                                      struct err *e);
const struct wit_type *wit_option(struct arena *a, const struct wit_type *elem, struct err *e);
const struct wit_type *wit_result(struct arena *a, const struct wit_type *ok,
                                  const struct wit_type *err, struct err *e);
/* record, tuple, variant, enum, flags */
const struct wit_type *wit_cases(struct arena *a, enum wit_kind kind, const struct wit_case *cases,
                                 uint32_t n, struct err *e);
const struct wit_type *wit_handle(struct arena *a, enum wit_kind kind, const struct wit_resource *r,
                                  struct err *e);
const struct wit_type *wit_async(struct arena *a, enum wit_kind kind, const struct wit_type *elem,
                                 struct err *e);

const char *wit_kind_name(enum wit_kind kind);    /* "list" */
uint32_t wit_discriminant_bytes(uint32_t ncases); /* of a variant in memory: 1, 2 or 4 */

/* Structural equality, labels included. same_resource decides leaves (NULL: pointer equality). */
typedef bool wit_same_resource_fn(void *user, const struct wit_resource *a,
                                  const struct wit_resource *b);
bool wit_type_eq(const struct wit_type *a, const struct wit_type *b, wit_same_resource_fn *same,
                 void *user);
bool wit_func_eq(const struct wit_func *a, const struct wit_func *b, wit_same_resource_fn *same,
                 void *user);
/* "list<tuple<string, u8>>", for messages; capped with "..." */
void wit_type_text(const struct wit_type *t, struct buf *out);
void wit_func_text(const struct wit_func *f, struct buf *out);

/* ---- types from text (text.c) ---- One `interface` body in WIT syntax:
 *   resource fields { constructor(); get: func(name: string) -> list<list<u8>>; from-list: static func(...) ...; }
 *   variant method { get, other(string) }  record r { a: u32 }  type x = list<u8>;  f: func(a: borrow<fields>);
 *   use some:pkg/iface.{a as b};   resolved among `uses`. Comments are skipped. Method names come out as
 * "[method]fields.get". */
const struct wit_iface *wit_parse(struct arena *a, struct str name, struct str text,
                                  const struct wit_iface *const *uses, size_t nuses, struct err *e);
const struct wit_func *wit_iface_func(const struct wit_iface *i,
                                      struct str name); /* NULL: not there */
const struct wit_type *wit_iface_type(const struct wit_iface *i, struct str name);

/* ---- names ---- "ns:pkg/iface@1.2.3" */
struct wit_name {
    struct str ns, pkg, iface, version; /* version.n == 0: none */
    struct str unversioned;             /* "ns:pkg/iface" */
};
bool wit_label_ok(struct str s);                         /* "get-http", "DNS-error" */
bool wit_name_parse(struct str s, struct wit_name *out); /* false: not an interface name */
/* Same interface and compatible versions (component-model.md 10)? */
bool wit_name_compatible(struct str a, struct str b);

/* ---- values (value.c) ---- */
static inline struct wit_value wit_u64(uint64_t v)
{
    return (struct wit_value){.u64 = v};
}
static inline struct wit_value wit_str(struct str s)
{
    return (struct wit_value){.p = (const uint8_t *)s.p, .n = (uint32_t)s.n};
}
static inline struct wit_value wit_bytes(struct span s)
{
    return (struct wit_value){.p = s.p, .n = (uint32_t)s.n};
}
static inline struct str wit_get_str(const struct wit_value *v)
{
    return (struct str){(const char *)v->p, v->n};
}
static inline struct span wit_get_bytes(const struct wit_value *v)
{
    return (struct span){v->p, v->n};
}
/* Are lists of it kept as raw bytes (p, n)? */
static inline bool wit_is_bytes(const struct wit_type *elem)
{
    return elem->kind == WIT_U8 || elem->kind == WIT_S8;
}
/* UTF-8 of one scalar value; returns its length. */
size_t wit_utf8_put(uint32_t scalar, uint8_t out[4]);
/* Deep copy into another arena; false at its ceiling. */
bool wit_value_copy(struct arena *a, const struct wit_type *t, const struct wit_value *v,
                    struct wit_value *out, struct err *e);
bool wit_value_eq(const struct wit_type *t, const struct wit_value *a, const struct wit_value *b);
/* Readable text form (WAVE-like), for tools and logs. */
void wit_value_text(const struct wit_type *t, const struct wit_value *v, struct buf *out);

/* ---- wire codec (codec.c) ---- wRPC section 1.
 * A future or stream is always written as pending; its place is remembered in order of appearance. */
#define WIT_PATH_MAX 16
#define WIT_BYTES_MAX \
    (256u << 20) /* one string, or list as announced: more is refused before its bytes come */
struct wit_path {
    uint8_t n;
    uint32_t i[WIT_PATH_MAX];
};
static inline bool wit_path_eq(const struct wit_path *a, const struct wit_path *b)
{
    return a->n == b->n && memcmp(a->i, b->i, a->n * sizeof a->i[0]) == 0;
}
struct wit_pending {
    struct wit_path path;
    const struct wit_type *type; /* the future's or stream's */
    uint32_t index;              /* wit_value.n of the value */
    const struct wit_value
        *value; /* encoded: the value, to send its content when it is WIT_READY */
};
struct wit_pendings {
    uint32_t n;
    struct wit_pending at[32];
};
/* A tuple of values (parameters, or the one result). pend may be NULL when the types hold nothing async. */
bool wit_encode(const struct wit_type *const *types, const struct wit_value *values, size_t n,
                struct buf *out, struct wit_pendings *pend, struct err *e);
/* Decodes a whole tuple from the bytes so far: true and *used on success; false with e->code == ERR_NONE when
 * more bytes are needed (*used: fewer than this in all are not worth another try), the arena untouched; false with
 * a code when they can never be right. Values borrow from `in` where they are bytes or strings. */
bool wit_decode(const struct wit_type *const *types, size_t n, struct span in, struct arena *a,
                struct wit_value *values, size_t *used, struct wit_pendings *pend, struct err *e);
/* All paths on which async values of this tuple may travel. */
bool wit_paths(const struct wit_type *const *types, size_t n, struct wit_pendings *out,
               struct err *e);
/* Can values of this type travel (wRPC 1.7, 3.3)? e says which part cannot. A handle can when handle_ok says so: when
 * whoever encodes it knows its bytes (NULL: only resources that nobody owns). */
typedef bool wit_handle_ok_fn(void *user, const struct wit_resource *r);
bool wit_can_travel(const struct wit_type *t, wit_handle_ok_fn *handle_ok, void *user,
                    struct err *e);

#endif
