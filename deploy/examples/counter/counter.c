/* SPDX-License-Identifier: Apache-2.0 */
/* Counts requests in a key-value bucket:
 *   GET /PATH          adds one to the count of this path, answers the new count
 *   PUT /value/KEY     stores the request body                GET /value/KEY     answers it, or 404
 * The bucket is the one of the link named default. Built by tests/guests/build. */
#include "../guest.h"

static void count(handle_t bucket, struct text path, handle_t out)
{
    struct count_result r;
    bucket_increment(bucket, path.p, path.n, 1, &r);
    if (r.is_err & 1)
        answer_error(out, &r.error);
    else
        answer(out, 200, join(decimal(r.count), TEXT("\n")));
}

static void get(handle_t bucket, struct text key, handle_t out)
{
    struct result r;
    bucket_get(bucket, key.p, key.n, &r);
    if (r.is_err & 1)
        answer_error(out, &r.error);
    else if (r.value.some & 1)
        answer(out, 200, r.value.bytes);
    else
        answer(out, 404, TEXT("no such key\n"));
}

static void put(handle_t bucket, struct text key, handle_t request, handle_t out)
{
    struct result r;
    struct text body = read_body(request);
    bucket_set(bucket, key.p, key.n, body.p, body.n, &r);
    if (r.is_err & 1)
        answer_error(out, &r.error);
    else
        answer(out, 200, TEXT("stored\n"));
}

EXPORT("wasi:http/incoming-handler@0.2.2#handle") void handle(handle_t request, handle_t out)
{
    struct result r;
    struct request head = request_head(request);
    struct text path = head.path, prefix = TEXT("/value/");
    struct text key = {path.p + prefix.n, path.n - prefix.n};

    store_open("default", 7, &r);
    if (r.is_err & 1) {
        answer_error(out, &r.error);
        return;
    }
    handle_t bucket = r.bucket;
    if (!starts(path, prefix) && head.method == METHOD_GET)
        count(bucket, path, out);
    else if (starts(path, prefix) && head.method == METHOD_GET)
        get(bucket, key, out);
    else if (starts(path, prefix) && head.method == METHOD_PUT)
        put(bucket, key, request, out);
    else
        answer(out, 405, TEXT("GET /PATH, GET or PUT /value/KEY\n"));
    bucket_drop(bucket);
    request_drop(request);
}
