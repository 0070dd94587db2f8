#!/bin/sh
# Make a repository of RPM packages from Debian's. usage: make-repository.sh dnf|zypper FOLDER
set -eu
manager=$1 repository=$2
work=$(mktemp -d)
archives=/var/cache/stand-in/archives
mkdir -p "$repository" "$archives/partial"
apt="-q -y -o Dir::Cache::archives=$archives --no-install-recommends"

# What must be installed for Debian packages, themselves included, on a minimal Debian.
closure() { # PACKAGE...
	# shellcheck disable=SC2086 # words
	apt-get $apt install --download-only "$@" >&2
	# shellcheck disable=SC2086
	apt-get $apt -s install "$@" | sed -n 's/^Inst \([^ :]*\).*/\1/p'
}

# The files of downloaded packages in $root, all below /usr, without those that were here before.
seen=
extract() { # PACKAGE...
	root=$(mktemp -d -p "$work")
	for package; do
		case " $seen " in *" $package "*) continue ;; esac
		seen="$seen $package"
		for archive in "$archives/${package}_"*.deb; do dpkg-deb -x "$archive" "$root"; done
	done
	for folder in bin sbin lib lib64; do
		[ -d "$root/$folder" ] || continue
		mkdir -p "$root/usr/$folder"
		cp -a "$root/$folder/." "$root/usr/$folder/"
		rm -rf "${root:?}/$folder"
	done
}
files_of() {
	# shellcheck disable=SC2046 # words
	extract $(closure "$@")
}

# A package of $root. usage: package NAME [SCRIPT [TAG]]
package() {
	cat >"$work/$1.spec" <<-SPEC
		%define __os_install_post %{nil}
		%define _build_id_links none
		%define _binary_payload w3.zstdio
		Name: $1
		Version: 1
		Release: 1
		Summary: Files of Debian under another name
		License: that of the Debian packages
		AutoReqProv: no
		${3:-}
		%description
		A stand-in.
		%install
		cp -a $root/. %{buildroot}/
		%post
		${2:-:}
		%files
		/*
	SPEC
	rpmbuild --quiet -bb --define "_rpmdir $repository" "$work/$1.spec" >&2
}

case "$manager" in
dnf)
	kernels="kernel kernel-core" udev=systemd-udev sysvinit= iproute=iproute
	shim="shim shim-x64" efi=grub2-efi-x64 bios=grub2-pc-modules tools=grub2-tools
	;;
zypper)
	kernels=kernel-default-base udev=udev sysvinit=systemd-sysvinit iproute=iproute2
	shim=shim efi=grub2-x86_64-efi bios=grub2-i386-pc tools=grub2
	;;
esac

apt-get -q update >&2
# The shell that scripts of packages are for is here without a package.
root=$(mktemp -d -p "$work")
mkdir -p "$root/usr/share/doc/sh"
package sh '' 'Provides: /bin/sh'
# shellcheck disable=SC2046
extract $(closure linux-image-cloud-amd64 | grep '^linux-image-[0-9]')
version=$(ls "$root/usr/lib/modules")
rm -rf "$root/etc" "$root"/usr/share "$root"/boot/System.map* "$root"/boot/config*
mv "$root/boot/vmlinuz-$version" "$root/usr/lib/modules/$version/vmlinuz"
if [ "$manager" = zypper ]; then
	ln -s "../usr/lib/modules/$version/vmlinuz" "$root/boot/vmlinuz-$version"
else
	rmdir "$root/boot"
fi
for name in $kernels; do package "$name"; done

# Others than SUSE have /sbin/init in systemd itself.
# shellcheck disable=SC2046
files_of systemd dbus $([ -n "$sysvinit" ] || echo systemd-sysv libpam-systemd)
mkdir -p "$root/usr/lib/sysusers.d"
echo 'u messagebus - "System Message Bus"' >"$root/usr/lib/sysusers.d/dbus.conf"
package systemd systemd-sysusers
if [ -n "$sysvinit" ]; then
	files_of systemd-sysv libpam-systemd
	package "$sysvinit"
fi
files_of udev kmod
package "$udev" systemd-sysusers
files_of iproute2
package "$iproute"
files_of network-manager
package NetworkManager
files_of dracut
rm -rf "$root/etc/kernel"
package dracut

# In the boot stage there is none of the above.
seen=
# A package of its own for some of the files there are now. usage: part FOLDER FILE...
part() {
	folder=$1
	shift
	root=$(mktemp -d -p "$work")
	mkdir -p "$root/$folder"
	cp -a "$@" "$root/$folder/"
}

files_of grub-common
mv "$root/usr/bin/grub-mkimage" "$root/usr/bin/grub2-mkimage"
package "$tools"

seen=
files_of shim-signed grub-efi-amd64-signed grub-pc-bin
all=$root
signed="$all/usr/lib/shim/shimx64.efi.signed $all/usr/lib/shim/mmx64.efi.signed $all/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
if [ "$manager" = dnf ]; then
	for file in $signed; do mv "$file" "${file%.signed}"; done
	part boot/efi/EFI/debian "$all/usr/lib/shim/shimx64.efi" "$all/usr/lib/shim/mmx64.efi"
	for name in $shim; do package "$name"; done
	part boot/efi/EFI/debian "$all/usr/lib/grub/x86_64-efi-signed/grubx64.efi"
	package "$efi"
	part usr/lib/grub "$all/usr/lib/grub/i386-pc"
else
	# Neither Debian's shim nor its GRUB looks for SUSE's names: two GRUBs that do, the first in place of shim,
	# the second with linuxefi for linux.
	# shellcheck disable=SC2086
	apt-get $apt install grub-common grub-efi-amd64-bin >&2
	image() { # OUTPUT COMMAND MODULE...
		echo "$2" >"$work/early.cfg"
		output=$1
		shift 2
		grub-mkimage -O x86_64-efi -p '' -c "$work/early.cfg" -o "$output" part_gpt fat normal "$@"
	}
	mkdir "$work/efi"
	# shellcheck disable=SC2016 # GRUB's variable
	image "$work/efi/shim.efi" 'chainloader $cmdpath/grub.efi
boot' chain boot
	# shellcheck disable=SC2016
	image "$work/efi/grub.efi" 'configfile $cmdpath/grub.cfg' ext2 configfile search search_fs_uuid search_fs_file \
		test true echo linuxefi all_video serial terminal loadenv
	part usr/share/efi/x86_64 "$work/efi/shim.efi"
	package "$shim"
	part usr/share/efi/x86_64 "$work/efi/grub.efi"
	package "$efi"
	part usr/share/grub2 "$all/usr/lib/grub/i386-pc"
fi
package "$bios"

createrepo_c --quiet "$repository"
