/* SPDX-License-Identifier: Apache-2.0 */
/* The limit of open descriptors. */
#include "lattice/base/descriptors.h"

#include <sys/resource.h>

void descriptors_raise(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}
