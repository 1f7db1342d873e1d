/* SPDX-License-Identifier: Apache-2.0 */
/* bad-option-count.c: more options than its table has. */
#define BAD_NAME "bad-option-count"
#define BAD_N_OPTIONS 1024
#include "bad.h"
