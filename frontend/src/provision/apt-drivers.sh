# The initramfs has these drivers, now and after upgrades: initramfs-tools reads every list of the folder, as does
# dracut (dracut.conf(5)).
mkdir -p /usr/share/initramfs-tools/modules.d
printf '%s\n' $drivers >/usr/share/initramfs-tools/modules.d/vmimage
case " $* $(command -v dracut || :)" in
*dracut*) add_drivers_to_dracut ;;
esac
