/* SPDX-License-Identifier: Apache-2.0 */
/* trouble.h: a life with everything that goes wrong in one, for the checks that only watch (groups E and T). */
#ifndef VCT_TROUBLE_H
#define VCT_TROUBLE_H

#include "conformance/vct.h"

/* The story of a good life, and then: calls in the wrong order, a state that is garbage, a peer that dies, calls
 * without time and calls whose host services fail.  What they answer is not judged here; vct_seen tells what was seen.
 */
void vct_trouble(struct vct *t);
/* The second half of it. */
void vct_trouble_only(struct vct *t);
/* End the check with what was seen against a rule, if anything. */
void vct_must_not_have_seen(struct vct *t, const char *id);

#endif
