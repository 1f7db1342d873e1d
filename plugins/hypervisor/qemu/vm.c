/* SPDX-License-Identifier: Apache-2.0 */
/* vm.c: the description of a VM: what the pod wants, completed from the configuration, and checked. */
#include "qemu.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/plug.h"

#define MiB        (UINT64_C(1) << 20)
#define MIN_MEMORY (64 * MiB)
#define MAX_MEMORY (UINT64_C(1) << 42)
#define MAX_VCPUS  240
/* Under emulation a guest's addresses have 40 bits; the top of them is kept free, and so is room for devices. */
#define MAX_TCG_MEMORY (UINT64_C(960) << 30)

/* Printable ASCII without quotes and backslash: nothing that could end or join words of a kernel command line. */
static bool params_ok(const char *s)
{
    for (; *s; s++)
        if (*s < ' ' || *s > '~' || strchr("\"'\\`", *s))
            return false;
    return true;
}

static bool tag_ok(const char *s)
{
    size_t n = strlen(s);

    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("_.-", *s))
            return false;
    return n > 0 && n <= 31;
}

static bool path_ok(const char *s)
{
    if (*s != '/')
        return false;
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

const char *qemu_vm_invalid(const struct qemu_vm *vm)
{
    if (vm->memory < MIN_MEMORY || vm->memory > MAX_MEMORY || vm->memory % MiB)
        return "the memory of a VM must be whole MiB, at least 64 MiB and at most 4 TiB";
    if (vm->max_memory < vm->memory || vm->max_memory > MAX_MEMORY || vm->max_memory % MiB)
        return "the most memory a VM can have must be whole MiB, not less than what it starts with and at most 4 TiB";
    if (vm->vcpus < 1 || vm->vcpus > vm->max_vcpus || vm->max_vcpus > MAX_VCPUS)
        return "a VM must have at least 1 vCPU, and not more than its maximum, which is at most 240";
    if (!vm->shared_dir != !vm->share_tag)
        return "a shared folder needs both a directory and a mount tag";
    if (vm->shared_dir && !path_ok(vm->shared_dir))
        return "the shared folder must be an absolute path without control characters";
    if (vm->share_tag && !tag_ok(vm->share_tag))
        return "the mount tag of the shared folder must be 1 to 31 letters, digits, '_', '.' or '-'";
    if (vm->kernel_params && (strlen(vm->kernel_params) > QEMU_MAX_APPEND || !params_ok(vm->kernel_params)))
        return "kernel parameters must be printable ASCII without quotes and backslashes, at most 2047 bytes";
    return NULL;
}

/* The accelerator and the channel for this VM. */
static int choose(const vc_host *host, const struct vc_call *call, const struct qemu_config *c, struct qemu_vm *vm)
{
    const char *why = "as configured";

    vm->accel = c->accel;
    if (vm->accel == QEMU_ACCEL_AUTO)
        vm->accel = qemu_kvm_works(&why) ? QEMU_ACCEL_KVM : QEMU_ACCEL_TCG;
    else if (vm->accel == QEMU_ACCEL_KVM && !qemu_kvm_works(&why)) /* its VM would come to a halt somewhere */
        return vcs_fail(host, call, VC_E_CONFIG, 0,
                        "accelerator = \"kvm\" of hypervisor qemu cannot be used here: %s; use \"auto\" or \"tcg\"",
                        why);
    vcs_log(host, VC_LOG_INFO, "qemu: accelerator %s: %s", vm->accel == QEMU_ACCEL_KVM ? "kvm" : "tcg", why);

    vm->channel = c->channel;
    if (vm->channel == QEMU_CHANNEL_SERIAL)
        return 0;
    if (!access("/dev/vhost-vsock", R_OK | W_OK))
        vm->channel = QEMU_CHANNEL_VSOCK;
    else if (vm->channel == QEMU_CHANNEL_VSOCK)
        return vcs_fail(host, call, VC_E_CONFIG, errno,
                        "channel = \"vsock\" of hypervisor qemu needs /dev/vhost-vsock; load the module vhost_vsock or "
                        "use \"serial\"");
    else
        vm->channel = QEMU_CHANNEL_SERIAL;
    return 0;
}

int qemu_vm_describe(const vc_host *host, const struct vc_call *call, const struct qemu_config *c,
                     const struct vc_vm_config *want, struct qemu_vm *ret)
{
    struct qemu_vm vm = {
        .memory = want->memory ? want->memory : c->memory,
        .vcpus = want->vcpus ? want->vcpus : c->vcpus,
        .max_memory = want->max_memory,
        .max_vcpus = want->max_vcpus,
    };
    const char *why;
    int r;

    if (!params_ok(c->kernel_params))
        return vcs_fail(
            host, call, VC_E_CONFIG, 0,
            "option kernel_params of hypervisor qemu must be printable ASCII without quotes and backslashes");
    /* A pod that does not say how far it may grow gets the configured room, or what it starts with. */
    if (!vm.max_memory)
        vm.max_memory = c->max_memory > vm.memory ? c->max_memory : vm.memory;
    if (!vm.max_vcpus)
        vm.max_vcpus = c->max_vcpus > vm.vcpus ? c->max_vcpus : vm.vcpus;
    if ((want->shared_dir && !(vm.shared_dir = strdup(want->shared_dir))) ||
        (want->share_tag && !(vm.share_tag = strdup(want->share_tag))) ||
        (want->kernel_params && !(vm.kernel_params = strdup(want->kernel_params)))) {
        qemu_vm_done(&vm);
        return vcs_fail(host, call, VC_E_NOMEM, 0, "out of memory while describing the VM");
    }
    why = qemu_vm_invalid(&vm);
    r = why ? vcs_fail(host, call, VC_E_INVAL, 0, "%s; this one is to have %llu bytes, up to %llu, and %u to %u vCPUs", why,
                       (unsigned long long)vm.memory, (unsigned long long)vm.max_memory, vm.vcpus, vm.max_vcpus)
            : 0;
    if (r == 0)
        r = choose(host, call, c, &vm);
    if (r == 0 && vm.accel == QEMU_ACCEL_TCG && !strcmp(c->cpu, "auto") && vm.max_memory > MAX_TCG_MEMORY)
        r = vcs_fail(host, call, VC_E_INVAL, 0,
                     "a VM cannot have up to %llu MiB of memory under emulation: memory and max_memory of hypervisor "
                     "qemu can be at most %llu MiB there",
                     (unsigned long long)(vm.max_memory >> 20), (unsigned long long)(MAX_TCG_MEMORY >> 20));
    if (r < 0)
        qemu_vm_done(&vm);
    else
        *ret = vm;
    return r;
}

struct qemu_vm qemu_vm_skeleton(const struct qemu_config *c, const struct qemu_vm *vm)
{
    struct qemu_vm s = *vm;

    s.memory = c->memory;
    s.max_memory = c->max_memory > c->memory ? c->max_memory : c->memory;
    s.vcpus = c->vcpus;
    s.max_vcpus = c->max_vcpus > c->vcpus ? c->max_vcpus : c->vcpus;
    return s;
}

void qemu_vm_done(struct qemu_vm *vm)
{
    free(vm->shared_dir);
    free(vm->share_tag);
    free(vm->kernel_params);
    memset(vm, 0, sizeof(*vm));
}
