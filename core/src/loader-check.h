/* SPDX-License-Identifier: Apache-2.0 */
/* loader-check.h: the rules a plugin's tables must keep. */
#ifndef VCI_LOADER_CHECK_H
#define VCI_LOADER_CHECK_H

#include "loader.h"

/* Check a mapped descriptor and copy its tables into *p, whose path is set. */
int vci_plugin_check(const struct vc_plugin *entry, uint32_t kind, const char *name, struct vci_plugin *p, vc_error **err);
/* Before the dynamic loader maps it: is it a shared library, and as long as its headers promise? */
int vci_elf_check(int fd, const char *path, vc_error **err);

#endif
