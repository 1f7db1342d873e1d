/* SPDX-License-Identifier: Apache-2.0 */
/* bad-state-version.c: cannot read the state it writes. */
#define BAD_NAME "bad-state-version"
#define BAD_STATE_MIN 2
#include "bad.h"
