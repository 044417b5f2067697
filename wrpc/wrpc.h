/* SPDX-License-Identifier: Apache-2.0 */
/* wRPC 0.0.1 over the bus: invoke and serve. Loop thread only; every callback is on the loop thread and may free
 * the object it is called for. No text or code travels for failures: an early end of the results is all that a
 * peer can say (ERR_PEER).
 *
 * client: wrpc_invoke(...) -> call; on_bytes for root and sub-channels, on_end once; wrpc_call_free at any time
 * server: wrpc_serve_open per function; fn(user, inv) owns inv; wrpc_inv_free without a result says "failed"
 *
 * Back-pressure: NATS has none. Between two of our own processes the reader of a stream tells what it consumed and the
 * writer keeps at most WRPC_WINDOW_BYTES under way (wrpc_out_room); this is offered in a header of the invocation and
 * accepted in the payload of the handshake, so other peers never notice; towards those a writer waits for the socket
 * only.
 * The same header spares our own processes the messages that say nothing (docs/decisions/0007-fewer-messages.md).
 * Channels are handed to their reader as they come; what nobody reads yet (an invocation before wrpc_inv_read) waits up
 * to channel_bytes_max and then looks cut short, so that only that call fails.
 * Spec: protocol of wRPC's NATS transport 0.29, sections named in call.c. */
#ifndef HOSTD_WRPC_H
#define HOSTD_WRPC_H

#include "lattice/bus/bus.h"
#include "wrpc/wit.h"

struct wrpc;       /* one bus connection, one inbox base, one channel table */
struct wrpc_call;  /* client side of one invocation */
struct wrpc_serve; /* one served function */
struct wrpc_inv;   /* server side of one invocation */
struct wrpc_out;   /* writer of one sub-channel */

struct wrpc_limits {          /* 0: the default */
    size_t root_bytes_max;    /* parameters or results of one call: 8 MiB */
    size_t channel_bytes_max; /* waiting in one sub-channel nobody reads: 4 MiB */
    uint32_t calls_max;       /* open calls and invocations: 20,000 */
};

bool wrpc_open(struct bus *bus, const struct wrpc_limits *limits, struct wrpc **out, struct err *e);
void wrpc_close(struct wrpc *w); /* fails every open call with ERR_CLOSED */

/* "{prefix}.wrpc.0.0.1.{instance}.{function}"; instance may be empty. */
bool wrpc_subject(struct str prefix, struct str instance, struct str func, struct buf *out,
                  struct err *e);
/* "{prefix}.wrpc.>": all functions that a member serves, in whatever version. */
bool wrpc_subject_all(struct str prefix, struct buf *out, struct err *e);
struct str wrpc_func_name(struct str component_name); /* without [method] and friends; a view */

/* piece.n == 0: that channel ended (a future's or stream's own end is the reader's affair: see below). Pieces come as
 * the peer sent them, except that very many of the root are gathered into fewer. */
typedef void wrpc_bytes_fn(void *user, const struct wit_path *p, struct span piece);
/* Once. why == NULL: root results ended. ERR_NO_RESPONDERS, ERR_TIMEOUT, ERR_PROTOCOL, ERR_LIMIT, ERR_CLOSED.
 * Sub-channels go on after it until the call is freed. */
typedef void wrpc_end_fn(void *user, const struct err *why);

struct wrpc_target {
    struct str prefix, instance, func; /* prefix: "{lattice}.{id}" */
    const struct bus_header *headers;  /* source-id, link-name, traceparent */
    size_t nheaders;
    bool paced; /* offer credit: see wrpc_out_room */
    /* Each async parameter is just one zero byte: an empty stream, a future of none. They are written as always, and
     * only sent to a peer that does not know it by this. Needs paced. */
    bool bare;
};
/* params: the encoded root tuple, copied or published before return. result_paths: wit_paths of the results.
 * deadline_ms is a duration over the whole call until the root results ended; 0: none. */
bool wrpc_invoke(struct wrpc *w, const struct wrpc_target *t, struct span params,
                 const struct wit_pendings *result_paths, uint64_t deadline_ms,
                 wrpc_bytes_fn *on_bytes, wrpc_end_fn *on_end, void *user, struct wrpc_call **out,
                 struct err *e);
/* Writer for an async parameter; may be written to at once, what comes before the handshake is queued. */
bool wrpc_call_param(struct wrpc_call *c, const struct wit_path *p, struct wrpc_out **out,
                     struct err *e);
