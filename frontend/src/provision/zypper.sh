# zypper, with downloads and metadata in a cache mount below $CACHE so that none of them is left in a layer.
# The scripts that go on from here are zypper-machine.sh and zypper-boot.sh.

manage() { # COMMAND ARGUMENT...
	zypper --non-interactive --cache-dir "$CACHE/zypp" ${sources:+--reposd-dir "$sources"} "$@"
}
install_packages() {
	code=0
	manage install --no-recommends --auto-agree-with-licenses "$@" || code=$?
	# Numbers from 100 on tell about what was installed: a reboot is advised, a script of a package failed.
	[ "$code" = 0 ] || [ "$code" -ge 102 ] || exit "$code"
}

redirect /etc/zypp/repos.d
# zypper looks at a folder every ten minutes only.
rm -rf "$CACHE"/zypp/*/vmimage-packages

# What version.sh asks: the fourth column of a table.
pin='='
versions_of() {
	manage search --details --match-exact --type package "$1" | sed -E -n 's/^([^|]*\| *){3}([^ |]+).*/\2/p' | sed 1d
}

