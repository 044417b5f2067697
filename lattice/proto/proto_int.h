/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads as tables. A struct's JSON form is a list of rows, one per member; shape.c reads and writes by them.
 * Private to lattice/proto. */
#ifndef HOSTD_PROTO_INT_H
#define HOSTD_PROTO_INT_H

#include <jansson.h>
#include <stddef.h>

#include "lattice/proto/service.h"

/* What lies at the offset, and its JSON form. */
enum shape_kind {
    SHAPE_STR,     /* struct str                   string */
    SHAPE_BOOL,    /* bool                         true, false */
    SHAPE_U32,     /* uint32_t                     number */
    SHAPE_I32,     /* int32_t                      number */
    SHAPE_U64,     /* uint64_t                     number */
    SHAPE_OPTU64,  /* struct proto_u64             number */
    SHAPE_OPTBOOL, /* struct proto_bool            true, false */
    SHAPE_ENUM,    /* int-sized enum, sub: names   string */
    SHAPE_MAP,     /* struct proto_map             object of strings */
    SHAPE_STRS,    /* struct proto_strs            array of strings */
    SHAPE_BYTES,   /* struct span                  array of byte values */
    SHAPE_JSON,    /* struct str holding JSON text any value */
    SHAPE_OBJECT,  /* the struct, sub: shape       object */
    SHAPE_POINTER, /* pointer to it, sub: shape    object */
    SHAPE_LIST,    /* {v, n} of it, sub: member    array */
    SHAPE_NAMED, /* {v, n} of it, sub: member; the name is the struct str the element begins with: object */
    SHAPE_TAGS, /* struct proto_strs            array of strings; reads a comma-joined string as well */
    SHAPE_SECRET, /* struct proto_secret but its name: {"kind":...,"value":...} */
    SHAPE_CONST,  /* nothing; `preset` is written as it stands, what is read is ignored */
};

enum shape_flag {
    NEED = 1,   /* reading: must be there and not null */
    OMIT = 2,   /* writing: left out when none; else an empty value of the kind */
    NULLS = 4,  /* writing: null when none */
    BLANK = 8,  /* writing: left out when none or empty */
    EMPTY = 16, /* roots only: an empty payload reads as nothing set */
};

struct shape_names { /* of an enum, by value; aliases are read only */
    const char *const *v;
    uint32_t n;
    const char *const (*aliases)[2]; /* alias, name; NULL ends */
};

struct shape_member {
    const char *name;
    uint8_t kind, flags;
    size_t offset;
    const void *sub;    /* struct shape, shape_member (LIST, NAMED) or shape_names, by kind */
    const char *alias;  /* read when `name` is not there */
    const char *preset; /* SHAPE_STR: read when neither is there */
};

struct shape {
    size_t size; /* of the struct */
    const struct shape_member *members;
    uint32_t nmembers;
};

#define SHAPE(type, rows)                                                                     \
    {                                                                                         \
        .size = sizeof(type), .members = (rows), .nmembers = sizeof(rows) / sizeof((rows)[0]) \
    }

/* shape.c */
bool shape_decode(const struct shape_member *root, struct span json, struct arena *a, void *out,
                  struct err *e);
bool shape_read(const struct shape_member *root, json_t *v, struct arena *a, void *out,
                struct err *e);
size_t shape_size(const struct shape_member *root);   /* of the struct a root reads into */
json_t *shape_parse(struct span json, struct err *e); /* json_decref it */
void shape_encode(const struct shape_member *root, const void *in, struct buf *out);
void shape_text(struct str s, struct buf *out); /* a JSON string; bad UTF-8 becomes U+FFFD */

/* message_*.c: one root per payload of PROTO_MESSAGES, and per event */
#define X(name, type) extern const struct shape_member proto_root_##name;
PROTO_MESSAGES(X)
PROTO_SERVICE_MESSAGES(X)
#undef X
extern const struct shape_member proto_root_component_scaled, proto_root_component_scale_failed,
    proto_root_provider_started, proto_root_provider_start_failed, proto_root_provider_stopped,
    proto_root_host_started, proto_root_host_stopped, proto_root_labels_changed, proto_root_health,
    proto_root_link_set, proto_root_link_set_failed, proto_root_link_deleted,
    proto_root_config_event;

#endif
