/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as text, six bits a character (RFC 4648, sections 4 and 5). Any thread. */
#ifndef HOSTD_BASE_BASE64_H
#define HOSTD_BASE_BASE64_H

#include "lattice/base/buf.h"

/* The last two characters are "+/", and "=" pads to a multiple of four; or "-_" without padding. */
enum base64 { BASE64_STANDARD, BASE64_URL };

void base64_encode(enum base64 kind, struct span in, struct buf *out);
/* Writes at most in.n bytes, to where `in` is if wanted; returns how many, or SIZE_MAX when it is none. The standard's
 * padding may be missing. */
size_t base64_decode(enum base64 kind, struct str in, void *out);

#endif
