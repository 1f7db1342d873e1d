/* SPDX-License-Identifier: Apache-2.0 */
/* network.h: a pod's network cards: from the network plugin's endpoints to devices of the VM and settings in the guest.
 *
 * In this order: vci_net_setup before the VM is described (it may run in the namespace), vci_net_plug once it runs,
 * booting or restored, vci_net_configure once the agent answers.  Undone by the network plugin's teardown: a VM that
 * ends takes its devices along. */
#ifndef VCI_NETWORK_H
#define VCI_NETWORK_H

#include "pod.h"

/* Make the pod's network namespace; pod->netns_fd is set when there is one. */
int vci_net_setup(struct vci_pod *pod, int64_t deadline, vc_error **err);
/* Open the pod's network namespace, whichever process made it: *ret_fd is -1 when it has none, else the caller's. */
int vci_net_open_ns(const struct vci_pod *pod, int *ret_fd, vc_error **err);
/* Give the VM a device for each endpoint of the namespace.  The guest may find them while it still boots. */
int vci_net_plug(struct vci_pod *pod, int64_t deadline, vc_error **err);
/* Have the guest name and address them.  Nothing is asked of it when there is nothing to set up. */
int vci_net_configure(struct vci_pod *pod, struct vci_inst *agent, int64_t deadline, vc_error **err);

#endif
