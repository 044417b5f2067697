/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a registry over libcurl: limits, credentials (Basic, and the token that a Bearer challenge sends us
 * for), errors in words. Credentials go to the registry and to the token service that it names, over TLS unless the
 * registry itself is spoken to without; never along a redirect. */
#include "hostd/image/oci_http.h"

#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>
#include "hostd/image/files.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define CONNECT_MS 10000L
#define STALLED_BYTES_PER_S 1024L /* slower than this ... */
#define STALLED_S 30L             /* for so long, and we give up */
#define REDIRECTS_MAX 5L
#define TOKEN_ANSWER_MAX 65536
#define TOKEN_MAX 16384
#define CHALLENGE_MAX 2048
#define LOCATION_MAX 4096
#define CA_FILE_MAX (4u << 20)

enum auth { AUTH_NONE, AUTH_BASIC, AUTH_BEARER };

struct oci {
    CURL *curl;
    struct oci_access access;
    enum auth auth;
    char *token;
    struct buf ca;
    char error[CURL_ERROR_SIZE];
    /* of the request under way */
    struct buf *body;
    char *challenge, *location;
};

static void curl_once(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool read_ca_files(struct oci *o, struct err *e)
{
    struct str rest = str_of(o->access.ca_files), part;
    buf_init(&o->ca, CA_FILE_MAX);
    while (rest.n && str_cut(&rest, ',', &part)) {
        struct span pem;
        char *path = str_dup(str_trim(part));
        bool ok = file_read(path, CA_FILE_MAX, &pem, e);
        free(path);
        if (!ok)
            return err_wrap(e, "certificates for registries");
        buf_put(&o->ca, pem.p, pem.n);
        buf_byte(&o->ca, '\n');
        free((void *)pem.p);
    }
    return buf_ok(&o->ca, e);
}

struct oci *oci_open(const struct oci_access *access, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, curl_once);
    struct oci *o = xnew(struct oci);
    o->access = *access;
    o->auth = access->token ? AUTH_BEARER : AUTH_NONE;
    o->token = access->token ? str_dup(str_of(access->token)) : NULL;
    if (!read_ca_files(o, e)) {
        oci_close(o);
        return NULL;
    }
    o->curl = curl_easy_init();
    if (o->curl)
        return o;
    err_set(e, ERR_IO, "libcurl cannot be used");
    oci_close(o);
    return NULL;
}

void oci_close(struct oci *o)
{
    if (!o)
        return;
    curl_easy_cleanup(o->curl);
    buf_fini(&o->ca);
    free(o->token);
    free(o);
}

void oci_answer_fini(struct oci_answer *a)
{
    buf_fini(&a->body);
    free(a->location);
}

/* ---- one exchange ---- */

static size_t on_body(char *p, size_t size, size_t n, void *user)
{
    struct oci *o = user;
    buf_put(o->body, p, size * n);
    return o->body->full ? 0 : n;
}

static void keep_header(char **place, struct str value, size_t max)
{
    free(*place);
    *place = value.n <= max ? str_dup(value) : NULL;
}

/* Headers of the last answer only: a status line begins a new one. */
static size_t on_header(char *p, size_t size, size_t n, void *user)
{
    struct oci *o = user;
    struct str line = {p, size * n};
    size_t colon = str_find(line, ':');
    struct str name = str_sub(line, 0, colon);
    struct str value = str_trim(str_sub(line, colon + 1, line.n));
    if (str_starts(line, STR("HTTP/"))) {
        keep_header(&o->challenge, STR_NONE, 0);
        keep_header(&o->location, STR_NONE, 0);
    } else if (str_ieq(name, STR("www-authenticate"))) {
        keep_header(&o->challenge, value, CHALLENGE_MAX);
    } else if (str_ieq(name, STR("location"))) {
        keep_header(&o->location, value, LOCATION_MAX);
    }
    return size * n;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct oci *o = user;
    (void)a, (void)b, (void)c, (void)d;
    return o->access.stop && atomic_load(o->access.stop);
}

static void set_up(struct oci *o, const char *url)
{
    CURL *c = o->curl;
    const char *protocols = o->access.plain_http ? "http,https" : "https";
    curl_easy_reset(c); /* keeps connections */
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, o->error);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, protocols);
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, STALLED_BYTES_PER_S);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALLED_S);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "hostd/" HOSTD_VERSION);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, o);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, o);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, o);
    if (o->access.trust_any) {
        curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (o->ca.n) { /* beside the system's, which stand in a folder of their own */
        struct curl_blob blob = {o->ca.p, o->ca.n, CURL_BLOB_NOCOPY};
        curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &blob);
    }
}

