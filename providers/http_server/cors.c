/* SPDX-License-Identifier: Apache-2.0 */
/* Who in a browser may use what is served here. As upstream the default lets everybody read; what a component says
 * itself weighs more. Spec: the Fetch standard, "CORS protocol". */
#include "providers/http_server/provider.h"

#include <inttypes.h>
#include <stdio.h>

static struct str find(const struct http_header *headers, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_ieq(headers[i].name, name))
            return headers[i].value;
    return STR_NONE;
}

/* In a list an origin may end with a slash; browsers send none. */
static struct str without_slash(struct str origin)
{
    return origin.n && origin.p[origin.n - 1] == '/' ? str_sub(origin, 0, origin.n - 1) : origin;
}

/* What to answer this origin: "*", itself, or nothing. */
static struct str allowed(const struct cors *c, struct str origin)
{
    struct str rest = c->origins, one;
    if (c->origins.n == 0)
        return STR("*");
    while (str_cut(&rest, ',', &one))
        if (str_ieq(without_slash(str_trim(one)), origin) || str_eqz(str_trim(one), "*"))
            return origin;
    return STR_NONE;
}

static void add(struct http_header *out, size_t *n, struct str name, struct str value)
{
    if (value.n)
        out[(*n)++] = (struct http_header){name, value};
}

static struct str or_any(struct str list)
{
    return list.n ? list : STR("*");
}

bool cors_preflight(const struct cors *c, const struct http_head *head, struct cors_answer *out)
{
    struct str origin = find(head->headers, head->nheaders, STR("origin"));
    struct str method = find(head->headers, head->nheaders, STR("access-control-request-method"));
    if (!str_eqz(head->method, "OPTIONS") || !origin.p || !method.p)
        return false;
    struct str age = {out->age, 0};
    age.n = (size_t)snprintf(out->age, sizeof out->age, "%" PRIu64, c->max_age_s);
    out->n = 0;
    add(out->headers, &out->n, STR("access-control-allow-origin"), allowed(c, origin));
    add(out->headers, &out->n, STR("access-control-allow-methods"), or_any(c->methods));
    add(out->headers, &out->n, STR("access-control-allow-headers"), or_any(c->headers));
    add(out->headers, &out->n, STR("access-control-max-age"), age);
    add(out->headers, &out->n, STR("vary"),
        STR("origin, access-control-request-method, access-control-request-headers"));
    return true;
}

size_t cors_headers(const struct cors *c, const struct http_head *head, struct http_header *headers,
                    size_t n)
{
    struct str origin = find(head->headers, head->nheaders, STR("origin"));
    if (!origin.p || find(headers, n, STR("access-control-allow-origin")).p)
        return n;
    struct str allow = allowed(c, origin);
    add(headers, &n, STR("access-control-allow-origin"), allow);
    if (allow.n && !find(headers, n, STR("access-control-expose-headers")).p)
        add(headers, &n, STR("access-control-expose-headers"), or_any(c->exposed));
    if (c->origins.n)
        add(headers, &n, STR("vary"), STR("origin"));
    return n;
}
