//! Drives with sectors of another size than a disk is laid out for: firmware finds no partitions there.

use std::fs::File;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::ioctl_blksszget;

/// Bytes of the sectors of a drive of which nothing else is said.
pub(super) const USUAL: u32 = 512;
/// The property of QEMU's block devices.
const PROPERTY: &str = "logical_block_size=";

/// The drive that has other sectors, as the user knows it, and their bytes: one that the disk lies on, or one that
/// an argument for QEMU makes.
pub(super) fn other(file: &Path, qemu_args: &[String], laid_out_for: u32) -> Option<(String, u32)> {
    let device = of_device(file).map(|size| (file.display().to_string(), size));
    let asked = qemu_args.iter().filter_map(|arg| Some((arg.clone(), of_argument(arg)?)));
    device.into_iter().chain(asked).find(|(_, size)| *size != laid_out_for)
}

/// Of a block device; `None` for a file.
fn of_device(path: &Path) -> Option<u32> {
    let file = File::open(path).ok()?;
    file.metadata().ok()?.file_type().is_block_device().then(|| ioctl_blksszget(file).ok())?
}

fn of_argument(arg: &str) -> Option<u32> {
    let options = arg.split([',', '.']);
    options.filter_map(|option| option.strip_prefix(PROPERTY)?.parse().ok()).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_with_other_sectors_is_named() {
        let of = |arg: &str| other(Path::new("/dev/null"), &[arg.to_owned()], USUAL).map(|(_, size)| size);
        assert_eq!(of("virtio-blk-pci,drive=disk,logical_block_size=4096"), Some(4096));
        assert_eq!(of("virtio-blk-pci.logical_block_size=4096"), Some(4096));
        assert_eq!(of("nvme-ns,drive=disk,logical_block_size=2048,bootindex=0"), Some(2048));
        assert_eq!(of("virtio-blk-pci,physical_block_size=4096,logical_block_size=512"), None);
        assert_eq!(of("-no-reboot"), None);
        let large = ["virtio-blk-pci.logical_block_size=4096".to_owned()];
        assert_eq!(other(Path::new("/dev/null"), &large, 4096), None);
    }
}
