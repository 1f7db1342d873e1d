/* SPDX-License-Identifier: Apache-2.0 */
/* checks-template.c: H13 to H18: the extension vc.template/1 of hypervisors. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "conformance/hv-checks.h"
#include "conformance/peer.h"
#include "lib/io.h"
#include "lib/proc.h"

#define KEY_MAX (16 * 1024)

/* ---- the table ---- */

static const struct vc_template_ops *table_of(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    const struct vc_inst_ops *ops = vct_inst_ops(t);
    if (!ops->ext)
        return NULL;
    vct_enter(t, "ext");
    const void *table = ops->ext(pod->inst, VC_EXT_TEMPLATE);
    vct_leave(t, 0);
    return table;
}

/* A pod whose instance is described, of a plugin that has templates; `vcpus` and `memory` are what it wants. */
static struct vct_pod *described(struct vct *t, uint32_t vcpus, uint64_t memory)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vc_vm_config c;
    vct_pod_make(pod);
    const struct vc_template_ops *tpl = table_of(pod);
    if (!tpl)
        vct_skip(t, "the plugin does not have the extension " VC_EXT_TEMPLATE);
    VCT_MUST(t, tpl->size >= sizeof(*tpl) && tpl->key && tpl->valid && tpl->boot && tpl->save && tpl->start,
             "the table of " VC_EXT_TEMPLATE " is not whole");
    vct_hv_config(pod, &c);
    c.max_vcpus = vcpus > c.max_vcpus ? vcpus : c.max_vcpus;
    c.vcpus = vcpus;
    c.memory = memory;
    c.max_memory = memory ? 4 * memory : 0;
    c.max_vcpus = vcpus ? c.max_vcpus : 0;
    const struct vc_hypervisor_ops *hv = vct_kind_ops(t);
    int r = VCT(t, hv->vm_create, pod->inst, vct_call(t, 10000), &c);
    VCT_MUST(t, r == VC_OK, "vm_create answered %s: %s", vct_code(r), t->err.text);
    pod->state = VCT_ST_MADE;
    return pod;
}

void vct_hv_h13(struct vct *t)
{
    struct vct_pod *a = vct_pod_new(t, NULL, 0), *b = vct_pod_new(t, NULL, 0);
    vct_pod_make(a);
    vct_pod_make(b);
    const struct vc_template_ops *tpl = table_of(a);
    if (!tpl) {
        VCT_MUST(t, !table_of(b),
                 "one instance has " VC_EXT_TEMPLATE ", another one has not; it is for every instance or for none");
        vct_skip(t, "the plugin does not have the extension " VC_EXT_TEMPLATE);
    }
    VCT_MUST(t, tpl->size >= sizeof(*tpl) && tpl->size <= 65536 && tpl->size % sizeof(void *) == 0,
             "the table of " VC_EXT_TEMPLATE " has size %u; at least %zu is right", tpl->size, sizeof(*tpl));
    VCT_MUST(t, tpl->reserved == 0, "`reserved` of the table of " VC_EXT_TEMPLATE " is %u; 0 is right", tpl->reserved);
    static const char *const names[] = { "key", "valid", "boot", "save", "start" };
    for (size_t i = 0; i < 5; i++) {
        void *member;
        memcpy(&member, (const char *)tpl + 8 + i * sizeof(member), sizeof(member));
        VCT_MUST(t, member, "the table of " VC_EXT_TEMPLATE " has no member %s; all members have to be there",
                 names[i]);
    }
    VCT_MUST(t, table_of(a) == tpl && table_of(b) == tpl,
             "ext gives another table of " VC_EXT_TEMPLATE
             " at another time or for another instance; it has to be one static table");
    vct_hv_restored(b);
    VCT_MUST(t, table_of(b) == tpl, "after save and restore ext gives another table of " VC_EXT_TEMPLATE);
    vct_go(a, VCT_ST_UP);
    VCT_MUST(t, table_of(a) == tpl, "after vm_start ext gives another table of " VC_EXT_TEMPLATE);
    vct_hv_down(a);
    vct_hv_down(b);
}

/* ---- the key ---- */

