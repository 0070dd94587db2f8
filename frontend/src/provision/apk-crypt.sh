
# The initramfs opens an encrypted root, now and after upgrades (mkinitfs.conf(5)).
if [ -e /etc/mkinitfs/mkinitfs.conf ]; then
	grep -Eq '^features=.*[" ]cryptsetup[" ]' /etc/mkinitfs/mkinitfs.conf ||
		sed -i 's/^features="\(.*\)"/features="\1 cryptsetup"/' /etc/mkinitfs/mkinitfs.conf
fi
for kernel in /boot/vmlinuz-*; do
	flavor=${kernel#/boot/vmlinuz-}
	release=/usr/share/kernel/$flavor/kernel.release
	! [ -e "$release" ] || ! is_new_kernel "$kernel" || make_initramfs "$flavor" "$(cat "$release")"
done
