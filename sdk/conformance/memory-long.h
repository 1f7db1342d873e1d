/* SPDX-License-Identifier: Apache-2.0 */
/* memory-long.h: the checks of group M that take their time. */
#ifndef VCT_MEMORY_LONG_H
#define VCT_MEMORY_LONG_H

#include "conformance/vct.h"

void vct_valgrind(struct vct *t); /* M9 */
/* Is this the tool under Valgrind, within the namespaces of a check? */
int vct_valgrind_apart(void);
int vct_valgrind_inner(void); /* is it the tool under Valgrind at all? */
void vct_random_walk(struct vct *t); /* M11 */

#endif
