#!/bin/sh
# Written by vmimage. The first entry of GRUB's menu names the newest kernel by its files: /boot is a FAT, which has no
# links, or the distribution keeps none. Packages of kernels run this when their files have come or gone; kernel-install
# says what it does, to which version and kernel, and one that it adds is to boot. Where there is update-grub, that writes
# the menu.
set -e
menu=/boot/grub/grub.cfg
[ -e "$menu" ] && [ ! -x /usr/sbin/update-grub ] || exit 0
installed=
case "$1" in
add)
	installed=$2
	[ -e "/boot/vmlinuz-$2" ] || cp "$4" "/boot/vmlinuz-$2"
	;;
remove) rm -f "/boot/vmlinuz-$2" "/boot/initramfs-$2.img" ;;
esac
if command -v linux-version >/dev/null; then
	versions=$(linux-version list | linux-version sort --reverse)
else
	versions=$(cd /boot/ && printf '%s\n' vmlinuz-* | sed 's/^vmlinuz-//' | sort -rV)
fi
for version in $installed $versions; do
	[ -s "/boot/vmlinuz-$version" ] || continue
	for initramfs in "initrd.img-$version" "initramfs-$version.img"; do
		[ -s "/boot/$initramfs" ] || continue
		sed -e "0,/^}/s#^\(\t*\(if \)\?linux[a-z]* /vmlinuz-\)[^ ]*#\1$version#" \
			-e "0,/^}/s#^\(\t*initrd[a-z]* /\).*#\1$initramfs#" "$menu" >"$menu.new"
		mv "$menu.new" "$menu"
		exit
	done
done
