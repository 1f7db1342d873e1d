/* SPDX-License-Identifier: Apache-2.0 */
/* agent-container.h: make and run containers through the container half of vc-agent, on the test machine. */
#ifndef TEST_AGENT_CONTAINER_H
#define TEST_AGENT_CONTAINER_H

#include <stddef.h>

#include "agent.h"
#include "cgroup.h"
#include "container.h"

#define BOX_MAX 32

/* Everything a request needs, in one place; box_init fills in an ordinary container that runs a shell script. */
struct box {
    Agent__CreateContainerRequest req;
    Oci__Spec spec;
    Oci__Process process;
    Oci__User user;
    Oci__LinuxCapabilities caps;
    Oci__Root root;
    Oci__Linux lin;
    Oci__LinuxResources res;
    char *args[4], *env[BOX_MAX];
    Oci__Mount mounts[BOX_MAX], *mount_list[BOX_MAX];
    char *mount_opts[BOX_MAX][8], mount_text[BOX_MAX][128];
    Oci__LinuxNamespace ns[6], *ns_list[6];
    char *cap_names[BOX_MAX];
};

struct result {
    int created, started; /* 0 or -1 */
    int status;           /* exit code, or 128 + signal */
    struct agent_err err;
    char out[16384], errout[4096];
};

extern char box_root[4096]; /* the root filesystem, on a tmpfs of its own */

/* Private mount namespace, tmpfs, root filesystem; the program is skipped (77) where that is not possible. */
void box_setup(void);
void box_teardown(void);
void box_init(struct box *b, const char *script);
/* Add a mount; `options` is comma separated and is copied. */
Oci__Mount *box_mount(struct box *b, const char *destination, const char *type, const char *source,
                      const char *options);
/* Create, start, feed `input`, read all output, wait, destroy. */
void box_run(struct box *b, const char *input, size_t input_len, struct result *r);
/* Read a child's output to the end and reap it. */
void box_collect(struct ctr_child *child, const char *input, size_t input_len, struct result *r);
/* Read from a descriptor until `text` has come, at most some seconds: 0 or -1. */
int box_expect(int fd, const char *text);
/* Write a file into the root filesystem. */
void box_file(const char *path, const char *text);
/* Open descriptors of this process. */
int box_count_fds(void);

#endif
