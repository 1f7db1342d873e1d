/* SPDX-License-Identifier: Apache-2.0 */
/* model-hypervisor-is.c: the model hypervisor with a wrong view of late answers (BAD_I15): where the model drops the answer
 * to a command that timed out, it takes it for a breach of the protocol. */
#include "lib/buf.h"
#ifdef BAD_I15
#define vcs_buf_consume(buf, n) return (void)(n), -1
#endif
#include "model-hypervisor.c"
