/* SPDX-License-Identifier: Apache-2.0 */
/* WIT types from text: the body of one `interface` in WIT syntax, which is how the interfaces that the host itself
 * offers are written down.
 * The body is read three times, because functions may name what is declared behind them: resources first, then types
 * (each after those it is made of) and uses, then functions. Failure is sticky, so the grammar reads as a straight
 * line; the first cause wins and names its line.
 * Spec: component-model WIT.md; gates like @since(...) and comments are skipped. */
#include "wrpc/wit.h"

#include <stdarg.h>
#include <stdio.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* A token is its character, or one of these. */
enum { TOK_END = 0, TOK_WORD = 'a', TOK_ARROW = '-' };

enum pass { PASS_RESOURCES, PASS_TYPES, PASS_FUNCS };

/* What a name stands for: a type, or a resource (which as a type means own). */
struct binding {
    struct str name;
    const struct wit_type *type;
    const struct wit_resource *resource;
};

struct parser {
    struct str text;
    size_t at; /* behind the current token */
    char tok;
    bool escaped;    /* the word was written with %, so it is no keyword */
    struct str word; /* of TOK_WORD */
    uint32_t depth;  /* of types within types */
    enum pass pass;
    const struct wit_iface *const *uses;
    size_t nuses;
    struct buf bindings;  /* struct binding */
    struct buf types;     /* struct wit_case: the named types of the interface */
    struct buf resources; /* const struct wit_resource * */
    struct buf funcs;     /* struct wit_func */
    struct arena *arena;
    struct err *e;
    bool failed;
};

/* ---- errors and tokens ---- */

static void fail(struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct parser *p, const char *fmt, ...)
{
    char text[160];
    uint32_t line = 1;
    va_list args;
    if (p->failed)
        return;
    p->failed = true;
    p->tok = TOK_END;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (size_t i = 0; i < p->at; i++)
        line += p->text.p[i] == '\n';
    err_set(p->e, ERR_INVALID, "line %u: %s", line, text);
}

/* A constructor of types said no: e is set, add the line. */
static void fail_made(struct parser *p)
{
    struct err cause = *p->e;
    fail(p, "%s", cause.text);
    p->e->code = cause.code;
}

static void fail_full(struct parser *p)
{
    if (p->failed)
        return;
    arena_full(p->arena, p->e);
    fail_made(p);
}

/* A copy in the arena. */
static struct str own_str(struct parser *p, struct str s)
{
    struct str copy = arena_str(p->arena, s);
    if (!copy.p)
        fail_full(p);
    return copy;
}

static bool at_text(const struct parser *p, const char *z)
{
    struct str s = str_of(z);
    return p->text.n - p->at >= s.n && memcmp(p->text.p + p->at, s.p, s.n) == 0;
}

static void skip_line(struct parser *p)
{
    while (p->at < p->text.n && p->text.p[p->at] != '\n')
        p->at++;
}

static void skip_block_comment(struct parser *p)
{
    uint32_t open = 0;
    do {
        if (p->at >= p->text.n) {
            fail(p, "comment without end");
            return;
        }
        if (at_text(p, "/*"))
            open++, p->at += 2;
        else if (at_text(p, "*/"))
            open--, p->at += 2;
        else
            p->at++;
    } while (open);
}

static void skip_blank(struct parser *p)
{
    while (!p->failed && p->at < p->text.n) {
        if (strchr(" \t\r\n", p->text.p[p->at]) && p->text.p[p->at])
            p->at++;
        else if (at_text(p, "//"))
            skip_line(p);
        else if (at_text(p, "/*"))
            skip_block_comment(p);
        else
            break;
    }
}

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static void next(struct parser *p)
{
    skip_blank(p);
    p->word = STR_NONE;
    p->escaped = false;
    if (p->failed || p->at == p->text.n) {
        p->tok = TOK_END;
        return;
    }
    p->tok = p->text.p[p->at];
    if (at_text(p, "->")) {
        p->tok = TOK_ARROW;
        p->at += 2;
        return;
    }
    p->escaped = p->tok == '%';
    size_t start = p->escaped ? p->at + 1 : p->at;
    size_t end = start;
    while (end < p->text.n && word_char(p->text.p[end]))
        end++;
    if (end > start) {
        p->tok = TOK_WORD;
        p->word = str_sub(p->text, start, end);
        p->at = end;
    } else if (p->tok & 0x80 || !strchr("{}()<>,;:=.@/", p->tok)) {
        fail(p, "unexpected character 0x%02x", (uint8_t)p->tok);
    } else {
        p->at++;
    }
}

