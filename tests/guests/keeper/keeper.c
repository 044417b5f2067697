/* SPDX-License-Identifier: Apache-2.0 */
/* A component that tells its secrets: every word of the path is the name of one, and what it is stands on a line of the
 * answer. With ~ before it the word is a key of the configuration. Built by tests/guests/build. */
#include "../../../deploy/examples/guest.h"

#define SECRETS "wasmcloud:secrets/store@0.1.0-draft"

IMPORT(SECRETS, "get") void secret_get(const char *key, size_t key_n, void *ret);
IMPORT(SECRETS, "[resource-drop]secret") void secret_drop(handle_t secret);
IMPORT("wasmcloud:secrets/reveal@0.1.0-draft", "reveal") void secret_reveal(handle_t secret, void *ret);
IMPORT("wasi:config/store@0.2.0-draft", "get") void config_get(const char *key, size_t key_n, void *ret);

enum { SECRET_STRING, SECRET_BYTES };
enum { ERROR_UPSTREAM, ERROR_IO, ERROR_NOT_FOUND };

static struct text hex(struct text bytes)
{
    char *out = cabi_realloc(0, 0, 1, 2 * bytes.n);
    for (size_t i = 0; i < bytes.n; i++) {
        out[2 * i] = "0123456789abcdef"[(uint8_t)bytes.p[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes.p[i] & 15];
    }
    return (struct text){out, 2 * bytes.n};
}

static struct text tell(struct text name)
{
    struct {
        uint8_t is_err;
        union {
            handle_t secret;
            struct error error;
        };
    } got;
    struct {
        uint8_t kind;
        struct text value;
    } value;
    secret_get(name.p, name.n, &got);
    if (got.is_err)
        return (uint8_t)got.error.which == ERROR_NOT_FOUND ? TEXT("not found") : TEXT("error");
    secret_reveal(got.secret, &value);
    secret_drop(got.secret);
    return value.kind == SECRET_STRING ? join(join((struct text){0, 0}, TEXT("string ")), value.value)
                                       : join(join((struct text){0, 0}, TEXT("bytes ")), hex(value.value));
}

static struct text look_up(struct text key)
{
    struct {
        uint32_t is_err, some;
        struct text value;
        uint32_t rest;
    } got;
    config_get(key.p, key.n, &got);
    return !(got.is_err & 1) && got.some & 1 ? got.value : TEXT("unset");
}

EXPORT("wasi:http/incoming-handler@0.2.2#handle") void serve(handle_t request, handle_t out)
{
    struct text path = request_head(request).path, said = {0, 0};
    for (size_t at = 1, end; at < path.n; at = end + 1) {
        for (end = at; end < path.n && path.p[end] != '/'; end++)
            ;
        struct text word = {path.p + at, end - at};
        said = join(said, starts(word, TEXT("~")) ? look_up((struct text){word.p + 1, word.n - 1}) : tell(word));
        said = join(said, TEXT("\n"));
    }
    answer(out, 200, said);
}
