/* SPDX-License-Identifier: Apache-2.0 */
/* layout.c: every size, offset and value of the two binary interfaces, as static asserts: a change breaks the build.
 * Compiled, and never run, for LP64 and ILP32. */
#include <stddef.h>
#include <stdint.h>

#include <vc/agent.h>
#include <vc/hypervisor.h>
#include <vc/network.h>
#include <vc/proxy.h>
#include <vc/shim.h>
#include <vc/template.h>
#include <vccore/vccore.h>

#define VC_SIZE(type, value) _Static_assert(sizeof(struct type) == (value), "the size of struct " #type " has changed");
#define VC_AT(type, member, value) _Static_assert(offsetof(struct type, member) == (value), #type "." #member " has moved");
#define VC_VALUE(name, value) _Static_assert((long long)(name) == (value), "the value of " #name " has changed");

#if __SIZEOF_POINTER__ == 8
#include "abi/1.0-rc/layout-lp64.h"
#else
#include "abi/1.0-rc/layout-ilp32.h"
#endif
