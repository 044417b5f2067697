/* SPDX-License-Identifier: Apache-2.0 */
/* Outgoing requests by a link: wrpc:http/outgoing-handler.handle at its target, bodies and trailers beside it. */
#include "hostd/outgoing_int.h"

#include "hostd/feed.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define BODY_CREDIT_BYTES (256u << 10) /* of the request's body, on its way to the loop */
#define OPTION_DEFAULT_NS 600000000000u
#define NS_PER_MS 1000000u
#define ROOT_ARENA_BYTES (8u << 20) /* a response's head, decoded */

static const struct str WIRE = STR_INIT("wrpc:http/outgoing-handler@0.1.0");

struct linked {
    struct outgoing base;
    struct wrpc_call *call;
    struct wrpc_out *body, *trailers; /* NULL once they ended */
    size_t credit_owed; /* request bytes sent that the guest may replace once there is room */
    struct buf root;    /* of the response, until it is complete; wRPC bounds it */
    struct feed feed;
    bool failed; /* the target may go on with what nobody waits for */
};

/* ---- from the target ---- */

static void fail_with(struct linked *l, const struct err *why)
{
    enum http_error_code code =
        why && why->code == ERR_TIMEOUT ? HTTP_CONNECTION_READ_TIMEOUT : HTTP_INTERNAL_ERROR;
    l->feed.ended = l->failed = true;
    outgoing_fail(&l->base, code, why ? why->text : "the link's target failed without saying why");
}

static void take_root(struct linked *l, struct span piece)
{
    struct http_response response;
    struct http_error error;
    bool is_error;
    struct err e = ERR_INIT;
    struct arena a;
    if (l->base.answered)
        return;
    buf_put(&l->root, piece.p, piece.n);
    arena_init(&a, ROOT_ARENA_BYTES);
    if (http_result_decode(buf_span(&l->root), &a, &response, &error, &is_error, &e)) {
        l->base.answered = true;
        l->feed.ended = is_error || response.trailers_ready;
        guest_fetch_result(l->base.guest, l->base.exchange, buf_span(&l->root));
    } else if (e.code != ERR_NONE) {
        fail_with(l, &e);
    }
    arena_fini(&a);
}

static void on_bytes(void *user, const struct wit_path *path, struct span piece)
{
    struct linked *l = user;
    if (path->n == 0)
        take_root(l, piece);
    else
        feed_bytes(&l->feed, path, piece);
}

static void on_end(void *user, const struct err *why)
{
    struct linked *l = user;
    if (!l->base.answered)
        fail_with(l, why);
}

/* ---- from the guest ---- */

/* The reader of the request caught up: the guest may go on. */
static void on_room(void *user)
{
    struct linked *l = user;
    size_t n = l->credit_owed;
    if (n == 0 || !l->body || wrpc_out_room(l->body) == 0)
        return;
    l->credit_owed = 0;
    guest_body_credit(l->base.guest, l->base.exchange, n);
}

static void send(struct outgoing *o, struct span data)
{
    struct linked *l = (struct linked *)o;
    struct err e = ERR_INIT;
    if (!l->body)
        return;
    if (!wrpc_out_chunk(l->body, data, &e) && !l->base.answered)
        fail_with(l, &e);
    l->credit_owed += data.n;
    on_room(l);
}

static void end_bodies(struct linked *l, struct span trailers)
{
    static const uint8_t none[1] = {0};
    struct err e = ERR_INIT;
    if (!l->body)
        return;
    wrpc_out_finish_stream(MOVE(l->body));
    struct wrpc_out *out = MOVE(l->trailers);
    if (wrpc_out_write(out, trailers.n ? trailers : (struct span){none, 1}, &e))
        wrpc_out_done(out);
    else
        wrpc_out_close(out);
}

static void send_end(struct outgoing *o, struct span trailers)
{
    end_bodies((struct linked *)o, trailers);
}

static void consumed(struct outgoing *o, size_t n)
{
    struct linked *l = (struct linked *)o;
    feed_consumed(&l->feed, n);
    wrpc_call_consumed(l->call, &feed_body_path, n);
}

