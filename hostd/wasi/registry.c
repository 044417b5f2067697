/* SPDX-License-Identifier: Apache-2.0 */
/* All interfaces that the host offers, built once from the rows of the other files: WIT text into types, function
 * rows into an array in the order of the text.
 * Resources are one class each, whatever version an import names, so that types of mixed-version components
 * come out equal (component-model.md 10). */
#include "hostd/wasi/blobs.h"
#include "hostd/wasi/sockets.h"

#include <assert.h>
#include <pthread.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define IFACES_MAX 48
#define TYPES_BYTES_MAX ((size_t)4 << 20) /* all types together, by far */

static const struct wasi_rows *const tables[] = {
    &wasi_io_rows,         &wasi_clocks_rows,  &wasi_random_rows, &wasi_cli_rows,
    &wasi_filesystem_rows, &wasi_sockets_rows, &wasi_http_rows,   &wasi_config_rows,
    &wasi_logging_rows,    &wasi_secrets_rows, &wasi_blobs_rows,
};

static void drop_nothing(void *user, void *obj)
{
    (void)user;
    (void)obj;
}

/* Resources that exist in texts only. */
static const struct comp_class never_made[] = {
    {"terminal-input", drop_nothing},
    {"terminal-output", drop_nothing},
};

static const struct comp_class *const made[] = {
    &wasi_error_class,
    &wasi_pollable_class,
    &wasi_input_class,
    &wasi_output_class,
    &wasi_network_class,
    &wasi_fields_class,
    &wasi_incoming_request_class,
    &wasi_incoming_body_class,
    &wasi_future_trailers_class,
    &wasi_outparam_class,
    &wasi_outgoing_response_class,
    &wasi_outgoing_body_class,
    &wasi_outgoing_request_class,
    &wasi_request_options_class,
    &wasi_future_response_class,
    &wasi_incoming_response_class,
    &wasi_descriptor_class,
    &wasi_entries_class,
    &wasi_tcp_class,
    &wasi_udp_class,
    &wasi_datagrams_in_class,
    &wasi_datagrams_out_class,
    &wasi_lookup_class,
    &wasi_secret_class,
    &wasi_container_class,
    &wasi_outgoing_value_class,
    &wasi_incoming_value_class,
    &wasi_object_names_class,
};

static struct comp_host_iface ifaces[IFACES_MAX];
static const struct wit_iface *types[IFACES_MAX]; /* of ifaces, for `use` */
static size_t nifaces;
static struct arena types_arena; /* lives as long as the process */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static comp_host_fn *row_func(const struct wasi_row *row, struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(row->funcs) && row->funcs[i]; i++)
        for (const struct comp_host_func *f = row->funcs[i]; f->name; f++)
            if (str_eqz(name, f->name))
                return f->fn;
    return row->otherwise;
}

static const struct wit_iface *parse(const struct wasi_row *row)
{
    struct err e = ERR_INIT;
    AUTO(buf_fini) struct buf text = BUF_INIT;
    for (size_t i = 0; i < ARRAY_LEN(row->text) && row->text[i]; i++)
        buf_str(&text, str_of(row->text[i]));
    const struct wit_iface *t =
        wit_parse(&types_arena, str_of(row->name), buf_view(&text), types, nifaces, &e);
    assert(t); /* the texts are ours */
    return t;
}

static void add(const struct wasi_row *row)
{
    const struct wit_iface *t = parse(row);
    struct comp_host_func *funcs = xcalloc(t->nfuncs + 1, sizeof *funcs);
    for (uint32_t i = 0; i < t->nfuncs; i++) {
        funcs[i] = (struct comp_host_func){t->funcs[i].name.p, row_func(row, t->funcs[i].name)};
        assert(funcs[i].fn); /* every function of a text is served */
    }
    assert(nifaces < IFACES_MAX);
    types[nifaces] = t;
    ifaces[nifaces++] = (struct comp_host_iface){t, funcs, t->nfuncs};
}

static void init(void)
{
    arena_init(&types_arena, TYPES_BYTES_MAX);
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        for (size_t k = 0; k < tables[i]->n; k++)
            add(&tables[i]->rows[k]);
}

void wasi_init(void)
{
    pthread_once(&once, init);
}

const struct comp_host_iface *wasi_find(struct str import)
{
    wasi_init();
    for (size_t i = 0; i < nifaces; i++)
        if (str_eq(types[i]->name, import) || wit_name_compatible(types[i]->name, import))
            return &ifaces[i];
    return NULL;
}

const struct comp_class *wasi_find_class(struct str import, struct str resource)
{
    if (!wasi_find(import))
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(made); i++)
        if (str_eqz(resource, made[i]->name))
            return made[i];
    for (size_t i = 0; i < ARRAY_LEN(never_made); i++)
        if (str_eqz(resource, never_made[i].name))
            return &never_made[i];
    return NULL;
}
