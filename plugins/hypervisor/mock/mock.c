/* SPDX-License-Identifier: Apache-2.0 */
/* mock.c: a hypervisor without a VM: only the rules of the contract, for tests of everything above it.
 *
 * What a VM would have done is in the saved state: its condition and the devices that are plugged in.  The state is
 * text, one word a line: "mock", the condition, then "dev TYPE ID" for each device. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vc/hypervisor.h>

#include "lib/buf.h"
#include "lib/plug.h"

#define MAX_DEVICES 32
#define MAX_STATE   (64 * 1024)
#define CAPS        (VC_HV_CAP_PAUSE | VC_HV_CAP_HOTPLUG | VC_HV_CAP_NO_GUEST)

struct mock {
    const vc_host *host;
    char *pod_id;
    uint32_t state; /* VC_VM_* */
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

    free(m->pod_id);
    free(m);
}

static int mock_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       vc_inst **out)
{
    struct mock *m = calloc(1, sizeof(*m));

    (void)cfg;
    if (!m || !(m->pod_id = strdup(pod_id))) {
        free(m);
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

    if (state_version != 1 || state.len == 0 || state.len > MAX_STATE || memchr(state.data, 0, state.len))
        return vcs_fail(host, call, VC_E_CORRUPT, 0,
                        "the stored state of the mock VM is of another version or no text");
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

    (void)config;
    if (m->state != VC_VM_NONE)
        return vcs_fail(m->host, call, VC_E_EXISTS, 0, "the VM of pod %s was described already", m->pod_id);
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

static const struct vc_inst_ops inst_ops = {
    .size = sizeof(struct vc_inst_ops),
    .create = mock_create,
    .restore = mock_restore,
    .save = mock_save,
    .check = mock_check,
    .cleanup = mock_cleanup,
    .close = mock_close,
    .caps = mock_caps,
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
    .option_stride = sizeof(struct vc_option),
    .state_version = 1,
    .state_version_min = 1,
    .caps_max = CAPS,
    .inst = &inst_ops,
    .ops = &hypervisor_ops,
};
