/* SPDX-License-Identifier: Apache-2.0 */
/* with-storage.c: makes pods with volumes, and containers with mounts and devices, through the embedding API, for tests in
 * the shell.
 *   with-storage pod ID [volume=TAG:PATH[:ro]]...                      prints the pod's id
 *   with-storage container POD ID ROOTFS [WORD]... -- PROGRAM [ARG]...  prints the container's id
 *   with-storage listen FILE    a socket, and what the first one says who connects to it
 * with these words:
 *   mount=DESTINATION:SOURCE:TYPE:OPTION,OPTION...   what is at the end may be left out; "-" stands for NULL
 *   mount-ro=...                                     with `readonly` of struct vc_mount
 *   device=CONTAINER-PATH:HOST-PATH:TYPE:MAJOR:MINOR:MODE
 *   output=FILE */
#include <vccore/vccore.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX 64

static struct vc_volume volumes[MAX];
static struct vc_volume *volume_list[MAX];
static struct vc_mount mounts[MAX];
static struct vc_mount *mount_list[MAX];
static const char *options[MAX][16];
static struct vc_device_info devices[MAX];
static struct vc_device_info *device_list[MAX];
static size_t n_volumes, n_mounts, n_devices;
static struct vc_process_config process;

/* The next part of a text with colons; NULL for "-" and when there is none. */
static char *part(char **at, char separator)
{
    char *p = *at, *end = p ? strchr(p, separator) : NULL;
    *at = end ? end + 1 : NULL;
    if (end)
        *end = '\0';
    return p && *p && strcmp(p, "-") != 0 ? p : NULL;
}

static long number(const char *text, int base)
{
    return text ? strtol(text, NULL, base) : 0;
}

static void add_volume(char *text)
{
    struct vc_volume *v = &volumes[n_volumes];
    VC_INIT(v);
    v->tag = part(&text, ':');
    v->host_path = part(&text, ':');
    v->readonly = text && strcmp(text, "ro") == 0;
    volume_list[n_volumes++] = v;
}

static void add_mount(char *text, int readonly)
{
    struct vc_mount *m = &mounts[n_mounts];
    VC_INIT(m);
    m->readonly = (uint32_t)readonly;
    m->destination = part(&text, ':');
    m->source = part(&text, ':');
    m->type = part(&text, ':');
    for (size_t i = 0; text && i < 15; i++)
        options[n_mounts][i] = part(&text, ',');
    m->options = options[n_mounts];
    mount_list[n_mounts++] = m;
}

static void add_device(char *text)
{
    struct vc_device_info *d = &devices[n_devices];
    VC_INIT(d);
    d->container_path = part(&text, ':');
    d->host_path = part(&text, ':');
    d->type = part(&text, ':');
    d->major = number(part(&text, ':'), 10);
    d->minor = number(part(&text, ':'), 10);
    d->file_mode = (uint32_t)number(part(&text, ':'), 8);
    device_list[n_devices++] = d;
}

static int word(char *arg)
{
    if (strncmp(arg, "volume=", 7) == 0)
        add_volume(arg + 7);
    else if (strncmp(arg, "mount=", 6) == 0)
        add_mount(arg + 6, 0);
    else if (strncmp(arg, "mount-ro=", 9) == 0)
        add_mount(arg + 9, 1);
    else if (strncmp(arg, "device=", 7) == 0)
        add_device(arg + 7);
    else if (strncmp(arg, "output=", 7) == 0)
        process.stdio[1] = process.stdio[2] = open(arg + 7, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    else
        return 0;
    return n_volumes < MAX && n_mounts < MAX && n_devices < MAX;
}

static int make_pod(vc_context *ctx, const char *id, char **ret, vc_error **err)
{
    struct vc_pod_config c;
    VC_INIT(&c);
    c.id = id;
    c.volumes = volume_list;
    c.n_volumes = n_volumes;
    return vc_pod_create(ctx, &c, ret, err);
}

static int make_container(vc_context *ctx, char **argv, char **args, char **ret, vc_error **err)
{
    struct vc_container_config c;
    VC_INIT(&c);
    process.args = (const char *const *)args;
    process.use_stdio = 1;
    c.id = argv[3];
    c.rootfs = argv[4];
    c.process = &process;
    c.mounts = mount_list;
    c.n_mounts = n_mounts;
    c.devices = device_list;
    c.n_devices = n_devices;
    return vc_container_create(ctx, argv[2], &c, ret, err);
}

static int listen_at(const char *file)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    char text[64];
    snprintf(a.sun_path, sizeof a.sun_path, "%s", file);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), c = -1;
    if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0)
        c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    ssize_t n = c < 0 ? -1 : read(c, text, sizeof text);
    if (n > 0)
        fwrite(text, 1, (size_t)n, stdout);
    return n < 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "listen") == 0)
        return listen_at(argv[2]);
    int pod = argc >= 3 && strcmp(argv[1], "pod") == 0, at = pod ? 3 : 5;
    vc_context *ctx = NULL;
    vc_error *err = NULL;
    char *id = NULL;
    VC_INIT(&process);
    process.stdio[0] = process.stdio[1] = process.stdio[2] = -1;
    while (at < argc && strcmp(argv[at], "--") != 0 && word(argv[at]))
        at++;
    if (pod ? at != argc : argc < 6 || strcmp(argv[1], "container") != 0 || at >= argc - 1 || strcmp(argv[at], "--") != 0) {
        fprintf(stderr, "with-storage: bad arguments\n");
        return 2;
    }
    int rc = vc_context_new(NULL, &ctx, &err);
    if (rc == 0)
        rc = pod ? make_pod(ctx, argv[2], &id, &err) : make_container(ctx, argv, argv + at + 1, &id, &err);
    if (rc == 0)
        puts(id);
    else
        fprintf(stderr, "with-storage: %s\n", vc_error_text(err));
    free(id);
    vc_error_free(err);
    vc_context_free(ctx);
    return rc == 0 ? 0 : 1;
}
