#!/bin/sh
# zypper, with downloads and metadata in a cache mount below $CACHE so that none of them is left in a layer.
# The scripts that go on from here are zypper-machine.sh and zypper-boot.sh.
set -eu
export LC_ALL=C

install_packages() {
	code=0
	zypper --non-interactive --cache-dir "$CACHE/zypp" install --no-recommends --auto-agree-with-licenses "$@" || code=$?
	# Numbers from 100 on tell about what was installed: a reboot is advised, a script of a package failed.
	[ "$code" = 0 ] || [ "$code" -ge 102 ] || exit "$code"
}
