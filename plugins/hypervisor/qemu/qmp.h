/* SPDX-License-Identifier: Apache-2.0 */
/* qmp.h: a client of QEMU's machine protocol: one connection per task, one command at a time. */
#ifndef VC_QMP_H
#define VC_QMP_H

#include <stdbool.h>
#include <stdint.h>

#include <json-c/json.h>
#include <vc/plugin.h>

#include "lib/buf.h"

#define QMP_MAX_MESSAGE (1u << 20) /* longest message taken from QEMU */

struct qmp {
    const vc_host *host;
    const struct vc_call *call;
    int fd;
    int cancel_fd;       /* readable = give up; -1 = none */
    int64_t deadline_ns; /* of the whole connection */
    struct vcs_buf in;
    size_t scanned; /* bytes of `in` already searched for a line end */
    uint64_t last_id;
    /* The event that is being waited for; set before the command that causes it. */
    const char *watch_device;
    bool deleted, unplug_failed;
    /* Events that are always noted. */
    bool after_event; /* the last message was one */
    bool resumed;
    enum { QMP_MIGRATION_UNDER_WAY, QMP_MIGRATION_DONE, QMP_MIGRATION_FAILED } migration;
};

/* A command for qmp_open_and_run. */
struct qmp_request {
    const char *command;
    const char *args; /* JSON object as text; NULL = none */
};

/* Connect to the socket, read the greeting and leave the negotiation mode.  On failure nothing is left open.
 * VC_E_PEER: nobody listens or QEMU ended; VC_E_TIMEOUT, VC_E_CANCELLED, VC_E_PROTOCOL, VC_E_NOMEM, VC_E_IO. */
int qmp_open(struct qmp *ret, const vc_host *host, const struct vc_call *call, const char *path, int cancel_fd,
             int64_t deadline_ns);
/* The second half of qmp_open, on a connection that is there: read the greeting, leave the negotiation mode. */
int qmp_greet(struct qmp *c);
/* qmp_open, and run these commands, all written at once: QEMU takes them as soon as it can.  *ret_done (may be NULL) is
 * how many of them it has done.  With a failure nothing is left open. */
int qmp_open_and_run(struct qmp *ret, const vc_host *host, const struct vc_call *call, const char *path, int cancel_fd,
                     int64_t deadline_ns, const struct qmp_request *list, unsigned n, unsigned *ret_done);
void qmp_close(struct qmp *c);

/* Run a command.  `args` (may be NULL) is consumed.  `fds` go with it as ancillary data.  *ret, when wanted, is the
 * reply's "return" value, owned by the caller.  An error reply is VC_E_IO, or VC_E_NOTFOUND when its class is
 * DeviceNotFound, with QEMU's own words in the error. */
int qmp_run(struct qmp *c, const char *command, json_object *args, const int *fds, unsigned n_fds, json_object **ret);

/* Wait for the DEVICE_DELETED event of c->watch_device.  VC_E_BUSY when the guest refuses to give it up. */
int qmp_wait_deleted(struct qmp *c);

/* Wait for the RESUME event: the VM runs. */
int qmp_wait_resumed(struct qmp *c);
/* Wait until a migration has ended (its events must be enabled): see c->migration. */
int qmp_wait_migration(struct qmp *c);

/* Value of query-status, mapped to VC_VM_*. */
int qmp_status(struct qmp *c, uint32_t *ret_state);

#endif
