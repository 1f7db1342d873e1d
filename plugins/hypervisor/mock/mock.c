/* SPDX-License-Identifier: Apache-2.0 */
/* mock.c: a hypervisor without a VM: only the rules of the contract, for tests of everything above it.
 *
 * What a VM would have done is in the saved state: its condition and the devices that are plugged in.  The state is
 * text, one word a line: "mock", the condition, then "dev TYPE ID" for each device.
 *
 * Templates (vc.template/1): what a VM's memory would be is a file "memory" of three lines, which `start` checks.  The
 * option `image` names a file that stands for the VM's kernel: it is part of the key. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <vc/template.h>

#include "lib/buf.h"
#include "lib/io.h"
#include "lib/plug.h"

#define MAX_DEVICES 32
#define MAX_STATE   (64 * 1024)
#define TPL_VCPUS   1u                   /* what a template has; a VM that wants more is given it afterwards */
#define TPL_MEMORY  (64u * 1024 * 1024)
#define MEMORY_FILE "mock memory\nvcpus 1\nend\n"
#define CAPS        (VC_HV_CAP_PAUSE | VC_HV_CAP_HOTPLUG | VC_HV_CAP_NO_GUEST)

struct mock {
    const vc_host *host;
    char *pod_id, *image; /* image: NULL = none */
    uint32_t state;       /* VC_VM_* */
    uint32_t vcpus;       /* as vm_create asked; 0 = as the template has */
    uint64_t memory;
    bool kernel_params;
    struct {
        uint32_t type; /* VC_DEV_*, 0 = free */
        char id[32];
    } devices[MAX_DEVICES];
};

static const char *const state_names[] = { "none", "created", "running", "paused", "stopped" };

static struct mock *mock_of(vc_inst *inst)
{
    return (struct mock *)inst;
}

static bool is_up(const struct mock *m)
{
    return m->state == VC_VM_RUNNING || m->state == VC_VM_PAUSED;
}

/* The failure of a call that comes at the wrong time. */
static int wrong_state(const struct mock *m, const struct vc_call *call, const char *what)
{
    return vcs_fail(m->host, call, VC_E_STATE, 0, "the VM of pod %s is %s and cannot be %s", m->pod_id,
                    m->state == VC_VM_NONE ? "not described yet" : state_names[m->state], what);
}

/* ---- instance ---- */

static void mock_close(vc_inst *inst)
{
    struct mock *m = mock_of(inst);

    free(m->image);
    free(m->pod_id);
    free(m);
}

static int mock_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       vc_inst **out)
{
    struct mock *m = calloc(1, sizeof(*m));
    const char *image = vcs_opt_str(host, cfg, "image");

    if (!m || !(m->pod_id = strdup(pod_id)) || (image && !(m->image = strdup(image)))) {
        if (m)
            mock_close((vc_inst *)m);
        return vcs_fail(host, call, VC_E_NOMEM, 0, "out of memory while making a mock VM");
    }
    m->host = host;
    *out = (vc_inst *)m;
    return 0;
}

static bool id_ok(const char *id)
{
    size_t n = id ? strlen(id) : 0;

    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)id[i]) && (i == 0 || !strchr("_.-", id[i])))
            return false;
    return n > 0 && n <= 31;
}

static int find(const struct mock *m, const char *id)
{
    for (int i = 0; i < MAX_DEVICES; i++)
        if (m->devices[i].type && !strcmp(m->devices[i].id, id))
            return i;
    return -1;
}

/* Take a device in; false when there is no room. */
static bool insert(struct mock *m, uint32_t type, const char *id)
{
    for (int i = 0; i < MAX_DEVICES; i++)
        if (!m->devices[i].type) {
            m->devices[i].type = type;
            snprintf(m->devices[i].id, sizeof(m->devices[i].id), "%.31s", id);
            return true;
        }
    return false;
}

static bool parse(struct mock *m, char *text)
{
    char *save = NULL, *line = strtok_r(text, "\n", &save);

    if (!line || strcmp(line, "mock") || !(line = strtok_r(NULL, "\n", &save)))
        return false;
    while (m->state <= VC_VM_STOPPED && strcmp(line, state_names[m->state]))
        m->state++;
    if (m->state > VC_VM_STOPPED)
        return false;
    while ((line = strtok_r(NULL, "\n", &save))) {
        char id[33];
        unsigned type;
        int end = 0;

        if (sscanf(line, "dev %1u %32s%n", &type, id, &end) != 2 || line[end] || type < VC_DEV_BLOCK ||
            type > VC_DEV_VHOST_USER || !id_ok(id) || find(m, id) >= 0 || !is_up(m) || !insert(m, type, id))
            return false;
    }
    return true;
}

