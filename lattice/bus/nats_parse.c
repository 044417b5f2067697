/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of what a NATS server sends. */
#include "lattice/bus/nats_parse.h"

#include "lattice/base/num.h"

#define REST_KEPT (64u * 1024) /* bytes of memory that a parser holds on to */
#define WORDS_MAX 6

/* One operation, as far as it is there. */
struct piece {
    struct span have;
    struct str args; /* of its line */
    size_t line;     /* bytes of the line and its end */
    size_t size;     /* of the operation; may be more than there is */
};

/* ---- MSG and HMSG --------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static size_t split_words(struct str s, struct str out[WORDS_MAX])
{
    size_t n = 0, at = 0;
    while (n < WORDS_MAX) {
        while (at < s.n && is_blank(s.p[at]))
            at++;
        size_t from = at;
        while (at < s.n && !is_blank(s.p[at]))
            at++;
        if (at == from)
            break;
        out[n++] = str_sub(s, from, at);
    }
    return n;
}

/* A list that breaks off in the middle is none: any member of the lattice can send one. */
static void read_headers(struct nats_parser *p, struct str text, struct bus_msg *m)
{
    struct str line, rest = text;
    uint64_t status;
    size_t n = 0;
    if (!str_cut(&rest, '\n', &line) || !str_starts(line, STR("NATS/1.0")))
        return;
    struct str inline_status = str_sub(str_trim(str_sub(line, 8, line.n)), 0, 3);
    while (n < BUS_HEADERS_MAX && str_cut(&rest, '\n', &line)) {
        line = str_trim(line);
        size_t colon = str_find(line, ':');
        if (line.n == 0)
            break;
        if (colon == line.n)
            return;
        p->headers[n++] = (struct bus_header){str_trim(str_sub(line, 0, colon)),
                                              str_trim(str_sub(line, colon + 1, line.n))};
    }
    m->headers = p->headers;
    m->nheaders = n;
    if (m->data.n == 0 && str_u64(inline_status, &status))
        m->status = (uint16_t)status;
}

/* subject sid [reply] [size of headers, if any] size */
static bool cut_message(struct nats_parser *p, struct piece *piece, bool headers,
                        struct nats_frame *out)
{
    struct str w[WORDS_MAX];
    size_t n = split_words(piece->args, w), sizes = headers ? 2 : 1;
    uint64_t head = 0, size;
    if (n != 2 + sizes && n != 3 + sizes)
        return false;
    if (!str_u64(w[1], &out->sid) || !str_u64(w[n - 1], &size) || size > NATS_PAYLOAD_MAX ||
        (headers && (!str_u64(w[n - 2], &head) || head > size)))
        return false;
    piece->size = piece->line + (size_t)size + 2;
    if (piece->have.n < piece->size)
        return true;
    const uint8_t *body = piece->have.p + piece->line;
    if (memcmp(body + size, "\r\n", 2) != 0)
        return false;
    out->msg = (struct bus_msg){.subject = w[0],
                                .reply = n == 3 + sizes ? w[2] : STR_NONE,
                                .data = {body + head, (size_t)(size - head)}};
    if (head)
        read_headers(p, (struct str){(const char *)body, (size_t)head}, &out->msg);
    return true;
}

static bool cut_msg(struct nats_parser *p, struct piece *piece, struct nats_frame *out)
{
    return cut_message(p, piece, false, out);
}

static bool cut_hmsg(struct nats_parser *p, struct piece *piece, struct nats_frame *out)
{
    return cut_message(p, piece, true, out);
}

/* ---- operations ----------------------------------------------------------------------------------- */

static bool cut_text(struct nats_parser *p, struct piece *piece, struct nats_frame *out)
{
    struct str s = str_trim(piece->args);
    (void)p;
    if (out->op == NATS_ERR && s.n >= 2 && s.p[0] == '\'' && s.p[s.n - 1] == '\'')
        s = str_sub(s, 1, s.n - 1);
    out->text = s;
    return true;
}

