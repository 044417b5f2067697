/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:blobstore over the link that serves it: containers are names, kept here; every function but the local ones is a
 * call of wrpc:blobstore, whose parameters are written and whose results are read by hand. Spec: lattice protocol 5.7,
 * wRPC 4.3.
 *
 * Keeps: a guest waits for one call at a time, and that one is `parked` in its context, so it goes with the guest. A
 * call that cannot be made is an error of the result, not a trap. */
#include "hostd/wasi/blobs.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "lattice/base/reader.h"

#define PARAMS_BYTES_MAX (8u << 20)

/* ---- containers ---- */

struct container {
    char *name;
};

static void container_drop(void *user, void *obj)
{
    struct container *c = obj;
    (void)user;
    free(c->name);
    free(c);
}
const struct comp_class wasi_container_class = {"container", container_drop};

static struct str name_of(const struct wit_value *container)
{
    return str_of(((const struct container *)container->obj)->name);
}

static struct wit_value container_new(struct comp_host_call *hc, struct str name)
{
    struct container *c = xnew(struct container);
    c->name = str_dup(name);
    return wasi_own(hc, &wasi_container_class, c);
}

static enum comp_host_status container_name(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    *result = wasi_ok(hc, wasi_copy_bytes(hc, str_span(name_of(&args[0]))));
    return wasi_done(hc);
}

/* ---- parameters, as they travel ---- */

static void put_text(struct buf *out, struct str s)
{
    buf_leb_u64(out, s.n);
    buf_str(out, s);
}

/* (name) */
static void put_name(struct buf *out, const struct wit_value *args)
{
    put_text(out, wit_get_str(&args[0]));
}

static void put_container(struct buf *out, const struct wit_value *args)
{
    put_text(out, name_of(&args[0]));
}

/* An object-id. */
static void put_object(struct buf *out, const struct wit_value *args)
{
    put_container(out, args);
    put_text(out, wit_get_str(&args[1]));
}

static void put_range(struct buf *out, const struct wit_value *args)
{
    put_object(out, args);
    buf_leb_u64(out, args[2].u64);
    buf_leb_u64(out, args[3].u64);
}

/* Two object-ids, as the guest gives them. */
static void put_objects(struct buf *out, const struct wit_value *args)
{
    for (int i = 0; i < 2; i++) {
        put_text(out, wit_get_str(&args[i].v[0]));
        put_text(out, wit_get_str(&args[i].v[1]));
    }
}

static void put_list(struct buf *out, const struct wit_value *args)
{
    put_container(out, args);
    buf_leb_u64(out, args[1].n);
    for (uint32_t i = 0; i < args[1].n; i++)
        put_text(out, wit_get_str(&args[1].v[i]));
}

static void put_list_of_one(struct buf *out, const struct wit_value *args)
{
    put_container(out, args);
    buf_byte(out, 1);
    put_text(out, wit_get_str(&args[1]));
}

/* No limit, no offset. */
static void put_listing(struct buf *out, const struct wit_value *args)
{
    put_container(out, args);
    buf_byte(out, 0);
    buf_byte(out, 0);
}

/* The object's id; its data goes a way of its own. */
static void put_write(struct buf *out, const struct wit_value *args)
{
    put_object(out, args);
    buf_byte(out, 0); /* a stream that follows */
}

/* ---- what ok brings ---- */

static struct wit_value take_bool(struct comp_host_call *hc, const struct wit_value *args,
                                  struct reader *r)
{
    (void)hc;
    (void)args;
    return wit_u64(rd_u8(r) != 0);
}

static struct wit_value take_created(struct comp_host_call *hc, const struct wit_value *args,
                                     struct reader *r)
{
    (void)r;
    return container_new(hc, wit_get_str(&args[0]));
}

