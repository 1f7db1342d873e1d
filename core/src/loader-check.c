/* SPDX-License-Identifier: Apache-2.0 */
/* loader-check.c: the rules a plugin's tables must keep before any of its code is called. */
#include "loader-check.h"

#include <link.h>
#include <string.h>

#include "conf-impl.h"
#include "lib/utf8.h"

/* clang-format off */
#define TABLE_MAX 65536u
#define OPTIONS_MAX 1024u
#define END_OF(T, last) (offsetof(T, last) + sizeof(((T *)0)->last)) /* size of a table as minor 0 had it */

struct member {
    const char *name;
    size_t offset;
    uint64_t cap;    /* needed when caps_max has this bit; 0 = always */
    uint64_t unless; /* not needed when caps_max has this bit */
};
#define MUST(T, m) { #m, offsetof(T, m), 0, 0 }
#define WITH(T, m, cap) { #m, offsetof(T, m), cap, 0 }
#define UNLESS(T, m, cap) { #m, offsetof(T, m), 0, cap }

typedef struct vc_inst_ops inst_t;
typedef struct vc_hypervisor_ops hv_t;
typedef struct vc_agent_ops ag_t;
typedef struct vc_proxy_ops px_t;
typedef struct vc_shim_ops sh_t;
typedef struct vc_network_ops nw_t;

static const struct member inst_members[] = {
    MUST(inst_t, create), MUST(inst_t, restore), MUST(inst_t, save), MUST(inst_t, check),
    MUST(inst_t, cleanup), MUST(inst_t, close), MUST(inst_t, caps),
};
static const struct member hypervisor_members[] = {
    MUST(hv_t, vm_create), MUST(hv_t, vm_start), MUST(hv_t, vm_stop), MUST(hv_t, vm_state), MUST(hv_t, agent_endpoint),
    MUST(hv_t, console), MUST(hv_t, pids),
    WITH(hv_t, device_add, VC_HV_CAP_HOTPLUG), WITH(hv_t, device_del, VC_HV_CAP_HOTPLUG),
    WITH(hv_t, vm_pause, VC_HV_CAP_PAUSE), WITH(hv_t, vm_resume, VC_HV_CAP_PAUSE),
    WITH(hv_t, resize, VC_HV_CAP_RESIZE),
};
static const struct member agent_members[] = {
    MUST(ag_t, connect), MUST(ag_t, disconnect), MUST(ag_t, ping), MUST(ag_t, sandbox_create), MUST(ag_t, sandbox_destroy),
    MUST(ag_t, ctr_create), MUST(ag_t, ctr_start), MUST(ag_t, ctr_remove), MUST(ag_t, exec), MUST(ag_t, signal),
    MUST(ag_t, wait),
    UNLESS(ag_t, tty_resize, VC_AG_CAP_NO_GUEST),
    WITH(ag_t, stdio, VC_AG_CAP_STDIO), WITH(ag_t, ps, VC_AG_CAP_PS), WITH(ag_t, net_update, VC_AG_CAP_NET),
    WITH(ag_t, stats, VC_AG_CAP_STATS), WITH(ag_t, ctr_pause, VC_AG_CAP_PAUSE), WITH(ag_t, ctr_resume, VC_AG_CAP_PAUSE),
    WITH(ag_t, ctr_update, VC_AG_CAP_UPDATE),
    WITH(ag_t, settle, VC_AG_CAP_TEMPLATE), WITH(ag_t, renew, VC_AG_CAP_TEMPLATE), WITH(ag_t, online, VC_AG_CAP_ONLINE),
};
static const struct member proxy_members[] = { MUST(px_t, start), MUST(px_t, stop), MUST(px_t, status) };
static const struct member shim_members[] = { MUST(sh_t, start), MUST(sh_t, stop), MUST(sh_t, status),
                                              WITH(sh_t, attach, VC_SHIM_CAP_ATTACH) };
