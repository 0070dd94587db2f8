#!/bin/sh
# usage: vmimage-carrier SECONDS [ROOT]
# Succeeds as soon as a network card has a carrier. Fails where there is no card, and after SECONDS without a
# carrier: nobody needs to wait for such a network.
seconds=$1 root=$2
uptime() {
	read -r now _ </proc/uptime
	echo "${now%.*}"
}

end=$(($(uptime) + seconds))
while :; do
	there=no
	for card in "$root"/sys/class/net/*; do
		[ -e "$card/device" ] || continue
		there=yes
		# That of a card that is still off cannot be read.
		read -r carrier 2>/dev/null <"$card/carrier" || carrier=0
		[ "$carrier" != 1 ] || exit 0
	done
	# While udev is busy, the driver of a card may be on its way.
	[ $there = yes ] || [ -e "$root/run/udev/queue" ] || exit 1
	[ "$(uptime)" -lt "$end" ] || exit 1
	sleep 0.2
done
