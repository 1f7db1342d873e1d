/* SPDX-License-Identifier: Apache-2.0 */
/* attach.h: those who came later to see, and to write to, the streams that this shim carries.
 *
 * The channel between the plugin and its shims: a unix stream socket, on which the shim listens.  Who connects sends one
 * byte whose bits 0 to 2 say which of stdin, stdout and stderr it brings, with the descriptors (SCM_RIGHTS) in that
 * order.  The answer is one byte: one of ATTACH_*.  Then the connection ends. */
#ifndef VC_SHIM_ATTACH_H
#define VC_SHIM_ATTACH_H

#include <poll.h>

#include "pump.h"

#define ATTACH_OK    'k'
#define ATTACH_STDIN 's' /* stdin is closed already */
#define ATTACH_FULL  'f'
#define ATTACH_BAD   'b' /* not a request */

#define ATTACH_MAX 16
#define ATTACH_POLL (1 + 3 * ATTACH_MAX) /* entries that attach_poll fills in */

struct attached {
    int conn;       /* its request has not come yet; -1 = it has */
    int out[2];     /* write ends that get a copy of stdout and stderr; -1 = none */
    struct pump in; /* from it to the process's stdin; in.in < 0: none */
};

struct attach {
    int listener;    /* -1 = nobody can come */
    int stdin_fd;    /* of the process; -1 once it is closed */
    int had_stdin;   /* one with a stdin has come */
    struct pump *outputs[2];
    struct attached who[ATTACH_MAX];
    int n;
};

/* outputs: the pumps of stdout and stderr. */
void attach_init(struct attach *a, int listener, int stdin_fd, struct pump *out, struct pump *err);
/* What to poll for: ATTACH_POLL entries. */
void attach_poll(const struct attach *a, struct pollfd *pfd);
/* Serve what was polled. */
void attach_run(struct attach *a, const struct pollfd *pfd);
/* Does one of them still write to the process's stdin, or may one come that will?  keep: 0, 1 (until one has come), or
 * ATTACH_KEEP: for ever.  That is for terminals, which have no end of file: who leaves one ends nothing. */
#define ATTACH_KEEP 2
int attach_writes(const struct attach *a, int keep);
/* The process's stdin is closed. */
void attach_stdin_closed(struct attach *a);
/* This output (0: stdout, 1: stderr) is over: those who see it see its end. */
void attach_output_over(struct attach *a, int which);
/* Let all of them go. */
void attach_end(struct attach *a);

#endif
