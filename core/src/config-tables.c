/* SPDX-License-Identifier: Apache-2.0 */
/* config-tables.c: the members of configurations as JSON: those of the original's 1.0 API, and ours in its style. */
#include <stddef.h>
#include <string.h>

#include "config-shape.h"

#define AT(T, m) .at = offsetof(struct T, m)
#define COUNT(T, m) .n_at = offsetof(struct T, m)
#define SHAPE(T, table) { #T, sizeof(struct T), table, sizeof(table) / sizeof(*(table)) }
#define MAX_MIB (UINT64_C(1) << 32)

/* ---- processes ---- */

static const struct vci_field caps_fields[] = {
    { "Bounding", VCI_F_STRV, AT(vc_capabilities, bounding) },
    { "Effective", VCI_F_STRV, AT(vc_capabilities, effective) },
    { "Inheritable", VCI_F_STRV, AT(vc_capabilities, inheritable) },
    { "Permitted", VCI_F_STRV, AT(vc_capabilities, permitted) },
    { "Ambient", VCI_F_STRV, AT(vc_capabilities, ambient) },
};
const struct vci_shape vci_shape_caps = SHAPE(vc_capabilities, caps_fields);

static const struct vci_field process_fields[] = {
    { "Args", VCI_F_STRV, AT(vc_process_config, args) },
    { "Envs", VCI_F_ENVS, AT(vc_process_config, env) },
    { "WorkDir", VCI_F_STR, AT(vc_process_config, cwd) },
    { "User", VCI_F_STR, AT(vc_process_config, user) },
    { "PrimaryGroup", VCI_F_STR, AT(vc_process_config, group) },
    { "SupplementaryGroups", VCI_F_STRV, AT(vc_process_config, groups) },
    { "Interactive", VCI_F_BOOL, AT(vc_process_config, terminal) },
    { "Console", VCI_F_STR, AT(vc_process_config, console) },
    { "Detach", VCI_F_DETACH, .at = 0 },
    { "NoNewPrivileges", VCI_F_BOOL, AT(vc_process_config, no_new_privs) },
    { "Capabilities", VCI_F_CAPS, .at = 0 },
    { "Foreground", VCI_F_FLAG, AT(vc_process_config, stdio_flags), .max = VC_STDIO_FOREGROUND },
    { "Rows", VCI_F_U32, AT(vc_process_config, rows), .max = 65535 },
    { "Columns", VCI_F_U32, AT(vc_process_config, cols), .max = 65535 },
    { "OCIProcess", VCI_F_RAW, AT(vc_process_config, process_json) },
};
const struct vci_shape vci_shape_process = SHAPE(vc_process_config, process_fields);

/* ---- containers ---- */

static const struct vci_field mount_fields[] = {
    { "Source", VCI_F_STR, AT(vc_mount, source) },
    { "Destination", VCI_F_STR, AT(vc_mount, destination) },
    { "Type", VCI_F_STR, AT(vc_mount, type) },
    { "Options", VCI_F_STRV, AT(vc_mount, options) },
    { "ReadOnly", VCI_F_BOOL, AT(vc_mount, readonly) },
    { "HostPath", VCI_F_NEVER, .at = 0 },
};
const struct vci_shape vci_shape_mount = SHAPE(vc_mount, mount_fields);

static const struct vci_field device_fields[] = {
    { "HostPath", VCI_F_STR, AT(vc_device_info, host_path) },
    { "ContainerPath", VCI_F_STR, AT(vc_device_info, container_path) },
    { "DevType", VCI_F_STR, AT(vc_device_info, type) },
    { "Major", VCI_F_I64, AT(vc_device_info, major), .max = UINT32_MAX },
    { "Minor", VCI_F_I64, AT(vc_device_info, minor), .max = UINT32_MAX },
    { "FileMode", VCI_F_U32, AT(vc_device_info, file_mode), .max = 0777 },
    { "UID", VCI_F_U32, AT(vc_device_info, uid), .max = UINT32_MAX - 1 },
    { "GID", VCI_F_U32, AT(vc_device_info, gid), .max = UINT32_MAX - 1 },
    { "Hotplugged", VCI_F_NEVER, .at = 0 },
    { "ID", VCI_F_NEVER, .at = 0 },
};
const struct vci_shape vci_shape_device = SHAPE(vc_device_info, device_fields);