static bool is_word(const struct parser *p, const char *z)
{
    return p->tok == TOK_WORD && !p->escaped && str_eqz(p->word, z);
}

static bool accept(struct parser *p, char tok)
{
    if (p->tok != tok || p->failed)
        return false;
    next(p);
    return true;
}

static bool accept_word(struct parser *p, const char *z)
{
    if (!is_word(p, z))
        return false;
    next(p);
    return true;
}

static void expect(struct parser *p, char tok)
{
    if (accept(p, tok))
        return;
    if (p->tok == TOK_WORD)
        fail(p, "expected '%c' before '%.*s'", tok, STR_ARG(p->word));
    else
        fail(p, "expected '%c'", tok);
}

static struct str label(struct parser *p)
{
    struct str word = p->word;
    if (p->tok != TOK_WORD || !wit_label_ok(word)) {
        fail(p, "expected a name");
        return STR("");
    }
    next(p);
    return word;
}

/* ---- names in scope ---- */

static const struct binding *find(const struct parser *p, struct str name)
{
    const struct binding *b = (const void *)p->bindings.p;
    for (size_t i = 0; i < p->bindings.n / sizeof *b; i++)
        if (str_eq(b[i].name, name))
            return &b[i];
    return NULL;
}

static void bind(struct parser *p, struct binding b)
{
    if (p->failed)
        return;
    if (find(p, b.name)) {
        fail(p, "'%.*s' is declared twice", STR_ARG(b.name));
        return;
    }
    buf_put(&p->bindings, &b, sizeof b);
    struct wit_case named = {b.name, b.type};
    if (b.type)
        buf_put(&p->types, &named, sizeof named);
}

static void declare_resource(struct parser *p, struct str name)
{
    struct wit_resource *r = arena_new(p->arena, struct wit_resource);
    struct str copy = own_str(p, name);
    if (!r)
        fail_full(p);
    if (p->failed)
        return;
    *r = (struct wit_resource){.name = copy,
                               .slot = (uint32_t)(p->resources.n / sizeof(struct wit_resource *))};
    bind(p, (struct binding){.name = copy, .resource = r});
    buf_put(&p->resources, &r, sizeof r);
}

/* ---- types ---- */

static const struct wit_type *type(struct parser *p);

/* The outcome of a constructor. */
static const struct wit_type *made(struct parser *p, const struct wit_type *t)
{
    if (!t)
        fail_made(p);
    return t;
}

static const struct wit_type *handle(struct parser *p, enum wit_kind kind, struct str name)
{
    const struct binding *b = find(p, name);
    if (!b || !b->resource) {
        fail(p, "'%.*s' is not a resource", STR_ARG(name));
        return NULL;
    }
    return made(p, wit_handle(p->arena, kind, b->resource, p->e));
}

static const struct wit_type *handle_arg(struct parser *p, enum wit_kind kind)
{
    expect(p, '<');
    struct str name = label(p);
    expect(p, '>');
    return p->failed ? NULL : handle(p, kind, name);
}

static const struct wit_type *tuple(struct parser *p)
{
    AUTO(buf_fini) struct buf members = BUF_INIT;
    expect(p, '<');
    do {
        struct wit_case member = {STR(""), type(p)};
        buf_put(&members, &member, sizeof member);
    } while (accept(p, ',') && p->tok != '>');
    expect(p, '>');
    if (p->failed)
        return NULL;
    uint32_t n = (uint32_t)(members.n / sizeof(struct wit_case));
    return made(p, wit_cases(p->arena, WIT_TUPLE, (const void *)members.p, n, p->e));
}

/* result, result<T>, result<_, E>, result<T, E> */
static const struct wit_type *result(struct parser *p)
{
    const struct wit_type *ok = NULL, *err = NULL;
    if (accept(p, '<')) {
        if (!accept_word(p, "_"))
            ok = type(p);
        if (accept(p, ','))
            err = type(p);
        expect(p, '>');
    }
    return p->failed ? NULL : made(p, wit_result(p->arena, ok, err, p->e));
}