/* The wire's metadata has no names. */
static struct wit_value take_container_info(struct comp_host_call *hc, const struct wit_value *args,
                                            struct reader *r)
{
    struct wit_value fields[] = {wasi_copy_bytes(hc, str_span(name_of(&args[0]))),
                                 wit_u64(rd_u64(r))};
    return wasi_tuple(hc, fields, ARRAY_LEN(fields));
}

static struct wit_value take_object_info(struct comp_host_call *hc, const struct wit_value *args,
                                         struct reader *r)
{
    uint64_t created_at = rd_u64(r), size = rd_u64(r);
    struct wit_value fields[] = {wasi_copy_bytes(hc, wit_get_bytes(&args[1])),
                                 wasi_copy_bytes(hc, str_span(name_of(&args[0]))),
                                 wit_u64(created_at), wit_u64(size)};
    return wasi_tuple(hc, fields, ARRAY_LEN(fields));
}

static struct wasi_inbody *body_of(const struct comp_host_call *hc)
{
    return wasi_inbody_hold(((struct wasi_fetch *)hc->state)->body);
}

static struct wit_value take_data(struct comp_host_call *hc, const struct wit_value *args,
                                  struct reader *r)
{
    (void)args;
    (void)r;
    return wasi_incoming_value(hc, body_of(hc));
}

static struct wit_value take_names(struct comp_host_call *hc, const struct wit_value *args,
                                   struct reader *r)
{
    (void)args;
    (void)r;
    return wasi_object_names(hc, body_of(hc));
}

/* ---- calls ---- */

struct remote {
    const char *name;
    void (*put)(struct buf *out, const struct wit_value *args);
    /* NULL: ok brings nothing. Reads all it wants before it makes a handle. */
    struct wit_value (*take)(struct comp_host_call *hc, const struct wit_value *args,
                             struct reader *r);
};

struct wit_value wasi_blob_error(struct comp_host_call *hc, const char *text)
{
    return wasi_err(hc, wasi_copy_bytes(hc, str_span(str_of(text))));
}

static bool is_answered(void *obj)
{
    const struct wasi_fetch *f = obj;
    return f->answered;
}

/* Nothing follows: an outgoing-value that waits for how it went hears the same. */
static struct wit_value refused(struct comp_host_call *hc, struct str why)
{
    const struct wasi_fetch *f = hc->state;
    wasi_call_end(wasi_of(hc), f->request.exchange, why.n ? why : STR("the call failed"));
    return wasi_err(hc, wasi_copy_bytes(hc, str_span(why)));
}

static struct wit_value outcome(struct comp_host_call *hc, const struct remote *what,
                                const struct wit_value *args)
{
    const struct wasi_fetch *f = hc->state;
    struct wit_value v = {0};
    struct err e = ERR_INIT;
    struct reader r;
    if (f->error_text)
        return wasi_blob_error(hc, f->error_text);
    rd_init(&r, buf_span(&f->root), &e);
    bool failed = rd_u8(&r) != 0;
    struct str why = failed ? rd_name(&r) : STR("");
    if (!failed && what->take && rd_ok(&r))
        v = what->take(hc, args, &r);
    if (!rd_ok(&r))
        return refused(hc, str_of(e.text));
    return failed ? refused(hc, why) : what->take ? wasi_ok(hc, v) : WASI_OK;
}

/* NULL, with an error as result: it cannot be made. */
static struct wasi_fetch *start(struct comp_host_call *hc, const struct remote *what,
                                const struct wit_value *args, bool has_body,
                                struct wit_value *result)
{
    struct buf params = {.max = PARAMS_BYTES_MAX};
    struct err e = ERR_INIT;
    struct wasi_fetch *f = NULL;
    what->put(&params, args);
    if (buf_ok(&params, &e)) {
        struct wasi_call call = {str_of(what->name), buf_span(&params), has_body};
        f = wasi_call_start(wasi_of(hc), &call, &e);
    }
    buf_fini(&params);
    if (!f)
        *result = wasi_blob_error(hc, e.text);
    return f;
}

