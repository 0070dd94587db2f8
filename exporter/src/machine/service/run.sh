#!/bin/sh
# usage: vmimage-run FOLDER PROGRAM [ARGUMENT...]
# Becomes the program. Its output goes through a pipe in FOLDER to where that of this script goes: logs of
# containers are links to /dev/stdout, and that can be opened again if it is a pipe, but not if it is a socket
# of systemd's journal.
folder=$1
shift
own=$PATH
PATH=$PATH:/usr/bin:/bin
read -r uptime _ </proc/uptime
echo "${uptime%.*}" >"$folder/started"
rm -f "$folder/output" "$folder/failures"
mkfifo -m 600 "$folder/output"
# Below a shell that ends at once: it must be no child of the program, which may wait for its children.
(cat <"$folder/output" &)
PATH=$own
exec "$@" >"$folder/output" 2>&1
