/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c: runs a fuzz target over the kept inputs, without libFuzzer: REPLAY [DIR|FILE]...
 *
 * Without arguments it takes $srcdir/tests/fuzz/corpus/NAME, NAME being its own name after "replay-".
 * Each input is also run cut short and with single bits turned, so that few files go a long way. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz/fuzz.h"
#include "lib/cleanup.h"
#include "lib/io.h"

static unsigned files;

static void vary(const uint8_t *data, size_t n)
{
    LLVMFuzzerTestOneInput(data, n);
    size_t few = n < 512 ? n : 512;
    for (size_t i = 0; i < few; i++) {
        uint8_t *copy = malloc(n);
        if (!copy)
            return;
        memcpy(copy, data, n);
        LLVMFuzzerTestOneInput(copy, i);
        for (unsigned bit = 0; bit < 8; bit++) {
            copy[i] ^= (uint8_t)(1u << bit);
            LLVMFuzzerTestOneInput(copy, n);
            copy[i] ^= (uint8_t)(1u << bit);
        }
        free(copy);
    }
}

static int replay(const char *path)
{
    vcs_autofree char *text = NULL;
    size_t n;
    int r = vcs_read_file(AT_FDCWD, path, 1 << 20, &text, &n);
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(-r));
        return 1;
    }
    files++;
    vary((const uint8_t *)text, n);
    return 0;
}

static int replay_all(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return replay(path);
    vcs_autoclosedir DIR *dir = opendir(path);
    if (!dir) {
        perror(path);
        return 1;
    }
    int bad = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char file[4096];
        snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
        if (e->d_name[0] != '.')
            bad |= replay(file);
    }
    return bad;
}

int main(int argc, char **argv)
{
    int bad = 0;
    for (int i = 1; i < argc; i++)
        bad |= replay_all(argv[i]);
    if (argc < 2) {
        const char *src = getenv("srcdir"), *name = strstr(argv[0], "replay-");
        char path[4096];
        snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", src ? src : ".", name ? name + 7 : "");
        bad = replay_all(path);
    }
    printf("%u inputs\n", files);
    return bad || !files;
}
