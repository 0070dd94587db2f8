#!/bin/sh
# Install what a container image lacks to be a machine. Arguments: packages.
# Downloads and the index live in a cache mount, so none of them is left in the layer.
set -eu
export SOURCE_DATE_EPOCH=1

mkdir -p "$CACHE/apk"
apk add --cache-dir "$CACHE/apk" --update-cache "$@"

# The kernel's trigger makes the initramfs; a trigger that could not run must not pass unseen.
for kernel in /boot/vmlinuz-*; do
	flavor=${kernel#/boot/vmlinuz-}
	[ -e "/boot/initramfs-$flavor" ] || { echo "$kernel has no initramfs" >&2; exit 1; }
done
