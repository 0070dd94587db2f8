# Collect boot loader files into a folder. Arguments: the folder, the architecture (amd64, arm64), packages.
# This runs in a throw-away stage of the machine's own distribution, so that the keys of shim, GRUB
# and kernel match; the result has the fixed names of exporter's boot::BootFiles.
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
grub=/usr/lib/grub/$platform-signed/grub$efi.efi.signed
shim=/usr/lib/shim/shim$efi.efi.signed
[ -e "$shim" ] || shim=$shim.latest # Ubuntu's name
cp "$grub" "$out/grub.efi"
cp "$shim" "$out/shim.efi"
mm=/usr/lib/shim/mm$efi.efi.signed
[ -e "$mm" ] || mm=/usr/lib/shim/mm$efi.efi
[ ! -e "$mm" ] || cp "$mm" "$out/mm.efi"

# Another one is for the network.
net=/usr/lib/grub/$platform-signed/grubnet$efi.efi.signed
[ -z "${media:-}" ] || [ ! -e "$net" ] || cp "$net" "$out/grubnet.efi"

# The folder below \EFI that the signed GRUB looks in is built into it.
vendor=$(grep -a -o '/EFI/[a-z]\{3,16\}' "$grub" | grep -v '^/EFI/BOOT$' | head -n 1)
vendor=${vendor#/EFI/}
[ -n "$vendor" ] || { echo "$grub names no folder below /EFI" >&2; exit 1; }
printf '%s\n' "$vendor" >"$out/vendor"

[ "$arch" != amd64 ] || bios_core grub-mkimage /usr/lib/grub/i386-pc "$out" "$vendor"
[ "$arch" != amd64 ] || checking_grub grub-mkimage i386-pc /usr/lib/grub/i386-pc "$out/core-key.img" "$vendor"
checking_grub grub-mkimage "$platform" "/usr/lib/grub/$platform" "$out/grub-key.efi" "$vendor"
