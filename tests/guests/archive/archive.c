/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:blobstore by HTTP. The path is an operation and its arguments:
 *   /make/C  /open/C  /there/C  /unmake/C  /about/C  /clear/C          of containers
 *   /put/C/O      streams the request's body in             /early/C/O   writes all of it before it says where to
 *   /cut/C/O      traps in the middle                       /empty/C/O   an object without bytes
 *   /get/C/O      streams it out                            /part/C/O/FROM/TO      /read/C/O   in one piece
 *   /list/C/N     names, N at a time                        /skip/C/N    how many there are past N of them
 *   /has/C/O  /stat/C/O  /rm/C/O  /rm2/C/O/O  /copy/C/O/C/O  /move/C/O/C/O
 * No libc. Built by tests/guests/build. */
#include "../../../deploy/examples/guest.h"

#define BLOBS_TYPES "wasi:blobstore/types@0.2.0-draft"
#define CONTAINER "wasi:blobstore/container@0.2.0-draft"
#define BLOBS "wasi:blobstore/blobstore@0.2.0-draft"
#define NAME const char *, size_t

IMPORT(BLOBS, "create-container") void create_container(NAME, void *ret);
IMPORT(BLOBS, "get-container") void get_container(NAME, void *ret);
IMPORT(BLOBS, "delete-container") void delete_container(NAME, void *ret);
IMPORT(BLOBS, "container-exists") void container_exists(NAME, void *ret);
IMPORT(BLOBS, "copy-object") void copy_object(NAME, NAME, NAME, NAME, void *ret);
IMPORT(BLOBS, "move-object") void move_object(NAME, NAME, NAME, NAME, void *ret);
IMPORT(CONTAINER, "[method]container.name") void container_name(handle_t c, void *ret);
IMPORT(CONTAINER, "[method]container.info") void container_info(handle_t c, void *ret);
IMPORT(CONTAINER, "[method]container.get-data") void get_data(handle_t c, NAME, int64_t from, int64_t to, void *ret);
IMPORT(CONTAINER, "[method]container.write-data") void write_data(handle_t c, NAME, handle_t value, void *ret);
IMPORT(CONTAINER, "[method]container.list-objects") void list_objects(handle_t c, void *ret);
IMPORT(CONTAINER, "[method]container.delete-object") void delete_object(handle_t c, NAME, void *ret);
IMPORT(CONTAINER, "[method]container.delete-objects")
void delete_objects(handle_t c, const void *list, size_t n, void *ret);
IMPORT(CONTAINER, "[method]container.has-object") void has_object(handle_t c, NAME, void *ret);
IMPORT(CONTAINER, "[method]container.object-info") void object_info(handle_t c, NAME, void *ret);
IMPORT(CONTAINER, "[method]container.clear") void clear_container(handle_t c, void *ret);
IMPORT(CONTAINER, "[resource-drop]container") void container_drop(handle_t c);
IMPORT(CONTAINER, "[method]stream-object-names.read-stream-object-names")
void names_read(handle_t names, int64_t n, void *ret);
IMPORT(CONTAINER, "[method]stream-object-names.skip-stream-object-names")
void names_skip(handle_t names, int64_t n, void *ret);
IMPORT(CONTAINER, "[resource-drop]stream-object-names") void names_drop(handle_t names);
IMPORT(BLOBS_TYPES, "[static]outgoing-value.new-outgoing-value") handle_t value_new(void);
IMPORT(BLOBS_TYPES, "[method]outgoing-value.outgoing-value-write-body") void value_body(handle_t value, void *ret);
IMPORT(BLOBS_TYPES, "[static]outgoing-value.finish") void value_finish(handle_t value, void *ret);
IMPORT(BLOBS_TYPES, "[static]incoming-value.incoming-value-consume-sync") void value_sync(handle_t value, void *ret);
IMPORT(BLOBS_TYPES, "[static]incoming-value.incoming-value-consume-async") void value_async(handle_t value, void *ret);

