/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the public component-model suite, converted to JSON and binaries (wast2json's shape plus `component`,
 * `definition`, `instance_of`). The suite is not ours and not in the tree:
 *
 *   spec_component [-v] [FOLDER | ARCHIVE.tar.xz]      default: $HOSTD_DATA, else ../shared/data
 *
 * What is expected to fail is listed in component.expected, one "file:line reason" each; a listed case that passes
 * fails the run. Cases that need a feature which the engine refuses by name are counted apart, by feature.
 * Exit status 77: skipped, no suite found. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hostd/component/component.h"
#include "lattice/base/alloc.h"
#include "lattice/base/arena.h"

#define EXIT_SKIPPED 77
#define FOLDER_MAX 1024
#define EXPECTED_MAX 256
#define FEATURES_MAX 64
#define NOT_SUPPORTED " is not supported" /* what a built-in that is a stub traps with */

extern char **environ;

static struct {
    bool verbose;
    unsigned passed, failed, unsupported, expected;
    struct {
        char name[160];
        unsigned line;
        bool seen;
    } expect[EXPECTED_MAX];
    unsigned nexpect;
    struct {
        char text[160];
        unsigned n;
    } feature[FEATURES_MAX];
    unsigned nfeatures;
} run;

/* ---- one file ---- */

struct definition {
    char name[64];
    struct comp *comp; /* NULL: refused */
};

struct file {
    char folder[2048], name[600];
    unsigned line;
    struct definition defs[128];
    unsigned ndefs;
    struct comp_inst *inst; /* the current instance */
    bool refused;           /* ... could not be had, because of an unsupported feature */
    struct comp_linked *linked;
};

static bool is_expected(const struct file *f)
{
    for (unsigned i = 0; i < run.nexpect; i++) {
        if (run.expect[i].line == f->line && strcmp(run.expect[i].name, f->name) == 0) {
            run.expect[i].seen = true;
            return true;
        }
    }
    return false;
}

static void passed(struct file *f)
{
    if (is_expected(f)) {
        printf("%s:%u: passes, but is listed as expected to fail\n", f->name, f->line);
        run.failed++;
    } else {
        run.passed++;
    }
}

