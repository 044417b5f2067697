/* SPDX-License-Identifier: Apache-2.0 */
/* Linear memories, and their images.
 *
 * A guarded memory is a reservation of 4 GiB and a guard, of which the used part is accessible:
 * base never moves, and a 32-bit address plus an offset below the guard's size cannot leave it.
 * Reservations that are given back stay in a pool, because making one is dear: as their image has
 * them when few pages differ, for the next copy of that image, else emptied. Where none can be had
 * a memory is mapped exactly, base moves when it grows, and guests run in the handlers that check.
 *
 * Owns: mappings, the pool, images (sealed memfds, counted). Keeps: bytes behind size_bytes are
 * inaccessible (guarded) and, when they become accessible again, zero; nothing in the pool holds
 * what a guest wrote, nor an image that nobody refers to. */
#include "hostd/wasm/engine.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "lattice/base/space.h"

#define RESERVATION_BYTES (((uint64_t)4 << 30) + GUARD_BYTES)
#define POOL_MAX 256             /* reservations kept */
#define GUARDED_MAX_DEFAULT 8192 /* 47 bits of addresses hold about 32,000 */
/* They take no more than half of the addresses. If those are fewer, all memories are checked instead. */
#define GUARDED_MIN 256
#define RESERVATION_MAPPINGS 3 /* image, what was grown, the rest */
#define IMAGE_PAGE 4096u       /* granularity of images: a page of the host is one, or several */
#define DIRTY_BYTES_MAX \
    (256 * IMAGE_PAGE) /* beyond that dropping them is cheaper than copying back */
#define DIRTY_BYTES_KEPT (16 * IMAGE_PAGE) /* so much stays resident of a reservation in the pool */
#define PAGEMAP_CHUNK 512
#define SCAN_REGIONS 64

struct memory_image {
    atomic_uint refs; /* of memories */
    int fd;
    uint64_t size;
    const uint8_t *view; /* the whole file, read-only */
};

struct reservation {
    uint8_t *base;
    const struct memory_image *image; /* in place, and nothing else; NULL: nothing is accessible */
};

static struct {
    pthread_mutex_t lock;
    struct reservation free[POOL_MAX];
    uint32_t nfree;
    uint32_t live; /* reservations in use or pooled */
    uint32_t max;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .max = GUARDED_MAX_DEFAULT};

void memory_guarded_max(uint32_t count)
{
    pthread_mutex_lock(&pool.lock);
    pool.max = count;
    pthread_mutex_unlock(&pool.lock);
}

void memory_choose(void)
{
    uint64_t room = space_limit_bytes() / 2 / RESERVATION_BYTES;
    if (room < GUARDED_MAX_DEFAULT)
        memory_guarded_max(room < GUARDED_MIN ? 0 : (uint32_t)room);
}

bool wasm_guarded(void)
{
    pthread_mutex_lock(&pool.lock);
    bool guarded = pool.max > 0;
    pthread_mutex_unlock(&pool.lock);
    return guarded;
}

static atomic_int mappings;

void mappings_add(int n)
{
    atomic_fetch_add_explicit(&mappings, n, memory_order_relaxed);
}

uint32_t wasm_mappings(void)
{
    return (uint32_t)atomic_load_explicit(&mappings, memory_order_relaxed);
}

/* ---- reservations ---- */

