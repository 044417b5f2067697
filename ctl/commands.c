/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands. */
#include "ctl/table.h"

#include "lattice/base/num.h"

const struct option lattice_options[] = {
    {.name = "ctl-host",
     .letter = 'r',
     .kind = OPTION_TEXT,
     .env = "WASMCLOUD_CTL_HOST",
     .context = "ctl_host",
     .preset = "127.0.0.1",
     .value = "HOST",
     .help = "NATS server"},
    {.name = "ctl-port",
     .letter = 'p',
     .kind = OPTION_NUMBER,
     .env = "WASMCLOUD_CTL_PORT",
     .context = "ctl_port",
     .preset = "4222",
     .value = "PORT",
     .help = "and its port"},
    {.name = "ctl-jwt",
     .kind = OPTION_TEXT,
     .env = "WASMCLOUD_CTL_JWT",
     .context = "ctl_jwt",
     .help = "user JWT or its file, with --ctl-seed"},
    {.name = "ctl-seed",
     .kind = OPTION_TEXT,
     .env = "WASMCLOUD_CTL_SEED",
     .context = "ctl_seed",
     .help = "user seed or its file"},
    {.name = "ctl-credsfile",
     .kind = OPTION_TEXT,
     .env = "WASH_CTL_CREDS",
     .context = "ctl_credsfile",
     .value = "FILE",
     .help = "both in one file"},
    {.name = "ctl-tls-ca-file",
     .kind = OPTION_TEXT,
     .env = "WASH_CTL_TLS_CA_FILE",
     .context = "ctl_tls_ca_file",
     .value = "FILE",
     .help = "require TLS; certificates (PEM) to trust beside the system's"},
    {.name = "ctl-tls-first",
     .kind = OPTION_TRUTH,
     .env = "WASH_CTL_TLS_FIRST",
     .context = "ctl_tls_first",
     .preset = "false",
     .help = "only false: no handshake before the server's greeting"},
    LATTICE_OPTION,
    {.name = "timeout-ms",
     .letter = 't',
     .kind = OPTION_NUMBER,
     .env = "WASMCLOUD_CTL_TIMEOUT_MS",
     .context = "ctl_timeout",
     .preset = "2000",
     .value = "MS",
     .help = "patience with one request"},
    {.name = "js-domain",
     .alias = "domain",
     .kind = OPTION_TEXT,
     .env = "WASMCLOUD_JS_DOMAIN",
     .context = "js_domain",
     .help = "accepted for compatibility: hosts use theirs"},
    CONTEXT_OPTION,
    {0},
};

#define SKIP_WAIT                                                                                 \
    {                                                                                             \
        .name = "skip-wait", .kind = OPTION_FLAG, .help = "return when the host has acknowledged" \
    }
#define HOST_ID                                                  \
    {                                                            \
        .name = "host-id", .kind = OPTION_TEXT, .value = "HOST", \
        .help = "id, beginning of it, or part of the name"       \
    }
#define CONFIG                                                  \
    {                                                           \
        .name = "config", .kind = OPTION_LIST, .value = "NAME", \
        .help = "named configuration, may be repeated"          \
    }
#define ALLOW_UPDATE                                          \
    {                                                         \
        .name = "allow-update", .kind = OPTION_FLAG,          \
        .help = "may replace another image of that component" \
    }
#define AUCTION                                                                               \
    {.name = "constraint",                                                                    \
     .letter = 'c',                                                                           \
     .kind = OPTION_LIST,                                                                     \
     .value = "K=V",                                                                          \
     .help = "label the host must have"},                                                     \
    {                                                                                         \
        .name = "auction-timeout-ms", .kind = OPTION_NUMBER, .preset = "2000", .value = "MS", \
        .help = "patience with bids"                                                          \
    }
#define MAX_INSTANCES(letter_, preset_)                                                       \
    {                                                                                         \
        .name = "max-instances", .alias = "max-concurrent max count", .letter = letter_,      \
        .kind = OPTION_NUMBER, .preset = preset_, .value = "N", .help = "instances at a time" \
    }

static const struct option down_options[] = {
    HOST_ID,
    {.name = "all", .kind = OPTION_FLAG, .help = "every host of the lattice that answers"},
    {.name = "purge-jetstream",
     .alias = "flush-jetstream",
     .kind = OPTION_TEXT,
     .preset = "none",
     .value = "none|all|wadm|wasmcloud",
     .help = "delete what is stored, too"},
    {0},
};

