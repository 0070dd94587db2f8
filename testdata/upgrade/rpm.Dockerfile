# A stand-in for a distribution of RPM packages (../stand-in) with another kernel as a package: that of Debian for
# machines of every maker.
ARG BASE
FROM vmimage-test/debian:12 AS debian
RUN apt-get -q update && apt-get -q install -y --no-install-recommends dracut kmod rpm systemd-sysv udev && cd /tmp && \
    apt-get download $(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p') && \
    dpkg-deb -x linux-image-*.deb files && cp -a files/lib/modules /usr/lib/
COPY kernel.spec /
RUN version=$(ls /lib/modules) && depmod "$version" && mkdir -p /package/usr/lib/modules /package/boot && \
    dracut --quiet --no-hostonly --add-drivers 'virtio_blk virtio_pci ext4' "/package/boot/initramfs-$version.img" "$version" && \
    cp -a "/lib/modules/$version" /package/usr/lib/modules/ && \
    cp "/tmp/files/boot/vmlinuz-$version" "/package/usr/lib/modules/$version/vmlinuz" && \
    rpmbuild --quiet -bb --define "_rpmdir /kernel" --define "kernel $version" /kernel.spec

FROM $BASE
COPY --from=debian /kernel/x86_64 /kernel
