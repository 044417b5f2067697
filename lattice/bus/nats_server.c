/* SPDX-License-Identifier: Apache-2.0 */
/* Where the servers are: those that the owner named, and those that a server of a cluster tells of. */
#include "lattice/bus/nats_int.h"

#include <arpa/inet.h>
#include <netdb.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* Schemes, and whether they insist on TLS. WebSockets are not spoken. */
static const struct {
    struct str name;
    bool secure;
} schemes[] = {{STR_INIT("nats"), false}, {STR_INIT("tcp"), false}, {STR_INIT("tls"), true}};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A copy without the percent signs; one that stands for itself stays. */
static char *unescaped(struct str s)
{
    char *out = xalloc(s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++, n++) {
        int high = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
        int low = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;
        out[n] = s.p[i];
        if (s.p[i] == '%' && high >= 0 && low >= 0) {
            out[n] = (char)(high * 16 + low);
            i += 2;
        }
    }
    return out;
}

/* "host", "host:port", "[v6]:port". */
static bool parse_address(struct str text, struct nats_server *out)
{
    uint64_t port = NATS_PORT_DEFAULT;
    bool v6 = text.n && text.p[0] == '[';
    size_t end = v6 ? str_find(text, ']') : str_find(text, ':');
    struct str host = v6 ? str_sub(text, 1, end) : str_sub(text, 0, end);
    struct str rest = str_sub(text, v6 ? end + 1 : end, text.n);
    if (host.n == 0 || host.n >= NI_MAXHOST || memchr(host.p, 0, host.n) || (v6 && end == text.n))
        return false;
    if (rest.n && (rest.p[0] != ':' || !str_u64(str_sub(rest, 1, rest.n), &port) || !port ||
                   port > UINT16_MAX))
        return false;
    out->host = str_dup(host);
    out->port = (uint16_t)port;
    return true;
}

static bool parse_scheme(struct str *rest, bool *secure)
{
    size_t colon = str_find(*rest, ':');
    if (!str_starts(str_sub(*rest, colon, rest->n), STR("://")))
        return true; /* without one */
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (!str_ieq(str_sub(*rest, 0, colon), schemes[i].name))
            continue;
        *secure |= schemes[i].secure;
        *rest = str_sub(*rest, colon + 3, rest->n);
        return true;
    }
    return false;
}

static void server_fini(struct nats_server *s)
{
    free(s->host);
    free(s->known_as);
    free_secret(s->user);
    free_secret(s->password);
}

/* What is said of a URL must not hold its password. */
static bool parse_url(struct str url, struct nats_server *out, bool *secure, struct err *e)
{
    struct str rest = str_trim(url);
    char text[128];
    if (!parse_scheme(&rest, secure))
        return err_set(e, ERR_INVALID, "NATS server: scheme '%s' is not one of nats, tls, tcp",
                       str_escape(str_sub(rest, 0, str_find(rest, ':')), text, sizeof text));
    size_t at = str_rfind(rest, '@');
    struct str who = at < rest.n ? str_sub(rest, 0, at) : STR_NONE;
    struct str where = at < rest.n ? str_sub(rest, at + 1, rest.n) : rest;
    *out = (struct nats_server){.host = NULL};
    if (!parse_address(str_sub(where, 0, str_find(where, '/')), out))
        return err_set(e, ERR_INVALID, "NATS server: '%s' is not HOST or HOST:PORT",
                       str_escape(where, text, sizeof text));
    if (who.n) {
        size_t colon = str_find(who, ':');
        out->user = unescaped(str_sub(who, 0, colon));
        out->password = colon < who.n ? unescaped(str_sub(who, colon + 1, who.n)) : NULL;
    }
    return true;
}

/* A crowd of members must not all be at the same server. */
static void shuffle(struct nats_servers *s)
{
    for (size_t i = s->n; i > 1; i--) {
        size_t j = (size_t)(rand_u64() % i);
        struct nats_server kept = s->at[i - 1];
        s->at[i - 1] = s->at[j];
        s->at[j] = kept;
    }
}

bool nats_servers_parse(struct nats_servers *s, struct str urls, struct err *e)
{
    struct str rest = urls, url;
    if (urls.n == 0)
        return err_set(e, ERR_INVALID, "no NATS server URL given");
    while (str_cut(&rest, ',', &url)) {
        if (s->n == NATS_SERVERS_MAX)
            return err_set(e, ERR_LIMIT, "more than %d NATS servers given", NATS_SERVERS_MAX);
        if (!parse_url(url, &s->at[s->n], &s->secure, e))
            return false;
        s->n++;
    }
    shuffle(s);
    return true;
}

static bool is_known(const struct nats_servers *s, const struct nats_server *server)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->at[i].port == server->port && strcmp(s->at[i].host, server->host) == 0)
            return true;
    return false;
}

static bool is_address(const char *host)
{
    struct in6_addr ignored;
    return inet_pton(AF_INET, host, &ignored) == 1 || inet_pton(AF_INET6, host, &ignored) == 1;
}

const char *nats_server_name(const struct nats_server *server)
{
    return server->known_as ? server->known_as : server->host;
}

/* Servers tell each other's addresses, seldom names. */
static void inherit(struct nats_server *to, const struct nats_server *from)
{
    const char *name = nats_server_name(from);
    to->found = true;
    to->user = from->user ? str_dup(str_of(from->user)) : NULL;
    to->password = from->password ? str_dup(str_of(from->password)) : NULL;
    to->known_as = is_address(to->host) && !is_address(name) ? str_dup(str_of(name)) : NULL;
}

void nats_servers_found(struct nats_servers *s, size_t *current, const struct str *addresses,
                        size_t n)
{
    size_t kept = 0, now = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->at[i].found && i != *current) {
            server_fini(&s->at[i]);
            continue;
        }
        now = i == *current ? kept : now;
        s->at[kept++] = s->at[i];
    }
    s->n = kept;
    *current = now;
    for (size_t i = 0; i < n && s->n < NATS_SERVERS_MAX; i++) {
        struct nats_server one = {.host = NULL};
        if (!parse_address(addresses[i], &one))
            continue;
        if (is_known(s, &one)) {
            server_fini(&one);
            continue;
        }
        inherit(&one, &s->at[*current]);
        s->at[s->n++] = one;
    }
}

void nats_servers_fini(struct nats_servers *s)
{
    while (s->n)
        server_fini(&s->at[--s->n]);
}
