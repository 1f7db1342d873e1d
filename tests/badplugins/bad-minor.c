/* SPDX-License-Identifier: Apache-2.0 */
/* bad-minor.c: needs a newer host. */
#define BAD_NAME "bad-minor"
#define BAD_MIN_HOST_MINOR 9
#include "bad.h"
