/* SPDX-License-Identifier: Apache-2.0 */
/* checks-hypervisor-devices.c: H5 and H9: devices of all types, and paths with odd characters. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/if_tun.h>

#include "conformance/hv-checks.h"
#include "conformance/peer.h"
#include "lib/io.h"
#include "lib/proc.h"

#define MANY 40 /* more than a VM has places for */

static const struct vc_hypervisor_ops *hv(struct vct *t)
{
    return vct_kind_ops(t);
}

static int wait_ms(struct vct *t)
{
    return t->s->real ? 60000 : 10000; /* a guest that boots lets go of a device once it is up */
}

/* device_add with all that its result has to be. */
static int add(struct vct_pod *pod, const struct vc_device *dev, struct vc_device_result *ret)
{
    struct vct *t = pod->t;
    struct vc_device_result out;
    memset(&out, 0x5a, sizeof(out));
    out.size = sizeof(out);
    vct_out(t, &out, sizeof(out), 0);
    int r = VCT(t, hv(t)->device_add, pod->inst, vct_call(t, wait_ms(t)), dev, &out);
    if (r != VC_OK)
        return r;
    VCT_MUST(t, memchr(out.guest_addr, 0, sizeof(out.guest_addr)),
             "device_add of %s answered VC_OK and left guest_addr without a NUL at its end", dev->id);
    VCT_MUST(t, out.guest_addr[0] != 0x5a,
             "device_add of %s answered VC_OK and did not fill in guest_addr; where the guest cannot "
             "be told an address, an empty text is right",
             dev->id);
    for (const char *p = out.guest_addr; *p; p++)
        VCT_MUST(t, *p > ' ' && *p < 0x7f, "device_add of %s gave a guest_addr with byte 0x%02x in it", dev->id,
                 (unsigned char)*p);
    if (ret)
        *ret = out;
    return r;
}

static int del(struct vct_pod *pod, const char *id)
{
    return VCT(pod->t, hv(pod->t)->device_del, pod->inst, vct_call(pod->t, wait_ms(pod->t)), id);
}

static void must(struct vct_pod *pod, int got, int want, const char *what, const char *id)
{
    VCT_MUST(pod->t, got == want, "%s %s answered %s, where %s is right: %s", what, id, vct_code(got), vct_code(want),
             pod->t->err.text[0] ? pod->t->err.text : "(no text)");
}

/* Does the VMM have it?  By the peer's facts; for a file by who has it open; else -1. */
static int there(struct vct_pod *pod, const struct vc_device *dev)
{
    char fact[64], value[256];
    snprintf(fact, sizeof(fact), "device.%s", dev->id);
    if (vct_fact(pod, fact, value, sizeof(value)) == 0)
        return 1;
    snprintf(fact, sizeof(fact), "mac.%s", dev->mac ? dev->mac : "");
    if (dev->mac && vct_fact(pod, fact, value, sizeof(value)) == 0)
        return 1;
    if (vct_fact(pod, "running", value, sizeof(value)) == 0)
        return 0;
    return dev->path && dev->type == VC_DEV_BLOCK ? vct_hv_has_open(pod, dev->path) : -1;
}