static int mock_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    vcs_autofree char *text = NULL;
    vc_inst *inst = NULL;
    int r;

    if (state_version != 1)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "the stored state of the mock VM has version %u; 1 is known",
                        state_version);
    if (state.len == 0 || state.len > MAX_STATE || memchr(state.data, 0, state.len))
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "the stored state of the mock VM is empty, too long or no text");
    if (!(text = strndup(state.data, state.len)))
        return vcs_fail(host, call, VC_E_NOMEM, 0, "out of memory while reading the state of a mock VM");
    r = mock_create(host, call, cfg, pod_id, &inst);
    if (r < 0)
        return r;
    if (!parse(mock_of(inst), text)) {
        mock_close(inst);
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "the stored state of the mock VM is not what this plugin writes");
    }
    *out = inst;
    return 0;
}

static int mock_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    struct mock *m = mock_of(inst);
    struct vcs_buf b = { 0 };
    int r = vcs_buf_printf(&b, "mock\n%s\n", state_names[m->state]);

    for (int i = 0; r == 0 && i < MAX_DEVICES; i++)
        if (m->devices[i].type)
            r = vcs_buf_printf(&b, "dev %u %s\n", m->devices[i].type, m->devices[i].id);
    r = r < 0 ? VC_E_NOMEM : m->host->write(m->host, out, vcs_buf_data(&b), b.len);
    vcs_buf_done(&b);
    return r < 0 ? vcs_fail(m->host, call, r, 0, "cannot write the state of a mock VM") : 0;
}

static int mock_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    *health = is_up(mock_of(inst)) ? VC_HEALTH_OK : VC_HEALTH_GONE;
    return 0;
}

static uint64_t mock_caps(vc_inst *inst)
{
    (void)inst;
    return CAPS;
}

/* ---- VM ---- */

static int mock_vm_create(vc_inst *inst, const struct vc_call *call, const struct vc_vm_config *config)
{
    struct mock *m = mock_of(inst);

    if (m->state != VC_VM_NONE)
        return vcs_fail(m->host, call, VC_E_EXISTS, 0, "the VM of pod %s was described already", m->pod_id);
    m->vcpus = config->vcpus;
    m->memory = config->memory;
    m->kernel_params = config->kernel_params && config->kernel_params[0];
    m->state = VC_VM_CREATED;
    return 0;
}

static int mock_vm_start(vc_inst *inst, const struct vc_call *call)
{
    struct mock *m = mock_of(inst);

    if (m->state != VC_VM_CREATED && m->state != VC_VM_STOPPED)
        return wrong_state(m, call, "started");
    m->state = VC_VM_RUNNING;
    return 0;
}

static int mock_vm_stop(vc_inst *inst, const struct vc_call *call, uint32_t flags)
{
    struct mock *m = mock_of(inst);

    (void)call;
    (void)flags;
    if (is_up(m))
        m->state = VC_VM_STOPPED;
    memset(m->devices, 0, sizeof(m->devices));
    return 0;
}

static int mock_cleanup(vc_inst *inst, const struct vc_call *call)
{
    return mock_vm_stop(inst, call, VC_STOP_FORCE);
}

static int mock_vm_state(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
    (void)call;
    *state = mock_of(inst)->state;
    return 0;
}

static int mock_vm_pause(vc_inst *inst, const struct vc_call *call)
{
    struct mock *m = mock_of(inst);

    if (!is_up(m))
        return wrong_state(m, call, "paused");
    m->state = VC_VM_PAUSED;
    return 0;
}

static int mock_vm_resume(vc_inst *inst, const struct vc_call *call)
{
    struct mock *m = mock_of(inst);

    if (!is_up(m))
        return wrong_state(m, call, "resumed");
    m->state = VC_VM_RUNNING;
    return 0;
}

/* There is no guest: no channel, no console and no process.  An empty answer says so. */
static int mock_agent_endpoint(vc_inst *inst, const struct vc_call *call, vc_sink *uri)
{
    struct mock *m = mock_of(inst);

    (void)uri;
    return is_up(m) ? 0 : wrong_state(m, call, "reached");
}

static int mock_console(vc_inst *inst, const struct vc_call *call, vc_sink *uri)
{
    (void)inst;
    (void)call;
    (void)uri;
    return 0;
}

static int mock_pids(vc_inst *inst, const struct vc_call *call, vc_sink *procs)
{
    (void)inst;
    (void)call;
    (void)procs;
    return 0;
}

