/* SPDX-License-Identifier: Apache-2.0 */
/* Private to providers/sdk. */
#ifndef HOSTD_SDK_INT_H
#define HOSTD_SDK_INT_H

#include "providers/sdk/sdk.h"

/* ---- sdk.c ---- */

/* What was sent before sdk_stop, and has not reached the provider: it is not told to stop before the last unhold. */
void sdk_hold(struct sdk *sdk);
void sdk_unhold(struct sdk *sdk);

/* ---- host_data.c ---- */

#define HOST_DATA_BYTES_MAX (16u << 20)

/* Reads descriptor fd to the first line end or the end, and undoes base64. */
bool host_data_read(int fd, struct buf *json, struct err *e);
bool host_data_line(struct str line, struct buf *json,
                    struct err *e); /* base64, blanks around it */

/* ---- links.c ---- The links we hold, as the provider was told of them. */

struct links;

struct links *links_new(const struct sdk_provider *provider, void *self, struct str id);
void links_free(struct links *links); /* tells the provider of every removal */
/* A link that is there with the same content is left alone, with other content replaced. */
bool links_put(struct links *links, const struct proto_link_def *def, struct err *e);
void links_del(struct links *links, const struct proto_link_def *def);

#endif