/* Tells that a peer took the call: from here on it does not end with ERR_NO_RESPONDERS. Must not free the call. */
void wrpc_call_on_taken(struct wrpc_call *c, void (*on_taken)(void *user));
void wrpc_call_free(
    struct wrpc_call *c); /* nothing comes any more; frees its writers; NULL is fine */
/* The same, but when the results are not complete a peer of ours is told to stop. */
void wrpc_call_abandon(struct wrpc_call *c);

/* inv is the callee's to free. */
typedef void wrpc_inv_fn(void *user, struct wrpc_inv *inv);
bool wrpc_serve_open(struct wrpc *w, struct str prefix, struct str group, struct str instance,
                     struct str func, const struct wit_pendings *param_paths, wrpc_inv_fn *fn,
                     void *user, struct wrpc_serve **out, struct err *e);
/* No new invocations from now on but those that the server had sent already: they begin, then done is called, once and
 * never inside this call. Close then; closing before forgets them, and done is not called. */
void wrpc_serve_drain(struct wrpc_serve *s, void (*done)(void *user), void *user);
void wrpc_serve_close(struct wrpc_serve *s); /* no new invocations; open ones go on */
struct str wrpc_inv_header(const struct wrpc_inv *i,
                           struct str name); /* empty view if absent; lives as long as i */
/* The caller is a process of ours: it takes results in any form that http.h reads. */
bool wrpc_inv_ours(const struct wrpc_inv *i);
/* gone is called, at most once, when a caller of ours gave the call up, at once, or when its process died, within
 * 15 s. It may free i. Whoever took all of an answer may forget the call, too, and look gone when i is kept longer.
 * Other peers have no word for that. */
void wrpc_inv_on_gone(struct wrpc_inv *i, void (*gone)(void *user), void *user);
/* Starts delivery: what has come so far at once, then the rest. */
void wrpc_inv_read(struct wrpc_inv *i, wrpc_bytes_fn *on_bytes, void *user);
/* Root tuple and its end. Once. */
bool wrpc_inv_result(struct wrpc_inv *i, struct span results, struct err *e);
bool wrpc_inv_result_out(struct wrpc_inv *i, const struct wit_path *p, struct wrpc_out **out,
                         struct err *e);
/* Frees the invocation and its writers; without a result sends the empty message that means failure. */
void wrpc_inv_free(struct wrpc_inv *i);

/* Raw bytes of the channel, cut at max payload. Never empty pieces. */
bool wrpc_out_write(struct wrpc_out *o, struct span bytes, struct err *e);
/* One chunk of a stream<u8>: length and bytes; n == 0 is skipped. */
bool wrpc_out_chunk(struct wrpc_out *o, struct span bytes, struct err *e);
/* The last chunk and the stream's proper end, in one message where it fits; the writer is gone. */
bool wrpc_out_last_chunk(struct wrpc_out *o, struct span bytes, struct err *e);

/* Pacing of a stream<u8>: how many bytes of data may be written now. Where the peer does not pace, UINT64_MAX, or 0
 * while very much waits for the socket. Writing more is not refused; it is just too much. on_room is called when room
 * appeared, and may free the call. */
#define WRPC_WINDOW_BYTES (1u << 20)
uint64_t wrpc_out_room(const struct wrpc_out *o);
void wrpc_out_on_room(struct wrpc_out *o, void (*on_room)(void *user), void *user);
/* The reader's half: n bytes of data of this channel were dealt with. */
void wrpc_call_consumed(struct wrpc_call *c, const struct wit_path *p, size_t n);
void wrpc_inv_consumed(struct wrpc_inv *i, const struct wit_path *p, size_t n);

/* A stream<u8>'s proper end: the zero chunk, then the end of the channel. */
void wrpc_out_finish_stream(struct wrpc_out *o);
/* A future's value was written: the channel is complete, and ends where the peer waits for that. The writer is gone. */
void wrpc_out_done(struct wrpc_out *o);
void wrpc_out_close(struct wrpc_out *o); /* end of the channel, once; the writer is gone */

/* Reader side of a stream<u8> channel: feed pieces, get chunk bytes. Zero-initialise. */
struct wrpc_stream_reader {
    uint64_t chunk_left;
    uint8_t header[5];
    uint8_t header_n;
    bool ended; /* the zero chunk came; a channel that ends without it was cut short */
};
/* Calls fn for every run of data bytes in the piece. False: malformed. Bytes behind the end are ignored. */
bool wrpc_stream_feed(struct wrpc_stream_reader *r, struct span piece,
                      void (*fn)(void *user, struct span data), void *user, struct err *e);

#endif
