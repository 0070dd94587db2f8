# The initramfs knows the network cards $nics beside all disks, and has what is for the processor in front, now and after
# upgrades (dracut.conf(5)). A kernel that lacks one of the drivers is no error.
add_metal_to_dracut() {
	mkdir -p /etc/dracut.conf.d
	cat >/etc/dracut.conf.d/vmimage-metal.conf <<-CONF
		early_microcode="yes"
		add_drivers+=" $nics "
	CONF
}
