/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP messages of a peer: the first byte picks what to read. A message that was read can be written, and reads the
 * same then. Body channels are cut at a point that the input chooses. */
#include <assert.h>
#include <stdlib.h>

#include "wrpc/http.h"
#include "wrpc/wrpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_request(struct span in, struct arena *a)
{
    struct err e = ERR_INIT;
    struct http_request r, again;
    struct buf out;
    buf_init(&out, 1 << 20);
    if (http_request_decode(in, a, &r, &e) && http_request_encode(&r, &out, &e)) {
        bool ok = http_request_decode(buf_span(&out), a, &again, &e);
        assert(ok || e.code == ERR_LIMIT);
        assert(!ok ||
               (again.nfields == r.nfields && str_eq(again.path_with_query, r.path_with_query)));
    }
    buf_fini(&out);
}

static void read_result(struct span in, struct arena *a)
{
    struct err e = ERR_INIT;
    struct http_response r;
    struct http_error x;
    bool is_error;
    struct buf out;
    buf_init(&out, 1 << 20);
    if (http_result_decode(in, a, &r, &x, &is_error, &e)) {
        if (is_error)
            http_error_encode(&x, &out, &e);
        else
            http_response_encode(&r, &out, &e);
    }
    buf_fini(&out);
}

static void count(void *user, struct span data)
{
    assert(data.n > 0);
    *(size_t *)user += data.n;
}

/* However a stream is cut, it has the same bytes. */
static void read_stream(struct span in)
{
    struct err e = ERR_INIT;
    struct wrpc_stream_reader whole = {0}, cut = {0};
    size_t whole_bytes = 0, cut_bytes = 0, at = in.n ? in.p[0] % in.n : 0;
    bool ok = wrpc_stream_feed(&whole, in, count, &whole_bytes, &e);
    bool ok_cut =
        wrpc_stream_feed(&cut, (struct span){in.p, at}, count, &cut_bytes, &e) &&
        wrpc_stream_feed(&cut, (struct span){in.p + at, in.n - at}, count, &cut_bytes, &e);
    assert(ok == ok_cut && whole_bytes == cut_bytes);
    assert(!ok || whole.ended == cut.ended);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct err e = ERR_INIT;
    const struct http_field *fields;
    size_t n;
    if (size == 0)
        return 0;
    struct span in = {data + 1, size - 1};
    arena_init(&a, 1 << 20);
    if (data[0] % 4 == 0)
        read_request(in, &a);
    else if (data[0] % 4 == 1)
        read_result(in, &a);
    else if (data[0] % 4 == 2)
        http_trailers_decode(in, &a, &fields, &n, &e);
    else
        read_stream(in);
    arena_fini(&a);
    return 0;
}
