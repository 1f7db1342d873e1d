#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the guest's kernel (an uncompressed vmlinux) and initramfs (vc-agent and the modules it needs) from a Debian
# kernel package.  Same inputs, same bytes.  Needs apt (for the download), dpkg-deb, xz, binutils; no root.
set -eu
LC_ALL=C
export LC_ALL
umask 022

usage() {
    cat <<'END'
Usage: mkguest.sh --out DIR --agent FILE --cpio-tool FILE [OPTION...]

Makes DIR/vmlinux, DIR/vc-initramfs.cpio and DIR/manifest.

  --out DIR              where the results go; DIR/kernel keeps the modules that were unpacked
  --agent FILE           static program that becomes /init of the guest
  --cpio-tool FILE       the built vc-mkcpio
  --cache DIR            where downloaded packages are kept (default: DIR/cache)
  --modules FILE         list of modules (default: guest-modules beside this script)
  --kernel-package FILE  use this Debian linux-image package instead of downloading one
  --kernel FILE          use this bzImage or vmlinux; needs --modules-dir
  --modules-dir DIR      module tree that belongs to --kernel (such as /lib/modules/VERSION)
  --update               look for a newer kernel package even if one was unpacked before
END
}

say() { printf 'guest: %s\n' "$*"; }
die() { printf 'mkguest.sh: %s\n' "$*" >&2; exit 1; }

here=$(cd "$(dirname "$0")" && pwd)
out= agent= cpio_tool= cache= deb= kernel= modules_dir= update=no
wanted=$here/guest-modules
while [ $# -gt 0 ]; do
    case $1 in
    --help) usage; exit 0 ;;
    --update) update=yes; shift; continue ;;
    --out | --agent | --cpio-tool | --cache | --modules | --kernel-package | --kernel | --modules-dir) ;;
    *) usage >&2; die "unknown option '$1'" ;;
    esac
    [ $# -ge 2 ] || die "option $1 needs a value"
    case $1 in
    --out) out=$2 ;;
    --agent) agent=$2 ;;
    --cpio-tool) cpio_tool=$2 ;;
    --cache) cache=$2 ;;
    --modules) wanted=$2 ;;
    --kernel-package) deb=$2 ;;
    --kernel) kernel=$2 ;;
    --modules-dir) modules_dir=$2 ;;
    esac
    shift 2
