/* SPDX-License-Identifier: Apache-2.0 */
/* bad-desc-size.c: a descriptor that is too short. */
#define BAD_NAME "bad-desc-size"
#define BAD_DESC_SIZE 64
#include "bad.h"
