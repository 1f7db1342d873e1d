/* SPDX-License-Identifier: Apache-2.0 */
/* bad-text-pointer.c: a description that leads to nowhere. */
#define BAD_NAME "bad-text-pointer"
#define BAD_DESCRIPTION ((const char *)4096)
#include "bad.h"
