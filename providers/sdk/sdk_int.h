/* SPDX-License-Identifier: Apache-2.0 */
/* Private to providers/sdk. */
#ifndef HOSTD_SDK_INT_H
#define HOSTD_SDK_INT_H

#include "lattice/id/id.h"
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

/* ---- secrets.c ---- */

struct sdk_keys {
    bool given, host_given; /* hosts before 1.1 give none */
    struct id_key own;
    uint8_t host[ID_RAW_BYTES]; /* public */
};
bool keys_read(const struct proto_host_data *h, struct sdk_keys *out, struct err *e);
void keys_fini(struct sdk_keys *k);
/* box.p NULL: there are none. Into an arena to be wiped. */
bool keys_open(const struct sdk_keys *k, struct span box, struct arena *a,
               struct proto_secrets *out, struct err *e);
/* The configuration with every secret that is text as a setting of its name, which wins over one that was there.
 * Views of both. */
bool secrets_overlay(const struct proto_map *config, const struct proto_secrets *secrets,
                     struct arena *a, struct proto_map *out, struct err *e);

/* ---- links.c ---- The links we hold, as the provider was told of them. */

struct links;

/* keys outlive them */
struct links *links_new(const struct sdk_provider *provider, void *self, struct str id,
                        const struct sdk_keys *keys);
void links_free(struct links *links); /* tells the provider of every removal */
/* A link that is there with the same content is left alone, with other content replaced. */
bool links_put(struct links *links, const struct proto_link_def *def, struct err *e);
void links_del(struct links *links, const struct proto_link_def *def);

#endif
