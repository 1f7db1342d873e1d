/* SPDX-License-Identifier: Apache-2.0 */
/* template.c: VMs that start from a saved one (vc/template.h).
 *
 * A template is three files: `memory`, the guest's memory, which the VM that makes it has mapped shared and every VM
 * that starts from it has mapped private; `state`, what QEMU writes of processors and devices when it is to leave the
 * memory out (migration with x-ignore-shared); `info`, what these two were like, written last.
 *
 * QEMU 7.2 opens the memory file for writing, also for a private mapping.  It would change it only to make an empty
 * file as long as the memory is (which is why the length is checked first), or for a device that gives memory back to
 * the host, of which the skeleton has none. */
#include "qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/plug.h"
#include "qmp.h"

#define INFO_FORMAT "vc-qemu-template 1"
#define MAX_INFO    512
#define MAX_STATE   (64u << 20)
#define SAVE_TIME   (INT64_C(30) * 1000000000) /* when the caller sets no deadline */

/* What `info` says. */
struct info {
    uint64_t memory, state, sum;
    int64_t mtime_s, mtime_ns;
};

static int no_template(struct qemu *q, const struct vc_call *call, const char *dir, const char *name, const char *why)
{
    return vcs_fail(q->host, call, VC_E_CORRUPT, 0, "the template's file %s/%s %s", dir, name, why);
}

static int open_dir(struct qemu *q, const struct vc_call *call, const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0
               ? fd
               : vcs_fail(q->host, call, vcs_code_of(errno), errno, "the template's directory %s cannot be used", dir);
}

/* ---- the checksum and `info` ---- */

/* Against damage, not against malice: who can write here needs no forged checksum. */
static uint64_t checksum(const unsigned char *p, size_t n)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325) ^ n, w;

    for (; n >= sizeof(w); p += sizeof(w), n -= sizeof(w)) {
        memcpy(&w, p, sizeof(w));
        sum = (sum ^ w) * UINT64_C(0x9e3779b97f4a7c15);
        sum ^= sum >> 29;
    }
    for (w = 0; n > 0; n--)
        w = w << 8 | p[n - 1];
    sum = (sum ^ w) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 32;
}

static int checksum_file(int fd, uint64_t size, uint64_t *ret)
{
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);

    if (p == MAP_FAILED)
        return -errno;
    *ret = checksum(p, size);
    munmap(p, size);
    return 0;
}

static int put_info(char *buf, size_t size, const struct info *i)
{
    return snprintf(buf, size,
                    INFO_FORMAT "\nmemory %" PRIu64 " %" PRId64 ".%09" PRId64 "\nstate %" PRIu64 " %016" PRIx64 "\n",
                    i->memory, i->mtime_s, i->mtime_ns, i->state, i->sum);
}

static void memory_identity(const struct stat *st, struct info *ret)
{
    ret->memory = (uint64_t)st->st_size;
    ret->mtime_s = st->st_mtim.tv_sec;
    ret->mtime_ns = st->st_mtim.tv_nsec;
}

/* ---- boot ---- */

static const char *plural(uint32_t n)
{
    return n == 1 ? "" : "s";
}

/* What a template of this VM has: see vc/template.h and the sizes of the skeleton. */
static int describe(struct qemu *q, const struct vc_call *call, struct qemu_vm *ret)
{
    struct qemu_vm s;
    uint64_t whole;

    if (q->state == VC_VM_NONE)
        return vcs_fail(q->host, call, VC_E_STATE, 0, "the VM of pod %s was not described yet", q->pod_id);
    s = qemu_vm_skeleton(&q->config, &q->vm);
    if (q->vm.kernel_params && *q->vm.kernel_params)
        return vcs_fail(q->host, call, VC_E_UNSUPPORTED, 0,
                        "the pod has kernel parameters of its own, which only a boot can give to a kernel");
    if (q->vm.memory < s.memory || q->vm.vcpus < s.vcpus)
        return vcs_fail(q->host, call, VC_E_UNSUPPORTED, 0,
                        "the pod wants less (%u vCPU%s, %llu MiB) than a template has (%u vCPU%s, %llu MiB: vcpus and "
                        "memory of hypervisor qemu)",
                        q->vm.vcpus, plural(q->vm.vcpus), (unsigned long long)(q->vm.memory >> 20), s.vcpus,
                        plural(s.vcpus), (unsigned long long)(s.memory >> 20));
    whole = s.memory + (q->vm.memory - s.memory + QEMU_DIMM - 1) / QEMU_DIMM * QEMU_DIMM;
    if (q->vm.max_vcpus > s.max_vcpus || q->vm.max_memory > s.max_memory || whole > q->vm.max_memory)
        return vcs_fail(
            q->host, call, VC_E_UNSUPPORTED, 0,
            "the pod wants more (up to %u vCPU%s, %llu MiB) than a VM from a template can grow to (%u vCPU%s, "
            "%llu MiB in pieces of %llu: max_vcpus and max_memory of hypervisor qemu)",
            q->vm.max_vcpus, plural(q->vm.max_vcpus), (unsigned long long)(q->vm.max_memory >> 20), s.max_vcpus,
            plural(s.max_vcpus),
            (unsigned long long)(s.max_memory >> 20), (unsigned long long)(QEMU_DIMM >> 20));
    *ret = s;
    return 0;
}

