# The initramfs is for any machine, not for the one that makes it, now and after upgrades (dracut.conf(5)), and
# records no build time.
configure_dracut() {
	mkdir -p /etc/dracut.conf.d
	cat >/etc/dracut.conf.d/vmimage.conf <<-CONF
		hostonly="no"
		reproducible="yes"
		dracut_rescue_image="no"
	CONF
	export SOURCE_DATE_EPOCH=1
}

# Ignition's module is left out unless something asks for it: its check() says 255. An initramfs that was made before
# it was asked for lacks it.
ask_for_ignition() {
	asked=/etc/dracut.conf.d/vmimage-ignition.conf
	anew=
	for module in /usr/lib/dracut/modules.d/*ignition/module-setup.sh; do
		[ -e "$module" ] && [ ! -e "$asked" ] || continue
		echo 'add_dracutmodules+=" ignition "' >"$asked"
		anew=yes
	done
}

# For every kernel that has none; where the kernel comes from another image there is no kernel. BEFORE and AFTER make
# its path of the kernel's version.
make_initramfs() { # BEFORE AFTER
	ask_for_ignition
	for modules in /lib/modules/*; do
		version=${modules##*/}
		[ -e "/boot/vmlinuz-$version" ] || [ -e "$modules/vmlinuz" ] || continue
		if [ -z "$anew" ]; then
			[ ! -e "$modules/initramfs.img" ] && [ ! -e "$1$version$2" ] || continue
		fi
		depmod "$version"
		[ -z "${bare_kernels+set}" ] || continue # It will be vmimage's own.
		dracut --quiet --force "$1$version$2" "$version"
		[ -s "$1$version$2" ] || no_initramfs "$modules"
	done
}