static void *map_nothing(void *at, size_t size)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED : 0);
    void *p = mmap(at, size, PROT_NONE, flags, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void release(struct reservation r)
{
    munmap(r.base, RESERVATION_BYTES);
    mappings_add(-RESERVATION_MAPPINGS);
    pool.live--;
}

static bool empty(struct reservation *r)
{
    if (r->image && !map_nothing(r->base, r->image->size))
        return false;
    r->image = NULL;
    return true;
}

/* In the pool; nfree: there is none. */
static uint32_t find(const struct memory_image *image)
{
    for (uint32_t i = pool.nfree; i-- > 0;)
        if (pool.free[i].image == image)
            return i;
    return pool.nfree;
}

/* Of the pool: with the image, else empty, else, when there can be no more, any. Base NULL: none. */
static struct reservation take(const struct memory_image *image)
{
    uint32_t at = find(image);
    if (at == pool.nfree)
        at = find(NULL);
    if (at == pool.nfree && (pool.nfree == POOL_MAX || pool.live >= pool.max))
        at = 0;
    if (at >= pool.nfree)
        return (struct reservation){0};
    struct reservation r = pool.free[at];
    pool.free[at] = pool.free[--pool.nfree];
    if (r.image == image || empty(&r))
        return r;
    release(r);
    return (struct reservation){0};
}

/* With the image if there is one, else empty; base NULL: none to be had, which is no error. */
static struct reservation reserve(const struct memory_image *image)
{
    struct reservation r = {0};
    pthread_mutex_lock(&pool.lock);
    if (pool.max > 0)
        r = take(image);
    if (!r.base && pool.live < pool.max) {
        r.base = map_nothing(NULL, RESERVATION_BYTES);
        pool.live += r.base != NULL;
        mappings_add(r.base ? RESERVATION_MAPPINGS : 0);
    }
    pthread_mutex_unlock(&pool.lock);
    return r;
}

static bool is_image_again(struct wasm_memory *m);

static void unreserve(struct wasm_memory *m)
{
    struct reservation r = {m->base, is_image_again(m) ? m->image : NULL};
    bool clean = r.image || m->size_bytes == 0 || map_nothing(m->base, m->size_bytes);
    pthread_mutex_lock(&pool.lock);
    if (clean && pool.nfree < POOL_MAX)
        pool.free[pool.nfree++] = r;
    else
        release(r);
    pthread_mutex_unlock(&pool.lock);
}

/* The image goes. */
static void pool_forget(const struct memory_image *image)
{
    pthread_mutex_lock(&pool.lock);
    for (uint32_t i = pool.nfree; i-- > 0;) {
        if (pool.free[i].image == image && !empty(&pool.free[i])) {
            release(pool.free[i]);
            pool.free[i] = pool.free[--pool.nfree];
        }
    }
    pthread_mutex_unlock(&pool.lock);
}

bool memory_owns(const struct wasm_memory *m, uintptr_t addr)
{
    uintptr_t base = (uintptr_t)m->base;
    return m->guarded && addr >= base && addr - base < RESERVATION_BYTES;
}

/* ---- growing ---- */

static bool grow_guarded(struct wasm_memory *m, uint64_t size)
{
    return mprotect(m->base + m->size_bytes, size - m->size_bytes, PROT_READ | PROT_WRITE) == 0;
}

static bool grow_exact(struct wasm_memory *m, uint64_t size)
{
    void *p = m->base ? mremap(m->base, m->size_bytes, size, MREMAP_MAYMOVE)
                      : mmap(NULL, size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    mappings_add(m->base ? 0 : 1);
    m->base = p;
    return true;
}

bool memory_grow(struct wasm_memory *m, uint64_t pages)
{
    uint64_t old = m->size_bytes / WASM_PAGE;
    if (pages > m->pages_max - old || (m->pages_left && pages > *m->pages_left))
        return false;
    uint64_t size = (old + pages) * WASM_PAGE;
    if (pages > 0 && !(m->guarded ? grow_guarded(m, size) : grow_exact(m, size)))
        return false;
    m->size_bytes = size;
    if (m->pages_left)
        *m->pages_left -= pages;
    return true;
}

/* Gives back what lies behind size. */
static bool shrink_to(struct wasm_memory *m, uint64_t size)
{
    uint64_t extra = m->size_bytes - size;
    if (extra == 0)
        return true;
    if (m->guarded) {
        if (!map_nothing(m->base + size, extra))
            return false;
    } else {
        if (munmap(m->base + size, extra) != 0)
            return false;
        mappings_add(size == 0 ? -1 : 0);
    }
    m->size_bytes = size;
    if (m->pages_left)
        *m->pages_left += extra / WASM_PAGE;
    if (size == 0 && !m->guarded)
        m->base = NULL;
    return true;
}

/* ---- life ---- */

struct wasm_memory *wasm_memory_new(const struct wasm_limits_type *type, struct err *e)
{
    return memory_new(type, true, e);
}

static uint64_t pages_max_of(const struct wasm_limits_type *type)
{
    return type->has_max ? MIN(type->max, MEMORY_PAGES_MAX) : MEMORY_PAGES_MAX;
}

struct wasm_memory *memory_new(const struct wasm_limits_type *type, bool guarded, struct err *e)
{
    struct wasm_memory *m = xnew(struct wasm_memory);
    m->type = *type;
    m->pages_max = pages_max_of(type);
    m->base = guarded && !type->is64 ? reserve(NULL).base : NULL;
    m->guarded = m->base != NULL;
    if (type->min > m->pages_max || !memory_grow(m, type->min)) {
        wasm_memory_free(m);
        err_set(e, ERR_LIMIT, "no room for a memory of %llu pages", (unsigned long long)type->min);
        return NULL;
    }
    return m;
}

static void image_unref(struct memory_image *image);

void wasm_memory_free(struct wasm_memory *m)
{
    if (!m)
        return;
    if (m->guarded) {
        unreserve(m);
    } else if (m->base) {
        munmap(m->base, m->size_bytes);
        mappings_add(-1);
    }
    image_unref(m->image);
    free(m);
}

uint8_t *wasm_memory_base(struct wasm_memory *m)
{
    return m->base;
}

uint64_t wasm_memory_size(const struct wasm_memory *m)
{
    return m->size_bytes;
}

uint8_t *wasm_memory_at(struct wasm_memory *m, uint64_t addr, uint64_t n)
{
    static uint8_t nowhere[1]; /* an empty range of an empty memory */
    if (addr > m->size_bytes || n > m->size_bytes - addr)
        return NULL;
    return m->base ? m->base + addr : nowhere;
}

/* ---- images ---- */

static struct memory_image *image_ref(struct memory_image *image)
{
    atomic_fetch_add(&image->refs, 1);
    return image;
}

static void image_unref(struct memory_image *image)
{
    if (!image || atomic_fetch_sub(&image->refs, 1) != 1)
        return;
    pool_forget(image);
    if (image->view)
        munmap((void *)(uintptr_t)image->view, image->size);
    if (image->fd >= 0)
        close(image->fd);
    free(image);
}

static bool is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, IMAGE_PAGE - 1) == 0;
}