/* What a template needs of a disk, roughly: the guest writes to a part of its memory when it boots, and the more memory
 * there is, the more it notes of it. */
static uint64_t disk_need(uint64_t memory)
{
    uint64_t need = (UINT64_C(112) << 20) + memory / 32;

    return (need < memory ? need : memory) + (UINT64_C(8) << 20);
}

/* The file has holes, and a write to one of them when the disk is full would kill QEMU (SIGBUS): look before. */
static int check_space(struct qemu *q, const struct vc_call *call, const char *dir, int dir_fd, uint64_t memory)
{
    struct statvfs v;
    uint64_t need = disk_need(memory);

    if (fstatvfs(dir_fd, &v) < 0 || v.f_blocks == 0 || (uint64_t)v.f_bavail >= need / v.f_frsize)
        return 0; /* where it cannot be told, it is tried */
    return vcs_fail(q->host, call, VC_E_RESOURCE, ENOSPC,
                    "a template of %" PRIu64 " MiB of memory needs about %" PRIu64 " MiB of disk in %s, where %" PRIu64
                    " MiB are free: make room, or set template_dir to another place",
                    memory >> 20, need >> 20, dir, (uint64_t)v.f_bavail * v.f_frsize >> 20);
}

static int template_boot(vc_inst *inst, const struct vc_call *call, const char *dir)
{
    struct qemu *q = qemu_begin(inst);
    struct qemu_vm skeleton;
    int r = describe(q, call, &skeleton);
    vcs_autoclose int dir_fd = -1, memory = -1;

    if (r < 0 || (r = dir_fd = open_dir(q, call, dir)) < 0 ||
        (r = check_space(q, call, dir, dir_fd, skeleton.memory)) < 0)
        return r;
    memory = openat(dir_fd, "memory", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (memory < 0 || ftruncate(memory, (off_t)skeleton.memory) < 0)
        return vcs_fail(q->host, call, vcs_code_of(errno), errno, "cannot make the template's file %s/memory", dir);
    return qemu_start_vm(
        q, call,
        &(struct qemu_start){ .vm = &skeleton, .from = QEMU_FROM_MAKING, .memory_fd = memory, .state_fd = -1 });
}

/* ---- save ---- */

static int run_text(struct qemu *q, struct qmp *c, const char *command, const char *args, const int *fd)
{
    json_object *o = json_tokener_parse(args);

    if (!o)
        return vcs_fail(q->host, c->call, VC_E_NOMEM, 0, "out of memory while talking to QEMU");
    return qmp_run(c, command, o, fd, fd ? 1 : 0, NULL);
}

/* QEMU's reason for a migration that failed. */
static int save_failed(struct qemu *q, struct qmp *c)
{
    json_object *o = NULL, *v = NULL;
    struct vc_call quiet = { .size = sizeof(quiet) };
    const struct vc_call *call = c->call;
    int r;

    c->call = &quiet;
    r = qmp_run(c, "query-migrate", NULL, NULL, 0, &o);
    c->call = call;
    if (r < 0 || !json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, "error-desc", &v) ||
        !json_object_is_type(v, json_type_string))
        v = NULL;
    r = vcs_fail(q->host, call, VC_E_IO, 0, "QEMU could not save the VM: %.512s",
                 v ? json_object_get_string(v) : "it gave no reason");
    json_object_put(o);
    return r;
}

