# A Debian with the kernel for machines of every maker, and a package of the one for clouds: of two of one version, it is the
# last by its name, which is what GRUB boots where no link says otherwise.
FROM vmimage-test/debian:12
RUN apt-get update && \
    apt-get install -y --no-install-recommends linux-image-amd64 initramfs-tools && \
    mkdir /kernel && cd /kernel && \
    apt-get download $(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p')
