/* SPDX-License-Identifier: Apache-2.0 */
/* Only read-only private file mappings are dropped: their pages are the page cache's, so nothing can be lost. */
#include "lattice/base/trim.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include "lattice/base/space.h"

static int drop_clean(struct dl_phdr_info *info, size_t size, void *user)
{
    uintptr_t page = space_page_bytes();
    (void)size;
    (void)user;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || (p->p_flags & PF_W) || !info->dlpi_name || !*info->dlpi_name)
            continue; /* written to, or the program itself */
        uintptr_t from = (info->dlpi_addr + p->p_vaddr) & ~(page - 1);
        uintptr_t to = (info->dlpi_addr + p->p_vaddr + p->p_memsz + page - 1) & ~(page - 1);
        madvise((void *)from, to - from, MADV_DONTNEED); /* advice: failing changes nothing */
    }
    return 0;
}

void trim_memory(void)
{
    malloc_trim(0);
    dl_iterate_phdr(drop_clean, NULL);
}
