# The initramfs opens an encrypted root, now and after upgrades (dracut.conf(5)). $unlock: in which way, beside its passphrase.
mkdir -p /etc/dracut.conf.d
of_drives=
case $unlock in
key-file) modules=crypt of_drives='vfat nls_cp437 nls_ascii nls_iso8859_1 nls_utf8 usb_storage uas' ;;
tpm2) modules='crypt tpm2-tss' ;;
tang) modules='crypt clevis clevis-pin-tang' ;;
*) modules=crypt ;;
esac
echo "add_dracutmodules+=\" $modules \"" >/etc/dracut.conf.d/vmimage-crypt.conf
if [ -n "$of_drives" ]; then
	echo "add_drivers+=\" $of_drives \"" >>/etc/dracut.conf.d/vmimage-crypt.conf
fi
