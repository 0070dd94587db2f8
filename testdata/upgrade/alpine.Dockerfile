# An Alpine with a newer package of its kernel, whose files are Debian's: another release than the one it replaces.
FROM vmimage-test/debian:12 AS debian
RUN apt-get -q update && apt-get -q install -y --no-install-recommends kmod && cd /tmp && \
    apt-get download $(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p') && \
    dpkg-deb -x linux-image-*.deb files
RUN cd /tmp/files && version=$(ls lib/modules) && depmod -b . "$version" && \
    mkdir -p /package/boot /package/lib /package/usr/share/kernel/virt && \
    mv "boot/vmlinuz-$version" /package/boot/vmlinuz-virt && mv lib/modules /package/lib/ && \
    echo "$version" >/package/usr/share/kernel/virt/kernel.release

FROM vmimage-test/alpine:3.23
COPY --from=debian /package /package
# The trigger of mkinitfs goes by the end of the release's name, which is not Alpine's.
RUN mkdir /kernel && printf '#!/bin/sh\nmkinitfs -o /boot/initramfs-virt %s\n' "$(cat /package/usr/share/kernel/virt/kernel.release)" >script && \
    apk mkpkg --files /package --info name:linux-virt --info version:99-r0 --info "arch:$(apk --print-arch)" \
        --info depends:mkinitfs --script post-upgrade:script --output /kernel/linux-virt-99-r0.apk && \
    rm -r /package script
