# Install what a container image lacks to be a machine. Arguments: packages.
configure_dracut
reinstall() {
	install_packages --force "$@"
}
restore_programs
keep_configuration /etc install_packages "$@"
make_initramfs /boot/initrd- ''
# zypp says in it when it has written it, which would be another time in each build.
auto_installed=/var/lib/zypp/AutoInstalled
[ ! -e "$auto_installed" ] || sed -i 's/^# AutoInstalled generated .*/# AutoInstalled generated/' "$auto_installed"
# The links that SUSE keeps on the newest kernel, where its own scripts could not.
for kind in vmlinuz initrd; do
	[ ! -e "/boot/$kind" ] || continue
	newest=$(cd /boot && printf '%s\n' "$kind"-* | sort -V | tail -n 1)
	[ ! -e "/boot/$newest" ] || ln -sf "$newest" "/boot/$kind"
done
