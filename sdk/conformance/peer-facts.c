/* SPDX-License-Identifier: Apache-2.0 */
/* peer-facts.c: facts are small files in a directory, each written whole and renamed into place. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conformance/peer-run.h"
#include "lib/io.h"

/* The file of a fact: what is no plain character becomes "_", for names may come from a plugin. */
static void file_of(const char *name, char out[208])
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-";
    size_t n = 0;
    for (; *name && n < 200; name++, n++)
        out[n] = (n || *name != '.') && strchr(plain, *name) ? *name : '_';
    if (!n)
        out[n++] = '_';
    out[n] = '\0';
}

int vct_facts_get(int dir, const char *name, char *value, size_t size)
{
    char file[208];
    file_of(name, file);
    vcs_autoclose int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    ssize_t n = vcs_read_full(fd, value, size - 1);
    if (n < 0)
        return (int)n;
    value[n] = '\0';
    return (int)n;
}

int vct_facts_set(int dir, const char *name, const char *value, size_t len)
{
    char file[208], temp[240];
    file_of(name, file);
    snprintf(temp, sizeof(temp), ".%s.%d", file, (int)getpid());
    vcs_autoclose int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    int r = vcs_write_full(fd, value, len);
    if (r == 0 && renameat(dir, temp, dir, file) < 0)
        r = -errno;
    if (r < 0)
        unlinkat(dir, temp, 0);
    return r;
}

int vct_facts_unset(int dir, const char *name)
{
    char file[208];
    file_of(name, file);
    return unlinkat(dir, file, 0) < 0 && errno != ENOENT ? -errno : 0;
}

void vct_variant_for(const char *told, const char *name, const char *role, char *out, size_t size)
{
    const char *at = strchr(told, '@');
    if (at && strcmp(at + 1, name) != 0 && strcmp(at + 1, role) != 0)
        snprintf(out, size, "good");
    else
        snprintf(out, size, "%.*s", at ? (int)(at - told) : (int)strlen(told), *told ? told : "good");
}
