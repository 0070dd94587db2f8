#!/bin/sh
# Written by vmimage: have an encrypted partition opened by the TPM of this machine, or by a Tang server, beside its passphrase.
# usage: bind NAME tpm2 | bind NAME tang URL THUMBPRINT
set -eu
umask 077
name=$1 way=$2

say() {
	echo "vmimage-bind: $name: $*"
}

device=$(cryptsetup status "$name" | sed -n 's/^ *device: *//p')
case $way in
tpm2) token=systemd-tpm2 by='the TPM of this machine' ;;
tang) token=clevis by="the Tang server $3" ;;
esac
if cryptsetup luksDump "$device" | grep -q "^ *[0-9]*: $token"; then exit 0; fi

if [ "$way" = tpm2 ]; then
	tries=0
	until [ -e /dev/tpmrm0 ]; do
		tries=$((tries + 1))
		[ "$tries" -le 20 ] || {
			say "this machine has no TPM 2.0, the passphrase opens it"
			exit 0
		}
		sleep 0.5
	done
fi

# Who has opened it has typed the passphrase, which systemd remembers for some minutes.
known='--accept-cached --keyname=cryptsetup'
until
	# shellcheck disable=SC2086
	passphrase=$(systemd-ask-password --timeout=0 $known \
		"Passphrase of $name once more, to have it opened by $by:") || exit 1
	printf %s "$passphrase" | cryptsetup open --test-passphrase --key-file - "$device"
do known=; done

bind() {
	case $way in
	tpm2) PASSWORD=$passphrase systemd-cryptenroll --tpm2-device=auto --tpm2-pcrs=7 "$device" ;;
	tang)
		printf %s "$passphrase" |
			clevis luks bind -y -d "$device" -k - tang "{\"url\":\"$1\",\"thp\":\"$2\"}"
		;;
	esac
}

# There may be no network yet.
(
	tries=0
	until bind "${3-}" "${4-}"; do
		tries=$((tries + 1))
		if [ "$way" = tpm2 ] || [ "$tries" -ge 30 ]; then
			say "was not bound to $by: the next boot tries again" >&2
			exit 1
		fi
		sleep 10
	done
	say "$by opens it from now on"
) &
