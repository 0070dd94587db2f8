# The initramfs is for any machine, not for the one that makes it, now and after upgrades (dracut.conf(5)).
mkdir -p /etc/dracut.conf.d
cat >/etc/dracut.conf.d/vmimage.conf <<CONF
hostonly="no"
reproducible="yes"
dracut_rescue_image="no"
CONF
# The initramfs records no build time.
export SOURCE_DATE_EPOCH=1

# For every kernel that has none. BEFORE and AFTER make its path of the kernel's version.
make_initramfs() { # BEFORE AFTER
	made=
	for modules in /lib/modules/*; do
		version=${modules##*/}
		[ -e "/boot/vmlinuz-$version" ] || [ -e "$modules/vmlinuz" ] || continue
		made=$version
		[ ! -e "$modules/initramfs.img" ] && [ ! -e "$1$version$2" ] || continue
		depmod "$version"
		dracut --quiet "$1$version$2" "$version"
	done
	[ -n "$made" ] || { echo "there is no kernel, neither in /boot nor below /lib/modules" >&2; exit 1; }
}