static const struct member network_members[] = {
    MUST(nw_t, setup), MUST(nw_t, teardown), UNLESS(nw_t, scan, VC_NET_CAP_NONE), UNLESS(nw_t, attach, VC_NET_CAP_NONE),
    UNLESS(nw_t, detach, VC_NET_CAP_NONE), UNLESS(nw_t, guest_config, VC_NET_CAP_NONE),
};

static const struct kind_rules {
    const struct member *members;
    size_t n, min_size, size;
    uint64_t caps; /* bits that this minor knows */
} rules[] = {
    { 0 },
    { hypervisor_members, sizeof(hypervisor_members) / sizeof(struct member), END_OF(hv_t, resize), sizeof(hv_t),
      VC_HV_CAP_PAUSE | VC_HV_CAP_RESIZE | VC_HV_CAP_HOTPLUG | VC_HV_CAP_SHARE_9P | VC_HV_CAP_SHARE_FS |
          VC_HV_CAP_NO_GUEST | VC_HV_CAP_SHARE_BIND },
    { agent_members, sizeof(agent_members) / sizeof(struct member), END_OF(ag_t, ctr_update), sizeof(ag_t),
      VC_AG_CAP_NET | VC_AG_CAP_STATS | VC_AG_CAP_PAUSE | VC_AG_CAP_UPDATE | VC_AG_CAP_PS | VC_AG_CAP_NO_GUEST |
      VC_AG_CAP_STDIO | VC_AG_CAP_TEMPLATE | VC_AG_CAP_ONLINE },
    { proxy_members, sizeof(proxy_members) / sizeof(struct member), END_OF(px_t, status), sizeof(px_t), 0 },
    { shim_members, sizeof(shim_members) / sizeof(struct member), END_OF(sh_t, status), sizeof(sh_t),
      VC_SHIM_CAP_NONE | VC_SHIM_CAP_ATTACH },
    { network_members, sizeof(network_members) / sizeof(struct member), END_OF(nw_t, teardown), sizeof(nw_t),
      VC_NET_CAP_NONE },
};
/* clang-format on */

/* R4. */
static int check_size(const char *path, const char *what, uint32_t size, size_t min, vc_error **err)
{
    if (size < min || size > TABLE_MAX || size % sizeof(void *))
        return vci_fail(
            err, VC_ERR_INVAL, 0,
            "%s: the size of its %s is %u; it must be a multiple of %zu from %zu to %u: build it with the SDK's "
            "headers",
            path, what, size, sizeof(void *), min, TABLE_MAX);
    return 0;
}

struct place {
    uintptr_t at;
    size_t size;
    size_t left; /* how many bytes the segment has from there on */
    int found;
};

static int look_in(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct place *p = arg;
    (void)size;
    for (size_t i = 0; i < info->dlpi_phnum && !p->found; i++) {
        const ElfW(Phdr) *s = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + s->p_vaddr;
        p->found = s->p_type == PT_LOAD && (s->p_flags & PF_R) && p->at >= from && p->at - from <= s->p_memsz &&
                   p->size <= s->p_memsz - (p->at - from);
        if (p->found)
            p->left = s->p_memsz - (p->at - from);
    }
    return p->found;
}

/* A count or size that is too large leads out of the file, where nothing may be mapped. */
static int check_place(const char *path, const char *what, const void *at, size_t size, vc_error **err)
{
    struct place p = { (uintptr_t)at, size, 0, 0 };
    dl_iterate_phdr(look_in, &p);
    if (!p.found)
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "%s: its %s (%zu bytes) would end outside of the file: check size, count and address", path,
                        what, size);
    return 0;
}

/* Is it NULL, or a string that ends within the segment of a loaded file that it begins in? */
static int is_static_text(const char *text)
{
    struct place p = { (uintptr_t)text, 1, 0, 0 };
    if (!text)
        return 1;
    dl_iterate_phdr(look_in, &p);
    return p.found && memchr(text, '\0', p.left) != NULL;
}

