/* SPDX-License-Identifier: Apache-2.0 */
/* The settings table: name, environment variable, kind, default, bounds and help of each, and what reads it. */
#include "hostd/config.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <sys/utsname.h>

#include "lattice/base/buf.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"
#include "lattice/proto/service.h"

#define SETTINGS_BYTES_MAX (1u << 20)
#define LABELS_MAX 256u
#define LABEL_ENV "WASMCLOUD_LABEL_"
#define HELP_COLUMNS 100
#define HELP_FLAG_COLUMNS 38 /* of these for a flag */

enum kind {
    TEXT,
    NUMBER,
    SWITCH, /* flag without value */
    TRUTH,  /* flag with true or false */
    LABEL,  /* key=value, repeatable */
};

/* What becomes of a setting that is given but not served. */
enum state { SERVED, IGNORED };

static const struct row {
    const char *flag, *env; /* without "--"; env NULL: none */
    char letter;            /* short flag, or 0 */
    enum kind kind;
    enum state state;
    size_t offset;
    const char *preset; /* NULL: none */
    uint64_t min, max;  /* NUMBER */
    const char *help;
} rows[] = {
#define T(flag, env, field, preset, help)                                                \
    {                                                                                    \
        flag, env, 0, TEXT, SERVED, offsetof(struct settings, field), preset, 0, 0, help \
    }
#define N(flag, env, field, preset, min, max, help)                                            \
    {                                                                                          \
        flag, env, 0, NUMBER, SERVED, offsetof(struct settings, field), preset, min, max, help \
    }
#define B(flag, env, field, help)                                                        \
    {                                                                                    \
        flag, env, 0, SWITCH, SERVED, offsetof(struct settings, field), NULL, 0, 0, help \
    }
#define LATER(kind, flag, env, field, help)                                                      \
    {                                                                                            \
        flag, env, 0, kind, IGNORED, offsetof(struct settings, field), NULL, 0, UINT32_MAX, help \
    }
    {"lattice", "WASMCLOUD_LATTICE", 'x', TEXT, SERVED, offsetof(struct settings, lattice),
     "default", 0, 0, "lattice to join"},
    T("nats-host", "WASMCLOUD_NATS_HOST", nats_host, "127.0.0.1", "NATS server"),
    N("nats-port", "WASMCLOUD_NATS_PORT", nats_port, "4222", 1, 65535, "and its port"),
    T("nats-jwt", "WASMCLOUD_NATS_JWT", nats_jwt, NULL, "user JWT, with --nats-seed"),
    T("nats-seed", "WASMCLOUD_NATS_SEED", nats_seed, NULL, "user seed, with --nats-jwt"),
    T("nats-creds", "WASMCLOUD_NATS_CREDS", nats_creds, NULL, "credentials file instead of both"),
    T("ctl-host", "WASMCLOUD_CTL_HOST", ctl_host, NULL,
      "the same for control, events and storage, when different"),
    N("ctl-port", "WASMCLOUD_CTL_PORT", ctl_port, "0", 0, 65535, "and its port, 0: the same"),
    T("ctl-jwt", "WASMCLOUD_CTL_JWT", ctl_jwt, NULL, "user JWT there"),
    T("ctl-seed", "WASMCLOUD_CTL_SEED", ctl_seed, NULL, "user seed there"),
    T("ctl-creds", "WASMCLOUD_CTL_CREDS", ctl_creds, NULL, "credentials file there"),
    B("ctl-tls", "WASMCLOUD_CTL_TLS", ctl_tls, "require TLS there"),
    T("ctl-tls-ca-file", "WASMCLOUD_CTL_TLS_CA_FILE", ctl_ca_file, NULL,
      "the same; certificates (PEM file) to trust beside the system's"),
    T("rpc-host", "WASMCLOUD_RPC_HOST", rpc_host, NULL, "the same for calls, when different"),
    N("rpc-port", "WASMCLOUD_RPC_PORT", rpc_port, "0", 0, 65535, "and its port, 0: the same"),
    T("rpc-jwt", "WASMCLOUD_RPC_JWT", rpc_jwt, NULL, "user JWT there"),
    T("rpc-seed", "WASMCLOUD_RPC_SEED", rpc_seed, NULL, "user seed there"),
    T("rpc-creds", "WASMCLOUD_RPC_CREDS", rpc_creds, NULL, "credentials file there"),
    B("rpc-tls", "WASMCLOUD_RPC_TLS", rpc_tls, "require TLS there"),
    T("rpc-tls-ca-file", "WASMCLOUD_RPC_TLS_CA_FILE", rpc_ca_file, NULL,
      "the same; certificates (PEM file) to trust beside the system's; our providers are told"),
    T("ctl-topic-prefix", "WASMCLOUD_CTL_TOPIC_PREFIX", ctl_prefix, PROTO_CTL_PREFIX,
      "head of control subjects"),
    N("rpc-timeout-ms", "WASMCLOUD_RPC_TIMEOUT_MS", rpc_timeout_ms, "2000", 1, 3600000,
      "for requests to providers; does not limit calls"),
    T("js-domain", "WASMCLOUD_JS_DOMAIN", js_domain, NULL, "JetStream domain"),
    T("host-seed", "WASMCLOUD_HOST_SEED", host_seed, NULL, "host key (SN...), default random"),
    {"label", NULL, 'l', LABEL, SERVED, 0, NULL, 0, 0,
     "KEY=VALUE, may be repeated; also " LABEL_ENV "KEY=VALUE in the environment"},
    N("provider-shutdown-delay-ms", "WASMCLOUD_PROV_SHUTDOWN_DELAY_MS", provider_shutdown_ms, "300",
      0, 600000, "time a provider has to stop by itself"),
    B("allow-file-load", "WASMCLOUD_ALLOW_FILE_LOAD", allow_file_load, "accept file:// images"),
    T("image-cache", "HOSTD_IMAGE_CACHE", image_cache, NULL,
      "folder for pulled images, default hostd in the user's cache folder"),
    N("image-cache-bytes", "HOSTD_IMAGE_CACHE_BYTES", image_cache_bytes, "4294967296", 0, INT64_MAX,
      "beyond which images used longest ago are removed there, never those in use; 0: none"),
    T("oci-registry", "WASMCLOUD_OCI_REGISTRY", oci_registry, NULL,
      "registry that --oci-user and --oci-password are for"),
    T("oci-user", "WASMCLOUD_OCI_REGISTRY_USER", oci_user, NULL, "user name for --oci-registry"),
    T("oci-password", "WASMCLOUD_OCI_REGISTRY_PASSWORD", oci_password, NULL, "and its password"),
    T("oci-mirrors", "HOSTD_OCI_MIRRORS", oci_mirrors, NULL,
      "FROM=TO,...: registries asked in place of others, as in ghcr.io=localhost:5000"),
    T("allowed-insecure", "WASMCLOUD_OCI_ALLOWED_INSECURE", allowed_insecure, NULL,
      "registries spoken to without TLS, separated by commas"),
    B("allow-latest", "WASMCLOUD_OCI_ALLOW_LATEST", allow_latest,
      "accept image references that end in :latest"),
    T("tls-ca-path", "WASMCLOUD_TLS_CA_PATH", tls_ca_path, NULL,
      "PEM files trusted for registries beside the system's, separated by commas"),
    B("no-provider-aliases", "HOSTD_NO_PROVIDER_ALIASES", no_provider_aliases,
      "do not serve references to known upstream providers with our own binaries"),
    T("policy-topic", "WASMCLOUD_POLICY_TOPIC", policy_topic, NULL,
      "subject of the policy service, which is asked before anything starts or is called"),
    T("policy-changes-topic", "WASMCLOUD_POLICY_CHANGES_TOPIC", policy_changes_topic, NULL,
      "subject on which it changes what it said"),
    N("policy-timeout-ms", "WASMCLOUD_POLICY_TIMEOUT", policy_timeout_ms, "1000", 1, 3600000,
      "for its answer; without one it is no"),
    T("secrets-topic", "WASMCLOUD_SECRETS_TOPIC", secrets_topic, NULL,
      "head of the subjects of secrets backends; without it who names a secret does not start"),
    T("http-allow", "HOSTD_HTTP_ALLOW", http_allow, NULL,
      "servers that components without a link for wasi:http/outgoing-handler may ask: "
      "[SCHEME://]HOST[:PORT],...; HOST may be *.SUFFIX or *"),
    T("http-ca", "HOSTD_HTTP_CA", http_ca, NULL,
      "certificates (PEM file) to trust there beside the system's"),
    T("net-allow", "HOSTD_NET_ALLOW", net_allow, NULL,
      "what components may reach with sockets: HOST:PORT,...; HOST may be a name, an address, "
      "10.0.0.0/8 or *, PORT *"),
    T("log-level", "WASMCLOUD_LOG_LEVEL", log_level, "info", "error, warn, info, debug or trace"),
    B("enable-structured-logging", "WASMCLOUD_STRUCTURED_LOGGING_ENABLED", log_json,
      "JSON lines on stderr"),
    N("max-execution-time-ms", "WASMCLOUD_MAX_EXECUTION_TIME_MS", execution_ms_max, "600000", 0,
      86400000, "one invocation, waiting included; below 1000 counts as 1000"),
    N("max-linear-memory-bytes", "WASMCLOUD_MAX_LINEAR_MEMORY", memory_bytes_max, "268435456",
      65536, 4294967296, "one memory of a component"),
    N("max-components", "WASMCLOUD_MAX_COMPONENTS", instances_max, "10000", 1, 1000000,
      "instances running at a time"),
    N("max-image-bytes", "HOSTD_MAX_IMAGE_BYTES", image_bytes_max, "268435456", 1, 4294967296,
      "one component or provider image"),
    N("max-queue", "HOSTD_MAX_QUEUE", queue_max, "1024", 1, 1000000,
      "invocations of one component waiting for an instance"),
    N("max-queue-bytes", "HOSTD_MAX_QUEUE_BYTES", queue_bytes_max, "268435456", 1, 1099511627776,
      "parameters of all that wait so on this host; bodies do not count"),
    N("max-unread-bytes", "HOSTD_MAX_UNREAD_BYTES", unread_bytes_max, "1073741824", 0,
      1099511627776,
      "one body that its sender does not pace and its guest has not read; what is "
      "over 2 MiB waits in a temporary file"),
    N("max-spool-bytes", "HOSTD_MAX_SPOOL_BYTES", spool_bytes_max, "8589934592", 0, 1099511627776,
      "all such files together"),
    N("workers", "HOSTD_WORKERS", workers, "0", 0, 1024,
      "threads that run guests, 0: one per core"),
    N("heartbeat-interval-seconds", "WASMCLOUD_HEARTBEAT_INTERVAL", heartbeat_s, "30", 1, 3600,
      "between heartbeats"),
    N("probe-interval-ms", "HOSTD_PROBE_INTERVAL_MS", probe_interval_ms, "1000", 0, 60000,
      "how often the scheduler may ask whether we live, 0: not"),
    {"enable-component-auction", "WASMCLOUD_COMPONENT_AUCTION_ENABLED", 0, TRUTH, SERVED,
     offsetof(struct settings, component_auction), "true", 0, 0, "bid for components"},
    {"enable-provider-auction", "WASMCLOUD_PROVIDER_AUCTION_ENABLED", 0, TRUTH, SERVED,
     offsetof(struct settings, provider_auction), "true", 0, 0, "bid for providers"},
    B("no-scheduler", "HOSTD_NO_SCHEDULER", no_scheduler,
      "do not offer the application scheduler (leave it to wadm or other hosts)"),
    T("manifest-bucket", "WADM_MANIFEST_BUCKET_NAME", manifest_bucket, NULL,
      "scheduler: bucket of manifests"),
    T("api-prefix", "WADM_API_PREFIX", api_prefix, NULL,
      "scheduler: head of manifest API subjects"),
    N("lost-after-seconds", "WADM_CLEANUP_INTERVAL", lost_after_s, "0", 0, 86400,
      "scheduler: silence after which a host counts as lost, 0: 75"),

    LATER(TEXT, "http-admin", "WASMCLOUD_HTTP_ADMIN", http_admin, "health page, IP:PORT"),
    LATER(SWITCH, "config-service-enabled", "WASMCLOUD_CONFIG_SERVICE", config_service, ""),
    LATER(TEXT, "feature", "WASMCLOUD_EXPERIMENTAL_FEATURES", features, ""),
    LATER(TEXT, "trace-level", "WASMCLOUD_TRACE_LEVEL", trace_level, ""),
    LATER(TEXT, "flame-graph", "WASMCLOUD_FLAME_GRAPH", flame_graph, ""),
    LATER(NUMBER, "max-component-size-bytes", "WASMCLOUD_MAX_COMPONENT_SIZE", component_bytes_max,
          ""),
    LATER(NUMBER, "max-core-instances-per-component", "WASMCLOUD_MAX_CORE_INSTANCES_PER_COMPONENT",
          core_instances_max, ""),
    LATER(SWITCH, "enable-observability", "WASMCLOUD_OBSERVABILITY_ENABLED", observability, ""),
    LATER(TEXT, "enable-traces", "WASMCLOUD_TRACES_ENABLED", traces, ""),
    LATER(TEXT, "enable-metrics", "WASMCLOUD_METRICS_ENABLED", metrics, ""),
    LATER(TEXT, "enable-logs", "WASMCLOUD_LOGS_ENABLED", logs, ""),
    LATER(TEXT, "observability-protocol", "WASMCLOUD_OBSERVABILITY_PROTOCOL",
          observability_protocol, ""),
    LATER(TEXT, "override-observability-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT",
          observability_endpoint, ""),
    LATER(TEXT, "override-traces-endpoint", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", traces_endpoint,
          ""),
    LATER(TEXT, "override-metrics-endpoint", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
          metrics_endpoint, ""),
    LATER(TEXT, "override-logs-endpoint", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", logs_endpoint, ""),
#undef T
#undef N
#undef B
#undef LATER
};

/* Other spellings that upstream takes. */
static const char *const flag_aliases[][2] = {
    {"wasmcloud-js-domain", "js-domain"},
    {"provider-shutdown-delay", "provider-shutdown-delay-ms"},
    {"structured-log-level", "log-level"},
};

/* Labels while they are gathered: a later one of the same key replaces. */
struct labels {
    struct proto_pair v[LABELS_MAX];
    uint32_t n;
};

struct reading {
    struct settings *s;
    struct labels *labels;
    bool given[ARRAY_LEN(rows)]; /* by a flag: the environment is not looked at */
};

/* ---- values ---------------------------------------------------------------------------------------- */

static const char *keep(struct settings *s, struct str text, struct err *e)
{
    struct str copy = arena_str(&s->arena, text);
    if (!copy.p)
        arena_full(&s->arena, e);
    return copy.p;
}

static bool put_label(struct reading *r, struct str key, struct str value, struct err *e)
{
    uint32_t i = 0;
    while (i < r->labels->n && !str_eq(r->labels->v[i].key, key))
        i++;
    if (i == LABELS_MAX)
        return err_set(e, ERR_LIMIT, "more than %u labels", LABELS_MAX);
    const char *k = keep(r->s, key, e), *v = keep(r->s, value, e);
    if (!k || !v)
        return false;
    r->labels->v[i] = (struct proto_pair){str_of(k), str_of(v)};
    r->labels->n = MAX(r->labels->n, i + 1);
    return true;
}

static bool parse_label(struct reading *r, struct str text, struct err *e)
{
    struct str key, value, excess;
    if (!str_cut(&text, '=', &key) || !str_cut(&text, '=', &value) ||
        str_cut(&text, '=', &excess) || key.n == 0)
        return err_set(e, ERR_INVALID, "a label is KEY=VALUE");
    return put_label(r, key, value, e);
}

static bool parse_truth(struct str text, bool *out, struct err *e)
{
    if (str_ieq(text, STR("true")) || str_eqz(text, "1"))
        *out = true;
    else if (str_ieq(text, STR("false")) || str_eqz(text, "0") || text.n == 0)
        *out = false;
    else
        return err_set(e, ERR_INVALID, "must be true or false");
    return true;
}

static bool parse_number(const struct row *row, struct str text, uint64_t *out, struct err *e)
{
    uint64_t v;
    if (!str_u64(text, &v) || v < row->min || v > row->max)
        return err_set(e, ERR_INVALID, "must be a number from %" PRIu64 " to %" PRIu64, row->min,
                       row->max);
    *out = v;
    return true;
}

static bool set(struct reading *r, const struct row *row, struct str text, struct err *e)
{
    void *field = (uint8_t *)r->s + row->offset;
    const char *copy;
    switch (row->kind) {
    case TEXT: /* an empty one is as good as none */
        text = text.n ? text : str_of(row->preset);
        copy = text.n ? keep(r->s, text, e) : NULL;
        if (text.n && !copy)
            return false;
        *(const char **)field = copy;
        return true;
    case NUMBER:
        return parse_number(row, text, field, e);
    case SWITCH:
    case TRUTH:
        return parse_truth(text, field, e);
    case LABEL:
        return parse_label(r, text, e);
    }
    assert(false);
    return false;
}

/* ---- flags ----------------------------------------------------------------------------------------- */

static const struct row *find_flag(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(flag_aliases); i++) {
        if (str_eqz(name, flag_aliases[i][0]))
            name = str_of(flag_aliases[i][1]);
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (str_eqz(name, rows[i].flag))
            return &rows[i];
    }
    return NULL;
}

