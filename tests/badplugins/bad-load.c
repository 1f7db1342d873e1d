/* SPDX-License-Identifier: Apache-2.0 */
/* bad-load.c: its load() fails, with a reason that holds an escape sequence. */
#include <vc/proxy.h>

static int refuse(const vc_host *host, vc_err *err)
{
    static const char why[] = "the moon is \033[31mfull\033[0m";
    return host->err_set(host, err, VC_E_STATE, 0, why, sizeof(why) - 1);
}

#define BAD_NAME "bad-load"
#define BAD_LOAD refuse
#include "bad.h"