/* The key of a pod; "" where it has none because its VM cannot come from a template. */
static char *key_of(struct vct_pod *pod, int must)
{
    struct vct *t = pod->t;
    vc_sink *sink = vct_sink_new(t);
    size_t procs = pod->spawned;
    int r = VCT(t, table_of(pod)->key, pod->inst, vct_call(t, 5000), sink);
    if (r == VC_E_UNSUPPORTED && !must) {
        vct_sink_free(sink);
        return NULL;
    }
    VCT_MUST(t, r == VC_OK, "key answered %s: %s", vct_code(r), t->err.text);
    VCT_MUST(t, pod->spawned == procs, "key started a process; it has to be quick and without one");
    size_t len = sink->buf.len;
    char *text = strdup(vct_sink_text(sink));
    VCT_MUST(t, text, "the tool has no memory left");
    VCT_MUST(t, strlen(text) == len, "the key has a NUL byte at position %zu; it is text", strlen(text));
    VCT_MUST(t, len >= 1 && len <= KEY_MAX, "the key has %zu bytes; 1 byte to 16 KiB is right", len);
    VCT_MUST(t, text[len - 1] == '\n', "the key does not end with a newline");
    vct_sink_free(sink);
    return text;
}

static void key_form(struct vct *t, const char *text)
{
    int n = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        int len = (int)strcspn(line, "\n");
        n++;
        VCT_MUST(t, len > 1 && memchr(line + 1, '=', (size_t)len - 1) && line[0] != '=',
                 "line %d of the key is \"%.*s\"; name=value is right", n, len > 200 ? 200 : len, line);
        for (int i = 0; i < len; i++)
            VCT_MUST(t, (unsigned char)line[i] >= ' ' && line[i] != 0x7f,
                     "line %d of the key has the control byte 0x%02x", n, (unsigned char)line[i]);
        if (!strncmp(line, "memory=", 7))
            VCT_MUST(t, len > 7 && (int)strspn(line + 7, "0123456789") == len - 7,
                     "the key has the line \"%.*s\"; a line \"memory=\" has bytes as a decimal number", len, line);
    }
}

static int valid(struct vct_pod *pod, const void *text, size_t len)
{
    return VCT(pod->t, table_of(pod)->valid, pod->inst, vct_call(pod->t, 5000),
               (struct vc_bytes){ .data = text, .len = len });
}

/* What a file might hold: cut, mixed up, noise; at the end of a page, behind which nothing can be read. */
static void hostile_keys(struct vct_pod *pod, const char *key)
{
    struct vct *t = pod->t;
    size_t len = strlen(key), size = 32768;
    char *mem = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    VCT_MUST(t, mem != MAP_FAILED && mprotect(mem + size, 4096, PROT_NONE) == 0, "the tool has no memory left");
    size_t step = len > 400 ? len / 200 : 1;
    for (size_t n = 0; n <= len; n += step) {
        memcpy(mem + size - n, key, n);
        valid(pod, mem + size - n, n);
    }
    for (int round = 0; round < 60; round++) {
        size_t n = len;
        memcpy(mem + size - n, key, n);
        for (uint64_t hits = vct_random(t) % 8 + 1; hits; hits--)
            mem[size - 1 - vct_random(t) % n] = (char)vct_random(t);
        valid(pod, mem + size - n, n);
    }
    for (size_t i = 0; i < 16384; i++)
        mem[size - 16384 + i] = (char)vct_random(t);
    int r = valid(pod, mem + size - 16384, 16384);
    VCT_MUST(t, r != VC_OK, "valid answered VC_OK for 16 KiB of noise; VC_E_STATE says that no VM could have this key");
    munmap(mem, size + 4096);
}

