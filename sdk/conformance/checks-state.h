/* SPDX-License-Identifier: Apache-2.0 */
/* checks-state.h: checks of saved state that stand in checks-state2.c, for the table in checks-state.c. */
#ifndef VCT_CHECKS_STATE_H
#define VCT_CHECKS_STATE_H

#include "conformance/vct.h"

#define VCT_STATE_MAX (64 * 1024) /* bytes of a saved state */

void vct_check_s5(struct vct *t);
void vct_check_s7(struct vct *t);
void vct_check_s8(struct vct *t);
void vct_check_s10(struct vct *t);
void vct_check_s11(struct vct *t);

#endif
