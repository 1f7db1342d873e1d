/* SPDX-License-Identifier: Apache-2.0 */
/* bad-option-pointer.c: an option whose key leads to nowhere, like what stands behind a table that is too short. */
#define BAD_NAME "bad-option-pointer"
#define BAD_OPTIONS { "word", VC_OPT_STRING, 0, 0, 0, "x", NULL, "A word." }, { (const char *)4096, VC_OPT_INT, 0, 0, 0, NULL, NULL, "A row." }
#include "bad.h"