void vct_hv_h14(struct vct *t)
{
    struct vct_pod *a = described(t, 0, 0), *b = described(t, 0, 0), *fresh = vct_pod_new(t, NULL, 0);
    int64_t begin = vcs_now_ns();
    vcs_autofree char *first = key_of(a, 1), *second = key_of(a, 1), *other = key_of(b, 1);
    int64_t took = (vcs_now_ns() - begin) / 3000000;
    if (took > 500)
        vct_warn(t, "key takes %" PRId64 " ms; a host asks it for each pod", took);
    key_form(t, first);
    VCT_MUST(t, !strcmp(first, second), "asked twice key gives \"%.200s\" and then \"%.200s\"", first, second);
    VCT_MUST(t, !strcmp(first, other),
             "two VMs of one configuration have two keys: \"%.300s\" and \"%.300s\"; what differs from pod to "
             "pod does not belong there",
             first, other);
    vct_hv_restored(b);
    vcs_autofree char *third = key_of(b, 1);
    VCT_MUST(t, !strcmp(first, third), "after save and restore the key is another one: \"%.300s\" and \"%.300s\"",
             first, third);
    VCT_MUST(t, !strstr(first, a->id) && !strstr(first, a->dir),
             "the key holds the pod's id or a path of its own: \"%.300s\"", first);
    vct_pod_make(fresh);
    vcs_autofree char *not_terminated = malloc(strlen(first));
    VCT_MUST(t, not_terminated, "the tool has no memory left");
    memcpy(not_terminated, first, strlen(first));
    int r = valid(fresh, not_terminated, strlen(first));
    VCT_MUST(t, r == VC_OK, "valid on a fresh instance answered %s for the key that was just written: %s", vct_code(r),
             t->err.text);
    hostile_keys(fresh, first);
    vc_sink *sink = vct_sink_new(t);
    r = VCT(t, table_of(fresh)->key, fresh->inst, vct_call(t, 5000), sink);
    VCT_MUST(t, r == VC_E_STATE, "key before vm_create answered %s, where VC_E_STATE is right", vct_code(r));
    vct_sink_free(sink);
    vct_hv_is(a, VC_VM_CREATED, "after key");
    vct_hv_down(a);
    vct_hv_down(b);
    vct_hv_down(fresh);
}

/* ---- making one, and starting from it ---- */

static char *make_dir(struct vct *t, const char *name)
{
    char *dir;
    if (asprintf(&dir, "%s/%s", t->s->scratch, name) < 0 || mkdir(dir, 0700) < 0)
        vct_skip(t, "no directory can be made in %s: %s", t->s->scratch, strerror(errno));
    return dir;
}

/* Scripted VMMs save nothing: their scenario says so by a fact. */
static void need_peer(struct vct_pod *pod)
{
    char value[16];
    if (vct_fact(pod, "running", value, sizeof(value)) == 0 && vct_fact(pod, "templates", value, sizeof(value)) < 0)
        vct_skip(pod->t, "the VMM of this scenario cannot save a VM (it has no fact \"templates\"); --real can");
}

/* A digest of all files: names, sizes, bytes. */
static uint64_t digest(struct vct *t, const char *dir)
{
    vcs_autoclosedir DIR *d = opendir(dir);
    struct dirent *e;
    uint64_t sum = 0;
    while (d && (e = readdir(d))) {
        vcs_autoclose int fd =
            e->d_name[0] == '.' ? -1 : openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        unsigned char buf[65536];
        uint64_t h = 1469598103934665603u;
        ssize_t n;
        for (const char *p = e->d_name; *p; p++)
            h = (h ^ (unsigned char)*p) * 1099511628211u;
        while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
            for (ssize_t i = 0; i < n; i += 8) /* every eighth byte: it may be a whole memory */
                h = (h ^ buf[i]) * 1099511628211u;
        sum += fd >= 0 ? h : 0;
    }
    VCT_MUST(t, d, "the tool cannot read %s", dir);
    return sum;
}

