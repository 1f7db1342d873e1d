#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tests/root/readme-tour.sh in real VMs, as the README means it.
VC_TEST_HYPERVISOR=qemu exec sh "$(dirname "$0")/../root/readme-tour.sh"