static const struct option watch_options[] = {
    {.name = "watch", .letter = 'w', .kind = OPTION_DURATION, .help = "repeat until interrupted"},
    {0},
};

static const struct option stop_host_options[] = {
    {.name = "host-timeout",
     .kind = OPTION_NUMBER,
     .value = "MS",
     .help = "time the host has to stop"},
    {0},
};

static const struct option label_options[] = {
    {.name = "delete", .kind = OPTION_FLAG, .help = "take the labels away"},
    {0},
};

static const struct option link_put_options[] = {
    {.name = "interface",
     .alias = "interfaces",
     .kind = OPTION_LIST,
     .value = "NAME",
     .help = "may be repeated"},
    {.name = "link-name",
     .letter = 'l',
     .kind = OPTION_TEXT,
     .preset = "default",
     .value = "NAME",
     .help = "of the link"},
    {.name = "source-config",
     .kind = OPTION_LIST,
     .value = "NAME",
     .help = "named configuration for the source"},
    {.name = "target-config",
     .kind = OPTION_LIST,
     .value = "NAME",
     .help = "named configuration for the target"},
    {0},
};

static const struct option link_del_options[] = {
    {.name = "link-name",
     .letter = 'l',
     .kind = OPTION_TEXT,
     .value = "NAME",
     .help = "of the link"},
    {.name = "all", .kind = OPTION_FLAG, .help = "every link of the lattice"},
    {.name = "force", .kind = OPTION_FLAG, .help = "yes, that is meant"},
    {0},
};

static const struct option start_component_options[] = {
    HOST_ID, AUCTION, MAX_INSTANCES(0, "1"), CONFIG, SKIP_WAIT, ALLOW_UPDATE, {0},
};
static const struct option start_provider_options[] = {
    HOST_ID,
    AUCTION,
    CONFIG,
    SKIP_WAIT,
    {.name = "link-name", .letter = 'l', .kind = OPTION_TEXT, .help = "accepted, without effect"},
    {0},
};
static const struct option stop_options[] = {HOST_ID, SKIP_WAIT, {0}};
static const struct option update_options[] = {
    HOST_ID,
    {.name = "all-hosts", .kind = OPTION_FLAG, .help = "on one after the other, waiting for each"},
    {.name = "wait", .kind = OPTION_FLAG, .help = "until the host runs it"},
    {0},
};
static const struct option scale_options[] = {
    MAX_INSTANCES('c', "4294967295"),
    {.name = "annotations",
     .letter = 'a',
     .kind = OPTION_LIST,
     .value = "K=V",
     .help = "may be repeated"},
    CONFIG,
    SKIP_WAIT,
    ALLOW_UPDATE,
    OPTION_IGNORED("wait-timeout-ms", OPTION_NUMBER),
    {0},
};

static const struct option deploy_options[] = {
    {.name = "replace",
     .kind = OPTION_FLAG,
     .help = "delete what is stored under this name and version first"},
    {.name = "wait",
     .kind = OPTION_DURATION,
     .help = "until it is deployed (without a value: one minute)"},
    {0},
};

static const struct option status_options[] = {
    {.name = "wide", .kind = OPTION_FLAG, .help = "where its parts run, too"},
    {0},
};

static const struct option undeploy_options[] = {
    {.name = "all", .kind = OPTION_FLAG, .help = "every application"},
    {0},
};

static const struct option run_options[] = {
    {.name = "dir",
     .kind = OPTION_LIST,
     .value = "HOST::GUEST",
     .help = "let it use a directory, under another name"},
    {.name = "read-only-dir",
     .kind = OPTION_LIST,
     .value = "HOST::GUEST",
     .help = "the same, but nothing there can be changed"},
    {.name = "net-allow",
     .kind = OPTION_LIST,
     .value = "HOST:PORT",
     .help = "let it connect to, send to and listen at; * for any"},
    {.name = "http-allow",
     .kind = OPTION_LIST,
     .value = "[SCHEME://]HOST[:PORT]",
     .help = "let it ask an HTTP server; HOST may be *.SUFFIX or *"},
    {.name = "http-ca",
     .kind = OPTION_TEXT,
     .value = "FILE",
     .help = "certificates (PEM) to trust there beside the system's"},
    {.name = "env",
     .letter = 'e',
     .kind = OPTION_LIST,
     .value = "K=V",
     .help = "variable of its environment"},
    {.name = "fuel",
     .kind = OPTION_NUMBER,
     .value = "N",
     .help = "stop it after so many calls and turns of loops"},
    {.name = "timeout", .kind = OPTION_DURATION, .help = "stop it after so long"},
    {.name = "invoke",
     .kind = OPTION_TEXT,
     .value = "NAME",
     .help = "call a function of a core module, with ARGS as numbers"},
    {0},
};

