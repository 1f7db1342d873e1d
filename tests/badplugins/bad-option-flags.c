/* SPDX-License-Identifier: Apache-2.0 */
/* bad-option-flags.c: an option with a flag that is not known. */
#define BAD_NAME "bad-option-flags"
#define BAD_OPTIONS { "word", VC_OPT_STRING, 0x80, 0, 0, "x", NULL, "A word." }
#include "bad.h"
