# The initramfs has the drivers $drivers, now and after upgrades.
mkdir -p /etc/mkinitcpio.conf.d
echo "MODULES+=($drivers)" >/etc/mkinitcpio.conf.d/vmimage-drivers.conf