done
[ -n "$out" ] || die "--out is missing: name the directory for the results"
[ -n "$agent" ] || die "--agent is missing: name the program that becomes /init"
[ -n "$cpio_tool" ] || die "--cpio-tool is missing: name the built vc-mkcpio"
[ -f "$agent" ] || die "$agent does not exist: run 'make' first, it builds the guest agent"
[ -x "$cpio_tool" ] || die "$cpio_tool does not exist or is not executable: run 'make' first"
[ -r "$wanted" ] || die "the module list $wanted cannot be read"
if [ -n "$kernel" ] && [ -z "$modules_dir" ]; then
    die "--kernel needs --modules-dir, the directory with the modules of that kernel"
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)
cache=${cache:-$out/cache}
tmp=$(mktemp -d "$out/.tmp.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

need() { command -v "$1" >/dev/null 2>&1 || die "$1 is missing: install the Debian package $2"; }
mib() { echo "$(($(wc -c <"$1") / 1048576)) MiB"; }

# ---- the kernel package -------------------------------------------------------------------------

# Print the name of the newest linux-image-VERSION-amd64 package that apt knows.
newest_package() {
    arch=$(dpkg --print-architecture)
    apt-cache depends "linux-image-$arch" 2>/dev/null | sed -n 's/^ *Depends: *\(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1
}

# Set $name and $version to the newest kernel package.
find_package() {
    name=$(newest_package)
    version=
    if [ -n "$name" ]; then
        version=$(apt-cache policy "$name" | sed -n 's/^ *Candidate: *//p')
    fi
}

# apt checks the package against the signed index.
fetch_package() {
    rm -rf "$tmp/dl"
    mkdir "$tmp/dl"
    (cd "$tmp/dl" && apt-get download -q -o APT::Sandbox::User=root "$name=$version") >"$tmp/apt.log" 2>&1
}

# The package lists may be missing or too old for what the mirror holds now; root may do something about it.
update_lists() {
    [ "$(id -u)" -eq 0 ] || return 1
    say "fetching the package lists (apt-get update)"
    apt-get update -q >"$tmp/update.log" 2>&1
}

download_package() {
    need apt-get apt
    need apt-cache apt
    find_package
    if [ -z "$name" ] && update_lists; then
        find_package
    fi
    if [ -z "$name" ]; then
        die "apt knows no Debian kernel package: run 'apt-get update' as root, or give one with --kernel-package FILE.deb"
    fi
    mkdir -p "$cache"
    set -- "$cache/${name}_$(echo "$version" | sed 's/:/%3a/')_"*.deb
    if [ -f "$1" ]; then
        deb=$1
        say "kernel package $(basename "$deb") was downloaded before"
        return
    fi
    say "downloading the kernel package $name $version (about 70 MB)"
    if ! fetch_package && ! { update_lists && find_package && fetch_package; }; then
        cat "$tmp/apt.log" >&2
        die "the download of $name failed: run 'apt-get update' as root and try again, or give a package with --kernel-package"
    fi
    set -- "$tmp/dl"/*.deb
    mv "$1" "$cache/"
    deb=$cache/$(basename "$1")
}

# ---- vmlinux ------------------------------------------------------------------------------------

u8() { od -An -tu1 -j"$2" -N1 "$1" | tr -d ' '; }
u32() { od -An -tu4 --endian=little -j"$2" -N4 "$1" | tr -d ' '; }
hex() { od -An -tx1 -j"$2" -N"$3" "$1" | tr -d ' \n'; }

# Unpack the ELF kernel from a bzImage ($1) into $2.  The x86 boot protocol tells where the payload lies: the header
# is at 0x1f1, payload_offset and payload_length at 0x248 and 0x24c, counted from the end of the set-up sectors.
extract_vmlinux() {
    if [ "$(hex "$1" 0 4)" = 7f454c46 ]; then
        cp "$1" "$2"
        return
    fi
    [ "$(hex "$1" 514 4)" = 48647253 ] || die "$1 is neither a bzImage nor an ELF kernel"
    sects=$(u8 "$1" 497)
    [ "$sects" -ne 0 ] || sects=4
    start=$(((sects + 1) * 512 + $(u32 "$1" 584)))
    length=$(u32 "$1" 588)
    tail -c +$((start + 1)) "$1" | head -c "$length" >"$tmp/payload"
    # The last four bytes of a payload hold its unpacked size; the unpackers take them for trailing rubbish.
    want=$(u32 "$tmp/payload" $((length - 4)))
    head -c $((length - 4)) "$tmp/payload" >"$tmp/packed"
    case $(hex "$tmp/packed" 0 6) in
    fd377a585a00) need xz xz-utils; xz -dc --single-stream <"$tmp/packed" >"$2" ;;
    28b52ffd*) need zstd zstd; zstd -dcq <"$tmp/packed" >"$2" ;;
    02214c18*) need lz4 lz4; lz4 -dc <"$tmp/packed" >"$2" ;;
    # A gzip stream carries that size itself, as its own last four bytes.
    1f8b*) gzip -dc <"$tmp/payload" >"$2" ;;
    *) die "$1 is packed in a way this script does not know (first bytes $(hex "$tmp/packed" 0 6))" ;;
    esac
    [ "$(hex "$2" 0 4)" = 7f454c46 ] || die "what was unpacked from $1 is not an ELF kernel"
    [ "$(wc -c <"$2")" -eq "$want" ] || die "the kernel in $1 is damaged: it unpacks to another size than it says"
    rm -f "$tmp/payload" "$tmp/packed"
}

# ---- modules ------------------------------------------------------------------------------------

# Modules are compared by name with '_' for '-'; files may have either, and may be compressed.
canon() { echo "$1" | tr - _; }

unpacked() {
    case $1 in
    *.xz) need xz xz-utils; xz -dc "$1" ;;
    *.zst) need zstd zstd; zstd -dcq "$1" ;;
    *.gz) gzip -dc "$1" ;;
    *) cat "$1" ;;
    esac
}

# One line a module: NAME FILE.
index_modules() { # tree
    find "$1" -name '*.ko' -o -name '*.ko.xz' -o -name '*.ko.zst' -o -name '*.ko.gz' | sort | while read -r f; do
        b=$(basename "$f")
        echo "$(canon "${b%%.ko*}") $f"
    done
}

file_of() { awk -v n="$1" '$1 == n { print $2; exit }' "$tmp/index"; }
is_builtin() { sed 's|.*/||; s|\.ko$||' "$tree/modules.builtin" 2>/dev/null | tr - _ | grep -qx "$1"; }
depends_of() { unpacked "$1" | tr '\0' '\n' | grep -a '^depends=' | sed 's/^depends=//; s/,/ /g' | tr - _; }

# Add a module, after what it depends on, to the list of the load order.
add_module() {
    case " $order " in *" $1 "*) return 0 ;; esac
    if is_builtin "$1"; then
        return 0
    fi
    if [ -z "$(file_of "$1")" ]; then
        missing="$missing $1"
        return 0
    fi
    for dep in $(depends_of "$(file_of "$1")"); do
        # A function's variables are global in sh: the recursion must not use any after it returns but $1.
        add_module "$dep"
    done
    order="$order $1"
}

# What belongs to the modules of the list, so that one pass over the package finds all; others cost a second pass.
usual_deps='virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev 9pnet fscache netfs failover net_failover
vsock vmw_vsock_virtio_transport_common fuse'

unpack_package() { # names of modules...
    for m in "$@"; do
        p=$(echo "$m" | sed 's/_/[-_]/g')
        printf '%s\n' "*/$p.ko" "*/$p.ko.*"
    done >"$tmp/patterns"
    printf '%s\n' '*/boot/vmlinuz-*' '*/boot/config-*' '*/modules.builtin' >>"$tmp/patterns"
    mkdir -p "$tmp/pkg"
    # tar complains about each pattern that matches nothing; what is really missing is found out below.
    dpkg-deb --fsys-tarfile "$deb" >"$tmp/pkg.tar" || die "$deb is no Debian package that dpkg-deb can read"
    tar -C "$tmp/pkg" -xf "$tmp/pkg.tar" --no-same-owner --wildcards -T "$tmp/patterns" 2>/dev/null || :
    rm -f "$tmp/pkg.tar"
    set -- "$tmp"/pkg/boot/vmlinuz-*
    [ -f "$1" ] || die "$deb holds no /boot/vmlinuz-*: it must be a linux-image package"
    bzimage=$1
    tree=$(dirname "$(find "$tmp/pkg" -name modules.builtin | head -n 1)")
}

# Make $out/vmlinux, and $out/kernel with the modules (plain, without debug sections) and their order.
make_kernel() {
    names=$(sed '/^#/d; s/^[^ ]* *//' "$wanted" | tr - _)
    pass=1 extra=
    while :; do
        if [ -n "$deb" ]; then
            # shellcheck disable=SC2086
            unpack_package $names $usual_deps $extra
        else
            bzimage=$kernel tree=$modules_dir
        fi
        index_modules "$tree" >"$tmp/index"
        resolve
        [ -n "$missing" ] || break
        if [ -z "$deb" ] || [ $pass -eq 6 ]; then
            die "the kernel has no module$missing: take it out of $wanted or use another kernel"
        fi
        pass=$((pass + 1)) extra="$extra $missing"
    done
    rm -rf "$tmp/kernel"
    mkdir -p "$tmp/kernel/modules"
    say "unpacking vmlinux"
    extract_vmlinux "$bzimage" "$tmp/kernel/vmlinux"
    need objcopy binutils
    for m in $all; do
        unpacked "$(file_of "$m")" >"$tmp/kernel/modules/$m.ko"
        # The type information for BPF and the trace events are in no debug section, but they are nothing else, and
        # the kernel takes several milliseconds a module to read the ones and to make files for the others.
        objcopy --strip-unneeded -R .BTF -R '.rela*_ftrace_e*' -R '_ftrace_e*' -R '.rela__bpf_raw_tp_map' \
            -R __bpf_raw_tp_map "$tmp/kernel/modules/$m.ko"
    done
    cp "$tmp/order" "$tmp/kernel/order"
    release=$(tr '\0' '\n' <"$tmp/kernel/modules/$(echo "$all" | awk '{ print $1 }').ko" | grep -a '^vermagic=' | head -n 1 |
        sed 's/^vermagic=//; s/ .*//')
    echo "$release" >"$tmp/kernel/release"
    echo "$source_id" >"$tmp/kernel/source"
    # An interrupted run must leave nothing that looks complete: the record of the source comes last.
    rm -rf "$out/kernel"
    mv "$tmp/kernel/vmlinux" "$out/vmlinux"
    mv "$tmp/kernel" "$out/kernel"
}

# Set $all (all modules), $missing, and the file $tmp/order with a line "GROUP MODULE" for each.  What the group boot
# has is always there; what two other groups need is in both.
resolve() {
    all= missing= boot=
    : >"$tmp/order"
    sed '/^#/d; /^ *$/d' "$wanted" >"$tmp/wanted"
    while read -r group names; do
        order=$boot
        for m in $(echo "$names" | tr - _); do add_module "$m"; done
        for o in $order; do
            case " $boot " in *" $o "*) continue ;; esac
            echo "$group $o" >>"$tmp/order"
            case " $all " in *" $o "*) ;; *) all="$all $o" ;; esac
        done
        [ "$group" != boot ] || boot=$order
    done <"$tmp/wanted"
}