/* The directory as `save` has to leave it. */
static void plain_files(struct vct *t, const char *dir)
{
    vcs_autoclosedir DIR *d = opendir(dir);
    struct dirent *e;
    struct stat st;
    int n = 0;
    VCT_MUST(t, d && fstat(dirfd(d), &st) == 0, "after save the template's directory is gone");
    VCT_MUST(t, !(st.st_mode & 022), "after save the template's directory has mode %04o; nobody else may write to it",
             st.st_mode & 07777);
    while ((e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        n++;
        VCT_MUST(t, fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0,
                 "%s of the template cannot be looked at", e->d_name);
        VCT_MUST(t, S_ISREG(st.st_mode), "%s of the template is no plain file (mode 0%o)", e->d_name, st.st_mode);
        VCT_MUST(t, !(st.st_mode & 022), "the template's file %s has mode %04o; nobody else may write to it", e->d_name,
                 st.st_mode & 07777);
        VCT_MUST(t, st.st_nlink == 1, "the template's file %s has %u names; hard links are not allowed", e->d_name,
                 (unsigned)st.st_nlink);
        VCT_MUST(t, st.st_uid == geteuid(), "the template's file %s belongs to user %u and not to the host's",
                 e->d_name, st.st_uid);
    }
    VCT_MUST(t, n > 0, "save answered VC_OK and left the template's directory empty");
}

/* Boot a VM and save it into `dir`; its key.  NULL-safe to free. */
static char *make_template(struct vct *t, const char *dir)
{
    struct vct_pod *pod = described(t, 0, 0);
    struct vct_hv_world *w = pod->world;
    char *key = key_of(pod, 1), why[700] = "";
    mode_t mask = umask(0); /* a plugin must not rely on it */
    int r = VCT(t, table_of(pod)->boot, pod->inst, vct_call(t, 30000), dir);
    need_peer(pod);
    VCT_MUST(t, r == VC_OK, "boot answered %s: %s", vct_code(r), t->err.text);
    pod->state = VCT_ST_UP;
    VCT_MUST(t, vct_op_find(t, "vm_start")->effect(pod, why, sizeof(why)) != 0, "boot answered VC_OK, but %s", why);
    vct_hv_is(pod, VC_VM_RUNNING, "after boot");
    vct_hv_do(pod, "agent_endpoint");
    r = VCT(t, table_of(pod)->save, pod->inst, vct_call(t, 60000), dir);
    umask(mask);
    VCT_MUST(t, r == VC_OK, "save answered %s: %s", vct_code(r), t->err.text);
    for (size_t i = 0; i < w->n_pids; i++)
        VCT_MUST(t, !vcs_proc_alive(&w->pids[i]), "after save the VMM's process %d still runs", w->pids[i].pid);
    pod->state = VCT_ST_DOWN;
    vct_hv_is(pod, VC_VM_STOPPED, "after save");
    vct_hv_do(pod, "vm_stop");
    plain_files(t, dir);
    vct_hv_down(pod);
    pod = described(t, 0, 0);
    vcs_autofree char *again = key_of(pod, 1);
    VCT_MUST(t, !strcmp(again, key), "the key changed while the template was made: \"%.300s\" and \"%.300s\"", key,
             again);
    vct_hv_down(pod);
    return key;
}

/* start, which has to work; *out is checked. */
static void start_from(struct vct_pod *pod, const char *dir, struct vc_template_started *out)
{
    struct vct *t = pod->t;
    struct vc_template_started s = { .size = sizeof(s) };
    char why[700] = "";
    int r = VCT(t, table_of(pod)->start, pod->inst, vct_call(t, 30000), dir, out ? &s : NULL);
    VCT_MUST(t, r == VC_OK, "start answered %s: %s", vct_code(r), t->err.text);
    if (out)
        *out = s;
    pod->state = VCT_ST_UP;
    VCT_MUST(t, vct_op_find(t, "vm_start")->effect(pod, why, sizeof(why)) != 0, "start answered VC_OK, but %s", why);
    vct_hv_is(pod, VC_VM_RUNNING, "after start");
    vct_hv_do(pod, "agent_endpoint");
}

static void has(struct vct_pod *pod, uint32_t vcpus, uint64_t memory)
{
    struct vct *t = pod->t;
    const struct vc_hypervisor_ops *hv = vct_kind_ops(t);
    struct vc_resize leave = { .size = sizeof(leave) }, got = { .size = sizeof(got) };
    if (!(pod->caps & VC_HV_CAP_RESIZE))
        return;
    int r = VCT(t, hv->resize, pod->inst, vct_call(t, 10000), &leave, &got);
    VCT_MUST(t, r == VC_OK && got.vcpus == vcpus && got.memory == memory,
             "vm_create asked for %u vCPUs and %" PRIu64 " MiB; after start the VM has %u and %" PRIu64
             " (resize answered %s)",
             vcpus, memory / VCT_HV_MIB, got.vcpus, got.memory / VCT_HV_MIB, vct_code(r));
}

/* A bigger VM from the same template, where the plugin gives it the same key. */
static void bigger(struct vct *t, const char *key, const char *dir)
{
    struct vc_resize got = { .size = sizeof(got) }, leave = { .size = sizeof(leave) };
    const struct vc_hypervisor_ops *hv = vct_kind_ops(t);
    struct vct_pod *pod = described(t, 0, 0);
    struct vc_template_started out;
    start_from(pod, dir, NULL);
    int r = pod->caps & VC_HV_CAP_RESIZE ? VCT(t, hv->resize, pod->inst, vct_call(t, 10000), &leave, &got)
                                         : VC_E_UNSUPPORTED;
    vct_hv_down(pod);
    if (r != VC_OK)
        return;
    pod = described(t, got.vcpus + 1, got.memory + 128 * VCT_HV_MIB);
    vcs_autofree char *its = key_of(pod, 0);
    if (its && !strcmp(its, key)) {
        start_from(pod, dir, &out);
        VCT_MUST(t, out.added_vcpus == 1 && out.added_memory == 128 * VCT_HV_MIB,
                 "start of a VM with one vCPU and 128 MiB more than the template says that %u vCPUs and %" PRIu64
                 " MiB were added",
                 out.added_vcpus, out.added_memory / VCT_HV_MIB);
        has(pod, got.vcpus + 1, got.memory + 128 * VCT_HV_MIB);
    }
    vct_hv_down(pod);
}

void vct_hv_h15(struct vct *t)
{
    vcs_autofree char *made = make_dir(t, "making"), *dir = NULL, *key = make_template(t, made);
    if (asprintf(&dir, "%s/template", t->s->scratch) < 0 || rename(made, dir) < 0) /* as a host does */
        vct_skip(t, "a directory cannot be renamed in %s", t->s->scratch);
    uint64_t before = digest(t, dir);
    struct vct_pod *pods[2];
    for (int i = 0; i < 2; i++) {
        pods[i] = described(t, 0, 0);
        vcs_autofree char *its = key_of(pods[i], 1);
        VCT_MUST(t, !strcmp(key, its),
                 "a VM of the same configuration has another key than its template: \"%.300s\" and \"%.300s\"", its,
                 key);
        start_from(pods[i], dir, NULL);
    }
    VCT_MUST(t, digest(t, dir) == before, "VMs that were started from the template have changed its files");
    plain_files(t, dir);
    bigger(t, key, dir);
    vcs_remove_tree(AT_FDCWD, dir);
    for (int i = 0; i < 2; i++) {
        vct_hv_is(pods[i], VC_VM_RUNNING, "after the template was removed");
        vct_hv_restored(pods[i]);
        vct_hv_is(pods[i], VC_VM_RUNNING, "after start from a template, save and restore");
        vct_hv_do(pods[i], "agent_endpoint");
        if (pods[i]->caps & VC_HV_CAP_HOTPLUG)
            vct_hv_do(pods[i], "device_add");
        vct_hv_down(pods[i]);
    }
}

/* ---- templates that are no good ---- */

/* start, which has to fail, and what comes then. */
static int bad_start(struct vct *t, const char *dir, const char *what)
{
    struct vct_pod *pod = described(t, 0, 0);
    int r = VCT(t, table_of(pod)->start, pod->inst, vct_call(t, 10000), dir, NULL);
    need_peer(pod);
    VCT_MUST(t, r != VC_OK, "start from a template %s answered VC_OK", what);
    for (size_t i = 0; i < pod->n_procs; i++)
        VCT_MUST(t, !vcs_proc_alive(&pod->procs[i]), "start from a template %s failed and left process %d running",
                 what, pod->procs[i].pid);
    int s = vct_op(pod, "vm_stop", 0);
    VCT_MUST(t, s == VC_OK, "after a start that failed vm_stop answered %s: %s", vct_code(s), t->err.text);
    vct_hv_down(pod);
    return r;
}

/* Cut each file of a copy of the template, one after the other. */
static void cut(struct vct *t, const char *dir)
{
    vcs_autoclosedir DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        struct stat st;
        char what[400];
        if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size < 2)
            continue;
        vcs_autoclose int fd = openat(dirfd(d), e->d_name, O_RDWR | O_CLOEXEC);
        if (fd < 0 || ftruncate(fd, 1) < 0)
            continue;
        snprintf(what, sizeof(what), "whose file %s is cut short", e->d_name);
        int r = bad_start(t, dir, what);
        VCT_MUST(t, r == VC_E_CORRUPT, "start from a template %s answered %s, where VC_E_CORRUPT is right: %s", what,
                 vct_code(r), t->err.text);
        return; /* the others would not be looked at */
    }
}

