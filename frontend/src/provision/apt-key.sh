# The initramfs opens the root by a key file on a drive, now and after upgrades (initramfs-tools(7), crypttab(5) of Debian:
# keyscript). $unlock: in which way the root is opened, beside its passphrase.
if [ "$unlock" = key-file ]; then
	mkdir -p /usr/lib/vmimage /etc/initramfs-tools/hooks
	cat >/usr/lib/vmimage/key <<-'KEY'
		#!/bin/sh
		# Written by vmimage: the key of a disk, from a drive or else from who types its passphrase.
		# usage: key DEVICE:PATH:SECONDS
		if [ "${CRYPTTAB_TRIED:-0}" = 0 ]; then
			echo "vmimage-key: waiting for ${1%%:*}" >&2
			/lib/cryptsetup/scripts/passdev "$1" && exit
		fi
		exec /lib/cryptsetup/askpass "Please unlock disk $CRYPTTAB_NAME: "
	KEY
	cat >/etc/initramfs-tools/hooks/vmimage-key <<-'HOOK'
		#!/bin/sh
		# Written by vmimage: what a key file on a drive takes, USB sticks of a FAT or ext4 too.
		[ "$1" != prereqs ] || exit 0
		. /usr/share/initramfs-tools/hook-functions
		copy_exec /usr/lib/vmimage/key
		copy_exec /lib/cryptsetup/scripts/passdev
		copy_exec /lib/cryptsetup/askpass
		manual_add_modules vfat nls_cp437 nls_ascii nls_iso8859-1 nls_utf8 ext4 usb_storage uas
	HOOK
	chmod 755 /usr/lib/vmimage/key /etc/initramfs-tools/hooks/vmimage-key
fi
