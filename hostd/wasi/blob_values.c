/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into and comes out of containers: outgoing-value, incoming-value, stream-object-names. Their bytes are
 * bodies of exchanges like those of HTTP (http_body.c), and wait and flow as these do.
 *
 * Keeps: an outgoing-value's data ends with its stream: with a guest that ends before dropping that, the target sees
 * the data cut short. Names are read only as they are asked for. */
#include "hostd/wasi/blobs.h"

#include <assert.h>

#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"

#define SYNC_BYTES_MAX (32u << 20) /* of one consume-sync: a call may hold twice that */
#define NAME_BYTES_MAX (64u << 10) /* one name, as it travels */
#define NAMES_BYTES_MAX (4u << 20) /* of one read: then it answers with what it has */
#define TURN_BYTES (1u << 20)      /* of names, before other guests have a turn */

/* ---- outgoing-value ---- */

static void outgoing_drop(void *user, void *obj)
{
    struct wasi_outgoing_value *v = obj;
    (void)user;
    wasi_outbody_abort(v->data);
    wasi_outbody_release(v->data);
    wasi_inbody_release(v->call);
    free(v);
}
const struct comp_class wasi_outgoing_value_class = {"outgoing-value", outgoing_drop};

static enum comp_host_status outgoing_new(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    struct wasi_outgoing_value *v = xnew(struct wasi_outgoing_value);
    (void)args;
    v->data = wasi_outbody_new(wasi_of(hc), true);
    v->data->ends_with_stream = true;
    *result = wasi_own(hc, &wasi_outgoing_value_class, v);
    return wasi_done(hc);
}

static enum comp_host_status outgoing_write(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    struct wasi_outgoing_value *v = args[0].obj;
    *result = wasi_outbody_stream(hc, v, v->data);
    return wasi_done(hc);
}

/* All of it left, and the target said how it went. */
static bool is_settled(void *obj)
{
    const struct wasi_outgoing_value *v = obj;
    return !v->call || (v->call->ended && wasi_outbody_drained(v->data));
}

static enum comp_host_status outgoing_finish(struct comp_host_call *hc,
                                             const struct wit_value *args, struct wit_value *result)
{
    struct wasi_outgoing_value *v = args[0].obj;
    struct wasi_ctx *c = wasi_of(hc);
    wasi_park(c, &wasi_outgoing_value_class, v);
    if (v->data->stream_open) {
        wasi_unpark(c);
        return comp_trap(hc, "outgoing-value finished before its stream was dropped");
    }
    wasi_outbody_finish(v->data); /* for one that nothing was written to */
    if (!is_settled(v))
        return wasi_wait_for(hc, is_settled, v);
    *result = v->call && v->call->failed != WASI_NO_HTTP_CODE
                  ? wasi_blob_error(hc, wasi_inbody_failure(v->call))
                  : WASI_OK;
    wasi_unpark(c);
    return wasi_done(hc);
}

/* ---- incoming-value ---- */

static void incoming_drop(void *user, void *obj)
{
    (void)user;
    wasi_inbody_discard(obj);
    wasi_inbody_release(obj);
}
const struct comp_class wasi_incoming_value_class = {"incoming-value", incoming_drop};

struct wit_value wasi_incoming_value(struct comp_host_call *hc, struct wasi_inbody *body)
{
    return wasi_own(hc, &wasi_incoming_value_class, body);
}

static enum comp_host_status consume_async(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    *result = wasi_ok(hc, wasi_own(hc, &wasi_input_class, wasi_inbody_input(args[0].obj)));
    return wasi_done(hc);
}

/* A stream that is being read to its end. */
struct gathering {
    struct wasi_input *in;
    struct buf data;
};

static void gathering_drop(void *user, void *obj)
{
    struct gathering *g = obj;
    wasi_input_class.drop(user, g->in);
    buf_fini(&g->data);
    free(g);
}
static const struct comp_class gathering_class = {"gathering", gathering_drop};

