#!/bin/sh
# Written by vmimage: give an encrypted partition a volume key that nobody has but this machine, beside its services.
# usage: reencrypt NAME KDF…   (options of cryptsetup(8) for the new key slot)
set -eu
umask 077
name=$1
shift
# Stands in the header, so that it is as old as what it says.
done=vmimage-reencrypted
device=$(cryptsetup status "$name" | sed -n 's/^ *device: *//p')
dump=$(cryptsetup luksDump "$device")
case $dump in
*"$done"*) exit 0 ;;
esac
label=$(echo "$dump" | sed -n 's/^Label:[[:space:]]*//p')
if echo "$dump" | grep -q '^Requirements:.*reencrypt'; then set -- "$@" --resume-only; fi

key=/etc/cryptsetup-keys.d/$name.key
asked=
if [ ! -e "$key" ]; then
	key=/run/vmimage-reencrypt.$name
	asked=$key
	until
		systemd-ask-password --timeout=0 "Passphrase of $name once more, to encrypt it anew:" | tr -d '\n' >"$key"
		cryptsetup open --test-passphrase --key-file "$key" "$device"
	do :; done
fi
(
	if cryptsetup reencrypt --batch-mode "$@" --key-file "$key" "$device"; then
		cryptsetup config --label "$label" --subsystem "$done" "$device"
		echo "vmimage-reencrypt: $device: has a new volume key"
	fi
	[ -z "$asked" ] || rm -f "$asked"
) &
