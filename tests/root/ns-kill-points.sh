#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tests/vm/kill-points.sh on namespaces in place of a VM.
VC_TEST_HYPERVISOR=ns VC_KILL_STACKS=ns exec sh "$(dirname "$0")/../vm/kill-points.sh"
