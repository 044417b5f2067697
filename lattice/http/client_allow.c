/* SPDX-License-Identifier: Apache-2.0 */
/* Whom the client may ask: authorities of requests, and the operator's patterns for them.
 * Keeps: what is not plainly a host name or an address is refused, so that libcurl sees the same host as the patterns
 * did. A name is compared as it stands; where it leads is the resolver's word, and the operator's choice. */
#include "lattice/http/http_client_int.h"

enum { PORT_HTTP = 80, PORT_HTTPS = 443 };
#define HOST_BYTES_MAX 255u

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static bool all_of(struct str s, const char *others)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_alnum(s.p[i]) && (!s.p[i] || !strchr(others, s.p[i])))
            return false;
    return s.n > 0;
}

static bool host_ok(struct str host)
{
    if (host.n > HOST_BYTES_MAX)
        return false;
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        return all_of(str_sub(host, 1, host.n - 1), ":.");
    return all_of(host, "-._");
}

/* "HOST[:PORT]"; an empty port is none. */
static bool split(struct str s, struct str *host, struct str *port)
{
    size_t bracket = str_rfind(s, ']'), colon = str_rfind(s, ':');
    bool has_port = colon < s.n && (bracket == s.n || colon > bracket);
    *host = has_port ? str_sub(s, 0, colon) : s;
    *port = has_port ? str_sub(s, colon + 1, s.n) : STR_NONE;
    return !has_port || port->n > 0;
}

static bool port_parse(struct str s, uint16_t *port)
{
    uint64_t v;
    if (!str_u64(s, &v) || v == 0 || v > UINT16_MAX)
        return false;
    *port = (uint16_t)v;
    return true;
}

bool http_target_parse(struct str scheme, struct str authority, struct http_target *out,
                       struct err *e)
{
    struct str port;
    if (scheme.n && !str_ieq(scheme, STR("http")) && !str_ieq(scheme, STR("https")))
        return err_set(e, ERR_UNSUPPORTED, "scheme other than http and https");
    out->tls = !str_ieq(scheme, STR("http"));
    out->port = out->tls ? PORT_HTTPS : PORT_HTTP;
    if (!split(authority, &out->host, &port) || !host_ok(out->host) ||
        (port.n && !port_parse(port, &out->port)))
        return err_set(e, ERR_INVALID, "the authority is not HOST or HOST:PORT");
    return true;
}

/* ---- patterns ---- */

struct pattern {
    struct str scheme, host; /* empty: any */
    bool suffix;             /* host is what stands behind the "*", with its dot */
    uint16_t port;           /* 0: any */
};

static bool pattern_parse(struct str s, struct pattern *out)
{
    struct str port;
    size_t colon = str_find(s, ':');
    *out = (struct pattern){.port = 0};
    if (str_starts(str_sub(s, colon, s.n), STR("://"))) {
        out->scheme = str_sub(s, 0, colon);
        s = str_sub(s, colon + 3, s.n);
        if (!str_ieq(out->scheme, STR("http")) && !str_ieq(out->scheme, STR("https")))
            return false;
    }
    if (!split(s, &out->host, &port) ||
        (port.n && !str_eqz(port, "*") && !port_parse(port, &out->port)))
        return false;
    if (str_eqz(out->host, "*")) {
        out->host = STR_NONE;
        return true;
    }
    out->suffix = str_starts(out->host, STR("*."));
    if (out->suffix)
        out->host = str_sub(out->host, 1, out->host.n);
    return host_ok(out->host);
}

static bool pattern_fits(const struct pattern *p, const struct http_target *t)
{
    struct str host = t->host;
    if (p->suffix) { /* at least one label before it */
        if (host.n <= p->host.n)
            return false;
        host = str_sub(host, host.n - p->host.n, host.n);
    }
    return (!p->scheme.n || str_ieq(p->scheme, t->tls ? STR("https") : STR("http"))) &&
           (!p->host.n || str_ieq(p->host, host)) && (!p->port || p->port == t->port);
}

bool http_allow_check(struct str patterns, struct err *e)
{
    struct str part;
    struct pattern p;
    while (patterns.n && str_cut(&patterns, ',', &part)) {
        part = str_trim(part);
        if (part.n && !pattern_parse(part, &p))
            return err_set(
                e, ERR_INVALID,
                "'%.*s' is no pattern: [http://|https://]HOST[:PORT], HOST being a name, "
                "an address, *.SUFFIX or *",
                STR_ARG(part));
    }
    return true;
}

bool http_allow_fits(struct str patterns, const struct http_target *target)
{
    struct str part;
    struct pattern p;
    while (patterns.n && str_cut(&patterns, ',', &part))
        if (pattern_parse(str_trim(part), &p) && pattern_fits(&p, target))
            return true;
    return false;
}
