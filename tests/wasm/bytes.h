/* SPDX-License-Identifier: Apache-2.0 */
/* Modules written down byte by byte: MODULE(SECTION(1, 1, 0x60, 0, 0), ...). Sizes are filled in, so every
 * section, vector and body must stay below 128 bytes. */
#ifndef HOSTD_TESTS_WASM_BYTES_H
#define HOSTD_TESTS_WASM_BYTES_H

#include "hostd/wasm/wasm.h"

#define COUNT(...) sizeof((uint8_t[]){__VA_ARGS__})
#define SIZED(...) (uint8_t) COUNT(__VA_ARGS__), __VA_ARGS__
#define SPAN(...)                                          \
    {                                                      \
        (const uint8_t[]){__VA_ARGS__}, COUNT(__VA_ARGS__) \
    }
#define HEADER 0, 'a', 's', 'm', 1, 0, 0, 0
#define MODULE(...) SPAN(HEADER, __VA_ARGS__)

#define SECTION(id, ...) id, SIZED(__VA_ARGS__)
#define TYPES(...) SECTION(1, __VA_ARGS__)
#define IMPORTS(...) SECTION(2, __VA_ARGS__)
#define FUNCS(...) SECTION(3, __VA_ARGS__)
#define TABLES(...) SECTION(4, __VA_ARGS__)
#define MEMORIES(...) SECTION(5, __VA_ARGS__)
#define GLOBALS(...) SECTION(6, __VA_ARGS__)
#define EXPORTS(...) SECTION(7, __VA_ARGS__)
#define START(...) SECTION(8, __VA_ARGS__)
#define ELEMS(...) SECTION(9, __VA_ARGS__)
#define CODE(...) SECTION(10, __VA_ARGS__)
#define DATAS(...) SECTION(11, __VA_ARGS__)
#define DATA_COUNT(...) SECTION(12, __VA_ARGS__)
#define CUSTOM(...) SECTION(0, __VA_ARGS__)

#define I32 0x7f
#define I64 0x7e
#define F32 0x7d
#define F64 0x7c
#define FUNCREF 0x70
#define EXTERNREF 0x6f
#define END 0x0b

#endif