/* list<T>, option<T>, future<T>, stream<T>; the last two also bare */
static const struct wit_type *wrapper(struct parser *p, enum wit_kind kind)
{
    const struct wit_type *elem = NULL;
    bool async = kind == WIT_FUTURE || kind == WIT_STREAM;
    if (!async || p->tok == '<') {
        expect(p, '<');
        elem = type(p);
        expect(p, '>');
    }
    if (p->failed)
        return NULL;
    if (async)
        return made(p, wit_async(p->arena, kind, elem, p->e));
    return made(p, kind == WIT_LIST ? wit_list(p->arena, elem, p->e)
                                    : wit_option(p->arena, elem, p->e));
}

static const struct wit_type *named_type(struct parser *p, struct str name)
{
    const struct binding *b = find(p, name);
    if (!b) {
        fail(p, "type '%.*s' is not declared", STR_ARG(name));
        return NULL;
    }
    return b->type ? b->type : handle(p, WIT_OWN, name);
}

static const struct wit_type *built_in(struct parser *p, enum wit_kind kind)
{
    next(p);
    switch (kind) {
    case WIT_LIST:
    case WIT_OPTION:
    case WIT_FUTURE:
    case WIT_STREAM:
        return wrapper(p, kind);
    case WIT_TUPLE:
        return tuple(p);
    case WIT_RESULT:
        return result(p);
    case WIT_OWN:
    case WIT_BORROW:
        return handle_arg(p, kind);
    default:
        return wit_prim(kind);
    }
}

static bool is_declared_kind(enum wit_kind kind)
{
    return kind == WIT_RECORD || kind == WIT_VARIANT || kind == WIT_ENUM || kind == WIT_FLAGS;
}

static const struct wit_type *type_here(struct parser *p)
{
    for (enum wit_kind kind = WIT_BOOL; kind <= WIT_STREAM; kind++)
        if (!is_declared_kind(kind) && is_word(p, wit_kind_name(kind)))
            return built_in(p, kind);
    struct str name = label(p);
    return p->failed ? NULL : named_type(p, name);
}

/* Not NULL unless p->failed. */
static const struct wit_type *type(struct parser *p)
{
    if (p->depth == WIT_DEPTH_MAX)
        fail(p, "types nested deeper than %d", WIT_DEPTH_MAX);
    if (p->failed)
        return NULL;
    p->depth++;
    const struct wit_type *t = type_here(p);
    p->depth--;
    return t;
}

/* record { a: T }  variant { a, b(T) }  enum { a }  flags { a } */
static void declare_cases(struct parser *p, enum wit_kind kind)
{
    AUTO(buf_fini) struct buf cases = BUF_INIT;
    struct str name = label(p);
    expect(p, '{');
    while (!p->failed && p->tok != '}') {
        struct wit_case c = {label(p), NULL};
        if (kind == WIT_RECORD) {
            expect(p, ':');
            c.type = type(p);
        } else if (kind == WIT_VARIANT && accept(p, '(')) {
            c.type = type(p);
            expect(p, ')');
        }
        buf_put(&cases, &c, sizeof c);
        if (p->tok != '}')
            expect(p, ',');
    }
    expect(p, '}');
    if (p->failed)
        return;
    uint32_t n = (uint32_t)(cases.n / sizeof(struct wit_case));
    const struct wit_type *t = wit_cases(p->arena, kind, (const void *)cases.p, n, p->e);
    bind(p, (struct binding){.name = name, .type = made(p, t)});
}

/* type a = T; where T may be a resource, which then has two names */
static void declare_alias(struct parser *p)
{
    struct str name = label(p);
    expect(p, '=');
    const struct binding *b = p->tok == TOK_WORD ? find(p, p->word) : NULL;
    if (b && b->resource) {
        bind(p, (struct binding){.name = name, .resource = b->resource});
        next(p);
    } else {
        bind(p, (struct binding){.name = name, .type = type(p)});
    }
    expect(p, ';');
}

/* ---- uses ---- */

/* "ns:pkg/iface@1.0.0", without its version, or "iface" alone. */
static const struct wit_iface *find_used(const struct parser *p, struct str path)
{
    for (size_t i = 0; i < p->nuses; i++) {
        struct wit_name n;
        struct str name = p->uses[i]->name;
        if (wit_name_compatible(name, path))
            return p->uses[i];
        if (wit_name_parse(name, &n) && (str_eq(n.unversioned, path) || str_eq(n.iface, path)))
            return p->uses[i];
    }
    return NULL;
}

static struct binding find_in(const struct wit_iface *iface, struct str name)
{
    struct binding b = {.name = name, .type = wit_iface_type(iface, name)};
    for (uint32_t i = 0; i < iface->nresources && !b.type; i++)
        if (str_eq(iface->resources[i]->name, name))
            b.resource = iface->resources[i];
    return b;
}