__attribute__((format(printf, 2, 3))) static void failed(struct file *f, const char *fmt, ...)
{
    va_list ap;
    if (is_expected(f)) {
        run.expected++;
        return;
    }
    run.failed++;
    printf("%s:%u: ", f->name, f->line);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

/* Counts by what stands behind the last "offset N: ", or by the built-in that trapped. */
static void unsupported(struct file *f, const char *text)
{
    const char *what = text;
    char trap[160];
    for (const char *p = text; (p = strstr(p, "offset ")); p++) {
        const char *colon = strchr(p, ':');
        what = colon && colon[1] == ' ' ? colon + 2 : what;
    }
    if (sscanf(text, "wasm trap: %159[^@]", trap) == 1 && strstr(trap, NOT_SUPPORTED)) {
        *strstr(trap, NOT_SUPPORTED) = '\0';
        what = trap;
    }
    run.unsupported++;
    if (run.verbose)
        printf("%s:%u: %s\n", f->name, f->line, text);
    unsigned i = 0;
    while (i < run.nfeatures &&
           strncmp(run.feature[i].text, what, sizeof run.feature[i].text - 1) != 0)
        i++;
    if (i == FEATURES_MAX)
        return;
    if (i == run.nfeatures)
        snprintf(run.feature[run.nfeatures++].text, sizeof run.feature[0].text, "%s", what);
    run.feature[i].n++;
}

static const char *field(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static struct comp *load(const struct file *f, const char *filename, struct err *e)
{
    char path[3072];
    snprintf(path, sizeof path, "%s/%s", f->folder, filename);
    FILE *in = fopen(path, "rb");
    static uint8_t bytes[4 << 20];
    if (!in) {
        err_errno(e, errno, "%s", path);
        return NULL;
    }
    size_t n = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    return comp_load((struct span){bytes, n}, NULL, e);
}

/* ---- values ---- the expectation's shape is ["u32.const", "42"], ["list.const", value ...] */

/* A quoted string of the text format. */
static struct str unquote(struct arena *a, const char *s)
{
    size_t n = strlen(s);
    char *out = arena_alloc(a, n + 4, 1), *q = out;
    for (const char *p = s + 1; p < s + n - 1; p++) {
        if (*p != '\\') {
            *q++ = *p;
            continue;
        }
        static const char plain[] = "t\tn\nr\r\"\"''\\\\";
        const char *hit = strchr(plain, *++p);
        unsigned code;
        if (hit && *p) {
            *q++ = hit[1];
        } else if (sscanf(p, "%2x", &code) == 1) {
            *q++ = (char)code;
            p++;
        }
    }
    return (struct str){out, (size_t)(q - out)};
}

static uint32_t case_named(const struct wit_type *t, struct str name)
{
    for (uint32_t i = 0; i < t->ncases; i++)
        if (str_eq(t->cases[i].name, name))
            return i;
    return UINT32_MAX;
}

static uint32_t utf8_first(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    unsigned extra = p[0] < 0x80 ? 0 : p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
    uint32_t c = extra ? p[0] & (0x3fu >> extra) : p[0];
    for (unsigned i = 1; i <= extra; i++)
        c = c << 6 | (p[i] & 0x3f);
    return c;
}

static bool value_of(struct arena *a, const struct wit_type *t, const json_t *j,
                     struct wit_value *out);

static bool values_of(struct arena *a, const struct wit_type *t, const json_t *j,
                      struct wit_value *out)
{
    size_t n = json_array_size(j) - 1;
    struct wit_value *v = arena_array(a, struct wit_value, n);
    uint8_t *bytes = arena_alloc(a, n, 1);
    for (size_t i = 0; i < n; i++) {
        const struct wit_type *elem = t->kind == WIT_LIST ? t->elem
                                      : i < t->ncases     ? t->cases[i].type
                                                          : NULL;
        json_t *item = json_array_get(j, i + 1);
        json_t *cut = NULL;
        if (t->kind == WIT_RECORD) { /* ["field", "name", type, value ...] */
            cut = json_copy(item);
            json_array_remove(cut, 0);
            json_array_remove(cut, 0);
            item = cut;
        }
        bool ok = elem && value_of(a, elem, item, &v[i]);
        json_decref(cut);
        if (!ok)
            return false;
        bytes[i] = (uint8_t)v[i].u64;
    }
    bool raw = t->kind == WIT_LIST && (t->elem->kind == WIT_U8 || t->elem->kind == WIT_S8);
    *out = raw ? (struct wit_value){.p = bytes, .n = (uint32_t)n}
               : (struct wit_value){.v = v, .n = (uint32_t)n};
    return true;
}

static bool payload_of(struct arena *a, const struct wit_type *t, const json_t *j, uint32_t n,
                       struct wit_value *out)
{
    struct wit_value *v = arena_new(a, struct wit_value);
    *out = (struct wit_value){.n = n};
    if (!t)
        return true;
    out->v = v;
    return j && value_of(a, t, j, v);
}

static bool value_of(struct arena *a, const struct wit_type *t, const json_t *j,
                     struct wit_value *out)
{
    const char *what = json_string_value(json_array_get(j, 0));
    json_t *arg = json_array_get(j, 1);
    const char *text = json_string_value(arg);
    union {
        float f;
        uint32_t u;
    } f32;
    union {
        double f;
        uint64_t u;
    } f64;
    uint32_t n;
    switch (t->kind) {
    case WIT_BOOL:
        *out = wit_u64(strcmp(text, "true") == 0);
        return true;
    case WIT_F32:
        f32.f = strtof(text, NULL);
        *out = wit_u64(f32.u);
        return true;
    case WIT_F64:
        f64.f = strtod(text, NULL);
        *out = wit_u64(f64.u);
        return true;
    case WIT_CHAR:
        *out = wit_u64(utf8_first(unquote(a, text)));
        return true;
    case WIT_STRING:
        *out = wit_str(unquote(a, text));
        return true;
    case WIT_LIST:
    case WIT_TUPLE:
    case WIT_RECORD:
        return values_of(a, t, j, out);
    case WIT_ENUM:
    case WIT_VARIANT:
        n = case_named(t, unquote(a, text));
        return n != UINT32_MAX && payload_of(a, t->cases[n].type, json_array_get(j, 2), n, out);
    case WIT_OPTION:
        n = strcmp(what, "option.some") == 0;
        return payload_of(a, n ? t->elem : NULL, arg, n, out);
    case WIT_RESULT:
        n = strcmp(what, "result.err") == 0;
        return payload_of(a, n ? t->err : t->elem, arg, n, out);
    case WIT_FLAGS:
        *out = wit_u64(0);
        for (size_t i = 1; i < json_array_size(j); i++)
            out->u64 |= 1u << case_named(t, unquote(a, json_string_value(json_array_get(j, i))));
        return true;
    default:
        if (text[0] == '-')
            out->s64 = strtoll(text, NULL, 0);
        else
            out->u64 = strtoull(text, NULL, 0);
        out->n = out->aux = 0;
        return true;
    }
}

/* ---- commands ---- */

/* The instance, if there is one, ended with it. */
static void refused(struct file *f, const char *why)
{
    f->refused = true;
    unsupported(f, why);
}

static void drop_instance(struct file *f)
{
    comp_inst_free(f->inst);
    comp_linked_unref(f->linked);
    f->inst = NULL;
    f->linked = NULL;
}

/* Makes the current instance; what it runs into is left in e. */
static bool instantiate(struct file *f, struct comp *c, struct err *e)
{
    drop_instance(f);
    f->linked = comp_link(c, NULL, e);
    if (!f->linked || !(f->inst = comp_inst_new(f->linked, NULL, e)))
        return false;
    enum comp_outcome o = comp_run(f->inst);
    return o == COMP_DONE || err_set(e, ERR_TRAP, "%s", comp_trap_text(f->inst));
}

static struct definition *find(struct file *f, const char *name)
{
    for (unsigned i = f->ndefs; i-- > 0;)
        if (strcmp(f->defs[i].name, name) == 0)
            return &f->defs[i];
    return NULL;
}

static void cmd_component(struct file *f, const json_t *cmd)
{
    struct err e = ERR_INIT;
    const char *of = field(cmd, "instance_of");
    struct definition *d;
    f->refused = false;
    if (*of) {
        d = find(f, of);
    } else {
        d = &f->defs[f->ndefs++ % 128];
        comp_unref(d->comp);
        snprintf(d->name, sizeof d->name, "%s", field(cmd, "name"));
        d->comp = load(f, field(cmd, "filename"), &e);
    }
    bool ok = d && d->comp;
    if (ok && !json_is_true(json_object_get(cmd, "definition")))
        ok = instantiate(f, d->comp, &e);
    if (ok) {
        passed(f);
        return;
    }
    drop_instance(f);
    if (e.code == ERR_UNSUPPORTED || strstr(e.text, NOT_SUPPORTED) || (d && !d->comp && *of))
        refused(f, d && !d->comp && *of ? "instance of a refused component" : e.text);
    else
        failed(f, "component: %s", e.text);
}

/* False: it did not even start, and that was reported. */
static bool invoke(struct file *f, const json_t *action, struct arena *a,
                   const struct comp_func **func, enum comp_outcome *out, const char **why)
{
    static struct err e;
    struct wit_value args[16];
    const json_t *jargs = json_object_get(action, "args");
    *why = "";
    *func = comp_find(f->linked, STR(""), str_of(field(action, "field")));
    if (!*func) {
        failed(f, "no export \"%s\"", field(action, "field"));
        return false;
    }
    const struct wit_func *type = comp_func_type(*func);
    for (uint32_t i = 0; i < type->nparams && i < 16; i++) {
        if (!value_of(a, type->params[i].type, json_array_get(jargs, i), &args[i])) {
            failed(f, "argument %u does not fit", i);
            return false;
        }
    }
    *out = COMP_TRAPPED;
    if (!comp_call(f->inst, *func, args, &e)) {
        *why = e.text;
        return true;
    }
    *out = comp_run(f->inst);
    *why = comp_trap_text(f->inst);
    return true;
}

static void cmd_return(struct file *f, const json_t *cmd)
{
    const struct comp_func *func;
    enum comp_outcome o;
    const char *why;
    struct arena a;
    struct wit_value want;
    const json_t *expected = json_object_get(cmd, "expected");
    arena_init(&a, 16 << 20);
    if (invoke(f, json_object_get(cmd, "action"), &a, &func, &o, &why)) {
        const struct wit_type *t = comp_func_type(func)->result;
        if (o != COMP_DONE && strstr(why, NOT_SUPPORTED))
            refused(f, why);
        else if (o != COMP_DONE)
            failed(f, "%s", why);
        else if (!t && json_array_size(expected) == 0)
            passed(f);
        else if (!t || !value_of(&a, t, json_array_get(expected, 0), &want))
            failed(f, "the expected value is not of the function's type");
        else if (!wit_value_eq(t, comp_result(f->inst), &want)) {
            struct buf text = {.max = 2000};
            wit_value_text(t, comp_result(f->inst), &text);
            buf_str(&text, STR(", expected "));
            wit_value_text(t, &want, &text);
            failed(f, "returned %.*s", STR_ARG(buf_view(&text)));
            buf_fini(&text);
        } else {
            passed(f);
        }
    }
    arena_fini(&a);
}

/* The suite's words, and ours where they differ. */
static const struct {
    const char *theirs, *ours;
} wordings[] = {
    {"wasm `unreachable` instruction executed", "unreachable"},
    {"unaligned pointer", "not aligned"},
    {"list content out-of-bounds", "beyond end of memory"},
    {"invalid utf-8", "incomplete utf-8"},
};

static bool same_reason(const char *theirs, const char *ours)
{
    static const char prefix[] = "wasm trap: ";
    if (strncmp(theirs, prefix, sizeof prefix - 1) == 0)
        theirs += sizeof prefix - 1;
    for (size_t i = 0; i < sizeof wordings / sizeof *wordings; i++)
        if (strcmp(theirs, wordings[i].theirs) == 0 && strstr(ours, wordings[i].ours))
            return true;
    return strstr(ours, theirs) != NULL;
}

static void cmd_trap(struct file *f, const json_t *cmd)
{
    const struct comp_func *func;
    enum comp_outcome o = COMP_TRAPPED;
    const char *why, *text = field(cmd, "text");
    struct err e = ERR_INIT;
    struct arena a;
    arena_init(&a, 16 << 20);
    if (json_object_get(cmd, "filename")) {
        struct comp *c = load(f, field(cmd, "filename"), &e);
        o = c && instantiate(f, c, &e) ? COMP_DONE : COMP_TRAPPED;
        why = e.text;
        comp_unref(c);
    } else if (!invoke(f, json_object_get(cmd, "action"), &a, &func, &o, &why)) {
        arena_fini(&a);
        return;
    }
    if (e.code == ERR_UNSUPPORTED || strstr(why, NOT_SUPPORTED))
        refused(f, why);
    else if (o != COMP_TRAPPED)
        failed(f, "did not trap; expected: %s", text);
    else if (!same_reason(text, why))
        failed(f, "trapped with \"%s\", expected: %s", why, text);
    else
        passed(f);
    arena_fini(&a);
}

static void cmd_refuse(struct file *f, const json_t *cmd)
{
    struct err e = ERR_INIT;
    if (strcmp(field(cmd, "module_type"), "text") == 0)
        return; /* about the text format, which we do not read */
    struct comp *c = load(f, field(cmd, "filename"), &e);
    if (c)
        failed(f, "accepted; expected: %s", field(cmd, "text"));
    else if (e.code == ERR_UNSUPPORTED)
        unsupported(f, e.text);
    else
        passed(f);
    if (run.verbose && !c)
        printf("%s:%u: %s <- %s\n", f->name, f->line, e.text, field(cmd, "text"));
    comp_unref(c);
}

static void command(struct file *f, const json_t *cmd)
{
    const char *type = field(cmd, "type");
    f->line = (unsigned)json_integer_value(json_object_get(cmd, "line"));
    if (strcmp(type, "component") == 0)
        cmd_component(f, cmd);
    else if (strcmp(type, "assert_invalid") == 0 || strcmp(type, "assert_malformed") == 0)
        cmd_refuse(f, cmd);
    else if (f->refused && json_object_get(cmd, "action"))
        unsupported(f, "instance of a refused component");
    else if (!f->inst && json_object_get(cmd, "action"))
        failed(f, "no instance");
    else if (strcmp(type, "assert_return") == 0)
        cmd_return(f, cmd);
    else if (strcmp(type, "assert_trap") == 0)
        cmd_trap(f, cmd);
    else if (strcmp(type, "action") != 0)
        failed(f, "unknown command %s", type);
}

static void run_file(const char *folder, const char *group, const char *name)
{
    static struct file f;
    char path[3072];
    json_error_t je;
    f = (struct file){0};
    snprintf(f.folder, sizeof f.folder, "%s/%s/%s", folder, group, name);
    snprintf(f.name, sizeof f.name, "%s/%s", group, name);
    snprintf(path, sizeof path, "%s/%s.json", f.folder, name);
    json_t *root = json_load_file(path, 0, &je);
    if (!root) {
        failed(&f, "%s: %s", path, je.text);
        return;
    }
    size_t i;
    json_t *cmd;
    json_array_foreach(json_object_get(root, "commands"), i, cmd) command(&f, cmd);
    drop_instance(&f);
    for (unsigned d = 0; d < 128; d++)
        comp_unref(f.defs[d].comp);
    json_decref(root);
}

/* ---- the suite ---- */

static int visible(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static void run_suite(const char *folder)
{
    struct dirent **groups, **names;
    int ngroups = scandir(folder, &groups, visible, alphasort);
    for (int g = 0; g < ngroups; g++) {
        char path[2048];
        snprintf(path, sizeof path, "%s/%s", folder, groups[g]->d_name);
        int n = scandir(path, &names, visible, alphasort);
        for (int i = 0; i < n; i++) {
            run_file(folder, groups[g]->d_name, names[i]->d_name);
            free(names[i]);
        }
        if (n >= 0)
            free(names);
        free(groups[g]);
    }
    if (ngroups >= 0)
        free(groups);
}

static void read_expected(const char *path)
{
    char line[512];
    FILE *in = fopen(path, "r");
    while (in && run.nexpect < EXPECTED_MAX && fgets(line, sizeof line, in)) {
        if (sscanf(line, "%159[^: \n#]:%u", run.expect[run.nexpect].name,
                   &run.expect[run.nexpect].line) == 2)
            run.nexpect++;
    }
    if (in)
        fclose(in);
}

static bool command_ok(char *const argv[])
{
    pid_t pid;
    int status;
    return posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) == 0 &&
           waitpid(pid, &status, 0) == pid && status == 0;
}

/* A folder to read from: the argument itself, or a temporary one with the archive in it. */
static bool unpack(const char *archive, char *folder)
{
    snprintf(folder, FOLDER_MAX, P_tmpdir "/spec_component.XXXXXX");
    if (!mkdtemp(folder))
        return false;
    char *const tar[] = {"tar", "-xJf", (char *)(uintptr_t)archive, "-C", folder, NULL};
    return command_ok(tar);
}

static int report(void)
{
    for (unsigned i = 0; i < run.nexpect; i++) {
        if (!run.expect[i].seen) {
            printf("%s:%u: listed as expected to fail, but there is no such case\n",
                   run.expect[i].name, run.expect[i].line);
            run.failed++;
        }
    }
    for (unsigned i = 0; i < run.nfeatures; i++)
        printf("  %4u unsupported: %s\n", run.feature[i].n, run.feature[i].text);
    printf("component suite: %u passed, %u failed, %u unsupported, %u expected failures\n",
           run.passed, run.failed, run.unsupported, run.expected);
    return run.failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct stat st;
    char source[1024], folder[FOLDER_MAX], suite[FOLDER_MAX + 8];
    int arg = 1;
    if (arg < argc && strcmp(argv[arg], "-v") == 0)
        run.verbose = arg++;
    if (arg < argc)
        snprintf(source, sizeof source, "%s", argv[arg]);
    else
        snprintf(source, sizeof source, "%s/spec-component.tar.xz",
                 getenv("HOSTD_DATA") ? getenv("HOSTD_DATA") : "../shared/data");
    if (stat(source, &st) != 0) {
        printf("skipped: there is no component suite at %s\n", source);
        return EXIT_SKIPPED;
    }
    bool archive = !S_ISDIR(st.st_mode);
    if (archive ? !unpack(source, folder) : snprintf(folder, sizeof folder, "%s", source) < 0) {
        printf("cannot unpack %s\n", source);
        return 1;
    }
    snprintf(suite, sizeof suite, "%s%s", folder, archive ? "/cm" : "");
    read_expected("tests/spec/component.expected");
    wasm_init();
    run_suite(suite);
    if (archive) {
        char *const rm[] = {"rm", "-rf", folder, NULL};
        command_ok(rm);
    }
    return report();
}
