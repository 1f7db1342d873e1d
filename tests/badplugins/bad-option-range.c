/* SPDX-License-Identifier: Apache-2.0 */
/* bad-option-range.c: an option whose minimum is above its maximum. */
#define BAD_NAME "bad-option-range"
#define BAD_OPTIONS { "key", VC_OPT_INT, 0, 9, 4, NULL, NULL, "Range." }
#include "bad.h"
