
# The initramfs has the drivers $drivers, now and after upgrades: they are a feature of mkinitfs.conf(5), which is there
# with the kernel.
if [ -e /etc/mkinitfs/mkinitfs.conf ]; then
	printf 'kernel/fs/%s\n' $drivers >/etc/mkinitfs/features.d/vmimage.modules
	grep -q '^features=.*vmimage' /etc/mkinitfs/mkinitfs.conf ||
		sed -i 's/^features="\(.*\)"/features="\1 vmimage"/' /etc/mkinitfs/mkinitfs.conf
fi
for kernel in /boot/vmlinuz-*; do
	flavor=${kernel#/boot/vmlinuz-}
	release=/usr/share/kernel/$flavor/kernel.release
	! [ -e "$release" ] || ! is_new_kernel "$kernel" || make_initramfs "$flavor" "$(cat "$release")"
done
