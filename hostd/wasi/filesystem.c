/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:filesystem without files: guests that import it link, find no preopened directory and so never hold a
 * descriptor. Its methods therefore cannot be called at all (wasi_never). Spec: wasi:filesystem 0.2. */
#include "hostd/wasi/wasi_int.h"

#include "lattice/base/num.h"

static enum comp_host_status get_directories(struct comp_host_call *hc,
                                             const struct wit_value *args, struct wit_value *result)
{
    (void)args;
    *result = (struct wit_value){.v = NULL, .n = 0};
    return wasi_done(hc);
}

/* No error of ours has its cause in a file. */
static enum comp_host_status filesystem_error_code(struct comp_host_call *hc,
                                                   const struct wit_value *args,
                                                   struct wit_value *result)
{
    (void)args;
    *result = WASI_NONE;
    return wasi_done(hc);
}

static const char types_wit[] =
    "use wasi:io/streams.{input-stream, output-stream};\n"
    "use wasi:io/error.{error};\n"
    "use wasi:clocks/wall-clock.{datetime};\n"
    "type filesize = u64;\n"
    "type link-count = u64;\n"
    "enum descriptor-type { unknown, block-device, character-device, directory, fifo, "
    "symbolic-link,\n"
    "  regular-file, socket }\n"
    "flags descriptor-flags { read, write, file-integrity-sync, data-integrity-sync,\n"
    "  requested-write-sync, mutate-directory }\n"
    "record descriptor-stat { %type: descriptor-type, link-count: link-count, size: filesize,\n"
    "  data-access-timestamp: option<datetime>, data-modification-timestamp: option<datetime>,\n"
    "  status-change-timestamp: option<datetime> }\n"
    "flags path-flags { symlink-follow }\n"
    "flags open-flags { create, directory, exclusive, truncate }\n"
    "variant new-timestamp { no-change, now, timestamp(datetime) }\n"
    "record directory-entry { %type: descriptor-type, name: string }\n"
    "enum error-code { access, would-block, already, bad-descriptor, busy, deadlock, quota, "
    "exist,\n"
    "  file-too-large, illegal-byte-sequence, in-progress, interrupted, invalid, io, "
    "is-directory,\n"
    "  loop, too-many-links, message-size, name-too-long, no-device, no-entry, no-lock,\n"
    "  insufficient-memory, insufficient-space, not-directory, not-empty, not-recoverable,\n"
    "  unsupported, no-tty, no-such-device, overflow, not-permitted, pipe, read-only, "
    "invalid-seek,\n"
    "  text-file-busy, cross-device }\n"
    "enum advice { normal, sequential, random, will-need, dont-need, no-reuse }\n"
    "record metadata-hash-value { lower: u64, upper: u64 }\n"
    "resource descriptor {\n"
    "  read-via-stream: func(offset: filesize) -> result<input-stream, error-code>;\n"
    "  write-via-stream: func(offset: filesize) -> result<output-stream, error-code>;\n"
    "  append-via-stream: func() -> result<output-stream, error-code>;\n"
    "  advise: func(offset: filesize, length: filesize, advice: advice) -> result<_, error-code>;\n"
    "  sync-data: func() -> result<_, error-code>;\n"
    "  get-flags: func() -> result<descriptor-flags, error-code>;\n"
    "  get-type: func() -> result<descriptor-type, error-code>;\n"
    "  set-size: func(size: filesize) -> result<_, error-code>;\n"
    "  set-times: func(data-access-timestamp: new-timestamp,\n"
    "    data-modification-timestamp: new-timestamp) -> result<_, error-code>;\n"
    "  read: func(length: filesize, offset: filesize) -> result<tuple<list<u8>, bool>, "
    "error-code>;\n"
    "  write: func(buffer: list<u8>, offset: filesize) -> result<filesize, error-code>;\n"
    "  read-directory: func() -> result<directory-entry-stream, error-code>;\n"
    "  sync: func() -> result<_, error-code>;\n"
    "  create-directory-at: func(path: string) -> result<_, error-code>;\n"
    "  stat: func() -> result<descriptor-stat, error-code>;\n"
    "  stat-at: func(path-flags: path-flags, path: string) -> result<descriptor-stat, "
    "error-code>;\n"
    "  set-times-at: func(path-flags: path-flags, path: string,\n"
    "    data-access-timestamp: new-timestamp,\n"
    "    data-modification-timestamp: new-timestamp) -> result<_, error-code>;\n"
    "  link-at: func(old-path-flags: path-flags, old-path: string,\n"
    "    new-descriptor: borrow<descriptor>, new-path: string) -> result<_, error-code>;\n"
    "  open-at: func(path-flags: path-flags, path: string, open-flags: open-flags,\n"
    "    %flags: descriptor-flags) -> result<descriptor, error-code>;\n"
    "  readlink-at: func(path: string) -> result<string, error-code>;\n"
    "  remove-directory-at: func(path: string) -> result<_, error-code>;\n"
    "  rename-at: func(old-path: string, new-descriptor: borrow<descriptor>,\n"
    "    new-path: string) -> result<_, error-code>;\n"
    "  symlink-at: func(old-path: string, new-path: string) -> result<_, error-code>;\n"
    "  unlink-file-at: func(path: string) -> result<_, error-code>;\n"
    "  is-same-object: func(other: borrow<descriptor>) -> bool;\n"
    "  metadata-hash: func() -> result<metadata-hash-value, error-code>;\n"
    "  metadata-hash-at: func(path-flags: path-flags,\n"
    "    path: string) -> result<metadata-hash-value, error-code>;\n"
    "}\n"
    "resource directory-entry-stream {\n"
    "  read-directory-entry: func() -> result<option<directory-entry>, error-code>;\n"
    "}\n"
    "filesystem-error-code: func(err: borrow<error>) -> option<error-code>;\n";

static const struct comp_host_func types_funcs[] = {
    {"filesystem-error-code", filesystem_error_code},
    {NULL, NULL},
};

static const char preopens_wit[] = "use wasi:filesystem/types.{descriptor};\n"
                                   "get-directories: func() -> list<tuple<descriptor, string>>;\n";

static const struct comp_host_func preopens_funcs[] = {
    {"get-directories", get_directories},
    {NULL, NULL},
};

static const struct wasi_row rows[] = {
    {"wasi:filesystem/types@0.2.12", {types_wit}, {types_funcs}, wasi_never},
    {"wasi:filesystem/preopens@0.2.12", {preopens_wit}, {preopens_funcs}, NULL},
};
const struct wasi_rows wasi_filesystem_rows = {rows, ARRAY_LEN(rows)};
