#!/bin/sh
set -e
{ printf '%s\n' "$@" && env; } >/tmp/started-with
echo "entrypoint: starts $1"
exec "$@"
