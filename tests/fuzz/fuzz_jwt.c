/* SPDX-License-Identifier: Apache-2.0 */
/* A token (first byte 0) or a binary that may hold one (first byte otherwise). Whatever comes is refused or
 * decoded; what is stripped once does not change when stripped again, and carries no token. */
#include <assert.h>
#include "lattice/id/id.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_token(struct str token)
{
    struct arena arena;
    struct id_claims c;
    struct err e = ERR_INIT;
    arena_init(&arena, 1 << 20);
    if (id_claims_decode(token, &arena, &c, &e) && !id_claims_check(&c, 1700000000, &e))
        assert(e.code != ERR_NONE);
    arena_fini(&arena);
}

static void try_binary(struct span wasm)
{
    struct buf once = BUF_INIT, twice = BUF_INIT;
    struct str token;
    struct err e = ERR_INIT;
    if (id_component_token(wasm, &token, &e) && token.p)
        try_token(token);
    if (id_component_strip(wasm, &once, &e)) {
        assert(once.n <= wasm.n);
        bool ok = id_component_strip(buf_span(&once), &twice, &e);
        assert(ok && twice.n == once.n && memcmp(once.p, twice.p, once.n) == 0);
        ok = id_component_token(buf_span(&once), &token, &e);
        assert(ok && !token.p);
    }
    buf_fini(&once);
    buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 0)
        try_token((struct str){(const char *)data + 1, size - 1});
    else
        try_binary((struct span){data + 1, size - 1});
    return 0;
}