static int mock_device_add(vc_inst *inst, const struct vc_call *call, const struct vc_device *dev,
                           struct vc_device_result *out)
{
    struct mock *m = mock_of(inst);

    if (!is_up(m))
        return wrong_state(m, call, "given a device");
    if (dev->type < VC_DEV_BLOCK || dev->type > VC_DEV_VHOST_USER)
        return vcs_fail(m->host, call, VC_E_UNSUPPORTED, 0, "there is no device type %u", dev->type);
    if (!id_ok(dev->id))
        return vcs_fail(
            m->host, call, VC_E_INVAL, 0,
            "a device id must be 1 to 31 letters, digits, '_', '.' or '-' and begin with a letter or digit");
    if (find(m, dev->id) >= 0)
        return vcs_fail(m->host, call, VC_E_EXISTS, 0, "the VM has a device %s already", dev->id);
    if (!insert(m, dev->type, dev->id))
        return vcs_fail(m->host, call, VC_E_RESOURCE, 0, "a mock VM holds at most %d devices", MAX_DEVICES);
    if (out && out->size >= offsetof(struct vc_device_result, guest_addr) + sizeof(out->guest_addr))
        snprintf(out->guest_addr, sizeof(out->guest_addr), "%02x/00", (unsigned)find(m, dev->id) + 1);
    return 0;
}

static int mock_device_del(vc_inst *inst, const struct vc_call *call, const char *id)
{
    struct mock *m = mock_of(inst);
    int i;

    if (!is_up(m))
        return wrong_state(m, call, "relieved of a device");
    i = id ? find(m, id) : -1;
    if (i < 0)
        return vcs_fail(m->host, call, VC_E_NOTFOUND, 0, "the VM has no device %.64s", id ? id : "(null)");
    memset(&m->devices[i], 0, sizeof(m->devices[i]));
    return 0;
}

/* ---- templates ---- */

