/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the core part of the public WebAssembly test suite, converted to JSON (one folder per
 * file, the shape of wast2json). A module that needs a feature we refuse makes the commands that
 * depend on it count as skipped; the file and the feature are printed. Usage: spec_core
 * [--checked] [--all] FOLDER [FILE...] */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include "hostd/wasm/engine.h"
#include "hostd/wasm/numeric.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define NAMES_MAX 256
#define PLACES_MAX 64
#define SKIP_REASONS_MAX 8
#define STACK_BYTES (256u << 10)

enum verdict { PASS, FAIL, SKIP };

static bool print_all; /* a line for every file, not only for those with skipped commands */

/* An instance under a name: of a module command, or registered for imports. */
struct named {
    char name[64];
    struct wasm_inst *inst; /* NULL: of a module we refused */
    bool registered;
};

struct file {
    char folder[512];
    const char *name;
    struct wasm_vm *vm;
    struct wasm_inst *instances[4096]; /* in order of making */
    uint32_t ninstances;
    struct wasm_module *definitions[256];
    char definition_names[256][64];
    uint32_t ndefinitions;
    struct named named[NAMES_MAX];
    uint32_t nnamed;
    struct wasm_inst *current;
    char reason[ERR_TEXT_MAX]; /* why the last thing failed */
    uint32_t count[3];
    struct {
        char why[64];
        uint32_t n;
    } skips[SKIP_REASONS_MAX];
    char module_lacks[64]; /* why the last module was skipped */
};

/* ---- the host module of the suite ---- */

static struct {
    struct wasm_func *print[7];
    struct wasm_global *globals[4];
    struct wasm_table *table, *table64;
    struct wasm_memory *memory;
} host;

static enum wasm_host_status print(void *user, struct wasm_vm *vm, wasm_slot *slots)
{
    (void)user;
    (void)vm;
    (void)slots;
    return WASM_HOST_OK;
}

static const struct {
    const char *name;
    uint16_t nparams;
    uint8_t types[2];
} prints[] = {
    {"print", 0, {0}},
    {"print_i32", 1, {WASM_I32}},
    {"print_i64", 1, {WASM_I64}},
    {"print_f32", 1, {WASM_F32}},
    {"print_f64", 1, {WASM_F64}},
    {"print_i32_f32", 2, {WASM_I32, WASM_F32}},
    {"print_f64_f64", 2, {WASM_F64, WASM_F64}},
};
static const struct {
    const char *name;
    uint8_t type;
} host_globals[] = {{"global_i32", WASM_I32},
                    {"global_i64", WASM_I64},
                    {"global_f32", WASM_F32},
                    {"global_f64", WASM_F64}};

static void host_open(void)
{
    struct err e;
    for (size_t i = 0; i < ARRAY_LEN(prints); i++) {
        struct wasm_functype t = {prints[i].nparams, 0, prints[i].types, NULL};
        host.print[i] = wasm_func_host(&t, print, NULL);
    }
    const wasm_slot values[] = {666, 666, f32_bits(666.6f), f64_bits(666.6)};
    for (size_t i = 0; i < ARRAY_LEN(host_globals); i++)
        host.globals[i] = wasm_global_new(host_globals[i].type, false, &values[i]);
    struct wasm_limits_type table = {.min = 10, .max = 20, .has_max = true};
    host.table = wasm_table_new(WASM_FUNCREF, &table, 0, &e);
    table.is64 = true;
    host.table64 = wasm_table_new(WASM_FUNCREF, &table, 0, &e);
    host.memory =
        wasm_memory_new(&(struct wasm_limits_type){.min = 1, .max = 2, .has_max = true}, &e);
    assert(host.table && host.table64 && host.memory);
}

static void host_close(void)
{
    for (size_t i = 0; i < ARRAY_LEN(prints); i++)
        wasm_func_host_free(host.print[i]);
    for (size_t i = 0; i < ARRAY_LEN(host_globals); i++)
        wasm_global_free(host.globals[i]);
    wasm_table_free(host.table);
    wasm_table_free(host.table64);
    wasm_memory_free(host.memory);
}