static const struct vci_field hook_fields[] = {
    { "Path", VCI_F_STR, AT(vc_hook, path) },
    { "Args", VCI_F_STRV, AT(vc_hook, args) },
    { "Env", VCI_F_STRV, AT(vc_hook, env) },
    { "Timeout", VCI_F_U32, AT(vc_hook, timeout), .max = UINT32_MAX },
};
const struct vci_shape vci_shape_hook = SHAPE(vc_hook, hook_fields);

static const struct vci_field hooks_fields[] = {
    { "PreStartHooks", VCI_F_LIST, AT(vc_hooks, prestart), COUNT(vc_hooks, n_prestart), .sub = &vci_shape_hook },
    { "PostStartHooks", VCI_F_LIST, AT(vc_hooks, poststart), COUNT(vc_hooks, n_poststart), .sub = &vci_shape_hook },
    { "PostStopHooks", VCI_F_LIST, AT(vc_hooks, poststop), COUNT(vc_hooks, n_poststop), .sub = &vci_shape_hook },
};
const struct vci_shape vci_shape_hooks = SHAPE(vc_hooks, hooks_fields);

static const struct vci_field limit_fields[] = {
    { "CPUQuota", VCI_F_I64, AT(vc_container_config, cpu_quota), .max = INT64_MAX },
    { "CPUPeriod", VCI_F_U64, AT(vc_container_config, cpu_period), .max = INT64_MAX },
    { "CPUShares", VCI_F_U64, AT(vc_container_config, cpu_shares), .max = INT64_MAX },
    { "MemoryLimit", VCI_F_U64, AT(vc_container_config, memory_limit), .max = INT64_MAX },
    { "PidsLimit", VCI_F_I64, AT(vc_container_config, pids_limit), .max = INT64_MAX },
};
static const struct vci_shape limit_shape = SHAPE(vc_container_config, limit_fields);

static const struct vci_field container_fields[] = {
    { "ID", VCI_F_STR, AT(vc_container_config, id) },
    { "RootFs", VCI_F_STR, AT(vc_container_config, rootfs) },
    { "ReadonlyRootfs", VCI_F_BOOL, AT(vc_container_config, readonly_rootfs) },
    { "Cmd", VCI_F_OBJ, AT(vc_container_config, process), .min = 1, .sub = &vci_shape_process },
    { "Annotations", VCI_F_MAP, AT(vc_container_config, annotations) },
    { "Mounts", VCI_F_LIST, AT(vc_container_config, mounts), COUNT(vc_container_config, n_mounts), .sub = &vci_shape_mount },
    { "DeviceInfos", VCI_F_LIST, AT(vc_container_config, devices), COUNT(vc_container_config, n_devices),
      .sub = &vci_shape_device },
    { "Resources", VCI_F_GROUP, .sub = &limit_shape },
    { "Hooks", VCI_F_OBJ, AT(vc_container_config, hooks), .sub = &vci_shape_hooks },
    { "Sysctl", VCI_F_MAP, AT(vc_container_config, sysctl) },
    { "Rlimits", VCI_F_STRV, AT(vc_container_config, rlimits) },
    { "OCISpec", VCI_F_RAW, AT(vc_container_config, spec_json) },
};
const struct vci_shape vci_shape_container = SHAPE(vc_container_config, container_fields);

/* ---- pods ---- */

static const struct vci_field volume_fields[] = {
    { "MountTag", VCI_F_STR, AT(vc_volume, tag) },
    { "HostPath", VCI_F_STR, AT(vc_volume, host_path) },
    { "ReadOnly", VCI_F_BOOL, AT(vc_volume, readonly) },
};
const struct vci_shape vci_shape_volume = SHAPE(vc_volume, volume_fields);