static void use_names(struct parser *p, const struct wit_iface *from)
{
    do {
        struct str name = label(p);
        struct binding b = find_in(from, name);
        if (!p->failed && !b.type && !b.resource)
            fail(p, "'%.*s' has no type '%.*s'", STR_ARG(from->name), STR_ARG(name));
        if (accept_word(p, "as"))
            b.name = label(p);
        bind(p, b);
    } while (accept(p, ',') && p->tok != '}');
}

/* use path.{a, b as c}; the path runs up to ".{" and is taken as it stands, since versions are no tokens. */
static void use(struct parser *p)
{
    struct str rest = str_sub(p->text, p->at - p->word.n, p->text.n);
    size_t brace = str_find(rest, '{');
    struct str path = str_trim(str_sub(rest, 0, brace));
    if (brace == rest.n || path.n == 0 || path.p[path.n - 1] != '.') {
        fail(p, "expected 'use interface.{name, ...};'");
        return;
    }
    path.n--;
    const struct wit_iface *from = find_used(p, path);
    if (!from) {
        fail(p, "used interface '%.*s' is not known here", STR_ARG(path));
        return;
    }
    p->at = (size_t)(rest.p - p->text.p) + brace;
    next(p);
    expect(p, '{');
    use_names(p, from);
    expect(p, '}');
    expect(p, ';');
}

/* ---- functions ---- */

static void add_param(struct parser *p, struct buf *params, struct str name,
                      const struct wit_type *t)
{
    struct wit_param param = {own_str(p, name), t};
    buf_put(params, &param, sizeof param);
}

/* Moves a list built in `from` into the arena. */
static const void *settle(struct parser *p, const struct buf *from)
{
    void *to = arena_alloc(p->arena, from->n, alignof(max_align_t));
    if (!to)
        fail_full(p);
    else if (from->n)
        memcpy(to, from->p, from->n);
    return to;
}

static void add_func(struct parser *p, const char *name, const struct buf *params,
                     const struct wit_type *result_type)
{
    const struct wit_func *known = (const void *)p->funcs.p;
    for (size_t i = 0; i < p->funcs.n / sizeof *known && name; i++)
        if (str_eqz(known[i].name, name))
            fail(p, "'%s' is declared twice", name);
    if (!name)
        fail_full(p);
    if (p->failed)
        return;
    struct wit_func f = {.name = str_of(name),
                         .nparams = (uint32_t)(params->n / sizeof(struct wit_param)),
                         .params = settle(p, params),
                         .result = result_type};
    buf_put(&p->funcs, &f, sizeof f);
}

/* "(a: T, b: U) [-> R];" of the function called `name`, whose implicit first parameter may be self. */
static void signature(struct parser *p, const char *name, const struct wit_type *self,
                      const struct wit_type *implied_result)
{
    AUTO(buf_fini) struct buf params = BUF_INIT;
    const struct wit_type *result_type = implied_result;
    if (self)
        add_param(p, &params, STR("self"), self);
    expect(p, '(');
    while (!p->failed && p->tok != ')') {
        struct str param = label(p);
        expect(p, ':');
        add_param(p, &params, param, type(p));
        if (p->tok != ')')
            expect(p, ',');
    }
    expect(p, ')');
    if (accept(p, TOK_ARROW))
        result_type = type(p);
    expect(p, ';');
    add_func(p, name, &params, result_type);
}

/* Behind the name: ": [static] func(...)...;" or "constructor(...);" */
static void resource_func(struct parser *p, struct str resource)
{
    if (accept_word(p, "constructor")) {
        const char *name = arena_printf(p->arena, "[constructor]%.*s", STR_ARG(resource));
        signature(p, name, NULL, handle(p, WIT_OWN, resource));
        return;
    }
    struct str member = label(p);
    expect(p, ':');
    bool is_static = accept_word(p, "static");
    if (!accept_word(p, "func"))
        fail(p, "expected 'func'");
    if (p->failed)
        return;
    const char *name = arena_printf(p->arena, "[%s]%.*s.%.*s", is_static ? "static" : "method",
                                    STR_ARG(resource), STR_ARG(member));
    signature(p, name, is_static ? NULL : handle(p, WIT_BORROW, resource), NULL);
}