/* A count or a stride that is too large makes rows of what stands behind the table: none of their pointers may be followed. */
static int check_option_texts(const char *path, const struct vc_option *o, uint32_t i, uint32_t n, vc_error **err)
{
    const char *const texts[] = { o->key, o->def, o->choices, o->doc };
    static const char *const labels[] = { "key", "def", "choices", "doc" };
    for (size_t k = 0; k < 4; k++)
        if (!is_static_text(texts[k]))
            return vci_fail(err, VC_ERR_INVAL, 0,
                            "%s: \"%s\" of option %u (of %u) leads to no text of a loaded file: check n_options, "
                            "option_stride and the row",
                            path, labels[k], i, n);
    return 0;
}

/* Copy what both sides know; the rest is zero. */
static void copy_table(void *dst, size_t dst_size, const void *src, uint32_t src_size)
{
    memcpy(dst, src, src_size < dst_size ? src_size : dst_size);
}

static int check_members(const char *path, const char *table, const void *ops, const struct member *m, size_t n,
                         uint64_t caps, vc_error **err)
{
    for (size_t i = 0; i < n; i++) {
        void (*fn)(void);
        memcpy(&fn, (const char *)ops + m[i].offset, sizeof(fn));
        if (fn || (m[i].cap && !(caps & m[i].cap)) || (m[i].unless && (caps & m[i].unless)))
            continue;
        if (m[i].cap)
            return vci_fail(err, VC_ERR_INVAL, 0, "%s: its capabilities promise the %s member \"%s\", which is missing",
                            path, table, m[i].name);
        return vci_fail(err, VC_ERR_INVAL, 0, "%s: the required %s member \"%s\" is missing", path, table, m[i].name);
    }
    return 0;
}

static int check_head(const char *path, const struct vc_plugin *d, vc_error **err)
{
    if (d->magic != VC_PLUGIN_MAGIC)
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "%s is no plugin of this project: it has the magic number 0x%08x, not 0x%08x", path, d->magic,
                        VC_PLUGIN_MAGIC);
    if (d->abi_major != VC_ABI_MAJOR)
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                        "%s was built for version %u of the plugin contract (abi_major); this library has version %u",
                        path, d->abi_major, VC_ABI_MAJOR);
    if (d->min_host_minor > VC_ABI_MINOR)
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                        "%s needs version %u.%u of the plugin contract (min_host_minor); this library has %u.%u", path,
                        VC_ABI_MAJOR, d->min_host_minor, VC_ABI_MAJOR, VC_ABI_MINOR);
    return check_size(path, "descriptor", d->size, END_OF(struct vc_plugin, ops), err);
}

/* What a person is shown must not play with a terminal. */
static int bad_text(const char *path, const char *what, vc_error **err)
{
    return vci_fail(err, VC_ERR_INVAL, 0,
                    "%s: its %s holds a control byte or is not UTF-8: it must be one line of text", path, what);
}

static int check_desc(const char *path, const struct vc_plugin *d, uint32_t kind, const char *name, vc_error **err)
{
    if (d->kind != kind)
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "%s calls itself a plugin of kind \"%s\" (%u), but it lies in the directory of \"%s\" (%u)",
                        path, vci_kind_name(d->kind), d->kind, vci_kind_name(kind), kind);
    const char *const texts[] = { d->name, d->vendor, d->version, d->description };
    static const char *const labels[] = { "name", "vendor", "version", "description" };
    for (size_t i = 0; i < 4; i++)
        if (!is_static_text(texts[i]))
            return vci_fail(err, VC_ERR_INVAL, 0, "%s: its %s leads to no text of a loaded file", path, labels[i]);
    for (size_t i = 0; i < 4; i++)
        if (!texts[i] || !texts[i][0] || strnlen(texts[i], 1025) > 1024)
            return vci_fail(err, VC_ERR_INVAL, 0, "%s: its %s is %s; it must have 1 to 1024 bytes", path, labels[i],
                            !texts[i]      ? "missing"
                            : !texts[i][0] ? "empty"
                                           : "longer than 1 KiB");
    for (size_t i = 0; i < 4; i++)
        if (!vcs_utf8_line(texts[i], strlen(texts[i])))
            return bad_text(path, labels[i], err);
    if (strcmp(d->name, name))
        return vci_fail(err, VC_ERR_INVAL, 0, "%s calls itself \"%s\": its name must be that of its file, \"%s\"", path,
                        d->name, name);
    if (d->caps_max >> 48)
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "%s: its capabilities (caps_max 0x%llx) have bits above 47, which must be 0", path,
                        (unsigned long long)d->caps_max);
    if (d->state_version_min > d->state_version)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s: it writes state version %u but reads only from version %u on", path,
                        d->state_version, d->state_version_min);
    if (!d->inst || !d->ops)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s: its table \"%s\" is missing", path, d->inst ? "ops" : "inst");
    return 0;
}

