/* SPDX-License-Identifier: Apache-2.0 */
/* config.c: the option table of the qemu plugin and the reading of its section. */
#include "qemu.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/plug.h"

#define MiB (INT64_C(1) << 20)

const struct vc_option qemu_options[QEMU_N_OPTIONS] = {
    { .key = "path",
      .type = VC_OPT_PATH,
      .flags = VC_OPT_MUST_EXIST,
      .def = "/usr/bin/qemu-system-x86_64",
      .doc = "The QEMU program." },
    { .key = "kernel",
      .type = VC_OPT_PATH,
      .flags = VC_OPT_MUST_EXIST,
      .doc = "The guest's kernel, best an uncompressed vmlinux with a PVH entry.  Unset: guest/vmlinux in the data "
             "directory of the installation, which `make guest` makes." },
    { .key = "initrd",
      .type = VC_OPT_PATH,
      .flags = VC_OPT_MUST_EXIST,
      .doc = "The guest's initramfs, best uncompressed.  Unset: guest/vc-initramfs.cpio in the data directory of the "
             "installation, which `make guest` makes." },
    { .key = "firmware",
      .type = VC_OPT_STRING,
      .def = "auto",
      .doc = "Firmware for the guest: a file name that QEMU finds in its data directory, or a path.  \"auto\" takes "
             "qboot.rom, which boots fastest, when QEMU has it; \"\" takes QEMU's default." },
    { .key = "machine", .type = VC_OPT_ENUM, .def = "q35", .choices = "q35", .doc = "Machine type." },
    { .key = "cpu",
      .type = VC_OPT_STRING,
      .def = "auto",
      .doc =
          "CPU model for the guest, as in `qemu -cpu`.  \"auto\" takes host under KVM and an x86-64-v2 model under emulation." },
    { .key = "accelerator",
      .type = VC_OPT_ENUM,
      .def = "auto",
      .choices = "auto kvm tcg",
      .doc = "How guest code runs.  auto takes kvm where the processor shows vmx or svm and /dev/kvm can be used, "
             "else tcg (emulation: works everywhere, slower)." },
    { .key = "channel",
      .type = VC_OPT_ENUM,
      .def = "auto",
      .choices = "auto serial vsock",
      .doc =
          "How the agent is reached.  serial is a virtio-serial port; vsock needs /dev/vhost-vsock on the host.  auto "
          "takes vsock where it can be opened, else serial." },
    { .key = "memory",
      .type = VC_OPT_SIZE,
      .min = 64 * MiB,
      .max = INT64_C(1) << 42,
      .def = "256M",
      .doc = "Memory of a VM whose pod does not say how much it wants; whole MiB." },
    { .key = "max_memory",
      .type = VC_OPT_SIZE,
      .min = 0,
      .max = INT64_C(1) << 42,
      .def = "8G",
      .doc = "To how much memory a VM can grow; whole MiB.  0: it cannot grow." },
    { .key = "vcpus",
      .type = VC_OPT_INT,
      .min = 1,
      .max = 240,
      .def = "1",
      .doc = "Number of vCPUs of a VM whose pod does not say how many it wants." },
    { .key = "max_vcpus",
      .type = VC_OPT_INT,
      .min = 0,
      .max = 240,
      .def = "8",
      .doc = "To how many vCPUs a VM can grow.  0: it cannot grow." },
    { .key = "root_ports",
      .type = VC_OPT_INT,
      .min = 0,
      .max = QEMU_MAX_PORTS,
      .def = "4",
      .doc = "How many devices (disks, network cards) can be plugged into a running VM." },
    { .key = "kernel_params",
      .type = VC_OPT_STRING,
      .def = "",
      .doc = "Words to add to the guest's kernel command line, separated by blanks." },
    { .key = "sandbox",
      .type = VC_OPT_BOOL,
      .def = "true",
      .doc =
          "Start QEMU with its system call filter, which denies it to start programs and to change its privileges." },
    { .key = "console_log",
      .type = VC_OPT_BOOL,
      .def = "false",
      .doc = "Write the guest's console to console.log in the pod's run directory.  For debugging: it slows the boot, "
             "and the guest can make the file as long as it likes." },
};
/* Copy a string option; unset is "". */
static int copy_str(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *key, char **ret)
{
    const char *s = vcs_opt_str(host, cfg, key);

    *ret = strdup(s ? s : "");
    return *ret ? 0 : vcs_fail(host, call, VC_E_NOMEM, 0, "out of memory while reading option %s", key);
}

