/* SPDX-License-Identifier: Apache-2.0 */
/* completions: scripts that tell a shell the commands and their options, written from the table of commands. Each is a
 * choice by the words that stand already: none, NOUN, or NOUN VERB. */
#include "ctl/table.h"

#include "hostd/image/files.h"
#include "lattice/base/num.h"

static const struct shell {
    const char *name, *file, *head;
    /* \1 are the words that stand, \2 what may come; open: behind other words, too */
    const char *choice, *open_choice;
    const char *tail;
    const char *advice;
} shells[] = {
    {"bash", "hostctl.bash",
     "_hostctl() {\n    local key= words=\n"
     "    ((COMP_CWORD > 1)) && key=${COMP_WORDS[1]}\n"
     "    ((COMP_CWORD > 2)) && key=\"$key ${COMP_WORDS[2]}\"\n    case $key in\n",
     "    '\1') words='\2' ;;\n", "    '\1'|'\1 '*) words='\2' ;;\n",
     "    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
     "complete -o default -F _hostctl hostctl\n",
     "source it in ~/.bashrc"},
    {"zsh", "_hostctl",
     "#compdef hostctl\n_hostctl() {\n    local key= list=\n    ((CURRENT > 2)) && "
     "key=${words[2]}\n"
     "    ((CURRENT > 3)) && key=\"$key ${words[3]}\"\n    case $key in\n",
     "    '\1') list='\2' ;;\n", "    '\1'|'\1 '*) list='\2' ;;\n",
     "    esac\n    compadd -- ${=list} || _files\n}\n_hostctl \"$@\"\n",
     "put it into a folder of $fpath"},
    {"fish", "hostctl.fish",
     "function __hostctl_words\n    set -l line (commandline -opc)\n    set -l key $line[2..3]\n"
     "    switch \"$key\"\n",
     "    case '\1'\n        string split ' ' '\2'\n",
     "    case '\1' '\1 *'\n        string split ' ' '\2'\n",
     "    end\nend\ncomplete -c hostctl -a '(__hostctl_words)'\n",
     "put it into ~/.config/fish/completions"},
    {"power-shell", "_hostctl.ps1",
     "Register-ArgumentCompleter -Native -CommandName hostctl -ScriptBlock {\n"
     "    param($word, $line, $at)\n"
     "    $have = @($line.CommandElements | Select-Object -Skip 1 | ForEach-Object { \"$_\" } |\n"
     "        Where-Object { $_ -ne $word } | Select-Object -First 2)\n"
     "    $words = switch -Wildcard (\"$have\") {\n",
     "        '\1' { '\2'; break }\n", "        { $_ -eq '\1' -or $_ -like '\1 *' } { '\2'; break }\n",
     "    }\n    (\"$words\" -split ' ') -like \"$word*\" |\n"
     "        ForEach-Object { [System.Management.Automation.CompletionResult]::new($_) }\n}\n",
     "dot-source it in your profile"},
};

/* ---- what may come ---- */

static void add_word(struct buf *b, const char *prefix, const char *text)
{
    buf_printf(b, "%s%s%s", b->n ? " " : "", prefix, text);
}

static void add_options(struct buf *b, const struct option *o)
{
    for (; o && o->name; o++)
        add_word(b, "--", o->name);
}

static bool is_first(size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(commands[j].noun, commands[i].noun) == 0)
            return false;
    return true;
}

static void list_nouns(struct buf *b)
{
    for (size_t i = 0; i < ncommands; i++)
        if (is_first(i))
            add_word(b, "", commands[i].noun);
}

static void list_verbs(struct buf *b, const char *noun)
{
    for (size_t i = 0; i < ncommands; i++)
        if (commands[i].verb && strcmp(commands[i].noun, noun) == 0)
            add_word(b, "", commands[i].verb);
}

static void list_options(struct buf *b, const struct command *cmd)
{
    add_options(b, cmd->options);
    if (cmd->lattice)
        add_options(b, lattice_options);
    add_options(b, global_options);
}

/* ---- the script ---- */

static void add_choice(struct buf *script, const char *form, const char *key, struct buf *words)
{
    for (; *form; form++) {
        if (*form == '\1')
            buf_str(script, str_of(key));
        else if (*form == '\2')
            buf_str(script, buf_view(words));
        else
            buf_byte(script, (uint8_t)*form);
    }
    buf_clear(words);
}

static void write_script(const struct shell *s, struct buf *script)
{
    struct buf words = BUF_INIT;
    char key[64];
    buf_str(script, str_of(s->head));
    list_nouns(&words);
    add_choice(script, s->choice, "", &words);
    for (size_t i = 0; i < ncommands; i++) {
        const struct command *cmd = &commands[i];
        if (cmd->verb && is_first(i)) {
            list_verbs(&words, cmd->noun);
            add_choice(script, s->choice, cmd->noun, &words);
        }
        snprintf(key, sizeof key, "%s%s%s", cmd->noun, cmd->verb ? " " : "",
                 cmd->verb ? cmd->verb : "");
        list_options(&words, cmd);
        add_choice(script, cmd->verb ? s->choice : s->open_choice, key, &words);
    }
    buf_str(script, str_of(s->tail));
    buf_fini(&words);
}

bool cmd_completions(struct ctl *c, struct err *e)
{
    size_t i = 0;
    while (i < ARRAY_LEN(shells) && strcmp(word(c, 0), shells[i].name) != 0)
        i++;
    if (i == ARRAY_LEN(shells))
        return err_set(e, ERR_INVALID, "'%s' is none of zsh, bash, fish, power-shell", word(c, 0));
    char *path = arena_printf(&c->arena, "%s/%s", option_text(c, "dir"), shells[i].file);
    if (!path)
        return arena_full(&c->arena, e);
    struct buf script = BUF_INIT;
    write_script(&shells[i], &script);
    bool ok = file_write(path, buf_span(&script), 0644, e);
    buf_fini(&script);
    if (!ok)
        return false;
    buf_printf(&c->text, "Completions for %s are in %s: %s\n", shells[i].name, path,
               shells[i].advice);
    result_set(c, "path", json_string(path));
    return true;
}
