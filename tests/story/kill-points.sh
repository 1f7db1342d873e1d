#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The kill at each fault point with backends that need no VM: every point, always.
VC_KILL_STACKS="mock" VC_KILL_STEP=1 exec sh "$(dirname "$0")/../vm/kill-points.sh"