/* A file of the installation's data directory, unless the option names another one. */
static int data_file(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *key,
                     const char *name, char **ret)
{
    const char *s = vcs_opt_str(host, cfg, key);
    vcs_autofree char *data = NULL;

    if (s && *s)
        return copy_str(host, call, cfg, key, ret);
    data = vcs_path(host, VC_PATH_DATA);
    if (!data || asprintf(ret, "%s/guest/%s", data, name) < 0) {
        *ret = NULL;
        return vcs_fail(host, call, VC_E_NOMEM, 0, "cannot make the default of option %s", key);
    }
    return 0;
}

/* Index of a word of an enumeration; the host has checked that it is one of them. */
static int enum_value(const vc_host *host, const vc_config *cfg, const char *key, const char *const *words)
{
    const char *s = vcs_opt_str(host, cfg, key);

    for (int i = 0; s && words[i]; i++)
        if (!strcmp(s, words[i]))
            return i;
    return 0;
}

int qemu_config_read(const vc_host *host, const struct vc_call *call, const vc_config *cfg, struct qemu_config *ret)
{
    static const char *const accels[] = { "auto", "kvm", "tcg", NULL };
    static const char *const channels[] = { "auto", "serial", "vsock", NULL };
    struct qemu_config c = { 0 };
    int r;

    c.accel = (enum qemu_accel)enum_value(host, cfg, "accelerator", accels);
    c.channel = (enum qemu_channel)enum_value(host, cfg, "channel", channels);
    c.memory = (uint64_t)vcs_opt_int(host, cfg, "memory", 256 * MiB);
    c.max_memory = (uint64_t)vcs_opt_int(host, cfg, "max_memory", 0);
    c.vcpus = (uint32_t)vcs_opt_int(host, cfg, "vcpus", 1);
    c.max_vcpus = (uint32_t)vcs_opt_int(host, cfg, "max_vcpus", 0);
    c.root_ports = (uint32_t)vcs_opt_int(host, cfg, "root_ports", 4);
    c.sandbox = vcs_opt_int(host, cfg, "sandbox", 1) != 0;
    c.console_log = vcs_opt_int(host, cfg, "console_log", 0) != 0;
    if (c.root_ports > QEMU_MAX_PORTS)
        c.root_ports = QEMU_MAX_PORTS;

    if ((r = copy_str(host, call, cfg, "path", &c.path)) < 0 ||
        (r = data_file(host, call, cfg, "kernel", "vmlinux", &c.kernel)) < 0 ||
        (r = data_file(host, call, cfg, "initrd", "vc-initramfs.cpio", &c.initrd)) < 0 ||
        (r = copy_str(host, call, cfg, "firmware", &c.firmware)) < 0 ||
        (r = copy_str(host, call, cfg, "cpu", &c.cpu)) < 0 ||
        (r = copy_str(host, call, cfg, "kernel_params", &c.kernel_params)) < 0) {
        qemu_config_done(&c);
        return r;
    }
    *ret = c;
    return 0;
}

void qemu_config_done(struct qemu_config *c)
{
    free(c->path);
    free(c->kernel);
    free(c->initrd);
    free(c->firmware);
    free(c->cpu);
    free(c->kernel_params);
    memset(c, 0, sizeof(*c));
}

int qemu_config_check_files(const vc_host *host, const struct vc_call *call, const struct qemu_config *c)
{
    const struct {
        const char *key, *path, *hint;
        int mode;
    } files[] = {
        { "path", c->path, "install QEMU or set the option to where it is", X_OK },
        { "kernel", c->kernel, "run `make guest` to make one, or set the option to one", R_OK },
        { "initrd", c->initrd, "run `make guest` to make one, or set the option to one", R_OK },
    };

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct stat st;
        int sys = 0;

        if (stat(files[i].path, &st) < 0 || access(files[i].path, files[i].mode) < 0)
            sys = errno;
        else if (S_ISREG(st.st_mode))
            continue;
        return vcs_fail(host, call, VC_E_CONFIG, sys, "%s (option %s of hypervisor qemu) cannot be used%s; %s",
                        files[i].path, files[i].key, sys ? "" : ": it is not a regular file", files[i].hint);
    }
    return 0;
}

const char *qemu_config_firmware(const struct qemu_config *c)
{
    /* QEMU finds the name in its data directory; these are where distributions put that. */
    static const char *const found[] = { "/usr/share/qemu/qboot.rom", "/usr/local/share/qemu/qboot.rom",
                                         "/usr/share/qboot/qboot.rom" };

    if (strcmp(c->firmware, "auto"))
        return *c->firmware ? c->firmware : NULL;
    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++)
        if (!access(found[i], R_OK))
            return found[i];
    return NULL;
}
