/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry or a file hands us: a provider archive (first byte 0), a manifest (1), a name (otherwise). What is
 * accepted keeps to its limits; an archive that was read can be written and read again. */
#include <assert.h>
#include "hostd/image/cache.h"
#include "hostd/image/oci.h"
#include "hostd/image/par.h"

#define BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_archive(struct span file)
{
    struct par first, second;
    struct buf written = BUF_INIT;
    struct err e = ERR_INIT;
    if (par_read(file, BYTES_MAX, STR_NONE, &first, &e)) {
        bool ok = par_write(&first, false, &written, &e) &&
                  par_read(buf_span(&written), BYTES_MAX, STR_NONE, &second, &e);
        assert(ok && str_eq(first.token, second.token) && first.nbinaries == second.nbinaries);
        par_fini(&second);
        for (size_t i = 0; i < first.nbinaries; i++)
            par_check(&first, first.binaries[i].target, 1700000000, &e);
    }
    par_fini(&first);
    buf_fini(&written);
}

static void try_manifest(struct span json, struct arena *a)
{
    struct oci_manifest m;
    struct err e = ERR_INIT;
    uint64_t total = 0;
    if (!oci_manifest_read(json, OCI_ANY, BYTES_MAX, a, &m, &e))
        return;
    assert(m.nlayers > 0 && m.nlayers <= OCI_LAYERS_MAX && digest_valid(m.digest));
    for (size_t i = 0; i < m.nlayers; i++) {
        assert(digest_valid(m.layers[i].digest));
        total += m.layers[i].bytes;
    }
    assert(total <= BYTES_MAX);
}

static void try_name(struct str text, struct arena *a)
{
    struct oci_name n;
    struct err e = ERR_INIT;
    if (oci_name_parse(text, a, &n, &e))
        assert(n.authority.n && n.repository.n && n.tag.n && n.repository.p[0] != '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    if (size == 0)
        return 0;
    arena_init(&arena, BYTES_MAX);
    struct span rest = {data + 1, size - 1};
    if (data[0] == 0)
        try_archive(rest);
    else if (data[0] == 1)
        try_manifest(rest, &arena);
    else
        try_name(span_str(rest), &arena);
    arena_fini(&arena);
    return 0;
}