static bool has_news(void *in)
{
    struct wasi_input *s = in;
    struct span view = {NULL, 0};
    return s->ops->peek(s, &view) != WASI_OPEN || view.n > 0;
}

/* Moves what is there into data, as long as it fits; what the stream says afterwards. */
static enum wasi_state gather(struct wasi_input *in, struct buf *data)
{
    struct span view = {NULL, 0};
    enum wasi_state state;
    while ((state = in->ops->peek(in, &view)) == WASI_OPEN && view.n > 0 && !data->full) {
        buf_put(data, view.p, view.n);
        in->ops->take(in, view.n);
    }
    return state;
}

static enum comp_host_status consume_sync(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    struct gathering *g = hc->state;
    if (!g) {
        g = hc->state = xnew(struct gathering);
        g->in = wasi_inbody_input(args[0].obj);
        g->data.max = SYNC_BYTES_MAX;
        wasi_park(wasi_of(hc), &gathering_class, g);
    }
    enum wasi_state state = gather(g->in, &g->data);
    if (state == WASI_OPEN && !g->data.full)
        return wasi_wait_for(hc, has_news, g->in);
    if (state == WASI_FAILED)
        *result = wasi_blob_error(hc, g->in->failure.text);
    else if (g->data.full)
        *result = wasi_blob_error(hc, "the object is larger than consume-sync may return");
    else
        *result = wasi_ok(hc, wasi_copy_bytes(hc, buf_span(&g->data)));
    hc->state = NULL;
    wasi_unpark(wasi_of(hc));
    return wasi_done(hc);
}

static enum comp_host_status incoming_size(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    (void)args;
    (void)result;
    return comp_trap(hc, "incoming-value.size: not known before it is read");
}

/* ---- stream-object-names ---- */

/* A stream<string> as it travels: chunks of a count and as many names, the last with the count 0. */
struct names {
    struct wasi_input *in;
    struct buf raw; /* read and not taken apart, from `at` on */
    size_t at;
    uint64_t left; /* of the chunk */
    bool ended;
    /* of the function under way */
    size_t pulled; /* since it last let others run */
    uint64_t count;
    struct buf got; /* lengths (uint32_t) and bytes */
};

static void names_drop(void *user, void *obj)
{
    struct names *n = obj;
    wasi_input_class.drop(user, n->in);
    buf_fini(&n->raw);
    buf_fini(&n->got);
    free(n);
}
const struct comp_class wasi_object_names_class = {"stream-object-names", names_drop};

struct wit_value wasi_object_names(struct comp_host_call *hc, struct wasi_inbody *body)
{
    struct names *n = xnew(struct names);
    n->in = wasi_inbody_input(body);
    return wasi_own(hc, &wasi_object_names_class, n);
}

enum step { STEP_NAME, STEP_END, STEP_MORE /* bytes are needed */, STEP_BAD };

/* A LEB128 number of at most five bytes at `at`. */
static enum step number(const struct names *n, size_t *at, uint64_t *out)
{
    *out = 0;
    for (uint32_t i = 0; i < 5; i++, ++*at) {
        if (*at == n->raw.n)
            return STEP_MORE;
        uint8_t byte = n->raw.p[*at];
        *out |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            ++*at;
            return STEP_NAME;
        }
    }
    return STEP_BAD;
}

static enum step next_name(struct names *n, struct str *out)
{
    size_t at = n->at;
    uint64_t v;
    enum step s;
    if (n->ended)
        return STEP_END;
    if (n->left == 0) {
        if ((s = number(n, &at, &n->left)) != STEP_NAME) {
            n->left = 0;
            return s;
        }
        n->at = at;
        n->ended = n->left == 0;
        return next_name(n, out);
    }
    if ((s = number(n, &at, &v)) != STEP_NAME)
        return s;
    if (v > NAME_BYTES_MAX)
        return STEP_BAD;
    if (v > n->raw.n - at)
        return STEP_MORE;
    *out = (struct str){(const char *)n->raw.p + at, (size_t)v};
    n->at = at + (size_t)v;
    n->left--;
    return STEP_NAME;
}

