# The initramfs opens an encrypted root, now and after upgrades (dracut.conf(5)).
mkdir -p /etc/dracut.conf.d
echo 'add_dracutmodules+=" crypt "' >/etc/dracut.conf.d/vmimage-crypt.conf
