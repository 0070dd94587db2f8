#!/bin/sh
# apt, with its downloads and lists in a cache mount below $CACHE so that none of them is left in a
# layer. The usual folders are not used because official images delete what is in them after every
# install. The scripts that go on from here are apt-machine.sh and apt-boot.sh.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
mkdir -p "$CACHE/archives/partial" "$CACHE/lists/partial"
export APT_CONFIG="$CACHE/apt.conf"
cat >"$APT_CONFIG" <<CONF
Dir::Cache "$CACHE";
Dir::State::Lists "$CACHE/lists";
APT::Keep-Downloaded-Packages "true";
Acquire::Retries "3";
Dpkg::Use-Pty "0";
CONF