static const struct row *find_letter(char letter)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].letter && rows[i].letter == letter)
            return &rows[i];
    }
    return NULL;
}

/* One flag at argv[*at], with its value in it or behind it. */
static bool read_flag(struct reading *r, int argc, char **argv, int *at, struct err *e)
{
    struct str word = str_of(argv[*at]), name;
    const struct row *row = NULL;
    bool has_value = false;
    if (str_starts(word, STR("--"))) {
        struct str rest = str_sub(word, 2, word.n);
        size_t eq = str_find(rest, '=');
        name = str_sub(rest, 0, eq);
        has_value = eq < rest.n;
        row = find_flag(name);
        word = has_value ? str_sub(rest, eq + 1, rest.n) : STR("true");
    } else if (word.n == 2 && word.p[0] == '-') {
        row = find_letter(word.p[1]);
    }
    if (!row)
        return err_set(e, ERR_INVALID, "unknown option \"%s\"; see --help", argv[*at]);
    if (!has_value && row->kind != SWITCH) {
        if (*at + 1 >= argc)
            return err_set(e, ERR_INVALID, "--%s needs a value", row->flag);
        word = str_of(argv[++*at]);
    }
    r->given[row - rows] = true;
    return set(r, row, word, e) || err_wrap(e, "--%s", row->flag);
}

