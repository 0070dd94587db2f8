# Install kernels, and other packages of which only files are taken, in a stage whose other files nobody takes. Arguments:
# packages. No script is run, so none makes an initramfs; the variable is for package managers that run some all the same.
export KERNEL_INSTALL_BYPASS=1
install_packages --setopt=tsflags=noscripts "$@"
# Which modules need which is found out once, here, and not by every assembly of a disk.
for modules in /lib/modules/*; do
	[ -e "$modules/modules.dep" ] || ! command -v depmod >/dev/null || depmod "${modules##*/}"
done
