# An initramfs that was there before knows nothing of a key file.
if [ "$unlock" = key-file ]; then
	for initramfs in /boot/initrd.img-*; do
		[ -e "$initramfs" ] || continue
		lsinitramfs "$initramfs" | grep -x usr/lib/vmimage/key >/dev/null || update-initramfs -u -k "${initramfs#/boot/initrd.img-}"
	done
fi
