/* SPDX-License-Identifier: Apache-2.0 */
/* bad-option-type.c: an option of an unknown type. */
#define BAD_NAME "bad-option-type"
#define BAD_OPTIONS { "key", 99, 0, 0, 0, NULL, NULL, "Type." }
#include "bad.h"
