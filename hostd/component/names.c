/* SPDX-License-Identifier: Apache-2.0 */
/* Names of imports and exports: their grammar, and when two of them are too alike to stand in one scope.
 * Spec: Explainer.md "Import and Export Definitions", Binary.md, section of names. */
#include <ctype.h>
#include "hostd/component/component_int.h"

/* What stands in brackets, and what follows it. */
static const struct {
    struct str prefix;
    enum name_kind kind;
    bool dotted; /* resource.member */
} annotations[] = {
    {STR_INIT("[constructor]"), NAME_CONSTRUCTOR, false},
    {STR_INIT("[method]"), NAME_METHOD, true},
    {STR_INIT("[static]"), NAME_STATIC, true},
};

static bool bad_name(struct str s, const char *why, struct err *e)
{
    char shown[128];
    return err_set(e, ERR_INVALID, "\"%s\" is not a valid name: %s",
                   str_escape(s, shown, sizeof shown), why);
}

/* The linker also understands "@1.2"; in a component a version is whole. */
static bool version_whole(struct str version)
{
    unsigned dots = 0;
    for (size_t i = 0; i < version.n && version.p[i] != '-' && version.p[i] != '+'; i++)
        dots += version.p[i] == '.';
    return version.n == 0 || dots == 2;
}

bool extern_name_parse(struct str s, struct extern_name *out, struct err *e)
{
    struct wit_name iface;
    struct extern_name n = {.kind = NAME_LABEL};
    if (s.n > COMP_NAME_MAX)
        return err_set(e, ERR_LIMIT, "name of %zu bytes, limit is %d", s.n, COMP_NAME_MAX);
    for (size_t i = 0; i < sizeof annotations / sizeof *annotations; i++) {
        if (!str_starts(s, annotations[i].prefix))
            continue;
        struct str rest = str_sub(s, annotations[i].prefix.n, s.n);
        size_t dot = annotations[i].dotted ? str_find(rest, '.') : rest.n;
        n.kind = annotations[i].kind;
        n.resource = str_sub(rest, 0, dot);
        n.member = str_sub(rest, dot + 1, rest.n);
        if (!wit_label_ok(n.resource) || (annotations[i].dotted && !wit_label_ok(n.member)))
            return bad_name(s,
                            annotations[i].dotted ? "resource.member expected after the bracket"
                                                  : "resource name expected after the bracket",
                            e);
        *out = n;
        return true;
    }
    if (str_find(s, ':') < s.n) {
        n.kind = NAME_INTERFACE;
        if (!wit_name_parse(s, &iface) || !version_whole(iface.version))
            return bad_name(s, "not of the form namespace:package/interface@version", e);
    } else if (!wit_label_ok(s)) {
        return bad_name(s, "not in kebab case", e);
    }
    *out = n;
    return true;
}

struct str name_key(struct arena *a, struct str s)
{
    struct str key = arena_str(a, s);
    if (!key.p)
        return key;
    char *p = (char *)(uintptr_t)key.p; /* our own fresh copy */
    for (size_t i = 0; i < key.n; i++)
        p[i] = (char)tolower((unsigned char)p[i]);
    if (str_starts(key, annotations[0].prefix))
        return key;
    size_t bracket = key.n && key.p[0] == '[' ? str_find(key, ']') : key.n;
    if (bracket == key.n)
        return key;
    key = str_sub(key, bracket + 1, key.n);
    size_t dot = str_find(key, '.');
    struct str resource = str_sub(key, 0, dot);
    return str_eq(resource, str_sub(key, dot + 1, key.n)) ? resource : key;
}
