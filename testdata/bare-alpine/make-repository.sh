#!/bin/sh
# Make a repository of installed packages. usage: make-repository.sh FOLDER KEY PACKAGE...
set -eu
repository=$1 key=$2
shift 2
mkdir -p "$repository"
depends=
for name; do
	version=$(apk query --installed --fields version --format json "$name" | sed -n 's/.*"version": "\(.*\)".*/\1/p')
	files=$(mktemp -d)
	apk info --quiet --contents "$name" | sed '/^$/d' | (cd / && tar -c -T -) | tar -x -C "$files"
	# Empty folders are not among the contents.
	[ "$name" != openrc ] || (cd "$files" && mkdir -p etc/runlevels && cd etc/runlevels && mkdir sysinit boot default nonetwork shutdown)
	apk mkpkg --files "$files" --info "name:$name" --info "version:$version" --info "arch:$(apk --print-arch)" \
		--sign-key "$key" --output "$repository/$name-$version.apk"
	depends="$depends $name"
done
# The distribution's list of what a machine has, as far as it is here.
apk mkpkg --info name:alpine-base --info version:3.23 --info "arch:$(apk --print-arch)" \
	--info "depends:openrc busybox-openrc" --sign-key "$key" --output "$repository/alpine-base-3.23.apk"
apk mkndx --sign-key "$key" --output "$repository/index.adb" "$repository"/*.apk
