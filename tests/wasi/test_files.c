/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:filesystem on a real directory: what paths may reach and what not, and what each function does. */
#include "fake.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES "wasi:filesystem/types@0.2.6"
#define PREOPENS "wasi:filesystem/preopens@0.2.0"
#define M(name) "[method]descriptor." name
#define FLAGS(v_) wit_u64(v_)
#define NO_FOLLOW FLAGS(0)
#define FOLLOW FLAGS(1)

enum { READ = 1, WRITE = 2, MUTATE = 32, CREATE = 1, DIRECTORY = 2, EXCLUSIVE = 4, TRUNCATE = 8 };

static char base[64];
static struct fake *f;
static void *root;
static struct wasi_preopen preopen;

static const char *at(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", base, name);
    return path;
}

static void make_file(const char *name, const char *text)
{
    FILE *file = fopen(at(name), "w");
    ck_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* BASE/secret is outside; BASE/box is what the guest gets. */
static void set_up(void)
{
    snprintf(base, sizeof base, P_tmpdir "/hostd-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    ck_assert_int_eq(mkdir(at("box"), 0755), 0);
    ck_assert_int_eq(mkdir(at("box/dir"), 0755), 0);
    make_file("secret", "secret");
    make_file("box/file", "0123456789");
    ck_assert_int_eq(symlink("../secret", at("box/out")), 0);
    ck_assert_int_eq(symlink("..", at("box/up")), 0);
    ck_assert_int_eq(symlink("/etc", at("box/etc")), 0);
    ck_assert_int_eq(symlink("file", at("box/in")), 0);
    preopen = (struct wasi_preopen){open(at("box"), O_RDONLY | O_DIRECTORY), STR("/")};
    f = fake_new(&(struct wasi_opts){.preopens = &preopen, .npreopens = 1});
    fake_call(f, PREOPENS, "get-directories", NO_ARGS);
    ck_assert_uint_eq(f->result.n, 1);
    ck_assert(str_eqz(wit_get_str(&f->result.v[0].v[1]), "/"));
    root = f->result.v[0].v[0].obj;
}

static void tear_down(void)
{
    char command[128];
    fake_drop(f, FILES, "descriptor", root);
    fake_free(f);
    close(preopen.fd);
    snprintf(command, sizeof command, "rm -r '%s'", base);
    ck_assert_int_eq(system(command), 0);
}

static const char *open_at(const char *path, uint64_t path_flags, uint64_t open, uint64_t want)
{
    return fake_call(f, FILES, M("open-at"),
                     ARGS(OBJ(root), FLAGS(path_flags), TEXT(path), FLAGS(open), FLAGS(want)));
}

static void *opened(const char *path, uint64_t open, uint64_t want)
{
    const char *text = open_at(path, 0, open, want);
    ck_assert_msg(strncmp(text, "ok", 2) == 0, "%s: %s", path, text);
    return fake_obj(f);
}

static void drop(void *descriptor)
{
    fake_drop(f, FILES, "descriptor", descriptor);
}

static const char *const outside[] = {
    "..",        "../secret",  "dir/../../secret", "/etc/passwd",
    "/",         "etc/passwd", "up/secret",        "up",
    "dir/../..", "out",        "./../box/file",
};

START_TEST(no_path_leads_out)
{
    for (size_t i = 0; i < ARRAY_LEN(outside); i++) {
        const char *path = outside[i];
        ck_assert_str_eq(open_at(path, 1, 0, READ), "err(not-permitted)");
        EXPECT("err(not-permitted)", f, FILES, M("stat-at"), ARGS(OBJ(root), FOLLOW, TEXT(path)));
        EXPECT("err(not-permitted)", f, FILES, M("metadata-hash-at"),
               ARGS(OBJ(root), FOLLOW, TEXT(path)));
        EXPECT("err(not-permitted)", f, FILES, M("set-times-at"),
               ARGS(OBJ(root), FOLLOW, TEXT(path), {.n = 1}, {.n = 1}));
    }
}
END_TEST

START_TEST(no_name_is_made_or_removed_outside)
{
    static const char *const names[] = {"../new",  "/tmp/new", "up/new", "dir/../../new",
                                        "etc/new", "..",       "dir/.."};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct wit_value dir = OBJ(root), name = TEXT(names[i]), file = TEXT("file");
        EXPECT("err(not-permitted)", f, FILES, M("create-directory-at"), ARGS(dir, name));
        EXPECT("err(not-permitted)", f, FILES, M("unlink-file-at"), ARGS(dir, name));
        EXPECT("err(not-permitted)", f, FILES, M("remove-directory-at"), ARGS(dir, name));
        EXPECT("err(not-permitted)", f, FILES, M("rename-at"), ARGS(dir, file, dir, name));
        EXPECT("err(not-permitted)", f, FILES, M("rename-at"), ARGS(dir, name, dir, file));
        EXPECT("err(not-permitted)", f, FILES, M("link-at"), ARGS(dir, NO_FOLLOW, file, dir, name));
        EXPECT("err(not-permitted)", f, FILES, M("symlink-at"), ARGS(dir, file, name));
    }
    EXPECT("err(not-permitted)", f, FILES, M("symlink-at"),
           ARGS(OBJ(root), TEXT("/etc"), TEXT("new")));
    EXPECT("err(not-permitted)", f, FILES, M("readlink-at"), ARGS(OBJ(root), TEXT("etc")));
    EXPECT("err(not-directory)", f, FILES, M("link-at"),
           ARGS(OBJ(root), NO_FOLLOW, TEXT("up/"), OBJ(root), TEXT("new")));
    ck_assert_int_eq(access(at("secret"), F_OK), 0);
    ck_assert_int_ne(access(at("new"), F_OK), 0);
}
END_TEST

START_TEST(paths_that_are_none)
{
    static char longer[5000];
    memset(longer, 'a', sizeof longer - 1);
    ck_assert_str_eq(open_at("", 1, 0, READ), "err(no-entry)");
    ck_assert_str_eq(open_at(longer, 1, 0, READ), "err(name-too-long)");
    longer[300] = '\0';
    EXPECT("err(name-too-long)", f, FILES, M("create-directory-at"), ARGS(OBJ(root), TEXT(longer)));
    EXPECT("err(illegal-byte-sequence)", f, FILES, M("stat-at"),
           ARGS(OBJ(root), FOLLOW, wit_str(STR("file\0x"))));
    EXPECT("err(illegal-byte-sequence)", f, FILES, M("unlink-file-at"),
           ARGS(OBJ(root), wit_str(STR("file\0x"))));
}
END_TEST

START_TEST(opening)
{
    ck_assert_str_eq(open_at("in", 0, 0, READ), "err(loop)");
    ck_assert_str_eq(open_at("none", 0, 0, READ), "err(no-entry)");
    ck_assert_str_eq(open_at("file", 0, DIRECTORY, READ), "err(not-directory)");
    ck_assert_str_eq(open_at("new", 0, DIRECTORY | CREATE, READ), "err(invalid)");
    ck_assert_str_eq(open_at("file", 0, CREATE | EXCLUSIVE, WRITE), "err(exist)");
    ck_assert_str_eq(open_at("file", 0, TRUNCATE, READ), "err(invalid)");
    ck_assert_str_eq(open_at("dir", 0, 0, WRITE), "err(is-directory)");
    drop(opened("new", CREATE | EXCLUSIVE, READ | WRITE));
    drop(opened("dir", DIRECTORY, READ));
    open_at("in", 1, 0, READ);
    void *link = fake_obj(f), *file = opened("file", 0, READ);
    EXPECT("true", f, FILES, M("is-same-object"), ARGS(OBJ(link), OBJ(file)));
    EXPECT("false", f, FILES, M("is-same-object"), ARGS(OBJ(link), OBJ(root)));
    EXPECT("ok({read})", f, FILES, M("get-flags"), ARGS(OBJ(file)));
    EXPECT("ok(regular-file)", f, FILES, M("get-type"), ARGS(OBJ(file)));
    EXPECT("ok(directory)", f, FILES, M("get-type"), ARGS(OBJ(root)));
    ck_assert_str_eq(fake_call(f, FILES, M("open-at"),
                               ARGS(OBJ(file), FOLLOW, TEXT("x"), FLAGS(0), FLAGS(READ))),
                     "err(not-directory)");
    drop(link);
    drop(file);
}
END_TEST

/* ---- what each function says, case by case ---- */

enum op { OPEN, MAKE, REMOVE, UNLINK, RENAME, LINK, SYMLINK, READLINK, STAT };

/* a is the first path, b the second; for OPEN: flags, and what is wanted. Everything else follows no link. */
static const char *do_op(enum op op, const char *a, const char *b, uint64_t open, uint64_t want)
{
    struct wit_value dir = OBJ(root), first = TEXT(a), second = TEXT(b ? b : "");
    switch (op) {
    case OPEN:
        return fake_call(f, FILES, M("open-at"),
                         ARGS(dir, NO_FOLLOW, first, FLAGS(open), FLAGS(want)));
    case MAKE:
        return fake_call(f, FILES, M("create-directory-at"), ARGS(dir, first));
    case REMOVE:
        return fake_call(f, FILES, M("remove-directory-at"), ARGS(dir, first));
    case UNLINK:
        return fake_call(f, FILES, M("unlink-file-at"), ARGS(dir, first));
    case RENAME:
        return fake_call(f, FILES, M("rename-at"), ARGS(dir, first, dir, second));
    case LINK:
        return fake_call(f, FILES, M("link-at"), ARGS(dir, NO_FOLLOW, first, dir, second));
    case SYMLINK:
        return fake_call(f, FILES, M("symlink-at"), ARGS(dir, first, second));
    case READLINK:
        return fake_call(f, FILES, M("readlink-at"), ARGS(dir, first));
    case STAT:
        return fake_call(f, FILES, M("stat-at"), ARGS(dir, NO_FOLLOW, first));
    }
    return "";
}

/* In BASE/box: file, dir, full/x, links in (to file), out, up, etc, circle (to itself), gone (to nothing). */
static const struct {
    enum op op;
    const char *a, *b;
    uint64_t open, want;
    const char *says; /* NULL: it works */
} edges[] = {
    {OPEN, "file/", NULL, 0, READ, "not-directory"},
    {OPEN, "file/x", NULL, 0, READ, "not-directory"},
    {OPEN, "dir/", NULL, 0, READ, NULL},
    {OPEN, "dir/.", NULL, DIRECTORY, READ, NULL},
    {OPEN, ".", NULL, DIRECTORY, READ, NULL},
    {OPEN, "dir/../file", NULL, 0, READ, NULL},
    {OPEN, ".//dir///..//file", NULL, 0, READ, NULL},
    {OPEN, "new/", NULL, CREATE, WRITE, "is-directory"},
    {OPEN, "none/new", NULL, CREATE, WRITE, "no-entry"},
    {OPEN, "dir", NULL, CREATE, WRITE, "is-directory"},
    {OPEN, "dir", NULL, CREATE | EXCLUSIVE, WRITE, "exist"},
    {OPEN, "dir", NULL, DIRECTORY, READ | WRITE, "is-directory"},
    {OPEN, "dir", NULL, DIRECTORY | TRUNCATE, WRITE, "invalid"},
    {OPEN, "dir", NULL, DIRECTORY | EXCLUSIVE, READ, "invalid"},
    {OPEN, "in", NULL, DIRECTORY, READ, "not-directory"},
    {OPEN, "in/", NULL, 0, READ, "not-directory"},
    {OPEN, "circle/x", NULL, 0, READ, "loop"},
    {OPEN, "gone", NULL, CREATE | EXCLUSIVE, WRITE, "exist"},
    {OPEN, "up/box/file", NULL, 0, READ, "not-permitted"},
    {OPEN, "full/../../box/file", NULL, 0, READ, "not-permitted"},
    {MAKE, ".", NULL, 0, 0, "exist"},
    {MAKE, "dir/.", NULL, 0, 0, "exist"},
    {MAKE, "file", NULL, 0, 0, "exist"},
    {MAKE, "gone", NULL, 0, 0, "exist"},
    {MAKE, "file/x", NULL, 0, 0, "not-directory"},
    {MAKE, "none/x", NULL, 0, 0, "no-entry"},
    {MAKE, "circle/x", NULL, 0, 0, "loop"},
    {MAKE, "", NULL, 0, 0, "no-entry"},
    {REMOVE, "dir/", NULL, 0, 0, NULL},
    {REMOVE, ".", NULL, 0, 0, "invalid"},
    {REMOVE, "full", NULL, 0, 0, "not-empty"},
    {REMOVE, "file", NULL, 0, 0, "not-directory"},
    {REMOVE, "file/", NULL, 0, 0, "not-directory"},
    {REMOVE, "up", NULL, 0, 0, "not-directory"},
    {REMOVE, "none", NULL, 0, 0, "no-entry"},
    {UNLINK, "file", NULL, 0, 0, NULL},
    {UNLINK, "gone", NULL, 0, 0, NULL},
    {UNLINK, "up", NULL, 0, 0, NULL},
    {UNLINK, "dir", NULL, 0, 0, "is-directory"},
    {UNLINK, "dir/", NULL, 0, 0, "is-directory"},
    {UNLINK, ".", NULL, 0, 0, "is-directory"},
    {UNLINK, "file/", NULL, 0, 0, "not-directory"},
    {UNLINK, "none", NULL, 0, 0, "no-entry"},
    {UNLINK, "up/secret", NULL, 0, 0, "not-permitted"},
    {RENAME, "file", "full/y", 0, 0, NULL},
    {RENAME, "file", "full/x", 0, 0, NULL},
    {RENAME, "file", "gone", 0, 0, NULL},
    {RENAME, "dir/", "moved/", 0, 0, NULL},
    {RENAME, "gone", "moved", 0, 0, NULL},
    {RENAME, "full", "dir", 0, 0, NULL},
    {RENAME, "dir", "full", 0, 0, "not-empty"},
    {RENAME, "file", "dir", 0, 0, "is-directory"},
    {RENAME, "dir", "file", 0, 0, "not-directory"},
    {RENAME, "full", "full/inside", 0, 0, "invalid"},
    {RENAME, "file", "moved/", 0, 0, "not-directory"},
    {RENAME, "file/", "moved", 0, 0, "not-directory"},
    {RENAME, ".", "moved", 0, 0, "busy"},
    {RENAME, "file", ".", 0, 0, "busy"},
    {RENAME, "none", "moved", 0, 0, "no-entry"},
    {RENAME, "file", "none/moved", 0, 0, "no-entry"},
    {RENAME, "file", "up/moved", 0, 0, "not-permitted"},
    {RENAME, "up/secret", "moved", 0, 0, "not-permitted"},
    {LINK, "file", "full/y", 0, 0, NULL},
    {LINK, "out", "moved", 0, 0, NULL}, /* the link itself */
    {LINK, "file", "full/x", 0, 0, "exist"},
    {LINK, "file", "gone", 0, 0, "exist"},
    {LINK, "file", ".", 0, 0, "exist"},
    {LINK, "file", "moved/", 0, 0, "no-entry"},
    {LINK, "dir", "moved", 0, 0, "not-permitted"},
    {LINK, "none", "moved", 0, 0, "no-entry"},
    {LINK, "up/secret", "moved", 0, 0, "not-permitted"},
    {SYMLINK, "anything", "moved", 0, 0, NULL},
    {SYMLINK, "../../..", "moved", 0, 0, NULL}, /* seen to when it is followed */
    {SYMLINK, "", "moved", 0, 0, "no-entry"},
    {SYMLINK, "x", "file", 0, 0, "exist"},
    {SYMLINK, "x", "gone", 0, 0, "exist"},
    {SYMLINK, "x", "none/moved", 0, 0, "no-entry"},
    {SYMLINK, "/x", "moved", 0, 0, "not-permitted"},
    {READLINK, "in", NULL, 0, 0, NULL},
    {READLINK, "up", NULL, 0, 0, NULL},
    {READLINK, "dir", NULL, 0, 0, "invalid"},
    {READLINK, "none", NULL, 0, 0, "no-entry"},
    {READLINK, "etc", NULL, 0, 0, "not-permitted"}, /* of the machine, not of the guest */
    {READLINK, "in/", NULL, 0, 0, "not-directory"},
    {STAT, "gone", NULL, 0, 0, NULL},
    {STAT, "gone/", NULL, 0, 0, "no-entry"},
    {STAT, "file/", NULL, 0, 0, "not-directory"},
    {STAT, "circle", NULL, 0, 0, NULL},
    {STAT, "circle/", NULL, 0, 0, "loop"},
    {STAT, "dir//", NULL, 0, 0, NULL},
};

START_TEST(edge)
{
    ck_assert_int_eq(mkdir(at("box/full"), 0755), 0);
    make_file("box/full/x", "x");
    ck_assert_int_eq(symlink("circle", at("box/circle")), 0);
    ck_assert_int_eq(symlink("nothing", at("box/gone")), 0);
    const char *says =
        do_op(edges[_i].op, edges[_i].a, edges[_i].b, edges[_i].open, edges[_i].want);
    const char *expected =
        edges[_i].says ? arena_printf(&f->arena, "err(%s)", edges[_i].says) : "ok";
    ck_assert_msg(strncmp(says, expected, strlen(expected)) == 0, "%d %s %s: %s, not %s",
                  (int)edges[_i].op, edges[_i].a, edges[_i].b ? edges[_i].b : "", says, expected);
    if (edges[_i].op == OPEN && !edges[_i].says)
        fake_drop(f, FILES, "descriptor", fake_obj(f));
    ck_assert_int_eq(access(at("secret"), F_OK), 0);
}
END_TEST

/* Everything that would change something, below a directory that is there for reading. */
static const struct {
    enum op op;
    const char *a, *b;
    uint64_t open, want;
} changes[] = {
    {OPEN, "file", NULL, 0, WRITE},
    {OPEN, "file", NULL, 0, READ | WRITE},
    {OPEN, "file", NULL, TRUNCATE, WRITE},
    {OPEN, "new", NULL, CREATE, READ},
    {OPEN, "dir", NULL, DIRECTORY, MUTATE},
    {MAKE, "new", NULL, 0, 0},
    {REMOVE, "dir", NULL, 0, 0},
    {UNLINK, "file", NULL, 0, 0},
    {RENAME, "file", "new", 0, 0},
    {LINK, "file", "new", 0, 0},
    {SYMLINK, "file", "new", 0, 0},
};

START_TEST(nothing_changes_below_a_read_only_directory)
{
    struct wasi_preopen only = {preopen.fd, STR("/"), .read_only = true};
    struct fake *before = f;
    void *writable = root;
    f = fake_new(&(struct wasi_opts){.preopens = &only, .npreopens = 1});
    fake_call(f, PREOPENS, "get-directories", NO_ARGS);
    void *top = root = f->result.v[0].v[0].obj;
    for (int below = 0; below < 2; below++) {
        for (size_t i = 0; i < ARRAY_LEN(changes); i++)
            ck_assert_str_eq(
                do_op(changes[i].op, changes[i].a, changes[i].b, changes[i].open, changes[i].want),
                "err(read-only)");
        EXPECT("ok({read})", f, FILES, M("get-flags"), ARGS(OBJ(root)));
        EXPECT("err(read-only)", f, FILES, M("set-times"), ARGS(OBJ(root), {.n = 1}, {.n = 1}));
        EXPECT("err(read-only)", f, FILES, M("set-times-at"),
               ARGS(OBJ(root), FOLLOW, TEXT("file"), {.n = 1}, {.n = 1}));
        void *file = opened("file", 0, READ);
        EXPECT("err(read-only)", f, FILES, M("set-times"), ARGS(OBJ(file), {.n = 1}, {.n = 1}));
        EXPECT("err(bad-descriptor)", f, FILES, M("set-size"), ARGS(OBJ(file), wit_u64(0)));
        EXPECT("err(bad-descriptor)", f, FILES, M("append-via-stream"), ARGS(OBJ(file)));
        drop(file);
        if (!below)
            root = opened(".", DIRECTORY, READ); /* which inherits it */
    }
    drop(root);
    drop(top);
    fake_free(f);
    f = before;
    root = writable;
    void *dir = opened("dir", DIRECTORY, READ); /* not asked for, and still */
    EXPECT("ok({read, mutate-directory})", f, FILES, M("get-flags"), ARGS(OBJ(dir)));
    EXPECT("ok", f, FILES, M("create-directory-at"), ARGS(OBJ(dir), TEXT("new")));
    drop(dir);
}
END_TEST

START_TEST(content_needs_its_flag)
{
    void *none = opened("file", 0, 0);
    EXPECT("err(bad-descriptor)", f, FILES, M("read"), ARGS(OBJ(none), wit_u64(1), wit_u64(0)));
    EXPECT("err(bad-descriptor)", f, FILES, M("write"), ARGS(OBJ(none), TEXT("x"), wit_u64(0)));
    EXPECT("err(bad-descriptor)", f, FILES, M("set-size"), ARGS(OBJ(none), wit_u64(0)));
    EXPECT("ok({})", f, FILES, M("get-flags"), ARGS(OBJ(none)));
    drop(none);
    static const char *const of_directories[] = {M("read-via-stream"), M("write-via-stream"),
                                                 M("set-size")};
    for (size_t i = 0; i < ARRAY_LEN(of_directories); i++)
        EXPECT("err(is-directory)", f, FILES, of_directories[i], ARGS(OBJ(root), wit_u64(0)));
    EXPECT("err(is-directory)", f, FILES, M("append-via-stream"), ARGS(OBJ(root)));
    EXPECT("err(is-directory)", f, FILES, M("write"), ARGS(OBJ(root), TEXT("x"), wit_u64(0)));
}
END_TEST

/* The kernel's short cuts to a process's files are no way out, either. */
START_TEST(magic_links_are_not_followed)
{
    struct wasi_preopen self = {open("/proc/self", O_RDONLY | O_DIRECTORY), STR("self")};
    struct fake *g = fake_new(&(struct wasi_opts){.preopens = &self, .npreopens = 1});
    fake_call(g, PREOPENS, "get-directories", NO_ARGS);
    void *dir = g->result.v[0].v[0].obj;
    static const char *const links[] = {"root", "root/etc", "cwd", "exe", "fd/0"};
    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        EXPECT("err(loop)", g, FILES, M("open-at"),
               ARGS(OBJ(dir), FOLLOW, TEXT(links[i]), FLAGS(0), FLAGS(READ)));
    fake_drop(g, FILES, "descriptor", dir);
    fake_free(g);
    close(self.fd);
}
END_TEST

/* What read gives, as text; the end flag as '$'. */
static const char *content(void *file, uint64_t n, uint64_t offset)
{
    const char *text = fake_call(f, FILES, M("read"), ARGS(OBJ(file), wit_u64(n), wit_u64(offset)));
    if (f->result.n != 0)
        return text;
    const struct wit_value *pair = f->result.v->v;
    return arena_printf(&f->arena, "%.*s%s", STR_ARG(wit_get_str(&pair[0])),
                        pair[1].u64 ? "$" : "");
}

START_TEST(reading_and_writing)
{
    void *file = opened("file", 0, READ | WRITE);
    ck_assert_str_eq(content(file, 4, 0), "0123");
    ck_assert_str_eq(content(file, 100, 8), "89");
    ck_assert_str_eq(content(file, 100, 10), "$");
    ck_assert_str_eq(content(file, 1, UINT64_MAX), "err(invalid)");
    EXPECT("ok(2)", f, FILES, M("write"), ARGS(OBJ(file), TEXT("ab"), wit_u64(3)));
    EXPECT("ok", f, FILES, M("set-size"), ARGS(OBJ(file), wit_u64(6)));
    EXPECT("err(invalid)", f, FILES, M("set-size"), ARGS(OBJ(file), wit_u64(UINT64_MAX)));
    ck_assert_str_eq(content(file, 100, 0), "012ab5");
    EXPECT("ok", f, FILES, M("sync"), ARGS(OBJ(file)));
    EXPECT("ok", f, FILES, M("sync-data"), ARGS(OBJ(file)));
    EXPECT("ok", f, FILES, M("advise"), ARGS(OBJ(file), wit_u64(0), wit_u64(1), {.n = 5}));
    drop(file);
    file = opened("file", 0, READ);
    EXPECT("err(bad-descriptor)", f, FILES, M("write"), ARGS(OBJ(file), TEXT("x"), wit_u64(0)));
    EXPECT("err(bad-descriptor)", f, FILES, M("write-via-stream"), ARGS(OBJ(file), wit_u64(0)));
    drop(file);
    file = opened("file", 0, WRITE);
    ck_assert_str_eq(content(file, 1, 0), "err(bad-descriptor)");
    EXPECT("err(bad-descriptor)", f, FILES, M("read-via-stream"), ARGS(OBJ(file), wit_u64(0)));
    drop(file);
    ck_assert_str_eq(content(root, 1, 0), "err(is-directory)");
}
END_TEST

static void write_stream(void *stream, const char *text)
{
    EXPECT("ok", f, STREAMS, "[method]output-stream.blocking-write-and-flush",
           ARGS(OBJ(stream), TEXT(text)));
    fake_drop(f, STREAMS, "output-stream", stream);
}

START_TEST(streams_outlive_their_descriptor)
{
    void *file = opened("file", 0, READ | WRITE);
    void *in = fake_make(f, FILES, M("read-via-stream"), ARGS(OBJ(file), wit_u64(4)));
    void *out = fake_make(f, FILES, M("write-via-stream"), ARGS(OBJ(file), wit_u64(8)));
    void *end = fake_make(f, FILES, M("append-via-stream"), ARGS(OBJ(file)));
    drop(file);
    write_stream(end, "end");
    write_stream(out, "XY");
    fake_call(f, STREAMS, "[method]input-stream.blocking-read", ARGS(OBJ(in), wit_u64(100)));
    ck_assert(str_eqz(wit_get_str(f->result.v), "4567XYend"));
    EXPECT("err(closed)", f, STREAMS, "[method]input-stream.blocking-read",
           ARGS(OBJ(in), wit_u64(1)));
    fake_drop(f, STREAMS, "input-stream", in);
}
END_TEST

START_TEST(streams_are_spliced)
{
    void *file = opened("file", 0, READ), *copy = opened("copy", CREATE, READ | WRITE);
    void *in = fake_make(f, FILES, M("read-via-stream"), ARGS(OBJ(file), wit_u64(2)));
    void *again = fake_make(f, FILES, M("read-via-stream"), ARGS(OBJ(file), wit_u64(0)));
    void *out = fake_make(f, FILES, M("write-via-stream"), ARGS(OBJ(copy), wit_u64(1)));
    void *end = fake_make(f, FILES, M("append-via-stream"), ARGS(OBJ(copy)));
    static const char splice[] = "[method]output-stream.blocking-splice";
    EXPECT("ok(3)", f, STREAMS, splice, ARGS(OBJ(out), OBJ(in), wit_u64(3)));
    EXPECT("ok(2)", f, STREAMS, splice, ARGS(OBJ(end), OBJ(again), wit_u64(2)));
    EXPECT("ok(5)", f, STREAMS, splice, ARGS(OBJ(out), OBJ(in), wit_u64(UINT64_MAX)));
    EXPECT("err(closed)", f, STREAMS, splice, ARGS(OBJ(out), OBJ(in), wit_u64(1)));
    EXPECT("ok(0)", f, STREAMS, splice, ARGS(OBJ(out), OBJ(again), wit_u64(0)));
    fake_call(f, FILES, M("read"), ARGS(OBJ(copy), wit_u64(100), wit_u64(1)));
    ck_assert(str_eqz(wit_get_str(&f->result.v->v[0]), "23456789"));
    void *const streams[] = {in, again};
    for (size_t i = 0; i < ARRAY_LEN(streams); i++)
        fake_drop(f, STREAMS, "input-stream", streams[i]);
    fake_drop(f, STREAMS, "output-stream", out);
    fake_drop(f, STREAMS, "output-stream", end);
    drop(file);
    drop(copy);
}
END_TEST

START_TEST(failures_of_streams_have_a_code)
{
    struct wasi_preopen dev = {open("/dev", O_RDONLY | O_DIRECTORY), STR("dev")};
    struct fake *g = fake_new(&(struct wasi_opts){.preopens = &dev, .npreopens = 1});
    fake_call(g, PREOPENS, "get-directories", NO_ARGS);
    void *dir = g->result.v[0].v[0].obj;
    void *file = fake_make(g, FILES, M("open-at"),
                           ARGS(OBJ(dir), FOLLOW, TEXT("full"), FLAGS(0), FLAGS(WRITE)));
    void *out = fake_make(g, FILES, M("write-via-stream"), ARGS(OBJ(file), wit_u64(0)));
    fake_call(g, STREAMS, "[method]output-stream.blocking-write-and-flush",
              ARGS(OBJ(out), TEXT("x")));
    ck_assert_uint_eq(g->result.n, 1);
    void *error = g->result.v->v->obj;
    EXPECT("some(insufficient-space)", g, FILES, "filesystem-error-code", ARGS(OBJ(error)));
    fake_drop(g, "wasi:io/error@0.2.0", "error", error);
    fake_drop(g, STREAMS, "output-stream", out);
    fake_drop(g, FILES, "descriptor", file);
    fake_drop(g, FILES, "descriptor", dir);
    fake_free(g);
    close(dev.fd);
}
END_TEST

START_TEST(stat_and_times)
{
    struct wit_value stamp[] = {wit_u64(1000000000), wit_u64(5)};
    struct wit_value datetime = {.v = stamp, .n = 2}, bad[] = {wit_u64(1), wit_u64(1000000000)};
    struct wit_value bad_datetime = {.v = bad, .n = 2};
    struct wit_value given = {.v = &datetime, .n = 2}, wrong = {.v = &bad_datetime, .n = 2};
    EXPECT("ok", f, FILES, M("set-times-at"), ARGS(OBJ(root), FOLLOW, TEXT("in"), {.n = 0}, given));
    EXPECT("err(invalid)", f, FILES, M("set-times-at"),
           ARGS(OBJ(root), FOLLOW, TEXT("in"), {.n = 0}, wrong));
    void *file = opened("file", 0, READ);
    fake_call(f, FILES, M("stat"), ARGS(OBJ(file)));
    const struct wit_value *stat = f->result.v->v;
    ck_assert_uint_eq(stat[0].n, 6);
    ck_assert_uint_eq(stat[1].u64, 1);
    ck_assert_uint_eq(stat[2].u64, 10);
    ck_assert_uint_eq(stat[4].v->v[0].u64, 1000000000);
    ck_assert_uint_eq(stat[4].v->v[1].u64, 5);
    EXPECT("ok", f, FILES, M("set-times"), ARGS(OBJ(file), {.n = 0}, {.n = 1}));
    fake_call(f, FILES, M("stat-at"), ARGS(OBJ(root), NO_FOLLOW, TEXT("out")));
    ck_assert_uint_eq(f->result.v->v[0].n, 5); /* a link that leads out may be looked at */
    drop(file);
}
END_TEST

START_TEST(hashes_tell_files_apart)
{
    void *file = opened("file", 0, READ);
    const char *a = fake_call(f, FILES, M("metadata-hash"), ARGS(OBJ(file)));
    EXPECT(a, f, FILES, M("metadata-hash-at"), ARGS(OBJ(root), FOLLOW, TEXT("in")));
    ck_assert_str_ne(a, fake_call(f, FILES, M("metadata-hash"), ARGS(OBJ(root))));
    drop(file);
}
END_TEST

START_TEST(directories)
{
    struct wit_value dir = OBJ(root);
    EXPECT("ok", f, FILES, M("create-directory-at"), ARGS(dir, TEXT("dir/new/")));
    EXPECT("err(exist)", f, FILES, M("create-directory-at"), ARGS(dir, TEXT("dir/new")));
    EXPECT("err(is-directory)", f, FILES, M("unlink-file-at"), ARGS(dir, TEXT("dir")));
    EXPECT("err(not-empty)", f, FILES, M("remove-directory-at"), ARGS(dir, TEXT("dir")));
    EXPECT("err(not-directory)", f, FILES, M("remove-directory-at"), ARGS(dir, TEXT("file")));
    EXPECT("err(not-directory)", f, FILES, M("unlink-file-at"), ARGS(dir, TEXT("file/")));
    EXPECT("ok", f, FILES, M("rename-at"), ARGS(dir, TEXT("file"), dir, TEXT("dir/new/moved")));
    EXPECT("ok", f, FILES, M("link-at"),
           ARGS(dir, NO_FOLLOW, TEXT("dir/new/moved"), dir, TEXT("file")));
    EXPECT("err(invalid)", f, FILES, M("link-at"), ARGS(dir, FOLLOW, TEXT("in"), dir, TEXT("x")));
    EXPECT("ok", f, FILES, M("unlink-file-at"), ARGS(dir, TEXT("dir/new/moved")));
    EXPECT("ok", f, FILES, M("remove-directory-at"), ARGS(dir, TEXT("dir/new")));
    EXPECT("ok", f, FILES, M("symlink-at"), ARGS(dir, TEXT("../file"), TEXT("dir/link")));
    EXPECT("ok(\"../file\")", f, FILES, M("readlink-at"), ARGS(dir, TEXT("dir/link")));
    EXPECT("err(invalid)", f, FILES, M("readlink-at"), ARGS(dir, TEXT("file")));
    EXPECT("ok", f, FILES, M("unlink-file-at"), ARGS(dir, TEXT("out")));
    ck_assert_int_eq(access(at("secret"), F_OK), 0);
}
END_TEST

START_TEST(entries_leave_out_the_dots)
{
    for (int twice = 0; twice < 2; twice++) {
        void *entries = fake_make(f, FILES, M("read-directory"), ARGS(OBJ(root)));
        size_t n = 0, directories = 0, links = 0;
        for (;; n++) {
            fake_call(f, FILES, "[method]directory-entry-stream.read-directory-entry",
                      ARGS(OBJ(entries)));
            const struct wit_value *option = f->result.v;
            ck_assert_uint_eq(f->result.n, 0);
            if (option->n == 0)
                break;
            ck_assert(!str_starts(wit_get_str(&option->v->v[1]), STR(".")));
            directories += option->v->v[0].n == 3;
            links += option->v->v[0].n == 5;
        }
        ck_assert_uint_eq(n, 6);
        ck_assert_uint_eq(directories, 1);
        ck_assert_uint_eq(links, 4);
        fake_drop(f, FILES, "directory-entry-stream", entries);
    }
    void *file = opened("file", 0, READ);
    EXPECT("err(not-directory)", f, FILES, M("read-directory"), ARGS(OBJ(file)));
    drop(file);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("files");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, no_path_leads_out);
    tcase_add_test(c, no_name_is_made_or_removed_outside);
    tcase_add_test(c, paths_that_are_none);
    tcase_add_test(c, opening);
    tcase_add_test(c, reading_and_writing);
    tcase_add_test(c, streams_outlive_their_descriptor);
    tcase_add_loop_test(c, edge, 0, ARRAY_LEN(edges));
    tcase_add_test(c, nothing_changes_below_a_read_only_directory);
    tcase_add_test(c, content_needs_its_flag);
    tcase_add_test(c, magic_links_are_not_followed);
    tcase_add_test(c, streams_are_spliced);
    tcase_add_test(c, failures_of_streams_have_a_code);
    tcase_add_test(c, stat_and_times);
    tcase_add_test(c, hashes_tell_files_apart);
    tcase_add_test(c, directories);
    tcase_add_test(c, entries_leave_out_the_dots);
    return fake_run("files", c);
}
