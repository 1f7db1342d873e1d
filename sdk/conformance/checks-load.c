/* SPDX-License-Identifier: Apache-2.0 */
/* checks-load.c: group L: the file, its tables, loading, and hosts that are older or newer than the plugin. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "conformance/elf-file.h"
#include "conformance/walk.h"
#include "conformance/watch.h"
#include "lib/io.h"
#include "lib/utf8.h"

#define TABLE_MAX       65536u
#define END_OF(T, last) (offsetof(T, last) + sizeof(((T *)0)->last)) /* size of a table as minor 0 had it */

/* ---- the file ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void open_elf(struct vct *t, struct vct_elf *e)
{
    char why[256];
    if (vct_elf_open(e, t->s->plugin, why, sizeof(why)) < 0)
        vct_fail(t, "%s cannot be a plugin: %s", t->s->plugin, why);
}

void vct_must_be_elf(struct vct *t)
{
    struct vct_elf e;
    open_elf(t, &e);
    vct_elf_close(&e);
}

struct fixed {
    const char *name;
    size_t offset, size;
};
#define FIXED(m)                                                                                                       \
    {                                                                                                                  \
#m, offsetof(struct vc_plugin, m), sizeof(((struct vc_plugin *)0)->m)                                          \
    }
static const struct fixed fixed[] = { FIXED(magic), FIXED(abi_major),      FIXED(abi_minor),
                                      FIXED(size),  FIXED(min_host_minor), FIXED(kind) };
#define FIXED_LEN offsetof(struct vc_plugin, name)

static uint32_t number_at(const void *table, const struct fixed *f)
{
    uint32_t n = 0;
    if (f->size == sizeof(uint16_t)) {
        uint16_t half;
        memcpy(&half, (const char *)table + f->offset, sizeof(half));
        return half;
    }
    memcpy(&n, (const char *)table + f->offset, sizeof(n));
    return n;
}

/* The fixed part of the descriptor as it stands in the file. */
static void head_in_file(struct vct *t, struct vc_plugin *head)
{
    struct vct_elf e;
    open_elf(t, &e);
    const ElfW(Sym) *sym = vct_elf_symbol(&e, VC_PLUGIN_SYMBOL);
    const void *at = sym ? vct_elf_at(&e, sym->st_value, FIXED_LEN) : NULL;
    int exported = sym != NULL, data = sym && vct_elf_is_data(sym);
    memset(head, 0, sizeof(*head));
    if (at)
        memcpy(head, at, FIXED_LEN);
    vct_elf_close(&e);
    VCT_MUST(t, exported, "the file does not export \"" VC_PLUGIN_SYMBOL "\"; a plugin exports that one symbol");
    VCT_MUST(t, data, "\"" VC_PLUGIN_SYMBOL "\" is no data object; it has to be a constant struct vc_plugin");
    VCT_MUST(t, at,
             "\"" VC_PLUGIN_SYMBOL
             "\" has no bytes in the file; it has to be initialised data (const, with its numbers "
             "as constants), so that tools can read it without running the plugin");
}

static void run_l1(struct vct *t)
{
    struct vc_plugin head;
    head_in_file(t, &head);
    const struct vc_plugin *p = vct_open(t);
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        VCT_MUST(t, number_at(&head, &fixed[i]) == number_at(p, &fixed[i]),
                 "vc_plugin.%s is 0x%x in the file and 0x%x when it is loaded; it must not be changed by the plugin",
                 fixed[i].name, number_at(&head, &fixed[i]), number_at(p, &fixed[i]));
}

static void run_l2(struct vct *t)
{
    struct vct_elf e;
    struct vcs_buf others = { 0 };
    size_t n = 0;
    int entry = 0;
    open_elf(t, &e);
    for (size_t i = 0; i < e.n_symbols; i++) {
        const char *name = vct_elf_string(&e, e.symbols[i].st_name);
        if (!vct_elf_exported(&e.symbols[i]) || !strncmp(name, "__odr_asan", 10))
            continue;
        if (!strcmp(name, VC_PLUGIN_SYMBOL))
            entry = 1;
        else if (strncmp(name, VC_PLUGIN_SYMBOL "_", sizeof(VC_PLUGIN_SYMBOL)) && n++ < 5)
            vcs_buf_printf(&others, "%s%s", n > 1 ? ", " : "", name);
    }
    vct_elf_close(&e);
    VCT_MUST(t, entry, "the file does not export \"" VC_PLUGIN_SYMBOL "\"");
    const char *text = vcs_buf_str(&others);
    VCT_MUST(t, n == 0, "the file exports %zu symbol%s besides \"" VC_PLUGIN_SYMBOL "\": %s%s; exactly one is right", n,
             n == 1 ? "" : "s", text ? text : "", n > 5 ? ", ..." : "");
}

static void run_l3(struct vct *t)
{
    struct vct_elf e;
    ElfW(Xword) v = 0, flags = 0, flags_1 = 0;
    int relro = 0, stack = 0, exec_stack = 0, both = 0;
    open_elf(t, &e);
    for (size_t i = 0; i < e.n_segments; i++) {
        const ElfW(Phdr) *s = &e.segments[i];
        relro |= s->p_type == PT_GNU_RELRO;
        stack |= s->p_type == PT_GNU_STACK;
        exec_stack |= s->p_type == PT_GNU_STACK && (s->p_flags & PF_X);
        both |= s->p_type == PT_LOAD && (s->p_flags & PF_X) && (s->p_flags & PF_W);
    }
    vct_elf_dynamic(&e, DT_FLAGS, NULL, &flags);
    vct_elf_dynamic(&e, DT_FLAGS_1, NULL, &flags_1);
    int text = vct_elf_dynamic(&e, DT_TEXTREL, NULL, &v) || (flags & DF_TEXTREL);
    int now = vct_elf_dynamic(&e, DT_BIND_NOW, NULL, &v) || (flags & DF_BIND_NOW) || (flags_1 & DF_1_NOW);
    vct_elf_close(&e);
    VCT_MUST(
        t, !text,
        "the file has text relocations (DT_TEXTREL): its code is made writable while it is loaded; compile with -fPIC");
    VCT_MUST(t, stack && !exec_stack,
             "the file asks for an executable stack (%s); link with -z noexecstack, and give assembler files a "
             ".note.GNU-stack section",
             stack ? "PT_GNU_STACK has the flag X" : "it has no PT_GNU_STACK");
    VCT_MUST(t, !both, "the file has a segment that is both writable and executable");
    VCT_MUST(t, relro, "the file has no PT_GNU_RELRO: its tables of functions stay writable; link with -z relro");
    VCT_MUST(
        t, now,
        "the file does not ask for full binding (no DF_BIND_NOW, no DF_1_NOW): a missing function is then found at "
        "its first call; link with -z now");
}

