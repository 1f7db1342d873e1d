/* SPDX-License-Identifier: Apache-2.0 */
/* bad-option-stride.c: option rows that are too short. */
#define BAD_NAME "bad-option-stride"
#define BAD_STRIDE 8
#include "bad.h"
