#!/bin/sh
# Written by vmimage: make an encrypted partition at the first boot, with a key that the TPM of this machine alone has.
# usage: encrypt LABEL DEVICE
set -eu
umask 077
label=$1 device=$2
# Says that nothing can have been written to it yet, from the first step to the last.
unfinished=vmimage-first-boot

die() {
	echo "vmimage-encrypt: $device: $*" >&2
	exit 1
}

finish() {
	cryptsetup config --label "$label" --subsystem vmimage "$device"
	exit 0
}

case $(cryptsetup luksDump "$device" 2>/dev/null || :) in
*"$unfinished"*systemd-tpm2*) finish ;;
*"$unfinished"*) ;;
?*) exit 0 ;;
'')
	found=$(blkid -p -o value -s TYPE "$device" 2>/dev/null || :)
	[ -z "$found" ] || die "holds $found, and is left as it is"
	;;
esac

tries=0
until [ -e /dev/tpmrm0 ]; do
	tries=$((tries + 1))
	[ "$tries" -le 20 ] || die "this machine has no TPM 2.0 that could keep the key: give it one, the partition stays empty"
	sleep 0.5
done

key=/run/vmimage-encrypt.$$
trap 'rm -f "$key"' EXIT
od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' >"$key"
# The key is random: to try one slowly would only make each boot slow.
cryptsetup luksFormat --batch-mode --type luks2 --label "$label" --subsystem "$unfinished" \
	--pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file "$key" "$device"
PASSWORD=$(cat "$key") systemd-cryptenroll --tpm2-device=auto --tpm2-pcrs=7 "$device"
# From here on the TPM alone opens it.
cryptsetup luksKillSlot --batch-mode "$device" 0
echo "vmimage-encrypt: $device: made, the TPM of this machine opens it"
finish