/* ---- environment and defaults ---------------------------------------------------------------------- */

static bool find_env(char **env, const char *name, struct str *value)
{
    size_t n = strlen(name);
    for (; *env; env++) {
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=') {
            *value = str_of(*env + n + 1);
            return true;
        }
    }
    return false;
}

static bool read_env_labels(struct reading *r, char **env, struct err *e)
{
    struct str head = STR(LABEL_ENV), key;
    for (; *env; env++) {
        struct str line = str_of(*env);
        if (!str_starts(line, head))
            continue;
        line = str_sub(line, head.n, line.n);
        if (str_cut(&line, '=', &key) && key.n > 0 && !put_label(r, key, line, e))
            return false;
    }
    return true;
}

static bool read_builtin_labels(struct reading *r, struct err *e)
{
    struct utsname name;
    if (uname(&name) != 0)
        return err_set(e, ERR_IO, "cannot tell the machine's architecture");
    return put_label(r, STR("hostcore.arch"), str_of(name.machine), e) &&
           put_label(r, STR("hostcore.os"), STR("linux"), e) &&
           put_label(r, STR("hostcore.osfamily"), STR("unix"), e);
}

static bool read_rest(struct reading *r, char **env, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct str text;
        if (r->given[i] || row->kind == LABEL)
            continue;
        if (row->env && find_env(env, row->env, &text) && text.n > 0) {
            if (!set(r, row, text, e))
                return err_wrap(e, "%s", row->env);
        } else if (row->preset && !set(r, row, str_of(row->preset), e)) {
            return err_wrap(e, "--%s", row->flag);
        }
    }
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------------- */

