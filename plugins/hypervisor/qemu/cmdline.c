/* SPDX-License-Identifier: Apache-2.0 */
/* cmdline.c: the QEMU command line of a VM, as a pure function.
 *
 * The skeleton (machine, channels, shared folder, root ports, rng) is the same for every VM of a configuration, so
 * that a saved VM can become any other one.  Sockets are handed over as descriptors: no path can go stale or be
 * mistaken, and clients may connect before QEMU is up. */
#include "qemu.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"

/* Kernel parameters that both accelerators want: a panic ends the VM at once (-no-reboot), the crypto self tests
 * and certificate parsing cost a quarter of the boot under emulation and protect nothing here.  The root ports need
 * no services of their own (hotplug, power events, error reports): q35 hotplugs by ACPI.  Plugged memory is taken into
 * use at once; because it may lie above 4 GiB, a guest would set 64 MiB aside for devices that cannot reach that. */
#define APPEND_COMMON                                                                                                  \
    "panic=-1 no_timer_check noreplace-smp cryptomgr.notests pcie_ports=compat memhp_default_state=online "            \
    "swiotlb=noforce 8250.nr_uarts="
#define APPEND_KVM " tsc=reliable random.trust_cpu=on"
/* Under emulation: no APIC timer calibration (a busy wait of 100 ms of guest time), and none of the initcalls that
 * cost much and serve hardware or features this guest has not.  Kernels ignore names they do not know.
 *
 * What a pod costs is the number of pieces of kernel code that it is the first to run, so code that serves nobody is
 * left out: defences against speculation, which emulated code does not do; security modules without a policy, of which
 * those stay that a process uses by itself; and the accounting of pressure at every change of process.  Memory is
 * still cleared when it is handed out, and cgroups account all that they did. */
#define APPEND_TCG                                                                                                     \
    " nolapic_timer mitigations=off lsm=landlock,yama psi=0 initcall_blacklist=init_kprobe_trace,slab_sysfs_init,"     \
    "cmos_init,load_system_certificate_list,i8042_init,snapshot_device_init,crypto_kdf108_init,init_ima,"              \
    "init_encrypted"

/* Under emulation: what programs built for x86-64-v2 need, and a hardware random number, so that nothing in the guest
 * waits for entropy.  Every further feature makes the boot slower ("max": 8 %). */
#define CPU_TCG "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+lahf-lm,+rdrand"

static char *take(struct qemu_args *a, char *s)
{
    if (!s || a->failed)
        goto fail;
    if (a->n + 1 >= a->cap) {
        uint32_t cap = a->cap ? a->cap * 2 : 64;
        char **v = realloc(a->v, cap * sizeof(*v));

        if (!v)
            goto fail;
        a->v = v;
        a->cap = cap;
    }
    a->v[a->n++] = s;
    a->v[a->n] = NULL;
    return s;
fail:
    a->failed = 1;
    free(s);
    return NULL;
}

static void put(struct qemu_args *a, const char *s)
{
    take(a, strdup(s));
}

static void putf(struct qemu_args *a, const char *fmt, ...) VCS_PRINTF(2, 3);
static void putf(struct qemu_args *a, const char *fmt, ...)
{
    va_list ap;
    char *s;

    va_start(ap, fmt);
    if (vasprintf(&s, fmt, ap) < 0)
        s = NULL;
    va_end(ap);
    take(a, s);
}

/* A value inside an option list: QEMU reads two commas as one. */
static char *escape(const char *s)
{
    char *out = malloc(2 * strlen(s) + 1), *p = out;

    if (!out)
        return NULL;
    for (; *s; s++) {
        *p++ = *s;
        if (*s == ',')
            *p++ = ',';
    }
    *p = '\0';
    return out;
}

static void put_memory(struct qemu_args *a, const struct qemu_vm *vm, const struct qemu_launch *l)
{
    unsigned long long mib = vm->memory >> 20;

    put(a, "-object");
    if (l->from == QEMU_FROM_BOOT)
        putf(a, "memory-backend-memfd,id=m0,size=%lluM,share=on", mib);
    else /* "off": what the VM writes is its own, and the file stays as it is */
        putf(a, "memory-backend-file,id=m0,size=%lluM,mem-path=/proc/self/fd/%d,share=%s", mib, l->memory_fd,
             l->from == QEMU_FROM_MAKING ? "on" : "off");
    put(a, "-m");
    if (vm->max_memory > vm->memory)
        putf(a, "%lluM,slots=%d,maxmem=%lluM", mib, QEMU_DIMM_SLOTS, (unsigned long long)(vm->max_memory >> 20));
    else
        putf(a, "%lluM", mib);
}

static void put_machine(struct qemu_args *a, const struct qemu_config *c, const struct qemu_vm *vm,
                        const struct qemu_launch *l)
{
    bool kvm = vm->accel == QEMU_ACCEL_KVM;

    put(a, "-machine");
    putf(a, "q35,accel=%s,memory-backend=m0,smm=off,vmport=off", kvm ? "kvm" : "tcg");
    put(a, "-cpu");
    put(a, strcmp(c->cpu, "auto") ? c->cpu : kvm ? "host" : CPU_TCG);
    if (kvm) {
        put(a, "-global");
        put(a, "kvm-pit.lost_tick_policy=discard");
    }
    put_memory(a, vm, l);
    put(a, "-smp");
    putf(a, "%u,maxcpus=%u", vm->vcpus, vm->max_vcpus);
}

