/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h: stdin, stdout and stderr of guest processes as pipes. */
#ifndef KATA_STREAM_H
#define KATA_STREAM_H

#include "conn.h"

/* Make pipes for a process ([2] stays -1 with `terminal`) and pump them until they end or the connection
 * does.  0 or an errno. */
int kata_stream_open(struct kata_conn *c, const char *ctr, const char *exec, int terminal, int ret_fds[3]);

/* ---- for the driver, under the lock ---- */

/* Send what can be sent; append what is to be polled from pfd[at] on (room for kata_stream_count entries).
 * Returns the new count. */
size_t kata_stream_prepare(struct kata_conn *c, struct pollfd *pfd, size_t at);
size_t kata_stream_count(const struct kata_conn *c);
/* Act on what poll said about pfd[0..n). */
void kata_stream_handle(struct kata_conn *c, const struct pollfd *pfd, size_t n);
void kata_stream_close_all(struct kata_conn *c);

#endif
