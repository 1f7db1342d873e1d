#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# rename.sh NAME [KIND]: make this copy of the template into a plugin called NAME, of kind hypervisor (when none is given),
# agent, proxy, shim or network.  The kinds but hypervisor begin with a frame: all members, which say truly what they do not do.
set -eu
name=${1:-} kind=${2:-hypervisor}
usage() { echo "usage: rename.sh NAME [KIND]; $*" >&2; exit 2; }
case $name in
'' | *[!a-z0-9-]* | -*) usage "NAME is of a-z, 0-9 and '-', which is not first, as in rename.sh my-vmm; \"$name\" is not" ;;
esac
case $kind in
hypervisor | agent | proxy | shim | network) ;;
*) usage "KIND is hypervisor, agent, proxy, shim or network; \"$kind\" is not" ;;
esac
[ $# -le 2 ] || usage "there are $# words"
[ "${#name}" -le 32 ] || { echo "rename.sh: a plugin's name has at most 32 characters" >&2; exit 2; }
cd "$(dirname "$0")"
[ -f ns.c ] || { echo "rename.sh: there is no ns.c here: this copy was renamed before" >&2; exit 1; }
[ "$kind" = hypervisor ] || [ -f "frames/$kind.c" ] || { echo "rename.sh: there is no frames/$kind.c here" >&2; exit 1; }
word=$(echo "$name" | tr - _)
# An identifier of C does not begin with a digit.
case $word in [0-9]*) id=p_$word ;; *) id=$word ;; esac
# What a plugin with a program of its own needs beside the plugin (Makefile.am).
helper_lines() {
    cat <<END

# YOURS: a program of the plugin's own goes to a directory of the package, and not to libvccore's; its path is an option of
# the plugin (see $name.c).  Write $name-helper.c, and take the mark off the lines that have no blank behind it:
#pkglibexec_PROGRAMS = $name-helper
#${word}_helper_SOURCES = $name-helper.c
#${word}_so_CPPFLAGS += -DHELPER_PATH='"\$(pkglibexecdir)/$name-helper"'
# The tests take the one that was just built:
#AM_TESTS_ENVIRONMENT += ARGS="--set helper=\$(abs_builddir)/$name-helper \$\$ARGS"; export ARGS;
END
}
# The word ns, and ns_ at the beginning of an identifier.
sed -i "s/\bns\b/$name/g; s/\bns_/${word}_/g" Makefile.am configure.ac
if [ "$kind" = hypervisor ]; then
    sed -i "s/\bns\b/$name/g; s/\bns_/${id}_/g" ns.c
    sed -i "s/\bmy-vmm\b/ns/g; s/\bns\b/$name/g; s/\bns_/${id}_/g" README.md
    [ "$name" = ns ] || mv ns.c "$name.c"
else
    sed "s/\bframe\b/$name/g; s/\bframe_/${id}_/g" "frames/$kind.c" >"frames/$kind.new"
    rm ns.c
    mv "frames/$kind.new" "$name.c"
    sed -i "s/  For a plugin of another kind.*//; s/hypervisor/$kind/g" Makefile.am
    sed -i "s/hypervisor/$kind/g" configure.ac
    case $kind in proxy | shim) helper_lines >>Makefile.am ;; esac
    cat >README.md <<END
# $name

A plugin of kind $kind for libvccore.

    autoreconf -fi && ./configure && make
    make check                     # vc-plugin-test: every rule of the contract
    sudo make install

\`$name.c\` is a frame: all members are there and say truly what they do not do. The parts to replace are marked with \`YOURS\`.
The plugin author's manual has a section for each kind.
END
fi
rm -rf frames
echo "This is $kind $name now. Next: autoreconf -fi && ./configure && make && make check"
