/* SPDX-License-Identifier: Apache-2.0 */
/* stand-in.h: calls of the kernel that a Valgrind does not know which stands between, made in another way. */
#ifndef VCT_STAND_IN_H
#define VCT_STAND_IN_H

/* A call by number was answered by ENOSYS.  1: it was made in another way, *ret and errno tell how it ended. */
int vct_stand_in(long nr, const long *arg, long *ret);
/* The program as `vc-plugin-test --pidfd PID`, which Valgrind does not watch: sends a descriptor of that process through
 * descriptor 0. */
int vct_pidfd_main(const char *pid);

#endif
