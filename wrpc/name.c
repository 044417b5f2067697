/* SPDX-License-Identifier: Apache-2.0 */
/* Interface names, "ns:pkg/iface@1.2.3", and which versions may stand for each other.
 * Keeps: what parses is well formed in every part; the views borrow from the input.
 * Spec: component-model Explainer.md, "Import and Export Definitions"; semver.org 2.0.0. */
#include "wrpc/wit.h"

#include "lattice/base/num.h"

#define NAME_MAX_BYTES 1024

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}
static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

/* One part of a label between dashes: a lower-case word or an upper-case ACRONYM. */
static bool fragment_ok(struct str s, bool first)
{
    bool lower = false, upper = false;
    for (size_t i = 0; i < s.n; i++) {
        lower |= is_lower(s.p[i]);
        upper |= is_upper(s.p[i]);
        if (!is_lower(s.p[i]) && !is_upper(s.p[i]) && !is_digit(s.p[i]))
            return false;
    }
    return s.n > 0 && !(lower && upper) && !(first && is_digit(s.p[0]));
}

bool wit_label_ok(struct str s)
{
    struct str part;
    if (s.n == 0)
        return false;
    for (bool first = true; str_cut(&s, '-', &part); first = false)
        if (!fragment_ok(part, first))
            return false;
    return true;
}

/* Namespaces and packages. */
static bool lower_label_ok(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (is_upper(s.p[i]))
            return false;
    return wit_label_ok(s);
}

/* ---- versions ---- */

struct version {
    uint64_t number[3];
    uint32_t nnumbers; /* 3; fewer in the canonical short forms "1" and "0.2" */
    struct str pre, build;
};

static bool number_ok(struct str s, uint64_t *out)
{
    return !(s.n > 1 && s.p[0] == '0') && str_u64(s, out);
}

/* Dot-separated identifiers of a pre-release or build part. */
static bool identifiers_ok(struct str s, bool numbers_strict)
{
    struct str part;
    while (str_cut(&s, '.', &part)) {
        bool digits = part.n > 0;
        for (size_t i = 0; i < part.n; i++) {
            char c = part.p[i];
            digits &= is_digit(c);
            if (!is_digit(c) && !is_lower(c) && !is_upper(c) && c != '-')
                return false;
        }
        if (part.n == 0 || (numbers_strict && digits && part.n > 1 && part.p[0] == '0'))
            return false;
    }
    return true;
}

static bool canonical_short(const struct version *v)
{
    bool plain = v->pre.n == 0 && v->build.n == 0;
    return plain && ((v->nnumbers == 1 && v->number[0] > 0) ||
                     (v->nnumbers == 2 && v->number[0] == 0 && v->number[1] > 0));
}

static bool version_parse(struct str s, struct version *v)
{
    *v = (struct version){.nnumbers = 0};
    size_t plus = str_find(s, '+');
    struct str core = str_sub(s, 0, plus);
    size_t dash = str_find(core, '-');
    v->build = str_sub(s, plus + 1, s.n);
    v->pre = str_sub(core, dash + 1, core.n);
    if (plus < s.n && !identifiers_ok(v->build, false))
        return false;
    if (dash < core.n && !identifiers_ok(v->pre, true))
        return false;
    core = str_sub(core, 0, dash);
    struct str part;
    while (str_cut(&core, '.', &part)) {
        if (v->nnumbers == 3 || !number_ok(part, &v->number[v->nnumbers]))
            return false;
        v->nnumbers++;
    }
    return v->nnumbers == 3 || canonical_short(v);
}

/* Same class: the same major; for 0.x the same minor; else all of it. Absent numbers of a short form are never
 * looked at, because its class ends before them. */
static bool same_class(const struct version *a, const struct version *b)
{
    if (a->pre.n || b->pre.n)
        return str_eq(a->pre, b->pre) && memcmp(a->number, b->number, sizeof a->number) == 0;
    for (uint32_t i = 0; i < ARRAY_LEN(a->number); i++) {
        if (a->number[i] != b->number[i])
            return false;
        if (a->number[i] > 0)
            return true;
    }
    return true;
}

/* ---- names ---- */

bool wit_name_parse(struct str s, struct wit_name *out)
{
    struct wit_name n;
    struct version v;
    size_t at = str_find(s, '@');
    n.unversioned = str_sub(s, 0, at);
    n.version = str_sub(s, at + 1, s.n);
    size_t colon = str_find(n.unversioned, ':');
    size_t slash = str_find(n.unversioned, '/');
    if (s.n > NAME_MAX_BYTES || colon >= slash || slash == n.unversioned.n)
        return false;
    n.ns = str_sub(s, 0, colon);
    n.pkg = str_sub(s, colon + 1, slash);
    n.iface = str_sub(n.unversioned, slash + 1, n.unversioned.n);
    if (!lower_label_ok(n.ns) || !lower_label_ok(n.pkg) || !wit_label_ok(n.iface))
        return false;
    if (at < s.n && !version_parse(n.version, &v))
        return false;
    *out = n;
    return true;
}

bool wit_name_compatible(struct str a, struct str b)
{
    struct wit_name na, nb;
    struct version va, vb;
    if (str_eq(a, b))
        return true;
    if (!wit_name_parse(a, &na) || !wit_name_parse(b, &nb) ||
        !str_eq(na.unversioned, nb.unversioned))
        return false;
    return version_parse(na.version, &va) && version_parse(nb.version, &vb) && same_class(&va, &vb);
}