/* Zero pages stay holes. */
static bool write_pages(int fd, const struct wasm_memory *m, struct err *e)
{
    if (ftruncate(fd, (off_t)m->size_bytes) != 0)
        return err_errno(e, errno, "memory image");
    for (uint64_t at = 0; at < m->size_bytes; at += IMAGE_PAGE)
        if (!is_zero(m->base + at) && pwrite(fd, m->base + at, IMAGE_PAGE, (off_t)at) != IMAGE_PAGE)
            return err_errno(e, errno, "memory image");
    int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (fcntl(fd, F_ADD_SEALS, seals) != 0)
        return err_errno(e, errno, "seal memory image");
    return true;
}

static struct memory_image *image_new(const struct wasm_memory *m, struct err *e)
{
    struct memory_image *image = xnew(struct memory_image);
    atomic_init(&image->refs, 1);
    image->size = m->size_bytes;
    image->fd = memfd_create("wasm-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (image->fd < 0) {
        err_errno(e, errno, "memory image");
    } else if (write_pages(image->fd, m, e)) {
        if (image->size == 0)
            return image;
        void *view = mmap(NULL, image->size, PROT_READ, MAP_SHARED, image->fd, 0);
        if (view != MAP_FAILED) {
            image->view = view;
            return image;
        }
        err_errno(e, errno, "map memory image");
    }
    image_unref(image);
    return NULL;
}

