#!/bin/sh
# dnf, microdnf or yum, with downloads and metadata in a cache mount below $CACHE so that none of them is
# left in a layer. The scripts that go on from here are dnf-machine.sh and dnf-boot.sh.
set -eu
export LC_ALL=C

for manager in dnf microdnf yum; do ! command -v "$manager" >/dev/null || break; done
cache=cachedir
[ ! -e /usr/bin/dnf5 ] || cache=system_cachedir # root's, in version 5
mkdir -p "$CACHE/dnf"
install_packages() {
	"$manager" install -y --setopt=install_weak_deps=0 --setopt=keepcache=1 --setopt="$cache=$CACHE/dnf" "$@"
}
