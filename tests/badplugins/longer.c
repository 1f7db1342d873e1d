/* SPDX-License-Identifier: Apache-2.0 */
/* longer.c: a plugin built with the headers of a later minor: every table is longer, the tail is not zero.  It must load
 * like any other. */
#include <vc/proxy.h>

#define BAD_NAME "longer-base"
#define vc_plugin_entry longer_base
#include "bad.h"
#undef vc_plugin_entry

static const struct {
    struct vc_proxy_ops now;
    uintptr_t later[4];
} ops = { .now = { sizeof(ops), 0, bad_start, bad_stop, bad_status }, .later = { 1, 2, 3, 4 } };

static const struct {
    struct vc_option now;
    uintptr_t later;
} options[] = {
    { { "first", VC_OPT_INT, 0, 0, 9, "4", NULL, "One." }, 7 },
    { { "second", VC_OPT_SIZE, 0, 0, 0, "2M", NULL, "Two." }, 7 },
};

struct longer {
    struct vc_plugin now;
    uintptr_t later[2];
};
/* The headers declare the symbol with today's type. */
extern const struct longer longer_entry __asm__("vc_plugin_entry");
VC_EXPORT const struct longer longer_entry = {
    .now = {
        .magic = VC_PLUGIN_MAGIC,
        .abi_major = VC_ABI_MAJOR,
        .abi_minor = VC_ABI_MINOR + 3,
        .size = sizeof(struct longer),
        .kind = VC_KIND_PROXY,
        .name = "longer",
        .vendor = "tests",
        .version = "1",
        .description = "A plugin of a later minor.",
        .options = &options[0].now,
        .n_options = 2,
        .option_stride = sizeof(options[0]),
        .inst = &bad_inst,
        .ops = &ops.now,
    },
    .later = { 9, 9 },
};
