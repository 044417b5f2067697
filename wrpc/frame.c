/* SPDX-License-Identifier: Apache-2.0 */
/* Channels as bytes: writers, which cut what they are given into messages, and the reader of a stream<u8>'s chunks.
 * Keeps: no message on a channel is empty but its last; a writer that is closed or freed always ends its channel,
 * because the reader at the other side may wait for nothing else. Only a process of ours is known not to wait for the
 * end of a channel whose content is complete, and is spared that message. */
#include "wrpc/wrpc_int.h"

#include <assert.h>
#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

struct wrpc_out {
    struct wrpc_end *end;
    struct wrpc_out *prev, *next;
    struct wit_path path;
    struct buf queued;  /* until the peer is known */
    bool closed;        /* while queued: its owner is done with it */
    bool complete;      /* what was written says by itself that it is over */
    uint64_t in_flight; /* bytes of data that the peer's reader has not consumed */
    void (*on_room)(void *user);
    void *user;
};

/* ---- subjects and messages ---- */

/* "{inbox}.params.0.1" */
struct subject {
    char text[BUS_SUBJECT_MAX + 16 + 11 * WIT_PATH_MAX];
    size_t n;
};

static void subject_add(struct subject *s, const void *p, size_t n)
{
    memcpy(s->text + s->n, p, n);
    s->n += n;
}

static void subject_add_index(struct subject *s, uint32_t v)
{
    char digits[10], *p = digits + sizeof digits;
    do
        *--p = (char)('0' + v % 10);
    while (v /= 10);
    s->text[s->n++] = '.';
    subject_add(s, p, (size_t)(digits + sizeof digits - p));
}

static struct str named_subject(const struct wrpc_end *end, const char *name,
                                const struct wit_path *path, struct subject *s)
{
    assert(end->peer.n <= BUS_SUBJECT_MAX);
    s->n = 0;
    subject_add(s, end->peer.p, end->peer.n);
    s->text[s->n++] = '.';
    subject_add(s, name, strlen(name));
    for (uint32_t i = 0; i < path->n; i++)
        subject_add_index(s, path->i[i]);
    return (struct str){s->text, s->n};
}

static struct str subject_of(const struct wrpc_end *end, const struct wit_path *path,
                             struct subject *s)
{
    return named_subject(end, end->ops->out, path, s);
}

static bool publish(struct wrpc_end *end, struct str subject, struct span bytes, struct err *e)
{
    return bus_publish(end->w->bus, subject, STR_NONE, NULL, 0, bytes, e);
}

/* Everything but the last message. */
static bool publish_most(struct wrpc_end *end, struct str subject, struct span *bytes,
                         struct err *e)
{
    size_t max = bus_max_payload(end->w->bus);
    while (bytes->n > max) {
        if (!publish(end, subject, (struct span){bytes->p, max}, e))
            return false;
        *bytes = (struct span){bytes->p + max, bytes->n - max};
    }
    return true;
}

static bool publish_pieces(struct wrpc_end *end, struct str subject, struct span bytes,
                           struct err *e)
{
    return publish_most(end, subject, &bytes, e) &&
           (bytes.n == 0 || publish(end, subject, bytes, e));
}

bool wrpc_send(struct wrpc_end *end, const struct wit_path *path, struct span bytes, struct err *e)
{
    struct subject s;
    return publish_pieces(end, subject_of(end, path, &s), bytes, e);
}

/* A message of a channel with a reply subject is the last one, between our own. */
bool wrpc_send_root(struct wrpc_end *end, struct span bytes, struct err *e)
{
    static const struct wit_path root = {.n = 0};
    struct subject s;
    struct str subject = subject_of(end, &root, &s);
    if (bytes.n == 0 || end->pacing != WRPC_PACED)
        return publish_pieces(end, subject, bytes, e) &&
               publish(end, subject, (struct span){NULL, 0}, e);
    return publish_most(end, subject, &bytes, e) &&
           bus_publish(end->w->bus, subject, str_of(end->inbox), NULL, 0, bytes, e);
}

bool wrpc_send_end(struct wrpc_end *end, const struct wit_path *path, struct err *e)
{
    struct subject s;
    return publish(end, subject_of(end, path, &s), (struct span){NULL, 0}, e);
}

/* ---- writers ---- */

static bool is_open(const struct wrpc_end *end, struct err *e)
{
    return end->w || err_set(e, ERR_CLOSED, "wRPC was closed");
}

bool wrpc_out_open(struct wrpc_end *end, const struct wit_path *path, struct wrpc_out **out,
                   struct err *e)
{
    if (!is_open(end, e))
        return false;
    struct wrpc_out *o = xnew(struct wrpc_out);
    o->end = end;
    o->path = *path;
    o->queued.max = end->w->limits.channel_bytes_max;
    DL_APPEND(end->outs, o);
    *out = o;
    return true;
}