static struct wasm_extern host_extern(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(prints); i++)
        if (str_eqz(name, prints[i].name))
            return (struct wasm_extern){.kind = WASM_FUNC, .func = host.print[i]};
    for (size_t i = 0; i < ARRAY_LEN(host_globals); i++)
        if (str_eqz(name, host_globals[i].name))
            return (struct wasm_extern){.kind = WASM_GLOBAL, .global = host.globals[i]};
    if (str_eqz(name, "table"))
        return (struct wasm_extern){.kind = WASM_TABLE, .table = host.table};
    if (str_eqz(name, "table64"))
        return (struct wasm_extern){.kind = WASM_TABLE, .table = host.table64};
    if (str_eqz(name, "memory"))
        return (struct wasm_extern){.kind = WASM_MEMORY, .memory = host.memory};
    return (struct wasm_extern){.any = NULL};
}

/* ---- modules and instances ---- */

static struct named *find_named(struct file *f, struct str name, bool registered)
{
    for (uint32_t i = f->nnamed; i-- > 0;)
        if (f->named[i].registered == registered && str_eqz(name, f->named[i].name))
            return &f->named[i];
    return NULL;
}

static void add_named(struct file *f, const char *name, struct wasm_inst *inst, bool registered)
{
    assert(f->nnamed < NAMES_MAX);
    struct named *n = &f->named[f->nnamed++];
    snprintf(n->name, sizeof n->name, "%s", name);
    n->inst = inst;
    n->registered = registered;
}

static bool read_file(const char *path, struct buf *out)
{
    FILE *in = fopen(path, "rb");
    if (!in)
        return false;
    uint8_t chunk[65536];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, in)) > 0;)
        buf_put(out, chunk, n);
    fclose(in);
    return true;
}

/* What the specification has and we do not; other things we refuse by name are malformed there. */
static bool is_refused_feature(const struct err *e)
{
    return e->code == ERR_UNSUPPORTED && !strstr(e->text, "legacy exceptions");
}

static struct wasm_module *load(struct file *f, const json_t *command, enum verdict *verdict)
{
    const char *filename = json_string_value(json_object_get(command, "filename"));
    *verdict = FAIL;
    if (!filename)
        return NULL;
    char path[1024];
    snprintf(path, sizeof path, "%s/%s/%s", f->folder, f->name, filename);
    struct buf bytes = BUF_INIT;
    struct wasm_module *m = NULL;
    struct err e = ERR_INIT;
    if (read_file(path, &bytes)) {
        m = wasm_module_load(buf_span(&bytes), true, NULL, &e);
        if (!m && (e.code == ERR_LIMIT || is_refused_feature(&e)))
            *verdict = SKIP;
    } else {
        err_errno(&e, errno, "%s", filename);
    }
    if (!m)
        snprintf(f->reason, sizeof f->reason, "%s", e.text);
    buf_fini(&bytes);
    return m;
}

static bool resolve(struct file *f, const struct wasm_module *m, struct wasm_extern *imports,
                    enum verdict *verdict)
{
    for (uint32_t i = 0; i < wasm_module_nimports(m); i++) {
        struct wasm_extern_type t = wasm_module_import(m, i);
        imports[i] = (struct wasm_extern){.any = NULL};
        struct named *from = find_named(f, t.module, true);
        if (from && !from->inst) {
            *verdict = SKIP;
            snprintf(f->reason, sizeof f->reason, "imports a module that was skipped");
            return false;
        }
        if (from) {
            uint32_t x = wasm_module_find_export(wasm_inst_module(from->inst), t.name);
            if (x != UINT32_MAX)
                imports[i] = wasm_inst_export(from->inst, x);
        } else if (str_eqz(t.module, "spectest")) {
            imports[i] = host_extern(t.name);
        }
        if (!imports[i].any) {
            snprintf(f->reason, sizeof f->reason, "unknown import %.*s.%.*s", STR_ARG(t.module),
                     STR_ARG(t.name));
            return false;
        }
    }
    return true;
}

