/* SPDX-License-Identifier: Apache-2.0 */
/* elf-file.h: a shared object looked at as a file, without running anything of it. */
#ifndef VCT_ELF_FILE_H
#define VCT_ELF_FILE_H

#include <link.h>
#include <stddef.h>

/* All pointers lead into `mem`, the bytes of the file. */
struct vct_elf {
    unsigned char *mem;
    size_t len;
    const ElfW(Phdr) * segments;
    size_t n_segments;
    const ElfW(Dyn) * dynamic;
    size_t n_dynamic;
    const ElfW(Sym) * symbols; /* dynamic ones, imported and exported */
    size_t n_symbols;
    const char *strings; /* of the dynamic section; NUL at their end */
    size_t n_strings;
};

/* Read a shared object for this machine.  0, or -1 with the reason in `why`. */
int vct_elf_open(struct vct_elf *e, const char *path, char *why, size_t size);
void vct_elf_close(struct vct_elf *e);
/* The bytes of the file that will stand at a virtual address; NULL when they do not come from the file. */
const void *vct_elf_at(const struct vct_elf *e, ElfW(Addr) addr, size_t len);
/* The string at that place of the string table; "" when there is none. */
const char *vct_elf_string(const struct vct_elf *e, size_t at);
/* The first entry of the dynamic section with that tag at or after *at; *at then leads behind it. */
int vct_elf_dynamic(const struct vct_elf *e, ElfW(Sxword) tag, size_t *at, ElfW(Xword) * ret);
/* Is this symbol one that other objects can see? */
int vct_elf_exported(const ElfW(Sym) * sym);
int vct_elf_is_data(const ElfW(Sym) * sym);
/* The exported symbol of that name; NULL when there is none. */
const ElfW(Sym) * vct_elf_symbol(const struct vct_elf *e, const char *name);

#endif