/* A plugin of this minor, or an older one, cannot mean what this host does not know. */
static int check_known(const char *path, const struct vci_plugin *p, uint64_t caps, vc_error **err)
{
    uint32_t ops_head[2]; /* of all kinds: size, reserved */
    memcpy(ops_head, &p->ops, sizeof(ops_head));
    if (p->desc.abi_minor > VC_ABI_MINOR)
        return 0;
    uint32_t found = p->desc.reserved ? p->desc.reserved : p->inst.reserved ? p->inst.reserved : ops_head[1];
    const char *where = p->desc.reserved ? "descriptor" : p->inst.reserved ? "table \"inst\"" : "table \"ops\"";
    if (found)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s: \"reserved\" of its %s is %u, not 0", path, where, found);
    if (p->desc.caps_max & ~caps)
        return vci_fail(
            err, VC_ERR_INVAL, 0,
            "%s: its capabilities (caps_max) have the bits 0x%llx, which version %u.%u of the contract does not know "
            "for its kind; it knows 0x%llx",
            path, (unsigned long long)(p->desc.caps_max & ~caps), VC_ABI_MAJOR, p->desc.abi_minor,
            (unsigned long long)caps);
    return 0;
}

static int key_ok(const char *key)
{
    size_t n = strnlen(key, 65);
    return n >= 1 && n <= 64 && key[0] >= 'a' && key[0] <= 'z' &&
           strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static int check_option(const char *path, const struct vc_option *o, const struct vc_option *all, uint32_t i,
                        int known_only, vc_error **err)
{
    char why[400];
    if (!o->key)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s: option %u has no key", path, i);
    if (!key_ok(o->key))
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "%s: option key \"%.80s\" is not possible: a-z first, then a-z, 0-9 and \"_\"", path, o->key);
    for (uint32_t j = 0; j < i; j++)
        if (!strcmp(all[j].key, o->key))
            return vci_fail(err, VC_ERR_INVAL, 0, "%s: option \"%s\" is declared twice", path, o->key);
    if (o->type < VC_OPT_STRING || o->type > VC_OPT_LIST)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s: option \"%s\" has the unknown type %u; %d to %d are known", path,
                        o->key, o->type, VC_OPT_STRING, VC_OPT_LIST);
    if (o->type == VC_OPT_ENUM ? !o->choices || !o->choices[0] : !!o->choices)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s: option \"%s\" %s", path, o->key,
                        o->choices && o->choices[0] ? "has choices but is no enum" : "is an enum without choices");
    if (known_only && (o->flags & ~(uint32_t)(VC_OPT_REQUIRED | VC_OPT_SECRET | VC_OPT_MUST_EXIST)))
        return vci_fail(err, VC_ERR_INVAL, 0, "%s: option \"%s\" has unknown flags (0x%x); 0x%x are known", path,
                        o->key, o->flags, VC_OPT_REQUIRED | VC_OPT_SECRET | VC_OPT_MUST_EXIST);
    if (o->min > o->max)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s: option \"%s\" has a minimum (%lld) above its maximum (%lld)", path,
                        o->key, (long long)o->min, (long long)o->max);
    if (!o->doc || !o->doc[0])
        return vci_fail(err, VC_ERR_INVAL, 0, "%s: option \"%s\" has no description", path, o->key);
    const char *const texts[] = { o->doc, o->choices, o->def };
    static const char *const labels[] = { "description", "choices", "default" };
    for (size_t k = 0; k < 3; k++) {
        snprintf(why, sizeof(why), "option \"%s\": %s", o->key, labels[k]);
        if (texts[k] && !vcs_utf8_line(texts[k], strlen(texts[k])))
            return bad_text(path, why, err);
    }
    if ((o->flags & VC_OPT_REQUIRED) && o->def)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s: option \"%s\" is required and has a default", path, o->key);
    if (vci_option_default_bad(o, why, sizeof(why)))
        return vci_fail(err, VC_ERR_INVAL, 0, "%s: option \"%s\": %s", path, o->key, why);
    return 0;
}