static bool call(struct file *f, struct wasm_func *func, const wasm_slot *args)
{
    struct err e;
    wasm_vm_reset(f->vm);
    if (!wasm_enter(f->vm, func, args, &e)) {
        snprintf(f->reason, sizeof f->reason, "%s", e.text);
        return false;
    }
    if (wasm_run(f->vm) == WASM_RETURNED)
        return true;
    struct buf text = BUF_INIT;
    wasm_vm_trap_report(f->vm, &text);
    snprintf(f->reason, sizeof f->reason, "%.*s", (int)text.n, (const char *)text.p);
    buf_fini(&text);
    return false;
}

/* Instantiates and runs the start function; takes the module. */
static struct wasm_inst *instantiate(struct file *f, struct wasm_module *m, enum verdict *verdict)
{
    struct err e;
    struct wasm_extern *imports = xcalloc(wasm_module_nimports(m) + 1, sizeof *imports);
    struct wasm_inst *inst = NULL;
    *verdict = FAIL;
    if (resolve(f, m, imports, verdict)) {
        inst = wasm_instantiate(m, imports, NULL, &e);
        if (!inst) {
            snprintf(f->reason, sizeof f->reason, "%s", e.text);
            *verdict = e.code == ERR_UNSUPPORTED ? SKIP : FAIL;
        }
    }
    free(imports);
    wasm_module_unref(m);
    if (!inst)
        return NULL;
    assert(f->ninstances < ARRAY_LEN(f->instances));
    f->instances[f->ninstances++] = inst;
    if (wasm_inst_start(inst) && !call(f, wasm_inst_start(inst), NULL))
        return NULL;
    *verdict = PASS;
    return inst;
}

static enum verdict run_module(struct file *f, const json_t *command)
{
    const char *name = json_string_value(json_object_get(command, "name"));
    const char *of = json_string_value(json_object_get(command, "instance_of"));
    enum verdict verdict = SKIP;
    struct wasm_module *m = NULL;
    f->current = NULL;
    if (json_object_get(command, "skip")) {
        snprintf(f->reason, sizeof f->reason, "text format"); /* the converter could not read it */
    } else if (of) {
        for (uint32_t i = 0; i < f->ndefinitions; i++)
            if (strcmp(f->definition_names[i], of) == 0)
                m = wasm_module_ref(f->definitions[i]);
    } else {
        m = load(f, command, &verdict);
    }
    if (m && json_is_true(json_object_get(command, "definition"))) {
        snprintf(f->definition_names[f->ndefinitions], sizeof f->definition_names[0], "%s",
                 name ? name : "");
        f->definitions[f->ndefinitions++] = m;
        return PASS;
    }
    if (m)
        f->current = instantiate(f, m, &verdict);
    if (name)
        add_named(f, name, f->current, false);
    return verdict;
}

/* ---- values ---- */

static uint64_t parse_int(const char *s)
{
    int base = strchr(s, 'x') ? 16 : 10; /* leading zeros mean nothing */
    return s[0] == '-' ? (uint64_t)strtoll(s, NULL, base) : strtoull(s, NULL, base);
}

static uint64_t nan_payload(const char *s, uint64_t canonical)
{
    const char *hex = strstr(s, ":0x");
    return hex ? strtoull(hex + 1, NULL, 16) : canonical;
}

static uint64_t parse_i32(const char *s)
{
    return (uint32_t)parse_int(s);
}

static uint64_t parse_ref(const char *s)
{
    return parse_int(s) + 1;
}

static uint64_t parse_f32(const char *s)
{
    if (!strstr(s, "nan"))
        return f32_bits(strtof(s, NULL));
    uint64_t sign = s[0] == '-' ? (uint64_t)1 << 31 : 0;
    return sign | 0x7f800000u | nan_payload(s, 0x400000u);
}

