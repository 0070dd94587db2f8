# GRUB for BIOS: boot.img, and a core with everything in it that is needed, so /boot/grub holds no modules. $core_modules
# are those that read the tables and file systems of the layout.
#
# The core knows no partition. It begins with the disk that the BIOS has started as its root, and looks for the stub on
# its partitions before those of other disks.
# Where $media is set, beside them what media start by: a core within an optical disc, and one that comes by TFTP, which
# has its own $prefix from the server that it has come from.
bios_core() { # PROGRAM MODULES OUT VENDOR
	cp "$2/boot.img" "$3/boot.img"
	echo "$core_modules" >"$3/modules"
	cat >"$WORK/core.cfg" <<-EOF
		search.file /EFI/$4/grub.cfg root \${root},
		set prefix=(\${root})/EFI/$4
	EOF
	"$1" -O i386-pc -d "$2" -o "$3/core.img" -c "$WORK/core.cfg" -p "/EFI/$4" \
		biosdisk $core_modules normal configfile search search_fs_uuid search_label search_fs_file \
		linux test echo ls cat regexp serial terminal minicmd reboot halt all_video boot gzio loadenv sleep true probe
	[ -n "${media:-}" ] || return 0
	cp "$2/cdboot.img" "$3/cdboot.img"
	"$1" -O i386-pc-pxe -d "$2" -o "$3/grub.pxe" -p / \
		pxe net tftp http normal configfile linux test echo ls cat regexp serial terminal minicmd reboot halt all_video \
		boot gzio sleep true
}
