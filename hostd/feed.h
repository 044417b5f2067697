/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP body and its trailers on their way from the channels of a wRPC call to a guest. Loop thread only. Private to
 * the daemon. Spec: wRPC 4.1. */
#ifndef HOSTD_FEED_H
#define HOSTD_FEED_H

#include "hostd/guest.h"
#include "wrpc/wrpc.h"

#define FEED_TRAILERS_BYTES_MAX (64u << 10)

struct feed {
    struct guest *guest;
    uint32_t exchange;
    bool ended; /* the guest was told of the body's end, or of its failure */
    /* its own */
    struct wrpc_stream_reader reader;
    struct buf trailers;
    bool trailers_ended;
};

/* Of a message's body and trailers: same places in requests and responses. */
extern const struct wit_path feed_body_path, feed_trailers_path;

/* Guest and exchange may be filled in until bytes come. */
void feed_init(struct feed *f);
void feed_fini(struct feed *f);
/* A piece of the channel at path; empty: that channel ended. */
void feed_bytes(struct feed *f, const struct wit_path *path, struct span piece);

#endif
