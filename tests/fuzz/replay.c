/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for libFuzzer in ordinary builds: runs the fuzz entry point over every file of the directories
 * given as arguments. A missing or empty directory is fine: nothing to replay. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return;
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    if (size >= 0) {
        /* exactly sized, so that a sanitizer sees reading too far */
        AUTO_FREE uint8_t *data = malloc((size_t)size + (size == 0));
        if (data && fread(data, 1, (size_t)size, f) == (size_t)size)
            LLVMFuzzerTestOneInput(data, (size_t)size);
    }
    fclose(f);
}

static int replay_directory(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        AUTO_FREE char *file = xasprintf("%s/%s", path, entry->d_name);
        replay(file);
        count++;
    }
    if (dir)
        closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++)
        count += replay_directory(argv[i]);
    printf("%d inputs replayed\n", count);
    return 0;
}
