/* SPDX-License-Identifier: Apache-2.0 */
/* bad-ops-huge.c: a table of 4 GiB. */
#define BAD_NAME "bad-ops-huge"
#define BAD_OPS_SIZE 0xfffffff8u
#include "bad.h"
