/* SPDX-License-Identifier: Apache-2.0 */
/* checks-threads.h: checks of group T that stand in checks-threads2.c, for the table in checks-threads.c. */
#ifndef VCT_CHECKS_THREADS_H
#define VCT_CHECKS_THREADS_H

#include "conformance/vct.h"

void vct_check_t6(struct vct *t);
void vct_check_t7(struct vct *t);
void vct_check_t10(struct vct *t);
void vct_check_t11(struct vct *t);
void vct_check_t12(struct vct *t);

#endif