/* Can others than the owner put a file there? The first directory above that exists decides. */
static int others_can_write(const char *dir, char *which, size_t size)
{
    snprintf(which, size, "%s", dir);
    for (struct stat st; *which; *strrchr(which, '/') = '\0')
        if (stat(which, &st) == 0)
            return (st.st_mode & (S_IWGRP | S_IWOTH)) != 0;
        else if (!strrchr(which, '/'))
            return 0;
    return 0;
}

static void look_at_runpath(struct vct *t, const char *tag, const char *list)
{
    char own[4096], dir[8192], which[8192];
    snprintf(own, sizeof(own), "%s", t->s->plugin);
    if (strrchr(own, '/'))
        *strrchr(own, '/') = '\0';
    for (const char *p = list;; p++) {
        int n = (int)strcspn(p, ":"), origin = 0;
        if (!strncmp(p, "$ORIGIN", 7))
            origin = 7;
        else if (!strncmp(p, "${ORIGIN}", 9))
            origin = 9;
        snprintf(dir, sizeof(dir), "%s%.*s", origin ? own : "", n - origin, p + origin);
        VCT_MUST(t, dir[0] == '/',
                 "%s holds \"%.*s\", which is relative to the working directory of whoever loads the plugin; only "
                 "absolute directories and $ORIGIN are right",
                 tag, n, p);
        VCT_MUST(t, !others_can_write(dir, which, sizeof(which)),
                 "%s holds \"%.*s\", and others than its owner can write to %s: they could put a library there",
                 tag, n, p, which);
        p += n;
        if (!*p)
            return;
    }
}

static void run_l4(struct vct *t)
{
    struct vct_elf e;
    static const struct {
        ElfW(Sxword) tag;
        const char *name;
    } tags[] = { { DT_RPATH, "RPATH" }, { DT_RUNPATH, "RUNPATH" } };
    char *paths[2] = { NULL, NULL }, needed[256] = "";
    ElfW(Xword) v;
    open_elf(t, &e);
    for (size_t at = 0; vct_elf_dynamic(&e, DT_NEEDED, &at, &v);) {
        const char *lib = base_name(vct_elf_string(&e, v));
        if (!strncmp(lib, "libvccore.", 10) || strchr(vct_elf_string(&e, v), '/'))
            snprintf(needed, sizeof(needed), "%s", vct_elf_string(&e, v));
    }
    for (int i = 0; i < 2; i++)
        if (vct_elf_dynamic(&e, tags[i].tag, NULL, &v))
            paths[i] = strdup(vct_elf_string(&e, v));
    vct_elf_close(&e);
    VCT_MUST(t, !needed[0],
             "the file needs \"%s\"; a plugin links to nothing of the host, and to other libraries by name only: all "
             "it may ask comes through struct vc_host",
             needed);
    for (int i = 0; i < 2; i++)
        if (paths[i])
            look_at_runpath(t, tags[i].name, paths[i]);
    free(paths[0]);
    free(paths[1]);
}

static void run_l5(struct vct *t)
{
    struct vc_plugin h;
    head_in_file(t, &h);
    VCT_HOLD(t, h.magic == VC_PLUGIN_MAGIC, "vc_plugin.magic is 0x%08x; 0x%08x (VC_PLUGIN_MAGIC) is right", h.magic,
             VC_PLUGIN_MAGIC);
    VCT_HOLD(t, h.abi_major == VC_ABI_MAJOR,
             "vc_plugin.abi_major is %u; \"" VC_PLUGIN_SYMBOL "\" is the entry of major %u", h.abi_major, VC_ABI_MAJOR);
    if (h.min_host_minor > h.abi_minor)
        (h.min_host_minor > VC_ABI_MINOR ? vct_refuse : vct_fail)(
            t,
            "vc_plugin.min_host_minor is %u and abi_minor is %u: it cannot need a newer host than the headers it was "
            "built with",
            h.min_host_minor, h.abi_minor);
    VCT_HOLD(t, h.min_host_minor <= VC_ABI_MINOR,
             "vc_plugin.min_host_minor is %u; this tool is a host of minor %u and cannot test it", h.min_host_minor,
             VC_ABI_MINOR);
}

/* ---- tables ---- */

struct range {
    uintptr_t at;
    size_t len;
    size_t left; /* how many bytes the segment has from there on */
    int found;
};

static int in_segment(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct range *r = arg;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *s = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + s->p_vaddr;
        if (s->p_type == PT_LOAD && (s->p_flags & PF_R) && r->at >= from && r->at - from <= s->p_memsz &&
            r->len <= s->p_memsz - (r->at - from)) {
            r->found = 1;
            r->left = s->p_memsz - (r->at - from);
        }
    }
    return r->found;
}

int vct_static_text(const char *text)
{
    struct range r = { (uintptr_t)text, 1, 0, 0 };
    if (!text)
        return 1;
    dl_iterate_phdr(in_segment, &r);
    return r.found && memchr(text, '\0', r.left) != NULL;
}

static void must_be_static(struct vct *t, const char *what, const void *at, size_t len)
{
    struct range r = { (uintptr_t)at, len, 0, 0 };
    dl_iterate_phdr(in_segment, &r);
    VCT_HOLD(t, r.found,
             "%s: its %zu bytes do not lie within one segment of a loaded file; tables are static data, and `size` is "
             "the size of the struct",
             what, len);
}

