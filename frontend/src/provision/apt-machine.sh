# Install what a container image lacks to be a machine. Arguments: packages; "?name" is installed only if
# this release has it.

# The initramfs records no build time, and is for any machine, now and after upgrades (initramfs.conf(5)); a system
# with dracut is told so below.
export SOURCE_DATE_EPOCH=1
case " $* $(command -v update-initramfs || :)" in
*initramfs*)
	mkdir -p /etc/initramfs-tools/conf.d
	echo MODULES=most >/etc/initramfs-tools/conf.d/vmimage
	;;
esac

# Where the initramfs is vmimage's own, whoever would make another one finds a program that does nothing.
if [ -n "${bare_kernels+set}" ]; then
	mkdir "$WORK/bin"
	for program in update-initramfs dracut; do ln -s /bin/true "$WORK/bin/$program"; done
	export PATH="$WORK/bin:$PATH"
	echo "DPkg::Path \"$PATH\";" >>"$APT_CONFIG"
fi

# Services must not start in a build.
if [ ! -e /usr/sbin/policy-rc.d ]; then
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi

# Diversions (dpkg-divert(8)) of such programs, with a stand-in or nothing in their place.
undo_diversions() {
	dpkg-divert --list | sed -n 's/^local diversion of \(.*\) to .*$/\1/p' | while IFS= read -r path; do
		case " $programs " in
		*" ${path##*/} "*) ;;
		*) continue ;;
		esac
		if [ -e "$path" ] || [ -L "$path" ]; then
			is_stand_in "$path" || continue
			rm "$path"
		fi
		echo "vmimage: $path is diverted to make a container, undone"
		dpkg-divert --quiet --local --rename --remove "$path"
	done
}
# dpkg knows a file by one of its names, where /sbin is a link to /usr/sbin.
owner_of() {
	for name in "$1" "${1#/usr}"; do
		dpkg -S "$name" 2>/dev/null || :
	done | sed -n 's/^\([a-z0-9][a-z0-9.+-]*\)[:,].*/\1/p' | head -n 1
}
reinstall() {
	install_packages --reinstall "$@"
}
undo_diversions
restore_programs

for package; do
	shift
	case "$package" in
	\?*) package=${package#?}; apt-cache -q show "$package" >/dev/null 2>&1 || continue ;;
	esac
	set -- "$@" "$package"
done
# INITRD=No: the trigger at the end of the run makes the initramfs, the kernel package need not.
export INITRD=No
install_packages "$@"
# Or linux-update-symlinks would take the link to the initramfs away, and the menu could not follow the links.
unset INITRD

if [ -x /usr/bin/dracut ] && [ ! -x /usr/sbin/update-initramfs ]; then
	configure_dracut
	make_initramfs /boot/initrd.img- ''
fi
for modules in /lib/modules/*; do
	version=${modules##*/}
	[ -e "/boot/vmlinuz-$version" ] || continue
	if [ -z "${bare_kernels+set}" ]; then
		[ -s "/boot/initrd.img-$version" ] || update-initramfs -c -k "$version"
		[ -s "/boot/initrd.img-$version" ] || no_initramfs "/boot/vmlinuz-$version"
	fi
	# /vmlinuz and /initrd.img: the links that stay on the kernel that was installed last.
	! is_new_kernel "/boot/vmlinuz-$version" ||
		linux-update-symlinks install "$version" "/boot/vmlinuz-$version"
done
