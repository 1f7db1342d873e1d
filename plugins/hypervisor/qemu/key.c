/* SPDX-License-Identifier: Apache-2.0 */
/* key.c: the text that says what a template was made with: one "name=value" on a line, in a fixed order. */
#include "qemu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/plug.h"

#define FORMAT    "vc-qemu-key 1"
#define MAX_KEY   16384
#define MAX_LINES 320
#define MAX_NAME  24

/* ---- values ---- */

/* A file, by what tells one version of it from another; -errno when it is not there. */
static int put_file(struct vcs_buf *out, const char *name, const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return -errno;
    for (const char *p = path; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return -EINVAL; /* could pass for another line */
    return vcs_buf_printf(out, "file.%s=%" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 ".%09ld %" PRId64 ".%09ld %s\n",
                          name, (uint64_t)st.st_dev, (uint64_t)st.st_ino, (int64_t)st.st_size,
                          (int64_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (int64_t)st.st_ctim.tv_sec,
                          st.st_ctim.tv_nsec, path)
               ? -ENOMEM
               : 0;
}

/* What of this machine a guest can see.  Under emulation it still counts by the speed of the time stamp counter, which
 * it learnt when it booted; KVM passes on much more. */
static int put_host(struct vcs_buf *out, enum qemu_accel accel)
{
    struct utsname u;
    char microcode[64];

    if (vcs_buf_printf(out, "host.cpu=%016" PRIx64 "\n", qemu_cpu_identity()))
        return -ENOMEM;
    if (accel != QEMU_ACCEL_KVM)
        return 0;
    qemu_cpu_microcode(microcode, sizeof(microcode));
    if (uname(&u) < 0)
        return -errno;
    return vcs_buf_printf(out, "host.microcode=%s\nhost.kernel=%s %s\n", microcode, u.release, u.version) ? -ENOMEM : 0;
}

/* ---- write ---- */

static int put_files(struct qemu *q, const struct vc_call *call, struct vcs_buf *out)
{
    const struct qemu_config *c = &q->config;
    /* Where distributions keep what QEMU itself adds to a guest; an absent one is looked for in the next place. */
    static const char *const dirs[] = { "/usr/share/qemu", "/usr/local/share/qemu", "/usr/share/seabios" };
    static const char *const roms[] = { "kvmvapic.bin", "pvh.bin", "linuxboot_dma.bin", "bios-256k.bin" };
    const char *firmware = qemu_config_firmware(c);
    const struct {
        const char *name, *path;
    } files[] = { { "qemu", c->path }, { "kernel", c->kernel }, { "initrd", c->initrd }, { "firmware", firmware } };
    int r;

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (!files[i].path)
            continue;
        r = put_file(out, files[i].name, files[i].path);
        if (r == -ENOENT && files[i].path == firmware) /* a name that QEMU finds */
            r = vcs_buf_printf(out, "firmware=%s\n", firmware) ? -ENOMEM : 0;
        if (r < 0)
            return vcs_fail(q->host, call, r == -ENOENT ? VC_E_CONFIG : vcs_code_of(-r), -r, "%s cannot be used",
                            files[i].path);
    }
    for (size_t i = 0; i < sizeof(roms) / sizeof(roms[0]); i++)
        for (size_t k = 0; k < sizeof(dirs) / sizeof(dirs[0]); k++) {
            char path[128];

            snprintf(path, sizeof(path), "%s/%s", dirs[k], roms[i]);
            r = put_file(out, roms[i], path);
            if (r == 0)
                break;
            if (r != -ENOENT)
                return vcs_fail(q->host, call, vcs_code_of(-r), -r, "%s cannot be used", path);
        }
    return 0;
}

int qemu_key_write(struct qemu *q, const struct vc_call *call, const struct qemu_vm *skeleton, struct vcs_buf *out)
{
    struct qemu_launch l = { .from = QEMU_FROM_TEMPLATE,
                             .qmp_fd = 3,
                             .agent_fd = skeleton->channel == QEMU_CHANNEL_SERIAL ? 4 : -1,
                             .vhost_fd = skeleton->channel == QEMU_CHANNEL_VSOCK ? 4 : -1,
                             .memory_fd = 5,
                             .console_path = q->config.console_log ? "/console" : NULL };
    struct qemu_config c = q->config;
    struct qemu_vm vm = *skeleton;
    struct qemu_args args = { 0 };
    const char *why;
    char folder[] = "/share";
    int r, bad;

    bad = vcs_buf_printf(out, "format=%s\n", FORMAT);
    if (!bad && (r = put_files(q, call, out)) < 0)
        return r;
    if (!bad && (r = put_host(out, vm.accel)) < 0)
        return vcs_fail(q->host, call, vcs_code_of(-r), -r, "cannot tell this machine's processor");
    /* The command line with a pod's own things taken out is the rest: so nothing that is on it can be forgotten. */
    l.firmware = qemu_config_firmware(&c);
    if (vm.shared_dir)
        vm.shared_dir = folder;
    c.sandbox = false; /* it shapes no guest */
    r = qemu_cmdline(&c, &vm, &l, &args, &why);
    if (r < 0)
        return vcs_fail(q->host, call, r, 0, "%s", why);
    for (uint32_t i = 1; i < args.n && !bad; i++)
        bad = vcs_buf_printf(out, "arg.%02u=%s\n", i, args.v[i]);
    qemu_args_done(&args);
    if (bad)
        return vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while writing the key of a template");
    if (out->len > MAX_KEY)
        return vcs_fail(q->host, call, VC_E_UNSUPPORTED, 0,
                        "what shapes the VM takes %zu bytes to say, and the key of a template has room for %d",
                        out->len, MAX_KEY);
    return 0;
}

/* ---- check ---- */

static int changed(struct qemu *q, const struct vc_call *call, const char *what)
{
    return vcs_fail(q->host, call, VC_E_STATE, 0, "%s: the template was made with another one", what);
}

/* One line of the text, NUL-terminated.  0, or a failure that is reported. */
static int check_line(struct qemu *q, const struct vc_call *call, const char *line)
{
    struct vcs_buf now = { 0 };
    char name[MAX_NAME + 1];
    const char *eq = strchr(line, '='), *path;
    size_t n = eq ? (size_t)(eq - line) : 0;
    int r = 0;

    if (n == 0 || n > MAX_NAME)
        return vcs_fail(q->host, call, VC_E_STATE, 0, "the text is no key of a template of this plugin");
    memcpy(name, line, n);
    name[n] = '\0';
    if (!strncmp(name, "file.", 5)) {
        path = strchr(eq, '/');
        if (!path)
            return vcs_fail(q->host, call, VC_E_STATE, 0, "the key of the template names no path for %s", name);
        r = put_file(&now, name + 5, path);
        if (r == -ENOMEM)
            r = vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while checking a template");
        else if (r < 0)
            r = vcs_fail(q->host, call, VC_E_STATE, -r, "%s, with which the template was made, is gone", path);
        else if (now.len != strlen(line) + 1 || memcmp(vcs_buf_data(&now), line, now.len - 1))
            r = changed(q, call, path);
    }
    vcs_buf_done(&now);
    return r;
}

/* The lines about this machine, as they are now and as they stand in the text. */
static int check_host(struct qemu *q, const struct vc_call *call, const char *text)
{
    struct vcs_buf now = { 0 };
    const char *at = strstr(text, "\nhost.cpu="), *s = NULL;
    int r = put_host(&now, strstr(text, "\nhost.kernel=") ? QEMU_ACCEL_KVM : QEMU_ACCEL_TCG);

    if (r == 0 && !(s = vcs_buf_str(&now)))
        r = -ENOMEM;
    if (r < 0)
        r = vcs_fail(q->host, call, vcs_code_of(-r), -r, "cannot tell this machine's processor");
    else if (!at || strncmp(at + 1, s, now.len))
        r = changed(q, call, "the processor or the kernel of this machine");
    vcs_buf_done(&now);
    return r;
}

int qemu_key_check(struct qemu *q, const struct vc_call *call, struct vc_bytes text)
{
    static const char first[] = "format=" FORMAT "\n";
    vcs_autofree char *copy = NULL;
    unsigned lines = 0;
    int r;

    if (!text.data || text.len < sizeof(first) || text.len > MAX_KEY || memchr(text.data, '\0', text.len) ||
        memcmp(text.data, first, sizeof(first) - 1) || ((const char *)text.data)[text.len - 1] != '\n')
        return vcs_fail(q->host, call, VC_E_STATE, 0, "the text is no key of a template of this plugin");
    copy = strndup(text.data, text.len);
    if (!copy)
        return vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while checking a template");
    if ((r = check_host(q, call, copy)) < 0)
        return r;
    for (char *line = copy, *end; *line; line = end + 1) {
        end = strchr(line, '\n'); /* there is one: the text ends with it */
        *end = '\0';
        if (++lines > MAX_LINES)
            return vcs_fail(q->host, call, VC_E_STATE, 0, "the key of the template has too many lines");
        if ((r = check_line(q, call, line)) < 0)
            return r;
    }
    return 0;
}
