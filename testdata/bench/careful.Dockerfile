# What a careful user writes today for a disk that boots (BIOS): testdata/demo, its kernel, and the disk made
# by ordinary tools without privileges. The tools are a stage of their own, so an edit of the app repeats
# only what follows it: the kernel, the file system and the conversion.
FROM debian:12 AS tools
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=tmpfs,target=/var/lib/apt/lists \
    apt-get update && apt-get install -y --no-install-recommends e2fsprogs fdisk grub-common grub-pc-bin qemu-utils

FROM debian:12 AS app
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=tmpfs,target=/var/lib/apt/lists \
    apt-get update && apt-get install -y --no-install-recommends nginx-light
COPY index.html /var/www/html/

FROM app AS machine
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=tmpfs,target=/var/lib/apt/lists \
    apt-get update && apt-get install -y --no-install-recommends linux-image-cloud-amd64 systemd-sysv
RUN echo 'LABEL=root / ext4 defaults 0 1' >/etc/fstab && \
    printf '[Match]\nName=en*\n[Network]\nDHCP=yes\n' >/etc/systemd/network/80-dhcp.network && \
    systemctl enable systemd-networkd && \
    mkdir -p /boot/grub && \
    printf '%s\n' 'linux /vmlinuz root=LABEL=root ro console=ttyS0' 'initrd /initrd.img' boot >/boot/grub/grub.cfg

FROM tools AS disk
ARG QEMU_IMG
# GRUB's core lies between the partition table and the partition; both of its images expect each other there.
RUN --mount=type=bind,from=machine,target=/machine \
    truncate -s 2G /disk.raw && \
    echo 'start=2048, type=83, bootable' | sfdisk -q /disk.raw && \
    mke2fs -q -t ext4 -L root -E offset=1048576 -d /machine /disk.raw 2047M && \
    grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o /core.img biosdisk part_msdos ext2 normal linux && \
    dd if=/usr/lib/grub/i386-pc/boot.img of=/disk.raw bs=440 count=1 conv=notrunc && \
    dd if=/core.img of=/disk.raw bs=512 seek=1 conv=notrunc && \
    qemu-img convert -O qcow2 -m 8 -W $QEMU_IMG /disk.raw /disk.qcow2 && \
    rm /disk.raw

FROM scratch
COPY --from=disk /disk.qcow2 /