static const struct vci_field vm_fields[] = {
    { "VCPUs", VCI_F_U32, AT(vc_pod_config, vcpus), .max = UINT32_MAX },
    { "Memory", VCI_F_MIB, AT(vc_pod_config, memory), .max = MAX_MIB },
    { "MemoryBytes", VCI_F_BYTES, AT(vc_pod_config, memory), .max = MAX_MIB << 20 },
};
static const struct vci_shape vm_shape = SHAPE(vc_pod_config, vm_fields);

static const struct vci_field pod_fields[] = {
    { "ID", VCI_F_STR, AT(vc_pod_config, id) },
    { "Hostname", VCI_F_STR, AT(vc_pod_config, hostname) },
    { "Hooks", VCI_F_OBJ, AT(vc_pod_config, hooks), .sub = &vci_shape_hooks },
    { "VMConfig", VCI_F_GROUP, .sub = &vm_shape },
    { "HypervisorType", VCI_F_STR, AT(vc_pod_config, hypervisor) },
    { "HypervisorConfig", VCI_F_SETTINGS, AT(vc_pod_config, settings), .words = "hypervisor" },
    { "AgentType", VCI_F_STR, AT(vc_pod_config, agent) },
    { "AgentConfig", VCI_F_SETTINGS, AT(vc_pod_config, settings), .words = "agent" },
    { "ProxyType", VCI_F_STR, AT(vc_pod_config, proxy) },
    { "ProxyConfig", VCI_F_SETTINGS, AT(vc_pod_config, settings), .words = "proxy" },
    { "ShimType", VCI_F_STR, AT(vc_pod_config, shim) },
    { "ShimConfig", VCI_F_SETTINGS, AT(vc_pod_config, settings), .words = "shim" },
    { "NetworkModel", VCI_F_STR, AT(vc_pod_config, network) },
    { "NetworkConfig", VCI_F_SETTINGS, AT(vc_pod_config, settings), .words = "network" },
    { "Volumes", VCI_F_LIST, AT(vc_pod_config, volumes), COUNT(vc_pod_config, n_volumes), .sub = &vci_shape_volume },
    { "Containers", VCI_F_LIST, AT(vc_pod_config, containers), COUNT(vc_pod_config, n_containers),
      .sub = &vci_shape_container },
    { "Annotations", VCI_F_MAP, AT(vc_pod_config, annotations) },
    { "Settings", VCI_F_MAP, AT(vc_pod_config, settings) },
    { "DNS", VCI_F_STRV, AT(vc_pod_config, dns) },
    { "Template", VCI_F_ENUM, AT(vc_pod_config, vm_template), .min = VC_TEMPLATE_AUTO,
      .words = "auto off require" },
    { "DeferVM", VCI_F_FLAG, AT(vc_pod_config, flags), .max = VC_POD_DEFER_VM },
    { "Owned", VCI_F_FLAG, AT(vc_pod_config, flags), .max = VC_POD_OWNED },
};
const struct vci_shape vci_shape_pod = SHAPE(vc_pod_config, pod_fields);

/* ---- what stands alone ---- */

static const struct vci_field resources_fields[] = {
    { "CPUQuota", VCI_F_I64, AT(vc_resources, cpu_quota), .min = -1, .max = INT64_MAX },
    { "CPUPeriod", VCI_F_U64, AT(vc_resources, cpu_period), .max = INT64_MAX },
    { "CPUShares", VCI_F_U64, AT(vc_resources, cpu_shares), .max = INT64_MAX },
    { "MemoryLimit", VCI_F_U64, AT(vc_resources, memory_limit), .max = INT64_MAX },
    { "PidsLimit", VCI_F_I64, AT(vc_resources, pids_limit), .min = -1, .max = INT64_MAX },
    { "OCIResources", VCI_F_RAW, AT(vc_resources, json) },
};
const struct vci_shape vci_shape_resources = SHAPE(vc_resources, resources_fields);

