/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the daemon: flags, then environment, then defaults. Every setting is a row of the table in config.c,
 * which also writes --help. Spec: lattice protocol 4.4. */
#ifndef HOSTD_CONFIG_H
#define HOSTD_CONFIG_H

#include <stdio.h>

#include "lattice/base/arena.h"
#include "lattice/base/err.h"
#include "lattice/proto/message.h"

/* Texts are NUL terminated and live in `arena`; NULL: not given. */
struct settings {
    struct arena arena;
    const char *lattice;
    const char *nats_host, *nats_jwt, *nats_seed, *nats_creds;
    const char *ctl_host, *ctl_jwt, *ctl_seed, *ctl_creds;
    const char *rpc_host, *rpc_jwt, *rpc_seed, *rpc_creds;
    uint64_t nats_port, ctl_port, rpc_port; /* ctl, rpc: 0 means nats_port */
    bool ctl_tls, rpc_tls;
    const char *ctl_ca_file, *rpc_ca_file;
    const char *ctl_prefix, *js_domain;
    uint64_t rpc_timeout_ms;
    const char *host_seed;
    struct proto_map labels; /* the built-in ones included */
    uint64_t provider_shutdown_ms;
    bool allow_file_load, no_provider_aliases;
    const char *image_cache, *oci_registry, *oci_user, *oci_password, *oci_mirrors,
        *allowed_insecure, *tls_ca_path;
    bool allow_latest;
    const char *policy_topic, *policy_changes_topic, *secrets_topic;
    uint64_t policy_timeout_ms;
    const char *http_allow, *http_ca, *net_allow;
    const char *log_level;
    bool log_json;
    uint64_t execution_ms_max, memory_bytes_max, image_bytes_max, image_cache_bytes, instances_max,
        queue_max, queue_bytes_max, workers;
    uint64_t unread_bytes_max, spool_bytes_max;
    uint64_t heartbeat_s, probe_interval_ms;
    bool component_auction, provider_auction;
    bool no_scheduler;
    const char *manifest_bucket, *api_prefix;
    uint64_t lost_after_s;
    /* what we do not have yet: asked for, it is named in a warning */
    const char *http_admin, *features, *trace_level, *flame_graph, *observability_protocol,
        *observability_endpoint, *traces_endpoint, *metrics_endpoint, *logs_endpoint, *traces,
        *metrics, *logs;
    uint64_t component_bytes_max, core_instances_max;
    bool config_service, observability;
};

enum settings_end { SETTINGS_RUN, SETTINGS_HELP, SETTINGS_VERSION };

/* env: "NAME=value" lines, NULL terminated (environ). */
bool settings_read(struct settings *s, int argc, char **argv, char **env, enum settings_end *end,
                   struct err *e);
void settings_fini(struct settings *s);
void settings_help(FILE *out);
/* What was asked for and will not be there; NULL when i is past the last. */
const char *settings_warning(const struct settings *s, uint32_t i);

#endif
