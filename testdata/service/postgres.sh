#!/bin/sh
# Make the cluster at the first start, as the official image does.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	initdb --auth=trust --locale=C.UTF-8 --no-sync --no-instructions
	echo "host all all all trust" >>"$PGDATA/pg_hba.conf"
fi
exec "$@"