void vct_hv_h16(struct vct *t)
{
    vcs_autofree char *dir = make_dir(t, "template"), *gone = NULL;
    if (asprintf(&gone, "%s/nowhere", t->s->scratch) < 0)
        gone = NULL;
    int r = bad_start(t, gone ? gone : "/nowhere", "that is not there");
    vct_note(t, "without the directory: %s", vct_code(r));
    r = bad_start(t, dir, "that is empty");
    vct_note(t, "with an empty directory: %s", vct_code(r));
    free(make_template(t, dir));
    cut(t, dir);
    struct vct_pod *pod = vct_hv_up(t); /* it boots all the same */
    vct_hv_is(pod, VC_VM_RUNNING, "after vm_start of another instance");
    vct_hv_down(pod);
}

/* ---- failures while one is made ---- */

static void fail_spawn(struct vct_pod *pod)
{
    pod->fault = VCT_S_SPAWN;
    pod->fault_at = 1;
    pod->fault_seen = 0;
    pod->fault_code = VC_E_RESOURCE;
    pod->fault_hit = 0;
}

static void nothing_left(struct vct_pod *pod, const char *when)
{
    struct vct *t = pod->t;
    for (size_t i = 0; i < pod->n_procs; i++)
        VCT_MUST(t, !vcs_proc_alive(&pod->procs[i]), "%s process %d still runs", when, pod->procs[i].pid);
    int r = vct_op(pod, "vm_stop", 0);
    VCT_MUST(t, r == VC_OK, "%s vm_stop answered %s: %s", when, vct_code(r), t->err.text);
    r = vct_pod_cleanup(pod);
    VCT_MUST(t, r == VC_OK, "%s cleanup answered %s: %s", when, vct_code(r), t->err.text);
    const char *left = vct_pod_left(pod);
    VCT_MUST(t, !*left, "%s and after cleanup %s", when, left);
    vct_pod_free(pod);
}

