//! Which option a driver is built by: what somebody who builds a kernel has to set.

/// The option without `CONFIG_` of a module, as its folder's Makefile has it; `None`: not known here.
pub fn option_of(module: &str) -> Option<&'static str> {
    let known = |(name, _): &&(&str, &str)| *name == module;
    OPTIONS.iter().find(known).map(|(_, option)| *option)
}

/// What microVMs and the disks of machines need.
const OPTIONS: &[(&str, &str)] = &[
    ("virtio", "VIRTIO"),
    ("virtio_ring", "VIRTIO"),
    ("virtio_pci", "VIRTIO_PCI"),
    ("virtio_mmio", "VIRTIO_MMIO"),
    ("virtio_blk", "VIRTIO_BLK"),
    ("virtio_scsi", "SCSI_VIRTIO"),
    ("virtio_net", "VIRTIO_NET"),
    ("virtio_console", "VIRTIO_CONSOLE"),
    ("virtio_rng", "HW_RANDOM_VIRTIO"),
    ("virtio_balloon", "VIRTIO_BALLOON"),
    ("vmw_vsock_virtio_transport", "VIRTIO_VSOCKETS"),
    ("virtiofs", "VIRTIO_FS"),
    ("fuse", "FUSE_FS"),
    ("9p", "9P_FS"),
    ("9pnet_virtio", "NET_9P_VIRTIO"),
    ("af_packet", "PACKET"),
    ("ipv6", "IPV6"),
    ("loop", "BLK_DEV_LOOP"),
    ("overlay", "OVERLAY_FS"),
    ("ext4", "EXT4_FS"),
    ("erofs", "EROFS_FS"),
    ("squashfs", "SQUASHFS"),
    ("xfs", "XFS_FS"),
    ("btrfs", "BTRFS_FS"),
    ("f2fs", "F2FS_FS"),
    ("vfat", "VFAT_FS"),
    ("sd_mod", "BLK_DEV_SD"),
    ("nvme", "BLK_DEV_NVME"),
    ("ahci", "SATA_AHCI"),
    ("ata_piix", "ATA_PIIX"),
    ("hv_storvsc", "HYPERV_STORAGE"),
    ("xen_blkfront", "XEN_BLKDEV_FRONTEND"),
    ("vmw_pvscsi", "VMWARE_PVSCSI"),
    ("mptspi", "FUSION_SPI"),
    ("button", "ACPI_BUTTON"),
    ("evdev", "INPUT_EVDEV"),
    ("dm_mod", "BLK_DEV_DM"),
    ("dm_verity", "DM_VERITY"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_driver_has_one_option() {
        let mut names: Vec<_> = OPTIONS.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), OPTIONS.len());
        assert_eq!(option_of("virtio_rng"), Some("HW_RANDOM_VIRTIO"));
        assert_eq!(option_of("virtio-rng"), None);
    }
}
