/* SPDX-License-Identifier: Apache-2.0 */
/* bad-undefined.c: calls a function that no library has.  Bound lazily it would load, and the process would end at the
 * first call. */
struct vc_inst;
struct vc_call;
int function_that_no_library_has(struct vc_inst *inst, const struct vc_call *call);
#define BAD_NAME "bad-undefined"
#define BAD_STOP function_that_no_library_has
#include "bad.h"
