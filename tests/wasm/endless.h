/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that do not end by themselves, or not soon: each exports `e`. For what has to stop them. */
#ifndef HOSTD_TESTS_WASM_ENDLESS_H
#define HOSTD_TESTS_WASM_ENDLESS_H

#include "tests/wasm/bytes.h"

#define ENDLESS_CONST(...) 0x41, __VA_ARGS__
#define ENDLESS_LOOP(...) 0x03, 0x40, __VA_ARGS__, 0x0c, 0, END
#define ENDLESS_PAGES 0x80, 0x80, 0x04            /* 65,536: 4 GiB */
#define ENDLESS_ELEMS 0x80, 0xad, 0xe2, 0x04      /* 10,000,000 */
#define ENDLESS_HALF 0x80, 0x80, 0x80, 0x80, 0x78 /* 2 GiB */
#define ENDLESS_MODULE(more, ...)                                            \
    MODULE(TYPES(1, 0x60, 0, 0), FUNCS(1, 0), more EXPORTS(1, 1, 'e', 0, 0), \
           CODE(1, SIZED(__VA_ARGS__, END)))
#define ENDLESS_THROWS(...)                                                                   \
    MODULE(TYPES(1, 0x60, 0, 0), FUNCS(1, 0), SECTION(13, 1, 0, 0), EXPORTS(1, 1, 'e', 0, 0), \
           CODE(1, SIZED(0, ENDLESS_LOOP(__VA_ARGS__), END)))
#define COMMA ,

static const struct endless {
    const char *name;
    struct span bytes;
} endless[] = {
    {"loop", ENDLESS_MODULE(, 0, ENDLESS_LOOP(0x01))},
    {"tail calls", ENDLESS_MODULE(, 0, 0x12, 0)},
    {"memory.fill", ENDLESS_MODULE(MEMORIES(1, 0, ENDLESS_PAGES) COMMA, 0,
                                   ENDLESS_LOOP(ENDLESS_CONST(0), ENDLESS_CONST(1),
                                                ENDLESS_CONST(0x7f), 0xfc, 0x0b, 0))},
    {"memory.copy", ENDLESS_MODULE(MEMORIES(1, 0, ENDLESS_PAGES) COMMA, 0,
                                   ENDLESS_LOOP(ENDLESS_CONST(0), ENDLESS_CONST(ENDLESS_PAGES),
                                                ENDLESS_CONST(ENDLESS_HALF), 0xfc, 0x0a, 0, 0))},
    {"memory.grow",
     ENDLESS_MODULE(MEMORIES(1, 0, 0) COMMA, 0, ENDLESS_LOOP(ENDLESS_CONST(1), 0x40, 0, 0x1a))},
    {"table.fill", ENDLESS_MODULE(TABLES(1, FUNCREF, 0, ENDLESS_ELEMS) COMMA, 0,
                                  ENDLESS_LOOP(ENDLESS_CONST(0), 0xd0, FUNCREF,
                                               ENDLESS_CONST(ENDLESS_ELEMS), 0xfc, 0x11, 0))},
    {"table.grow", ENDLESS_MODULE(TABLES(1, FUNCREF, 0, 0) COMMA, 0,
                                  ENDLESS_LOOP(0xd0, FUNCREF, ENDLESS_CONST(ENDLESS_ELEMS), 0xfc,
                                               0x0f, 0, 0x1a))},
    /* catch_all out of a block around the throw; the same with a reference that is dropped */
    {"throw", ENDLESS_THROWS(0x02, 0x40, 0x1f, 0x40, 1, 2, 0, 0x08, 0, END, END)},
    {"throw with a reference",
     ENDLESS_THROWS(0x02, 0x69, 0x1f, 0x40, 1, 3, 0, 0x08, 0, END, 0x00, END, 0x1a)},
};

#endif
