/* SPDX-License-Identifier: Apache-2.0 */
/* bad-option-enum.c: an enum without choices. */
#define BAD_NAME "bad-option-enum"
#define BAD_OPTIONS { "key", VC_OPT_ENUM, 0, 0, 0, NULL, NULL, "Enum." }
#include "bad.h"
