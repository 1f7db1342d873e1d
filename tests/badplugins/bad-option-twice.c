/* SPDX-License-Identifier: Apache-2.0 */
/* bad-option-twice.c: the same option twice. */
#define BAD_NAME "bad-option-twice"
#define BAD_OPTIONS { "key", VC_OPT_BOOL, 0, 0, 0, NULL, NULL, "One." }, { "key", VC_OPT_BOOL, 0, 0, 0, NULL, NULL, "Two." }
#include "bad.h"
