/* SPDX-License-Identifier: Apache-2.0 */
/* A command: fetch SCHEME AUTHORITY PATH [BODY]. Writes "STATUS\n" and the response's body to its standard output, or
 * "error CODE\n", the number of an error-code, and fails. Built by tests/guests/build. */
#include "../../../deploy/examples/guest.h"

IMPORT("wasi:cli/environment@0.2.2", "get-arguments") void get_arguments(void *ret);
IMPORT("wasi:cli/stdout@0.2.2", "get-stdout") handle_t get_stdout(void);

/* Where a function writes its result; payloads with an error-code are aligned to 8. */
static _Alignas(8) uint8_t ret[64];
static handle_t out;

static void say_number(struct text before, uint32_t v)
{
    struct text line = join(join(before, decimal(v)), TEXT("\n"));
    stream_write(out, line.p, line.n, ret);
}

static int32_t failed(uint32_t code)
{
    say_number(TEXT("error "), code);
    return 1;
}

EXPORT("wasi:cli/run@0.2.2#run") int32_t run(void)
{
    get_arguments(ret);
    const struct text *args = *(struct text **)ret;
    size_t n = *(size_t *)(ret + 4);
    if (n < 4)
        return 1;
    out = get_stdout();
    handle_t request = outgoing_new(fields_new());
    outgoing_set_method(request, n > 4 ? 2 : 0, 0, 0);
    outgoing_set_scheme(request, 1, args[1].n == 5, 0, 0);
    outgoing_set_authority(request, 1, args[2].p, args[2].n);
    outgoing_set_path(request, 1, args[3].p, args[3].n);
    handle_t body = 0;
    if (n > 4) {
        outgoing_body(request, ret);
        body = ok_handle(ret);
    }
    outgoing_send(request, 0, 0, ret);
    if (ret[0])
        return failed(ret[8]);
    handle_t future = handle_at(ret, 8);
    if (n > 4)
        write_all(body, args[4]);
    wait_for(future_subscribe(future));
    future_get(future, ret);
    if (ret[16])
        return failed(ret[24]);
    handle_t response = handle_at(ret, 24);
    say_number(TEXT(""), (uint32_t)received_status(response));
    received_consume(response, ret);
    incoming_stream(ok_handle(ret), ret);
    handle_t input = ok_handle(ret);
    do
        stream_splice(out, input, 65536, ret);
    while (!ret[0]);
    return ret[8] != 1;
}