static bool check_pair(const char *jwt, const char *seed, const char *what, struct err *e)
{
    return !jwt == !seed ||
           err_set(e, ERR_INVALID, "--%s-jwt and --%s-seed must be given together", what, what);
}

static bool check_topic(const char *topic, const char *what, struct err *e)
{
    return !topic || proto_topic_ok(str_of(topic)) ||
           err_set(e, ERR_INVALID,
                   "--%s: \"%s\" is not tokens of letters, digits, '-' and '_' with dots between "
                   "them",
                   what, topic);
}

static bool check(const struct settings *s, struct err *e)
{
    enum log_level level;
    if (!proto_lattice_ok(str_of(s->lattice)))
        return err_set(e, ERR_INVALID,
                       "--lattice: only letters, digits, '-' and '_' may be used, not \"%s\"",
                       s->lattice);
    if (s->policy_changes_topic && !s->policy_topic)
        return err_set(e, ERR_INVALID, "--policy-changes-topic goes with --policy-topic");
    if (!log_level_parse(str_of(s->log_level), &level))
        return err_set(e, ERR_INVALID, "--log-level: unknown level \"%s\"", s->log_level);
    return check_topic(s->secrets_topic, "secrets-topic", e) &&
           check_topic(s->policy_topic, "policy-topic", e) &&
           check_topic(s->policy_changes_topic, "policy-changes-topic", e) &&
           check_pair(s->nats_jwt, s->nats_seed, "nats", e) &&
           check_pair(s->ctl_jwt, s->ctl_seed, "ctl", e) &&
           check_pair(s->rpc_jwt, s->rpc_seed, "rpc", e);
}

