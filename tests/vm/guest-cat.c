/* SPDX-License-Identifier: Apache-2.0 */
/* guest-cat.c: prints a file of the guest itself, which no container sees: asks the agent for a container that has it.
 * usage: guest-cat PROXY-SOCKET CONTAINER FILE; the root is that of CONTAINER, with busybox and an empty /file in it. */
#include "fakes/agent-client.h"

#define ROOT "/run/kata-containers/shared/containers/%s/rootfs"

static int create(struct client *c, const char *root_path, const char *file)
{
    Oci__Process process = OCI__PROCESS__INIT;
    Oci__Root root = OCI__ROOT__INIT;
    Oci__Linux lin = OCI__LINUX__INIT;
    Oci__Mount bind = OCI__MOUNT__INIT, *mounts = &bind;
    Oci__Spec spec = OCI__SPEC__INIT;
    Agent__CreateContainerRequest q = AGENT__CREATE_CONTAINER_REQUEST__INIT;
    char *args[] = { (char *)"/bin/busybox", (char *)"cat", (char *)"/file" };
    char *options[] = { (char *)"bind", (char *)"ro" };
    process.args = args;
    process.n_args = 3;
    root.path = (char *)root_path;
    bind.destination = (char *)"/file";
    bind.source = (char *)file;
    bind.type = (char *)"bind";
    bind.options = options;
    bind.n_options = 2;
    spec.process = &process;
    spec.root = &root;
    spec.linux_part = &lin;
    spec.mounts = &mounts;
    spec.n_mounts = 1;
    q.oci = &spec;
    q.container_id = q.exec_id = (char *)"guest-cat";
    return client_code(c, "CreateContainer", &q.base);
}

int main(int argc, char **argv)
{
    struct client client = { .next_id = 1 }, *c = &client;
    struct vcs_buf out = { 0 };
    char root[512];
    if (argc != 4 || (c->fd = vcs_unix_connect(argv[1])) < 0) {
        fprintf(stderr, "usage: guest-cat PROXY-SOCKET CONTAINER FILE\n");
        return 2;
    }
    snprintf(root, sizeof root, ROOT, argv[2]);
    Agent__StartContainerRequest start = AGENT__START_CONTAINER_REQUEST__INIT;
    Agent__RemoveContainerRequest end = AGENT__REMOVE_CONTAINER_REQUEST__INIT;
    start.container_id = end.container_id = (char *)"guest-cat";
    int code = create(c, root, argv[3]);
    if (code == 0)
        code = client_code(c, "StartContainer", &start.base);
    if (code == 0)
        code = client_read_all(c, "ReadStdout", "guest-cat", "guest-cat", &out);
    if (code == 0)
        code = client_wait(c, "guest-cat", "guest-cat");
    if (code == 0)
        code = client_code(c, "RemoveContainer", &end.base);
    fwrite(vcs_buf_data(&out), 1, out.len, stdout);
    vcs_buf_done(&out);
    client_close(c);
    return code != 0;
}
