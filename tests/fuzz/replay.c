/* Stands in for libFuzzer's main: runs a fuzzer's target over files, so that a corpus is a test that any compiler can run.
 * Arguments are files or folders; without any, the corpus folder of the program's own name. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static _Noreturn void fail(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(2);
}

/* The copy is exactly as long as the input, so that AddressSanitizer sees a read past its end. */
static void replay_file(const char *path, size_t size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(size);
    if (!f || (size && !data) || fread(data, 1, size, f) != size)
        fail(path);
    fclose(f);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

static size_t replay(const char *path);

static size_t replay_folder(const char *path)
{
    struct dirent **entries;
    size_t replayed = 0;
    int n = scandir(path, &entries, NULL, alphasort);
    if (n < 0)
        fail(path);
    for (int i = 0; i < n; i++) {
        char inner[4096];
        snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            replayed += replay(inner);
        free(entries[i]);
    }
    free(entries);
    return replayed;
}

static size_t replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        fail(path);
    if (S_ISDIR(st.st_mode))
        return replay_folder(path);
    replay_file(path, (size_t)st.st_size);
    return 1;
}

int main(int argc, char **argv)
{
    size_t replayed = 0;
    char corpus[4096];
    const char *source = getenv("srcdir"); /* make check sets it */
    const char *name = strrchr(argv[0], '/');

    snprintf(corpus, sizeof corpus, "%s/tests/fuzz/corpus/%s", source ? source : ".", name ? name + 1 : argv[0]);
    for (int i = 1; i < argc; i++)
        replayed += replay(argv[i]);
    if (argc == 1)
        replayed = replay(corpus);
    printf("replayed %zu inputs\n", replayed);
    return replayed == 0; /* an empty corpus proves nothing */
}
