/* SPDX-License-Identifier: Apache-2.0 */
/* blockdev.h: find the device nodes of disks that the host names by their place. */
#ifndef VCA_BLOCKDEV_H
#define VCA_BLOCKDEV_H

#include "ctr-internal.h"

/* The node of a disk: kind is blk, mmioblk, scsi or nvdimm; `where` is a node (/dev/...), a PCI path (blk: slot or
 * bridgeslot/slot, two hex digits each) or ID:LUN (scsi).  Waits some seconds for a disk that is being plugged in. */
int vca_blockdev_find(const char *kind, const char *where, char *ret, size_t size, struct vca_fault *f);
/* Fill in the numbers of the devices the host plugged in: those in spec->linux_part->devices whose path is the
 * container_path of one of `devices`, and the device rules with their old numbers. */
int vca_blockdev_patch(Agent__Device *const *devices, size_t n, Oci__Linux *lin, struct vca_fault *f);

#endif