/* One device: in, seen, refused a second time, kept over a restore, out, gone. */
static int round_trip(struct vct_pod *pod, const struct vc_device *dev, const char *what)
{
    struct vct *t = pod->t;
    struct vct_hv_tasks before;
    vct_hv_tasks(pod, &before);
    int r = add(pod, dev, NULL);
    if (r == VC_E_UNSUPPORTED)
        return 0;
    must(pod, r, VC_OK, "device_add of", what);
    int seen = there(pod, dev);
    VCT_MUST(t, vct_hv_told(pod, &before) != 0 || seen == 1,
             "device_add of %s answered VC_OK, but the VMM was told nothing: none of its %zu threads ran meanwhile",
             what, before.n);
    VCT_MUST(t, seen != 0, "device_add of %s answered VC_OK, but the VMM does not have it%s%s", what,
             dev->path ? ": it does not have this file open: " : "", dev->path ? dev->path : "");
    must(pod, add(pod, dev, NULL), VC_E_EXISTS, "device_add of an id that is there already,", dev->id);
    vct_hv_restored(pod);
    must(pod, add(pod, dev, NULL), VC_E_EXISTS, "after save and restore device_add of an id that is there already,",
         dev->id);
    must(pod, del(pod, dev->id), VC_OK, "device_del of", what);
    VCT_MUST(t, seen != 1 || there(pod, dev) != 1, "device_del of %s answered VC_OK, but the VMM still has it", what);
    must(pod, del(pod, dev->id), VC_E_NOTFOUND, "a second device_del of", dev->id);
    return 1;
}

/* A link of a namespace of the check's own. */
static int open_tap(char name[IFNAMSIZ])
{
    struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    snprintf(req.ifr_name, IFNAMSIZ, "vct%%d");
    if (fd >= 0 && ioctl(fd, TUNSETIFF, &req) < 0) {
        close(fd);
        return -1;
    }
    memcpy(name, req.ifr_name, IFNAMSIZ);
    return fd;
}

static int net_trip(struct vct_pod *pod)
{
    char name[IFNAMSIZ] = "";
    vcs_autoclose int fd = open_tap(name);
    int32_t fds[1] = { fd };
    struct vc_device dev = { .size = sizeof(dev),
                             .type = VC_DEV_NET,
                             .id = "net0",
                             .mac = "02:00:00:00:00:01",
                             .fds = fds,
                             .n_fds = 1,
                             .queues = 1 };
    if (fd < 0) {
        vct_note(pod->t, "no tap link can be made here (%s): network devices were not tried", strerror(errno));
        return 0;
    }
    return round_trip(pod, &dev, "a network device");
}

/* ---- a disk as a descriptor ---- */

