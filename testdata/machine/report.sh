#!/bin/sh
# Print facts that only this machine, booted with this token, can know; then power off.
# Through the kernel's log: a getty that starts on the serial port hangs up whoever has it open.
echo on >/proc/sys/kernel/printk_devkmsg
echo 8 >/proc/sys/kernel/printk

fact() { printf '<4>report:%s=%s\n' "$1" "$2" >/dev/kmsg; }

if command -v systemctl >/dev/null; then
	state=$(systemctl is-system-running --wait)
	failed=$(systemctl --failed --no-legend --plain | cut -d' ' -f1 | tr '\n' ' ')
elif command -v rc-status >/dev/null; then
	sleep 3
	state=$(rc-status --runlevel | tr '\n' ' ')
	failed=$(rc-status --crashed | tr '\n' ' ')
else
	# Nobody keeps a list of what runs.
	sleep 3
	state= failed=
fi

# The token comes from outside, through the firmware's tables: nothing in the disk could print it. What else the machine is
# told stands before it.
serial=$(cat /sys/class/dmi/id/product_serial)
fact token "${serial##*:}"
fact init "$(cat /proc/1/comm)"
fact state "$state"
fact failed "$failed"
fact kernel "$(uname -r)"
fact cmdline "$(cat /proc/cmdline)"
fact hostname "$(hostname 2>/dev/null || cat /proc/sys/kernel/hostname)"
fact machine-id "$(cat /etc/machine-id 2>/dev/null)"
fact app "$(cat /srv/app/app.txt)"
fact root-device "$(findmnt -n -o SOURCE / 2>/dev/null)"
fact root-bytes "$(df -P -k / | tail -n 1 | { read -r _ kib _ && echo $((kib * 1024)); })"
fact app-device "$(findmnt -n -o SOURCE -T /srv/app 2>/dev/null)"
fact app-bytes "$(df -P -k /srv/app | tail -n 1 | { read -r _ kib _ && echo $((kib * 1024)); })"
fact address "$(ip -4 -o addr show scope global 2>/dev/null | awk '{ print $4; exit }')"
fact addresses "$(ip -4 -o addr show scope global 2>/dev/null | awk '{ printf "%s ", $4 }')"
fact host-key "$(cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub 2>/dev/null)"
fact resolves "$(grep -c '^nameserver' /etc/resolv.conf)"
servers=$(awk '$1 == "nameserver" { printf "%s ", $2 }' /etc/resolv.conf)
# The address of systemd-resolved, which asks others.
[ "$servers" != "127.0.0.53 " ] || servers=$(resolvectl dns | tr '\n' ' ')
fact name-servers "$servers"
if [ -d /sys/firmware/efi ]; then
	fact firmware uefi
	mountpoint -q /sys/firmware/efi/efivars || mount -t efivarfs efivarfs /sys/firmware/efi/efivars
	# Four bytes of attributes, then the value.
	fact secure-boot "$(od -An -t u1 /sys/firmware/efi/efivars/SecureBoot-* | awk '{ print $5 }')"
else
	fact firmware bios
fi
if echo "written by the machine" >/srv/app/written && sync; then
	fact writable yes
else
	fact writable no
fi
for facts in /etc/report.d/*; do
	[ ! -e "$facts" ] || . "$facts"
done
fact end end
sync
poweroff
