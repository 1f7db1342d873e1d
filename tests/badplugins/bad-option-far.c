/* SPDX-License-Identifier: Apache-2.0 */
/* bad-option-far.c: an option whose description leads to nowhere. */
#define BAD_NAME "bad-option-far"
#define BAD_OPTIONS { "word", VC_OPT_STRING, 0, 0, 0, "x", NULL, (const char *)4096 }
#include "bad.h"
