/* SPDX-License-Identifier: Apache-2.0 */
/* The command line against the table. The first words choose the command; its row says the rest. Global options may
 * stand anywhere. A value given on the command line wins over the environment, that over the context, that over the
 * preset. */
#include "ctl/table.h"

#include <assert.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

const struct option global_options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = OPTION_TEXT,
     .value = "text|json",
     .help = "form of the result"},
    {.name = "help", .letter = 'h', .kind = OPTION_FLAG, .help = "this text"},
    {.name = "version", .letter = 'V', .kind = OPTION_FLAG, .help = "version of hostctl"},
    {.name = "experimental", .kind = OPTION_FLAG, .help = "accepted for compatibility"},
    {0},
};

static const struct option no_options[] = {{0}};

static const char *const value_names[] = {
    [OPTION_FLAG] = "",         [OPTION_TEXT] = "TEXT",
    [OPTION_NUMBER] = "NUMBER", [OPTION_TRUTH] = "true|false",
    [OPTION_LIST] = "TEXT",     [OPTION_DURATION] = "DURATION",
};

/* ---- finding rows --------------------------------------------------------------------------------- */

/* A command's own option hides a general one of that name. */
static const struct option *const *option_groups(const struct command *cmd)
{
    static const struct option *groups[4];
    groups[0] = cmd && cmd->options ? cmd->options : no_options;
    groups[1] = cmd && cmd->lattice ? lattice_options : no_options;
    groups[2] = global_options;
    groups[3] = NULL;
    return groups;
}

static bool has_word(const char *list, struct str word)
{
    struct str rest = str_of(list), one;
    while (list && str_cut(&rest, ' ', &one))
        if (str_eq(one, word))
            return true;
    return false;
}

static const struct option *option_find(const struct command *cmd, struct str name, char letter)
{
    for (const struct option *const *g = option_groups(cmd); *g; g++)
        for (const struct option *o = *g; o->name; o++)
            if (letter ? o->letter == letter : str_eqz(name, o->name) || has_word(o->alias, name))
                return o;
    return NULL;
}

static struct str singular(struct str noun)
{
    return str_ends(noun, STR("s")) ? str_sub(noun, 0, noun.n - 1) : noun;
}

/* "link" and "links", "key" and "keys". */
static bool same_noun(struct str word, const char *noun)
{
    if (str_eqz(singular(word), "context"))
        word = STR("ctx");
    return str_eq(singular(word), singular(str_of(noun)));
}

static const struct command *command_find(struct str noun, struct str verb, bool *known_noun)
{
    *known_noun = false;
    for (size_t i = 0; i < ncommands; i++) {
        const struct command *cmd = &commands[i];
        if (!same_noun(noun, cmd->noun))
            continue;
        *known_noun = true;
        if (!cmd->verb || str_eqz(verb, cmd->verb) || has_word(cmd->aliases, verb))
            return cmd;
    }
    return NULL;
}

/* ---- help ----------------------------------------------------------------------------------------- */

static void help_options(const struct option *o)
{
    for (; o->name; o++) {
        char left[80], letter[8] = "    ";
        const char *value = o->value ? o->value : value_names[o->kind];
        if (o->letter)
            snprintf(letter, sizeof letter, "-%c, ", o->letter);
        snprintf(left, sizeof left, "%s--%s %s", letter, o->name, value);
        printf("  %-36s %s", left, o->help);
        if (o->preset)
            printf(" [%s]", o->preset);
        if (o->env)
            printf(" ($%s)", o->env);
        printf("\n");
    }
}

static void help_command(const struct command *cmd)
{
    printf("%s\n\nUsage: hostctl %s%s%s %s [OPTIONS]\n", cmd->help, cmd->noun, cmd->verb ? " " : "",
           cmd->verb ? cmd->verb : "", cmd->words);
    if (cmd->options) {
        printf("\nOptions:\n");
        help_options(cmd->options);
    }
    if (cmd->lattice) {
        printf("\nConnection:\n");
        help_options(lattice_options);
    }
    printf("\nGlobal:\n");
    help_options(global_options);
}

