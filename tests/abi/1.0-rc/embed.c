/* SPDX-License-Identifier: Apache-2.0 */
/* embed.c: a program as somebody wrote it for this release, built against its header and run with today's library.  Not
 * changed once the release is out.  usage: embed CONFIG-FILE ROOTFS [keep]   (keep: leave the pods, for golden states) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vccore/vccore.h>

static vc_error *error;

static void must(const char *what, int code)
{
    if (code != VC_ERR_NONE) {
        printf("%s: %s: %s\n", what, vc_error_name(code), vc_error_text(error));
        exit(1);
    }
}

static void expect(const char *what, const char *got, const char *want)
{
    if (strcmp(got, want) != 0) {
        printf("%s: is %s, not %s\n", what, got, want);
        exit(1);
    }
}

static void state_is(vc_context *ctx, const char *id, const char *want)
{
    struct vc_pod_status *status = NULL;
    must("vc_pod_status", vc_pod_status(ctx, id, &status, &error));
    expect("the state of the pod", status->state, want);
    expect("the id of its container", status->n_containers ? status->containers[0]->id : "", "c1");
    vc_pod_status_free(status);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    struct vc_context_options options;
    VC_INIT(&options);
    options.config_file = argv[1];
    vc_context *ctx = NULL;
    must("vc_context_new", vc_context_new(&options, &ctx, &error));

    static const char *const args[] = { "/bin/true", NULL };
    struct vc_process_config process;
    VC_INIT(&process);
    process.args = args;
    struct vc_container_config container, *containers[] = { &container };
    VC_INIT(&container);
    container.id = "c1";
    container.rootfs = argv[2];
    container.process = &process;
    struct vc_pod_config pod;
    VC_INIT(&pod);
    pod.id = "old";
    pod.containers = containers;
    pod.n_containers = 1;

    char *id = NULL;
    must("vc_pod_create", vc_pod_create(ctx, &pod, &id, &error));
    expect("the id of the pod", id, "old");
    state_is(ctx, id, "ready");
    must("vc_pod_start", vc_pod_start(ctx, id, &error));
    state_is(ctx, id, "running");
    if (vc_pod_delete(ctx, id, 0, &error) != VC_ERR_STATE)
        must("deleting a running pod answers STATE", VC_ERR_INTERNAL);
    vc_error_free(error);
    error = NULL;
    struct vc_pod_status **list = NULL;
    size_t n = 0;
    must("vc_pod_list", vc_pod_list(ctx, &list, &n, &error));
    expect("the pods listed", n == 1 ? list[0]->id : "not one", "old");
    vc_pod_list_free(list, n);
    if (argc == 3) {
        must("vc_pod_stop", vc_pod_stop(ctx, id, 0, &error));
        state_is(ctx, id, "stopped");
        must("vc_pod_delete", vc_pod_delete(ctx, id, 0, &error));
    }
    free(id);
    vc_context_free(ctx);
    puts("ok");
    return 0;
}
