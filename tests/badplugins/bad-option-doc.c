/* SPDX-License-Identifier: Apache-2.0 */
/* bad-option-doc.c: an option without a description. */
#define BAD_NAME "bad-option-doc"
#define BAD_OPTIONS { "key", VC_OPT_INT, 0, 1, 4, "2", NULL, NULL }
#include "bad.h"
