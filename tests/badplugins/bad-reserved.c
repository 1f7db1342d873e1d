/* SPDX-License-Identifier: Apache-2.0 */
/* bad-reserved.c: a reserved member that is not 0. */
#define BAD_NAME "bad-reserved"
#define BAD_RESERVED 7
#include "bad.h"
