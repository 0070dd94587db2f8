#!/bin/sh
set -e
echo "entrypoint: starts $1"
exec "$@"
