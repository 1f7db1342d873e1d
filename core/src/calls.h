/* SPDX-License-Identifier: Apache-2.0 */
/* calls.h: which calls into plugins are going on, for the last words of a program that one of them has ended. */
#ifndef VCI_CALLS_H
#define VCI_CALLS_H

#include <stdint.h>

/* A call begins on this thread.  What is returned goes to vci_calls_leave.  It takes no lock and no memory, and cannot
 * fail: of more calls at once than there is room for, some are not noted. */
int vci_calls_enter(uint32_t kind, const char *name, const char *path, const char *member);
void vci_calls_leave(int slot);

#endif