static const struct option delete_options[] = {
    {.name = "all-undeployed",
     .kind = OPTION_FLAG,
     .help = "every application that is not deployed"},
    {0},
};

#define HTTP_OPTION(name_, kind_, env_, preset_, help_)                             \
    {                                                                               \
        .name = "http-" name_, .kind = kind_, .env = "WASH_CALL_INVOKE_HTTP_" env_, \
        .preset = preset_, .help = help_                                            \
    }

static const struct option call_options[] = {
    {.name = "rpc-host",
     .letter = 'r',
     .kind = OPTION_TEXT,
     .env = "WASMCLOUD_RPC_HOST",
     .context = "rpc_host",
     .preset = "127.0.0.1",
     .value = "HOST",
     .help = "NATS server for calls"},
    {.name = "rpc-port",
     .letter = 'p',
     .kind = OPTION_NUMBER,
     .env = "WASMCLOUD_RPC_PORT",
     .context = "rpc_port",
     .preset = "4222",
     .value = "PORT",
     .help = "and its port"},
    {.name = "rpc-jwt",
     .kind = OPTION_TEXT,
     .env = "WASMCLOUD_RPC_JWT",
     .context = "rpc_jwt",
     .help = ""},
    {.name = "rpc-seed",
     .kind = OPTION_TEXT,
     .env = "WASMCLOUD_RPC_SEED",
     .context = "rpc_seed",
     .help = ""},
    {.name = "rpc-credsfile",
     .kind = OPTION_TEXT,
     .env = "WASH_RPC_CREDS",
     .context = "rpc_credsfile",
     .value = "FILE",
     .help = "both in one file"},
    {.name = "rpc-ca-file",
     .kind = OPTION_TEXT,
     .env = "WASH_RPC_TLS_CA_FILE",
     .context = "rpc_tls_ca_file",
     .value = "FILE",
     .help = "require TLS; certificates (PEM) to trust beside the system's"},
    LATTICE_OPTION,
    {.name = "rpc-timeout-ms",
     .letter = 't',
     .kind = OPTION_NUMBER,
     .env = "WASMCLOUD_RPC_TIMEOUT_MS",
     .context = "rpc_timeout",
     .preset = "2000",
     .value = "MS",
     .help = "patience with the call"},
    CONTEXT_OPTION,
    {.name = "context-dir",
     .kind = OPTION_TEXT,
     .value = "DIR",
     .help = "folder of contexts [~/.config/hostctl/contexts]"},
    HTTP_OPTION("scheme", OPTION_TEXT, "SCHEME", "http", "of the request to an HTTP handler"),
    HTTP_OPTION("host", OPTION_TEXT, "HOST", "localhost", ""),
    HTTP_OPTION("port", OPTION_NUMBER, "PORT", "8080", ""),
    HTTP_OPTION("method", OPTION_TEXT, "METHOD", "GET", ""),
    HTTP_OPTION("body", OPTION_TEXT, "BODY", NULL, "its body, or"),
    HTTP_OPTION("body-path", OPTION_TEXT, "BODY_PATH", NULL, "a file that holds it"),
    HTTP_OPTION("content-type", OPTION_TEXT, "CONTENT_TYPE", NULL, ""),
    {.name = "http-response-extract-json",
     .kind = OPTION_FLAG,
     .env = "WASH_CALL_HTTP_RESPONSE_EXTRACT_JSON",
     .help = "the response's body alone, which must be JSON"},
    {0},
};

