#!/bin/sh
# Works until it is stopped.
fact() { echo "report:$1=$2"; }
trap 'fact signal USR1; exit 7' USR1
trap 'fact signal TERM; exit 8' TERM
fact token "$(sed -n 's/.*vmimage\.test=\([^ ]*\).*/\1/p' /proc/cmdline)"
fact user "$(id -un)"
fact home "$HOME"
fact directory "$PWD"
fact arguments "$#"
fact os "$(. /etc/os-release && echo "$ID")"
fact working 1
while :; do
	sleep 1 &
	wait $!
done
