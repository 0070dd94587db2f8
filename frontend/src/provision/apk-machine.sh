# Install what a container image lacks to be a machine. Arguments: packages.

owner_of() {
	apk info --who-owns "$1" 2>/dev/null |
		sed -n '/symlink target/d; s/.* is owned by \(.*\)-[^-]*-r[0-9]*$/\1/p'
}
reinstall() {
	apk fix $from --reinstall "$@"
}

restore_programs
# Where the initramfs is vmimage's own, no script of the kernel is run: its trigger would make another one.
[ -z "${bare_kernels-}" ] || apk add --no-scripts $from $bare_kernels
apk add $from "$@"
keep_archives "$WORK/apk" "$WORK/apk"/*.apk

# An initramfs without the times of the build and the numbers of the devices that files lay on, which are others at
# each mount.
make_initramfs() { # FLAVOR RELEASE
	tools=$(mktemp -d)
	cat >"$tools/cpio" <<-CPIO
		#!/bin/sh
		case " \$* " in *" -o "*) set -- --ignore-devno "\$@" ;; esac
		exec $(command -v cpio) "\$@"
	CPIO
	chmod +x "$tools/cpio"
	PATH=$tools:$PATH mkinitfs -o "/boot/initramfs-$1" "$2"
	rm -r "$tools"
}

# The kernel's trigger has made one too, or could not run, or ran a stand-in, which must not pass unseen.
for kernel in /boot/vmlinuz-*; do
	flavor=${kernel#/boot/vmlinuz-}
	[ -e "$kernel" ] || continue # It comes from another image.
	[ -z "${bare_kernels+set}" ] || continue
	release=/usr/share/kernel/$flavor/kernel.release
	if [ -e "$release" ] && { is_new_kernel "$kernel" || [ ! -s "/boot/initramfs-$flavor" ]; }; then
		make_initramfs "$flavor" "$(cat "$release")"
	fi
	[ -s "/boot/initramfs-$flavor" ] || no_initramfs "$kernel"
done
