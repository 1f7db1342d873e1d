/* SPDX-License-Identifier: Apache-2.0 */
/* elf-check.c: is a file as long as its ELF headers promise?  The dynamic loader maps what they name without asking,
 * and whoever touches a page behind the end of a file is killed. */
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader-check.h"

#if __ELF_NATIVE_CLASS == 64
#define OWN_CLASS ELFCLASS64
#else
#define OWN_CLASS ELFCLASS32
#endif

static int cut_off(const char *path, const char *what, uint64_t wants, uint64_t has, vc_error **err)
{
    return vci_fail(err, VC_ERR_INVAL, 0,
                    "%s cannot be loaded: it is cut off: its %s end at byte %llu, and it has %llu; install it anew",
                    path, what, (unsigned long long)wants, (unsigned long long)has);
}

int vci_elf_check(int fd, const char *path, vc_error **err)
{
    struct stat st;
    ElfW(Ehdr) h;
    if (fstat(fd, &st) < 0)
        return vci_fail(err, VC_ERR_IO, errno, "cannot look at %s", path);
    ssize_t n = pread(fd, &h, sizeof(h), 0);
    if (n < 0)
        return vci_fail(err, VC_ERR_IO, errno, "cannot read %s", path);
    if ((size_t)n < sizeof(h) || memcmp(h.e_ident, ELFMAG, SELFMAG))
        return vci_fail(err, VC_ERR_INVAL, 0, "%s cannot be loaded: it is no shared library (it has no ELF header)",
                        path);
    if (h.e_ident[EI_CLASS] != OWN_CLASS)
        return 0; /* of another machine: the dynamic loader says so, and maps nothing */
    uint64_t size = (uint64_t)st.st_size, end = (uint64_t)h.e_phoff + (uint64_t)h.e_phnum * sizeof(ElfW(Phdr));
    if (h.e_type != ET_DYN || h.e_phentsize != sizeof(ElfW(Phdr)))
        return vci_fail(err, VC_ERR_INVAL, 0, "%s cannot be loaded: it is an ELF file, but no shared library", path);
    if (h.e_phoff > size || end > size)
        return cut_off(path, "program headers", end, size, err);
    for (unsigned i = 0; i < h.e_phnum; i++) {
        ElfW(Phdr) p;
        n = pread(fd, &p, sizeof(p), (off_t)(h.e_phoff + i * sizeof(p)));
        if (n != (ssize_t)sizeof(p))
            return vci_fail(err, VC_ERR_IO, n < 0 ? errno : 0, "cannot read the program headers of %s", path);
        if (p.p_type != PT_NULL && p.p_filesz && (p.p_offset > size || p.p_filesz > size - p.p_offset))
            return cut_off(path, "segments", (uint64_t)p.p_offset + p.p_filesz, size, err);
    }
    return 0;
}