static const struct {
    struct str word;
    enum nats_op op;
    bool (*cut)(struct nats_parser *p, struct piece *piece, struct nats_frame *out);
} operations[] = {
    {STR_INIT("MSG"), NATS_MSG, cut_msg},    {STR_INIT("HMSG"), NATS_MSG, cut_hmsg},
    {STR_INIT("PING"), NATS_PING, cut_text}, {STR_INIT("PONG"), NATS_PONG, cut_text},
    {STR_INIT("+OK"), NATS_OK, cut_text},    {STR_INIT("-ERR"), NATS_ERR, cut_text},
    {STR_INIT("INFO"), NATS_INFO, cut_text},
};

static bool broken(struct str line, struct err *e)
{
    char text[96];
    return err_set(e, ERR_PROTOCOL, "what came is no operation of a NATS server: '%s'",
                   str_escape(str_sub(line, 0, 64), text, sizeof text));
}

static bool cut_line(struct nats_parser *p, struct piece *piece, struct nats_frame *out,
                     struct err *e)
{
    struct str line = {(const char *)piece->have.p, piece->line - 1};
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    size_t word = 0;
    while (word < line.n && !is_blank(line.p[word]))
        word++;
    piece->args = str_sub(line, word, line.n);
    for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
        if (!str_ieq(str_sub(line, 0, word), operations[i].word))
            continue;
        *out = (struct nats_frame){.op = operations[i].op};
        return operations[i].cut(p, piece, out) || broken(line, e);
    }
    return broken(line, e);
}

/* The operation that `have` begins with. NATS_MORE leaves its size in p->need, if its line says it. */
static enum nats_parse cut(struct nats_parser *p, struct span have, size_t *used,
                           struct nats_frame *out, struct err *e)
{
    const uint8_t *end = have.n ? memchr(have.p, '\n', MIN(have.n, NATS_LINE_MAX)) : NULL;
    p->need = 0;
    if (!end && have.n >= NATS_LINE_MAX) {
        err_set(e, ERR_LIMIT, "the server sent a line longer than %u bytes", NATS_LINE_MAX);
        return NATS_BROKEN;
    }
    if (!end)
        return NATS_MORE;
    struct piece piece = {.have = have, .line = (size_t)(end - have.p) + 1};
    piece.size = piece.line;
    if (!cut_line(p, &piece, out, e))
        return NATS_BROKEN;
    if (piece.size > have.n) {
        p->need = piece.size;
        return NATS_MORE;
    }
    *used = piece.size;
    return NATS_FRAME;
}

/* How many of these bytes belong to the operation of which p->rest holds the beginning. */
static size_t share(const struct nats_parser *p, struct span in)
{
    if (p->need)
        return MIN(p->need - p->rest.n, in.n);
    const uint8_t *end = memchr(in.p, '\n', in.n);
    return end ? (size_t)(end - in.p) + 1 : in.n;
}

static void advance(struct span *in, size_t n)
{
    in->p += n;
    in->n -= n;
}

static enum nats_parse join(struct nats_parser *p, struct span *in, struct nats_frame *out,
                            struct err *e)
{
    while (in->n) {
        size_t n = share(p, *in), used;
        bool complete = in->p[n - 1] == '\n' || p->rest.n + n >= NATS_LINE_MAX;
        buf_put(&p->rest, in->p, n);
        advance(in, n);
        if (p->need ? p->rest.n < p->need : !complete)
            continue;
        enum nats_parse result = cut(p, buf_span(&p->rest), &used, out, e);
        p->given = result == NATS_FRAME;
        if (result != NATS_MORE)
            return result;
    }
    return NATS_MORE;
}

enum nats_parse nats_parse(struct nats_parser *p, struct span *in, struct nats_frame *out,
                           struct err *e)
{
    size_t used;
    if (p->given) {
        buf_clear(&p->rest);
        if (p->rest.cap > REST_KEPT)
            buf_fini(&p->rest);
        p->given = false;
    }
    if (p->rest.n)
        return join(p, in, out, e);
    enum nats_parse result = cut(p, *in, &used, out, e);
    if (result == NATS_MORE) {
        buf_put(&p->rest, in->p, in->n);
        used = in->n;
    }
    if (result != NATS_BROKEN)
        advance(in, used);
    return result;
}

void nats_parser_fini(struct nats_parser *p)
{
    buf_fini(&p->rest);
}
