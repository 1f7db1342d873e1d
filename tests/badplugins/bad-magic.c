/* SPDX-License-Identifier: Apache-2.0 */
/* bad-magic.c: another magic number. */
#define BAD_NAME "bad-magic"
#define BAD_MAGIC 0x46554e4bu
#include "bad.h"
