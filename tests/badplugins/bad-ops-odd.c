/* SPDX-License-Identifier: Apache-2.0 */
/* bad-ops-odd.c: a table whose size is no multiple of a pointer. */
#define BAD_NAME "bad-ops-odd"
#define BAD_OPS_SIZE (sizeof(struct vc_proxy_ops) + 1)
#include "bad.h"
