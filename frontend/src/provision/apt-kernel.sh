# Unpack kernels, and other packages of which only files are taken, in a stage whose other files nobody takes: what they
# depend on would be for a machine, and scripts would make an initramfs. Arguments: packages. One that only depends on
# others brings those of them that are kernels, or their modules.
with_kernels() { # PACKAGE...
	for package; do
		echo "$package"
		with_kernels $(apt-cache show --no-all-versions "$package" 2>/dev/null |
			sed -n 's/^Depends: //p' | tr , '\n' |
			sed -E -n 's/^ *(linux-(image|modules)-[^ :|]*)( \(= ([^)]*)\))?.*/\1=\4/; T; s/=$//; p')
	done
}

# Lines "'URI' ARCHIVE SIZE SHA256:DIGEST": of several digests apt would show the longest.
apt-get -q download --print-uris -o Acquire::ForceHash=SHA256 $(with_kernels "$@") >"$WORK/uris"
sed -n "s/^'.*' \([^ ]*\) [0-9]* SHA256:\([0-9a-f]*\)\$/\1 \2/p" "$WORK/uris" | take_archives "$WORK/archives"
sed -n "s/^'.*' \([^ ]*\) [0-9]* .*/\1/p" "$WORK/uris" >"$WORK/wanted"
[ -s "$WORK/wanted" ] || { echo "apt knows of no archive of $*" >&2; exit 1; }
mkdir "$WORK/unpacked"
cd "$WORK/archives"
for archive in $(cat "$WORK/wanted"); do
	# NAME_VERSION_ARCHITECTURE.deb, with %3a for the colon of an epoch. apt compares what it downloads with the digest.
	version=${archive#*_}
	version=$(printf %s "${version%_*}" | sed 's/%3a/:/')
	[ -e "$archive" ] || apt-get -q -o APT::Sandbox::User=root download "${archive%%_*}=$version"
	dpkg-deb -x "$archive" "$WORK/unpacked"
done
cd /
# A package has its modules below /lib or /usr/lib, and either may be a link in the image.
for part in boot lib/modules usr/lib/modules usr/lib/systemd/boot/efi; do
	[ -d "$WORK/unpacked/$part" ] || continue
	mkdir -p "/$part"
	cp -a "$WORK/unpacked/$part/." "/$part/"
done
keep_archives "$WORK/archives" "$WORK/archives"/*.deb
# Which modules need which is found out once, here, and not by every assembly of a disk.
command -v depmod >/dev/null || ! apt-cache -q show kmod >/dev/null 2>&1 || install_packages kmod
for modules in /lib/modules/*; do
	[ -e "$modules/modules.dep" ] || ! command -v depmod >/dev/null || depmod "${modules##*/}"
done