static const struct vci_field ps_fields[] = {
    { "Format", VCI_F_ENUM, AT(vc_ps_options, format), .words = "json table" },
    { "Args", VCI_F_STRV, AT(vc_ps_options, args) },
};
const struct vci_shape vci_shape_ps = SHAPE(vc_ps_options, ps_fields);

/* ---- what became options of plugins ---- */

const struct vci_setting_name vci_setting_names[] = {
    { "hypervisor", "HypervisorConfig", "KernelPath", "kernel", VCI_S_STR },
    { "hypervisor", "HypervisorConfig", "ImagePath", "image", VCI_S_STR },
    { "hypervisor", "HypervisorConfig", "FirmwarePath", "firmware", VCI_S_STR },
    { "hypervisor", "HypervisorConfig", "MachineAccelerators", "machine_accelerators", VCI_S_STR },
    { "hypervisor", "HypervisorConfig", "HypervisorPath", "path", VCI_S_STR },
    { "hypervisor", "HypervisorConfig", "DisableBlockDeviceUse", "disable_block_device_use", VCI_S_BOOL },
    { "hypervisor", "HypervisorConfig", "KernelParams", "kernel_params", VCI_S_PARAMS },
    { "hypervisor", "HypervisorConfig", "HypervisorParams", "hypervisor_params", VCI_S_PARAMS },
    { "hypervisor", "HypervisorConfig", "HypervisorMachineType", "machine", VCI_S_STR },
    { "hypervisor", "HypervisorConfig", "Debug", "console_log", VCI_S_BOOL },
    { "hypervisor", "HypervisorConfig", "DefaultVCPUs", "vcpus", VCI_S_INT },
    { "hypervisor", "HypervisorConfig", "DefaultMaxVCPUs", "max_vcpus", VCI_S_INT },
    { "hypervisor", "HypervisorConfig", "DefaultMemSz", "memory", VCI_S_MIB },
    { "hypervisor", "HypervisorConfig", "DefaultBridges", "bridges", VCI_S_INT },
    { "hypervisor", "HypervisorConfig", "MemPrealloc", "mem_prealloc", VCI_S_BOOL },
    { "hypervisor", "HypervisorConfig", "HugePages", "hugepages", VCI_S_BOOL },
    { "hypervisor", "HypervisorConfig", "Realtime", "realtime", VCI_S_BOOL },
    { "hypervisor", "HypervisorConfig", "Mlock", "mlock", VCI_S_BOOL },
    { "hypervisor", "HypervisorConfig", "DisableNestingChecks", "disable_nesting_checks", VCI_S_BOOL },
    { "hypervisor", "HypervisorConfig", "BlockDeviceDriver", "block_device_driver", VCI_S_STR },
    { "agent", "AgentConfig", "SockCtlName", "sock_ctl_name", VCI_S_STR },
    { "agent", "AgentConfig", "SockTtyName", "sock_tty_name", VCI_S_STR },
    { "agent", "AgentConfig", "GRPCSocket", "grpc_socket", VCI_S_STR },
    { "proxy", "ProxyConfig", "Path", "path", VCI_S_STR },
    { "proxy", "ProxyConfig", "Debug", "debug", VCI_S_BOOL },
    { "shim", "ShimConfig", "Path", "path", VCI_S_STR },
    { "shim", "ShimConfig", "Debug", "debug", VCI_S_BOOL },
    { "network", "NetworkConfig", "NetNSPath", "netns", VCI_S_STR },
    { "network", "NetworkConfig", "NumInterfaces", "interfaces", VCI_S_INT },
    { "network", "NetworkConfig", "InterworkingModel", "model", VCI_S_MODEL },
};
const size_t vci_n_setting_names = sizeof vci_setting_names / sizeof *vci_setting_names;

const struct vci_setting_name *vci_setting_by_option(const char *kind, const char *option)
{
    for (size_t i = 0; i < vci_n_setting_names; i++)
        if (strcmp(vci_setting_names[i].kind, kind) == 0 && strcmp(vci_setting_names[i].option, option) == 0)
            return &vci_setting_names[i];
    return NULL;
}