/* An own, empty directory for each attempt, as a host gives it. */
static int boot(struct vct_pod *pod, char **ret_dir)
{
    static unsigned n;
    char name[32];
    snprintf(name, sizeof(name), "making%u", n++);
    free(*ret_dir);
    *ret_dir = make_dir(pod->t, name);
    return VCT(pod->t, table_of(pod)->boot, pod->inst, vct_call(pod->t, 30000), *ret_dir);
}

static void boot_fails(struct vct *t, char **dir)
{
    struct vct_pod *pod = described(t, 0, 0);
    vcs_autofree char *gone = NULL;
    if (asprintf(&gone, "%s/nowhere", t->s->scratch) < 0)
        gone = NULL;
    int r = VCT(t, table_of(pod)->boot, pod->inst, vct_call(t, 10000), gone);
    VCT_MUST(t, r != VC_OK, "boot with a directory that does not exist answered VC_OK");
    nothing_left(pod, "after a boot that failed");
    pod = described(t, 0, 0);
    fail_spawn(pod);
    r = boot(pod, dir);
    VCT_MUST(t, r == (pod->fault_hit ? VC_E_RESOURCE : VC_OK), "boot answered %s%s", vct_code(r),
             pod->fault_hit ? " where spawn had answered VC_E_RESOURCE" : "");
    nothing_left(pod, "after a boot whose process could not be started");
    if (t->s->real)
        return;
    pod = vct_pod_new(t, NULL, 0);
    pod->variant = "dying";
    vct_pod_make(pod);
    vct_go(pod, VCT_ST_MADE);
    r = boot(pod, dir);
    VCT_MUST(t, r != VC_OK || !pod->spawned, "boot answered VC_OK, although the VMM ended at once");
    nothing_left(pod, "after a boot whose VMM ended at once");
}

