/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a connection, and the first attempts to make it: on a pool thread each, until one succeeds or there is no
 * hope. From then on the library reconnects by itself.
 * Keeps: the last attempt may outlive the bus; it then closes what it got. */
#include "lattice/bus/nats_int.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define CONNECT_TIMEOUT_MS 2000
#define WRITE_DEADLINE_MS 2000
#define PING_INTERVAL_MS 20000
#define RECONNECT_FIRST_MS 50
#define RECONNECT_MAX_MS 2000
#define SERVERS_MAX 16

struct connect_job {
    struct nats_bus *bus; /* NULL: closed meanwhile */
    struct inlet *inlet;
    natsOptions *opts;
    natsConnection *conn;
    natsStatus status;
    char why[256];
    int attempts;
    struct loop_timer *timer; /* between two attempts */
};

/* ---- options -------------------------------------------------------------------------------------- */

static int64_t reconnect_delay_ms(natsConnection *nc, int attempts, void *closure)
{
    (void)nc;
    (void)closure;
    int shift = attempts < 1 ? 0 : attempts > 6 ? 6 : attempts - 1;
    int64_t delay = MIN((int64_t)RECONNECT_FIRST_MS << shift, RECONNECT_MAX_MS);
    return delay + (int64_t)(rand_u64() %
                             (uint64_t)(delay / 2 + 1)); /* a crowd must not come back at once */
}

static natsStatus give_jwt(char **jwt, char **error, void *closure)
{
    const struct inlet *in = closure;
    (void)error;
    *jwt = str_dup(str_of(in->jwt));
    return NATS_OK;
}

static natsStatus sign_nonce(char **error, unsigned char **signature, int *length,
                             const char *nonce, void *closure)
{
    const struct inlet *in = closure;
    (void)error;
    return nats_Sign(in->seed, nonce, signature, length);
}

/* The library takes any text, and does not say why it cannot read a file. */
bool connect_check(const struct bus_opts *opts, struct err *e)
{
    if (opts->ca && !strstr(opts->ca, "-----BEGIN "))
        return err_set(e, ERR_INVALID, "no certificate in the text that was given to trust");
    if (opts->ca_file && access(opts->ca_file, R_OK) != 0)
        return err_set(e, ERR_INVALID, "certificates to trust: '%s': %s", opts->ca_file,
                       strerror(errno));
    if (!opts->url || !*opts->url)
        return err_set(e, ERR_INVALID, "no NATS server URL given");
    if (!opts->jwt != !opts->seed)
        return err_set(e, ERR_INVALID, "NATS JWT and seed go together: only one of them was given");
    return true;
}

/* One or more URLs separated by commas. The library itself takes no notice of their scheme. */
static natsStatus set_servers(natsOptions *o, const char *urls, bool *secure)
{
    char *url[SERVERS_MAX] = {NULL};
    struct str rest = str_of(urls), one;
    int n = 0;
    while (n < SERVERS_MAX && str_cut(&rest, ',', &one)) {
        url[n] = str_dup(str_trim(one));
        *secure |= str_starts(str_of(url[n++]), STR("tls://"));
    }
    natsStatus s = rest.n ? NATS_INVALID_ARG : natsOptions_SetServers(o, (const char **)url, n);
    while (n > 0)
        free(url[--n]);
    return s;
}

static natsStatus set_tls(natsOptions *o, const struct bus_opts *opts, bool secure)
{
    natsStatus s = NATS_OK;
    if (secure || opts->ca_file || opts->ca)
        s = natsOptions_SetSecure(o, true);
    if (opts->ca_file)
        s = s ? s : natsOptions_LoadCATrustedCertificates(o, opts->ca_file);
    if (opts->ca)
        s = s ? s : natsOptions_SetCATrustedCertificates(o, opts->ca); /* takes any text */
    return s;
}

static natsStatus set_options(natsOptions *o, struct inlet *in, const struct bus_opts *opts)
{
    bool secure = false;
    natsStatus s = set_servers(o, opts->url, &secure);
    s = s ? s : set_tls(o, opts, secure);
    s = s ? s : natsOptions_SetName(o, opts->name ? opts->name : "hostd");
    s = s ? s : natsOptions_SetSendAsap(o, true);
    s = s ? s : natsOptions_UseGlobalMessageDelivery(o, true);
    s = s ? s : natsOptions_SetTimeout(o, CONNECT_TIMEOUT_MS);
    s = s ? s : natsOptions_SetWriteDeadline(o, WRITE_DEADLINE_MS);
    s = s ? s : natsOptions_SetPingInterval(o, PING_INTERVAL_MS);
    s = s ? s : natsOptions_SetMaxReconnect(o, -1);
    s = s ? s : natsOptions_SetCustomReconnectDelay(o, reconnect_delay_ms, NULL);
    s = s ? s : natsOptions_SetReconnectedCB(o, inlet_on_up, in);
    s = s ? s : natsOptions_SetDisconnectedCB(o, inlet_on_down, in);
    s = s ? s : natsOptions_SetClosedCB(o, inlet_on_closed, in);
    s = s ? s : natsOptions_SetErrorHandler(o, inlet_on_error, in);
    if (opts->creds)
        s = s ? s : natsOptions_SetUserCredentialsFromFiles(o, opts->creds, NULL);
    if (in->jwt)
        s = s ? s : natsOptions_SetUserCredentialsCallbacks(o, give_jwt, in, sign_nonce, in);
    return s;
}