/* Give the disk as the descriptor of `file`, which is closed at once.  What device_add answered. */
static int add_given(struct vct_pod *pod, struct vc_device *dev, const char *file)
{
    struct vct *t = pod->t;
    struct stat before, after;
    int fd = open(file, (dev->flags & VC_DEV_READONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    VCT_MUST(t, fd >= 0 && fstat(fd, &before) == 0, "the tool cannot open %s", file);
    dev->fds = &fd;
    dev->n_fds = 1;
    int r = add(pod, dev, NULL), flags = fcntl(fd, F_GETFD);
    int same = flags >= 0 && fstat(fd, &after) == 0 && before.st_dev == after.st_dev && before.st_ino == after.st_ino;
    if (same)
        close(fd);
    dev->fds = NULL;
    dev->n_fds = 0;
    VCT_MUST(t, same, "device_add of %s has closed the descriptor that it was given, which is the host's", dev->id);
    VCT_MUST(t, flags & FD_CLOEXEC, "device_add of %s took close-on-exec from the descriptor that it was given", dev->id);
    return r;
}

/* At the path stands another file by now (with_other), or none.  Does the VMM have the one that was given?  1; 0: that of
 * the path, or none could be added; -1: that cannot be seen. */
static int takes_given(struct vct_pod *pod, struct vc_device *dev, const char *file, int with_other)
{
    int r = add_given(pod, dev, file);
    if (r != VC_OK)
        return 0;
    int given = vct_hv_has_open(pod, file), other = with_other ? vct_hv_has_open(pod, dev->path) : 0;
    must(pod, del(pod, dev->id), VC_OK, "device_del of a disk that came as a descriptor,", dev->id);
    VCT_MUST(pod->t, given || other,
             "device_add of %s, which came as a descriptor, answered VC_OK, but the VMM has neither its file open nor "
             "that at its path",
             dev->id);
    return given == 1 ? 1 : other == 1 ? 0 : with_other ? -1 : 1;
}

static void descriptor_trip(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    vcs_autofree char *path = vct_hv_image(pod, "given.img", 65536), *again = NULL;
    char moved[PATH_MAX];
    VCT_MUST(t, path, "the tool cannot make a disk image");
    snprintf(moved, sizeof(moved), "%s.moved", path);
    struct vc_device dev = vct_hv_disk("given", path);
    must(pod, add_given(pod, &dev, path), VC_OK, "device_add of a disk that comes as a descriptor,", dev.id);
    VCT_MUST(t, there(pod, &dev) != 0,
             "device_add of a disk that comes as a descriptor answered VC_OK, but the VMM does not have it: it needs one "
             "of its own, as the host closes that one");
    must(pod, del(pod, dev.id), VC_OK, "device_del of a disk that came as a descriptor,", dev.id);

    dev.flags = VC_DEV_READONLY;
    VCT_MUST(t, rename(path, moved) == 0 && (again = vct_hv_image(pod, "given.img", 65536)),
             "the tool cannot rename %s", path);
    int takes = takes_given(pod, &dev, moved, 1);
    if (takes < 0) {
        unlink(path);
        takes = takes_given(pod, &dev, moved, 0);
    }
    if (!takes)
        vct_warn(t, "device_add gives the VMM what is at a disk's path, not the descriptor that the host had opened and "
                    "checked: whoever can rename there can have the VM use another file");
}

/* Until there is no room left. */
static void fill(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    char ids[MANY][32];
    vcs_autofree char *path = NULL;
    int n = 0, r = VC_OK;
    while (n < MANY && r == VC_OK) {
        /* The first one is as long as can be. */
        snprintf(ids[n], sizeof(ids[n]), n ? "d%d" : "Disk-0123456789_0123456789.%04d", n);
        char name[64];
        snprintf(name, sizeof(name), "%.31s.img", ids[n]); /* what is left of a longer one would be none */
        free(path);
        path = vct_hv_image(pod, name, 65536);
        struct vc_device dev = vct_hv_disk(ids[n], path ? path : "");
        r = path ? add(pod, &dev, NULL) : VC_E_RESOURCE;
        n += r == VC_OK;
    }
    VCT_MUST(t, r == VC_OK || r == VC_E_RESOURCE || r == VC_E_UNSUPPORTED,
             "after %d disks one more answered %s; VC_E_RESOURCE says that there is no room: %s", n, vct_code(r),
             t->err.text);
    vct_note(t, "%d disks at once", n);
    int all = t->s->real ? 2 : n; /* a real guest takes seconds for each */
    for (int i = 0; i < all && i < n; i++)
        must(pod, del(pod, ids[i]), VC_OK, "device_del of", ids[i]);
}

/* Ids and arguments that cannot be right; afterwards the id is free. */
static void refuse(struct vct_pod *pod, const char *image)
{
    static const char *const ids[] = { "", "-x", "a/b", "a b", "a,b=c", "a\nb", "01234567890123456789012345678901" };
    struct vct *t = pod->t;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct vc_device dev = vct_hv_disk(ids[i], image);
        int r = add(pod, &dev, NULL);
        VCT_MUST(t, r == VC_E_INVAL,
                 "device_add with the id \"%s\" answered %s; ids are [A-Za-z0-9][A-Za-z0-9_.-]{0,30}, so VC_E_INVAL is "
                 "right",
                 ids[i], vct_code(r));
    }
    struct vc_device odd = vct_hv_disk("odd", image);
    odd.type = 77;
    must(pod, add(pod, &odd, NULL), VC_E_UNSUPPORTED, "device_add of a type that no version of the contract has,",
         "77");
    must(pod, del(pod, "nobody"), VC_E_NOTFOUND, "device_del of an id that was never added,", "nobody");
    struct vc_device dev = vct_hv_disk("gone", "/nonexistent/disk.img");
    int r = add(pod, &dev, NULL);
    if (r == VC_OK) /* a VMM that opens disks late */
        del(pod, "gone");
    dev.path = image;
    must(pod, add(pod, &dev, NULL), VC_OK, "after a failure device_add of the same id with a disk that is there,",
         "gone");
    must(pod, del(pod, "gone"), VC_OK, "device_del of", "gone");
}

void vct_hv_h5(struct vct *t)
{
    struct vct_pod *pod = vct_hv_up(t);
    struct vct_hv_world *w = pod->world;
    if (!(pod->caps & VC_HV_CAP_HOTPLUG))
        vct_skip(t, "the plugin does not have VC_HV_CAP_HOTPLUG");
    vct_op(pod, "pids", 0);
    vct_hv_settle(pod, t->s->real ? 0 : 500);
    struct vc_device disk = vct_hv_disk("disk0", w->disk), fixed = vct_hv_disk("disk1.img-1_x", w->disk);
    fixed.flags = VC_DEV_READONLY;
    int disks = round_trip(pod, &disk, "a disk without flags");
    int types = disks + (disks ? round_trip(pod, &fixed, "a read-only disk") : 0) + net_trip(pod);
    VCT_MUST(t, types > 0, "caps has VC_HV_CAP_HOTPLUG, but device_add answers VC_E_UNSUPPORTED for disks%s",
             t->privileged ? " and network devices" : "");
    if (disks) {
        refuse(pod, w->disk);
        descriptor_trip(pod);
        fill(pod);
    }
    vct_hv_down(pod);
}

/* ---- H9 ---- */

/* Is the text a part of a word of argv, as it is or with its commas doubled? */
static int in_argv(struct vct_pod *pod, const char *text)
{
    char twice[PATH_MAX * 2];
    size_t n = 0;
    for (const char *p = text; *p && n < sizeof(twice) - 2; p++) {
        twice[n++] = *p;
        if (*p == ',')
            twice[n++] = ',';
    }
    twice[n] = '\0';
    for (size_t at = 0; at < pod->argv.len; at += strlen((char *)vcs_buf_data(&pod->argv) + at) + 1)
        if (strstr((char *)vcs_buf_data(&pod->argv) + at, text) || strstr((char *)vcs_buf_data(&pod->argv) + at, twice))
            return 1;
    return 0;
}

static int is_refusal(int r)
{
    return r == VC_E_INVAL || r == VC_E_CONFIG || r == VC_E_UNSUPPORTED;
}

/* A disk whose path has them all. */
static void odd_disk(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    if (!(pod->caps & VC_HV_CAP_HOTPLUG))
        return;
    vct_op(pod, "pids", 0);
    vcs_autofree char *path = vct_hv_image(pod, "di,sk=0 'a\" %s $x,,y.img", 65536);
    VCT_MUST(t, path, "the tool cannot make a disk image");
    struct vc_device dev = vct_hv_disk("odd", path);
    int r = add(pod, &dev, NULL);
    if (is_refusal(r))
        return;
    must(pod, r, VC_OK, "device_add of a disk at", path);
    char fact[300];
    if (vct_fact(pod, "path.odd", fact, sizeof(fact)) == 0)
        VCT_MUST(t, !strcmp(fact, path), "a disk at \"%s\" reached the VMM as \"%s\"", path, fact);
    else if (vct_fact(pod, "running", fact, sizeof(fact)) < 0)
        VCT_MUST(t, vct_hv_has_open(pod, path) != 0,
                 "device_add of a disk at \"%s\" answered VC_OK, but the VMM has another file open", path);
    must(pod, del(pod, "odd"), VC_OK, "device_del of", "odd");
}

/* A shared folder and kernel parameters with such characters. */
static int describe(struct vct_pod *pod, const char *share, const char *params)
{
    struct vct *t = pod->t;
    struct vc_vm_config c;
    vct_hv_config(pod, &c);
    if (c.shared_dir && share)
        c.shared_dir = share;
    c.kernel_params = params;
    int r = VCT(t, hv(t)->vm_create, pod->inst, vct_call(t, 10000), &c);
    VCT_MUST(t, r == VC_OK || is_refusal(r),
             "vm_create with \"%s\" answered %s; VC_OK, or VC_E_INVAL where the VMM cannot be told, is right: %s",
             params ? params : share, vct_code(r), t->err.text);
    if (r == VC_OK)
        pod->state = VCT_ST_MADE;
    return r;
}

static void odd_words(struct vct *t, int with_share)
{
    static const char params[] = "vct.a=b,c vct.d=e,,f=g";
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    char share[PATH_MAX];
    snprintf(share, sizeof(share), "%s/sh,are=1 x,,y", pod->dir);
    VCT_MUST(t, mkdir(share, 0700) == 0, "the tool cannot make the directory %s", share);
    vct_pod_make(pod);
    int shares = (pod->caps & (VC_HV_CAP_SHARE_9P | VC_HV_CAP_SHARE_FS)) != 0;
    if ((!with_share || shares) && describe(pod, with_share ? share : NULL, with_share ? NULL : params) == VC_OK) {
        int r = vct_op(pod, "vm_start", 0);
        VCT_MUST(t, r == VC_OK, "vm_start of a VM with \"%s\" answered %s: vm_create has to refuse what cannot be: %s",
                 with_share ? share : params, vct_code(r), t->err.text);
        if (with_share && pod->spawned)
            VCT_MUST(t, in_argv(pod, share) || !in_argv(pod, pod->dir),
                     "the shared folder \"%s\" does not stand whole in the words that the VMM was started with", share);
        if (!with_share && pod->spawned && in_argv(pod, "vct.a"))
            VCT_MUST(t, in_argv(pod, params),
                     "the kernel parameters \"%s\" do not stand whole in the words that the VMM was started with",
                     params);
    }
    vct_hv_down(pod);
}

/* A run directory with such characters. */
static void odd_run(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    char run[PATH_MAX];
    snprintf(run, sizeof(run), "%s/ru,n=1 'x\" y,,z", pod->dir);
    VCT_MUST(t, rename(pod->run, run) == 0, "the tool cannot rename %s", pod->run);
    free(pod->run);
    pod->run = strdup(run);
    vct_pod_make(pod);
    int r = vct_op(pod, "vm_create", 0);
    if (r == VC_OK)
        r = vct_op(pod, "vm_start", 0);
    VCT_MUST(t, r == VC_OK || is_refusal(r), "with the run directory \"%s\" the VM cannot be started: %s: %s", run,
             vct_code(r), t->err.text);
    if (r == VC_OK) {
        struct vcs_buf uri = { 0 };
        vct_hv_is(pod, VC_VM_RUNNING, "with an odd run directory");
        vct_hv_do(pod, "agent_endpoint");
        vct_hv_do(pod, "console");
        vct_hv_uri(pod, "agent_endpoint", &uri);
        vcs_autofree char *path = uri.len ? vct_hv_uri_path(vcs_buf_str(&uri)) : NULL;
        VCT_MUST(t, !path || !strncmp(path, run, strlen(run)) || !strstr(path, "ru,n"),
                 "the run directory is \"%s\", but agent_endpoint gives \"%s\"", run, path);
        vcs_buf_done(&uri);
        odd_disk(pod);
    }
    vct_hv_down(pod);
}

void vct_hv_h9(struct vct *t)
{
    struct vct_pod *pod = vct_hv_up(t);
    int process = pod->spawned > 0;
    odd_disk(pod);
    vct_hv_down(pod);
    if (!process)
        vct_note(t, "nothing is spawned: there is no command line to look at");
    odd_words(t, 0);
    odd_words(t, 1);
    odd_run(t);
}