static uint64_t parse_f64(const char *s)
{
    if (!strstr(s, "nan"))
        return f64_bits(strtod(s, NULL));
    uint64_t sign = s[0] == '-' ? (uint64_t)1 << 63 : 0;
    return sign | 0x7ff0000000000000u | nan_payload(s, 0x8000000000000u);
}

static const char *text_at(const json_t *value, size_t i)
{
    const char *s = json_string_value(json_array_get(value, i));
    return s ? s : "";
}

/* A number without the underscores that the text format allows. */
static const char *number_at(const json_t *value, size_t i, char out[128])
{
    size_t n = 0;
    for (const char *s = text_at(value, i); *s && n < 127; s++)
        if (*s != '_')
            out[n++] = *s;
    out[n] = '\0';
    return out;
}

static uint64_t parse_null(const char *s)
{
    (void)s;
    return 0;
}

/* Kinds of values, and shapes of vectors. */
static const struct kind {
    const char *name;
    uint64_t (*parse)(const char *s);
    uint32_t bits;
    bool is_float;
} kinds[] = {
    {"i32.const", parse_i32, 64, false}, {"i64.const", parse_int, 64, false},
    {"f32.const", parse_f32, 32, true},  {"f64.const", parse_f64, 64, true},
    {"ref.null", parse_null, 64, false}, {"ref.extern", parse_ref, 64, false},
    {"i8x16", parse_int, 8, false},      {"i16x8", parse_int, 16, false},
    {"i32x4", parse_int, 32, false},     {"i64x2", parse_int, 64, false},
    {"f32x4", parse_f32, 32, true},      {"f64x2", parse_f64, 64, true},
};

static const struct kind *kind_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

static bool is_vector(const json_t *value)
{
    if (strcmp(text_at(value, 0), "either") == 0)
        value = json_array_get(value, 1);
    return strcmp(text_at(value, 0), "v128.const") == 0;
}

static uint32_t slots_of(const json_t *value)
{
    return is_vector(value) ? 2 : 1;
}

/* False: a kind of value we have no type for. */
static bool parse_value(const json_t *value, wasm_slot *out)
{
    char number[128];
    bool vector = is_vector(value);
    const struct kind *kind = kind_of(text_at(value, vector));
    if (!kind)
        return false;
    if (!vector) {
        *out = kind->parse(number_at(value, 1, number));
        return true;
    }
    memset(out, 0, 16);
    for (uint32_t i = 0; i < 128 / kind->bits; i++) {
        uint64_t lane = kind->parse(number_at(value, 2 + i, number));
        memcpy((char *)out + i * kind->bits / 8, &lane, kind->bits / 8);
    }
    return true;
}

static bool nan_matches(const char *s, uint64_t got, uint64_t exponent, uint64_t quiet)
{
    if (strcmp(s, "nan:canonical") == 0)
        return (got & (exponent | (quiet * 2 - 1))) == (exponent | quiet);
    return (got & (exponent | quiet)) == (exponent | quiet);
}

/* One number or lane. */
static bool number_matches(const struct kind *kind, const json_t *want, size_t i, uint64_t got)
{
    char number[128];
    const char *s = number_at(want, i, number);
    if (strcmp(s, "nan:canonical") == 0 || strcmp(s, "nan:arithmetic") == 0)
        return kind->bits == 32 ? nan_matches(s, got, 0x7f800000u, 0x400000u)
                                : nan_matches(s, got, 0x7ff0000000000000u, 0x8000000000000u);
    uint64_t v = 0, wanted = kind->parse(s);
    memcpy(&v, &wanted, kind->bits / 8);
    return v == got;
}

static bool vector_matches(const json_t *want, const wasm_slot *got)
{
    const struct kind *kind = kind_of(text_at(want, 1));
    for (uint32_t i = 0; kind && i < 128 / kind->bits; i++) {
        uint64_t lane = 0;
        memcpy(&lane, (const char *)got + i * kind->bits / 8, kind->bits / 8);
        if (!number_matches(kind, want, 2 + i, lane))
            return false;
    }
    return kind;
}

