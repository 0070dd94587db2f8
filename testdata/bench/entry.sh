#!/bin/sh
# Tells on the console that the machine has come to its program, and what memory is in use then. The bench ends it.
exec >/dev/console
while read -r name size _; do
	case $name in MemTotal:) total=$size ;; MemAvailable:) available=$size ;; esac
done </proc/meminfo
echo "entrypoint: $((total - available)) kB are in use"
exec sleep 100000
