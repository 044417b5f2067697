/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of wasi:blobstore by its link: functions of wrpc:blobstore, three of which have streams beside them. Targets
 * serve version 0.2.0, where a future says how a stream ended, or the older 0.1.0 without: the first is tried, and the
 * second where nobody serves that. Spec: lattice protocol 5.7, wRPC 4.3.
 *
 * Keeps: no byte of an object leaves its guest before a target has taken the call, so the second try misses nothing;
 * the guest is told of the results once, and then of the stream's end once. */
#include "hostd/inflow.h"
#include "hostd/outgoing_int.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "lattice/base/reader.h"

#define BODY_CREDIT_BYTES (256u << 10) /* of an object's bytes, on their way to the loop */
#define STATUS_BYTES_MAX (64u << 10)

static const struct str LINK_KEY = STR_INIT("wasi:blobstore/blobstore");
static const struct str wire[] = {STR_INIT("wrpc:blobstore/blobstore@0.2.0"),
                                  STR_INIT("wrpc:blobstore/blobstore@0.1.0")};
enum { NEW, OLD };

/* Where a function's streams travel, in each version. */
struct shape {
    const char *func;
    bool bytes; /* the data are stream<u8>, paced among ours; else passed on as they travel */
    struct wit_path data[2], status[2]; /* of the results; n == 0: none */
};
static const struct wit_path write_path = {.n = 1, .i = {1}};

#define PATH0              \
    {                      \
        .n = 1, .i = { 0 } \
    }
#define PATH00                \
    {                         \
        .n = 2, .i = { 0, 0 } \
    }
#define PATH01                \
    {                         \
        .n = 2, .i = { 0, 1 } \
    }
#define NO_PATH \
    {           \
        .n = 0  \
    }
static const struct shape shapes[] = {
    {"get-container-data", true, {PATH00, PATH0}, {PATH01, NO_PATH}},
    {"list-container-objects", false, {PATH00, PATH0}, {PATH01, NO_PATH}},
    {"write-container-data", false, {NO_PATH, NO_PATH}, {PATH0, NO_PATH}},
};
static const struct shape plain = {"", false, {NO_PATH, NO_PATH}, {NO_PATH, NO_PATH}};

struct blob {
    struct outgoing base;
    const struct shape *shape;
    int version;
    bool ended; /* the guest knows how it went, all of it */
    struct wrpc_call *call;
    struct buf root;
    /* from the target */
    struct inflow in;
    struct err why; /* how it ended; ERR_NONE: well */
    struct wrpc_stream_reader reader;
    struct buf status;
    bool data_ended, status_known;
    /* to the target */
    struct wrpc_out *body; /* NULL once it ended */
    bool finished;         /* so the guest said, of no bytes maybe before the call is taken */
    size_t credit_owed;    /* bytes sent that the guest may replace once there is room */
    /* for another try */
    struct wrpc *rpc;
    struct buf prefix, params, source_id, link_name;
    struct str func;
    bool has_body;
    uint64_t deadline_ms;
};

static bool invoke(struct blob *b, struct err *e);

/* ---- what the guest hears ---- */

static void fail(struct blob *b, const struct err *why)
{
    if (b->ended)
        return;
    b->ended = true;
    b->why = *why;
    if (b->base.answered)
        inflow_end(&b->in);
    else
        guest_call_fail(b->base.guest, b->base.exchange, str_of(why->text));
    b->base.answered = true;
}

/* The guest has all data that it gets. */
static void on_passed(void *user, const struct err *lost)
{
    const struct blob *b = user;
    const struct err *why = b->why.code != ERR_NONE ? &b->why : lost;
    guest_call_end(b->base.guest, b->base.exchange, why ? str_of(why->text) : STR(""));
}

static void cut_short(struct blob *b)
{
    struct err e = ERR_INIT;
    err_set(&e, ERR_PEER, "the target ended %.*s too early", STR_ARG(b->func));
    fail(b, &e);
}

/* All that was to come has come. */
static void end_if_whole(struct blob *b)
{
    bool data = b->shape->data[b->version].n > 0, status = b->shape->status[b->version].n > 0;
    if (b->ended || !b->base.answered || (data && !b->data_ended) || (status && !b->status_known))
        return;
    b->ended = true;
    inflow_end(&b->in);
}

/* ---- from the target ---- */

static void on_data(void *user, struct span data)
{
    inflow_push(&((struct blob *)user)->in, data);
}

static void take_data(struct blob *b, struct span piece)
{
    struct err e = ERR_INIT;
    if (!b->shape->bytes) {
        on_data(b, piece);
        b->data_ended = piece.n == 0; /* whoever reads it knows whether that is its end */
    } else if (piece.n == 0 && !b->reader.ended) {
        cut_short(b);
    } else if (!wrpc_stream_feed(&b->reader, piece, on_data, b, &e)) {
        fail(b, &e);
    } else {
        b->data_ended = b->reader.ended;
    }
}

/* result<_, string> */
static void take_status(struct blob *b, struct span piece)
{
    struct err e = ERR_INIT;
    struct reader r;
    if (b->status_known)
        return;
    buf_put(&b->status, piece.p, piece.n);
    rd_init(&r, buf_span(&b->status), &e);
    bool failed = rd_u8(&r) != 0;
    struct str why = failed ? rd_name(&r) : STR("");
    b->status_known = rd_ok(&r);
    if (b->status_known && failed) {
        err_set(&e, ERR_PEER, "%.*s", STR_ARG(why));
        fail(b, &e);
    } else if (!b->status_known && (piece.n == 0 || b->status.full)) {
        cut_short(b);
    }
}