static bool image_fits(const struct memory_image *image, const struct wasm_memory *m)
{
    return image && image->size == m->size_bytes &&
           (image->size == 0 || memcmp(image->view, m->base, image->size) == 0);
}

/* The memory becomes a private view of its image; what was written before is forgotten. False: it
 * has no image any more. */
static bool map_image(struct wasm_memory *m, struct err *e)
{
    m->size_bytes = m->image->size;
    if (m->size_bytes == 0)
        return true;
    void *p = mmap(m->base, m->size_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, m->image->fd, 0);
    if (p != MAP_FAILED)
        return true;
    err_errno(e, errno, "map memory image");
    image_unref(m->image);
    m->image = NULL;
    return false;
}

bool memory_mark(struct wasm_memory *m, const struct wasm_memory *like, struct err *e)
{
    struct memory_image *image = like ? like->image : NULL;
    if (image_fits(image, m)) {
        image_ref(image);
    } else {
        image = image_new(m, e);
        if (!image)
            return false;
    }
    image_unref(m->image);
    m->image = image;
    return !m->guarded || map_image(m, e);
}

/* The same for an empty memory without reservation. */
static bool write_image(struct wasm_memory *m, struct err *e)
{
    uint64_t size = m->image->size;
    if (!memory_grow(m, size / WASM_PAGE))
        return err_set(e, ERR_LIMIT, "no room for a memory of %llu bytes",
                       (unsigned long long)size);
    if (size)
        memcpy(m->base, m->image->view, size);
    return true;
}

struct wasm_memory *memory_copy(const struct wasm_memory *of, struct err *e)
{
    struct wasm_memory *m = xnew(struct wasm_memory);
    struct reservation r = of->guarded ? reserve(of->image) : (struct reservation){0};
    m->type = of->type;
    m->pages_max = pages_max_of(&of->type);
    m->base = r.base;
    m->guarded = r.base != NULL;
    m->image = image_ref(of->image);
    if (r.image)
        m->size_bytes = m->image->size;
    else if (!(m->guarded ? map_image(m, e) : write_image(m, e))) {
        wasm_memory_free(m);
        return NULL;
    }
    return m;
}

/* ---- rewinding ---- */

/* In pagemap: a page of a private file mapping is ours once it is present (or swapped out) and no longer the
 * file's. */
static bool page_is_dirty(uint64_t entry)
{
    bool present = entry >> 63 & 1, swapped = entry >> 62 & 1, file = entry >> 61 & 1;
    return (present && !file) || swapped;
}

/* Of this process: a child of a fork opens its own. Kept open, for every call of a guest ends with a look. */
static atomic_int pagemap_fd = -1;

static void forget_pagemap(void)
{
    atomic_store(&pagemap_fd, -1);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_pagemap);
}

/* -1: there is none. */
static int open_pagemap(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int fd = atomic_load(&pagemap_fd), none = -1;
    if (fd >= 0)
        return fd;
    pthread_once(&once, watch_forks);
    fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && !atomic_compare_exchange_strong(&pagemap_fd, &none, fd)) {
        close(fd); /* another thread was quicker */
        fd = none;
    }
    return fd;
}

struct rewinding {
    struct wasm_memory *m;
    int pagemap;
    uint64_t dirty_max, ndirty; /* bytes */
};

/* Copies bytes back. False: they are too many by now. */
static bool copy_back(struct rewinding *r, uint64_t at, uint64_t n)
{
    r->ndirty += n;
    if (r->ndirty > r->dirty_max)
        return false;
    memcpy(r->m->base + at, r->m->image->view + at, n);
    return true;
}