static void out_free(struct wrpc_out *o)
{
    DL_DELETE(o->end->outs, o);
    buf_fini(&o->queued);
    free(o);
}

bool wrpc_out_write(struct wrpc_out *o, struct span bytes, struct err *e)
{
    if (!is_open(o->end, e))
        return false;
    if (o->end->peer.n)
        return wrpc_send(o->end, &o->path, bytes, e);
    buf_put(&o->queued, bytes.p, bytes.n);
    return buf_ok(&o->queued, e) || err_wrap(e, "before the peer answered");
}

/* The length and what fits with it go out as one message, which is the whole chunk nearly always; after the last one
 * comes the zero chunk. */
static bool send_chunk(struct wrpc_out *o, struct span bytes, bool last, struct err *e)
{
    static const uint8_t zero[1] = {0};
    struct subject s;
    struct wrpc *w = o->end->w;
    size_t max = bus_max_payload(w->bus);
    struct str subject = subject_of(o->end, &o->path, &s);
    buf_clear(&w->scratch);
    buf_leb_u64(&w->scratch, bytes.n);
    size_t n = MIN(bytes.n, max - MIN(max, w->scratch.n));
    buf_put(&w->scratch, bytes.p, n);
    bool joined = last && n == bytes.n && w->scratch.n < max;
    if (joined)
        buf_byte(&w->scratch, 0);
    return publish_pieces(o->end, subject, buf_span(&w->scratch), e) &&
           publish_pieces(o->end, subject, (struct span){bytes.p + n, bytes.n - n}, e) &&
           (!last || joined || publish(o->end, subject, (struct span){zero, 1}, e));
}

bool wrpc_out_chunk(struct wrpc_out *o, struct span bytes, struct err *e)
{
    if (bytes.n == 0)
        return true; /* an empty chunk would end the stream */
    if (bytes.n > UINT32_MAX)
        return err_set(e, ERR_LIMIT, "chunk of %zu bytes", bytes.n);
    if (!is_open(o->end, e))
        return false;
    o->in_flight += bytes.n;
    if (o->end->peer.n)
        return send_chunk(o, bytes, false, e);
    buf_leb_u64(&o->queued, bytes.n);
    return wrpc_out_write(o, bytes, e);
}

bool wrpc_out_last_chunk(struct wrpc_out *o, struct span bytes, struct err *e)
{
    bool ok = true;
    if (bytes.n && bytes.n <= UINT32_MAX && o->end->w && o->end->peer.n) {
        ok = send_chunk(o, bytes, true, e);
        wrpc_out_done(o);
    } else {
        ok = wrpc_out_chunk(o, bytes, e);
        wrpc_out_finish_stream(o);
    }
    return ok;
}

/* ---- pacing ---- */

static const struct str offers[] = {STR_INIT(""), STR_INIT("1"), STR_INIT("2"), STR_INIT("3")};

enum wrpc_offer wrpc_offer_of(struct str text)
{
    size_t k = WRPC_BARE;
    if (text.n == 0)
        return WRPC_NO_OFFER;
    while (k > WRPC_CREDIT && !str_eq(text, offers[k]))
        k--;
    return (enum wrpc_offer)k;
}

struct str wrpc_offer_text(enum wrpc_offer offer)
{
    return offers[offer];
}

void wrpc_say_gone(struct wrpc *w, struct str peer)
{
    struct err ignored = ERR_INIT;
    buf_clear(&w->scratch);
    buf_str(&w->scratch, peer);
    buf_str(&w->scratch, STR(".gone"));
    bus_publish(w->bus, buf_view(&w->scratch), STR_NONE, NULL, 0, (struct span){NULL, 0}, &ignored);
}

uint64_t wrpc_out_room(const struct wrpc_out *o)
{
    const struct wrpc *w = o->end->w;
    if (o->end->pacing == WRPC_UNPACED)
        return w && bus_unsent(w->bus) > WRPC_WINDOW_BYTES ? 0 : UINT64_MAX;
    return o->in_flight < WRPC_WINDOW_BYTES ? WRPC_WINDOW_BYTES - o->in_flight : 0;
}

void wrpc_out_on_room(struct wrpc_out *o, void (*on_room)(void *user), void *user)
{
    o->on_room = on_room;
    o->user = user;
}