static void on_bytes(void *user, const struct wit_path *path, struct span piece)
{
    struct blob *b = user;
    if (path->n == 0) {
        buf_put(&b->root, piece.p, piece.n); /* bounded by wRPC's root_bytes_max */
        return;
    }
    if (wit_path_eq(path, &b->shape->data[b->version]))
        take_data(b, piece);
    else
        take_status(b, piece);
    end_if_whole(b);
}

static void on_end(void *user, const struct err *why)
{
    struct blob *b = user;
    struct err e = ERR_INIT;
    if (why && why->code == ERR_NO_RESPONDERS && b->version == NEW) {
        b->version = OLD;
        wrpc_call_free(MOVE(b->call));
        b->body = NULL;
        if (!invoke(b, &e))
            fail(b, &e);
    } else if (why) {
        fail(b, why);
    } else {
        b->base.answered = true;
        guest_call_result(b->base.guest, b->base.exchange, buf_span(&b->root));
        b->ended |= b->root.n == 0 || b->root.p[0] != 0; /* an error: nothing follows */
        end_if_whole(b);
    }
}

/* ---- from the guest ---- */

static void on_taken(void *user)
{
    const struct blob *b = user;
    guest_body_credit(b->base.guest, b->base.exchange, BODY_CREDIT_BYTES);
}

/* The target caught up: the guest may go on. */
static void on_room(void *user)
{
    struct blob *b = user;
    size_t n = b->credit_owed;
    if (n == 0 || !b->body || wrpc_out_room(b->body) == 0)
        return;
    b->credit_owed = 0;
    guest_body_credit(b->base.guest, b->base.exchange, n);
}

static void send(struct outgoing *o, struct span data)
{
    struct blob *b = (struct blob *)o;
    struct err e = ERR_INIT;
    if (!b->body)
        return;
    if (!wrpc_out_chunk(b->body, data, &e))
        fail(b, &e);
    b->credit_owed += data.n;
    on_room(b);
}

static void send_end(struct outgoing *o, struct span trailers)
{
    struct blob *b = (struct blob *)o;
    (void)trailers; /* of HTTP */
    b->finished = true;
    if (b->body)
        wrpc_out_finish_stream(MOVE(b->body));
}

static void send_abort(struct outgoing *o)
{
    struct blob *b = (struct blob *)o;
    wrpc_out_close(MOVE(b->body));
}

static void consumed(struct outgoing *o, size_t n)
{
    struct blob *b = (struct blob *)o;
    inflow_consumed(&b->in, n);
    if (b->shape->bytes && b->call)
        wrpc_call_consumed(b->call, &b->shape->data[b->version], n);
}

static void close_way(struct outgoing *o)
{
    struct blob *b = (struct blob *)o;
    if (b->ended)
        wrpc_call_free(b->call);
    else
        wrpc_call_abandon(b->call);
    inflow_fini(&b->in);
    buf_fini(&b->root);
    buf_fini(&b->status);
    buf_fini(&b->prefix);
    buf_fini(&b->params);
    buf_fini(&b->source_id);
    buf_fini(&b->link_name);
    free(b);
}

static const struct outgoing_way way = {send, send_end, send_abort, consumed, close_way};

/* ---- beginning ---- */

static const struct shape *find_shape(struct str func)
{
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        if (str_eqz(func, shapes[i].func))
            return &shapes[i];
    return &plain;
}

static void add_path(struct wit_pendings *to, const struct wit_path *path)
{
    if (path->n)
        to->at[to->n++].path = *path;
}

static bool invoke(struct blob *b, struct err *e)
{
    const struct bus_header headers[] = {{STR("source-id"), buf_view(&b->source_id)},
                                         {STR("link-name"), buf_view(&b->link_name)}};
    struct wit_pendings paths = {0};
    add_path(&paths, &b->shape->data[b->version]);
    add_path(&paths, &b->shape->status[b->version]);
    struct wrpc_target t = {.prefix = buf_view(&b->prefix),
                            .instance = wire[b->version],
                            .func = b->func,
                            .headers = headers,
                            .nheaders = ARRAY_LEN(headers),
                            .paced = b->shape->bytes || b->has_body};
    if (!wrpc_invoke(b->rpc, &t, buf_span(&b->params), &paths, b->deadline_ms, on_bytes, on_end, b,
                     &b->call, e))
        return false;
    if (b->has_body && !wrpc_call_param(b->call, &write_path, &b->body, e))
        return false;
    if (b->body) {
        wrpc_out_on_room(b->body, on_room, b);
        wrpc_call_on_taken(b->call, on_taken);
    }
    if (b->body && b->finished)
        wrpc_out_finish_stream(MOVE(b->body));
    return true;
}

struct outgoing *outgoing_blob(const struct outgoing_opts *opts, const struct guest_call *what)
{
    const struct bridge_route *route = opts->route;
    struct blob *b = xnew(struct blob);
    struct err e = ERR_INIT;
    struct str target;
    b->base = (struct outgoing){.way = &way, .guest = opts->guest, .exchange = opts->exchange};
    inflow_init(&b->in, opts->stashes, on_passed, b);
    inflow_start(&b->in, opts->guest, opts->exchange);
    b->shape = find_shape(what->func);
    b->status.max = STATUS_BYTES_MAX;
    b->rpc = route->rpc;
    b->func = what->func;
    b->has_body = what->has_body;
    b->deadline_ms = route->deadline_ms;
    buf_put(&b->params, what->params.p, what->params.n);
    buf_str(&b->source_id, route->source_id);
    buf_str(&b->link_name, what->link_name);
    bool ok = bridge_target(route, LINK_KEY, what->link_name, &target, &e);
    if (ok)
        buf_printf(&b->prefix, "%.*s.%.*s", STR_ARG(route->lattice), STR_ARG(target));
    if (!ok || !invoke(b, &e))
        fail(b, &e);
    return &b->base;
}