/* A result whose ok lies at 4: a handle, a bool, bytes; or why not, whose place is the same. */
struct small {
    uint32_t is_err;
    union {
        handle_t handle;
        uint8_t truth;
        struct text text;
    };
};
/* A result whose ok has 64-bit numbers. */
struct large {
    uint64_t is_err;
    union {
        struct text why;
        struct {
            struct text name;
            uint64_t created;
        } container;
        struct {
            struct text name, container;
            uint64_t created, size;
        } object;
        struct {
            uint64_t n;
            uint8_t end;
        } skipped;
    };
};

static handle_t out;
static struct text arg[5]; /* of the path */

static void say(struct text t)
{
    answer(out, 200, join(t, TEXT("\n")));
}

static void refuse(struct text why)
{
    answer(out, 500, join(join(TEXT("error: "), why), TEXT("\n")));
}

static void say_truth(const struct small *r)
{
    if (r->is_err & 1)
        refuse(r->text);
    else
        say(r->truth & 1 ? TEXT("yes") : TEXT("no"));
}

static void say_done(const struct small *r)
{
    if (r->is_err & 1)
        refuse(r->text);
    else
        say(TEXT("done"));
}

#define ARG(i) arg[i].p, arg[i].n

static handle_t container(void)
{
    struct small r;
    get_container(ARG(1), &r);
    if (!(r.is_err & 1))
        return r.handle;
    refuse(r.text);
    return -1;
}

static uint64_t number(struct text t)
{
    uint64_t v = 0;
    for (size_t i = 0; i < t.n; i++)
        v = v * 10 + (uint64_t)(t.p[i] - '0');
    return v;
}

/* All of `from` into the value's stream, or only its beginning. */
static void pour(handle_t value, handle_t from, int whole)
{
    _Alignas(8) uint8_t ret[32];
    value_body(value, ret);
    handle_t to = ok_handle(ret);
    do {
        stream_splice(to, from, 1 << 20, ret);
    } while (!ret[0] && whole);
    if (!whole)
        __builtin_trap();
    input_drop(from);
    stream_drop(to);
}

static handle_t body_of(handle_t request, handle_t *body)
{
    struct result r;
    request_consume(request, &r);
    *body = ok_handle(&r);
    incoming_stream(*body, &r);
    return ok_handle(&r);
}

static void put(handle_t c, handle_t request)
{
    struct small r;
    handle_t body, value = value_new();
    int early = same(arg[0], TEXT("early")), empty = same(arg[0], TEXT("empty"));
    if (early)
        pour(value, body_of(request, &body), 1);
    write_data(c, ARG(2), value, &r);
    if (r.is_err & 1) {
        refuse(r.text);
        return;
    }
    if (!early && !empty)
        pour(value, body_of(request, &body), !same(arg[0], TEXT("cut")));
    value_finish(value, &r);
    say_done(&r);
}

static void stream_out(handle_t value)
{
    _Alignas(8) uint8_t ret[64];
    struct small r;
    value_async(value, &r);
    handle_t body = respond(out, 200, fields_new());
    body_write(body, ret);
    handle_t to = ok_handle(ret);
    do {
        stream_splice(to, r.handle, 1 << 20, ret);
    } while (!ret[0]);
    int closed = ret[8] == 1; /* and not failed */
    input_drop(r.handle);
    stream_drop(to);
    if (closed)
        body_finish(body, 0, 0, ret);
    else
        body_drop(body); /* cut short, as the object was */
}

static void get(handle_t c, uint64_t from, uint64_t to, int at_once)
{
    struct small r;
    get_data(c, ARG(2), (int64_t)from, (int64_t)to, &r);
    if (r.is_err & 1) {
        refuse(r.text);
        return;
    }
    if (!at_once) {
        stream_out(r.handle);
        return;
    }
    value_sync(r.handle, &r);
    if (r.is_err & 1)
        refuse(r.text);
    else
        answer(out, 200, r.text);
}