/* noun NULL: everything */
static void help_commands(FILE *out, const char *noun)
{
    fprintf(out, "hostctl - the command line of a lattice\n\nUsage: hostctl COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; i < ncommands; i++) {
        const struct command *cmd = &commands[i];
        char left[64];
        if (noun && !same_noun(str_of(noun), cmd->noun))
            continue;
        snprintf(left, sizeof left, "%s%s%s", cmd->noun, cmd->verb ? " " : "",
                 cmd->verb ? cmd->verb : "");
        fprintf(out, "  %-20s %s\n", left, cmd->help);
    }
    fprintf(out, "\n`hostctl help COMMAND` tells the options of a command.\n");
}

/* ---- values --------------------------------------------------------------------------------------- */

bool read_duration_ms(const char *text, uint64_t *out)
{
    static const struct {
        struct str unit;
        uint64_t ms;
    } units[] = {
        {STR_INIT("ms"), 1}, {STR_INIT("s"), 1000}, {STR_INIT("m"), 60000}, {STR_INIT(""), 1}};
    struct str s = str_of(text);
    uint64_t n;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (str_ends(s, units[i].unit))
            return str_u64(str_sub(s, 0, s.n - units[i].unit.n), &n) && mul_ok(n, units[i].ms, out);
    return false;
}

static bool check_value(const struct option *o, const char *text, const char *from, struct err *e)
{
    uint64_t n;
    bool ok = true;
    const char *want = "";
    if (o->kind == OPTION_NUMBER) {
        ok = str_u64(str_of(text), &n);
        want = "a number";
    } else if (o->kind == OPTION_TRUTH) {
        ok = strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
        want = "true or false";
    } else if (o->kind == OPTION_DURATION) {
        ok = read_duration_ms(text, &n);
        want = "a duration such as 500ms, 2s, 5m";
    }
    return ok || err_set(e, ERR_INVALID, "%s%s: '%s' is not %s", from ? "" : "--",
                         from ? from : o->name, text, want);
}

