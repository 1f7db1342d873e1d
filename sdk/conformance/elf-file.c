/* SPDX-License-Identifier: Apache-2.0 */
/* elf-file.c: reads the parts of a shared object that say how it will be loaded; nothing in the file is trusted. */
#include "elf-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/io.h"

#define FILE_MAX (256u << 20)

#if __ELF_NATIVE_CLASS == 64
#define OWN_CLASS  ELFCLASS64
#define ST_TYPE(i) ELF64_ST_TYPE(i)
#define ST_BIND(i) ELF64_ST_BIND(i)
#define ST_SEEN(o) ELF64_ST_VISIBILITY(o)
#else
#define OWN_CLASS  ELFCLASS32
#define ST_TYPE(i) ELF32_ST_TYPE(i)
#define ST_BIND(i) ELF32_ST_BIND(i)
#define ST_SEEN(o) ELF32_ST_VISIBILITY(o)
#endif

/* n rows of `size` bytes at that place of the file; NULL when the file is shorter or they are not aligned. */
static const void *rows(const struct vct_elf *e, uint64_t at, uint64_t n, size_t size)
{
    if (at > e->len || n > (e->len - at) / size || at % sizeof(ElfW(Addr)))
        return NULL;
    return e->mem + at;
}

const void *vct_elf_at(const struct vct_elf *e, ElfW(Addr) addr, size_t len)
{
    for (size_t i = 0; i < e->n_segments; i++) {
        const ElfW(Phdr) *s = &e->segments[i];
        if (s->p_type != PT_LOAD || addr < s->p_vaddr || addr - s->p_vaddr > s->p_filesz ||
            len > s->p_filesz - (addr - s->p_vaddr))
            continue;
        uint64_t at = s->p_offset + (addr - s->p_vaddr);
        return at <= e->len && len <= e->len - at ? e->mem + at : NULL;
    }
    return NULL;
}

const char *vct_elf_string(const struct vct_elf *e, size_t at)
{
    return at < e->n_strings ? e->strings + at : "";
}

int vct_elf_dynamic(const struct vct_elf *e, ElfW(Sxword) tag, size_t *at, ElfW(Xword) * ret)
{
    for (size_t i = at ? *at : 0; i < e->n_dynamic; i++)
        if (e->dynamic[i].d_tag == tag) {
            if (at)
                *at = i + 1;
            *ret = e->dynamic[i].d_un.d_val;
            return 1;
        }
    return 0;
}

/* How many symbols there are stands nowhere; the hash tables for looking them up tell. */
static size_t count_symbols(const struct vct_elf *e)
{
    ElfW(Xword) at;
    if (vct_elf_dynamic(e, DT_HASH, NULL, &at)) {
        const uint32_t *head = vct_elf_at(e, at, 2 * sizeof(*head));
        return head ? head[1] : 0;
    }
    const uint32_t *head;
    if (!vct_elf_dynamic(e, DT_GNU_HASH, NULL, &at) || !(head = vct_elf_at(e, at, 4 * sizeof(*head))))
        return 0;
    uint64_t buckets_at = at + 16 + (uint64_t)head[2] * sizeof(ElfW(Addr));
    const uint32_t *buckets = vct_elf_at(e, buckets_at, (size_t)head[0] * sizeof(*buckets));
    uint32_t last = 0;
    for (uint32_t i = 0; buckets && i < head[0]; i++)
        last = buckets[i] > last ? buckets[i] : last;
    if (last < head[1])
        return head[1];
    for (uint64_t chain = buckets_at + 4 * (uint64_t)head[0];; last++) {
        const uint32_t *hash = vct_elf_at(e, chain + 4 * (uint64_t)(last - head[1]), sizeof(*hash));
        if (!hash)
            return 0;
        if (*hash & 1)
            return (size_t)last + 1;
    }
}

/* Find the dynamic section and what it leads to; NULL, or what is wrong with it. */
static const char *take_dynamic(struct vct_elf *e)
{
    ElfW(Xword) strings, n_strings, symbols;
    for (size_t i = 0; i < e->n_segments; i++)
        if (e->segments[i].p_type == PT_DYNAMIC) {
            e->n_dynamic = e->segments[i].p_filesz / sizeof(*e->dynamic);
            e->dynamic = rows(e, e->segments[i].p_offset, e->n_dynamic, sizeof(*e->dynamic));
        }
    if (!e->dynamic)
        return "it has no dynamic section";
    for (size_t i = 0; i < e->n_dynamic; i++)
        if (e->dynamic[i].d_tag == DT_NULL)
            e->n_dynamic = i;
    if (!vct_elf_dynamic(e, DT_STRTAB, NULL, &strings) || !vct_elf_dynamic(e, DT_STRSZ, NULL, &n_strings) ||
        !vct_elf_dynamic(e, DT_SYMTAB, NULL, &symbols))
        return "its dynamic section names no symbols";
    e->strings = vct_elf_at(e, strings, n_strings);
    if (!e->strings || n_strings == 0 || e->strings[n_strings - 1] != '\0')
        return "its string table is not whole";
    e->n_strings = n_strings;
    e->n_symbols = count_symbols(e);
    e->symbols = vct_elf_at(e, symbols, e->n_symbols * sizeof(*e->symbols));
    return e->symbols && e->n_symbols < FILE_MAX ? NULL : "its symbol table is not whole";
}

int vct_elf_open(struct vct_elf *e, const char *path, char *why, size_t size)
{
    *e = (struct vct_elf){ 0 };
    int r = vcs_read_file(AT_FDCWD, path, FILE_MAX, (char **)&e->mem, &e->len);
    if (r < 0) {
        snprintf(why, size, "it cannot be read: %s", strerror(-r));
        return -1;
    }
    const ElfW(Ehdr) *head = rows(e, 0, 1, sizeof(*head));
    const char *wrong = NULL;
    if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) || head->e_ident[EI_CLASS] != OWN_CLASS ||
        head->e_type != ET_DYN)
        wrong = "it is no shared object for this machine";
    else if (head->e_phentsize != sizeof(*e->segments) ||
             !(e->segments = rows(e, head->e_phoff, head->e_phnum, sizeof(*e->segments))))
        wrong = "its program headers are not whole";
    else {
        e->n_segments = head->e_phnum;
        wrong = take_dynamic(e);
    }
    if (!wrong)
        return 0;
    snprintf(why, size, "%s", wrong);
    vct_elf_close(e);
    return -1;
}

void vct_elf_close(struct vct_elf *e)
{
    free(e->mem);
    *e = (struct vct_elf){ 0 };
}

int vct_elf_exported(const ElfW(Sym) * sym)
{
    int bind = ST_BIND(sym->st_info), seen = ST_SEEN(sym->st_other), type = ST_TYPE(sym->st_info);
    return sym->st_shndx != SHN_UNDEF && sym->st_name &&
           (bind == STB_GLOBAL || bind == STB_WEAK || bind == STB_GNU_UNIQUE) &&
           (seen == STV_DEFAULT || seen == STV_PROTECTED) && type != STT_SECTION && type != STT_FILE;
}

int vct_elf_is_data(const ElfW(Sym) * sym)
{
    return ST_TYPE(sym->st_info) == STT_OBJECT;
}

const ElfW(Sym) * vct_elf_symbol(const struct vct_elf *e, const char *name)
{
    for (size_t i = 0; i < e->n_symbols; i++)
        if (vct_elf_exported(&e->symbols[i]) && !strcmp(vct_elf_string(e, e->symbols[i].st_name), name))
            return &e->symbols[i];
    return NULL;
}
