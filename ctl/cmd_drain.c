/* SPDX-License-Identifier: Apache-2.0 */
/* drain: empties the image cache of this user, but for what a host on this machine uses. */
#include "ctl/table.h"

#include <inttypes.h>
#include <stdlib.h>
#include "hostd/image/image.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

static const struct {
    const char *name;
    uint32_t parts;
    const char *folders[3];
} kinds[] = {
    {"all", IMAGE_CACHE_ALL, {"blobs", "programs", "notes"}},
    {"oci", IMAGE_CACHE_IMAGES, {"blobs"}},
    {"lib", IMAGE_CACHE_PROGRAMS | IMAGE_CACHE_NOTES, {"programs", "notes"}},
    {"dev", 0, {NULL}}, /* nothing of ours */
    {"downloads", 0, {NULL}},
};

bool cmd_drain(struct ctl *c, struct err *e)
{
    size_t kind = 0;
    struct image_trimmed t = {0};
    while (kind < ARRAY_LEN(kinds) && strcmp(word(c, 0), kinds[kind].name) != 0)
        kind++;
    if (kind == ARRAY_LEN(kinds))
        return err_set(e, ERR_INVALID, "'%s' is none of all, oci, lib, dev, downloads", word(c, 0));
    AUTO_FREE char *cache = image_cache_folder(str_of(option_text(c, "image-cache")));
    json_t *drained = json_array();
    result_set(c, "drained", drained);
    if (kinds[kind].parts && !image_cache_trim(cache, kinds[kind].parts, 0, &t, e))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(kinds[kind].folders) && kinds[kind].folders[i]; i++) {
        AUTO_FREE char *folder = xasprintf("%s/%s", cache, kinds[kind].folders[i]);
        json_array_append_new(drained, json_string(folder));
    }
    result_set(c, "removed", json_integer((json_int_t)t.removed));
    result_set(c, "removed_bytes", json_integer((json_int_t)t.removed_bytes));
    result_set(c, "left_bytes", json_integer((json_int_t)t.left_bytes));
    buf_printf(&c->text,
               "%" PRIu64 " files with %" PRIu64 " bytes removed from %s; %" PRIu64
               " bytes are in use and stay\n",
               t.removed, t.removed_bytes, cache, t.left_bytes);
    return true;
}
