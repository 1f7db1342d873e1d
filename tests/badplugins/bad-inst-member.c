/* SPDX-License-Identifier: Apache-2.0 */
/* bad-inst-member.c: a required member of the instance table is missing. */
#define BAD_NAME "bad-inst-member"
#define BAD_SAVE NULL
#include "bad.h"