/* One size of R4. */
static void must_fit(struct vct *t, const char *what, const void *at, uint32_t size, size_t least, const char *hint)
{
    VCT_HOLD(t, size >= least && size <= TABLE_MAX && size % sizeof(void *) == 0,
             "%s is %u; it must be a multiple of %zu from %zu to %u%s", what, size, sizeof(void *), least, TABLE_MAX, hint);
    must_be_static(t, what, at, size);
}

static size_t ops_size_of(uint32_t kind)
{
    static const size_t sizes[] = { 0,
                                    END_OF(struct vc_hypervisor_ops, resize),
                                    END_OF(struct vc_agent_ops, ctr_update),
                                    END_OF(struct vc_proxy_ops, status),
                                    END_OF(struct vc_shim_ops, status),
                                    END_OF(struct vc_network_ops, teardown) };
    return kind < sizeof(sizes) / sizeof(sizes[0]) ? sizes[kind] : 0;
}

static const char *const kind_names[] = { "", "hypervisor", "agent", "proxy", "shim", "network" };
static const size_t kind_sizes[] = { 0,
                                     sizeof(struct vc_hypervisor_ops),
                                     sizeof(struct vc_agent_ops),
                                     sizeof(struct vc_proxy_ops),
                                     sizeof(struct vc_shim_ops),
                                     sizeof(struct vc_network_ops) };
#define KNOWN(kind) ((kind) >= VC_KIND_HYPERVISOR && (kind) <= VC_KIND_NETWORK)

/* The kind in whose directory the file lies; 0: in none. */
static uint32_t kind_of_directory(struct vct *t)
{
    char dir[4096];
    snprintf(dir, sizeof(dir), "%s", t->s->plugin);
    if (strrchr(dir, '/'))
        *strrchr(dir, '/') = '\0';
    for (uint32_t k = VC_KIND_HYPERVISOR; k <= VC_KIND_NETWORK; k++)
        if (!strcmp(base_name(dir), kind_names[k]))
            return k;
    return 0;
}

/* A table that is no good may be that of another kind: what the descriptor says, and what speaks against it. */
static const char *kind_hint(struct vct *t, const struct vc_plugin *p)
{
    static char text[400];
    uint32_t size = *(const uint32_t *)p->ops, dir = kind_of_directory(t);
    int wrong_size = !KNOWN(p->kind) || size != kind_sizes[p->kind], wrong_dir = dir && dir != p->kind;
    if (!wrong_size && !wrong_dir)
        return "";
    size_t n = (size_t)snprintf(text, sizeof(text), " (vc_plugin.kind is %u, %s", p->kind,
                                KNOWN(p->kind) ? kind_names[p->kind] : "which is no kind");
    if (wrong_dir)
        n += (size_t)snprintf(text + n, sizeof(text) - n, ", and the file lies in the directory \"%s\"", kind_names[dir]);
    const char *sep = "; that is the size of the table of kind ";
    for (uint32_t k = VC_KIND_HYPERVISOR; k <= VC_KIND_NETWORK; k++)
        if (wrong_size && k != p->kind && kind_sizes[k] == size) {
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", sep, kind_names[k]);
            sep = " or ";
        }
    snprintf(text + n, sizeof(text) - n, ")"); /* there is room for all of it */
    return text;
}

/* More than the contract has for this kind at its own minor: nothing but another kind's table is so long. */
static void must_not_be_longer(struct vct *t, const struct vc_plugin *p)
{
    uint32_t size = *(const uint32_t *)p->ops;
    VCT_MUST(t, p->abi_minor > VC_ABI_MINOR || size <= kind_sizes[p->kind],
             "the size of the kind's table (vc_plugin.ops) is %u, and kind %s has %zu bytes at minor %u%s", size,
             kind_names[p->kind], kind_sizes[p->kind], p->abi_minor, kind_hint(t, p));
}

/* No pointer of what stands behind a table may be followed. */
static void texts_must_be_static(struct vct *t, const struct vc_plugin *p)
{
    const char *const own[] = { p->name, p->vendor, p->version, p->description };
    static const char *const own_names[] = { "name", "vendor", "version", "description" };
    static const char *const row_names[] = { "key", "def", "choices", "doc" };
    for (size_t k = 0; k < 4; k++)
        VCT_HOLD(t, vct_static_text(own[k]), "vc_plugin.%s leads to no text of a loaded file; texts are static data",
                 own_names[k]);
    for (uint32_t i = 0; i < p->n_options; i++) {
        const struct vc_option *o = (const void *)((const char *)p->options + (size_t)i * p->option_stride);
        const char *const row[] = { o->key, o->def, o->choices, o->doc };
        for (size_t k = 0; k < 4; k++)
            VCT_HOLD(t, vct_static_text(row[k]),
                     "`%s` of option %u (vc_plugin.n_options is %u) leads to no text of a loaded file: is n_options the "
                     "number of rows, and option_stride the size of one?",
                     row_names[k], i, p->n_options);
    }
}

static void run_l6(struct vct *t)
{
    const struct vc_plugin *p = vct_open(t);
    must_be_static(t, "vc_plugin", p, 4 * sizeof(uint32_t)); /* what must be readable to know the rest */
    must_fit(t, "vc_plugin.size", p, p->size, END_OF(struct vc_plugin, ops), "");
    VCT_HOLD(t, p->inst, "vc_plugin.inst is NULL; it has to lead to a struct vc_inst_ops");
    VCT_HOLD(t, p->ops, "vc_plugin.ops is NULL; it has to lead to the table of the kind");
    VCT_HOLD(t, KNOWN(p->kind), "vc_plugin.kind is %u; 1 to 5 are kinds",
             p->kind);
    must_be_static(t, "vc_plugin.inst", p->inst, sizeof(uint32_t));
    must_fit(t, "vc_inst_ops.size", p->inst, p->inst->size, END_OF(struct vc_inst_ops, ext), "");
    must_be_static(t, "vc_plugin.ops", p->ops, sizeof(uint32_t));
    must_fit(t, "the size of the kind's table (vc_plugin.ops)", p->ops, *(const uint32_t *)p->ops,
             ops_size_of(p->kind), kind_hint(t, p));
    must_not_be_longer(t, p);
    VCT_HOLD(t, !p->n_options || p->options,
             "vc_plugin.options is NULL, and n_options is %u; 0 is right without a table", p->n_options);
    if (!p->n_options) {
        texts_must_be_static(t, p);
        return;
    }
    VCT_HOLD(t,
             p->option_stride >= END_OF(struct vc_option, doc) && p->option_stride <= TABLE_MAX &&
                 p->option_stride % sizeof(void *) == 0,
             "vc_plugin.option_stride is %u; sizeof (struct vc_option), %zu, is right", p->option_stride,
             sizeof(struct vc_option));
    VCT_HOLD(t, p->n_options <= 1024, "vc_plugin.n_options is %u; at most 1024 are possible", p->n_options);
    must_be_static(t, "vc_plugin.options", p->options, (size_t)p->n_options * p->option_stride);
    texts_must_be_static(t, p);
}

