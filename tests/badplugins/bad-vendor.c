/* SPDX-License-Identifier: Apache-2.0 */
/* bad-vendor.c: no vendor. */
#define BAD_NAME "bad-vendor"
#define BAD_VENDOR NULL
#include "bad.h"