/* What the library says about a failure on this thread, without the place in its source that stands in front. */
static const char *last_error(natsStatus s)
{
    natsStatus last;
    const char *text = nats_GetLastError(&last);
    const char *place = text ? strstr(text, "): ") : NULL;
    if (place)
        text = place + 3;
    return text && *text ? text : natsStatus_GetText(s);
}

static natsOptions *options_new(struct nats_bus *b, const struct bus_opts *opts, struct err *e)
{
    natsOptions *o = NULL;
    natsStatus s = natsOptions_Create(&o);
    s = s ? s : set_options(o, b->inlet, opts);
    if (s == NATS_OK)
        return o;
    natsOptions_Destroy(o);
    err_set(e, ERR_INVALID, "NATS options for %s: %s", b->base.url, last_error(s));
    return NULL;
}

/* ---- attempts ------------------------------------------------------------------------------------- */

static void connect_work(void *user)
{
    struct connect_job *job = user;
    inlet_ref(job->inlet); /* the connection's, until inlet_on_closed */
    job->status = natsConnection_Connect(&job->conn, job->opts);
    if (job->status == NATS_OK)
        return;
    snprintf(job->why, sizeof job->why, "%s",
             job->status == NATS_NO_SERVER ? "no NATS server answers there"
                                           : last_error(job->status));
    inlet_unref(job->inlet);
}

static void job_free(struct connect_job *job)
{
    natsOptions_Destroy(job->opts);
    inlet_unref(job->inlet);
    free(job);
}

static void connect_done(void *user);

static void connect_again(void *user)
{
    struct connect_job *job = user;
    job->timer = NULL;
    loop_work(job->bus->base.loop, connect_work, connect_done, job);
}

static void connect_failed(struct nats_bus *b, struct connect_job *job)
{
    bool denied = job->status == NATS_CONNECTION_AUTH_FAILED;
    bool hopeless =
        denied || job->status == NATS_INVALID_ARG || job->status == NATS_ADDRESS_MISSING;
    pthread_mutex_lock(&b->inlet->lock);
    memcpy(b->inlet->why, job->why, sizeof job->why);
    b->inlet->why_code = denied ? ERR_DENIED : hopeless ? ERR_INVALID : ERR_IO;
    pthread_mutex_unlock(&b->inlet->lock);
    if (hopeless) {
        b->job = NULL;
        job_free(job);
        nbus_set_state(b, BUS_SHUT);
        return;
    }
    uint64_t delay_ms = (uint64_t)reconnect_delay_ms(NULL, ++job->attempts, NULL);
    job->timer = loop_after(b->base.loop, delay_ms, connect_again, job);
    if (b->base.state == BUS_CONNECTING)
        nbus_set_state(b, BUS_DOWN);
}

static void connect_done(void *user)
{
    struct connect_job *job = user;
    struct nats_bus *b = job->bus;
    if (b && !job->conn) {
        connect_failed(b, job);
        return;
    }
    natsConnection *conn = job->conn;
    job_free(job);
    if (!b && conn) {
        natsConnection_Close(conn); /* ends in inlet_on_closed */
        natsConnection_Destroy(conn);
    } else if (b) {
        b->job = NULL;
        b->conn = conn;
        if (natsConnection_Status(conn) == NATS_CONN_STATUS_CONNECTED)
            nbus_up(b);
        else if (b->base.state != BUS_DOWN)
            nbus_set_state(b, BUS_DOWN);
    }
}

bool connect_begin(struct nats_bus *b, const struct bus_opts *opts, struct err *e)
{
    natsOptions *o = options_new(b, opts, e);
    if (!o)
        return false;
    b->job = xnew(struct connect_job);
    *b->job = (struct connect_job){.bus = b, .inlet = inlet_ref(b->inlet), .opts = o};
    loop_work(b->base.loop, connect_work, connect_done, b->job);
    return true;
}

void connect_end(struct nats_bus *b)
{
    if (b->job && b->job->timer) {
        loop_timer_stop(&b->job->timer);
        job_free(b->job);
    } else if (b->job) {
        b->job->bus = NULL;
    }
}
