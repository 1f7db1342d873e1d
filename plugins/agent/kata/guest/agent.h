/* SPDX-License-Identifier: Apache-2.0 */
/* agent.h: what all parts of vc-agent share. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/ttrpc.h" /* the VCS_RPC_ codes */

#define AGENT_VERSION "0.1.0"
#define AGENT_VSOCK_PORT 1024

/* The failure of a call, as it is sent to the caller. */
struct agent_err {
    int code; /* VCS_RPC_ */
    char text[512];
};

enum { AGENT_LOG_ERROR, AGENT_LOG_WARN, AGENT_LOG_INFO, AGENT_LOG_DEBUG };

struct agent_config {
    int is_init;           /* PID 1 of the guest: its mounts and its host name are the agent's */
    int own_kernel;        /* the kernel is the guest's, too: clock, random numbers, processors, modules, power off */
    int own_net;           /* the network namespace is the agent's to configure */
    int log_level;         /* most detailed level that is written */
    int use_vsock;         /* -1: when there is no serial port */
    const char *run_dir;   /* where the agent keeps its own files: /run/vc-agent in the guest */
    const char *copy_root; /* CopyFile writes below it: /run in the guest */
};
extern struct agent_config agent_config;
/* Set log or use_vsock: 0, -ENOENT for another name, -EINVAL for a value that is not allowed. */
int agent_set_option(const char *name, const char *value);

/* Fill in *err and return -1. */
int agent_fail(struct agent_err *err, int code, const char *fmt, ...) VCS_PRINTF(3, 4);
/* The same with ": " and the text of an errno at the end.  (There is no strerror table of another locale
 * to fear: the agent is static and sets none.) */
int agent_fail_errno(struct agent_err *err, int code, int sys, const char *fmt, ...) VCS_PRINTF(4, 5);

/* Log to the kernel's buffer, which ends on the console; until then, and when it cannot be opened, to
 * standard error. */
void agent_log_open(void);
void agent_log(int level, const char *fmt, ...) VCS_PRINTF(2, 3);

/* Load the modules that the guest's list has for KIND followed by WHAT ("fs:" and the type of a file system to be
 * mounted, "virtio:" and the start of a modalias), or all that are left.  What is loaded costs nothing more. */
void agent_modules_need(const char *kind, const char *what);
void agent_modules_late(void);

/* Write a value to a file of proc, sysfs or a cgroup in one write: 0 or a negative errno. */
int agent_write_file(const char *path, const char *value);

#endif
