/* SPDX-License-Identifier: Apache-2.0 */
/* hostctl: what a command is, and what it works with. Private to ctl/.
 *
 *   commands.c   the table of commands
 *   options_up.c the options of `up`
 *   args.c       the command line against that table: words, options, environment, defaults; help
 *   output.c     one result, shown as text or as JSON; errors
 *   session.c    connection to the lattice; waiting for answers; finding hosts
 *   context.c    named sets of connection options in files
 *   docker.c     registries' credentials that docker keeps
 *   fetch.c      documents from HTTP servers
 *   keyring.c    keys for signing, from options or the folder of keys
 *   local.c      what runs on this machine: directories, pid files, starting and stopping processes
 *   placement.c  where an application runs
 *   cmd_*.c      the commands, a file per noun
 *
 * A command is a function that returns false with e set, or fills result and text. Everything is on one thread.
 * Spec: the command line of wash 0.37 - 0.43. */
#ifndef HOSTD_CTL_TABLE_H
#define HOSTD_CTL_TABLE_H

#include <jansson.h>
#include <stdio.h>
#include <sys/types.h>
#include "lattice/base/arena.h"
#include "lattice/base/buf.h"
#include "lattice/id/id.h"
#include "lattice/proto/client.h"

/* ---- the table ---- */

enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_NUMBER,
    OPTION_TRUTH,    /* true or false must follow */
    OPTION_LIST,     /* may be repeated */
    OPTION_DURATION, /* "500", "2s", "5m", "54ms"; may stand without a value */
};

struct option {
    const char *name, *alias; /* "timeout-ms"; alias NULL: none */
    char letter;              /* 0: none */
    enum option_kind kind;
    const char *value;   /* what help calls it */
    const char *env;     /* NULL: none */
    const char *context; /* its names in a context, separated by blanks; NULL: none */
    const char *preset;
    const char *help;
};

struct ctl;
typedef bool command_fn(struct ctl *c, struct err *e);

struct command {
    const char *noun, *verb; /* verb NULL: the noun is the whole command */
    const char *aliases;     /* other verbs, separated by blanks; NULL: none */
    const char *words;       /* "NAME [VERSION] KEY=VALUE..." */
    const char *help;
    bool lattice;                 /* takes the connection options, too */
    const struct option *options; /* up to one without name; NULL: none */
    command_fn *run;
    bool
        passes_rest; /* what follows the first word is words, also with dashes: a guest's arguments */
    bool no_default_context; /* of contexts, only the one that is named */
};

extern const struct command commands[];
extern const size_t ncommands;
extern const struct option lattice_options[], global_options[]; /* up to one without name */
extern const struct option up_options[];                        /* options_up.c */

/* wash has it; here there is nothing to decide, or to download. */
#define OPTION_IGNORED(name_, kind_)                                     \
    {                                                                    \
        .name = name_, .kind = kind_, .help = "accepted, without effect" \
    }
#define LATTICE_OPTION                                                                     \
    {                                                                                      \
        .name = "lattice", .letter = 'x', .kind = OPTION_TEXT, .env = "WASMCLOUD_LATTICE", \
        .context = "lattice lattice_prefix", .preset = "default", .value = "NAME",         \
        .help = "lattice"                                                                  \
    }
#define CONTEXT_OPTION                                           \
    {                                                            \
        .name = "context", .kind = OPTION_TEXT, .value = "NAME", \
        .help = "set of connection options, see `hostctl ctx`"   \
    }

/* ---- one run ---- */

struct value { /* an option as given */
    const struct option *option;
    const char *text;
};

#define CTL_WORDS_MAX 256
#define CTL_VALUES_MAX 256

struct ctl {
    const struct command *command;
    bool json;
    const char *words[CTL_WORDS_MAX];
    size_t nwords;
    struct value values[CTL_VALUES_MAX];
    size_t nvalues;

    json_t *context; /* an object whose members are texts; NULL: none */
    const char *context_name;

    json_t *result; /* an object; shown with --output json */
    bool bare;      /* the result as it is, without "success" */
    int status; /* of a guest that ran: the exit status, and no result is shown (-1: there was none) */
    struct buf text; /* shown otherwise */
    struct arena arena;

    /* session.c */
    struct loop *loop;
    struct bus *bus;
    struct proto_client *client;
    bool answered; /* what session_await waits for */
    struct err answer_error;
};

/* ---- args.c ---- */

enum args_end { ARGS_RUN, ARGS_SHOWN, ARGS_WRONG, ARGS_NO_CONTEXT };

/* SHOWN: help or version went to stdout. WRONG: e is a usage error. NO_CONTEXT: the line is right, but not its
 * context. */
