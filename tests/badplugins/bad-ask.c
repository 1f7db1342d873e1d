/* SPDX-License-Identifier: Apache-2.0 */
/* bad-ask.c: asks for an option that it has not declared, and says nothing about it. */
#define BAD_NAME "bad-ask"
#define BAD_CREATE_ASKS "colour"
#include "bad.h"