static void free_func(struct parser *p)
{
    struct str name = label(p);
    expect(p, ':');
    if (!accept_word(p, "func"))
        fail(p, "expected 'func'");
    if (!p->failed)
        signature(p, arena_printf(p->arena, "%.*s", STR_ARG(name)), NULL, NULL);
}

/* ---- items ---- */

static void skip_gates(struct parser *p)
{
    while (accept(p, '@')) {
        next(p);
        if (!accept(p, '('))
            continue;
        while (!p->failed && p->tok != ')' && p->tok != TOK_END)
            next(p);
        expect(p, ')');
    }
}

static void resource_body(struct parser *p, struct str name)
{
    for (skip_gates(p); !p->failed && p->tok != '}'; skip_gates(p))
        resource_func(p, name);
    expect(p, '}');
}

/* An item of another pass: up to its ';', or over its braces (behind which a use has a ';'). */
static void skip_item(struct parser *p)
{
    while (!p->failed && p->tok != ';' && p->tok != '{') {
        if (p->tok == TOK_END)
            fail(p, "unexpected end");
        next(p);
    }
    bool braces = p->tok == '{';
    while (braces && !p->failed && p->tok != '}') {
        if (p->tok == TOK_END)
            fail(p, "'{' without '}'");
        next(p);
    }
    next(p);
    if (braces)
        accept(p, ';');
}

static void resource(struct parser *p)
{
    struct str name = label(p);
    if (p->pass == PASS_RESOURCES)
        declare_resource(p, name);
    if (p->pass == PASS_FUNCS && accept(p, '{'))
        resource_body(p, name);
    else
        skip_item(p);
}

/* What a type item starts with, and what reads the rest of it. */
static bool type_item(struct parser *p)
{
    for (enum wit_kind kind = WIT_RECORD; kind <= WIT_FLAGS; kind++) {
        if (is_declared_kind(kind) && accept_word(p, wit_kind_name(kind))) {
            if (p->pass == PASS_TYPES)
                declare_cases(p, kind);
            else
                skip_item(p);
            return true;
        }
    }
    bool is_use = is_word(p, "use");
    if (!is_use && !is_word(p, "type"))
        return false;
    next(p);
    if (p->pass != PASS_TYPES)
        skip_item(p);
    else if (is_use)
        use(p);
    else
        declare_alias(p);
    return true;
}

static void item(struct parser *p)
{
    if (accept_word(p, "resource"))
        resource(p);
    else if (type_item(p))
        return;
    else if (p->pass == PASS_FUNCS)
        free_func(p);
    else
        skip_item(p);
}

static void read_body(struct parser *p, enum pass pass)
{
    p->pass = pass;
    p->at = 0;
    next(p);
    for (skip_gates(p); !p->failed && p->tok != TOK_END; skip_gates(p))
        item(p);
}

/* Type names so far are views into the text. */
static void own_type_names(struct parser *p)
{
    struct wit_case *types = (void *)p->types.p;
    for (size_t i = 0; i < p->types.n / sizeof *types; i++)
        types[i].name = own_str(p, types[i].name);
}

static const struct wit_iface *finish(struct parser *p, struct str name)
{
    struct wit_iface *iface = arena_new(p->arena, struct wit_iface);
    if (!iface)
        fail_full(p);
    if (p->failed)
        return NULL;
    own_type_names(p);
    *iface = (struct wit_iface){
        .name = own_str(p, name),
        .nfuncs = (uint32_t)(p->funcs.n / sizeof(struct wit_func)),
        .funcs = settle(p, &p->funcs),
        .nresources = (uint32_t)(p->resources.n / sizeof(struct wit_resource *)),
        .resources = settle(p, &p->resources),
        .ntypes = (uint32_t)(p->types.n / sizeof(struct wit_case)),
        .types = settle(p, &p->types),
    };
    return p->failed ? NULL : iface;
}

const struct wit_iface *wit_parse(struct arena *a, struct str name, struct str text,
                                  const struct wit_iface *const *uses, size_t nuses, struct err *e)
{
    struct parser p = {.text = text, .uses = uses, .nuses = nuses, .arena = a, .e = e};
    for (enum pass pass = PASS_RESOURCES; pass <= PASS_FUNCS && !p.failed; pass++)
        read_body(&p, pass);
    const struct wit_iface *iface = finish(&p, name);
    buf_fini(&p.bindings);
    buf_fini(&p.types);
    buf_fini(&p.resources);
    buf_fini(&p.funcs);
    if (!iface)
        err_wrap(e, "interface '%.*s'", STR_ARG(name));
    return iface;
}
