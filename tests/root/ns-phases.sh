#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tests/vm/phases.sh on namespaces in place of a VM.
VC_TEST_HYPERVISOR=ns exec sh "$(dirname "$0")/../vm/phases.sh"