static uint64_t mix(uint64_t sum, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ ((const unsigned char *)data)[i]) * UINT64_C(1099511628211);
    return sum;
}

static uint64_t mix_text(uint64_t sum, const char *text)
{
    return text ? mix(sum, text, strlen(text) + 1) : mix(sum, "", 1);
}

enum { SUM_DESC, SUM_INST, SUM_OPS, SUM_OPTIONS, SUM_TEXTS, N_SUMS };
static const char *const sum_names[] = { "the descriptor vc_plugin_entry", "the table vc_plugin.inst",
                                         "the table vc_plugin.ops", "the option table",
                                         "a text of the descriptor or of an option" };

static void sum_tables(struct vct *t, uint64_t sums[N_SUMS])
{
    const struct vc_plugin *p = t->plugin;
    const uint64_t start = UINT64_C(14695981039346656037);
    sums[SUM_DESC] = mix(start, p, p->size);
    sums[SUM_INST] = mix(start, p->inst, p->inst->size);
    sums[SUM_OPS] = mix(start, p->ops, *(const uint32_t *)p->ops);
    sums[SUM_OPTIONS] = mix(start, p->options, (size_t)p->n_options * p->option_stride);
    uint64_t s = mix_text(mix_text(mix_text(mix_text(start, p->name), p->vendor), p->version), p->description);
    for (uint32_t i = 0; i < p->n_options; i++) {
        const struct vc_option *o = (const void *)((const char *)p->options + (size_t)i * p->option_stride);
        s = mix_text(mix_text(mix_text(mix_text(s, o->key), o->def), o->choices), o->doc);
    }
    sums[SUM_TEXTS] = s;
}

static void run_l7(struct vct *t)
{
    uint64_t before[N_SUMS], after[N_SUMS];
    sum_tables(t, before);
    vct_story(t);
    sum_tables(t, after);
    for (int i = 0; i < N_SUMS; i++)
        VCT_MUST(t, before[i] == after[i],
                 "%s is not what it was before the plugin was used; hosts copy it once and never look again",
                 sum_names[i]);
}

