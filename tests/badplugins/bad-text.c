/* SPDX-License-Identifier: Apache-2.0 */
/* bad-text.c: a description that moves the cursor. */
#define BAD_NAME "bad-text"
#define BAD_DESCRIPTION "evil\x1b[2J"
#include "bad.h"