static bool value_matches(const json_t *want, const wasm_slot *got)
{
    const char *kind = text_at(want, 0);
    if (strcmp(kind, "either") == 0) {
        for (size_t i = 1; i < json_array_size(want); i++)
            if (value_matches(json_array_get(want, i), got))
                return true;
        return false;
    }
    if (is_vector(want))
        return vector_matches(want, got);
    if (strcmp(kind, "ref.func") == 0)
        return *got != 0;
    if (strcmp(kind, "ref.extern") == 0 && !*text_at(want, 1))
        return *got != 0;
    return kind_of(kind) && number_matches(kind_of(kind), want, 1, *got);
}

/* ---- commands ---- */

static struct wasm_inst *target(struct file *f, const json_t *action)
{
    const char *module = json_string_value(json_object_get(action, "module"));
    if (!module)
        return f->current;
    struct named *n = find_named(f, str_of(module), false);
    return n ? n->inst : NULL;
}

/* Runs the action; its results are at *results on PASS. */
static enum verdict run_action(struct file *f, const json_t *action, const wasm_slot **results)
{
    static wasm_slot value[2];
    struct wasm_inst *inst = target(f, action);
    if (!inst) {
        snprintf(f->reason, sizeof f->reason, "its module was skipped");
        return SKIP;
    }
    const json_t *field = json_object_get(action, "field");
    struct str name = {json_string_value(field), json_string_length(field)};
    uint32_t x = wasm_module_find_export(wasm_inst_module(inst), name);
    if (x == UINT32_MAX) {
        snprintf(f->reason, sizeof f->reason, "no export %.*s", STR_ARG(name));
        return FAIL;
    }
    struct wasm_extern export = wasm_inst_export(inst, x);
    if (export.kind == WASM_GLOBAL) {
        wasm_global_get(export.global, value);
        *results = value;
        return PASS;
    }
    wasm_slot args[PLACES_MAX + 1];
    const json_t *list = json_object_get(action, "args");
    for (size_t i = 0, at = 0; i < json_array_size(list); i++) {
        const json_t *arg = json_array_get(list, i);
        if (at >= PLACES_MAX || !parse_value(arg, &args[at])) {
            snprintf(f->reason, sizeof f->reason, "argument of an unknown type");
            return SKIP;
        }
        at += slots_of(arg);
    }
    if (!call(f, export.func, args))
        return FAIL;
    *results = wasm_vm_results(f->vm);
    return PASS;
}

static enum verdict assert_return(struct file *f, const json_t *command)
{
    const wasm_slot *results = NULL;
    enum verdict verdict = run_action(f, json_object_get(command, "action"), &results);
    if (verdict != PASS)
        return verdict;
    const json_t *expected = json_object_get(command, "expected");
    for (size_t i = 0, at = 0; i < json_array_size(expected); i++) {
        const json_t *one = json_array_get(expected, i);
        if (!value_matches(one, &results[at])) {
            char *want = json_dumps(one, JSON_COMPACT);
            snprintf(f->reason, sizeof f->reason,
                     "result %zu is 0x%" PRIx64 " (0x%" PRIx64 " follows), wanted %s", i,
                     results[at], slots_of(one) == 2 ? results[at + 1] : 0, want);
            free(want);
            return FAIL;
        }
        at += slots_of(one);
    }
    return PASS;
}

/* The action, or the instantiation, must fail with the text. */
static enum verdict assert_trap(struct file *f, const json_t *command)
{
    const json_t *action = json_object_get(command, "action");
    const char *text = json_string_value(json_object_get(command, "text"));
    const wasm_slot *results;
    enum verdict verdict;
    if (action) {
        verdict = run_action(f, action, &results);
    } else {
        struct wasm_module *m = load(f, command, &verdict);
        if (m)
            instantiate(f, m, &verdict);
    }
    if (verdict == SKIP)
        return SKIP;
    if (verdict == PASS) {
        snprintf(f->reason, sizeof f->reason, "did not trap: %s", text);
        return FAIL;
    }
    /* the suite names the element in one of them */
    if (strncmp(text, "uninitialized element", 21) == 0)
        text = "uninitialized element";
    return strstr(f->reason, text) ? PASS : FAIL;
}