static void run_l8(struct vct *t)
{
    const struct vc_plugin *p = vct_open(t);
    const struct {
        const char *name, *text;
    } texts[] = {
        { "name", p->name }, { "vendor", p->vendor }, { "version", p->version }, { "description", p->description }
    };
    for (size_t i = 0; i < 4; i++) {
        VCT_HOLD(t, texts[i].text, "vc_plugin.%s is NULL; it has to be a line of text", texts[i].name);
        size_t len = strnlen(texts[i].text, 1025);
        VCT_HOLD(t, len > 0 && len <= 1024, "vc_plugin.%s has %s; 1 to 1024 bytes are right", texts[i].name,
                 len ? "more than 1024 bytes" : "0 bytes");
        VCT_HOLD(t, vcs_utf8_line(texts[i].text, len),
                 "vc_plugin.%s holds a control byte or is not UTF-8; one line of text is right", texts[i].name);
    }
    size_t n = strlen(p->name);
    VCT_HOLD(t, n <= 32 && p->name[0] != '-' && strspn(p->name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n,
             "vc_plugin.name is \"%.64s\"; [a-z0-9][a-z0-9-]{0,31} is right", p->name);
    char want[64];
    snprintf(want, sizeof(want), "%s.so", p->name);
    VCT_HOLD(t, !strcmp(base_name(t->s->plugin), want),
             "the file is called \"%s\" and vc_plugin.name is \"%s\": the file has to be called \"%s\"",
             base_name(t->s->plugin), p->name, want);
    struct stat st;
    VCT_MUST(t, stat(t->s->plugin, &st) == 0, "%s cannot be looked at: %s", t->s->plugin, strerror(errno));
    VCT_HOLD(t, !(st.st_mode & S_IWOTH), "%s is writable by everybody (mode %04o): hosts refuse it; chmod go-w",
             t->s->plugin, (unsigned)st.st_mode & 07777);
    if (st.st_mode & S_IWGRP)
        vct_warn(t, "%s is writable by its group (mode %04o): where it is installed hosts refuse that; chmod go-w",
                 t->s->plugin, (unsigned)st.st_mode & 07777);
    VCT_HOLD(t, p->kind >= 1 && p->kind <= 5, "vc_plugin.kind is %u; 1 to 5 are kinds", p->kind);
    uint32_t dir = kind_of_directory(t);
    VCT_HOLD(t, !dir || dir == p->kind,
             "the file lies in the directory \"%s\" and vc_plugin.kind is %u (%s): no host will take it there",
             kind_names[dir], p->kind, kind_names[p->kind]);
    VCT_HOLD(t, p->state_version_min <= p->state_version,
             "vc_plugin.state_version is %u and state_version_min is %u: it cannot read what it writes",
             p->state_version, p->state_version_min);
}

static void run_l9(struct vct *t)
{
    const struct vc_plugin *p = t->plugin;
    uint32_t head[2];
    memcpy(head, p->ops, sizeof(head));
    VCT_HOLD(t, !(p->caps_max >> 48), "vc_plugin.caps_max is 0x%" PRIx64 "; bits 48 to 63 must be 0", p->caps_max);
    if (p->abi_minor > VC_ABI_MINOR)
        vct_skip(t, "the plugin is of minor %u, this tool knows the bits of minor %u", p->abi_minor, VC_ABI_MINOR);
    VCT_HOLD(t, !(p->caps_max & ~t->kind->caps_known),
             "vc_plugin.caps_max has the bits 0x%" PRIx64 ", which minor %u of the contract "
             "does not know for kind %s; 0x%" PRIx64 " are known",
             p->caps_max & ~t->kind->caps_known, p->abi_minor, t->kind->name, t->kind->caps_known);
    VCT_HOLD(t, !p->reserved && !p->inst->reserved && !head[1], "%s.reserved is not 0",
             p->reserved         ? "vc_plugin"
             : p->inst->reserved ? "vc_inst_ops"
                                 : "the `reserved` of the kind's table, vc_plugin.ops");
}

/* Members and the capabilities they belong to. */
struct member {
    const char *name;
    size_t offset;
    uint64_t cap;    /* goes with this bit; 0: always needed, but see `unless` */
    uint64_t unless; /* not needed with this bit */
};
#define MUST(T, m)                                                                                                     \
    {                                                                                                                  \
#m, offsetof(struct T, m), 0, 0                                                                                \
    }
#define WITH(T, m, c)                                                                                                  \
    {                                                                                                                  \
#m, offsetof(struct T, m), c, 0                                                                                \
    }
#define UNLESS(T, m, c)                                                                                                \
    {                                                                                                                  \
#m, offsetof(struct T, m), 0, c                                                                                \
    }
static const struct member inst_members[] = { MUST(vc_inst_ops, create),  MUST(vc_inst_ops, restore),
                                              MUST(vc_inst_ops, save),    MUST(vc_inst_ops, check),
                                              MUST(vc_inst_ops, cleanup), MUST(vc_inst_ops, close),
                                              MUST(vc_inst_ops, caps),    { 0 } };
static const struct member hypervisor_members[] = { MUST(vc_hypervisor_ops, vm_create),
                                                    MUST(vc_hypervisor_ops, vm_start),
                                                    MUST(vc_hypervisor_ops, vm_stop),
                                                    MUST(vc_hypervisor_ops, vm_state),
                                                    MUST(vc_hypervisor_ops, agent_endpoint),
                                                    MUST(vc_hypervisor_ops, console),
                                                    MUST(vc_hypervisor_ops, pids),
                                                    WITH(vc_hypervisor_ops, device_add, VC_HV_CAP_HOTPLUG),
                                                    WITH(vc_hypervisor_ops, device_del, VC_HV_CAP_HOTPLUG),
                                                    WITH(vc_hypervisor_ops, vm_pause, VC_HV_CAP_PAUSE),
                                                    WITH(vc_hypervisor_ops, vm_resume, VC_HV_CAP_PAUSE),
                                                    WITH(vc_hypervisor_ops, resize, VC_HV_CAP_RESIZE),
                                                    { 0 } };
static const struct member agent_members[] = { MUST(vc_agent_ops, connect),
                                               MUST(vc_agent_ops, disconnect),
                                               MUST(vc_agent_ops, ping),
                                               MUST(vc_agent_ops, sandbox_create),
                                               MUST(vc_agent_ops, sandbox_destroy),
                                               MUST(vc_agent_ops, ctr_create),
                                               MUST(vc_agent_ops, ctr_start),
                                               MUST(vc_agent_ops, ctr_remove),
                                               MUST(vc_agent_ops, exec),
                                               MUST(vc_agent_ops, signal),
                                               MUST(vc_agent_ops, wait),
                                               UNLESS(vc_agent_ops, tty_resize, VC_AG_CAP_NO_GUEST),
                                               WITH(vc_agent_ops, stdio, VC_AG_CAP_STDIO),
                                               WITH(vc_agent_ops, ps, VC_AG_CAP_PS),
                                               WITH(vc_agent_ops, net_update, VC_AG_CAP_NET),
                                               WITH(vc_agent_ops, stats, VC_AG_CAP_STATS),
                                               WITH(vc_agent_ops, ctr_pause, VC_AG_CAP_PAUSE),
                                               WITH(vc_agent_ops, ctr_resume, VC_AG_CAP_PAUSE),
                                               WITH(vc_agent_ops, ctr_update, VC_AG_CAP_UPDATE),
                                               WITH(vc_agent_ops, settle, VC_AG_CAP_TEMPLATE),
                                               WITH(vc_agent_ops, renew, VC_AG_CAP_TEMPLATE),
                                               WITH(vc_agent_ops, online, VC_AG_CAP_ONLINE),
                                               { 0 } };
static const struct member proxy_members[] = {
    MUST(vc_proxy_ops, start), MUST(vc_proxy_ops, stop), MUST(vc_proxy_ops, status), { 0 }
};
static const struct member shim_members[] = {
    MUST(vc_shim_ops, start), MUST(vc_shim_ops, stop), MUST(vc_shim_ops, status),
    WITH(vc_shim_ops, attach, VC_SHIM_CAP_ATTACH), { 0 }
};
static const struct member network_members[] = { MUST(vc_network_ops, setup),
                                                 MUST(vc_network_ops, teardown),
                                                 UNLESS(vc_network_ops, scan, VC_NET_CAP_NONE),
                                                 UNLESS(vc_network_ops, attach, VC_NET_CAP_NONE),
                                                 UNLESS(vc_network_ops, detach, VC_NET_CAP_NONE),
                                                 UNLESS(vc_network_ops, guest_config, VC_NET_CAP_NONE),
                                                 { 0 } };
static const struct member *const members_of[] = { NULL,          hypervisor_members, agent_members,
                                                   proxy_members, shim_members,       network_members };

static int has_member(const void *ops, uint32_t size, const struct member *m)
{
    void (*fn)(void) = NULL;
    if (size >= m->offset + sizeof(fn))
        memcpy(&fn, (const char *)ops + m->offset, sizeof(fn));
    return fn != NULL;
}

/* What hosts refuse, and afterwards what they do not mind. */
static void look_at_members(struct vct *t, const char *table, const void *ops, uint32_t size, const struct member *all,
                            uint64_t caps, const char *hint)
{
    for (const struct member *m = all; m->name; m++) {
        if (has_member(ops, size, m))
            continue;
        if (!m->cap && !(m->unless & caps))
            vct_refuse(t, "%s.%s is NULL; it is a required member%s", table, m->name, hint);
        if (m->cap & caps)
            vct_refuse(t, "%s.%s is NULL, and caps_max has the bit 0x%" PRIx64 " that promises it", table, m->name,
                       m->cap);
    }
    for (const struct member *m = all; m->name; m++)
        if (m->cap && !(m->cap & caps) && has_member(ops, size, m))
            vct_fail(t, "%s.%s is there, and caps_max lacks its bit 0x%" PRIx64 ": no host will ever call it", table,
                     m->name, m->cap);
}

static void run_l10(struct vct *t)
{
    static const char *const tables[] = {
        "", "vc_hypervisor_ops", "vc_agent_ops", "vc_proxy_ops", "vc_shim_ops", "vc_network_ops"
    };
    const struct vc_plugin *p = vct_open(t);
    VCT_HOLD(t, p->inst && p->ops && KNOWN(p->kind), "vc_plugin.kind, inst or ops is missing");
    look_at_members(t, "vc_inst_ops", p->inst, p->inst->size, inst_members, p->caps_max, "");
    look_at_members(t, tables[p->kind], p->ops, *(const uint32_t *)p->ops, members_of[p->kind], p->caps_max,
                    kind_hint(t, p));
}

/* ---- loading ---- */

static void must_be_same(struct vct *t, struct vct_snap *before, const char *what)
{
    struct vct_snap *after = vct_snap();
    const char *diff = before && after ? vct_snap_diff(before, after, VCT_SNAP_ALL) : "";
    vct_snap_free(before);
    vct_snap_free(after);
    VCT_MUST(t, !*diff, "%s leaves a trace: %s", what, diff);
}

static void run_load(struct vct *t, const struct vc_plugin *p)
{
    if (p->size < END_OF(struct vc_plugin, load) || !p->load)
        return;
    int r = VCT(t, p->load, vct_process_host(t), vct_call(t, 0)->err);
    VCT_HOLD(t, r == VC_OK, "load answers %s (%s)", vct_code(r), t->err.text);
}

static void run_l11(struct vct *t)
{
    char text[256] = "";
    struct vct_snap *before = vct_snap();
    const struct vc_plugin *p = vct_open(t);
    must_be_same(t, before, "loading the file (its constructors)");
    before = vct_snap();
    run_load(t, p);
    must_be_same(t, before, "load");
    size_t n = vct_output(t, text, sizeof(text));
    VCT_MUST(t, n == 0, "loading it writes %zu bytes to standard output or error: \"%.100s\"; nothing is right", n,
             text);
    VCT_MUST(t, !vct_forbidden(), "while it was loaded: %s", vct_forbidden());
}

static void run_l12(struct vct *t)
{
    int64_t start = vcs_now_ns();
    const struct vc_plugin *p = vct_open(t);
    run_load(t, p);
    double ms = (double)(vcs_now_ns() - start) / 1e6;
    vct_note(t, "loaded in %.2f ms", ms);
    if (ms > 100)
        vct_warn(t, "loading it takes %.0f ms; below 100 ms is right: every command that opens a pod pays it", ms);
}

struct pairs {
    const char *path;
    const void *entry;
    int n, unmatched;
    char why[256];
};

/* Open and close it so often; the entry must be found each time. */
static void *open_and_close(void *arg)
{
    struct pairs *p = arg;
    for (int i = 0; i < p->n; i++) {
        void *lib = dlopen(p->path, RTLD_NOW | RTLD_LOCAL);
        if (!lib || !dlsym(lib, VC_PLUGIN_SYMBOL)) {
            snprintf(p->why, sizeof(p->why), "time %d fails: %s", i + 1, dlerror());
            return NULL;
        }
        p->entry = dlsym(lib, VC_PLUGIN_SYMBOL);
        if (!p->unmatched)
            dlclose(lib);
    }
    return NULL;
}

static void run_l13(struct vct *t)
{
    struct pairs first = { .path = t->s->plugin, .n = 1 }, here = { .path = t->s->plugin, .n = 50 };
    struct pairs there = here, more = { .path = t->s->plugin, .n = 5, .unmatched = 1 };
    pthread_t thread;
    vct_enter(t, "dlopen and dlclose");
    open_and_close(&first); /* what it needs of the system once */
    vct_leave(t, 0);
    struct vct_snap *before = vct_snap();
    vct_enter(t, "dlopen and dlclose, 50 times");
    open_and_close(&here);
    vct_leave(t, 0);
    vct_enter(t, "dlopen and dlclose, 50 times on another thread");
    if (pthread_create(&thread, NULL, open_and_close, &there) == 0)
        pthread_join(thread, NULL);
    vct_leave(t, 0);
    vct_enter(t, "dlopen without dlclose");
    open_and_close(&more);
    vct_leave(t, 0);
    const char *why = first.why[0] ? first.why : here.why[0] ? here.why : there.why[0] ? there.why : more.why;
    if (*why)
        vct_snap_free(before);
    VCT_MUST(t, !*why, "opening the file again and again: %s", why);
    must_be_same(t, before, "opening and closing the file 100 times");
    vct_load(t);
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_walk_whole(pod, "after it was opened and closed 100 times");
    vct_pod_free(pod);
}

/* ---- hosts of another age ---- */

#define HOST_MINOR_0 END_OF(struct vc_host, ext)
#define NEWER_TAIL   256

/* Pages of which the last cannot be touched; *ret_end is its address. */
static void *guarded(struct vct *t, size_t need, char **ret_end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), len = (need + page - 1) / page * page;
    char *mem = mmap(NULL, len + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mem == MAP_FAILED || mprotect(mem + len, page, PROT_NONE) < 0)
        vct_skip(t, "no memory can be mapped: %s", strerror(errno));
    *ret_end = mem + len;
    return mem;
}

