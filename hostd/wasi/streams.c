/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:io/streams: the rules of input-stream and output-stream, once, over what each kind of source and sink can
 * do (wasi_input_ops, wasi_output_ops). Spec: wasi:io 0.2 and component-model.md 12.4.
 *
 * Keeps: a failure is reported once and then reads as closed; a write never exceeds what check-write permitted;
 * every blocking-x is "wait until ready, then x". */
#include "hostd/wasi/wasi_int.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define READ_MAX 65536u          /* bytes of one read, whatever was asked */
#define BLOCKING_WRITE_MAX 4096u /* of blocking-write-and-flush, by its definition */

static const uint8_t zeroes[BLOCKING_WRITE_MAX];

/* hc->state of a blocking write that was accepted and waits for the flush. */
static char flush_phase;

/* ---- stream-error ---- */

static struct wit_value closed(struct comp_host_call *hc)
{
    return wasi_err(hc, wasi_bare(1));
}

/* The failure once, then closed. */
static struct wit_value failed(struct comp_host_call *hc, const struct wasi_error *failure,
                               bool *told)
{
    if (*told)
        return closed(hc);
    *told = true;
    struct wasi_error *error = xnew(struct wasi_error);
    *error = *failure;
    error->text = error->own = str_dup(str_of(failure->text));
    return wasi_err(hc, wasi_case(hc, 0, wasi_own(hc, &wasi_error_class, error)));
}

static struct wit_value input_error(struct comp_host_call *hc, struct wasi_input *s,
                                    enum wasi_state state)
{
    return state == WASI_FAILED ? failed(hc, &s->failure, &s->told) : closed(hc);
}

static struct wit_value output_error(struct comp_host_call *hc, struct wasi_output *s,
                                     enum wasi_state state)
{
    return state == WASI_FAILED ? failed(hc, &s->failure, &s->told) : closed(hc);
}

/* ---- input ---- */

struct wasi_input *wasi_input_new(const struct wasi_input_ops *ops, void *source)
{
    struct wasi_input *s = xnew(struct wasi_input);
    s->ops = ops;
    s->source = source;
    return s;
}

static void input_drop(void *user, void *obj)
{
    struct wasi_input *s = obj;
    (void)user;
    if (s->ops->drop)
        s->ops->drop(s);
    free(s);
}
const struct comp_class wasi_input_class = {"input-stream", input_drop};

static bool input_ready(void *obj)
{
    struct wasi_input *s = obj;
    struct span view = {NULL, 0};
    return s->ops->peek(s, &view) != WASI_OPEN || view.n > 0;
}

/* True when a blocking function must wait first. */
static bool input_must_wait(struct wasi_input *s, const struct wit_value *len)
{
    return len->u64 > 0 && !input_ready(s);
}

static enum comp_host_status input_read(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    struct wasi_input *s = args[0].obj;
    struct span view = {NULL, 0};
    enum wasi_state state = s->ops->peek(s, &view);
    if (state != WASI_OPEN) {
        *result = input_error(hc, s, state);
        return wasi_done(hc);
    }
    view.n = MIN(view.n, MIN(args[1].u64, READ_MAX));
    *result = wasi_ok(hc, wasi_copy_bytes(hc, view));
    s->ops->take(s, view.n);
    return wasi_done(hc);
}

static enum comp_host_status input_blocking_read(struct comp_host_call *hc,
                                                 const struct wit_value *args,
                                                 struct wit_value *result)
{
    if (input_must_wait(args[0].obj, &args[1]))
        return wasi_wait_for(hc, input_ready, args[0].obj);
    return input_read(hc, args, result);
}

static enum comp_host_status input_skip(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    struct wasi_input *s = args[0].obj;
    struct span view = {NULL, 0};
    enum wasi_state state = s->ops->peek(s, &view);
    if (state != WASI_OPEN) {
        *result = input_error(hc, s, state);
        return wasi_done(hc);
    }
    view.n = MIN(view.n, args[1].u64);
    s->ops->take(s, view.n);
    *result = wasi_ok(hc, wit_u64(view.n));
    return wasi_done(hc);
}

static enum comp_host_status input_blocking_skip(struct comp_host_call *hc,
                                                 const struct wit_value *args,
                                                 struct wit_value *result)
{
    if (input_must_wait(args[0].obj, &args[1]))
        return wasi_wait_for(hc, input_ready, args[0].obj);
    return input_skip(hc, args, result);
}

static enum comp_host_status input_subscribe(struct comp_host_call *hc,
                                             const struct wit_value *args, struct wit_value *result)
{
    *result = wasi_subscribe(hc, args[0].obj, input_ready);
    return wasi_done(hc);
}

