/* SPDX-License-Identifier: Apache-2.0 */
/* Private to wrpc/: what the two sides of a call share. A call (client) and an invocation (server) each begin with
 * a `struct wrpc_end`: an inbox in the table of channel.c where messages come in, and the peer's inbox, to whose
 * channels frame.c writes. */
#ifndef HOSTD_WRPC_INT_H
#define HOSTD_WRPC_INT_H

#include "wrpc/wrpc.h"

/* ---- channel.c: inboxes and the table that finds them ---- */

#define WRPC_SLOT_BITS 24
#define WRPC_TOKEN_LEN (WRPC_SLOT_BITS / 4 + 16) /* slot and id in hexadecimal: as long as a NUID */
#define WRPC_INBOX_LEN (7 + 22 + 1 + WRPC_TOKEN_LEN) /* "_INBOX." nuid "." token */

#define WRPC_PACED_CHANNELS 4 /* the first paths; others are not paced */
#define WRPC_CREDIT_HEADER "hostd-credit"

enum wrpc_pacing { WRPC_UNPACED, WRPC_PACING_UNKNOWN /* offered */, WRPC_PACED };

/* What the header of an invocation says, each with all before it; the payload of the handshake, which other peers leave
 * empty, says what of it was understood. A text of a later version counts as WRPC_CREDIT. */
enum wrpc_offer {
    WRPC_NO_OFFER,
    WRPC_CREDIT, /* "1": streams are paced */
    WRPC_WHOLE,  /* "2": the root is complete in the invocation, its end does not follow */
    WRPC_BARE,   /* "3": every sub-channel holds just one zero byte, which does not follow */
};

struct wrpc_end {
    struct wrpc *w; /* NULL after wrpc_close */
    struct wrpc_end *prev, *next;
    const struct wrpc_end_ops *ops;
    uint32_t slot;
    uint64_t id; /* unguessable, so that only the peer we told can write here */
    char inbox[WRPC_INBOX_LEN + 1];
    struct str peer;              /* the other side's inbox; empty until it is known */
    const struct wit_path *paths; /* sub-channels that we listen on */
    uint32_t npaths;
    uint64_t ended; /* bit 0: the root; bit 1 + i: paths[i] */
    struct wrpc_out *outs;
    wrpc_bytes_fn *on_bytes; /* NULL: nobody reads yet */
    void *user;
    bool *freed; /* set when the end is freed while one of our functions is at work on it */
    enum wrpc_pacing pacing;
    bool heard;                             /* from the peer, since somebody last looked */
    uint32_t consumed[WRPC_PACED_CHANNELS]; /* of paths[i], and not yet told the peer */
    /* the root's bytes: in how many pieces, how many were passed on, and those that wait for more */
    uint32_t root_pieces;
    size_t root_passed;
    struct buf root_held;
};

struct wrpc_end_ops {
    const char *in, *out; /* "results" and "params", or the other way round */
    /* A message on the inbox itself: the handshake, or what the server says instead. */
    void (*on_inbox)(struct wrpc_end *end, const struct bus_msg *m);
    /* A message on a channel that has not ended. */
    void (*on_channel)(struct wrpc_end *end, uint32_t channel, struct span piece);
    /* The peer, one of ours, wants no more of this call. NULL: does not matter. */
    void (*on_gone)(struct wrpc_end *end);
    /* wrpc_close: w is gone already. */
    void (*on_closed)(struct wrpc_end *end);
};

struct wrpc {
    struct bus *bus;
    struct wrpc_limits limits;
    char inbox[7 + 22 + 1 + 1]; /* "_INBOX." nuid "." */
    struct bus_sub *sub;
    struct wrpc_end *ends;
    struct wrpc_end **slots;
    uint32_t nslots, nends, next_slot;
    struct wrpc_serve *serves;
    struct buf scratch; /* of whoever is about to publish */
};

/* Fills end (zeroed) and enters it. ERR_LIMIT past calls_max. */
bool wrpc_end_init(struct wrpc_end *end, struct wrpc *w, const struct wrpc_end_ops *ops,
                   struct err *e);
/* No message comes in after this. Nothing if it was done before, or w was closed. */
void wrpc_end_leave(struct wrpc_end *end);
/* Leaves, and frees what the end owns by itself. */
void wrpc_end_fini(struct wrpc_end *end);

/* Passes a piece, or the end of a channel, to the reader, who may free the end. False: he did. */
bool wrpc_pass(struct wrpc_end *end, uint32_t channel, struct span piece);
/* The same for bytes of the root, which may be held back for a while; an empty piece passes what was held, and not
 * itself. */
bool wrpc_pass_root(struct wrpc_end *end, struct span piece);

/* Copies the paths, into memory of npaths elements. */
void wrpc_paths_copy(struct wit_path *to, const struct wit_pendings *from);

/* ---- serve.c ---- */

/* No new invocations; it stays its owner's to close. */
void wrpc_serve_detach(struct wrpc_serve *s);

/* ---- frame.c: channels we write to ---- */

/* Publishes bytes to a channel of the peer, cut at max payload. Empty bytes publish nothing. */
bool wrpc_send(struct wrpc_end *end, const struct wit_path *path, struct span bytes, struct err *e);
/* The same to the root, and its end: in the last message where the peer is known to understand that. */
bool wrpc_send_root(struct wrpc_end *end, struct span bytes, struct err *e);
/* The empty message that ends a channel. */
bool wrpc_send_end(struct wrpc_end *end, const struct wit_path *path, struct err *e);

bool wrpc_out_open(struct wrpc_end *end, const struct wit_path *path, struct wrpc_out **out,
                   struct err *e);
/* The peer became known: sends what was queued. */
bool wrpc_outs_flush(struct wrpc_end *end, struct err *e);
/* The peer knows what was queued: frees the writers whose owner is done with them. */
void wrpc_outs_drop(struct wrpc_end *end);
/* Ends what is still open and frees all. */
void wrpc_outs_free(struct wrpc_end *end);
/* The peer's reader took n bytes of this channel. The writer's owner is told and may free end. */
void wrpc_outs_credit(struct wrpc_end *end, const struct wit_path *path, uint64_t n);
/* The pacing became known, or the socket takes more. Writers' owners are told and may free end. */
void wrpc_outs_room(struct wrpc_end *end);
/* Tells a peer of ours at this inbox that nobody reads what it sends. */
void wrpc_say_gone(struct wrpc *w, struct str peer);
/* Our reader took n bytes. */
void wrpc_consumed(struct wrpc_end *end, const struct wit_path *path, size_t n);
enum wrpc_offer wrpc_offer_of(struct str text);
struct str wrpc_offer_text(enum wrpc_offer offer);

#endif
