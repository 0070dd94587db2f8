# The initramfs has the drivers $drivers, now and after upgrades (dracut.conf(5)).
add_drivers_to_dracut() {
	mkdir -p /etc/dracut.conf.d
	echo "add_drivers+=\" $drivers \"" >/etc/dracut.conf.d/vmimage-drivers.conf
}
