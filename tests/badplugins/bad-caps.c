/* SPDX-License-Identifier: Apache-2.0 */
/* bad-caps.c: capability bits that are reserved. */
#define BAD_NAME "bad-caps"
#define BAD_CAPS (UINT64_C(1) << 60)
#include "bad.h"
