/* SPDX-License-Identifier: Apache-2.0 */
/* transport.h: where connections come from: the serial port (yamux), vsock, unix sockets. */
#ifndef AGENT_TRANSPORT_H
#define AGENT_TRANSPORT_H

#include <stdint.h>

/* Each returns 0 or a negative errno. */

/* Accept plain ttRPC connections on a listening socket, or serve one connected socket; owns fd. */
int transport_serve_fd(int fd);
/* Listen on a unix socket for plain ttRPC. */
int transport_listen_unix(const char *path);
/* The same for sessions of yamux, as the serial port of a VM has them; one at a time. */
int transport_listen_unix_mux(const char *path);
/* Listen on a vsock port for plain ttRPC.  -EAFNOSUPPORT, -ENODEV when this guest has no vsock. */
int transport_listen_vsock(uint32_t port);
/* Speak yamux on an open descriptor that acts as the serial port; owns fd. */
int transport_serve_mux_fd(int fd);
/* Find and open the virtio-serial port of this name: 0, or -ENOENT when it is not there (yet). */
int transport_open_port(const char *name);

/* Write what can be written, take up requests that were put off, and drop broken connections. */
void transport_flush(void);
/* Say no more on the serial port, after what is on its way, until something is asked there. */
void mux_quiet(void);
/* 1 when no reply waits to be written. */
int transport_idle(void);
/* The port could not be reopened and is to be tried again at this time (0: nothing to do), and: try. */
int64_t transport_next_retry(void);
void transport_retry(int64_t now_ns);
/* Close everything. */
void transport_close(void);

#endif