/* Copy the option table, so that all others may walk it without minding the stride. */
static int take_options(const char *path, struct vc_plugin *d, vc_error **err)
{
    const char *from = (const char *)d->options;
    uint32_t n = d->n_options, stride = d->option_stride;
    d->options = NULL;
    d->option_stride = sizeof(struct vc_option);
    if (!n)
        return 0;
    if (!from || n > OPTIONS_MAX)
        return vci_fail(err, VC_ERR_INVAL, 0,
                        from ? "%s: it declares %u options (n_options); %u are possible"
                             : "%s: its table of %u options is missing",
                        path, n, OPTIONS_MAX);
    int r = check_size(path, "option rows", stride, END_OF(struct vc_option, doc), err);
    if (r)
        return r;
    r = check_place(path, "option rows", from, (size_t)n * stride, err);
    if (r)
        return r;
    struct vc_option *copy = calloc(n, sizeof(*copy));
    if (!copy)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    d->options = copy;
    for (uint32_t i = 0; i < n && r == 0; i++) {
        copy_table(&copy[i], sizeof(copy[i]), from + (size_t)i * stride, stride);
        r = check_option_texts(path, &copy[i], i, n, err);
        if (r == 0)
            r = check_option(path, &copy[i], copy, i, d->abi_minor <= VC_ABI_MINOR, err);
    }
    return r;
}

int vci_plugin_check(const struct vc_plugin *entry, uint32_t kind, const char *name, struct vci_plugin *p,
                     vc_error **err)
{
    const struct kind_rules *k = &rules[kind];
    int r = check_place(p->path, "descriptor", entry, END_OF(struct vc_plugin, min_host_minor), err);
    if (r == 0)
        r = check_head(p->path, entry, err);
    if (r == 0)
        r = check_place(p->path, "descriptor", entry, entry->size, err);
    if (r)
        return r;
    copy_table(&p->desc, sizeof(p->desc), entry, entry->size);
    struct vc_plugin *d = &p->desc;
    const struct vc_option *options = d->options;
    d->options = NULL; /* what stands there is ours to free */
    r = check_desc(p->path, d, kind, name, err);
    if (r == 0)
        r = check_place(p->path, "table \"inst\"", d->inst, sizeof(uint32_t), err);
    if (r == 0)
        r = check_place(p->path, "table \"ops\"", d->ops, sizeof(uint32_t), err);
    if (r == 0)
        r = check_size(p->path, "table \"inst\"", d->inst->size, END_OF(inst_t, ext), err);
    if (r == 0)
        r = check_size(p->path, "table \"ops\"", *(const uint32_t *)d->ops, k->min_size, err);
    if (r == 0)
        r = check_place(p->path, "table \"inst\"", d->inst, d->inst->size, err);
    if (r == 0)
        r = check_place(p->path, "table \"ops\"", d->ops, *(const uint32_t *)d->ops, err);
    if (r)
        return r;
    copy_table(&p->inst, sizeof(p->inst), d->inst, d->inst->size);
    copy_table(&p->ops, k->size, d->ops, *(const uint32_t *)d->ops);
    d->inst = &p->inst;
    d->ops = &p->ops;
    r = check_members(p->path, "instance", &p->inst, inst_members, sizeof(inst_members) / sizeof(inst_members[0]),
                      d->caps_max, err);
    if (r == 0)
        r = check_members(p->path, vci_kind_name(kind), &p->ops, k->members, k->n, d->caps_max, err);
    if (r == 0)
        r = check_known(p->path, p, k->caps, err);
    if (r)
        return r;
    d->options = options;
    return take_options(p->path, d, err);
}
