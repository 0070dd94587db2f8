# Collect boot loader files into a folder. Arguments: the folder, the architecture (amd64, arm64), packages.
# This runs in a throw-away stage, as apt-boot.sh does.
out=$1
arch=$2
shift 2

case "$arch" in
amd64) efi=x64 platform=x86_64-efi ;;
arm64) efi=aa64 platform=arm64-efi ;;
*) echo "no boot loader is known for $arch" >&2; exit 1 ;;
esac

install_packages "$@"

mkdir -p "$out"
# Packages put their files on the ESP, or where bootupd takes them from.
take() { # FILE NAME
	for folder in /boot/efi/EFI/* /usr/lib/efi/*/*/EFI/*; do
		[ -e "$folder/$1" ] || continue
		cp "$folder/$1" "$out/$2"
		vendor=${folder##*/}
		return
	done
	echo "no package brought $1" >&2
	exit 1
}
take "mm$efi.efi" mm.efi
take "shim$efi.efi" shim.efi
# The folder below \EFI that the signed GRUB looks in is the one it lies in.
take "grub$efi.efi" grub.efi
printf '%s\n' "$vendor" >"$out/vendor"
# The same one reads the network.
[ -z "${media:-}" ] || cp "$out/grub.efi" "$out/grubnet.efi"

[ "$arch" != amd64 ] || bios_core grub2-mkimage /usr/lib/grub/i386-pc "$out" "$vendor"
[ "$arch" != amd64 ] || checking_grub grub2-mkimage i386-pc /usr/lib/grub/i386-pc "$out/core-key.img" "$vendor"
checking_grub grub2-mkimage "$platform" "/usr/lib/grub/$platform" "$out/grub-key.efi" "$vendor"