/* ---- output ---- */

struct wasi_output *wasi_output_new(const struct wasi_output_ops *ops, void *sink)
{
    struct wasi_output *s = xnew(struct wasi_output);
    s->ops = ops;
    s->sink = sink;
    return s;
}

static void output_drop(void *user, void *obj)
{
    struct wasi_output *s = obj;
    (void)user;
    if (s->ops->drop)
        s->ops->drop(s);
    free(s);
}
const struct comp_class wasi_output_class = {"output-stream", output_drop};

/* Bytes a write may have now: none until a requested flush is through. */
static enum wasi_state output_room(struct wasi_output *s, size_t *n)
{
    *n = 0;
    if (s->flushing && !s->ops->flushed(s))
        return WASI_OPEN;
    s->flushing = false;
    return s->ops->room(s, n);
}

static bool output_ready(void *obj)
{
    size_t n;
    return output_room(obj, &n) != WASI_OPEN || n > 0;
}

/* Room for any blocking write, or an end. */
static bool output_has_block(void *obj)
{
    size_t n;
    return output_room(obj, &n) != WASI_OPEN || n >= BLOCKING_WRITE_MAX;
}

static bool output_flushed(void *obj)
{
    struct wasi_output *s = obj;
    return s->ops->flushed(s);
}

static enum comp_host_status output_check_write(struct comp_host_call *hc,
                                                const struct wit_value *args,
                                                struct wit_value *result)
{
    struct wasi_output *s = args[0].obj;
    size_t n;
    enum wasi_state state = output_room(s, &n);
    s->permit = n;
    *result = state == WASI_OPEN ? wasi_ok(hc, wit_u64(n)) : output_error(hc, s, state);
    return wasi_done(hc);
}

/* Whether the sink still takes bytes; what it says when not. */
static struct wit_value output_outcome(struct comp_host_call *hc, struct wasi_output *s)
{
    size_t n;
    enum wasi_state state = s->ops->room(s, &n);
    return state == WASI_FAILED ? output_error(hc, s, state) : WASI_OK;
}

/* Within the permit; `data` NULL writes zeroes. */
static void output_put(struct wasi_output *s, const uint8_t *data, size_t n)
{
    s->permit -= n;
    if (data) {
        s->ops->write(s, (struct span){data, n});
        return;
    }
    while (n > 0) {
        size_t part = MIN(n, sizeof zeroes);
        s->ops->write(s, (struct span){zeroes, part});
        n -= part;
    }
}

static enum comp_host_status put_permitted(struct comp_host_call *hc, struct wasi_output *s,
                                           const uint8_t *data, uint64_t n,
                                           struct wit_value *result)
{
    if (n > s->permit)
        return comp_trap(hc, "write of %llu bytes, check-write permitted %zu",
                         (unsigned long long)n, s->permit);
    size_t room;
    enum wasi_state state = s->ops->room(s, &room);
    if (state != WASI_OPEN) {
        *result = output_error(hc, s, state);
        return wasi_done(hc);
    }
    output_put(s, data, (size_t)n);
    *result = output_outcome(hc, s);
    return wasi_done(hc);
}

static enum comp_host_status output_write(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    static const uint8_t nothing;
    const uint8_t *data = args[1].p ? args[1].p : &nothing;
    return put_permitted(hc, args[0].obj, data, args[1].n, result);
}

static enum comp_host_status output_write_zeroes(struct comp_host_call *hc,
                                                 const struct wit_value *args,
                                                 struct wit_value *result)
{
    return put_permitted(hc, args[0].obj, NULL, args[1].u64, result);
}

static enum comp_host_status output_flush(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    struct wasi_output *s = args[0].obj;
    size_t n;
    enum wasi_state state = s->ops->room(s, &n);
    s->flushing = state == WASI_OPEN;
    *result = state == WASI_OPEN ? WASI_OK : output_error(hc, s, state);
    return wasi_done(hc);
}

/* Second half of every blocking write: until nothing accepted waits any more. */
static enum comp_host_status finish_flush(struct comp_host_call *hc, struct wasi_output *s,
                                          struct wit_value *result)
{
    if (!s->ops->flushed(s)) {
        hc->state = &flush_phase;
        return wasi_wait_for(hc, output_flushed, s);
    }
    hc->state = NULL;
    s->flushing = false;
    *result = output_outcome(hc, s);
    return wasi_done(hc);
}

