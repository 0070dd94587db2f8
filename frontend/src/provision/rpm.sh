#!/bin/sh
# Where packages come from, as .repo files in $sources; without it, from where the image's own settings say.
#
# That is the folder $PACKAGES, if there is one; or else the image's own repositories with $MIRROR, if that is set, in
# place of the distribution's hosts. The image's settings stay as they are.
set -eu
export LC_ALL=C

sources=
redirect() { # FOLDER of the image's .repo files
	[ -n "${PACKAGES-}${MIRROR-}" ] || return 0
	sources=$WORK/sources
	mkdir -p "$sources"
	if [ -n "${PACKAGES-}" ]; then
		packages_source "$PACKAGES"
	else
		mirrored_sources "$1"
	fi
}

# A folder with repodata, or for zypper without. What is in it may be new at every build.
packages_source() { # FOLDER
	cat >"$sources/vmimage-packages.repo" <<-REPO
		[vmimage-packages]
		name=packages of this build
		baseurl=file://$1
		enabled=1
		autorefresh=1
		metadata_expire=1
		gpgcheck=0
		repo_gpgcheck=0
	REPO
}

# In every section that has a base URL on a host of the distribution, be it in a comment: that URL on the mirror, with
# the same path, and no list of mirrors. CentOS Stream has no base URLs, but metalinks whose names tell them.
mirrored_sources() { # FOLDER
	hosts='([a-z0-9.-]+\.)?(fedoraproject\.org|download\.example|centos\.org|rockylinux\.org|almalinux\.org'
	hosts=$hosts'|openeuler\.org|opensuse\.org|oracle\.com|yum\$ociregion\.\$ocidomain)(:[0-9]+)?'
	link='\nmetalink *=[^\n]*repo=centos' stream='([0-9]+-stream|\$stream)&[^\n]*'
	centos='\nbaseurl=https://mirror.stream.centos.org'
	for file in "$1"/*.repo; do
		[ -e "$file" ] || continue
		sed -E '
			/^\[/!{ H; $!d; }
			x
			s#'"$link-baseos-$stream#$centos"'/\1/BaseOS/$basearch/os/#
			s#'"$link-appstream-$stream#$centos"'/\1/AppStream/$basearch/os/#
			s#'"$link-extras-sig-extras-common-$stream#$centos"'/SIGs/\1/extras/$basearch/extras-common/#
			s#\n(\# ?)?baseurl *= *https?://'"$hosts"'/#\nbaseurl='"$MIRROR"'/#
			T
			s#\n(metalink|mirrorlist) *=[^\n]*##g
			s#(\ngpgkey *= *)https?://'"$hosts"'/#\1'"$MIRROR"'/#
		' "$file" >"$sources/${file##*/}"
	done
	! grep -qsF "baseurl=$MIRROR/" "$sources"/*.repo || return 0
	# An image of an old release may name another archive, or a mirror of it.
	[ "$MIRROR" != "${ARCHIVE-}" ] || return 0
	echo "$1 names no host that $MIRROR could stand for" >&2
	return 1
}

# What stand-ins.sh asks.
owner_of() {
	! package=$(rpm -qf --qf '%{NAME}\n' "$1" 2>/dev/null) || echo "$package"
}

# Copies of configuration files that rpm has put aside, for a package's own.
put_aside() { # FOLDER
	for entry in "$1"/*; do
		case "$entry" in
		*.rpmorig | *.rpmsave) echo "$entry" ;;
		esac
		[ -L "$entry" ] || [ ! -d "$entry" ] || put_aside "$entry"
	done
}

# keep_configuration FOLDER COMMAND...: what the image has configured stays, the package's own is beside it as .rpmnew.
keep_configuration() {
	folder=$1
	shift
	before=$(put_aside "$folder")
	"$@"
	put_aside "$folder" | while IFS= read -r copy; do
		own=${copy%.rpm*}
		! printf '%s\n' "$before" | grep -qxF -e "$copy" && [ -e "$own" ] || continue
		mv "$own" "$own.rpmnew"
		mv "$copy" "$own"
	done
}