#define REGISTRY_OPTIONS                                                             \
    {.name = "registry",                                                             \
     .letter = 'r',                                                                  \
     .kind = OPTION_TEXT,                                                            \
     .env = "WASH_REG_URL",                                                          \
     .value = "HOST",                                                                \
     .help = "registry of a name without one"},                                      \
        {.name = "user",                                                             \
         .letter = 'u',                                                              \
         .kind = OPTION_TEXT,                                                        \
         .env = "WASH_REG_USER",                                                     \
         .help = "credentials for the registry"},                                    \
        {.name = "password",                                                         \
         .letter = 'p',                                                              \
         .kind = OPTION_TEXT,                                                        \
         .env = "WASH_REG_PASSWORD",                                                 \
         .help = ""},                                                                \
        {.name = "insecure", .kind = OPTION_FLAG, .help = "without TLS"},            \
        {.name = "insecure-skip-tls-verify",                                         \
         .kind = OPTION_FLAG,                                                        \
         .help = "any certificate will do"},                                         \
        {.name = "tls-ca-path",                                                      \
         .kind = OPTION_TEXT,                                                        \
         .env = "WASMCLOUD_TLS_CA_PATH",                                             \
         .value = "FILES",                                                           \
         .help = "certificates trusted beside the system's"},                        \
    {                                                                                \
        .name = "allow-latest", .kind = OPTION_FLAG, .help = "the tag may be latest" \
    }

#define DIGEST_OPTION                                         \
    {                                                         \
        .name = "digest", .letter = 'd', .kind = OPTION_TEXT, \
        .help = "sha256:... that its manifest must have"      \
    }

static const struct option validate_options[] = {
    {.name = "check-image-refs", .kind = OPTION_FLAG, .help = "are the images there, too?"},
    REGISTRY_OPTIONS,
    {0},
};

static const struct option push_options[] = {
    REGISTRY_OPTIONS,
    {.name = "annotation",
     .letter = 'a',
     .kind = OPTION_LIST,
     .value = "K=V",
     .help = "annotation of the manifest, may be repeated"},
    OPTION_IGNORED("monolithic-push", OPTION_FLAG),
    {0},
};

static const struct option pull_options[] = {
    REGISTRY_OPTIONS,
    {.name = "destination", .kind = OPTION_TEXT, .value = "FILE", .help = "where to write it"},
    DIGEST_OPTION,
    {0},
};

static const struct option inspect_options[] = {
    REGISTRY_OPTIONS,
    {.name = "jwt-only", .kind = OPTION_FLAG, .help = "the token alone"},
    {.name = "wit",
     .alias = "world",
     .kind = OPTION_FLAG,
     .help = "what the component imports and exports, as WIT text"},
    OPTION_IGNORED("no-cache", OPTION_FLAG),
    DIGEST_OPTION,
    {0},
};

#define KEYS_FOLDER(letter_)                                                             \
    {                                                                                    \
        .name = "directory", .letter = letter_, .kind = OPTION_TEXT, .env = "WASH_KEYS", \
        .value = "DIR", .help = "folder of keys [~/.local/share/hostctl/keys]"           \
    }

#define SIGNING_OPTIONS(subject_)                                                          \
    {.name = "issuer",                                                                     \
     .letter = 'i',                                                                        \
     .kind = OPTION_TEXT,                                                                  \
     .env = "WASH_ISSUER_KEY",                                                             \
     .value = "SEED",                                                                      \
     .help = "key of who signs, or a file with it"},                                       \
        {.name = "subject",                                                                \
         .letter = 's',                                                                    \
         .kind = OPTION_TEXT,                                                              \
         .env = "WASH_SUBJECT_KEY",                                                        \
         .value = "SEED",                                                                  \
         .help = "the same of the " subject_},                                             \
    {                                                                                      \
        .name = "disable-keygen", .kind = OPTION_FLAG, .help = "missing keys are an error" \
    }

#define KEY_OPTIONS                                        \
    {.name = "binary",                                     \
     .letter = 'b',                                        \
     .kind = OPTION_TEXT,                                  \
     .value = "FILE",                                      \
     .help = "the executable"},                            \
        {.name = "arch",                                   \
         .letter = 'a',                                    \
         .kind = OPTION_TEXT,                              \
         .value = "ARCH-OS",                               \
         .help = "what it is for, default: this machine"}, \
        KEYS_FOLDER('d'), SIGNING_OPTIONS("provider (SV...)")

