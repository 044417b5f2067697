/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP body and its trailers on their way from the channels of a wRPC call to a guest. Loop thread only. Private to
 * the daemon. Spec: wRPC 4.1. */
#ifndef HOSTD_FEED_H
#define HOSTD_FEED_H

#include "hostd/inflow.h"

#define FEED_TRAILERS_BYTES_MAX (64u << 10)

struct feed {
    bool ended; /* nothing more is taken: the body is whole, or broken */
    /* its own */
    struct inflow in;
    struct wrpc_stream_reader reader;
    struct buf trailers;
    bool trailers_ended, broken;
};

/* Of a message's body and trailers: same places in requests and responses. */
extern const struct wit_path feed_body_path, feed_trailers_path;

void feed_init(struct feed *f, struct stashes *stashes);
void feed_fini(struct feed *f);
/* What came before, and comes later, is for this one. */
void feed_start(struct feed *f, struct guest *guest, uint32_t exchange);
/* The guest read n bytes of it. */
void feed_consumed(struct feed *f, size_t n);
/* A piece of the channel at path; empty: that channel ended. */
void feed_bytes(struct feed *f, const struct wit_path *path, struct span piece);

#endif
