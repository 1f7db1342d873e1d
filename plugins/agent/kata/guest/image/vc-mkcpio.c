/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a reproducible "newc" cpio archive from a list of entries; build tool of the guest's initramfs.
 *
 * It needs no root, makes device nodes that exist only in the archive, and sets owner 0:0 and time 0 on every entry,
 * so that the same input gives the same bytes.  One entry a line:
 *     dir  PATH MODE
 *     file PATH MODE SOURCE
 *     link PATH TARGET
 *     char PATH MODE MAJOR MINOR
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEWC_MAGIC "070701"
#define LINE_MAX_LEN 8192
#define FIELDS_MAX 6

struct archive {
    FILE *out;
    uint32_t next_ino;
    uint64_t size;
};

struct entry {
    const char *path;
    uint32_t mode;
    uint32_t major;
    uint32_t minor;
    uint32_t size;
    uint32_t nlink;
};

static int pad4(struct archive *ar)
{
    static const char zero[4];
    size_t n = (4 - (ar->size & 3)) & 3;

    if (fwrite(zero, 1, n, ar->out) != n)
        return -errno;
    ar->size += n;
    return 0;
}

static int put(struct archive *ar, const void *data, size_t len)
{
    if (fwrite(data, 1, len, ar->out) != len)
        return -errno;
    ar->size += len;
    return 0;
}

/* The archive's names are relative, as the kernel's unpacker and cpio(1) both like them. */
static int put_header(struct archive *ar, const struct entry *e)
{
    const char *name = e->path;
    char head[128];
    int len, r;

    while (*name == '/')
        name++;
    len = snprintf(head, sizeof(head), NEWC_MAGIC "%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
                   (unsigned)ar->next_ino++, (unsigned)e->mode, 0u, 0u, (unsigned)e->nlink, 0u, (unsigned)e->size, 0u,
                   0u, (unsigned)e->major, (unsigned)e->minor, (unsigned)strlen(name) + 1, 0u);
    r = put(ar, head, (size_t)len);
    if (r < 0)
        return r;
    r = put(ar, name, strlen(name) + 1);
    if (r < 0)
        return r;
    return pad4(ar);
}

static int put_file(struct archive *ar, struct entry *e, const char *source)
{
    static char buf[1 << 16];
    struct stat st;
    uint64_t left;
    ssize_t n;
    int fd, r;

    fd = open(source, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > UINT32_MAX) {
        close(fd);
        return -EINVAL;
    }
    e->size = (uint32_t)st.st_size;
    e->mode |= S_IFREG;
    r = put_header(ar, e);
    for (left = e->size; r == 0 && left > 0; left -= (uint64_t)n) {
        n = read(fd, buf, left < sizeof(buf) ? (size_t)left : sizeof(buf));
        if (n <= 0) {
            r = n < 0 ? -errno : -EIO;
            break;
        }
        r = put(ar, buf, (size_t)n);
    }
    close(fd);
    return r < 0 ? r : pad4(ar);
}

static int parse_u32(const char *text, int base, uint32_t *ret)
{
    char *end;
    unsigned long v;

    errno = 0;
    v = strtoul(text, &end, base);
    if (errno != 0 || end == text || *end != '\0' || v > UINT32_MAX)
        return -EINVAL;
    *ret = (uint32_t)v;
    return 0;
}

static int add_entry(struct archive *ar, char **f, int n)
{
    struct entry e = { .path = n > 1 ? f[1] : "", .nlink = 1 };
    int r;

    if (n == 3 && strcmp(f[0], "link") == 0) {
        e.mode = S_IFLNK | 0777;
        e.size = (uint32_t)strlen(f[2]);
        r = put_header(ar, &e);
        if (r < 0)
            return r;
        r = put(ar, f[2], e.size);
        return r < 0 ? r : pad4(ar);
    }
    if (n < 3 || parse_u32(f[2], 8, &e.mode) < 0 || e.mode > 07777)
        return -EINVAL;
    if (n == 3 && strcmp(f[0], "dir") == 0) {
        e.mode |= S_IFDIR;
        e.nlink = 2;
        return put_header(ar, &e);
    }
    if (n == 4 && strcmp(f[0], "file") == 0)
        return put_file(ar, &e, f[3]);
    if (n == 5 && strcmp(f[0], "char") == 0 && parse_u32(f[3], 10, &e.major) == 0 &&
        parse_u32(f[4], 10, &e.minor) == 0) {
        e.mode |= S_IFCHR;
        return put_header(ar, &e);
    }
    return -EINVAL;
}

static int split(char *line, char **fields)
{
    char *save = NULL;
    int n = 0;

    for (char *w = strtok_r(line, " \t\n", &save); w != NULL; w = strtok_r(NULL, " \t\n", &save)) {
        if (n == FIELDS_MAX)
            return -EINVAL;
        fields[n++] = w;
    }
    return n;
}

static int add_all(struct archive *ar, FILE *in, const char *in_name)
{
    static char line[LINE_MAX_LEN];
    char *fields[FIELDS_MAX];
    unsigned lineno = 0;
    struct entry trailer = { .path = "TRAILER!!!", .nlink = 1 };

    while (fgets(line, sizeof(line), in) != NULL) {
        int n = split(line, fields);
        int r = n;

        lineno++;
        if (n == 0)
            continue;
        if (n > 0)
            r = add_entry(ar, fields, n);
        if (r < 0) {
            fprintf(stderr, "vc-mkcpio: %s:%u: cannot add '%s': %s\n", in_name, lineno, n > 1 ? fields[1] : "?",
                    strerror(-r));
            return r;
        }
    }
    ar->next_ino = 0;
    return put_header(ar, &trailer);
}

int main(int argc, char **argv)
{
    struct archive ar = { .next_ino = 1 };
    FILE *in;
    int r;

    if (argc != 3) {
        fprintf(stderr, "usage: vc-mkcpio LIST ARCHIVE\n");
        return 2;
    }
    in = fopen(argv[1], "re");
    if (in == NULL) {
        fprintf(stderr, "vc-mkcpio: cannot read the list %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    ar.out = fopen(argv[2], "we");
    if (ar.out == NULL) {
        fprintf(stderr, "vc-mkcpio: cannot write %s: %s\n", argv[2], strerror(errno));
        fclose(in);
        return 1;
    }
    r = add_all(&ar, in, argv[1]);
    fclose(in);
    if (fclose(ar.out) != 0 && r == 0) {
        fprintf(stderr, "vc-mkcpio: cannot write %s: %s\n", argv[2], strerror(errno));
        r = -EIO;
    }
    if (r < 0) {
        unlink(argv[2]);
        return 1;
    }
    return 0;
}
