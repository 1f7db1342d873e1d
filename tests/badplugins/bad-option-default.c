/* SPDX-License-Identifier: Apache-2.0 */
/* bad-option-default.c: a default out of range. */
#define BAD_NAME "bad-option-default"
#define BAD_OPTIONS { "key", VC_OPT_INT, 0, 1, 4, "5", NULL, "Default." }
#include "bad.h"
