# The initramfs knows the network cards $nics beside all disks, and has what is for the processor in front, now and after
# upgrades (mkinitcpio(8)). This is read after vmimage.conf.
mkdir -p /etc/mkinitcpio.conf.d /etc/initcpio/install
echo 'HOOKS=(base udev microcode modconf keyboard block vmimage-metal filesystems fsck)' \
	>/etc/mkinitcpio.conf.d/zz-vmimage-metal.conf
cat >/etc/initcpio/install/vmimage-metal <<HOOK
#!/usr/bin/env bash
build() {
	local driver
	for driver in $nics; do add_module "\$driver?"; done
}
help() {
	echo 'The drivers of network cards.'
}
HOOK
