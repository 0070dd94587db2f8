
# The initramfs knows network cards beside all disks, now and after upgrades (mkinitfs.conf(5)), and has what is for the
# processor in front: mkinitfs knows nothing of that.
if [ -e /etc/mkinitfs/mkinitfs.conf ]; then
	grep -Eq '^features=.*[" ]network[" ]' /etc/mkinitfs/mkinitfs.conf ||
		sed -i 's/^features="\(.*\)"/features="\1 network"/' /etc/mkinitfs/mkinitfs.conf
fi
for kernel in /boot/vmlinuz-*; do
	flavor=${kernel#/boot/vmlinuz-}
	release=/usr/share/kernel/$flavor/kernel.release
	[ -z "${bare_kernels+set}" ] && [ -e "$release" ] && is_new_kernel "$kernel" || continue
	make_initramfs "$flavor" "$(cat "$release")"
	for part in /boot/intel-ucode.img /boot/amd-ucode.img "/boot/initramfs-$flavor"; do
		[ ! -e "$part" ] || cat "$part"
	done >"$WORK/initramfs"
	cat "$WORK/initramfs" >"/boot/initramfs-$flavor"
done
