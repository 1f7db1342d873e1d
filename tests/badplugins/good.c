/* SPDX-License-Identifier: Apache-2.0 */
/* good.c: breaks no rule. */
#define BAD_NAME "good"
#include "bad.h"