static void set_auth(struct oci *o)
{
    if (o->auth == AUTH_BASIC) {
        curl_easy_setopt(o->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(o->curl, CURLOPT_USERNAME, o->access.username);
        curl_easy_setopt(o->curl, CURLOPT_PASSWORD, o->access.password);
    } else if (o->auth == AUTH_BEARER) {
        curl_easy_setopt(o->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(o->curl, CURLOPT_XOAUTH2_BEARER, o->token);
    }
}

static bool curl_failed(struct oci *o, CURLcode code, struct err *e)
{
    char text[CURL_ERROR_SIZE];
    const char *why = o->error[0] ? o->error : curl_easy_strerror(code);
    if (code == CURLE_WRITE_ERROR && o->body->full)
        return buf_ok(o->body, e);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return err_set(e, ERR_CLOSED, "given up, for this host stops");
    return err_set(e, code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_IO, "%s",
                   str_show(str_of(why), text, sizeof text));
}

/* Sends what set_up prepared. Whatever status comes is fine here. */
static bool perform(struct oci *o, struct oci_answer *a, size_t bytes_max, struct err *e)
{
    buf_fini(&a->body);
    buf_init(&a->body, bytes_max);
    o->body = &a->body;
    o->error[0] = '\0';
    CURLcode code = curl_easy_perform(o->curl);
    free(a->location);
    a->location = MOVE(o->location);
    o->body = code == CURLE_OK ? NULL : o->body;
    if (code != CURLE_OK)
        return curl_failed(o, code, e);
    curl_easy_getinfo(o->curl, CURLINFO_RESPONSE_CODE, &a->status);
    return true;
}

/* ---- credentials ---- */

/* `name="value"` of a challenge; empty when it is not there. */
static struct str parameter(struct str challenge, const char *name)
{
    struct str rest = challenge, part;
    size_t n = strlen(name);
    while (str_cut(&rest, '"', &part)) {
        struct str value;
        if (!rest.p || !str_cut(&rest, '"', &value))
            break;
        part = str_trim(part);
        if (part.n > n && part.p[part.n - 1] == '=' &&
            strncasecmp(part.p + part.n - 1 - n, name, n) == 0)
            return value;
    }
    return STR_NONE;
}

static void put_parameter(struct oci *o, struct buf *url, char *separator, const char *name,
                          struct str value)
{
    if (!value.n)
        return;
    char *escaped = curl_easy_escape(o->curl, value.p, (int)value.n);
    buf_printf(url, "%c%s=%s", *separator, name, escaped ? escaped : "");
    *separator = '&';
    curl_free(escaped);
}

static bool read_token(struct oci *o, struct oci_answer *a, struct err *e)
{
    json_error_t ignored;
    json_t *json = json_loadb((const char *)a->body.p, a->body.n, JSON_REJECT_DUPLICATES, &ignored);
    const char *token = json_string_value(json_object_get(json, "token"));
    if (!token)
        token = json_string_value(json_object_get(json, "access_token"));
    bool ok = token && strlen(token) <= TOKEN_MAX;
    if (ok) {
        free(o->token);
        o->token = str_dup(str_of(token));
        o->auth = AUTH_BEARER;
    }
    json_decref(json);
    return ok || err_set(e, ERR_PROTOCOL, "its token service sent no token");
}

/* Asks the service that the challenge names; with our credentials, if we have some. */
static bool fetch_token(struct oci *o, struct str challenge, struct err *e)
{
    struct str realm = parameter(challenge, "realm");
    char separator = str_find(realm, '?') < realm.n ? '&' : '?';
    if (!str_starts(realm, STR("https://")) &&
        !(o->access.plain_http && str_starts(realm, STR("http://"))))
        return err_set(e, ERR_PROTOCOL, "its token service is no https address");
    struct buf url;
    struct oci_answer a = {0};
    buf_init(&url, 2 * CHALLENGE_MAX);
    buf_str(&url, realm);
    put_parameter(o, &url, &separator, "service", parameter(challenge, "service"));
    put_parameter(o, &url, &separator, "scope", parameter(challenge, "scope"));
    buf_byte(&url, '\0');
    bool ok = buf_ok(&url, e);
    if (ok) {
        set_up(o, (const char *)url.p);
        o->auth = o->access.username && o->access.password ? AUTH_BASIC : AUTH_NONE;
        set_auth(o);
        ok = perform(o, &a, TOKEN_ANSWER_MAX, e) &&
             (a.status == 200 || err_set(e, ERR_DENIED,
                                         "its token service answered %ld: check the credentials "
                                         "for this registry",
                                         a.status)) &&
             read_token(o, &a, e);
    }
    oci_answer_fini(&a);
    buf_fini(&url);
    return ok;
}

/* After a 401: another way in, or an error. */
static bool authenticate(struct oci *o, struct err *e)
{
    AUTO_FREE char *text = MOVE(o->challenge);
    struct str challenge = str_of(text);
    struct str scheme = str_sub(challenge, 0, str_find(challenge, ' '));
    if (str_ieq(scheme, STR("bearer")) && !o->access.token)
        return fetch_token(o, challenge, e);
    if (str_ieq(scheme, STR("basic")) && o->auth == AUTH_NONE && o->access.username &&
        o->access.password) {
        o->auth = AUTH_BASIC;
        return true;
    }
    return err_set(e, ERR_DENIED,
                   o->access.username || o->access.token ? "it does not accept our credentials"
                                                         : "it wants credentials and we have none");
}

/* ---- requests ---- */

/* {"errors":[{"code":"MANIFEST_UNKNOWN","message":"..."}]} */
static bool refused(const struct oci_answer *a, struct err *e)
{
    static const struct {
        long status;
        enum err_code code;
    } codes[] = {{401, ERR_DENIED}, {403, ERR_DENIED}, {404, ERR_NOT_FOUND}};
    enum err_code code = a->status >= 500 || a->status == 429 ? ERR_PEER : ERR_PROTOCOL;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        code = codes[i].status == a->status ? codes[i].code : code;
    json_error_t ignored;
    char text[256];
    json_t *json = json_loadb((const char *)a->body.p, a->body.n, 0, &ignored);
    const char *message = json_string_value(
        json_object_get(json_array_get(json_object_get(json, "errors"), 0), "message"));
    err_set(e, code, "it answers %ld%s%s", a->status, message ? ": " : "",
            message ? str_show(str_of(message), text, sizeof text) : "");
    json_decref(json);
    return false;
}

static void prepare(struct oci *o, const struct oci_request *r, struct curl_slist **headers)
{
    char line[512];
    if (r->accept) {
        snprintf(line, sizeof line, "Accept: %s", r->accept);
        *headers = curl_slist_append(*headers, line);
    }
    if (strcmp(r->method, "HEAD") == 0)
        curl_easy_setopt(o->curl, CURLOPT_NOBODY, 1L);
    else if (strcmp(r->method, "GET") != 0) {
        snprintf(line, sizeof line, "Content-Type: %s",
                 r->content_type ? r->content_type : "application/octet-stream");
        *headers = curl_slist_append(*headers, line);
        *headers = curl_slist_append(*headers, "Expect:");
        curl_easy_setopt(o->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
        curl_easy_setopt(o->curl, CURLOPT_POSTFIELDS, r->body.n ? (const char *)r->body.p : "");
        curl_easy_setopt(o->curl, CURLOPT_CUSTOMREQUEST, r->method);
    }
    curl_easy_setopt(o->curl, CURLOPT_HTTPHEADER, *headers);
}

static char *whole_url(const struct oci *o, const char *url)
{
    return url[0] == '/' ? xasprintf("%s://%s%s", o->access.plain_http ? "http" : "https",
                                     o->access.authority, url)
                         : str_dup(str_of(url));
}

/* Somebody else's address, to which an upload was sent on, gets no credentials. */
static bool is_own(const struct oci *o, const char *url)
{
    AUTO_FREE char *root = whole_url(o, "/");
    return strncmp(url, root, strlen(root)) == 0;
}

bool oci_ask(struct oci *o, const struct oci_request *r, struct oci_answer *a, struct err *e)
{
    *a = (struct oci_answer){0};
    AUTO_FREE char *url = whole_url(o, r->url);
    bool ok = true;
    for (int tries = 0; ok && tries < 2; tries++) {
        struct curl_slist *headers = NULL;
        set_up(o, url);
        if (is_own(o, url))
            set_auth(o);
        prepare(o, r, &headers);
        ok = perform(o, a, r->bytes_max, e);
        curl_slist_free_all(headers);
        if (!ok || a->status != 401 || tries)
            break;
        ok = authenticate(o, e);
    }
    free(o->challenge);
    o->challenge = NULL;
    if (ok && (a->status < 200 || a->status > 299) &&
        !(a->status == 404 && strcmp(r->method, "HEAD") == 0))
        ok = refused(a, e);
    if (ok && a->location && a->location[0] == '/') {
        char *whole = whole_url(o, a->location);
        free(a->location);
        a->location = whole;
    }
    return ok || err_wrap(e, "registry %s", o->access.authority);
}
