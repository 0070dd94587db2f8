# An image made small without its initramfs, and nothing left that makes another one: VFS: Unable to mount root fs.
# expect: refused: /usr/sbin/update-initramfs is a link to /bin/true, so none was made
FROM vmimage-test/debian:12
RUN rm -f /boot/initrd.img-* /initrd.img && ln -sf /bin/true /usr/sbin/update-initramfs
