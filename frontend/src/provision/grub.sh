# GRUB for BIOS: boot.img, and a core with everything in it that may be needed, so /boot/grub holds no modules.
bios_core() { # PROGRAM MODULES OUT VENDOR
	cp "$2/boot.img" "$3/boot.img"
	"$1" -O i386-pc -d "$2" -o "$3/core.img" -p "(,gpt2)/EFI/$4" \
		biosdisk part_gpt fat ext2 normal configfile search search_fs_uuid search_label search_fs_file \
		linux test echo ls cat regexp serial terminal minicmd reboot halt all_video boot gzio loadenv sleep true probe
}
