# zypper, with downloads and metadata in the folder of this step, $WORK, so that none of them is left in a layer. The
# scripts that go on from here are zypper-machine.sh and zypper-boot.sh.

manage() { # COMMAND ARGUMENT...
	zypper --non-interactive --cache-dir "$WORK/zypp" ${sources:+--reposd-dir "$sources"} "$@"
}
# What is installed is no longer there, unless the settings of its repository say so: it is kept before.
install_packages() {
	for only in --download-only ''; do
		code=0
		manage install $only --no-recommends --auto-agree-with-licenses "$@" || code=$?
		# Numbers from 100 on tell about what was installed: a reboot is advised, a script of a package failed.
		[ "$code" = 0 ] || [ "$code" -ge 102 ] || exit "$code"
		keep_archives "$cached" "$cached"/*/*.rpm "$cached"/*/*/*.rpm "$cached"/*/*/*/*.rpm
	done
}

redirect /etc/zypp/repos.d

# zypper compares an archive that is there already with the digest in the metadata, and downloads it anew if it is
# another (cachedLocation of libzypp). Nothing but archives is in this folder.
cached=$WORK/zypp/packages
for kept in "$CACHE"/*.rpm; do
	name=${kept##*/}
	case "$name" in
	*..* | *.rpm,*) ;;
	*) take_archive "$name" "$cached/$(printf %s "$name" | tr , /)" || : ;;
	esac
done

# What version.sh asks: the fourth column of a table.
pin='='
versions_of() {
	manage search --details --match-exact --type package "$1" | sed -E -n 's/^([^|]*\| *){3}([^ |]+).*/\2/p' | sed 1d
}