/* Waits for the answer of the call in hc->state, and ends it. */
static enum comp_host_status finish(struct comp_host_call *hc, const struct remote *what,
                                    const struct wit_value *args, struct wit_value *result)
{
    struct wasi_fetch *f = hc->state;
    if (!f->answered)
        return wasi_wait_for(hc, is_answered, f);
    *result = outcome(hc, what, args);
    hc->state = NULL;
    wasi_unpark(wasi_of(hc));
    return wasi_done(hc);
}

static enum comp_host_status call(struct comp_host_call *hc, const struct remote *what,
                                  const struct wit_value *args, struct wit_value *result)
{
    if (!hc->state)
        hc->state = start(hc, what, args, false, result);
    return hc->state ? finish(hc, what, args, result) : wasi_done(hc);
}

/* The host functions that are such calls: function, name on the wire, parameters, what ok brings. */
/* clang-format off */
#define REMOTES(X)                                                                        \
    X(create_container, "create-container",       put_name,        take_created)          \
    X(delete_container, "delete-container",       put_name,        NULL)                  \
    X(container_exists, "container-exists",       put_name,        take_bool)             \
    X(copy_object,      "copy-object",            put_objects,     NULL)                  \
    X(move_object,      "move-object",            put_objects,     NULL)                  \
    X(container_info,   "get-container-info",     put_container,   take_container_info)   \
    X(get_data,         "get-container-data",     put_range,       take_data)             \
    X(list_objects,     "list-container-objects", put_listing,     take_names)            \
    X(delete_object,    "delete-objects",         put_list_of_one, NULL)                  \
    X(delete_objects,   "delete-objects",         put_list,        NULL)                  \
    X(has_object,       "has-object",             put_object,      take_bool)             \
    X(object_info,      "get-object-info",        put_object,      take_object_info)      \
    X(clear,            "clear-container",        put_container,   NULL)

#define X(function, name, put, take)                                                       \
    static enum comp_host_status function(                                                 \
        struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result) \
    {                                                                                      \
        static const struct remote what = {name, put, take};                               \
        return call(hc, &what, args, result);                                              \
    }
REMOTES(X)
#undef X
/* clang-format on */

/* There is no such call: asks whether it exists. */
static enum comp_host_status get_container(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    enum comp_host_status s = container_exists(hc, args, result);
    if (s != COMP_HOST_DONE || result->n != 0)
        return s;
    *result = result->v->u64 ? wasi_ok(hc, container_new(hc, wit_get_str(&args[0])))
                             : wasi_blob_error(hc, "container does not exist");
    return wasi_done(hc);
}

/* Answers once the target is ready to take the data, or already has it; outgoing-value.finish tells how it went. */
static enum comp_host_status write_data(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    static const struct remote what = {"write-container-data", put_write, NULL};
    struct wasi_outgoing_value *value = args[2].obj;
    if (!hc->state) {
        if (value->call)
            return comp_trap(hc, "container.write-data of a value that was written already");
        struct wasi_fetch *f = hc->state = start(hc, &what, args, true, result);
        if (!f)
            return wasi_done(hc);
        value->call = wasi_inbody_hold(f->body);
        wasi_outbody_start(value->data, &f->request);
        wasi_flow_pump(wasi_of(hc), &f->request);
    }
    return finish(hc, &what, args, result);
}

/* ---- rows ---- */

static const struct comp_host_func container_funcs[] = {
    {"[method]container.name", container_name},
    {"[method]container.info", container_info},
    {"[method]container.get-data", get_data},
    {"[method]container.write-data", write_data},
    {"[method]container.list-objects", list_objects},
    {"[method]container.delete-object", delete_object},
    {"[method]container.delete-objects", delete_objects},
    {"[method]container.has-object", has_object},
    {"[method]container.object-info", object_info},
    {"[method]container.clear", clear},
    {NULL, NULL},
};

