# Collect boot loader files into a folder. Arguments: the folder, the architecture (amd64, arm64), packages.
# This runs in a throw-away stage, as apt-boot.sh does.
out=$1
arch=$2
shift 2

case "$arch" in
amd64) efi=/usr/share/efi/x86_64 platform=x86_64-efi ;;
arm64) efi=/usr/share/efi/aarch64 platform=arm64-efi ;;
*) echo "no boot loader is known for $arch" >&2; exit 1 ;;
esac

install_packages "$@"

mkdir -p "$out"
cp "$efi/shim.efi" "$efi/grub.efi" "$out/"
# SUSE's shim looks for grub.efi, and its GRUB for grub.cfg beside itself.
echo grub.efi >"$out/second"
echo BOOT >"$out/vendor"
# The same one reads the network.
[ -z "${media:-}" ] || cp "$out/grub.efi" "$out/grubnet.efi"

modules=/usr/share/grub2
[ -e "$modules/$platform" ] || modules=/usr/lib/grub2
if [ "$arch" = amd64 ]; then
	bios_core grub2-mkimage "$modules/i386-pc" "$out" BOOT
	checking_grub grub2-mkimage i386-pc "$modules/i386-pc" "$out/core-key.img" BOOT
fi
checking_grub grub2-mkimage "$platform" "$modules/$platform" "$out/grub-key.efi" BOOT
