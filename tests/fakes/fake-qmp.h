/* SPDX-License-Identifier: Apache-2.0 */
/* fake-qmp.h: a QMP server that plays a script, for tests of the QMP client and what is built on it.
 *
 * A script is a list of steps, ended by NULL; each begins with a letter:
 *   "A"       accept the next client, and greet it and take its qmp_capabilities as QEMU 7.2 does
 *   "a"       accept the next client and do nothing
 *   "C TEXT"  read the client's next line; it must contain TEXT.  Its id is kept for "@".
 *   "F PATH"  the line that was read last brought a descriptor, and that is of the file that is at PATH now
 *   "S TEXT"  send TEXT and a line end; "@" stands for the id of the line that was read last
 *   "R TEXT"  send TEXT only
 *   "G N"     send N bytes without a line end
 *   "E N"     send N events, unless the client closes before
 *   "B"       from now on send one byte at a time
 *   "W"       wait until the client closes
 *   "X"       close the connection
 */
#ifndef FAKE_QMP_H
#define FAKE_QMP_H

struct fake_qmp;

/* Listen at `path` and play the script on a thread.  NULL on failure. */
struct fake_qmp *fake_qmp_start(const char *path, const char *const *script);
/* Wait for the script's end, at most 10 s.  NULL when all went as written, else what did not (static). */
const char *fake_qmp_stop(struct fake_qmp *f);

#endif
