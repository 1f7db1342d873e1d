#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The plugin exports its entry and nothing else, so that it cannot get in the way of another one.
set -u
: "${PLUGIN:?run it by make check}"
got=$(nm -D --defined-only "$PLUGIN" | sed 's/.* //' | sort | tr '\n' ' ')
[ "$got" = "vc_plugin_entry " ] && exit 0
echo "$PLUGIN exports: $got; it must be vc_plugin_entry alone (plugin.map)"
exit 1
