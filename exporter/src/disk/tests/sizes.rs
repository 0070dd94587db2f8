//! Tables at every size of disk, up to more than a protective MBR can say, with both sizes of sectors.

use super::*;
use crate::testing::write_sparse;

const TIB: u64 = 1 << 40;
/// Where the protective MBR says how many sectors the disk has.
const SIZE_IN_LBA: usize = 446 + 12;

/// The disk as a loop device with sectors of `sector_size` bytes.
fn written(scratch: &Scratch, size: u64, sector_size: u32) -> (String, Loop) {
    let placed = place(&three(), size).unwrap();
    let empty = |at: Placed| (at.clone(), Contents { size: at.size, extents: Box::new(Vec::new()) });
    let contents = placed.into_iter().map(empty).collect();
    let layout = DiskLayout::new(&disk(size, sector_size), contents).unwrap();
    let path = scratch.file("disk");
    write_sparse(&path, layout.size, &layout);
    let path = path.to_str().unwrap().to_owned();
    let device = Loop::new(&path, sector_size);
    (path, device)
}

#[test]
fn checkers_accept_every_size() {
    let scratch = Scratch::new();
    let minimum = minimum_size(&three());
    for sector_size in [512, 4096] {
        let sector = u64::from(sector_size);
        let around = [2 * TIB, (1 << 32) * 512 - 512].map(|size| size / sector * sector);
        let sizes = [minimum, minimum + sector, 32 * MIB, 32 * MIB + 7 * sector, 128 * MIB + 5 * sector]
            .into_iter()
            .chain(around.into_iter().flat_map(|size| [size - sector, size, size + sector]))
            .chain([3 * TIB + 11 * sector, 15 * TIB]);
        for size in sizes {
            let (path, device) = written(&scratch, size, sector_size);
            assert!(sgdisk_accepts(&device.0), "{size} in sectors of {sector_size}");
            assert!(sfdisk_accepts(&device.0), "{size} in sectors of {sector_size}");
            let mut front = [0; 512];
            std::io::Read::read_exact(&mut std::fs::File::open(path).unwrap(), &mut front).unwrap();
            let told = u32::from_le_bytes(front[SIZE_IN_LBA..SIZE_IN_LBA + 4].try_into().unwrap());
            assert_eq!(u64::from(told), (size / sector - 1).min(0xffff_ffff), "{size}");
        }
    }
}

#[test]
fn checkers_reject_a_flipped_byte_in_large_sectors() {
    use std::os::unix::fs::FileExt;
    let scratch = Scratch::new();
    let size = 32 * MIB;
    for (flipped, is_primary) in [(4096 + 60, true), (8192 + 60, true), (size - 4096 + 60, false)] {
        let (path, device) = written(&scratch, size, 4096);
        let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, flipped).unwrap();
        drop(device);
        file.write_all_at(&[byte[0] ^ 1], flipped).unwrap();
        let device = Loop::new(scratch.file("disk").to_str().unwrap(), 4096);
        assert!(!sgdisk_accepts(&device.0), "byte {flipped}");
        assert!(!(is_primary && sfdisk_accepts(&device.0)), "byte {flipped}: sfdisk looks at the primary");
    }
}
