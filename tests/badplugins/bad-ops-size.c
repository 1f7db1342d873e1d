/* SPDX-License-Identifier: Apache-2.0 */
/* bad-ops-size.c: a table that is too short. */
#define BAD_NAME "bad-ops-size"
#define BAD_OPS_SIZE 24
#include "bad.h"
