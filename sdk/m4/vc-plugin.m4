# vc-plugin.m4: find the SDK of libvccore for a plugin.                                        -*- Autoconf -*-
# SPDX-License-Identifier: Apache-2.0
# serial 1

# VC_PLUGIN(KIND, NAME, [MIN-MINOR = 0])
# --------------------------------------
# Find the SDK for a plugin NAME of that KIND (hypervisor, agent, proxy, shim or network) that is written for major 1 of the
# contract and for at least that minor.  Sets, for Makefile.am:
#   vcplugindir          where it is installed: PLUGINROOT/KIND
#   VC_PLUGIN_CPPFLAGS   headers        VC_PLUGIN_CFLAGS  position-independent, nothing visible by default
#   VC_PLUGIN_LDFLAGS    a shared object that exports vc_plugin_entry only, by the version script vc-plugin.map, which this
#                        writes into the build directory
#   VC_PLUGIN_LIBS       the static helpers (libvcsdk), when they are installed
#   VC_PLUGIN_TEST       the program vc-plugin-test
# and VC_PLUGIN_KIND, VC_PLUGIN_NAME.
AC_DEFUN([VC_PLUGIN], [
AC_REQUIRE([PKG_PROG_PKG_CONFIG])dnl
m4_case([$1], [hypervisor], [], [agent], [], [proxy], [], [shim], [], [network], [],
  [m4_fatal([VC_PLUGIN: "$1" is no kind of plugin: hypervisor, agent, proxy, shim or network])])dnl
m4_bmatch([$2], [^[a-z0-9][a-z0-9-]*$], [],
  [m4_fatal([VC_PLUGIN: "$2" is no name of a plugin: a-z, 0-9 and "-", not first])])dnl
VC_PLUGIN_KIND=$1
VC_PLUGIN_NAME=$2
AC_ARG_VAR([VC_PLUGIN_TEST], [the program vc-plugin-test, when it is not where the SDK says])
AC_MSG_CHECKING([for the SDK of libvccore])
AS_IF([test -z "$PKG_CONFIG"],
  [AC_MSG_ERROR([pkg-config is missing, by which the SDK of libvccore is found])])
AS_IF([$PKG_CONFIG --exists libvccore-sdk], [],
  [AC_MSG_ERROR([libvccore-sdk.pc is not found: install the SDK of libvccore, or add its directory to PKG_CONFIG_PATH])])
vc_plugin_major=`$PKG_CONFIG --variable=abi_major libvccore-sdk`
vc_plugin_minor=`$PKG_CONFIG --variable=abi_minor libvccore-sdk`
AS_IF([test "$vc_plugin_major" != 1],
  [AC_MSG_ERROR([the SDK is of version $vc_plugin_major.$vc_plugin_minor of the plugin contract; plugin $2 is written for 1.m4_default([$3], [0])])])
AS_IF([test "$vc_plugin_minor" -lt "m4_default([$3], [0])"],
  [AC_MSG_ERROR([the SDK is of version 1.$vc_plugin_minor of the plugin contract; plugin $2 needs 1.$3])])
AC_MSG_RESULT([version $vc_plugin_major.$vc_plugin_minor of the contract])
vc_plugin_modules=libvccore-sdk
VC_PLUGIN_LIBS=
AS_IF([$PKG_CONFIG --exists libvcsdk],
  [vc_plugin_modules="libvccore-sdk libvcsdk"
   VC_PLUGIN_LIBS=`$PKG_CONFIG --libs libvcsdk`])
VC_PLUGIN_CPPFLAGS="-D_GNU_SOURCE `$PKG_CONFIG --cflags $vc_plugin_modules`"
VC_PLUGIN_CFLAGS="-fPIC -fvisibility=hidden"
VC_PLUGIN_LDFLAGS="-shared -Wl,-z,defs -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete -Wl,--version-script=`pwd`/vc-plugin.map"
AS_IF([test "x$vcplugindir" = x], [vcplugindir=`$PKG_CONFIG --variable=$1dir libvccore-sdk`])
AS_IF([test "x$VC_PLUGIN_TEST" = x], [VC_PLUGIN_TEST=`$PKG_CONFIG --variable=conformance libvccore-sdk`])
AC_CONFIG_COMMANDS([vc-plugin.map], [echo '{ global: vc_plugin_entry; local: *; };' >vc-plugin.map])
AC_SUBST([VC_PLUGIN_KIND])
AC_SUBST([VC_PLUGIN_NAME])
AC_SUBST([VC_PLUGIN_CPPFLAGS])
AC_SUBST([VC_PLUGIN_CFLAGS])
AC_SUBST([VC_PLUGIN_LDFLAGS])
AC_SUBST([VC_PLUGIN_LIBS])
AC_SUBST([vcplugindir])
])
