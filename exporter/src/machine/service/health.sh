#!/bin/sh
# usage: vmimage-health FOLDER RETRIES TIMEOUT START-PERIOD PROGRAM [ARGUMENT...]
# Fails when PROGRAM has failed RETRIES times in a row. Times are in seconds, FOLDER is that of vmimage-run.
folder=$1 retries=$2 timeout=$3 start_period=$4
shift 4
PATH=$PATH:/usr/bin:/bin
if timeout -s KILL "$timeout" "$@"; then
	echo 0 >"$folder/failures"
	exit 0
fi
read -r uptime _ </proc/uptime
read -r started <"$folder/started"
# While it starts, failures do not count, unless it has worked already.
if [ ! -e "$folder/failures" ] && [ $((${uptime%.*} - started)) -lt "$start_period" ]; then
	echo "failed while it starts"
	exit 0
fi
failures=0
[ ! -e "$folder/failures" ] || read -r failures <"$folder/failures"
failures=$((failures + 1))
echo "$failures" >"$folder/failures"
echo "failed for the $failures. time, $retries make it unhealthy"
[ "$failures" -lt "$retries" ]