static const struct option par_create_options[] = {
    KEY_OPTIONS,
    {.name = "vendor", .letter = 'v', .kind = OPTION_TEXT, .help = "who made it"},
    {.name = "name", .letter = 'n', .kind = OPTION_TEXT, .help = "what it is called"},
    {.name = "revision", .letter = 'r', .kind = OPTION_NUMBER, .preset = "0", .help = "a number"},
    {.name = "version", .kind = OPTION_TEXT, .preset = "0.0.0", .help = "for people"},
    {.name = "schema",
     .letter = 'j',
     .kind = OPTION_TEXT,
     .env = "WASH_JSON_SCHEMA",
     .value = "FILE",
     .help = "JSON schema of its configuration"},
    {.name = "destination", .kind = OPTION_TEXT, .value = "FILE", .help = "default NAME.par[.gz]"},
    {.name = "compress", .kind = OPTION_FLAG, .help = "with gzip"},
    {0},
};

#define DATE_OPTIONS                                                          \
    {.name = "expires",                                                       \
     .letter = 'x',                                                           \
     .kind = OPTION_NUMBER,                                                   \
     .value = "DAYS",                                                         \
     .help = "from now"},                                                     \
    {                                                                         \
        .name = "nbf", .letter = 'b', .kind = OPTION_NUMBER, .value = "DAYS", \
        .help = "not before then"                                             \
    }

static const struct option claims_sign_options[] = {
    {.name = "destination",
     .letter = 'd',
     .kind = OPTION_TEXT,
     .value = "FILE",
     .help = "default: FILE_s.wasm beside it"},
    {.name = "name", .letter = 'n', .kind = OPTION_TEXT, .help = "what it is called"},
    {.name = "tag", .letter = 't', .kind = OPTION_LIST, .value = "TAG", .help = "may be repeated"},
    {.name = "rev", .letter = 'r', .kind = OPTION_NUMBER, .preset = "0", .help = "a number"},
    {.name = "ver", .letter = 'v', .kind = OPTION_TEXT, .preset = "0.0.0", .help = "for people"},
    {.name = "call-alias", .letter = 'a', .kind = OPTION_TEXT, .help = "another name for it"},
    KEYS_FOLDER(0),
    SIGNING_OPTIONS("component (SM...)"),
    DATE_OPTIONS,
    {0},
};

static const struct option claims_token_options[] = {
    {.name = "name", .letter = 'n', .kind = OPTION_TEXT, .help = "what it is called"},
    {.name = "vendor", .kind = OPTION_TEXT, .help = "who made it; of a provider"},
    {.name = "tag", .letter = 't', .kind = OPTION_LIST, .value = "TAG", .help = "of a component"},
    {.name = "rev",
     .alias = "revision",
     .letter = 'r',
     .kind = OPTION_NUMBER,
     .preset = "0",
     .help = "a number"},
    {.name = "ver",
     .alias = "version",
     .letter = 'v',
     .kind = OPTION_TEXT,
     .preset = "0.0.0",
     .help = "for people"},
    {.name = "call-alias", .kind = OPTION_TEXT, .help = "another name; of a component"},
    {.name = "additional-key",
     .letter = 'a',
     .kind = OPTION_LIST,
     .value = "KEY",
     .help = "who signs, too; of an account or operator"},
    KEYS_FOLDER(0),
    SIGNING_OPTIONS("one it is about"),
    DATE_OPTIONS,
    {0},
};

static const struct option secrets_put_options[] = {
    {.name = "field", .kind = OPTION_TEXT, .help = "of what the backend has there"},
    {.name = "version", .letter = 'v', .kind = OPTION_TEXT, .help = "default: the latest"},
    {.name = "property",
     .kind = OPTION_LIST,
     .value = "KEY=VALUE",
     .help = "of the policy that the backend gets, may be repeated"},
    {0},
};

static const struct option par_insert_options[] = {KEY_OPTIONS, {0}};

static const struct option drain_options[] = {
    {.name = "image-cache",
     .kind = OPTION_TEXT,
     .env = "HOSTD_IMAGE_CACHE",
     .value = "DIR",
     .help = "folder, default hostd in the user's cache folder"},
    {0},
};

#define CONTEXT_FOLDER                                                                    \
    {                                                                                     \
        .name = "directory", .kind = OPTION_TEXT, .env = "WASH_CONTEXTS", .value = "DIR", \
        .help = "folder of contexts [~/.config/hostctl/contexts]"                         \
    }

