/* SPDX-License-Identifier: Apache-2.0 */
/* bad-option-key.c: an option without a key. */
#define BAD_NAME "bad-option-key"
#define BAD_OPTIONS { NULL, VC_OPT_STRING, 0, 0, 0, NULL, NULL, "No key." }
#include "bad.h"