void vct_hv_h17(struct vct *t)
{
    vcs_autofree char *dir = make_dir(t, "unused");
    struct vct_pod *pod = described(t, 0, 0);
    int r = VCT(t, table_of(pod)->save, pod->inst, vct_call(t, 10000), dir);
    VCT_MUST(t, r == VC_E_STATE, "save without boot answered %s, where VC_E_STATE is right", vct_code(r));
    vct_hv_down(pod);
    boot_fails(t, &dir);
    pod = described(t, 0, 0);
    r = boot(pod, &dir);
    need_peer(pod);
    VCT_MUST(t, r == VC_OK, "boot answered %s: %s", vct_code(r), t->err.text);
    pod->state = VCT_ST_UP;
    vcs_remove_tree(AT_FDCWD, dir);
    r = VCT(t, table_of(pod)->save, pod->inst, vct_call(t, 30000), dir);
    VCT_MUST(t, r != VC_OK, "save into a directory that has gone answered VC_OK");
    r = vct_op(pod, "vm_stop", 0); /* the VM may still run */
    VCT_MUST(t, r == VC_OK, "after a save that failed vm_stop answered %s: %s", vct_code(r), t->err.text);
    nothing_left(pod, "after a save that failed");
}

/* ---- VMs in store ---- */

/* The pod that a VM in store is given to: its id, and the directory that was renamed. */
static struct vct_pod *take_over(struct vct_pod *store, const char *bytes, size_t len)
{
    struct vct *t = store->t;
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    VCT_MUST(t, rmdir(pod->run) == 0 && rename(store->run, pod->run) == 0, "the tool cannot rename %s", store->run);
    int r = vct_pod_restore(pod, t->plugin->state_version, bytes, len);
    VCT_MUST(t, r == VC_OK, "restore with another pod's id and run directory answered %s: %s", vct_code(r),
             t->err.text);
    for (size_t i = 0; i < store->n_procs; i++)
        pod->procs[pod->n_procs++] = store->procs[i];
    store->n_procs = 0;
    pod->state = VCT_ST_PAUSED;
    return pod;
}

void vct_hv_h18(struct vct *t)
{
    vcs_autofree char *dir = make_dir(t, "template"), *bytes = NULL;
    size_t len = 0;
    struct vct_pod *store = described(t, 0, 0);
    if (!(store->caps & VC_HV_CAP_PAUSE))
        vct_skip(t, "the plugin does not have VC_HV_CAP_PAUSE: a host keeps no VMs of it in store");
    free(make_template(t, dir));
    start_from(store, dir, NULL);
    vct_hv_do(store, "vm_pause");
    int r = vct_pod_save(store, &bytes, &len);
    VCT_MUST(t, r == VC_OK, "save answered %s: %s", vct_code(r), t->err.text);
    vct_pod_close(store);
    VCT_MUST(t, !memmem(bytes, len, store->dir, strlen(store->dir)),
             "what save writes holds the path of the run directory, which a host renames before the VM is used");
    struct vct_pod *pod = take_over(store, bytes, len);
    vct_hv_is(pod, VC_VM_PAUSED, "of a VM in store");
    vct_hv_do(pod, "vm_resume");
    vct_hv_is(pod, VC_VM_RUNNING, "of a VM from store");
    vct_hv_do(pod, "pids");
    vct_hv_do(pod, "agent_endpoint");
    vct_hv_do(pod, "console");
    if (pod->caps & VC_HV_CAP_HOTPLUG)
        vct_hv_do(pod, "device_add");
    vct_hv_down(pod);
}