static const struct option ctx_options[] = {CONTEXT_FOLDER, {0}};
static const struct option ctx_new_options[] = {
    CONTEXT_FOLDER,
    {.name = "interactive", .letter = 'i', .kind = OPTION_FLAG, .help = "ask for every member"},
    {0},
};
static const struct option ctx_edit_options[] = {
    CONTEXT_FOLDER,
    {.name = "editor", .letter = 'e', .kind = OPTION_TEXT, .env = "EDITOR", .help = "program"},
    {0},
};

static const struct option logs_options[] = {
    {.name = "follow", .letter = 'f', .kind = OPTION_FLAG, .help = "go on until it ends"},
    {.name = "lines",
     .letter = 'n',
     .kind = OPTION_NUMBER,
     .preset = "200",
     .value = "N",
     .help = "from the end"},
    {.name = "program",
     .kind = OPTION_TEXT,
     .value = "NAME",
     .help = "of one program alone: hostd, http-server, ..."},
    {0},
};

static const struct option completions_options[] = {
    {.name = "dir", .letter = 'd', .kind = OPTION_TEXT, .preset = ".", .help = "where to write it"},
    {0},
};

static const struct option keys_options[] = {KEYS_FOLDER('d'), {0}};

static const struct option spy_options[] = {
    {.name = "count",
     .letter = 'n',
     .kind = OPTION_NUMBER,
     .preset = "0",
     .value = "N",
     .help = "calls, then end; 0: until interrupted"},
    {0},
};