static const struct comp_host_func store_funcs[] = {
    {"create-container", create_container},
    {"get-container", get_container},
    {"delete-container", delete_container},
    {"container-exists", container_exists},
    {"copy-object", copy_object},
    {"move-object", move_object},
    {NULL, NULL},
};

static const char types_wit[] =
    "use wasi:io/streams.{input-stream, output-stream};\n"
    "type container-name = string;\n"
    "type object-name = string;\n"
    "type timestamp = u64;\n"
    "type object-size = u64;\n"
    "type error = string;\n"
    "record container-metadata { name: container-name, created-at: timestamp }\n"
    "record object-metadata { name: object-name, container: container-name,\n"
    "  created-at: timestamp, size: object-size }\n"
    "record object-id { container: container-name, object: object-name }\n"
    "resource outgoing-value {\n"
    "  new-outgoing-value: static func() -> outgoing-value;\n"
    "  outgoing-value-write-body: func() -> result<output-stream>;\n"
    "  finish: static func(this: outgoing-value) -> result<_, error>;\n"
    "}\n"
    "type incoming-value-async-body = input-stream;\n"
    "type incoming-value-sync-body = list<u8>;\n"
    "resource incoming-value {\n"
    "  incoming-value-consume-sync: static func(this: incoming-value)\n"
    "    -> result<incoming-value-sync-body, error>;\n"
    "  incoming-value-consume-async: static func(this: incoming-value)\n"
    "    -> result<incoming-value-async-body, error>;\n"
    "  size: func() -> u64;\n"
    "}\n";

static const char container_wit[] =
    "use wasi:io/streams.{input-stream, output-stream};\n"
    "use wasi:blobstore/types.{container-metadata, error, incoming-value, object-metadata,\n"
    "  object-name, outgoing-value};\n"
    "resource container {\n"
    "  name: func() -> result<string, error>;\n"
    "  info: func() -> result<container-metadata, error>;\n"
    "  get-data: func(name: object-name, start: u64, end: u64) -> result<incoming-value, error>;\n"
    "  write-data: func(name: object-name, data: borrow<outgoing-value>) -> result<_, error>;\n"
    "  list-objects: func() -> result<stream-object-names, error>;\n"
    "  delete-object: func(name: object-name) -> result<_, error>;\n"
    "  delete-objects: func(names: list<object-name>) -> result<_, error>;\n"
    "  has-object: func(name: object-name) -> result<bool, error>;\n"
    "  object-info: func(name: object-name) -> result<object-metadata, error>;\n"
    "  clear: func() -> result<_, error>;\n"
    "}\n"
    "resource stream-object-names {\n"
    "  read-stream-object-names: func(len: u64) -> result<tuple<list<object-name>, bool>, error>;\n"
    "  skip-stream-object-names: func(num: u64) -> result<tuple<u64, bool>, error>;\n"
    "}\n";

static const char store_wit[] =
    "use wasi:blobstore/container.{container};\n"
    "use wasi:blobstore/types.{error, container-name, object-id};\n"
    "create-container: func(name: container-name) -> result<container, error>;\n"
    "get-container: func(name: container-name) -> result<container, error>;\n"
    "delete-container: func(name: container-name) -> result<_, error>;\n"
    "container-exists: func(name: container-name) -> result<bool, error>;\n"
    "copy-object: func(src: object-id, dest: object-id) -> result<_, error>;\n"
    "move-object: func(src: object-id, dest: object-id) -> result<_, error>;\n";

static const struct wasi_row rows[] = {
    {"wasi:blobstore/types@0.2.0-draft", {types_wit}, {wasi_blob_value_funcs}, NULL},
    {"wasi:blobstore/container@0.2.0-draft",
     {container_wit},
     {container_funcs, wasi_object_names_funcs},
     NULL},
    {"wasi:blobstore/blobstore@0.2.0-draft", {store_wit}, {store_funcs}, NULL},
};
const struct wasi_rows wasi_blobs_rows = {rows, ARRAY_LEN(rows)};
