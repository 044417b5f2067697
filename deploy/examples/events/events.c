/* SPDX-License-Identifier: Apache-2.0 */
/* Takes JSON events of game clients and writes each to a topic of a message database, over its REST interface:
 *   OPTIONS /events   what a browser asks first        POST /events   one event, up to 60,000 bytes
 * Answers 202 when the database took it, 502 with {"error": ...} when not, always with CORS headers.
 * Configuration: `authority` (HOST[:PORT], reached by HTTPS), `topic`, `user` and `password` (Basic), `origin` (of the
 * web pages that may ask). Built by tests/guests/build. */
#include "../guest.h"

IMPORT("wasi:config/store@0.2.0-draft", "get") void config_get(const char *key, size_t key_n, void *ret);

enum { EVENT_BYTES_MAX = 60000, TEXT_BYTES_MAX = 65536 };
static const int64_t ANSWER_NS = 5000000000;

/* ---- texts ---- */

struct writer {
    char p[TEXT_BYTES_MAX];
    size_t n;
};

static void put(struct writer *w, struct text t)
{
    for (size_t i = 0; i < t.n && w->n < sizeof w->p; i++)
        w->p[w->n++] = t.p[i];
}

static void put_base64(struct writer *w, struct text t)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < t.n; i += 3) {
        uint32_t bits = 0, have = (uint32_t)(t.n - i < 3 ? t.n - i : 3);
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < have ? (uint8_t)t.p[i + k] : 0);
        for (uint32_t k = 0; k < 4; k++)
            put(w, (struct text){k <= have ? &alphabet[bits >> (18 - 6 * k) & 63] : "=", 1});
    }
}

/* ---- what the host says ---- */

/* Where a function writes its result; payloads with an error-code are aligned to 8. */
static _Alignas(8) uint8_t ret[64];

static struct text config(struct text key)
{
    config_get(key.p, key.n, ret); /* result<option<string>, error> */
    return ret[0] || !ret[4] ? TEXT("") : (struct text){*(char **)(ret + 8), *(size_t *)(ret + 12)};
}

/* ---- the client ---- */

static void answer_json(handle_t out, int32_t status, struct text json)
{
    handle_t fields = fields_new();
    append(fields, TEXT("access-control-allow-origin"), config(TEXT("origin")));
    append(fields, TEXT("access-control-allow-methods"), TEXT("POST, OPTIONS"));
    append(fields, TEXT("access-control-allow-headers"), TEXT("content-type"));
    append(fields, TEXT("content-type"), TEXT("application/json"));
    write_all(respond(out, status, fields), json);
}

static void refuse(handle_t out, int32_t status, struct text what, uint32_t number)
{
    static struct writer w;
    put(&w, TEXT("{\"error\":\""));
    put(&w, what);
    put(&w, decimal(number));
    put(&w, TEXT("\"}\n"));
    answer_json(out, status, (struct text){w.p, w.n});
}

/* The event, or one byte too many of it. */
static struct text read_event(handle_t request)
{
    static struct writer w;
    request_consume(request, ret);
    incoming_stream(ok_handle(ret), ret);
    handle_t stream = ok_handle(ret);
    while (w.n <= EVENT_BYTES_MAX) {
        stream_read(stream, EVENT_BYTES_MAX + 1 - (int64_t)w.n, ret);
        if (ret[0])
            break;
        put(&w, (struct text){*(char **)(ret + 4), *(size_t *)(ret + 8)});
    }
    return (struct text){w.p, w.n};
}

/* ---- the database ---- */

static handle_t make_request(void)
{
    static struct writer login, credentials, path;
    put(&login, config(TEXT("user")));
    put(&login, TEXT(":"));
    put(&login, config(TEXT("password")));
    put(&credentials, TEXT("Basic "));
    put_base64(&credentials, (struct text){login.p, login.n});
    put(&path, TEXT("/topics/"));
    put(&path, config(TEXT("topic")));
    handle_t fields = fields_new();
    append(fields, TEXT("authorization"), (struct text){credentials.p, credentials.n});
    append(fields, TEXT("content-type"), TEXT("application/vnd.kafka.json.v2+json"));
    append(fields, TEXT("accept"), TEXT("application/vnd.kafka.v2+json"));
    struct text authority = config(TEXT("authority"));
    handle_t r = outgoing_new(fields);
    outgoing_set_method(r, METHOD_POST, 0, 0);
    outgoing_set_authority(r, 1, authority.p, authority.n);
    outgoing_set_path(r, 1, path.p, path.n);
    return r;
}

/* The response's status, or minus the number of an error-code and one. */
static int32_t post(struct text event)
{
    static struct writer records;
    put(&records, TEXT("{\"records\":[{\"value\":"));
    put(&records, event);
    put(&records, TEXT("}]}"));
    handle_t request = make_request(), options = options_new();
    options_first_byte(options, 1, ANSWER_NS);
    outgoing_body(request, ret);
    handle_t body = ok_handle(ret);
    outgoing_send(request, 1, options, ret); /* result<future, error-code> */
    if (ret[0])
        return -1 - ret[8];
    handle_t future = handle_at(ret, 8);
    write_all(body, (struct text){records.p, records.n}); /* what fails there the future tells */
    wait_for(future_subscribe(future));
    future_get(future, ret); /* option<result<result<incoming-response, error-code>>> */
    return ret[16] ? -1 - ret[24] : received_status(handle_at(ret, 24));
}

static void serve_event(handle_t request, handle_t out)
{
    struct text event = read_event(request);
    if (event.n == 0 || event.n > EVENT_BYTES_MAX) {
        refuse(out, event.n ? 413 : 400, TEXT("bytes of an event: "), (uint32_t)event.n);
        return;
    }
    int32_t status = post(event);
    if (status >= 200 && status < 300)
        answer_json(out, 202, TEXT("{\"accepted\":true}\n"));
    else if (status >= 0)
        refuse(out, 502, TEXT("the database answered "), (uint32_t)status);
    else
        refuse(out, 502, TEXT("the database cannot be reached: error-code "), (uint32_t)(-1 - status));
}

EXPORT("wasi:http/incoming-handler@0.2.2#handle") void serve(handle_t request, handle_t out)
{
    request_method(request, ret);
    if (ret[0] == METHOD_POST)
        serve_event(request, out);
    else if (ret[0] == METHOD_OPTIONS)
        answer_json(out, 204, TEXT(""));
    else
        refuse(out, 405, TEXT("only POST and OPTIONS are served, not method "), ret[0]);
}
