/* SPDX-License-Identifier: Apache-2.0 */
/* bad-name.c: calls itself otherwise than its file. */
#define BAD_NAME "bad-name"
#define BAD_OWN_NAME "something-else"
#include "bad.h"
