/* SPDX-License-Identifier: Apache-2.0 */
/* io.h: descriptors, unix sockets and paths, done safely.  Every descriptor made here has CLOEXEC.
 * Functions return 0 (or a descriptor) and a negative errno on failure. */
#ifndef VCS_IO_H
#define VCS_IO_H

#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t vcs_now_ns(void);
/* Milliseconds until a deadline for poll(2): -1 without deadline (0), 0 when it has passed, rounded up. */
int vcs_poll_timeout(int64_t deadline_ns);

/* Listen on / connect to a unix stream socket.  Paths longer than sun_path work: the directory is
 * opened and the name is reached through /proc/self/fd.  Mode is that of the socket file.  Listening answers
 * -EADDRINUSE when there is a file already, also a socket that nobody listens at any more: unlink it before, once it
 * is known that its process has ended. */
int vcs_unix_listen(const char *path, mode_t mode, int backlog);
int vcs_unix_connect(const char *path);
/* The same until a deadline (0: none): connecting waits while the listener's backlog is full, vcs_unix_connect for as long
 * as that takes.  -ETIMEDOUT. */
int vcs_unix_connect_until(const char *path, int64_t deadline_ns);
/* Connect to AF_VSOCK cid:port; waits until the deadline. */
int vcs_vsock_connect(uint32_t cid, uint32_t port, int64_t deadline_ns);
/* Hybrid vsock: connect to the VMM's unix socket, send "CONNECT port\n", read the line with OK. */
int vcs_hvsock_connect(const char *path, uint32_t port, int64_t deadline_ns);
/* Connect to unix://PATH, vsock://CID:PORT or hvsock://PATH:PORT until the deadline (0: none), also when the peer does
 * not take new connections.  -EINVAL for another form, serial://PATH too: that is a unix socket which takes one client in
 * its life, and what is behind it may speak yamux.  A relay, which knows that, calls vcs_unix_connect_until with PATH. */
int vcs_uri_connect(const char *uri, int64_t deadline_ns);

int vcs_set_nonblock(int fd, int on);
/* Write / read everything; EINTR and short counts are handled.  vcs_read_full returns the count, which
 * is short only at end of file. */
int vcs_write_full(int fd, const void *data, size_t n);
ssize_t vcs_read_full(int fd, void *data, size_t n);
/* Read a whole regular file of at most max bytes; *ret is malloc'ed and NUL-terminated. */
int vcs_read_file(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len);
/* Write a file that is not there yet: -EEXIST when it is.  It can be seen before it is whole; after a failure it is gone. */
int vcs_write_file_new(int dirfd, const char *path, const void *data, size_t n, mode_t mode);
/* Write a file whole or not at all: temporary file beside it, rename.  With `sync`, fsync both. */
int vcs_write_file_atomic(int dirfd, const char *path, const void *data, size_t n, mode_t mode, int sync);

/* openat2 with RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS|RESOLVE_NO_MAGICLINKS and O_CLOEXEC. */
int vcs_open_beneath(int dirfd, const char *path, int flags, mode_t mode);
/* Remove a directory's content (and itself): never follows links, never crosses a mount, never
 * touches what is mounted.  Idempotent.  -EBUSY when something is mounted below. */
int vcs_remove_tree(int dirfd, const char *path);

#ifdef __cplusplus
}
#endif
#endif