/* The next bytes; false: none yet, or never any more. */
static bool pull(struct names *n, enum wasi_state *state)
{
    struct span view = {NULL, 0};
    *state = n->in->ops->peek(n->in, &view);
    if (*state != WASI_OPEN || view.n == 0)
        return false;
    buf_drop(&n->raw, n->at);
    n->at = 0;
    buf_put(&n->raw, view.p, view.n);
    n->in->ops->take(n->in, view.n);
    n->pulled += view.n;
    return true;
}

static void keep(struct names *n, struct str name)
{
    uint32_t length = (uint32_t)name.n;
    buf_put(&n->got, &length, sizeof length);
    buf_str(&n->got, name);
}

/* Up to `wanted` names, kept or only counted. False: wait, for bytes or for others. Why it failed is in *error. */
static bool advance(struct names *n, uint64_t wanted, bool keeping, const char **error)
{
    struct str name;
    enum wasi_state state = WASI_OPEN;
    *error = NULL;
    while (n->count < wanted && n->got.n < NAMES_BYTES_MAX) {
        if (n->pulled > TURN_BYTES)
            return false;
        enum step s = next_name(n, &name);
        if (s == STEP_END)
            break;
        if (s == STEP_MORE && pull(n, &state))
            continue;
        if (s == STEP_MORE && state == WASI_OPEN)
            return false;
        if (s != STEP_NAME) {
            *error = state == WASI_FAILED ? n->in->failure.text : "the list of names is broken";
            break;
        }
        n->count++;
        if (keeping)
            keep(n, name);
    }
    return true;
}

static struct wit_value kept(struct comp_host_call *hc, const struct names *n)
{
    struct wit_value *list = wasi_list(hc, (size_t)n->count);
    const uint8_t *p = n->got.p;
    for (uint64_t i = 0; i < n->count && list; i++) {
        uint32_t length;
        memcpy(&length, p, sizeof length);
        list[i] = wasi_copy_bytes(hc, (struct span){p + sizeof length, length});
        p += sizeof length + length;
    }
    return (struct wit_value){.v = list, .n = (uint32_t)n->count};
}

static enum comp_host_status names_next(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result, bool keeping)
{
    struct names *n = args[0].obj;
    const char *error;
    if (!hc->state) {
        hc->state = n;
        n->count = 0;
        buf_clear(&n->got);
    }
    n->pulled = 0;
    if (!advance(n, args[1].u64, keeping, &error)) {
        enum comp_host_status s = wasi_wait_for(hc, has_news, n->in);
        if (n->pulled > TURN_BYTES)
            wasi_wait(wasi_of(hc), (struct wasi_pollable){.due_ns = clock_mono_ns()});
        return s;
    }
    hc->state = NULL;
    if (error) {
        *result = wasi_blob_error(hc, error);
    } else {
        struct wit_value pair[] = {keeping ? kept(hc, n) : wit_u64(n->count),
                                   wit_u64(n->count < args[1].u64 && n->ended)};
        *result = wasi_ok(hc, wasi_tuple(hc, pair, ARRAY_LEN(pair)));
    }
    return wasi_done(hc);
}

static enum comp_host_status names_read(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    return names_next(hc, args, result, true);
}

static enum comp_host_status names_skip(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    return names_next(hc, args, result, false);
}

/* ---- rows ---- */

const struct comp_host_func wasi_blob_value_funcs[] = {
    {"[static]outgoing-value.new-outgoing-value", outgoing_new},
    {"[method]outgoing-value.outgoing-value-write-body", outgoing_write},
    {"[static]outgoing-value.finish", outgoing_finish},
    {"[static]incoming-value.incoming-value-consume-sync", consume_sync},
    {"[static]incoming-value.incoming-value-consume-async", consume_async},
    {"[method]incoming-value.size", incoming_size},
    {NULL, NULL},
};

const struct comp_host_func wasi_object_names_funcs[] = {
    {"[method]stream-object-names.read-stream-object-names", names_read},
    {"[method]stream-object-names.skip-stream-object-names", names_skip},
    {NULL, NULL},
};
