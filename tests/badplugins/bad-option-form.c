/* SPDX-License-Identifier: Apache-2.0 */
/* bad-option-form.c: an option key with a capital letter. */
#define BAD_NAME "bad-option-form"
#define BAD_OPTIONS { "Key", VC_OPT_STRING, 0, 0, 0, NULL, NULL, "Capital." }
#include "bad.h"
