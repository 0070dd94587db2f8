# Install what a container image lacks to be a machine. Arguments: packages.

# The kernel's package need not make an initramfs, that is done below.
export KERNEL_INSTALL_BYPASS=1
configure_dracut
reinstall() {
	manage reinstall -y "$@"
}
restore_programs
keep_configuration /etc install_packages "$@"
make_initramfs /boot/initramfs- .img