enum args_end args_read(struct ctl *c, int argc, char **argv, struct err *e);
/* Values by precedence: command line, environment, context, preset. The option must be one of the command's. */
const char *option_text(const struct ctl *c, const char *name); /* NULL: none */
bool option_flag(const struct ctl *c, const char *name);
uint64_t option_number(const struct ctl *c, const char *name);
bool option_given(const struct ctl *c, const char *name); /* on the command line */
/* Given, or by environment or context something else than its preset. */
bool option_chosen(const struct ctl *c, const char *name);
/* The nth value of a list; NULL behind the last. */
const char *option_at(const struct ctl *c, const char *name, size_t n);
static inline const char *word(const struct ctl *c, size_t n)
{
    return n < c->nwords ? c->words[n] : NULL;
}
/* "KEY=VALUE" words or list values into a map in c->arena. */
bool read_pairs(struct ctl *c, const char *const *texts, size_t n, struct proto_map *out,
                struct err *e);
bool option_pairs(struct ctl *c, const char *name, struct proto_map *out, struct err *e);
bool option_strs(struct ctl *c, const char *name, struct proto_strs *out, struct err *e);
bool read_duration_ms(const char *text, uint64_t *out);

/* ---- output.c ---- */

/* Rows of cells, columns aligned. Cells are copied into the text at once; end with table_end. */
struct table {
    char **cells;
    size_t ncells, cap, columns;
};
void table_begin(struct table *t, size_t columns);
void table_row(struct table *t, size_t n,
               const struct str *cells);        /* fewer than columns: the rest stays empty */
void table_end(struct table *t, struct ctl *c); /* appends to c->text, frees */