/* A whole life with a host table that ends where memory ends. */
static void life_at_edge(struct vct *t, uint32_t minor, size_t size, const char *when)
{
    char *end;
    guarded(t, size, &end);
    vc_host *table = (vc_host *)(end - size);
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    memcpy(table, &pod->host, size);
    table->size = (uint32_t)size;
    table->abi_minor = minor;
    mprotect((char *)((uintptr_t)table & ~(uintptr_t)(sysconf(_SC_PAGESIZE) - 1)), 1, PROT_READ);
    pod->table = table;
    vct_walk_whole(pod, when);
    vct_pod_free(
        pod); /* the pages stay: a thread that still reads there is the plugin's fault, but no reason to crash twice */
}

static void run_l14(struct vct *t)
{
    life_at_edge(t, 0, HOST_MINOR_0, "with the table of a host of minor 0");
}

static void run_l15(struct vct *t)
{
    struct {
        vc_host now;
        unsigned char tail[NEWER_TAIL];
    } newer;
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    memset(&newer, 0x5a, sizeof(newer));
    newer.now = pod->host;
    newer.now.size = sizeof(newer);
    newer.now.abi_minor = VC_ABI_MINOR + 7;
    pod->table = &newer.now;
    vct_walk_whole(pod, "with a host of a later minor, whose table is longer");
    for (size_t i = 0; i < NEWER_TAIL; i++)
        VCT_MUST(t, newer.tail[i] == 0x5a,
                 "the plugin wrote into the host's table, %zu bytes behind what its minor knows", i);
    vct_pod_free(pod);
}

