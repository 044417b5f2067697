/* SPDX-License-Identifier: Apache-2.0 */
/* The peer of the HTTP benchmark: how many request/reply round trips NATS itself does here, with nats.c and nothing of
 * ours. N requesters keep one request each in flight; one responder on a connection of its own.
 * SUBJECT: requests that others answer; "$KV.BUCKET.KEY" is a write of JetStream's.
 *   nats_echo URL CLIENTS SECONDS [SUBJECT]   prints {"requests_per_s":..,"p50_us":..,"p99_us":..} */
#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SAMPLES_MAX 4000000

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void check(natsStatus s, const char *what)
{
    if (s == NATS_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, natsStatus_GetText(s));
    exit(1);
}

static natsConnection *connect_to(const char *url)
{
    natsOptions *o;
    natsConnection *c;
    check(natsOptions_Create(&o), "options");
    check(natsOptions_SetURL(o, url), "url");
    check(natsOptions_SetSendAsap(o, true), "send asap");
    check(natsConnection_Connect(&c, o), "connect");
    natsOptions_Destroy(o);
    return c;
}

static void on_request(natsConnection *c, natsSubscription *s, natsMsg *m, void *user)
{
    (void)s;
    (void)user;
    natsConnection_Publish(c, natsMsg_GetReply(m), natsMsg_GetData(m), natsMsg_GetDataLength(m));
    natsMsg_Destroy(m);
}

struct client {
    pthread_t thread;
    natsConnection *c;
    const char *subject;
    double until_s;
    float *us;
    size_t n, cap;
};

static void *work(void *user)
{
    struct client *k = user;
    static const char data[200];
    double t = now_s();
    while (t < k->until_s && k->n < k->cap) {
        natsMsg *m;
        check(natsConnection_Request(&m, k->c, k->subject, data, sizeof data, 5000), "request");
        natsMsg_Destroy(m);
        double end = now_s();
        k->us[k->n++] = (float)((end - t) * 1e6);
        t = end;
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    bool right = argc == 4 || argc == 5;
    int clients = right ? atoi(argv[2]) : 0;
    double seconds = right ? atof(argv[3]) : 0;
    const char *subject = argc == 5 ? argv[4] : "bench.echo";
    if (clients < 1 || clients > 1024 || seconds <= 0) {
        fprintf(stderr, "usage: nats_echo URL CLIENTS SECONDS [SUBJECT]\n");
        return 2;
    }
    natsConnection *server = connect_to(argv[1]), *client = connect_to(argv[1]);
    natsSubscription *sub;
    check(natsConnection_Subscribe(&sub, server, "bench.echo", on_request, NULL), "subscribe");
    check(natsConnection_Flush(server), "flush");

    size_t cap = SAMPLES_MAX / (size_t)clients, total = 0;
    struct client *k = calloc((size_t)clients, sizeof *k);
    float *all = calloc(SAMPLES_MAX, sizeof *all);
    if (!k || !all)
        return 1;
    double begin = now_s();
    for (int i = 0; i < clients; i++) {
        k[i] = (struct client){.c = client, .subject = subject, .until_s = begin + seconds, .cap = cap};
        k[i].us = calloc(cap, sizeof(float));
        if (!k[i].us || pthread_create(&k[i].thread, NULL, work, &k[i]))
            return 1;
    }
    for (int i = 0; i < clients; i++) {
        pthread_join(k[i].thread, NULL);
        for (size_t j = 0; j < k[i].n; j++)
            all[total++] = k[i].us[j];
        free(k[i].us);
    }
    double took = now_s() - begin;
    qsort(all, total, sizeof *all, by_value);
    printf("{\"requests_per_s\":%.0f,\"p50_us\":%.0f,\"p99_us\":%.0f}\n", (double)total / took,
           total ? (double)all[total / 2] : 0, total ? (double)all[total * 99 / 100] : 0);
    free(all);
    free(k);
    natsConnection_Drain(server);
    natsSubscription_Destroy(sub);
    natsConnection_Destroy(client);
    natsConnection_Destroy(server);
    return 0;
}
