/* SPDX-License-Identifier: Apache-2.0 */
/* The ollama provider: thomastaylor312:ollama/generate of linked components, answered by an Ollama server. main.c hands
 * ollama_provider to the SDK; the rest is private to this folder. Loop thread only.
 * Keeps: a call is answered once; a link that goes answers its calls first.
 * Spec: wRPC 4.7; Ollama's HTTP API, /api/generate. */
#ifndef HOSTD_OLLAMA_PROVIDER_H
#define HOSTD_OLLAMA_PROVIDER_H

#include "lattice/base/arena.h"
#include "lattice/http/http_client.h"
#include "providers/sdk/sdk.h"

extern const struct sdk_provider ollama_provider;

#define CALLS_MAX 1024u             /* at a time */
#define ANSWER_BYTES_MAX (4u << 20) /* of the server */

struct provider {
    struct sdk *sdk;
    struct http_client *http;
    struct model *models;
    struct call *calls;
    uint32_t ncalls;
    struct sdk_func *served;
    const struct wit_func *generate;
    struct arena types;
    bool stopped;
};

/* ---- settings (settings.c) ---- */

struct settings { /* views of what they were read from */
    struct str model_name;
    struct str scheme, authority, path; /* of the server's /api/generate; path in the arena */
    struct str options;                 /* JSON object; empty: none */
    struct str keep_alive;              /* empty: the server's own */
    uint64_t timeout_ms;
};

bool settings_read(const struct proto_map *link, const struct proto_map *fallback, struct arena *a,
                   struct settings *out, struct err *e);

/* ---- links (provider.c) ---- */

struct model {
    struct model *prev, *next;
    struct provider *provider;
    const struct sdk_link *link;
    struct arena arena;
    struct settings settings;
    struct err problem; /* ERR_NONE: it can be asked */
};

/* ---- calls (call.c) ---- */

bool calls_serve(struct provider *p, struct err *e);
void calls_unserve(struct provider *p); /* no new ones */
void calls_of_model_fail(struct provider *p, const struct model *m, const char *why);
void calls_free(struct provider *p); /* without an answer */

/* ---- what is said to Ollama and what it says (message.c) ---- */

/* The request's JSON; free() it. */
char *message_request(const struct settings *s, const struct wit_value *request, struct err *e);
/* A value of the record `response`. Every member is checked; what does not fit its type is an error that names it. */
bool message_response(struct span json, struct arena *a, struct wit_value *out, struct err *e);
/* What an error answer says: {"error":"..."}, else nothing. Appends. */
void message_error(struct span json, struct buf *out);

#endif
