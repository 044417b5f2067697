/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:io/error and wasi:io/poll. Spec: wasi:io 0.2.
 * A pollable is level-triggered: it looks at its target each time it is asked, and may be asked again. */
#include "hostd/wasi/wasi_int.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define POLL_MAX 10000 /* pollables in one call of poll */

/* ---- error ---- */

static void error_drop(void *user, void *obj)
{
    struct wasi_error *error = obj;
    (void)user;
    free(error->own);
    free(error);
}
const struct comp_class wasi_error_class = {"error", error_drop};

static enum comp_host_status error_to_debug_string(struct comp_host_call *hc,
                                                   const struct wit_value *args,
                                                   struct wit_value *result)
{
    const struct wasi_error *error = args[0].obj;
    *result = wit_str(str_of(error->text));
    return wasi_done(hc);
}

/* ---- pollable ---- */

static void pollable_drop(void *user, void *obj)
{
    (void)user;
    free(obj);
}
const struct comp_class wasi_pollable_class = {"pollable", pollable_drop};

struct wit_value wasi_subscribe(struct comp_host_call *hc, void *parent, bool (*ready)(void *))
{
    struct wasi_pollable *p = xnew(struct wasi_pollable);
    *p = (struct wasi_pollable){.ready = ready, .target = parent};
    comp_host_child(hc, parent, p);
    return wasi_own(hc, &wasi_pollable_class, p);
}

static enum comp_host_status pollable_ready(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    *result = wit_u64(wasi_pollable_ready(args[0].obj));
    return wasi_done(hc);
}

static enum comp_host_status pollable_block(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    const struct wasi_pollable *p = args[0].obj;
    (void)result;
    if (wasi_pollable_ready(p))
        return wasi_done(hc);
    wasi_wait_none(wasi_of(hc));
    wasi_wait(wasi_of(hc), *p);
    return COMP_HOST_PENDING;
}

/* All ready ones of the list, in its order. */
static struct wit_value ready_indices(struct comp_host_call *hc, const struct wit_value *list)
{
    struct wit_value *indices = wasi_list(hc, list->n);
    uint32_t n = 0;
    for (uint32_t i = 0; i < list->n && indices; i++)
        if (wasi_pollable_ready(list->v[i].obj))
            indices[n++] = wit_u64(i);
    return (struct wit_value){.v = indices, .n = n};
}

static enum comp_host_status poll_poll(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    const struct wit_value *list = &args[0];
    if (list->n == 0)
        return comp_trap(hc, "poll of an empty list");
    if (list->n > POLL_MAX)
        return comp_trap(hc, "poll of %u pollables, the limit is %u", list->n, POLL_MAX);
    *result = ready_indices(hc, list);
    if (result->n > 0 || !result->v)
        return wasi_done(hc);
    wasi_wait_none(wasi_of(hc));
    for (uint32_t i = 0; i < list->n; i++)
        wasi_wait(wasi_of(hc), *(const struct wasi_pollable *)list->v[i].obj);
    return COMP_HOST_PENDING;
}

/* ---- rows ---- */

static const char error_wit[] = "resource error { to-debug-string: func() -> string; }\n";

static const struct comp_host_func error_funcs[] = {
    {"[method]error.to-debug-string", error_to_debug_string},
    {NULL, NULL},
};

static const char poll_wit[] = "resource pollable { ready: func() -> bool; block: func(); }\n"
                               "poll: func(in: list<borrow<pollable>>) -> list<u32>;\n";

static const struct comp_host_func poll_funcs[] = {
    {"[method]pollable.ready", pollable_ready},
    {"[method]pollable.block", pollable_block},
    {"poll", poll_poll},
    {NULL, NULL},
};

static const char streams_wit[] =
    "use wasi:io/error.{error};\n"
    "use wasi:io/poll.{pollable};\n"
    "variant stream-error { last-operation-failed(error), closed }\n"
    "resource input-stream {\n"
    "  read: func(len: u64) -> result<list<u8>, stream-error>;\n"
    "  blocking-read: func(len: u64) -> result<list<u8>, stream-error>;\n"
    "  skip: func(len: u64) -> result<u64, stream-error>;\n"
    "  blocking-skip: func(len: u64) -> result<u64, stream-error>;\n"
    "  subscribe: func() -> pollable;\n"
    "}\n"
    "resource output-stream {\n"
    "  check-write: func() -> result<u64, stream-error>;\n"
    "  write: func(contents: list<u8>) -> result<_, stream-error>;\n"
    "  blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;\n"
    "  flush: func() -> result<_, stream-error>;\n"
    "  blocking-flush: func() -> result<_, stream-error>;\n"
    "  subscribe: func() -> pollable;\n"
    "  write-zeroes: func(len: u64) -> result<_, stream-error>;\n"
    "  blocking-write-zeroes-and-flush: func(len: u64) -> result<_, stream-error>;\n"
    "  splice: func(src: borrow<input-stream>, len: u64) -> result<u64, stream-error>;\n"
    "  blocking-splice: func(src: borrow<input-stream>, len: u64) -> result<u64, stream-error>;\n"
    "}\n";

static const struct wasi_row rows[] = {
    {"wasi:io/error@0.2.12", {error_wit}, {error_funcs}, NULL},
    {"wasi:io/poll@0.2.12", {poll_wit}, {poll_funcs}, NULL},
    {"wasi:io/streams@0.2.12", {streams_wit}, {wasi_input_funcs, wasi_output_funcs}, NULL},
};
const struct wasi_rows wasi_io_rows = {rows, ARRAY_LEN(rows)};