/* What tells one version of the image from another: "PATH SIZE INODE MTIME".  -errno. */
static int put_image(const char *path, struct vcs_buf *b)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return -errno;
    return vcs_buf_printf(b, "image=%s %jd %ju %jd.%09ld\n", path, (intmax_t)st.st_size, (uintmax_t)st.st_ino,
                          (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static int mock_tpl_key(vc_inst *inst, const struct vc_call *call, vc_sink *text)
{
    struct mock *m = mock_of(inst);
    struct vcs_buf b = { 0 };
    int r;

    if (m->state != VC_VM_CREATED)
        return wrong_state(m, call, "asked for its key");
    if (m->kernel_params || (m->vcpus && m->vcpus < TPL_VCPUS) || (m->memory && m->memory < TPL_MEMORY))
        return vcs_fail(m->host, call, VC_E_UNSUPPORTED, 0,
                        "the VM of pod %s cannot come from a template: it has kernel parameters of its own, or less "
                        "memory than a template (%u bytes)",
                        m->pod_id, TPL_MEMORY);
    r = vcs_buf_printf(&b, "mock=1\nvcpus=%u\nmemory=%u\n", TPL_VCPUS, TPL_MEMORY);
    if (r == 0 && m->image)
        r = put_image(m->image, &b);
    if (r == 0)
        r = m->host->write(m->host, text, vcs_buf_data(&b), b.len);
    else
        r = vcs_fail(m->host, call, vcs_code_of(r), r, "cannot look at %s", m->image ? m->image : "nothing");
    vcs_buf_done(&b);
    return r;
}

static int mock_tpl_valid(vc_inst *inst, const struct vc_call *call, struct vc_bytes text)
{
    struct mock *m = mock_of(inst);
    vcs_autofree char *copy = strndup(text.data, text.len), *path = NULL;
    struct vcs_buf b = { 0 };
    char *line, *end;
    int r;

    if (!copy)
        return vcs_fail(m->host, call, VC_E_NOMEM, 0, "out of memory");
    if (strncmp(copy, "mock=1\n", 7) != 0)
        return vcs_fail(m->host, call, VC_E_STATE, 0, "it is not a key that this version of mock writes");
    line = strstr(copy, "\nimage=");
    if (!line)
        return 0;
    end = strchr(++line, '\n');
    if (end)
        end[1] = '\0';
    path = strdup(line + 6);
    if (!path)
        return vcs_fail(m->host, call, VC_E_NOMEM, 0, "out of memory");
    for (int words = 0; words < 3 && (end = strrchr(path, ' ')); words++)
        *end = '\0';
    r = put_image(path, &b);
    if (r < 0)
        r = vcs_fail(m->host, call, VC_E_STATE, r, "its image %s cannot be looked at", path);
    else if (b.len != strlen(line) || memcmp(vcs_buf_data(&b), line, b.len) != 0)
        r = vcs_fail(m->host, call, VC_E_STATE, 0, "its image %s is another one now", path);
    vcs_buf_done(&b);
    return r;
}

static int mock_tpl_boot(vc_inst *inst, const struct vc_call *call, const char *dir)
{
    struct stat st;

    if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
        return vcs_fail(mock_of(inst)->host, call, VC_E_NOTFOUND, errno, "cannot use the directory %s", dir);
    return mock_vm_start(inst, call);
}

static int mock_tpl_save(vc_inst *inst, const struct vc_call *call, const char *dir)
{
    struct mock *m = mock_of(inst);
    int r;

    if (m->state != VC_VM_RUNNING)
        return wrong_state(m, call, "saved");
    vcs_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = fd < 0 ? -errno : vcs_write_file_atomic(fd, "memory", MEMORY_FILE, strlen(MEMORY_FILE), 0600, 1);
    if (r < 0)
        return vcs_fail(m->host, call, vcs_code_of(r), r, "cannot save a mock VM in %s", dir);
    m->state = VC_VM_STOPPED;
    return 0;
}

static int mock_tpl_start(vc_inst *inst, const struct vc_call *call, const char *dir, struct vc_template_started *out)
{
    struct mock *m = mock_of(inst);
    char text[sizeof(MEMORY_FILE) + 1], path[4096];
    ssize_t n;

    if (m->state != VC_VM_CREATED)
        return wrong_state(m, call, "started from a template");
    snprintf(path, sizeof(path), "%s/memory", dir);
    vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    n = fd < 0 ? -errno : vcs_read_full(fd, text, sizeof(text));
    if (n != (ssize_t)strlen(MEMORY_FILE) || memcmp(text, MEMORY_FILE, strlen(MEMORY_FILE)) != 0)
        return vcs_fail(m->host, call, VC_E_CORRUPT, n < 0 ? (int)n : 0, "%s is not the memory of a mock VM", path);
    if (out && out->size >= sizeof(*out)) {
        out->added_vcpus = m->vcpus > TPL_VCPUS ? m->vcpus - TPL_VCPUS : 0;
        out->added_memory = m->memory > TPL_MEMORY ? m->memory - TPL_MEMORY : 0;
    }
    m->state = VC_VM_RUNNING;
    return 0;
}

static const struct vc_template_ops template_ops = {
    .size = sizeof(struct vc_template_ops),
    .key = mock_tpl_key,
    .valid = mock_tpl_valid,
    .boot = mock_tpl_boot,
    .save = mock_tpl_save,
    .start = mock_tpl_start,
};

static const void *mock_ext(vc_inst *inst, const char *id)
{
    (void)inst;
    return strcmp(id, VC_EXT_TEMPLATE) ? NULL : &template_ops;
}

static const struct vc_option options[] = {
    { .key = "image", .type = VC_OPT_PATH, .doc = "A file that stands for the VM's kernel; templates are of it." },
};

static const struct vc_inst_ops inst_ops = {
    .size = sizeof(struct vc_inst_ops),
    .create = mock_create,
    .restore = mock_restore,
    .save = mock_save,
    .check = mock_check,
    .cleanup = mock_cleanup,
    .close = mock_close,
    .caps = mock_caps,
    .ext = mock_ext,
};

static const struct vc_hypervisor_ops hypervisor_ops = {
    .size = sizeof(struct vc_hypervisor_ops),
    .vm_create = mock_vm_create,
    .vm_start = mock_vm_start,
    .vm_stop = mock_vm_stop,
    .vm_state = mock_vm_state,
    .agent_endpoint = mock_agent_endpoint,
    .console = mock_console,
    .pids = mock_pids,
    .device_add = mock_device_add,
    .device_del = mock_device_del,
    .vm_pause = mock_vm_pause,
    .vm_resume = mock_vm_resume,
};

extern const struct vc_plugin vc_plugin_entry;
VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .min_host_minor = 0,
    .kind = VC_KIND_HYPERVISOR,
    .name = "mock",
    .vendor = "libvccore",
    .version = "1.0",
    .description = "A hypervisor without a VM, for tests.",
    .options = options,
    .n_options = sizeof(options) / sizeof(options[0]),
    .option_stride = sizeof(struct vc_option),
    .state_version = 1,
    .state_version_min = 1,
    .caps_max = CAPS,
    .inst = &inst_ops,
    .ops = &hypervisor_ops,
};
