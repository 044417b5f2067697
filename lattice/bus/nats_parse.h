/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the NATS build of the bus: what a server sends, taken apart. Bytes come in any portions; an operation
 * that lies in one of them whole is not copied. Nothing of it is trusted: lines and payloads have bounds, and memory
 * grows with what has come, not with what was announced.
 * Spec: NATS client protocol (INFO, MSG, HMSG, PING, PONG, +OK, -ERR). */
#ifndef HOSTD_BUS_NATS_PARSE_H
#define HOSTD_BUS_NATS_PARSE_H

#include "lattice/base/buf.h"
#include "lattice/bus/bus.h"

#define NATS_LINE_MAX (64u * 1024)           /* INFO of a large cluster is the longest */
#define NATS_PAYLOAD_MAX (64u * 1024 * 1024) /* the most that a server can be set to */

enum nats_op { NATS_INFO, NATS_MSG, NATS_PING, NATS_PONG, NATS_OK, NATS_ERR };

/* Views are valid until the next operation is asked for. */
struct nats_frame {
    enum nats_op op;
    uint64_t sid;       /* NATS_MSG: of the subscription */
    struct bus_msg msg; /* NATS_MSG */
    struct str text;    /* NATS_INFO: JSON; NATS_ERR: what the server says, without quotes */
};

/* Zero-initialise; release with nats_parser_fini. */
struct nats_parser {
    struct buf rest; /* an operation of which only a part has come, or that was given out last */
    size_t need;     /* its size; 0: not known before its line is complete */
    bool given;      /* rest was given out */
    struct bus_header headers[BUS_HEADERS_MAX];
};

enum nats_parse { NATS_FRAME, NATS_MORE, NATS_BROKEN };
/* Takes the next operation, or what there is of it, off *in. NATS_BROKEN: e says why, and nothing can follow. */
enum nats_parse nats_parse(struct nats_parser *p, struct span *in, struct nats_frame *out,
                           struct err *e);
void nats_parser_fini(struct nats_parser *p);

#endif
