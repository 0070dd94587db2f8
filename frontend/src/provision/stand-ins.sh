# Programs of packages that a container base has put a stand-in in the place of: a link to true(1), a copy of it, or a
# script that does nothing. Behind them there would be no initramfs, and all would seem well. Which $programs count, and
# which $folders they are in, is said before; a script of somebody's own, which does something, stays.
is_stand_in() { # PATH
	if [ -L "$1" ]; then
		case "$(readlink "$1")" in
		true | */true | */false) return 0 ;;
		*) return 1 ;;
		esac
	fi
	[ -f "$1" ] || return 1
	case "$(head -c 2 "$1")" in
	'#!') ! sed -E '/^[[:space:]]*(#.*|exit( 0)?|true|:)?[[:space:]]*$/d' "$1" | grep -q . ;;
	*) [ "$(sha256sum <"$1")" = "$(sha256sum </bin/true)" ] ;;
	esac
}

stand_ins() {
	for folder in $folders; do
		[ ! -L "$folder" ] || continue
		for program in $programs; do
			! is_stand_in "$folder/$program" || echo "$folder/$program"
		done
	done
}

# Packages whose programs are stand-ins are installed again. The package manager says how: `owner_of PATH` prints the
# package, if there is one, and `reinstall PACKAGE...`.
restore_programs() {
	packages=
	for path in $(stand_ins); do
		package=$(owner_of "$path")
		[ -n "$package" ] || continue
		echo "vmimage: $path is a stand-in, $package is installed again"
		rm "$path"
		packages="$packages $package"
	done
	[ -z "$packages" ] || reinstall $packages
}

# no_initramfs KERNEL: what made none is somebody's own.
no_initramfs() {
	echo "$1 has no initramfs" >&2
	for program in $programs; do
		case "$program" in
		update-initramfs | mkinitramfs | dracut | mkinitcpio | mkinitfs) ;;
		*) continue ;;
		esac
		! path=$(command -v "$program") || echo "what should have made it: $path" >&2
	done
	exit 1
}
