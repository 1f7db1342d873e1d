/* SPDX-License-Identifier: Apache-2.0 */
/* bad-inst.c: no instance table. */
#define BAD_NAME "bad-inst"
#define BAD_INST NULL
#include "bad.h"
