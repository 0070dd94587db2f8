#!/bin/sh
# Install what a container image lacks to be a machine. Arguments: packages.
# Downloads live in the folder of this step, $WORK, so none of them is left in the layer.
set -eu
export LC_ALL=C
# The initramfs records no build time.
export SOURCE_DATE_EPOCH=1

# The initramfs is for any machine, now and after upgrades: without the hook `autodetect`.
mkdir -p /etc/mkinitcpio.conf.d
echo 'HOOKS=(base udev modconf keyboard block filesystems fsck)' >/etc/mkinitcpio.conf.d/vmimage.conf

indexes=/var/lib/pacman/sync
had_indexes=$(ls -A "$indexes" 2>/dev/null || :)
owner_of() {
	pacman -Qqo "$1" 2>/dev/null || :
}
# All packages become new: Arch supports no machine where only some of them are. pacman would install no archive with
# another digest than the index says either, but end.
install_packages() { # ARGUMENT...
	pacman -Sup --noconfirm --print-format '%f %h' "$@" 2>/dev/null | take_archives "$WORK/pacman"
	pacman -Su --noconfirm --cachedir "$WORK/pacman" "$@"
	keep_archives "$WORK/pacman" "$WORK/pacman"/*.pkg.tar*
}
reinstall() {
	install_packages "$@"
}
mkdir "$WORK/pacman"
pacman -Sy
restore_programs
install_packages --needed "$@"
[ -n "$had_indexes" ] || rm -rf "${indexes:?}"/*

# The kernel's hook makes the initramfs; a hook that could not run must not pass unseen.
for kernel in /boot/vmlinuz-*; do
	name=${kernel#/boot/vmlinuz-}
	[ -e "$kernel" ] && [ -z "${bare_kernels+set}" ] || continue
	[ -s "/boot/initramfs-$name.img" ] || mkinitcpio -p "$name"
	[ -s "/boot/initramfs-$name.img" ] || no_initramfs "$kernel"
done
