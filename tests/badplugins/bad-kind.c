/* SPDX-License-Identifier: Apache-2.0 */
/* bad-kind.c: of another kind than its directory. */
#define BAD_NAME "bad-kind"
#define BAD_KIND VC_KIND_SHIM
#include "bad.h"
