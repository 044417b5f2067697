/* SPDX-License-Identifier: Apache-2.0 */
/* A component on a broker, by wasmcloud:messaging. A message to a subject that begins with
 *   refuse   is refused, its body being the reason
 *   ask.     is put as a question to the rest of the subject, and the answer taken for its body
 * Its body, or that answer, goes to where the message wants its reply; without such a place, to "postman.lost" with a
 * reply-to of its own. No libc. Built by tests/guests/build. */
#include "../../../deploy/examples/guest.h"

#define CONSUMER "wasmcloud:messaging/consumer@0.2.0"

IMPORT(CONSUMER, "request")
void ask(const char *subject, size_t subject_n, const char *body, size_t body_n, int32_t timeout_ms, void *ret);
IMPORT(CONSUMER, "publish")
void publish(const char *subject, size_t subject_n, const char *body, size_t body_n, int32_t has_reply,
             const char *reply, size_t reply_n, void *ret);

struct outcome { /* result<_, string> */
    uint32_t is_err;
    struct text why;
};

static struct outcome outcome;

static struct outcome *refuse(struct text why)
{
    outcome = (struct outcome){1, why};
    return &outcome;
}

EXPORT("wasmcloud:messaging/handler@0.2.0#handle-message")
struct outcome *handle_message(const char *subject_p, size_t subject_n, const char *body_p, size_t body_n,
                               int32_t has_reply, const char *reply_p, size_t reply_n)
{
    struct text subject = {subject_p, subject_n}, body = {body_p, body_n}, reply = {reply_p, reply_n};
    if (starts(subject, TEXT("refuse")))
        return refuse(body);
    if (starts(subject, TEXT("ask."))) {
        struct {
            uint32_t is_err;
            struct text subject_or_why, body;
            uint32_t has_reply;
            struct text reply;
        } answer;
        ask(subject.p + 4, subject.n - 4, body.p, body.n, 1500, &answer);
        if (answer.is_err & 1)
            return refuse(answer.subject_or_why);
        body = answer.body;
    }
    if (has_reply)
        publish(reply.p, reply.n, body.p, body.n, 0, 0, 0, &outcome);
    else
        publish("postman.lost", 12, body.p, body.n, 1, "postman.found", 13, &outcome);
    return &outcome;
}
