# Install what a container image lacks to be a machine. Arguments: packages.

# The kernel's package need not make an initramfs, that is done below.
export KERNEL_INSTALL_BYPASS=1
configure_dracut
reinstall() {
	manage reinstall -y "$@"
}

# What says when a transaction was, or what some process has looked for, is another file at every build.
histories='/var/lib/dnf/history.sqlite /usr/lib/sysimage/libdnf5/transaction_history.sqlite'
# for_histories COMMAND: of each file of a history and of the copy of what the image has there.
for_histories() {
	for history in $histories; do
		for file in "$history" "$history-wal" "$history-shm"; do
			"$1" "$file" "$WORK/$(printf %s "$file" | tr / ,)"
		done
	done
}
save_history() { # FILE COPY
	[ ! -f "$1" ] || cp -p "$1" "$2"
}
restore_history() { # FILE COPY
	[ ! -f "$1" ] || rm "$1"
	[ ! -f "$2" ] || cp -p "$2" "$1"
}
# Of a log that is empty: the database has all of it (wal.html of SQLite).
forget_empty_log() { # DATABASE
	[ ! -f "$1-shm" ] || [ -s "$1-wal" ] || rm -f "$1-wal" "$1-shm"
}

for_histories save_history
restore_programs
keep_configuration /etc install_packages "$@"
for_histories restore_history
forget_empty_log "$(rpm --eval '%{_dbpath}')/rpmdb.sqlite"
make_initramfs /boot/initramfs- .img
