/* SPDX-License-Identifier: Apache-2.0 */
/* pod.c: create and start a pod with one container, see how it is, wait for its end, and remove it.
 *
 *   cc pod.c -o pod $(pkg-config --cflags --libs libvccore)
 *   ./pod /srv/busybox sh -c 'echo hello; exit 7' */
#include <stdio.h>
#include <stdlib.h>
#include <vccore/vccore.h>

static int fail(vc_error *err)
{
    fprintf(stderr, "pod: %s\n", vc_error_text(err));
    vc_error_free(err);
    return 1;
}

/* Which backends are used, and where, is in the configuration file; NULL options leave all to that. */
static int create_and_start(vc_context *ctx, const char *rootfs, const char *const *args, char **ret_id, vc_error **err)
{
    struct vc_process_config cmd;
    VC_INIT(&cmd);
    cmd.args = args;
    cmd.cwd = "/";
    cmd.env = (const char *const[]){"PATH=/bin:/usr/bin", NULL};
    cmd.use_stdio = 1; /* our own streams, but for stdin */
    cmd.stdio[0] = -1;
    cmd.stdio[1] = 1;
    cmd.stdio[2] = 2;

    struct vc_container_config container, *containers[] = {&container};
    VC_INIT(&container);
    container.id = "1";
    container.rootfs = rootfs;
    container.process = &cmd;

    struct vc_pod_config pod;
    VC_INIT(&pod);
    pod.containers = containers;
    pod.n_containers = 1;

    int rc = vc_pod_create(ctx, &pod, ret_id, err); /* boots the VM; nothing of ours runs yet */
    if (rc == 0)
        rc = vc_pod_start(ctx, *ret_id, err); /* vc_pod_run does both */
    return rc;
}

int main(int argc, char **argv)
{
    vc_context *ctx = NULL;
    vc_error *err = NULL;
    struct vc_pod_status *status = NULL;
    char *id = NULL;
    int32_t code = 0;
    int failed = 0;
    if (argc < 3) {
        fprintf(stderr, "usage: pod ROOTFS COMMAND [ARG...]\n");
        return 2;
    }
    if (vc_context_new(NULL, &ctx, &err) < 0)
        return fail(err);
    if (create_and_start(ctx, argv[1], (const char *const *)argv + 2, &id, &err) < 0 || vc_pod_status(ctx, id, &status, &err) < 0 ||
        vc_container_wait(ctx, id, "1", NULL, -1, &code, &err) < 0)
        failed = fail(err);
    else
        printf("pod %s was %s, its container ended with %d\n", status->hypervisor, status->state, code);
    vc_pod_status_free(status);
    err = NULL;
    if (id && vc_pod_delete(ctx, id, VC_FORCE, &err) < 0) /* VC_FORCE: it still runs */
        failed = fail(err);
    free(id);
    vc_context_free(ctx);
    return failed;
}