static enum verdict assert_exception(struct file *f, const json_t *command)
{
    const wasm_slot *results;
    enum verdict verdict = run_action(f, json_object_get(command, "action"), &results);
    if (verdict == PASS)
        snprintf(f->reason, sizeof f->reason, "did not throw");
    if (verdict != FAIL)
        return verdict == SKIP ? SKIP : FAIL;
    return wasm_vm_trap(f->vm) == WASM_TRAP_EXCEPTION ? PASS : FAIL;
}

static enum verdict assert_refused(struct file *f, const json_t *command)
{
    const char *type = json_string_value(json_object_get(command, "module_type"));
    if (json_object_get(command, "error") || !type || strcmp(type, "text") == 0) {
        snprintf(f->reason, sizeof f->reason, "text format");
        return SKIP;
    }
    enum verdict verdict;
    struct wasm_module *m = load(f, command, &verdict);
    const char *text = json_string_value(json_object_get(command, "text"));
    if (!m) /* a limit of ours may be what is asked for */
        return verdict == SKIP && !(text && strstr(f->reason, text)) ? SKIP : PASS;
    wasm_module_unref(m);
    snprintf(f->reason, sizeof f->reason, "was accepted: %s", text ? text : "");
    return FAIL;
}

static enum verdict assert_unlinkable(struct file *f, const json_t *command)
{
    enum verdict verdict;
    struct wasm_module *m = load(f, command, &verdict);
    if (!m)
        return verdict;
    if (!instantiate(f, m, &verdict))
        return verdict == SKIP ? SKIP : PASS;
    snprintf(f->reason, sizeof f->reason, "was linked");
    return FAIL;
}

static enum verdict run_register(struct file *f, const json_t *command)
{
    const char *name = json_string_value(json_object_get(command, "name"));
    struct named *n = name ? find_named(f, str_of(name), false) : NULL;
    struct wasm_inst *inst = n ? n->inst : f->current;
    add_named(f, json_string_value(json_object_get(command, "as")), inst, true);
    return inst ? PASS : SKIP;
}

static enum verdict run_plain_action(struct file *f, const json_t *command)
{
    const wasm_slot *results;
    return run_action(f, json_object_get(command, "action"), &results);
}

static const struct {
    const char *type;
    enum verdict (*run)(struct file *f, const json_t *command);
} commands[] = {
    {"module", run_module},
    {"register", run_register},
    {"action", run_plain_action},
    {"assert_return", assert_return},
    {"assert_trap", assert_trap},
    {"assert_exhaustion", assert_trap},
    {"assert_exception", assert_exception},
    {"assert_invalid", assert_refused},
    {"assert_malformed", assert_refused},
    {"assert_unlinkable", assert_unlinkable},
};

static enum verdict run_command(struct file *f, const json_t *command)
{
    const char *type = json_string_value(json_object_get(command, "type"));
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (type && strcmp(type, commands[i].type) == 0)
            return commands[i].run(f, command);
    snprintf(f->reason, sizeof f->reason, "text format"); /* a field of a module without `module` */
    return SKIP;
}

/* ---- files ---- */

static void close_file(struct file *f)
{
    while (f->ninstances > 0)
        wasm_inst_free(f->instances[--f->ninstances]);
    while (f->ndefinitions > 0)
        wasm_module_unref(f->definitions[--f->ndefinitions]);
    wasm_vm_free(f->vm);
}

/* "GC" of "type anyref needs GC, which is not supported"; of what depends on a module, why that was skipped. */
static void skip_reason(const struct file *f, char *out, size_t size)
{
    const char *needs = strstr(f->reason, "needs ");
    if (needs)
        snprintf(out, size, "%.*s", (int)strcspn(needs + 6, ","), needs + 6);
    else if (strstr(f->reason, "skipped"))
        snprintf(out, size, "%s", f->module_lacks);
    else
        snprintf(out, size, "%.*s", (int)size - 1, f->reason);
}