static void list(handle_t c)
{
    struct small r;
    struct text all = TEXT("");
    list_objects(c, &r);
    if (r.is_err & 1) {
        refuse(r.text);
        return;
    }
    handle_t names = r.handle;
    for (int end = 0; !end;) {
        struct {
            uint32_t is_err;
            struct text why; /* or the list */
            uint8_t end;
        } got;
        names_read(names, (int64_t)number(arg[2]), &got);
        if (got.is_err & 1) {
            refuse(got.why);
            return;
        }
        const struct text *name = (const void *)got.why.p;
        for (size_t i = 0; i < got.why.n; i++)
            all = join(join(all, name[i]), TEXT(" "));
        end = got.end & 1;
        all = join(all, end ? TEXT(".") : TEXT("/ "));
    }
    names_drop(names);
    say(all);
}

static void skip(handle_t c)
{
    struct small r;
    struct large first, rest;
    list_objects(c, &r);
    names_skip(r.handle, (int64_t)number(arg[2]), &first);
    names_skip(r.handle, 1 << 30, &rest);
    names_drop(r.handle);
    if ((first.is_err | rest.is_err) & 1)
        refuse(TEXT("skip"));
    else
        say(decimal(rest.skipped.n));
}

static void about(handle_t c)
{
    struct large r;
    struct small name;
    container_name(c, &name);
    container_info(c, &r);
    if (r.is_err & 1)
        refuse(r.why);
    else
        say(join(join(name.text, TEXT(" since ")), decimal(r.container.created)));
}

static void stat(handle_t c)
{
    struct large r;
    object_info(c, ARG(2), &r);
    if (r.is_err & 1)
        refuse(r.why);
    else
        say(join(join(join(join(r.object.container, TEXT(" ")), r.object.name), TEXT(" ")), decimal(r.object.size)));
}

/* What needs a container; false: there is no such operation. */
static int inside(handle_t request, handle_t c)
{
    struct text op = arg[0];
    struct small r;
    if (same(op, TEXT("put")) || same(op, TEXT("early")) || same(op, TEXT("cut")) || same(op, TEXT("empty")))
        put(c, request);
    else if (same(op, TEXT("get")))
        get(c, 0, UINT64_MAX, 0);
    else if (same(op, TEXT("read")))
        get(c, 0, UINT64_MAX, 1);
    else if (same(op, TEXT("part")))
        get(c, number(arg[3]), number(arg[4]), 1);
    else if (same(op, TEXT("list")))
        list(c);
    else if (same(op, TEXT("skip")))
        skip(c);
    else if (same(op, TEXT("about")))
        about(c);
    else if (same(op, TEXT("stat")))
        stat(c);
    else if (same(op, TEXT("has")))
        has_object(c, ARG(2), &r), say_truth(&r);
    else if (same(op, TEXT("rm")))
        delete_object(c, ARG(2), &r), say_done(&r);
    else if (same(op, TEXT("rm2")))
        delete_objects(c, &arg[2], 2, &r), say_done(&r);
    else if (same(op, TEXT("clear")))
        clear_container(c, &r), say_done(&r);
    else
        return 0;
    return 1;
}

EXPORT("wasi:http/incoming-handler@0.2.2#handle") void serve(handle_t request, handle_t response)
{
    struct text path = request_head(request).path, op;
    struct small r;
    out = response;
    for (size_t i = 0, at = 1, end; i < 5 && at <= path.n; i++, at = end + 1) {
        for (end = at; end < path.n && path.p[end] != '/'; end++)
            ;
        arg[i] = (struct text){path.p + at, end - at};
    }
    op = arg[0];
    if (same(op, TEXT("make")))
        create_container(ARG(1), &r), say_done(&r);
    else if (same(op, TEXT("unmake")))
        delete_container(ARG(1), &r), say_done(&r);
    else if (same(op, TEXT("there")))
        container_exists(ARG(1), &r), say_truth(&r);
    else if (same(op, TEXT("copy")))
        copy_object(ARG(1), ARG(2), ARG(3), ARG(4), &r), say_done(&r);
    else if (same(op, TEXT("move")))
        move_object(ARG(1), ARG(2), ARG(3), ARG(4), &r), say_done(&r);
    else {
        handle_t c = container();
        if (c >= 0 && same(op, TEXT("open")))
            say(TEXT("done"));
        else if (c >= 0 && !inside(request, c))
            answer(out, 404, TEXT("no such operation\n"));
        if (c >= 0)
            container_drop(c);
    }
    request_drop(request);
}