static void close_way(struct outgoing *o)
{
    struct linked *l = (struct linked *)o;
    if (l->feed.ended && !l->failed)
        wrpc_call_free(l->call);
    else
        wrpc_call_abandon(l->call);
    feed_fini(&l->feed);
    buf_fini(&l->root);
    free(l);
}

static const struct outgoing_way way = {send, send_end, outgoing_unfinished, consumed, close_way};

/* ---- beginning ---- */

static void put_timeout(struct buf *out, uint64_t ns)
{
    buf_byte(out, 1);
    buf_leb_u64(out, ns ? ns : OPTION_DEFAULT_NS);
}

/* The request with the Host that its guest could not set, and its options. */
static bool encode_params(const struct guest_fetch *what, const struct http_request *request,
                          struct buf *out, struct err *e)
{
    struct http_field fields[HTTP_FIELDS_MAX + 1];
    struct http_request r = *request;
    if (r.nfields)
        memcpy(fields, r.fields, r.nfields * sizeof fields[0]);
    fields[r.nfields++] = (struct http_field){STR("host"), r.authority};
    r.fields = fields;
    if (!http_request_encode(&r, out, e))
        return false;
    buf_byte(out, 1); /* some options */
    put_timeout(out, what->connect_ns);
    put_timeout(out, what->first_byte_ns);
    put_timeout(out, what->between_bytes_ns);
    return buf_ok(out, e);
}

/* Until there is a response; what the guest did not limit the call's own limit does. */
static uint64_t deadline_ms(const struct outgoing_opts *opts, const struct guest_fetch *what)
{
    uint64_t ns;
    if (!what->connect_ns || !what->first_byte_ns ||
        !add_ok(what->connect_ns, what->first_byte_ns, &ns))
        return opts->route->deadline_ms;
    return MIN(opts->route->deadline_ms ? opts->route->deadline_ms : UINT64_MAX,
               ns / NS_PER_MS + 1);
}

static bool invoke(struct linked *l, const struct outgoing_opts *opts,
                   const struct guest_fetch *what, const struct http_request *request,
                   struct str target, struct err *e)
{
    const struct bridge_route *route = opts->route;
    const struct bus_header headers[] = {{STR("source-id"), route->source_id},
                                         {STR("link-name"), what->link_name}};
    AUTO(buf_fini) struct buf params = BUF_INIT;
    AUTO(buf_fini) struct buf prefix = BUF_INIT;
    struct wit_pendings paths = {0};
    buf_printf(&prefix, "%.*s.%.*s", STR_ARG(route->lattice), STR_ARG(target));
    struct wrpc_target t = {.prefix = buf_view(&prefix),
                            .instance = WIRE,
                            .func = STR("handle"),
                            .headers = headers,
                            .nheaders = ARRAY_LEN(headers),
                            .paced = true,
                            .bare = !what->has_body};
    return encode_params(what, request, &params, e) &&
           wit_paths(&http_types_get()->handle_result, 1, &paths, e) &&
           wrpc_invoke(route->rpc, &t, buf_span(&params), &paths, deadline_ms(opts, what), on_bytes,
                       on_end, l, &l->call, e) &&
           wrpc_call_param(l->call, &feed_body_path, &l->body, e) &&
           wrpc_call_param(l->call, &feed_trailers_path, &l->trailers, e);
}

struct outgoing *outgoing_link(const struct outgoing_opts *opts, const struct guest_fetch *what,
                               const struct http_request *request, struct str target,
                               enum http_error_code *why, struct err *e)
{
    struct linked *l = xnew(struct linked);
    l->base = (struct outgoing){.way = &way, .guest = opts->guest, .exchange = opts->exchange};
    feed_init(&l->feed, opts->stashes);
    feed_start(&l->feed, opts->guest, opts->exchange);
    if (!invoke(l, opts, what, request, target, e)) {
        *why = HTTP_INTERNAL_ERROR;
        close_way(&l->base);
        return NULL;
    }
    if (what->has_body) {
        wrpc_out_on_room(l->body, on_room, l);
        guest_body_credit(opts->guest, opts->exchange, BODY_CREDIT_BYTES);
    } else {
        end_bodies(l, (struct span){0});
    }
    return &l->base;
}