static void note_skip(struct file *f, const json_t *command)
{
    char why[sizeof f->module_lacks];
    skip_reason(f, why, sizeof why);
    if (strcmp(json_string_value(json_object_get(command, "type")), "module") == 0)
        snprintf(f->module_lacks, sizeof f->module_lacks, "%s", why);
    size_t i = 0;
    while (i < SKIP_REASONS_MAX - 1 && f->skips[i].n && strcmp(f->skips[i].why, why) != 0)
        i++;
    snprintf(f->skips[i].why, sizeof f->skips[i].why, "%s", why);
    f->skips[i].n++;
}

/* "NAME: 10 passed, 0 failed, 3 skipped: 2 GC, 1 text format" */
static void print_file(const struct file *f)
{
    printf("%s: %u passed, %u failed, %u skipped", f->name, f->count[PASS], f->count[FAIL],
           f->count[SKIP]);
    for (size_t i = 0; i < SKIP_REASONS_MAX && f->skips[i].n; i++)
        printf("%s %u %s", i == 0 ? ":" : ",", f->skips[i].n, f->skips[i].why);
    printf("\n");
}

static bool run_file(const char *folder, const char *name, uint32_t total[3])
{
    char path[1024];
    struct err e;
    json_error_t problem;
    struct file *f = xnew(struct file);
    snprintf(f->folder, sizeof f->folder, "%s", folder);
    f->name = name;
    snprintf(path, sizeof path, "%s/%s/%s.json", folder, name, name);
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &problem);
    f->vm = wasm_vm_new(&(struct wasm_vm_opts){.stack_bytes = STACK_BYTES}, &e);
    if (!root || !f->vm) {
        printf("%s: %s\n", path, root ? e.text : problem.text);
        return false;
    }
    host_open();
    size_t i;
    json_t *command;
    json_array_foreach(json_object_get(root, "commands"), i, command)
    {
        enum verdict verdict = run_command(f, command);
        f->count[verdict]++;
        int line = (int)json_integer_value(json_object_get(command, "line"));
        if (verdict == FAIL)
            printf("%s:%d: %s: %s\n", name, line,
                   json_string_value(json_object_get(command, "type")), f->reason);
        if (verdict == SKIP)
            note_skip(f, command);
    }
    if (print_all || f->count[SKIP])
        print_file(f);
    for (int v = 0; v < 3; v++)
        total[v] += f->count[v];
    close_file(f);
    host_close();
    json_decref(root);
    free(f);
    return true;
}

static int is_suite_folder(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    uint32_t total[3] = {0, 0, 0};
    int at = 1;
    bool ok = true;
    if (at < argc && strcmp(argv[at], "--checked") == 0) {
        memory_guarded_max(0);
        at++;
    }
    if (at < argc && strcmp(argv[at], "--all") == 0) {
        print_all = true;
        at++;
    }
    if (at >= argc) {
        fprintf(stderr, "usage: spec_core [--checked] [--all] FOLDER [FILE...]\n");
        return 2;
    }
    const char *folder = argv[at++];
    const char *without = getenv("HOSTD_WITHOUT"); /* techniques of the translator */
    if (without && !translate_without(without)) {
        fprintf(stderr, "HOSTD_WITHOUT: no such technique in '%s'\n", without);
        return 2;
    }
    wasm_init();
    if (at < argc) {
        for (; at < argc; at++)
            ok &= run_file(folder, argv[at], total);
    } else {
        struct dirent **list;
        int n = scandir(folder, &list, is_suite_folder, alphasort);
        for (int i = 0; i < n; i++) {
            ok &= run_file(folder, list[i]->d_name, total);
            free(list[i]);
        }
        if (n >= 0)
            free(list);
        ok &= n > 0;
    }
    printf("%u passed, %u failed, %u skipped\n", total[PASS], total[FAIL], total[SKIP]);
    return ok && total[FAIL] == 0 ? 0 : 1;
}
