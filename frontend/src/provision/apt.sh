#!/bin/sh
# apt, with its downloads and lists in the folder of this step, $WORK, so that none of them is left in a layer. The usual
# folders are not used because official images delete what is in them after every install. The scripts that go on from
# here are apt-machine.sh and apt-boot.sh.
#
# Packages come from the folder $PACKAGES, if there is one; or else from where the image's own settings say, with
# $MIRROR, if that is set, in place of the distribution's hosts. The image's settings stay as they are, and so do its
# own files in the places of packages' configuration files.
set -eu
export LC_ALL=C.UTF-8
mkdir -p "$WORK/archives/partial" "$WORK/lists/partial"
export APT_CONFIG="$WORK/apt.conf"
cat >"$APT_CONFIG" <<CONF
Dir::Cache "$WORK";
Dir::State::Lists "$WORK/lists";
APT::Keep-Downloaded-Packages "true";
Acquire::Retries "3";
Dpkg::Use-Pty "0";
Dpkg::Options { "--force-confdef"; "--force-confold"; };
CONF
# Indexes of an archive are as old as the release.
[ -z "${ARCHIVE-}" ] || echo 'Acquire::Check-Valid-Until "false";' >>"$APT_CONFIG"

# An index of the .deb files in $PACKAGES, beside links to them: the folder itself is read-only.
index_packages() {
	mkdir "$WORK/sources/repository"
	for package in "$PACKAGES"/*.deb; do
		[ -e "$package" ] || { echo "$PACKAGES holds no .deb files" >&2; return 1; }
		name=${package##*/}
		ln -s "$package" "$WORK/sources/repository/$name"
		dpkg-deb -f "$package"
		size=$(stat -L -c %s "$package")
		digest=$(sha256sum <"$package")
		printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$name" "$size" "${digest%% *}"
	done >"$WORK/sources/repository/Packages"
}

# The folder as a line of sources.list: with suites and components, flat with an index, or only packages.
packages_source() {
	found=
	for release in "$PACKAGES"/dists/*/Release "$PACKAGES"/dists/*/InRelease; do
		[ -e "$release" ] || continue
		suite=${release%/*}
		components=$(sed -n 's/^Components: *//p' "$release")
		echo "deb [trusted=yes] file:$PACKAGES ${suite##*/} $components"
		found=yes
	done
	[ -z "$found" ] || return 0
	for index in "$PACKAGES"/Packages "$PACKAGES"/Packages.*; do
		[ -e "$index" ] || continue
		echo "deb [trusted=yes] file:$PACKAGES ./"
		return
	done
	index_packages
	echo "deb [trusted=yes] file:$WORK/sources/repository ./"
}

# The image's own sources with the mirror in place of the hosts of Debian, Ubuntu and Kali; their paths (debian,
# debian-security, ubuntu, ...) are the mirror's too. Old images name security.debian.org without one, and suites that
# archives have not kept.
mirrored_sources() {
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
		[ -e "$file" ] || continue
		sed -E "${ARCHIVE:+/ (wheezy|jessie|stretch)-updates /d;}
			s#https?://security\.debian\.org/?([[:space:]])#$MIRROR/debian-security\1#g
			s#https?://([a-z0-9.-]+\.)?(debian\.org|ubuntu\.com|kali\.org)(:[0-9]+)?(/|[[:space:]]|\$)#$MIRROR\4#g" \
			"$file" >"$WORK/sources/parts/${file##*/}"
	done
}

if [ -n "${PACKAGES-}" ] || [ -n "${MIRROR-}" ]; then
	mkdir -p "$WORK/sources/parts"
	if [ -n "${PACKAGES-}" ]; then
		packages_source >"$WORK/sources/parts/packages.list"
	else
		mirrored_sources
	fi
	cat >>"$APT_CONFIG" <<-CONF
		Dir::Etc::SourceList "/dev/null";
		Dir::Etc::SourceParts "$WORK/sources/parts";
	CONF
fi
apt-get -q update

# Of an archive that is there already apt looks at the size alone, so only those with the digest of the lists are.
install_packages() { # ARGUMENT...
	set -- -q install -y --no-install-recommends "$@"
	apt-get "$@" --print-uris -o Acquire::ForceHash=SHA256 2>/dev/null |
		sed -n "s/^'.*' \([^ ]*\) [0-9]* SHA256:\([0-9a-f]*\)\$/\1 \2/p" |
		take_archives "$WORK/archives"
	apt-get "$@"
	keep_archives "$WORK/archives" "$WORK/archives"/*.deb
}

# What version.sh asks.
pin='='
versions_of() {
	apt-cache madison "$1" | cut -d '|' -f 2 | tr -d ' '
}