/* Have QEMU write the state, and end. */
static int write_state(struct qemu *q, const struct vc_call *call, int state_fd)
{
    struct qmp c;
    int r = qemu_ask(q, call, &c);

    if (r < 0)
        return r;
    /* The VM is not stopped before: so it is saved as a running one, and a copy runs without being told to. */
    r = run_text(q, &c, "migrate-set-capabilities",
                 "{\"capabilities\":[{\"capability\":\"x-ignore-shared\",\"state\":true},"
                 "{\"capability\":\"events\",\"state\":true}]}",
                 NULL);
    if (r == 0)
        r = run_text(q, &c, "migrate-set-parameters", "{\"max-bandwidth\":1099511627776}", NULL);
    if (r == 0)
        r = run_text(q, &c, "getfd", "{\"fdname\":\"state\"}", &state_fd);
    if (r == 0)
        r = run_text(q, &c, "migrate", "{\"uri\":\"fd:state\"}", NULL);
    if (r == 0)
        r = qmp_wait_migration(&c);
    if (r == 0 && c.migration != QMP_MIGRATION_DONE)
        r = save_failed(q, &c);
    qmp_close(&c);
    return r;
}

/* Sync both files and describe them in `info`. */
static int seal(struct qemu *q, const struct vc_call *call, const char *dir, int dir_fd, int state_fd)
{
    vcs_autoclose int memory = openat(dir_fd, "memory", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    struct stat ms, ss;
    struct info info = { 0 };
    char text[MAX_INFO];
    int n, r;

    if (memory < 0 || fsync(memory) < 0 || fstat(memory, &ms) < 0 || fsync(state_fd) < 0 || fstat(state_fd, &ss) < 0)
        return vcs_fail(q->host, call, vcs_code_of(errno), errno, "cannot save the template in %s", dir);
    memory_identity(&ms, &info);
    info.state = (uint64_t)ss.st_size;
    if (info.state == 0 || info.state > MAX_STATE)
        return vcs_fail(q->host, call, VC_E_PROTOCOL, 0,
                        "QEMU wrote %" PRIu64 " bytes of state to %s/state, which is no saved VM", info.state, dir);
    r = checksum_file(state_fd, info.state, &info.sum);
    n = put_info(text, sizeof(text), &info);
    if (r == 0)
        r = vcs_write_file_atomic(dir_fd, "info", text, (size_t)n, 0600, 1);
    return r < 0 ? vcs_fail(q->host, call, vcs_code_of(-r), -r, "cannot save the template in %s", dir) : 0;
}

static int template_save(vc_inst *inst, const struct vc_call *call, const char *dir)
{
    struct qemu *q = qemu_begin(inst);
    struct vc_call limited = call ? *call : (struct vc_call){ .size = sizeof(limited) };
    vcs_autoclose int dir_fd = -1, state = -1;
    int r;

    if (!limited.deadline_ns)
        limited.deadline_ns = vcs_now_ns() + SAVE_TIME;
    if ((r = dir_fd = open_dir(q, call, dir)) < 0)
        return r;
    state = openat(dir_fd, "state", O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (state < 0)
        return vcs_fail(q->host, call, vcs_code_of(errno), errno, "cannot make the template's file %s/state", dir);
    if ((r = write_state(q, &limited, state)) < 0)
        return r;
    /* Nothing of it is needed any more; its memory is in the file. */
    if ((r = qemu_launch_stop(q, &limited, true)) < 0)
        return r;
    q->state = VC_VM_STOPPED;
    return seal(q, call, dir, dir_fd, state);
}

/* ---- start ---- */

static int open_file(struct qemu *q, const struct vc_call *call, const char *dir, int dir_fd, const char *name,
                     int flags, struct stat *ret_st)
{
    int fd = openat(dir_fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd >= 0 && fstat(fd, ret_st) == 0 && S_ISREG(ret_st->st_mode))
        return fd;
    if (fd < 0 && errno != ENOENT && errno != ELOOP)
        return vcs_fail(q->host, call, vcs_code_of(errno), errno, "the template's file %s/%s cannot be used", dir,
                        name);
    if (fd < 0 && errno == ENOENT)
        return no_template(q, call, dir, name, "is missing");
    if (fd >= 0)
        close(fd);
    return no_template(q, call, dir, name, "is no regular file");
}

/* Open both files and see that they are what was saved. */
static int open_template(struct qemu *q, const struct vc_call *call, const char *dir, uint64_t memory, int *ret_memory,
                         int *ret_state)
{
    vcs_autoclose int dir_fd = open_dir(q, call, dir), info_fd = -1;
    struct stat st;
    struct info is = { 0 };
    char text[MAX_INFO], want[MAX_INFO];
    ssize_t n;

    if (dir_fd == VC_E_NOTFOUND) /* somebody removed it since the host looked */
        return vcs_fail(q->host, call, VC_E_CORRUPT, 0, "the template's directory %s is gone", dir);
    if (dir_fd < 0)
        return dir_fd;
    if ((info_fd = open_file(q, call, dir, dir_fd, "info", O_RDONLY, &st)) < 0)
        return info_fd;
    n = vcs_read_full(info_fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    if ((*ret_memory = open_file(q, call, dir, dir_fd, "memory", O_RDWR, &st)) < 0)
        return *ret_memory;
    memory_identity(&st, &is);
    if (is.memory != memory)
        return no_template(q, call, dir, "memory", "has not the size of the VM's memory");
    if ((*ret_state = open_file(q, call, dir, dir_fd, "state", O_RDONLY, &st)) < 0)
        return *ret_state;
    is.state = (uint64_t)st.st_size;
    if (is.state == 0 || is.state > MAX_STATE)
        return no_template(q, call, dir, "state", "has not the size of a saved VM");
    if (checksum_file(*ret_state, is.state, &is.sum) < 0)
        return no_template(q, call, dir, "state", "cannot be read");
    put_info(want, sizeof(want), &is);
    if (strcmp(text, want))
        return no_template(q, call, dir, "info",
                           "does not fit the files beside it: one of them was changed since it was saved");
    return 0;
}

/* Give the VM what it wants beyond the template. */
static int grow(struct qemu *q, const struct vc_call *call, const struct qemu_vm *skeleton,
                struct vc_template_started *ret)
{
    struct qmp c;
    int r;

    if (q->vm.memory == skeleton->memory && q->vm.vcpus == skeleton->vcpus)
        return 0;
    if ((r = qemu_ask(q, call, &c)) < 0)
        return r;
    r = qemu_grow(q, &c, q->vm.memory > skeleton->memory ? q->vm.memory : 0,
                  q->vm.vcpus > skeleton->vcpus ? q->vm.vcpus : 0, &ret->added_memory, &ret->added_vcpus);
    qmp_close(&c);
    return r;
}

static int template_start(vc_inst *inst, const struct vc_call *call, const char *dir, struct vc_template_started *out)
{
    struct qemu *q = qemu_begin(inst);
    struct qemu_vm skeleton;
    struct vc_template_started started = { 0 };
    vcs_autoclose int memory = -1, state = -1;
    int r = describe(q, call, &skeleton);

    if (r == 0)
        r = open_template(q, call, dir, skeleton.memory, &memory, &state);
    if (r == 0)
        r = qemu_start_vm(q, call,
                          &(struct qemu_start){
                              .vm = &skeleton, .from = QEMU_FROM_TEMPLATE, .memory_fd = memory, .state_fd = state });
    if (r == 0 && (r = grow(q, call, &skeleton, &started)) < 0) {
        struct vc_call quiet = { .size = sizeof(quiet) };

        qemu_launch_stop(q, &quiet, true);
        q->state = VC_VM_CREATED;
    }
    if (r == 0) {
        q->vm.memory = skeleton.memory + started.added_memory;
        q->vm.vcpus = skeleton.vcpus + started.added_vcpus;
    }
    if (r == 0 && out) {
        out->added_vcpus = started.added_vcpus;
        out->added_memory = started.added_memory;
    }
    return r;
}

/* ---- key, valid ---- */

static int template_key(vc_inst *inst, const struct vc_call *call, vc_sink *text)
{
    struct qemu *q = qemu_begin(inst);
    struct vcs_buf out = { 0 };
    struct qemu_vm skeleton;
    int r = describe(q, call, &skeleton);

    if (r == 0)
        r = qemu_key_write(q, call, &skeleton, &out);
    if (r == 0 && (r = q->host->write(q->host, text, vcs_buf_data(&out), out.len)) < 0)
        vcs_fail(q->host, call, r, 0, "cannot write the key of the template");
    vcs_buf_done(&out);
    return r;
}

static int template_valid(vc_inst *inst, const struct vc_call *call, struct vc_bytes text)
{
    return qemu_key_check(qemu_begin(inst), call, text);
}

const struct vc_template_ops qemu_template_ops = {
    .size = sizeof(struct vc_template_ops),
    .key = template_key,
    .valid = template_valid,
    .boot = template_boot,
    .save = template_save,
    .start = template_start,
};