static void inherit(struct settings *s)
{
    const char *jwt = s->nats_jwt, *seed = s->nats_seed, *creds = s->nats_creds;
    if (!s->ctl_jwt && !s->ctl_creds) {
        s->ctl_jwt = jwt;
        s->ctl_seed = seed;
        s->ctl_creds = creds;
    }
    if (!s->rpc_jwt && !s->rpc_creds) {
        s->rpc_jwt = jwt;
        s->rpc_seed = seed;
        s->rpc_creds = creds;
    }
    s->ctl_host = s->ctl_host ? s->ctl_host : s->nats_host;
    s->rpc_host = s->rpc_host ? s->rpc_host : s->nats_host;
    s->ctl_port = s->ctl_port ? s->ctl_port : s->nats_port;
    s->rpc_port = s->rpc_port ? s->rpc_port : s->nats_port;
    s->execution_ms_max = MAX(s->execution_ms_max, (uint64_t)1000);
}

bool settings_read(struct settings *s, int argc, char **argv, char **env, enum settings_end *end,
                   struct err *e)
{
    struct labels labels = {.n = 0};
    struct reading r = {.s = s, .labels = &labels};
    *s = (struct settings){.lattice = NULL};
    *end = SETTINGS_RUN;
    arena_init(&s->arena, SETTINGS_BYTES_MAX);
    /* in the order of precedence: what comes later replaces a label of the same key */
    if (!read_builtin_labels(&r, e) || !read_env_labels(&r, env, e))
        return false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *end = SETTINGS_HELP;
            return true;
        }
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0) {
            *end = SETTINGS_VERSION;
            return true;
        }
        if (!read_flag(&r, argc, argv, &i, e))
            return false;
    }
    if (!read_rest(&r, env, e) || !check(s, e))
        return false;
    inherit(s);
    struct proto_map map = {labels.v, labels.n};
    s->labels = proto_map_copy(&s->arena, &map);
    return s->labels.v ? true : arena_full(&s->arena, e);
}

