/* SPDX-License-Identifier: Apache-2.0 */
/* checks-instance.h: checks of instances that stand in checks-instance2.c, for the table in checks-instance.c. */
#ifndef VCT_CHECKS_INSTANCE_H
#define VCT_CHECKS_INSTANCE_H

#include "conformance/vct.h"

void vct_check_i11(struct vct *t);
void vct_check_i12(struct vct *t);
void vct_check_i13(struct vct *t);
void vct_check_i14(struct vct *t);
void vct_check_i15(struct vct *t);
void vct_check_i16(struct vct *t);

#endif
