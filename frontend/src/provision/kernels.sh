# Which kernels the step finds and leaves: the assembly of the disk tells those of the image's own layers from them by
# this record, and removes it (`tree::kernel` of the exporter). The script of a package manager follows.
kernel_images() {
	for image in /boot/vmlinuz-* /lib/modules/*/vmlinuz; do
		[ ! -e "$image" ] || echo "$image"
	done
}
found_kernels=" $(kernel_images | tr '\n' ' ')"

is_new_kernel() { # IMAGE
	case "$found_kernels" in
	*" $1 "*) return 1 ;;
	esac
}

# A kernel that was asked for and that was there before is among all.
record_kernels() { # asked or under
	new=
	for image in $(kernel_images); do ! is_new_kernel "$image" || new="$new $image"; done
	[ -n "$(kernel_images)" ] || return 0
	kernel_images | sed 's/^/under /' >/boot/vmimage-kernels
	[ "$1" = under ] || printf 'asked %s\n' ${new:-$(kernel_images)} >>/boot/vmimage-kernels
}

