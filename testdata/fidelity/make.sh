#!/bin/sh
# Fill a folder with every kind of inode and attribute.
set -eu
mkdir "$1"
cd "$1"

echo owned >owner && chown 1234:56789 owner
echo high >high-owner && chown 4000000000:4000000001 high-owner
for mode in 0000 0444 0600 0755 1777 2755 4711 6755 7777; do
	echo "$mode" >"mode-$mode" && chmod "$mode" "mode-$mode"
	mkdir "dir-$mode" && chmod "$mode" "dir-$mode"
done

touch -d '2001-02-03 04:05:06.123456789Z' ns
touch -d '1960-01-01 00:00:00.5Z' before-1970
touch -d '2100-01-01 00:00:00.25Z' after-2038
ln -s ns dated-link && touch -h -d '2002-03-04 05:06:07.987654321Z' dated-link

ln owner hard-link
mkdir deep && ln owner deep/hard-link
ln -s target short-link
ln -s "$(printf '%0100d' 0)" long-link
ln -s /absolute/nowhere absolute-link

mknod char c 5 1
mknod block b 259 70000
mkfifo pipe && chmod 640 pipe

truncate -s 0 empty
truncate -s 20M all-hole
truncate -s 10M with-holes
printf data | dd of=with-holes bs=1 seek=4194304 conv=notrunc status=none
printf end | dd of=with-holes bs=1 seek=10485750 conv=notrunc status=none
dd if=/dev/urandom of=random bs=4097 count=300 status=none
dd if=/dev/zero of=zeros bs=65536 count=20 status=none

touch "$(printf 'latin-1-\344\366\374')" "$(printf 'line\nbreak')" 'space and "quotes"' "$(printf '%0255d' 0)"
echo utf8 >"größe-大小"

echo attributes >xattrs
setfattr -n user.short -v x xattrs
setfattr -n user.empty xattrs
setfattr -n user.long -v "$(printf '%01500d' 7)" xattrs
setfattr -n user.on-a-directory -v yes deep
cp /bin/true capable && setcap cap_net_bind_service,cap_net_raw=+ep capable
echo acl >acl && setfacl -m u:1000:rw,g:2000:r,u:3000:rwx acl
mkdir acl-dir && setfacl -m u:1000:rwx,d:u:1001:rx,d:g::r acl-dir

mkdir many
(cd many && seq -f 'entry-number-%05g' 3000 | xargs touch)