/* The guest's command line; NULL without memory or (*why) when it is too long. */
static char *kernel_cmdline(const struct qemu_config *c, const struct qemu_vm *vm, const struct qemu_launch *l,
                            const char **ret_why)
{
    char tsc[60] = "", *s;
    bool tcg = vm->accel == QEMU_ACCEL_TCG;

    /* The emulator's TSC is the host's, whose speed is known only where it never changes: nothing has to watch it. */
    if (tcg && l->tsc_khz)
        snprintf(tsc, sizeof(tsc), " tsc=reliable tsc_early_khz=%u", l->tsc_khz);
    if (asprintf(&s, "%s" APPEND_COMMON "%d%s%s%s%s%s%s", l->console_path ? "console=ttyS0 " : "quiet ",
                 l->console_path ? 1 : 0, tcg ? APPEND_TCG : APPEND_KVM, tsc, *c->kernel_params ? " " : "",
                 c->kernel_params, vm->kernel_params && *vm->kernel_params ? " " : "",
                 vm->kernel_params ? vm->kernel_params : "") < 0)
        return NULL;
    if (strlen(s) > QEMU_MAX_APPEND) {
        *ret_why = "the kernel command line is longer than the 2047 bytes that a kernel reads: shorten kernel_params";
        free(s);
        return NULL;
    }
    return s;
}

static void put_channels(struct qemu_args *a, const struct qemu_launch *l)
{
    put(a, "-chardev");
    putf(a, "socket,id=qmp,fd=%d,server=on,wait=off", l->qmp_fd);
    put(a, "-mon");
    put(a, "chardev=qmp,mode=control");
    if (l->agent_fd >= 0) {
        put(a, "-device");
        /* Port 0 is a console's.  The driver sets up two queues for every port there could be, 31 if not told so. */
        put(a, "virtio-serial-pci,id=serial,max_ports=2");
        put(a, "-chardev");
        putf(a, "socket,id=agent,fd=%d,server=on,wait=off", l->agent_fd);
        put(a, "-device");
        put(a, "virtserialport,bus=serial.0,nr=1,chardev=agent,id=port0,name=agent.channel.0");
    }
    if (l->vhost_fd >= 0) {
        put(a, "-device");
        putf(a, "vhost-vsock-pci,id=vsock,vhostfd=%d,guest-cid=%u", l->vhost_fd, l->cid);
    }
    if (l->console_path) {
        vcs_autofree char *path = escape(l->console_path);

        put(a, "-chardev");
        if (path)
            putf(a, "file,id=console,path=%s", path);
        else
            a->failed = 1;
        put(a, "-serial");
        put(a, "chardev:console");
    }
}

static void put_devices(struct qemu_args *a, const struct qemu_config *c, const struct qemu_vm *vm)
{
    if (vm->shared_dir) {
        vcs_autofree char *path = escape(vm->shared_dir);

        put(a, "-fsdev");
        if (path)
            putf(a, "local,id=share,security_model=none,multidevs=remap,path=%s", path);
        else
            a->failed = 1;
        put(a, "-device");
        putf(a, "virtio-9p-pci,id=share,fsdev=share,mount_tag=%s", vm->share_tag);
    }
    put(a, "-object");
    put(a, "rng-builtin,id=rng");
    put(a, "-device");
    put(a, "virtio-rng-pci,rng=rng");
    /* Devices cannot be plugged into the root bus of q35 itself. */
    for (uint32_t i = 0; i < c->root_ports; i++) {
        put(a, "-device");
        putf(a, "pcie-root-port,id=rp%u,bus=pcie.0,addr=0x%x,chassis=%u,slot=%u", i, QEMU_FIRST_PORT_SLOT + i, i + 1,
             i + 1);
    }
}

int qemu_cmdline(const struct qemu_config *c, const struct qemu_vm *vm, const struct qemu_launch *l,
                 struct qemu_args *ret, const char **ret_why)
{
    struct qemu_args a = { 0 };
    char *append;

    *ret_why = "out of memory while making the QEMU command line";
    append = kernel_cmdline(c, vm, l, ret_why);
    if (!append)
        return strstr(*ret_why, "out of memory") ? VC_E_NOMEM : VC_E_CONFIG;

    put(&a, c->path);
    put_machine(&a, c, vm, l);
    put(&a, "-nodefaults");
    put(&a, "-no-user-config");
    put(&a, "-display");
    put(&a, "none");
    put(&a, "-no-reboot");
    if (l->firmware) {
        put(&a, "-bios");
        put(&a, l->firmware);
    }
    put(&a, "-kernel");
    put(&a, c->kernel);
    put(&a, "-initrd");
    put(&a, c->initrd);
    put(&a, "-append");
    take(&a, append);
    put_channels(&a, l);
    put_devices(&a, c, vm);
    if (l->from == QEMU_FROM_TEMPLATE) {
        put(&a, "-incoming");
        put(&a, "defer"); /* until the monitor has said how the state is to be read */
    }
    if (c->sandbox) {
        put(&a, "-sandbox");
        put(&a, "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    }
    if (a.failed) {
        qemu_args_done(&a);
        return VC_E_NOMEM;
    }
    *ret = a;
    return 0;
}

void qemu_args_done(struct qemu_args *a)
{
    for (uint32_t i = 0; i < a->n; i++)
        free(a->v[i]);
    free(a->v);
    memset(a, 0, sizeof(*a));
}