static enum comp_host_status output_blocking_flush(struct comp_host_call *hc,
                                                   const struct wit_value *args,
                                                   struct wit_value *result)
{
    struct wasi_output *s = args[0].obj;
    size_t n;
    enum wasi_state state = s->ops->room(s, &n);
    if (state == WASI_OPEN || hc->state)
        return finish_flush(hc, s, result);
    *result = output_error(hc, s, state);
    return wasi_done(hc);
}

/* Waits for room, writes all of it, waits until it has left. */
static enum comp_host_status blocking_put(struct comp_host_call *hc, struct wasi_output *s,
                                          const uint8_t *data, uint64_t n, struct wit_value *result)
{
    size_t room;
    if (n > BLOCKING_WRITE_MAX)
        return comp_trap(hc, "blocking write of %llu bytes, at most %u are allowed",
                         (unsigned long long)n, BLOCKING_WRITE_MAX);
    if (hc->state)
        return finish_flush(hc, s, result);
    enum wasi_state state = output_room(s, &room);
    if (state != WASI_OPEN) {
        *result = output_error(hc, s, state);
        return wasi_done(hc);
    }
    if (room < n)
        return wasi_wait_for(hc, output_has_block, s);
    s->permit = room;
    output_put(s, data, (size_t)n);
    return finish_flush(hc, s, result);
}

static enum comp_host_status output_blocking_write(struct comp_host_call *hc,
                                                   const struct wit_value *args,
                                                   struct wit_value *result)
{
    static const uint8_t nothing;
    const uint8_t *data = args[1].p ? args[1].p : &nothing;
    return blocking_put(hc, args[0].obj, data, args[1].n, result);
}

static enum comp_host_status output_blocking_write_zeroes(struct comp_host_call *hc,
                                                          const struct wit_value *args,
                                                          struct wit_value *result)
{
    return blocking_put(hc, args[0].obj, NULL, args[1].u64, result);
}

static enum comp_host_status
output_subscribe(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    *result = wasi_subscribe(hc, args[0].obj, output_ready);
    return wasi_done(hc);
}

/* ---- both ---- */

/* Moves without a copy of our own; 0 when either side is not ready; the first error wins. */
static enum comp_host_status output_splice(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    struct wasi_output *to = args[0].obj;
    struct wasi_input *from = args[1].obj;
    struct span view = {NULL, 0};
    size_t room;
    enum wasi_state to_state = output_room(to, &room);
    enum wasi_state from_state = to_state == WASI_OPEN ? from->ops->peek(from, &view) : WASI_OPEN;
    if (to_state != WASI_OPEN) {
        *result = output_error(hc, to, to_state);
    } else if (from_state != WASI_OPEN) {
        *result = input_error(hc, from, from_state);
    } else {
        view.n = MIN(MIN(view.n, room), args[2].u64);
        if (view.n > 0)
            to->ops->write(to, view);
        from->ops->take(from, view.n);
        to->permit = 0;
        *result = wasi_ok(hc, wit_u64(view.n));
    }
    return wasi_done(hc);
}

static enum comp_host_status output_blocking_splice(struct comp_host_call *hc,
                                                    const struct wit_value *args,
                                                    struct wit_value *result)
{
    if (args[2].u64 > 0 && !output_ready(args[0].obj))
        return wasi_wait_for(hc, output_ready, args[0].obj);
    if (args[2].u64 > 0 && !input_ready(args[1].obj))
        return wasi_wait_for(hc, input_ready, args[1].obj);
    return output_splice(hc, args, result);
}

const struct comp_host_func wasi_input_funcs[] = {
    {"[method]input-stream.read", input_read},
    {"[method]input-stream.blocking-read", input_blocking_read},
    {"[method]input-stream.skip", input_skip},
    {"[method]input-stream.blocking-skip", input_blocking_skip},
    {"[method]input-stream.subscribe", input_subscribe},
    {NULL, NULL},
};

const struct comp_host_func wasi_output_funcs[] = {
    {"[method]output-stream.check-write", output_check_write},
    {"[method]output-stream.write", output_write},
    {"[method]output-stream.blocking-write-and-flush", output_blocking_write},
    {"[method]output-stream.flush", output_flush},
    {"[method]output-stream.blocking-flush", output_blocking_flush},
    {"[method]output-stream.subscribe", output_subscribe},
    {"[method]output-stream.write-zeroes", output_write_zeroes},
    {"[method]output-stream.blocking-write-zeroes-and-flush", output_blocking_write_zeroes},
    {"[method]output-stream.splice", output_splice},
    {"[method]output-stream.blocking-splice", output_blocking_splice},
    {NULL, NULL},
};