static bool add_value(struct ctl *c, const struct option *o, const char *text, struct err *e)
{
    if (c->nvalues == CTL_VALUES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d options", CTL_VALUES_MAX);
    if (o->kind != OPTION_FLAG && *text && !check_value(o, text, NULL, e))
        return false;
    c->values[c->nvalues++] = (struct value){o, text};
    return true;
}

struct line {
    char **argv;
    int argc, at;
    bool words_only; /* behind "--" */
};

/* The value of o from "=value", or the next word. An optional one must look like a value to be taken. */
static bool take_value(struct ctl *c, struct line *l, const struct option *o, const char *attached,
                       struct err *e)
{
    uint64_t n;
    const char *next = l->at < l->argc ? l->argv[l->at] : NULL;
    if (o->kind == OPTION_FLAG)
        return !attached ? add_value(c, o, "true", e)
                         : err_set(e, ERR_INVALID, "--%s takes no value", o->name);
    if (attached)
        return add_value(c, o, attached, e);
    if (o->kind == OPTION_DURATION && (!next || !read_duration_ms(next, &n)))
        return add_value(c, o, "", e);
    if (!next)
        return err_set(e, ERR_INVALID, "--%s wants a value (%s)", o->name,
                       o->value ? o->value : value_names[o->kind]);
    l->at++;
    return add_value(c, o, next, e);
}

static bool read_option(struct ctl *c, struct line *l, const char *arg, struct err *e)
{
    struct str name = str_of(arg + 2);
    char letter = arg[1] == '-' ? '\0' : arg[1];
    const char *attached = NULL;
    if (letter) {
        attached = arg[2] == '=' ? arg + 3 : arg[2] ? arg + 2 : NULL;
    } else {
        size_t eq = str_find(name, '=');
        attached = eq < name.n ? name.p + eq + 1 : NULL;
        name = str_sub(name, 0, eq);
    }
    const struct option *o = option_find(c->command, name, letter);
    if (!o)
        return err_set(e, ERR_INVALID, "unknown option '%s'%s", arg,
                       c->command ? "" : " before the command");
    return take_value(c, l, o, attached, e);
}

/* The words that choose the command, then the others. */
static bool read_word(struct ctl *c, const char *arg, struct err *e)
{
    if (c->nwords == CTL_WORDS_MAX)
        return err_set(e, ERR_LIMIT, "more than %d words", CTL_WORDS_MAX);
    c->words[c->nwords++] = arg;
    if (c->command)
        return true;
    bool known;
    struct str noun = str_of(c->words[0]), verb = str_of(word(c, 1));
    c->command = command_find(noun, verb, &known);
    if (!known)
        return err_set(e, ERR_INVALID, "there is no command '%s'; `hostctl --help` lists them",
                       c->words[0]);
    if (!c->command && c->nwords == 2)
        return err_set(e, ERR_INVALID,
                       "there is no command '%s %s'; `hostctl %s --help` lists them", c->words[0],
                       c->words[1], c->words[0]);
    if (c->command)
        c->nwords = 0;
    return true;
}

/* Counts words against "NAME [VERSION] KEY=VALUE...". */
static bool check_words(const struct ctl *c, struct err *e)
{
    size_t at = 0;
    struct str rest = str_of(c->command->words), want;
    while (rest.n && str_cut(&rest, ' ', &want)) {
        if (str_ends(want, STR("...")))
            return at < c->nwords || want.p[0] == '[' ||
                   err_set(e, ERR_INVALID, "%.*s is missing", STR_ARG(want));
        if (want.p[0] != '[' && at >= c->nwords)
            return err_set(e, ERR_INVALID, "%.*s is missing", STR_ARG(want));
        at++;
    }
    return c->nwords <= at || err_set(e, ERR_INVALID, "'%s' is one word too many", c->words[at]);
}

static bool check_context_value(const struct ctl *c, const struct option *o, struct err *e)
{
    const char *text = context_text(c, o->context);
    char from[200];
    snprintf(from, sizeof from, "context '%s': %s", c->context_name ? c->context_name : "",
             o->name);
    return !text || check_value(o, text, from, e);
}

/* A command with an option --context has the default one, too. */
static bool read_context(struct ctl *c, struct err *e)
{
    if (!option_find(c->command, STR("context"), '\0'))
        return true;
    const char *name = option_at(c, "context", 0);
    if (!name && c->command->no_default_context)
        return true;
    if (!context_load(c, name, e))
        return false;
    for (const struct option *const *g = option_groups(c->command); *g; g++)
        for (const struct option *o = *g; o->name; o++)
            if (!check_context_value(c, o, e))
                return false;
    return true;
}

static bool check_environment(const struct ctl *c, struct err *e)
{
    for (const struct option *const *g = option_groups(c->command); *g; g++)
        for (const struct option *o = *g; o->name; o++) {
            const char *text = o->env ? getenv(o->env) : NULL;
            if (text && *text && o->kind != OPTION_FLAG && !check_value(o, text, o->env, e))
                return false;
        }
    return true;
}

static bool read_line(struct ctl *c, struct line *l, struct err *e)
{
    while (l->at < l->argc) {
        const char *arg = l->argv[l->at++];
        bool is_word = l->words_only || arg[0] != '-' || !arg[1];
        if (!is_word && strcmp(arg, "--") == 0)
            l->words_only = true;
        else if (is_word ? !read_word(c, arg, e) : !read_option(c, l, arg, e))
            return false;
        l->words_only |= c->command && c->command->passes_rest && c->nwords > 0;
    }
    return true;
}

/* A flag of every command. */
static bool asked_for(const struct ctl *c, const char *name)
{
    const struct option *const end = global_options + ARRAY_LEN(global_options);
    for (size_t i = 0; i < c->nvalues; i++) {
        const struct option *o = c->values[i].option;
        if (o >= global_options && o < end && strcmp(o->name, name) == 0)
            return true;
    }
    return false;
}

enum args_end args_read(struct ctl *c, int argc, char **argv, struct err *e)
{
    bool help = argc > 1 && strcmp(argv[1], "help") == 0; /* help COMMAND is COMMAND --help */
    struct line l = {.argv = argv, .argc = argc, .at = 1 + help};
    bool ok = read_line(c, &l, e);
    const char *output = option_given(c, "output") ? option_text(c, "output") : "text";
    c->json = strcmp(output, "json") == 0;
    if (!ok)
        return ARGS_WRONG;
    if (!c->json && strcmp(output, "text") != 0) {
        err_set(e, ERR_INVALID, "--output: '%s' is neither text nor json", output);
        return ARGS_WRONG;
    }
    if (asked_for(c, "version")) {
        printf(c->json ? "{\"hostctl\": \"%s\"}\n" : "hostctl %s\n", HOSTD_VERSION);
        return ARGS_SHOWN;
    }
    if (help || asked_for(c, "help")) {
        if (c->command)
            help_command(c->command);
        else
            help_commands(stdout, word(c, 0));
        return ARGS_SHOWN;
    }
    if (!c->command) {
        help_commands(stderr, word(c, 0));
        err_set(e, ERR_INVALID, "a command is missing");
        return ARGS_WRONG;
    }
    if (check_words(c, e) && check_environment(c, e))
        return read_context(c, e) ? ARGS_RUN : ARGS_NO_CONTEXT;
    err_wrap(e, "%s%s%s", c->command->noun, c->command->verb ? " " : "",
             c->command->verb ? c->command->verb : "");
    return ARGS_WRONG;
}

/* ---- for commands --------------------------------------------------------------------------------- */

const char *option_at(const struct ctl *c, const char *name, size_t n)
{
    for (size_t i = 0; i < c->nvalues; i++)
        if (strcmp(c->values[i].option->name, name) == 0 && n-- == 0)
            return c->values[i].text;
    return NULL;
}

bool option_given(const struct ctl *c, const char *name)
{
    return option_at(c, name, 0) != NULL;
}

const char *option_text(const struct ctl *c, const char *name)
{
    const char *text = NULL;
    for (size_t i = 0; i < c->nvalues; i++)
        if (strcmp(c->values[i].option->name, name) == 0)
            text = c->values[i].text; /* the last one counts */
    if (text)
        return text;
    const struct option *o = option_find(c->command, str_of(name), '\0');
    assert(o);
    text = o->env ? getenv(o->env) : NULL;
    if (!text || !*text)
        text = context_text(c, o->context);
    return text ? text : o->preset;
}

bool option_chosen(const struct ctl *c, const char *name)
{
    const struct option *o = option_find(c->command, str_of(name), '\0');
    assert(o && o->preset);
    return option_given(c, name) || strcmp(option_text(c, name), o->preset) != 0;
}

bool option_flag(const struct ctl *c, const char *name)
{
    const char *text = option_text(c, name);
    return text && strcmp(text, "false") != 0 && strcmp(text, "0") != 0;
}

uint64_t option_number(const struct ctl *c, const char *name)
{
    uint64_t n = 0;
    const char *text = option_text(c, name);
    if (text && *text)
        read_duration_ms(text, &n); /* checked before; plain numbers are durations, too */
    return n;
}

bool read_pairs(struct ctl *c, const char *const *texts, size_t n, struct proto_map *out,
                struct err *e)
{
    struct proto_pair *pairs = arena_array(&c->arena, struct proto_pair, n);
    if (!pairs)
        return arena_full(&c->arena, e);
    for (size_t i = 0; i < n; i++) {
        struct str s = str_of(texts[i]);
        size_t eq = str_find(s, '=');
        if (eq == 0 || eq == s.n)
            return err_set(e, ERR_INVALID, "'%s' is not of the form KEY=VALUE", texts[i]);
        pairs[i] = (struct proto_pair){str_sub(s, 0, eq), str_sub(s, eq + 1, s.n)};
        for (size_t j = 0; j < i; j++)
            if (str_eq(pairs[j].key, pairs[i].key))
                return err_set(e, ERR_INVALID, "'%.*s' is given twice", STR_ARG(pairs[i].key));
    }
    *out = (struct proto_map){pairs, (uint32_t)n};
    return true;
}

bool option_pairs(struct ctl *c, const char *name, struct proto_map *out, struct err *e)
{
    const char *texts[CTL_VALUES_MAX];
    size_t n = 0;
    for (const char *text; (text = option_at(c, name, n));)
        texts[n++] = text;
    return read_pairs(c, texts, n, out, e) || err_wrap(e, "--%s", name);
}

/* Commas separate, too. */
bool option_strs(struct ctl *c, const char *name, struct proto_strs *out, struct err *e)
{
    size_t n = 0, cap = 0;
    const char *text;
    for (size_t i = 0; (text = option_at(c, name, i)); i++)
        for (cap++; *text; text++)
            cap += *text == ',';
    struct str *list = arena_array(&c->arena, struct str, cap);
    if (!list)
        return arena_full(&c->arena, e);
    for (size_t i = 0; (text = option_at(c, name, i)); i++) {
        struct str rest = str_of(text), one;
        while (str_cut(&rest, ',', &one))
            if (one.n)
                list[n++] = one;
    }
    *out = (struct proto_strs){list, (uint32_t)n};
    return true;
}
