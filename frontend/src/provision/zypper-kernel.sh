# Install kernels, and other packages of which only files are taken, in a stage whose other files nobody takes. Arguments:
# packages. zypper cannot leave scripts out, but those of the kernel make no initramfs where there is no dracut.
install_packages "$@"
