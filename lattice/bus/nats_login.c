/* SPDX-License-Identifier: Apache-2.0 */
/* The greeting: INFO of the server, CONNECT of ours, and who we say we are: a user of the URL, or a JWT and the
 * nonce signed with the nkey that belongs to it, given as text or in a credentials file. The file is read at every
 * login, so that another one may take its place. */
#include "lattice/bus/nats_int.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/base64.h"
#include "lattice/id/id.h"

#define CREDS_BYTES_MAX (64u * 1024)

/* ---- INFO ----------------------------------------------------------------------------------------- */

bool nats_info_read(struct nats_info *out, struct str text, struct err *e)
{
    json_error_t je;
    json_t *json = json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &je);
    json_int_t max = json_integer_value(json_object_get(json, "max_payload"));
    if (!json_is_object(json)) {
        json_decref(json);
        return err_set(e, ERR_PROTOCOL, "the server's INFO is not a JSON object");
    }
    *out = (struct nats_info){
        .nonce = str_of(json_string_value(json_object_get(json, "nonce"))),
        .max_payload = max > 0 && max <= (json_int_t)NATS_PAYLOAD_MAX ? (uint64_t)max : 0,
        .headers = json_is_true(json_object_get(json, "headers")),
        .tls_required = json_is_true(json_object_get(json, "tls_required")),
        .tls_available = json_is_true(json_object_get(json, "tls_available")),
        .json = json,
    };
    return true;
}

void nats_info_fini(struct nats_info *info)
{
    json_decref(info->json);
    info->json = NULL;
}

size_t nats_info_addresses(const struct nats_info *info, struct str *out, size_t max)
{
    const json_t *one;
    size_t i, n = 0;
    json_array_foreach(json_object_get(info->json, "connect_urls"), i, one)
    {
        if (json_is_string(one) && n < max)
            out[n++] = str_of(json_string_value(one));
    }
    return n;
}

/* ---- credentials ---------------------------------------------------------------------------------- */

/* The line behind "-----BEGIN {what}-----". */
static char *block_of(struct str text, const char *what)
{
    AUTO_FREE char *begin = xasprintf("BEGIN %s-", what);
    struct str rest = text, line;
    bool here = false;
    while (str_cut(&rest, '\n', &line)) {
        line = str_trim(line);
        if (here && line.n)
            return str_dup(line);
        here |= memmem(line.p, line.n, begin, strlen(begin)) != NULL;
    }
    return NULL;
}

bool bus_creds_read(const char *path, char **jwt, char **seed, struct err *e)
{
    char text[CREDS_BYTES_MAX];
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(e, ERR_INVALID, "NATS credentials '%s': %s", path, strerror(errno));
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    *jwt = block_of((struct str){text, n}, "NATS USER JWT");
    *seed = block_of((struct str){text, n}, "USER NKEY SEED");
    explicit_bzero(text, n);
    if (*jwt && *seed)
        return true;
    return err_set(e, ERR_INVALID, "NATS credentials '%s': no %s in that file", path,
                   *jwt ? "USER NKEY SEED" : "NATS USER JWT");
}

/* base64url of the signed nonce. */
static bool sign_nonce(const char *seed, struct str nonce, struct buf *out, struct err *e)
{
    struct id_key key;
    uint8_t signature[ID_SIGNATURE_BYTES];
    if (!id_key_from_seed(str_trim(str_of(seed)), &key, e))
        return err_wrap(e, "NATS credentials");
    id_sign(&key, str_span(nonce), signature);
    id_key_fini(&key);
    base64_encode(BASE64_URL, (struct span){signature, sizeof signature}, out);
    buf_byte(out, '\0');
    return true;
}

bool nats_login_init(struct nats_login *l, const struct bus_opts *opts, struct err *e)
{
    AUTO(free_secret_p) char *jwt = NULL;
    AUTO(free_secret_p) char *seed = NULL;
    struct id_key key;
    if (!opts->jwt != !opts->seed)
        return err_set(e, ERR_INVALID, "NATS JWT and seed go together: only one of them was given");
    if (opts->creds && !bus_creds_read(opts->creds, &jwt, &seed, e))
        return false;
    const char *checked = opts->seed ? opts->seed : seed;
    if (checked && !id_key_from_seed(str_trim(str_of(checked)), &key, e))
        return err_wrap(e, "NATS credentials");
    if (checked)
        id_key_fini(&key);
    l->name = str_dup(str_of(opts->name ? opts->name : "hostd"));
    l->creds = opts->creds ? str_dup(str_of(opts->creds)) : NULL;
    l->jwt = opts->jwt ? str_dup(str_of(opts->jwt)) : NULL;
    l->seed = opts->seed ? str_dup(str_of(opts->seed)) : NULL;
    return true;
}

void nats_login_fini(struct nats_login *l)
{
    free(l->name);
    free(l->creds);
    free_secret(l->jwt);
    free_secret(l->seed);
}

/* ---- CONNECT -------------------------------------------------------------------------------------- */

static bool put_jwt(json_t *o, const struct nats_login *l, struct str nonce, struct err *e)
{
    AUTO(free_secret_p) char *jwt = NULL;
    AUTO(free_secret_p) char *seed = NULL;
    struct buf signature = BUF_INIT;
    if (l->creds && !bus_creds_read(l->creds, &jwt, &seed, e))
        return false;
    if (!l->creds && !l->jwt)
        return true;
    bool ok = sign_nonce(seed ? seed : l->seed, nonce, &signature, e);
    if (ok) {
        json_object_set_new(o, "jwt", json_string(jwt ? jwt : l->jwt));
        json_object_set_new(o, "sig", json_string((const char *)signature.p));
    }
    buf_fini(&signature);
    return ok;
}

static void put_user(json_t *o, const struct nats_server *server)
{
    if (server->user && server->password) {
        json_object_set_new(o, "user", json_string(server->user));
        json_object_set_new(o, "pass", json_string(server->password));
    } else if (server->user) {
        json_object_set_new(o, "auth_token", json_string(server->user));
    }
}

bool nats_login_put(const struct nats_login *l, const struct nats_server *server,
                    const struct nats_info *info, bool secure, struct buf *out, struct err *e)
{
    json_t *o =
        json_pack("{sb sb sb ss ss ss si sb sb sb}", "verbose", 0, "pedantic", 0, "tls_required",
                  secure, "name", l->name, "lang", "c", "version", HOSTD_VERSION, "protocol", 1,
                  "echo", 1, "headers", 1, "no_responders", 1);
    put_user(o, server);
    bool ok = put_jwt(o, l, info->nonce, e);
    AUTO(free_secret_p) char *text = ok ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (ok && !text)
        ok = err_set(e, ERR_INVALID, "the client's name is no text that CONNECT can hold");
    if (ok)
        buf_printf(out, "CONNECT %s\r\n", text);
    return ok;
}
