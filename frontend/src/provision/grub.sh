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

# GRUB that reads nothing but what a key has signed, where $checks is set: for a BIOS or for UEFI, with all its modules in it. The key
# comes in the last step of the build, in the place of a text with which GRUB would not start.
#
# Its superuser has no password: whoever gets out of the menu gets at no console. GRUB says nothing of a configuration that it does not
# take, so that is checked by a command first. To look for it, GRUB opens it, and would not find one that was altered, so for that alone
# nothing is checked: nothing is read of it, either.
checking_grub() { # PROGRAM FORMAT MODULES IMAGE VENDOR
	[ -n "${checks:-}" ] && [ -e "$3/pgp.mod" ] || return 0
	printf '%-1024s' 'vmimage: the place of the key of GRUB' >"$WORK/key"
	{
		printf 'set superusers=root\nexport superusers\n'
		[ "$2" != i386-pc ] || cat <<-EOF
			serial --unit=0 --speed=115200
			terminal_input console serial
			terminal_output console serial
			set check_signatures=no
			search.file /EFI/$5/grub.cfg root \${root},
			set prefix=(\${root})/EFI/$5
		EOF
		printf 'set check_signatures=enforce\nverify_detached $prefix/grub.cfg $prefix/grub.cfg.sig\nnormal $prefix/grub.cfg\nhalt\n'
	} >"$WORK/checking.cfg"
	# Its own key stands for shim's.
	lock=
	! "$1" --help | grep -q -e --disable-shim-lock || lock=--disable-shim-lock
	disk=
	[ "$2" != i386-pc ] || disk=biosdisk
	"$1" -O "$2" -d "$3" -o "$4" -c "$WORK/checking.cfg" -p "/EFI/$5" --pubkey="$WORK/key" $lock \
		$disk $core_modules normal configfile search search_fs_uuid search_label search_fs_file \
		linux test echo regexp serial terminal reboot halt all_video boot gzio sleep true probe \
		pgp gcry_rsa gcry_sha512
}