/* The kernel's own search, since Linux 6.7; the C library's headers may be older. */
struct page_region {
    uint64_t start, end, categories;
};
struct scan_pages {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_PAGES _IOWR('f', 16, struct scan_pages)
enum { PAGE_FILE = 1 << 2, PAGE_PRESENT = 1 << 3, PAGE_SWAPPED = 1 << 4 };
static atomic_bool cannot_scan;

enum rewound { REWOUND, TOO_MANY, UNKNOWN };

static enum rewound scan_dirty(struct rewinding *r)
{
    struct page_region regions[SCAN_REGIONS];
    uint64_t base = (uintptr_t)r->m->base, end = base + r->m->image->size;
    struct scan_pages scan = {.size = sizeof scan,
                              .start = base,
                              .end = end,
                              .vec = (uintptr_t)regions,
                              .vec_len = SCAN_REGIONS,
                              .category_inverted = PAGE_FILE,
                              .category_mask = PAGE_FILE,
                              .category_anyof_mask = PAGE_PRESENT | PAGE_SWAPPED,
                              .return_mask = PAGE_PRESENT | PAGE_SWAPPED};
    for (; scan.start < end; scan.start = scan.walk_end) {
        int n = ioctl(r->pagemap, SCAN_PAGES, &scan);
        if (n < 0 || scan.walk_end <= scan.start)
            return UNKNOWN;
        for (int i = 0; i < n; i++)
            if (!copy_back(r, regions[i].start - base, regions[i].end - regions[i].start))
                return TOO_MANY;
    }
    return REWOUND;
}

static enum rewound read_dirty(struct rewinding *r)
{
    uint64_t entries[PAGEMAP_CHUNK];
    uint64_t page = space_page_bytes(), npages = r->m->image->size / page;
    for (uint64_t first = 0; first < npages; first += PAGEMAP_CHUNK) {
        uint64_t n = MIN(npages - first, (uint64_t)PAGEMAP_CHUNK);
        uint64_t at = ((uintptr_t)r->m->base / page + first) * sizeof(uint64_t);
        if (pread(r->pagemap, entries, n * sizeof(uint64_t), (off_t)at) !=
            (ssize_t)(n * sizeof(uint64_t)))
            return UNKNOWN;
        for (uint64_t i = 0; i < n; i++)
            if (page_is_dirty(entries[i]) && !copy_back(r, (first + i) * page, page))
                return TOO_MANY;
    }
    return REWOUND;
}

/* Copies dirty pages back. False: too many, or they cannot be told, so the whole has to be
 * mapped anew. */
static bool copy_dirty_back(struct wasm_memory *m, uint64_t dirty_max)
{
    struct rewinding r = {m, open_pagemap(), dirty_max, 0};
    if (r.pagemap < 0)
        return false;
    enum rewound how = atomic_load(&cannot_scan) ? UNKNOWN : scan_dirty(&r);
    if (how == UNKNOWN) {
        atomic_store(&cannot_scan, true);
        r.ndirty = 0;
        how = read_dirty(&r);
    }
    return how == REWOUND;
}

static bool rewind_guarded(struct wasm_memory *m, struct err *e)
{
    if (m->image->size == 0 || copy_dirty_back(m, DIRTY_BYTES_MAX))
        return true;
    return madvise(m->base, m->image->size, MADV_DONTNEED) == 0 || map_image(m, e);
}

/* Could it be made so with little left resident? */
static bool is_image_again(struct wasm_memory *m)
{
    return m->image && m->image->size && shrink_to(m, m->image->size) &&
           copy_dirty_back(m, DIRTY_BYTES_KEPT);
}

bool memory_rewind(struct wasm_memory *m, struct err *e)
{
    assert(m->image && m->size_bytes >= m->image->size);
    if (!shrink_to(m, m->image->size))
        return err_errno(e, errno, "shrink memory");
    if (m->guarded)
        return rewind_guarded(m, e);
    if (m->image->size)
        memcpy(m->base, m->image->view, m->image->size);
    return true;
}
