/*
 * Runs a fuzz target once over each file of its corpus, as a test of the ordinary build. Corpora hold one input per way
 * through a parser, and every input that ever crashed one.
 */
#include "base/attrs.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static void replay(const char *dir, const char *name)
{
    char path[4096];
    long size;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0) {
        perror(path);
        exit(1);
    }
    /* Of exactly this size, so that the sanitizer sees a read behind the end. */
    uint8_t *data = malloc(size ? (size_t)size : 1);
    if (!data || fread(data, 1, (size_t)size, f) != (size_t)size) {
        perror(path);
        exit(1);
    }
    fclose(f);
    LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
}

int main(int argc UNUSED, char **argv UNUSED)
{
    struct dirent **entries;
    int n = scandir(CORPUS_DIR, &entries, is_visible, alphasort);

    if (n <= 0) {
        printf("not ok 1 - %s has files\n1..1\n", CORPUS_DIR);
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < n; i++) {
        replay(CORPUS_DIR, entries[i]->d_name);
        printf("ok %d - %s\n", i + 1, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    printf("1..%d\n", n);
    return 0;
}