static void run_l16(struct vct *t)
{
    vc_host table;
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    table = pod->host;
    table.ext = NULL;
    pod->table = &table;
    vct_walk_whole(pod, "with a host whose `ext` is NULL");
    vct_pod_free(pod);
    pod = vct_pod_new(t, NULL, 0);
    pod->host.name = pod->host.version = "";
    vct_walk_whole(pod, "with a host that knows no extension and has no name");
    vct_note(t, "of struct vc_host only `ext` may be missing; all other services of minor 0 are always there");
    vct_pod_free(pod);
}

static void run_l17(struct vct *t)
{
    uint32_t minor = t->plugin->min_host_minor;
    VCT_MUST(t, minor <= VC_ABI_MINOR,
             "vc_plugin.min_host_minor is %u; this tool is a host of minor %u and cannot be that", minor, VC_ABI_MINOR);
    char when[96];
    snprintf(when, sizeof(when), "with a host of minor %u, which is the plugin's min_host_minor", minor);
    vc_host table;
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    table = pod->host;
    table.size = HOST_MINOR_0; /* no later minor has appended anything so far */
    table.abi_minor = minor;
    pod->table = &table;
    vct_walk_whole(pod, when);
    vct_pod_free(pod);
}

/* A second copy of the file; its path. */
static char *copy_file(struct vct *t)
{
    char *path = NULL, *data = NULL, dir[4096];
    size_t n = 0;
    snprintf(dir, sizeof(dir), "%s/second", t->s->scratch);
    int r = asprintf(&path, "%s/%s", dir, base_name(t->s->plugin)) < 0 ? -ENOMEM : 0;
    mkdir(dir, 0700);
    if (r == 0)
        r = vcs_read_file(AT_FDCWD, t->s->plugin, 256u << 20, &data, &n);
    if (r == 0)
        r = vcs_write_file_atomic(AT_FDCWD, path, data, n, 0700, 0);
    free(data);
    if (r < 0)
        vct_skip(t, "the file cannot be copied to %s: %s", dir, strerror(-r));
    return path;
}

/* From now on all calls go to the copy at that path. */
static void use_copy(struct vct *t, struct vct_settings *s, char *path)
{
    s->plugin = path;
    t->s = s;
    t->plugin = NULL;
    vct_load(t);
}

static void step_of(struct vct *t, struct vct_walk *w, const char *what, int r)
{
    VCT_MUST(t, r == VC_OK, "with two copies of the file in one process, %s of the %s copy answers %s (%s)", w->step,
             what, vct_code(r), t->err.text);
}

static void run_l18(struct vct *t)
{
    static const char *const names[] = { "first", "second" };
    const struct vct_settings *old = t->s;
    const struct vc_plugin *first = t->plugin;
    static struct vct_settings s; /* a finding leaves it in use */
    s = *t->s;
    char *paths[2] = { t->s->plugin, copy_file(t) };
    struct vct_walk w[2];
    for (int i = 0; i < 2; i++) {
        use_copy(t, &s, paths[i]);
        VCT_MUST(t, i == 0 || t->plugin != first,
                 "a second copy of the file has no entry of its own: \"" VC_PLUGIN_SYMBOL "\" is "
                 "bound to the first one");
        w[i] = (struct vct_walk){ .pod = vct_pod_new(t, NULL, 0) };
        step_of(t, &w[i], names[i], vct_walk_to(&w[i], VCT_ST_UP));
    }
    for (int i = 0; i < 2; i++) {
        use_copy(t, &s, paths[i]);
        w[i].step = "save";
        w[i].op = NULL;
        step_of(t, &w[i], names[i], vct_walk_step(&w[i]));
        vct_walk_done(&w[i]);
        vct_walk_end(w[i].pod, "with two copies of the file in one process");
        vct_pod_free(w[i].pod);
    }
    t->s = old;
    free(paths[1]);
}

/* ---- the group ---- */