json_t *json_str(struct str s); /* null for none; bad UTF-8 is escaped */
/* Encoded JSON (buf is emptied) as a value; takes ownership of nothing else. */
json_t *json_from(struct buf *b);
void result_set(struct ctl *c, const char *key, json_t *value); /* takes value */
/* Sets "result" and the text to the same sentence. */
void result_say(struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int output_result(struct ctl *c);                             /* exit status */
int output_error(bool json, const struct err *e, bool usage); /* exit status */
/* On stderr; nothing with --output json. */
void notice(const struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- session.c ---- */

struct session_where {
    const char *host, *creds, *jwt, *seed, *ca_file;
    uint64_t port;
    bool tls;
};
/* By the connection options of the command. */
bool session_open(struct ctl *c, struct err *e);
bool session_open_at(struct ctl *c, const struct session_where *w, uint64_t timeout_ms,
                     struct err *e);
void session_close(struct ctl *c);
struct str session_lattice(const struct ctl *c);
/* Runs the loop until session_answer; `sent` is what the request function returned (false: e is set). */
bool session_await(struct ctl *c, bool sent, struct err *e);
/* The same for what any host of the lattice may answer: says so when there is none. */
bool session_await_any(struct ctl *c, bool sent, struct err *e);
void session_answer(struct ctl *c, const struct err *e); /* NULL or ERR_NONE: well */
/* Waits that long, or until session_answer; false: that brought an error. */
bool session_sleep(struct ctl *c, uint64_t ms, struct err *e);

/* Shows once, or with --watch again and again until interrupted. What show puts into c->arena lasts one time. */
bool session_watch(struct ctl *c, uint64_t preset_ms, command_fn *show, struct err *e);

struct host_list {
    struct proto_host *v; /* in c->arena */
    uint32_t n, cap;
};
/* Every host that answers, longest uptime first. */
bool hosts_collect(struct ctl *c, struct host_list *out, struct err *e);
/* A host by id, beginning of its id, or part of its name. */
bool host_find(struct ctl *c, const char *text, struct str *id, struct err *e);
/* c->arena copy of the host's inventory. */
bool inventory_get(struct ctl *c, struct str id, struct proto_inventory *out, struct err *e);

/* ---- keyring.c ---- */

/* By --directory or environment, else ours or wash's, as contexts. It need not exist. */
bool keyring_folder(struct ctl *c, const char **out, struct err *e);
bool keyring_read(const char *path, struct id_key *out, struct err *e);
/* A seed, or a file with one. */
bool keyring_given(const char *text, struct id_key *out, struct err *e);
/* The key of the option, else of NAME_TYPE.nk in the folder of keys, which is made when it is missing. An account's is
 * USER_account.nk. */
bool keyring_get(struct ctl *c, const char *option, enum id_key_type type, const char *name,
                 struct id_key *out, struct err *e);

/* ---- cmd_link.c ---- */

struct link_list {
    struct proto_link *v; /* in c->arena */
    uint32_t n;
};
/* Every link of the lattice, sorted by source. */
bool links_collect(struct ctl *c, struct link_list *out, struct err *e);

/* ---- placement.c ---- */

/* Appends "HOST=COUNT ..." for every part of the application, and "placement" to the result. */
bool placement_show(struct ctl *c, struct str app, struct err *e);

/* ---- local.c ---- */

struct local_process {
    pid_t pid;
    uint64_t start_ticks; /* of the pid: a number used again is somebody else */
    struct str name;      /* "hostd", "nats-server" */
    struct str host_id;   /* of a host */
    struct str address;   /* of its NATS server, host:port */
    struct str lattice;   /* of a host */
    struct str log, file; /* paths; file holds this record */
};
struct local_list {
    struct local_process *v;
    size_t n;
};

/* The user's folder for what programs of that name keep; in c->arena, or of the environment. */
bool local_folder(struct ctl *c, const char *program, const char **out, struct err *e);
/* "DIR/name" in ours, for pid files, logs and the server's data, made when needed; in c->arena. */
bool local_path(struct ctl *c, const char *name, const char **out, struct err *e);
/* The folder and those above it; the last one for this user alone. */
bool local_make_folders(const char *path, struct err *e);
/* "hostd" beside this program, else on PATH; in c->arena. */
bool local_find_program(struct ctl *c, const char *name, const char **out, struct err *e);
/* Recorded processes that are alive; records of dead ones are removed (and told). */
bool local_processes(struct ctl *c, struct local_list *out, struct err *e);
bool local_record(struct ctl *c, struct local_process *p, struct err *e);
bool local_alive(const struct local_process *p);
/* Starts argv in a session of its own, stdin empty, output to the log (NULL: our stdout). env: additions. Fills
 * pid, start_ticks, log. */
bool local_spawn(struct ctl *c, char *const argv[], const struct proto_map *env, const char *log,
                 struct local_process *out, struct err *e);
/* Sends the signal (0: none), waits for the end, SIGKILL after the time; forgets it. False: it would not die. */
bool local_stop(const struct local_process *p, int signum, uint64_t patience_ms);
/* The end of a log file, for errors; in c->arena. */
const char *local_log_tail(struct ctl *c, const char *path);

enum probe { PROBE_NATS, PROBE_NOBODY, PROBE_STRANGER };
/* Who answers at this address? */
enum probe local_probe(const char *host, uint64_t port, uint64_t timeout_ms);

/* ---- context.c ---- */

#define CONTEXTS_MAX 1024u /* that are listed */

/* Where contexts are: `given`, else by the environment, else ours or wash's. It need not exist. */
bool context_folder(struct ctl *c, const char *given, const char **out, struct err *e);
/* The file of that name; only the name is checked. */
bool context_path(struct ctl *c, const char *folder, struct str name, const char **out,
                  struct err *e);
bool context_names(struct ctl *c, const char *folder, struct proto_strs *out, struct err *e);
struct str context_default(struct ctl *c, const char *folder); /* empty: none */
bool context_set_default(struct ctl *c, const char *folder, struct str name,
                         struct err *e); /* empty: none */
bool context_check(const char *path, struct err *e);
/* The one of that name (NULL: the default one, if there is one) into c->context. */
bool context_load(struct ctl *c, const char *name, struct err *e);
/* A member of the loaded context by one of its names, separated by blanks; NULL: not set. */
const char *context_text(const struct ctl *c, const char *keys);

/* ---- fetch.c ---- */

bool is_url(const char *text); /* of an HTTP server */
/* Appends the document at a URL; redirects are followed. A buffer with a ceiling bounds it. */
bool fetch_url(struct ctl *c, const char *url, struct buf *out, struct err *e);

/* ---- docker.c ---- */

struct docker_login { /* in c->arena; NULL: none known */
    const char *username, *password;
};
bool docker_login(struct ctl *c, struct str authority, struct docker_login *out, struct err *e);

/* ---- cmd_*.c ---- */

command_fn cmd_up, cmd_down;
command_fn cmd_get_hosts, cmd_get_inventory, cmd_get_claims, cmd_stop_host, cmd_label;
command_fn cmd_spy;
command_fn cmd_get_links, cmd_link_put, cmd_link_del;
command_fn cmd_config_get, cmd_config_put, cmd_config_del, cmd_secrets_put;
command_fn cmd_claims_sign, cmd_claims_token;
command_fn cmd_start_component, cmd_start_provider, cmd_stop_component, cmd_stop_provider,
    cmd_scale_component, cmd_update_component;
command_fn cmd_app_list, cmd_app_get, cmd_app_status, cmd_app_history, cmd_app_put, cmd_app_deploy,
    cmd_app_undeploy, cmd_app_delete, cmd_app_validate;
command_fn cmd_keys_gen, cmd_keys_get, cmd_keys_list;
command_fn cmd_call;
command_fn cmd_push, cmd_pull, cmd_inspect, cmd_par_create, cmd_par_insert;
command_fn cmd_run;
command_fn cmd_drain, cmd_logs, cmd_completions;
command_fn cmd_ctx_list, cmd_ctx_new, cmd_ctx_del, cmd_ctx_default, cmd_ctx_edit;

/* The text of a manifest: a file, "-" or a URL. */
bool manifest_text(struct ctl *c, const char *path, struct buf *out, struct err *e);
struct manifest;
/* Makes its relative images absolute: they lie beside the file. Those of stdin and URLs stay. */
bool manifest_find_images(struct manifest *m, const char *path, struct err *e);
#define ARTIFACT_BYTES_MAX ((uint64_t)1 << 30)
/* An image by its name, which may lack the registry; malloced. *reference: its whole name, in c->arena. */
bool registry_fetch(struct ctl *c, const char *text, const char **reference, struct span *out,
                    struct err *e);
/* Does the registry have the image? By the registry options of the command. */
bool registry_has(struct ctl *c, struct str normal, struct err *e);
/* Puts and deploys the manifest of a file; for `up --wadm-manifest`. */
bool app_deploy_file(struct ctl *c, const char *path, struct err *e);

#endif
