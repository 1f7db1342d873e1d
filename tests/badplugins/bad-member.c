/* SPDX-License-Identifier: Apache-2.0 */
/* bad-member.c: a required member of its kind is missing. */
#define BAD_NAME "bad-member"
#define BAD_STOP NULL
#include "bad.h"