const struct vct_check vct_checks_load[] = {
    { "L1", "plugin.h vc_plugin", VCT_ANY_KIND, VCT_QUICK, VCT_RAW | VCT_NEEDS_OPEN,
      "the fixed fields are data in the file and stay what they are there",
      "Tools list plugins and refuse foreign ones by reading the file, without running any code of it. Numbers that a "
      "constructor fills in are not there yet.",
      "Define vc_plugin_entry as a constant with the macros of vc/plugin.h, and change nothing of it at run time.",
      run_l1 },
    { "L2", "plugin.h: exactly one symbol", VCT_ANY_KIND, VCT_QUICK, VCT_RAW | VCT_NEEDS_FILE,
      "the only exported symbol is vc_plugin_entry",
      "Two plugins that export the same helper can get each other's: whoever was loaded first wins, and the other "
      "crashes.",
      "Compile with -fvisibility=hidden and link with a version script: { global: vc_plugin_entry; local: *; };",
      run_l2 },
    { "L3", "manual 16 (one symbol)", VCT_ANY_KIND, VCT_QUICK, VCT_RAW | VCT_NEEDS_FILE,
      "RELRO, full binding, no executable stack, no text relocations",
      "A plugin runs in a process with root's rights. Without these its function tables can be overwritten, and a "
      "missing function ends the process in the middle of a pod's life.",
      "Compile with -fPIC and link with -Wl,-z,relro,-z,now,-z,noexecstack,-z,defs.", run_l3 },
    { "L4", "plugin.h: links to nothing of the host", VCT_ANY_KIND, VCT_QUICK, VCT_RAW | VCT_NEEDS_FILE,
      "it does not need libvccore, and no RUNPATH that others can fill",
      "A plugin that links to one host works in that one only, and drags a second copy into others. A relative or "
      "writable RUNPATH lets others put code into the process.",
      "Do not link with -lvccore: use struct vc_host. Remove -rpath, or give an absolute directory that only root can "
      "write to.",
      run_l4 },
    { "L5", "manual 17, R2, R9", VCT_ANY_KIND, VCT_QUICK, VCT_RAW | VCT_NEEDS_OPEN,
      "magic, major and min_host_minor are those of this contract",
      "These numbers are all that a host has to tell whether it may use the rest.",
      "Take VC_PLUGIN_MAGIC, VC_ABI_MAJOR and VC_ABI_MINOR of the headers; min_host_minor is the lowest minor it "
      "really works with.",
      run_l5 },
    { "L6", "manual 17, R4", VCT_ANY_KIND, VCT_QUICK, VCT_RAW | VCT_NEEDS_HEAD, "sizes, tables and texts are possible and lie in segments of the file",
      "Hosts copy so many bytes as `size` says and read n_options rows. Too small a size loses members; too large a size or "
      "count crashes the host, or makes it refuse the plugin.",
      "Write .size = sizeof (the struct), .n_options = sizeof (rows) / sizeof (rows[0]) and the .kind that the table is of, "
      "and keep tables and texts static and constant.", run_l6 },
    { "L7", "plugin.h: ownership (1)", VCT_ANY_KIND, VCT_FULL, 0,
      "descriptor and tables are the same after a whole life",
      "Hosts look at the tables once; a change later is seen by some hosts and not by others.",
      "Declare descriptor, tables and options const. What changes belongs into the instance.", run_l7 },
    { "L8", "plugin.h vc_plugin", VCT_ANY_KIND, VCT_QUICK, VCT_RAW | VCT_NEEDS_TABLES,
      "name, kind and texts are valid and match file and directory",
      "Hosts look for PLUGINROOT/KIND/NAME.so and refuse a file that calls itself otherwise; texts are shown on "
      "terminals.",
      "Call the file after .name, install it in the directory of its kind, and keep texts to one line of UTF-8.",
      run_l8 },
    { "L9", "manual 17, R12", VCT_ANY_KIND, VCT_QUICK, VCT_NEEDS_LOAD, "caps_max has known bits only, and reserved members are 0",
      "Bits that mean nothing today will mean something in a later minor: the plugin would then promise what it does "
      "not have.",
      "Use the VC_*_CAP_* macros of the kind's header, and leave reserved members out of the initialisers.", run_l9 },
    { "L10", "manual 17, R12", VCT_ANY_KIND, VCT_QUICK, VCT_RAW | VCT_NEEDS_TABLES,
      "required members are there; members and capabilities go together",
      "A host calls what the bits promise without looking again; what has no bit is never called.",
      "Set every required member, and the others and their capability bits both or neither.", run_l10 },
    { "L11", "plugin.h vc_plugin.load", VCT_ANY_KIND, VCT_QUICK, VCT_RAW | VCT_NEEDS_LOAD,
      "constructors and load leave no trace in the process",
      "Listing plugins loads them all: whatever each does to the process, it does to programs that never use it.",
      "Do nothing in constructors; open descriptors and make threads in create at the earliest.", run_l11 },
    { "L12", "plugin.h vc_plugin.load", VCT_ANY_KIND, VCT_QUICK, VCT_RAW | VCT_NEEDS_LOAD, "loading takes less than 100 ms",
      "Every command that touches a pod loads its plugins again.",
      "Link fewer libraries, and move work from constructors and load to the call that needs it.", run_l12 },
    { "L13", "plugin.h: for the life of the process", VCT_ANY_KIND, VCT_FULL, VCT_RAW,
      "opening and closing the file 100 times does no harm",
      "Hosts and tools open plugins more than once, also from several threads, and some close them again.",
      "Link with -z nodelete, and keep no constructor or destructor that adds something each time.", run_l13 },
    { "L14", "manual 17, R5", VCT_ANY_KIND, VCT_FULL, 0, "it does not read behind the table of a host of minor 0",
      "A host that is older than the plugin has a shorter table; behind it is other memory, or none.",
      "Use a host member of a later minor only after VC_HAS (vc_host, host, MEMBER).", run_l14 },
    { "L15", "manual 17, R2, R5", VCT_ANY_KIND, VCT_FULL, 0, "it works with a newer host, whose table is longer",
      "Hosts are upgraded before plugins are. A later minor only appends.",
      "Never compare host->size or abi_minor for equality, and do not copy the table by its size.", run_l15 },
    { "L16", "host.h ext", VCT_ANY_KIND, VCT_FULL, 0, "it works where the optional service is NULL",
      "`ext` is for optional services: a small host has none, and says so by NULL, as the member or as its answer.",
      "Ask VC_HAS (vc_host, host, ext) first, and do without what ext does not give.", run_l16 },
    { "L17", "manual 17, R9", VCT_ANY_KIND, VCT_FULL, 0, "a whole life works at a host of minor min_host_minor",
      "min_host_minor is the plugin's promise to old hosts; a host of that minor takes it at its word.",
      "Raise min_host_minor, or do without what the older host lacks.", run_l17 },
    { "L18", "plugin.h: different instances", VCT_ANY_KIND, VCT_FULL, 0,
      "two copies of the file in one process keep their states apart",
      "A test version beside the installed one, or one plugin under two names, is loaded twice in one process.",
      "Keep state in the instance; name sockets, files and shared memory after the pod, not after the plugin.",
      run_l18 },
    { 0 }
};