const struct command commands[] = {
    /* noun, verb, other verbs, words, help, lattice?, options, function */
    {"up", NULL, NULL, "", "start a local environment", false, up_options, cmd_up},
    {"down", NULL, NULL, "", "stop what runs", true, down_options, cmd_down,
     .no_default_context = true},
    {"app", "list", NULL, "", "applications of the lattice", true, watch_options, cmd_app_list},
    {"app", "get", NULL, "[NAME] [VERSION]", "a stored manifest", true, watch_options, cmd_app_get},
    {"app", "status", NULL, "NAME", "what became of an application", true, status_options,
     cmd_app_status},
    {"app", "history", NULL, "NAME", "versions of an application", true, NULL, cmd_app_history},
    {"app", "put", NULL, "[FILE]", "store a manifest", true, NULL, cmd_app_put},
    {"app", "deploy", NULL, "SOURCE [VERSION]",
     "store and deploy a manifest, or deploy a stored one", true, deploy_options, cmd_app_deploy},
    {"app", "undeploy", NULL, "[SOURCE]", "stop an application, keep its manifest", true,
     undeploy_options, cmd_app_undeploy},
    {"app", "delete", "del", "[SOURCE] [VERSION]", "stop an application, forget its manifest", true,
     delete_options, cmd_app_delete},
    {"app", "validate", NULL, "FILE", "check a manifest", false, validate_options,
     cmd_app_validate},
    {"get", "hosts", NULL, "", "hosts of the lattice", true, NULL, cmd_get_hosts},
    {"get", "inventory", "inventories", "[HOST]", "what runs where", true, watch_options,
     cmd_get_inventory},
    {"get", "links", "link", "", "links of the lattice", true, NULL, cmd_get_links},
    {"get", "claims", NULL, "", "known claims", true, NULL, cmd_get_claims},
    {"start", "component", NULL, "REFERENCE ID", "start a component", true, start_component_options,
     cmd_start_component},
    {"start", "provider", NULL, "REFERENCE ID", "start a provider", true, start_provider_options,
     cmd_start_provider},
    {"stop", "component", NULL, "ID", "stop a component", true, stop_options, cmd_stop_component},
    {"stop", "provider", NULL, "ID", "stop a provider", true, stop_options, cmd_stop_provider},
    {"stop", "host", NULL, "HOST", "stop a host", true, stop_host_options, cmd_stop_host},
    {"scale", "component", NULL, "HOST REFERENCE ID", "change how many instances run at a time",
     true, scale_options, cmd_scale_component},
    {"update", "component", NULL, "ID NEW_REFERENCE", "replace the image of a component", true,
     update_options, cmd_update_component},
    {"label", NULL, NULL, "HOST LABELS...", "label a host: K=V,K=V", true, label_options,
     cmd_label},
    {"tag", NULL, NULL, "HOST LABELS...", "the same", true, label_options, cmd_label},
    {"link", "query", "get", "", "links of the lattice", true, NULL, cmd_get_links},
    {"link", "put", NULL, "SOURCE_ID TARGET NAMESPACE PACKAGE", "let one call another", true,
     link_put_options, cmd_link_put},
    {"link", "del", "delete", "[SOURCE_ID] [NAMESPACE] [PACKAGE]", "delete a link", true,
     link_del_options, cmd_link_del},
    {"config", "put", "create", "NAME KEY=VALUE...", "store a named configuration", true, NULL,
     cmd_config_put},
    {"config", "get", NULL, "NAME", "show a named configuration", true, NULL, cmd_config_get},
    {"config", "del", "delete", "NAME", "delete a named configuration", true, NULL, cmd_config_del},
    {"secrets", "put", "create", "NAME BACKEND KEY", "store where a secret is to be had", true,
     secrets_put_options, cmd_secrets_put},
    {"secrets", "get", NULL, "NAME", "show where a secret is to be had", true, NULL,
     cmd_config_get},
    {"secrets", "del", "delete", "NAME", "delete the reference to a secret", true, NULL,
     cmd_config_del},
    {"claims", "sign", NULL, "FILE", "sign a component", false, claims_sign_options,
     cmd_claims_sign},
    {"claims", "token", NULL, "component|provider|account|operator", "make a signed token", false,
     claims_token_options, cmd_claims_token},
    {"claims", "inspect", NULL, "FILE_OR_REFERENCE", "claims of a component or a provider archive",
     false, inspect_options, cmd_inspect},
    {"run", NULL, NULL, "FILE [ARGS]...", "run a WASI 0.2 command component or a core module here",
     false, run_options, cmd_run, .passes_rest = true},
    {"call", NULL, NULL, "COMPONENT_ID FUNCTION",
     "call an HTTP handler, or a function that returns a string", false, call_options, cmd_call},
    {"spy", NULL, NULL, "COMPONENT_ID", "show the calls of a component and those linked with it",
     true, spy_options, cmd_spy},
    {"push", NULL, NULL, "REFERENCE FILE", "put a component or a provider archive into a registry",
     false, push_options, cmd_push},
    {"pull", NULL, NULL, "REFERENCE", "fetch one out of a registry", false, pull_options, cmd_pull},
    {"inspect", NULL, NULL, "FILE_OR_REFERENCE", "claims of a component or a provider archive",
     false, inspect_options, cmd_inspect},
    {"par", "create", NULL, "", "make a provider archive", false, par_create_options,
     cmd_par_create},
    {"par", "insert", NULL, "ARCHIVE", "add an executable for another target", false,
     par_insert_options, cmd_par_insert},
    {"par", "inspect", NULL, "ARCHIVE", "claims of a provider archive", false, inspect_options,
     cmd_inspect},
    {"logs", NULL, NULL, "[HOST_OR_NATS]", "what detached hosts of this machine wrote", false,
     logs_options, cmd_logs},
    {"completions", NULL, NULL, "zsh|bash|fish|power-shell",
     "write a completion script for a shell", false, completions_options, cmd_completions},
    {"ctx", "list", NULL, "", "sets of connection options", false, ctx_options, cmd_ctx_list},
    {"ctx", "new", NULL, "[NAME]", "make one", false, ctx_new_options, cmd_ctx_new},
    {"ctx", "del", "delete", "[NAME]", "remove one", false, ctx_options, cmd_ctx_del},
    {"ctx", "default", NULL, "[NAME]", "use this one where none is named", false, ctx_options,
     cmd_ctx_default},
    {"ctx", "edit", NULL, "[NAME]", "open its file in an editor", false, ctx_edit_options,
     cmd_ctx_edit},
    {"drain", NULL, NULL, "all|oci|lib|dev|downloads",
     "empty the image cache of what is not in use", false, drain_options, cmd_drain},
    {"keys", "gen", NULL, "TYPE", "make a key", false, NULL, cmd_keys_gen},
    {"keys", "get", NULL, "NAME", "the seed of a stored key", false, keys_options, cmd_keys_get},
    {"keys", "list", NULL, "", "names of stored keys", false, keys_options, cmd_keys_list},
};

const size_t ncommands = ARRAY_LEN(commands);