void wrpc_outs_credit(struct wrpc_end *end, const struct wit_path *path, uint64_t n)
{
    struct wrpc_out *o = end->outs;
    while (o && !wit_path_eq(&o->path, path))
        o = o->next;
    if (!o)
        return; /* finished meanwhile */
    o->in_flight -= MIN(n, o->in_flight);
    if (o->on_room && !o->closed)
        o->on_room(o->user);
}

/* Only a client waits for its pacing to become known, and no call has more than one paced writer that waits. */
void wrpc_outs_room(struct wrpc_end *end)
{
    for (struct wrpc_out *o = end->outs; o; o = o->next) {
        if (o->on_room && !o->closed) {
            o->on_room(o->user);
            return;
        }
    }
}

void wrpc_consumed(struct wrpc_end *end, const struct wit_path *path, size_t n)
{
    uint32_t k = 0;
    struct subject s;
    struct err ignored = ERR_INIT; /* the connection is down: the call will fail by itself */
    if (!end->w || end->pacing != WRPC_PACED || !end->peer.n)
        return;
    while (k < end->npaths && !wit_path_eq(&end->paths[k], path))
        k++;
    if (k >= MIN(end->npaths, (uint32_t)WRPC_PACED_CHANNELS) || (end->ended & (UINT64_C(2) << k)))
        return;
    end->consumed[k] += (uint32_t)n;
    if (end->consumed[k] < WRPC_WINDOW_BYTES / 4)
        return;
    struct buf *count = &end->w->scratch;
    buf_clear(count);
    buf_leb_u64(count, end->consumed[k]);
    end->consumed[k] = 0;
    publish(end, named_subject(end, "credit", path, &s), buf_span(count), &ignored);
}

void wrpc_out_close(struct wrpc_out *o)
{
    struct err ignored = ERR_INIT; /* nobody is left to tell */
    if (!o)
        return;
    if (o->end->w && !o->end->peer.n) {
        o->closed = true;
        return;
    }
    if (o->end->w && !(o->complete && o->end->pacing == WRPC_PACED))
        wrpc_send_end(o->end, &o->path, &ignored);
    out_free(o);
}

void wrpc_out_done(struct wrpc_out *o)
{
    if (o)
        o->complete = true;
    wrpc_out_close(o);
}

void wrpc_out_finish_stream(struct wrpc_out *o)
{
    static const uint8_t end[1] = {0};
    struct err ignored = ERR_INIT; /* the reader will see the end without it, as cut short */
    if (o)
        wrpc_out_write(o, (struct span){end, 1}, &ignored);
    wrpc_out_done(o);
}

bool wrpc_outs_flush(struct wrpc_end *end, struct err *e)
{
    for (struct wrpc_out *o = end->outs, *next; o; o = next) {
        next = o->next;
        if (!wrpc_send(end, &o->path, buf_span(&o->queued), e))
            return false;
        buf_fini(&o->queued);
        if (o->closed)
            wrpc_out_close(o);
    }
    return true;
}

void wrpc_outs_drop(struct wrpc_end *end)
{
    for (struct wrpc_out *o = end->outs, *next; o; o = next) {
        next = o->next;
        if (o->closed)
            out_free(o);
    }
}

void wrpc_outs_free(struct wrpc_end *end)
{
    while (end->outs) {
        struct wrpc_out *o = end->outs;
        if (end->peer.n)
            wrpc_out_close(o);
        else
            out_free(o);
    }
}

/* ---- reading a stream<u8> ---- */

/* One more byte of a chunk's length. */
static bool feed_length(struct wrpc_stream_reader *r, uint8_t byte, struct err *e)
{
    r->header[r->header_n++] = byte;
    if (byte & 0x80)
        return r->header_n < sizeof r->header ||
               err_set(e, ERR_INVALID, "length of a stream's chunk is too long");
    if (r->header_n == sizeof r->header && byte > 0x0f)
        return err_set(e, ERR_INVALID, "length of a stream's chunk is too large");
    for (uint32_t i = 0; i < r->header_n; i++)
        r->chunk_left |= (uint64_t)(r->header[i] & 0x7f) << (7 * i);
    r->header_n = 0;
    r->ended = r->chunk_left == 0;
    return true;
}

bool wrpc_stream_feed(struct wrpc_stream_reader *r, struct span piece,
                      void (*fn)(void *user, struct span data), void *user, struct err *e)
{
    while (piece.n && !r->ended) {
        size_t n = 1;
        if (r->chunk_left) {
            n = (size_t)MIN(r->chunk_left, (uint64_t)piece.n);
            r->chunk_left -= n;
            fn(user, (struct span){piece.p, n});
        } else if (!feed_length(r, *piece.p, e)) {
            return false;
        }
        piece = (struct span){piece.p + n, piece.n - n};
    }
    return true;
}
