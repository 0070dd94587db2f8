# Settings of a boot menu, as images for clouds have them, and options of the root.
# expect: boots
FROM vmimage-test/debian:12
RUN mkdir -p /etc/default/grub.d && printf '%s\n' 'GRUB_CMDLINE_LINUX_DEFAULT="quiet net.ifnames=0"' GRUB_TIMEOUT=0 \
        >/etc/default/grub.d/50-cloud.cfg \
    && echo '/dev/sda1 / ext4 noatime 0 1' >>/etc/fstab
