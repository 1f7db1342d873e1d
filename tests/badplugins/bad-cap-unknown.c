/* SPDX-License-Identifier: Apache-2.0 */
/* bad-cap-unknown.c: a capability bit that its kind does not have. */
#define BAD_NAME "bad-cap-unknown"
#define BAD_CAPS (UINT64_C(1) << 40)
#include "bad.h"