# ---- initramfs ----------------------------------------------------------------------------------

make_initramfs() {
    : >"$tmp/modules"
    need objcopy binutils
    objcopy --strip-all "$agent" "$tmp/agent"
    {
        for d in /dev /dev/pts /dev/shm /etc /etc/vc-agent /lib /lib/modules /proc /run /sys /tmp /var; do
            echo "dir $d 0755"
        done
        echo "char /dev/console 0600 5 1"
        echo "char /dev/null 0666 1 3"
        echo "file /init 0755 $tmp/agent"
        echo "file /etc/vc-agent/modules 0644 $tmp/modules"
        while read -r group m; do
            echo "$group /lib/modules/$m.ko" >>"$tmp/modules"
        done <"$out/kernel/order"
        sed 's/.* //' "$out/kernel/order" | sort -u | while read -r m; do
            echo "file /lib/modules/$m.ko 0644 $out/kernel/modules/$m.ko"
        done
    } >"$tmp/list"
    "$cpio_tool" "$tmp/list" "$tmp/initramfs" || die "the initramfs could not be written"
}

sha() { sha256sum "$1" | sed 's/ .*//'; }

if [ -n "$kernel" ]; then
    [ -r "$kernel" ] || die "the kernel $kernel cannot be read"
    [ -d "$modules_dir" ] || die "the module directory $modules_dir does not exist"
    source_id="file $(sha "$kernel")"
