/* SPDX-License-Identifier: Apache-2.0 */
/* A component that passes its request on and hands back what came of it, bodies streamed both ways, trailers included:
 *   x-target: SCHEME://AUTHORITY/PATH   where to; without it the answer is 400
 *   x-first-byte-ms, x-between-ms       time limits of that request
 *   x-drop: future | response           gives it up there and answers 204
 * A request that failed is answered by 502 and "CODE TEXT": the number of its error-code, internal-error's text.
 * Built by tests/guests/build. */
#include "../../../deploy/examples/guest.h"

/* Where a function writes its result; every payload with an error-code is aligned to 8. */
static _Alignas(8) uint8_t ret[64];

static struct text header(handle_t headers, struct text name)
{
    fields_get(headers, name.p, name.n, ret);
    const struct text *values = *(struct text **)ret;
    return handle_at(ret, 4) ? values[0] : (struct text){NULL, 0};
}

static uint32_t number(struct text s)
{
    uint32_t v = 0;
    for (size_t at = 0; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++)
        v = v * 10 + (uint32_t)(s.p[at] - '0');
    return v;
}

/* ---- answers ---- */

/* The error-code at `at` in ret. */
static void answer_failure(handle_t out, size_t at)
{
    static char text[256];
    size_t n = 0;
    uint8_t code = ret[at];
    if (code >= 10)
        text[n++] = (char)('0' + code / 10);
    text[n++] = (char)('0' + code % 10);
    text[n++] = ' ';
    if (code == 38 && ret[at + 8]) {
        const char *p = *(const char **)(ret + at + 12);
        for (size_t i = 0, more = *(size_t *)(ret + at + 16); i < more && n < sizeof text; i++)
            text[n++] = p[i];
    }
    answer(out, 502, (struct text){text, n});
}

/* ---- bodies ---- */

/* All of from's stream to to's; false when either broke. */
static int pump(handle_t to, handle_t from)
{
    int whole = 0;
    body_write(to, ret);
    handle_t output = ok_handle(ret);
    incoming_stream(from, ret);
    handle_t input = ok_handle(ret);
    do
        stream_splice(output, input, 65536, ret);
    while (!ret[0]);
    whole = ret[8] == 1; /* closed, not failed */
    stream_drop(output);
    input_drop(input);
    return whole;
}

/* Hands over what came; a body that broke is broken off. */
static void pass(handle_t to, handle_t from)
{
    int whole = pump(to, from);
    handle_t trailers = incoming_finish(from);
    wait_for(trailers_subscribe(trailers));
    trailers_get(trailers, ret); /* option<result<result<option<trailers>, error-code>>> */
    int some = ret[8] == 0 && ret[16] == 0 && ret[24];
    handle_t fields = handle_at(ret, 28);
    trailers_drop(trailers);
    if (whole)
        body_finish(to, some, some ? fields : 0, ret);
    else
        body_drop(to);
}

/* ---- the request ---- */

static handle_t make_request(handle_t request, handle_t headers, struct text target)
{
    handle_t out = outgoing_new(fields_clone(headers));
    size_t colon = 0, slash;
    while (colon < target.n && target.p[colon] != ':')
        colon++;
    for (slash = colon + 3; slash < target.n && target.p[slash] != '/'; slash++)
        ;
    request_method(request, ret);
    outgoing_set_method(out, ret[0], *(const char **)(ret + 4), *(size_t *)(ret + 8));
    outgoing_set_scheme(out, 1, same((struct text){target.p, colon}, TEXT("https")), 0, 0);
    outgoing_set_authority(out, 1, target.p + colon + 3, slash - colon - 3);
    outgoing_set_path(out, 1, target.p + slash, target.n - slash);
    return out;
}

static handle_t make_options(handle_t headers)
{
    handle_t options = options_new();
    uint32_t first = number(header(headers, TEXT("x-first-byte-ms")));
    uint32_t between = number(header(headers, TEXT("x-between-ms")));
    options_first_byte(options, first > 0, (int64_t)first * 1000000);
    options_between_bytes(options, between > 0, (int64_t)between * 1000000);
    return options;
}

static void hand_back(handle_t out, handle_t response, struct text drop)
{
    if (same(drop, TEXT("response"))) {
        received_drop(response);
        answer(out, 204, TEXT(""));
        return;
    }
    handle_t headers = received_headers(response);
    handle_t to = respond(out, received_status(response), fields_clone(headers));
    received_consume(response, ret);
    pass(to, ok_handle(ret));
}

EXPORT("wasi:http/incoming-handler@0.2.2#handle") void serve(handle_t request, handle_t out)
{
    handle_t headers = request_headers(request);
    struct text target = header(headers, TEXT("x-target")), drop = header(headers, TEXT("x-drop"));
    if (!target.n) {
        answer(out, 400, TEXT("no x-target\n"));
        return;
    }
    handle_t outgoing = make_request(request, headers, target);
    handle_t options = make_options(headers);
    outgoing_body(outgoing, ret);
    handle_t to = ok_handle(ret);
    request_consume(request, ret);
    handle_t from = ok_handle(ret);
    outgoing_send(outgoing, 1, options, ret);
    if (ret[0]) {
        answer_failure(out, 8);
        return;
    }
    handle_t future = handle_at(ret, 8);
    if (same(drop, TEXT("future"))) {
        future_drop(future);
        answer(out, 204, TEXT(""));
        return;
    }
    pass(to, from);
    wait_for(future_subscribe(future));
    future_get(future, ret); /* option<result<result<incoming-response, error-code>>> */
    if (ret[16])
        answer_failure(out, 24);
    else
        hand_back(out, handle_at(ret, 24), drop);
}
