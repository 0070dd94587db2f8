#!/bin/sh
# apk, with its downloads and the index in the folder of this step, $WORK, so that none of them is left in the layer. The
# scripts that go on from here are apk-machine.sh and apk-kernel.sh.
#
# Packages come from the folder $PACKAGES, if there is one; or else from where the image's own settings say, with
# $MIRROR, if that is set, in place of the distribution's host. The image's settings stay as they are.
set -eu
export SOURCE_DATE_EPOCH=1

sources=$WORK/sources
mkdir -p "$WORK/apk" "$sources"

# The folder as a repository: with a folder for each architecture, flat with an index, or only packages.
repository() {
	arch=$(apk --print-arch)
	[ ! -e "$PACKAGES/$arch/APKINDEX.tar.gz" ] || { echo "$PACKAGES"; return; }
	for index in "$PACKAGES"/*.adb; do
		[ ! -e "$index" ] || { echo "$index"; return; }
	done
	flat=$sources/repository/$arch
	mkdir -p "$flat"
	for package in "$PACKAGES"/*.apk; do
		[ -e "$package" ] || { echo "$PACKAGES holds no .apk files" >&2; return 1; }
		ln -s "$package" "$flat/"
	done
	if [ -e "$PACKAGES/APKINDEX.tar.gz" ]; then
		ln -s "$PACKAGES/APKINDEX.tar.gz" "$flat/"
		echo "$sources/repository"
		return
	fi
	case "$(apk --version)" in
	apk-tools\ [12].*)
		apk index --quiet --no-warnings --allow-untrusted --rewrite-arch "$arch" \
			-o "$flat/APKINDEX.tar.gz" "$flat"/*.apk >&2
		echo "$sources/repository"
		;;
	*)
		# It has packages of two formats, and this index takes both.
		apk mkndx --quiet --allow-untrusted -o "$flat/index.adb" "$flat"/*.apk >&2
		echo "$flat/index.adb"
		;;
	esac
}

if [ -n "${PACKAGES-}" ]; then
	repository >"$sources/list"
	from="--repositories-file $sources/list --allow-untrusted"
elif [ -n "${MIRROR-}" ]; then
	sed -E "s#https?://([a-z0-9.-]+\.)?alpinelinux\.org(:[0-9]+)?(/|\$)#$MIRROR\3#" \
		/etc/apk/repositories >"$sources/list"
	from="--repositories-file $sources/list --cache-dir $WORK/apk"
else
	from="--cache-dir $WORK/apk"
fi

# Of the archives that steps have kept, those that are whole, and the package that their name says and an index of this
# step knows by its identity: a digest of what is said of it, with that of its files. apk would install no other
# either, but end.
take_known() {
	for index in "$WORK"/apk/APKINDEX.*.tar.gz; do
		[ ! -e "$index" ] || tar -xzOf "$index" APKINDEX
	done >"$sources/known"
	for kept in "$CACHE"/*.apk; do
		archive=$sources/${kept##*/}
		take_archive "${kept##*/}" "$archive" && apk verify --quiet --allow-untrusted "$archive" >&2 || continue
		echo "A:${kept##*/}"
		apk index --quiet --no-warnings --allow-untrusted "$archive" | tar -xzO APKINDEX || :
	done 2>/dev/null | awk '
		{ value = substr($0, 3) }
		FNR == NR { if (/^C:/) known[value]; next }
		/^A:/ { archive = value }
		/^C:/ { identity = value }
		/^P:/ { name = value }
		/^V:/ && identity in known && index(archive, name "-" value ".") == 1 { print archive }
	' "$sources/known" - | while read -r archive; do
		mv "$sources/$archive" "$WORK/apk/"
	done
}

if [ -z "${PACKAGES-}" ]; then
	apk update $from || :
	take_known
fi
