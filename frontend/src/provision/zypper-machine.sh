# Install what a container image lacks to be a machine. Arguments: packages.
configure_dracut
reinstall() {
	install_packages --force "$@"
}
restore_programs
keep_configuration /etc install_packages "$@"
make_initramfs /boot/initrd- ''
# The links that SUSE keeps on the newest kernel, where its own scripts could not.
for kind in vmlinuz initrd; do
	[ ! -e "/boot/$kind" ] || continue
	newest=$(cd /boot && printf '%s\n' "$kind"-* | sort -V | tail -n 1)
	[ ! -e "/boot/$newest" ] || ln -sf "$newest" "/boot/$kind"
done