void settings_fini(struct settings *s)
{
    arena_fini(&s->arena);
}

const char *settings_warning(const struct settings *s, uint32_t i)
{
    for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
        const void *field = (const uint8_t *)s + rows[k].offset;
        if (rows[k].state != IGNORED)
            continue;
        bool given = rows[k].kind == TEXT     ? *(const char *const *)field != NULL
                     : rows[k].kind == NUMBER ? *(const uint64_t *)field != 0
                                              : *(const bool *)field;
        if (given && i-- == 0)
            return rows[k].flag;
    }
    return NULL;
}

/* From column `indent`, where `out` stands, broken at blanks. */
static void help_text(FILE *out, size_t indent, struct str text)
{
    struct str word;
    size_t at = indent;
    while (str_cut(&text, ' ', &word)) {
        bool first = at == indent, fits = at + 1 + word.n <= HELP_COLUMNS;
        if (!first && !fits) {
            fprintf(out, "\n%*s", (int)indent, "");
            at = indent;
        }
        at += (size_t)fprintf(out, "%s%.*s", first || !fits ? "" : " ", STR_ARG(word));
    }
    fputc('\n', out);
}

static void help_row(FILE *out, const struct row *row)
{
    static const char *const hints[] = {[TEXT] = "=TEXT",
                                        [NUMBER] = "=N",
                                        [SWITCH] = "",
                                        [TRUTH] = "=BOOL",
                                        [LABEL] = "=KEY=VALUE"};
    char flag[64], letter[8] = "";
    if (row->letter)
        snprintf(letter, sizeof letter, "-%c, ", row->letter);
    snprintf(flag, sizeof flag, "%s--%s%s", letter, row->flag, hints[row->kind]);
    fprintf(out, "  %-*s ", HELP_FLAG_COLUMNS, flag);
    help_text(out, HELP_FLAG_COLUMNS + 3, str_of(row->help));
    if (!row->env)
        return;
    fprintf(out, "  %-*s %s", HELP_FLAG_COLUMNS, "", row->env);
    if (row->preset)
        fprintf(out, " [default: %s]", row->preset);
    fputc('\n', out);
}

void settings_help(FILE *out)
{
    struct buf idle = BUF_INIT;
    fprintf(out, "hostd: a wasmCloud host\n\nUsage: hostd [OPTIONS]\n\n"
                 "Every option can also be given in the environment; options win.\n\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].state == SERVED)
            help_row(out, &rows[i]);
        else if (rows[i].state == IGNORED)
            buf_printf(&idle, "%s--%s", idle.n ? " " : "", rows[i].flag);
    }
    fprintf(out, "  %-*s %s\n  %-*s %s\n\nAccepted, but without effect so far:\n  ",
            HELP_FLAG_COLUMNS, "-h, --help", "this text", HELP_FLAG_COLUMNS, "-V, --version",
            "name and version");
    help_text(out, 2, buf_view(&idle));
    buf_fini(&idle);
}
