/* SPDX-License-Identifier: Apache-2.0 */
/* relay.h: the event loop of vc-proxy, apart from its command line. */
#ifndef VC_PROXY_RELAY_H
#define VC_PROXY_RELAY_H

#include "lib/cleanup.h"

enum { LOG_ERROR = 0, LOG_WARN = 1, LOG_INFO = 2, LOG_DEBUG = 3 };

struct relay_config {
    int listen_fd;      /* becomes the relay's, like the next two */
    int mux_fd;         /* the VM's serial port */
    int console_fd;     /* whose lines go to the log; -1 = none */
    const char *socket; /* what to remove at the end; NULL = nothing */
};

/* Run until SIGTERM (0), the VM's end (0) or a fault of the session (1). */
int relay_run(const struct relay_config *config);
/* Write one line to stderr when the level is on. */
void proxy_log(int level, const char *fmt, ...) VCS_PRINTF(2, 3);
/* Is it on? */
int proxy_logs(int level);

#endif