elif [ -n "$deb" ]; then
    [ -r "$deb" ] || die "the kernel package $deb cannot be read"
    need dpkg-deb dpkg
    source_id="package $(basename "$deb")"
elif [ $update = no ] && [ -f "$out/kernel/source" ]; then
    source_id=$(cat "$out/kernel/source" | sed 's/ modules .*//')
    set -- "$cache/${source_id#package }"
    [ ! -f "$1" ] || deb=$1
else
    need dpkg-deb dpkg
    download_package
    source_id="package $(basename "$deb")"
fi
source_id="$source_id modules $(sha "$wanted") tool $(sha "$0")"
if [ ! -f "$out/vmlinux" ] || [ ! -f "$out/kernel/source" ] || [ "$(cat "$out/kernel/source")" != "$source_id" ]; then
    if [ -z "$deb" ] && [ -z "$kernel" ]; then
        download_package
        source_id="package $(basename "$deb") ${source_id#* * }"
    fi
    say "taking the kernel and modules out of $(basename "${deb:-$kernel}")"
    make_kernel
fi
release=$(cat "$out/kernel/release")

say "writing the initramfs"
make_initramfs
# Files are replaced by renaming: a running QEMU may have the old one open.
mv "$tmp/initramfs" "$out/vc-initramfs.cpio"
{
    echo "kernel $release"
    echo "source $(echo "$source_id" | sed 's/ modules .*//')"
    echo "vmlinux $(wc -c <"$out/vmlinux") $(sha "$out/vmlinux")"
    echo "initramfs $(wc -c <"$out/vc-initramfs.cpio") $(sha "$out/vc-initramfs.cpio")"
    echo "agent $(wc -c <"$tmp/agent") $(sha "$tmp/agent")"
} >"$tmp/manifest"
mv "$tmp/manifest" "$out/manifest"
say "kernel $release: $out/vmlinux ($(mib "$out/vmlinux")), $out/vc-initramfs.cpio ($(wc -c <"$out/vc-initramfs.cpio") bytes)"
