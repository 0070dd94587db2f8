# update-initramfs and its like diverted to a link to true(1): a kernel installed later would get no initramfs.
# expect: report: stand-in: /usr/sbin/update-initramfs is diverted to /usr/sbin/update-initramfs.distrib
FROM vmimage-test/debian:12
RUN dpkg-divert --local --rename --add /usr/sbin/update-initramfs && ln -s /bin/true /usr/sbin/update-initramfs \
 && dpkg-divert --local --rename --add /sbin/initctl && ln -s /bin/true /sbin/initctl \
 && dpkg-divert --local --rename --add /usr/bin/ischroot && ln -sf /bin/true /usr/bin/ischroot
