//! Volumes against fsck.fat and mtools, at every type and around every bound.

mod bounds;
mod digest;
mod files;

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::error;
use crate::fs::DiskBudget;
use crate::testing::{Scratch, accepts, flatten, tool};
use crate::tree::{Content, Inode, InodeId, InodeKind, Meta, Tree};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What reading a volume of this size may cost.
fn budget() -> DiskBudget {
    DiskBudget::new(16 * MIB)
}

fn options(size: u64) -> Options {
    Options {
        label: "ESP".into(),
        serial: 0x1234_abcd,
        size,
        sector_size: 512,
        hidden_sectors: 2048,
        modified: Time { seconds: 1_709_210_096, nanoseconds: 0 },
        kind: None,
    }
}

fn directory(tree: &mut Tree, parent: InodeId, name: &str) -> InodeId {
    tree.insert(
        parent,
        name.as_bytes(),
        Inode { meta: Meta::default(), kind: InodeKind::Directory(Default::default()) },
    )
}

fn file(tree: &mut Tree, parent: InodeId, name: &str, bytes: &[u8]) -> InodeId {
    let kind = InodeKind::File(Content::Bytes(bytes.into()));
    tree.insert(parent, name.as_bytes(), Inode { meta: Meta::default(), kind })
}

/// Bytes that tell their place: a cluster out of order is seen.
fn pattern(len: usize) -> Vec<u8> {
    (0..len.div_ceil(4)).flat_map(|n| (n as u32 ^ 0x5a5a_0000).to_le_bytes()).take(len).collect()
}

/// What an ESP holds, with a file of `large` bytes.
fn esp(large: usize) -> Tree {
    let mut tree = Tree::new(Meta::default());
    let efi = directory(&mut tree, Tree::ROOT, "EFI");
    let boot = directory(&mut tree, efi, "BOOT");
    file(&mut tree, boot, "BOOTX64.EFI", &pattern(large));
    file(&mut tree, boot, "mmx64.efi", &pattern(700));
    let debian = directory(&mut tree, efi, "debian");
    file(&mut tree, debian, "grub.cfg", b"configfile $prefix/grub.cfg\n");
    directory(&mut tree, efi, "empty");
    file(&mut tree, Tree::ROOT, "empty file.with a long name ★", b"");
    file(&mut tree, Tree::ROOT, "A long name ÄÖÜ.config", &pattern(4097));
    tree
}

fn fsck_accepts(path: &str) -> bool {
    tool("fsck.fat", &["-n", "-v", path]).0
}

fn image(tree: &Tree, options: &Options) -> Vec<u8> {
    let layout = plan(tree, options).unwrap();
    assert!(layout.extents.iter().is_sorted_by(|a, b| a.end() <= b.offset), "{:?}", layout.extents);
    assert!(layout.extents.iter().last().unwrap().end() <= layout.size);
    flatten(layout.size, &*layout.extents)
}

/// Whether a directory that mcopy made is a directory of the tree.
fn is_same(tree: &Tree, id: InodeId, copy: &Path) -> bool {
    let entries = tree.entries(id).unwrap();
    std::fs::read_dir(copy).unwrap().count() == entries.len()
        && entries.iter().all(|(name, &child)| {
            let path = copy.join(std::str::from_utf8(name).unwrap());
            match &tree.inode(child).kind {
                InodeKind::File(Content::Bytes(bytes)) => {
                    std::fs::read(&path).is_ok_and(|read| read[..] == bytes[..])
                }
                _ => path.is_dir() && is_same(tree, child, &path),
            }
        })
}

/// Whether mtools copy out of the volume what `tree` is.
fn mtools_read(tree: &Tree, volume: &str) -> bool {
    let scratch = Scratch::new();
    let copied = std::process::Command::new("mcopy")
        .env("LC_ALL", "C.UTF-8")
        .args(["-s", "-Q", "-n", "-i", volume, "::*"])
        .arg(scratch.path())
        .output()
        .expect("mcopy must be installed");
    copied.status.success() && is_same(tree, Tree::ROOT, scratch.path())
}

fn assert_reads_back(tree: &Tree, options: &Options) -> Vec<u8> {
    let scratch = Scratch::new();
    let bytes = image(tree, options);
    let path = scratch.write("fat", &bytes);
    let (ok, said) = tool("fsck.fat", &["-n", "-v", &path]);
    assert!(ok, "{options:?}\n{said}");
    assert!(mtools_read(tree, &path), "{options:?}");
    bytes
}

fn type_of(bytes: &[u8]) -> &str {
    let at = if bytes[22..24] == [0, 0] { 82 } else { 54 };
    std::str::from_utf8(&bytes[at..at + 5]).unwrap()
}

#[test]
fn every_type_reads_back() {
    for (size, kind) in [(2 * MIB, "FAT12"), (20 * MIB, "FAT16"), (40 * MIB, "FAT32"), (300 * MIB, "FAT32")] {
        let bytes = assert_reads_back(&esp(600_000), &options(size));
        assert_eq!(type_of(&bytes), kind, "{size}");
    }
}

#[test]
fn an_empty_volume_is_one_too() {
    let scratch = Scratch::new();
    for size in [MIB, 20 * MIB, 40 * MIB] {
        for label in ["", "EMPTY"] {
            let options = Options { label: label.into(), ..options(size) };
            let path = scratch.write("fat", &image(&Tree::new(Meta::default()), &options));
            assert!(fsck_accepts(&path), "{size}");
        }
    }
}

#[test]
fn large_sectors_read_back() {
    for (size, kind) in [(4 * MIB, "FAT12"), (64 * MIB, "FAT16"), (280 * MIB, "FAT32")] {
        let bytes = assert_reads_back(&esp(600_000), &Options { sector_size: 4096, ..options(size) });
        assert_eq!(type_of(&bytes), kind, "{size}");
        assert_eq!(bytes[11..13], 4096u16.to_le_bytes());
    }
}

#[test]
fn fsck_accepts_every_size_around_the_bounds() {
    let scratch = Scratch::new();
    let tree = esp(5000);
    let near = |size: u64| (0..40).map(move |step| size - 20 * 512 + step * 512);
    let sizes = [2100 * KIB, 16 * MIB + 50 * KIB, 32 * MIB + 580 * KIB, 33 * MIB + 580 * KIB]
        .into_iter()
        .flat_map(near);
    for size in sizes.chain([64 * KIB, 100 * KIB, MIB + 1, 5 * MIB + 777]) {
        let path = scratch.write("fat", &image(&tree, &options(size)));
        assert!(fsck_accepts(&path), "{size}");
    }
}

#[test]
fn the_smallest_volume_is_enough_and_one_sector_less_is_not() {
    for kind in [None, Some(FatType::Fat12), Some(FatType::Fat16), Some(FatType::Fat32)] {
        for sector_size in [512, 4096] {
            for large in [0, 1, 100_000, 3_000_000] {
                let tree = esp(large);
                let mut options = Options { kind, sector_size, ..options(0) };
                options.size = minimum_size(&tree, &options).unwrap();
                plan(&tree, &options).unwrap();
                let needed = options.size;
                options.size -= u64::from(sector_size);
                let error = plan(&tree, &options).unwrap_err();
                assert_eq!(*error.kind(), error::Kind::NoSpace { needed, available: options.size });
            }
        }
    }
}

#[test]
fn the_smallest_volumes_read_back() {
    for kind in [FatType::Fat12, FatType::Fat16, FatType::Fat32] {
        let tree = esp(100_000);
        let mut options = Options { kind: Some(kind), ..options(0) };
        options.size = minimum_size(&tree, &options).unwrap();
        assert_eq!(type_of(&assert_reads_back(&tree, &options)), kind.name());
    }
}

#[test]
fn label_serial_and_time_are_what_was_asked() {
    let scratch = Scratch::new();
    for size in [2 * MIB, 40 * MIB] {
        let path = scratch.write("fat", &image(&esp(10), &options(size)));
        let listed = accepts("mdir", &["-i", &path, "::EFI/BOOT"]);
        assert!(listed.contains("Volume in drive : is ESP"), "{listed}");
        assert!(listed.contains("Volume Serial Number is 1234-ABCD"), "{listed}");
        assert!(listed.contains("BOOTX64  EFI        10 2024-02-29  12:34"), "{listed}");
        let blkid = accepts("blkid", &["-p", "-o", "export", &path]);
        assert!(blkid.contains("LABEL=ESP") && blkid.contains("UUID=1234-ABCD"), "{blkid}");
    }
}

#[test]
fn times_out_of_range_are_the_nearest() {
    let stamp = |seconds| format::Stamp::new(Time { seconds, nanoseconds: 0 });
    assert_eq!(stamp(0), format::Stamp { date: 1 << 5 | 1, time: 0 });
    assert_eq!(stamp(i64::MIN), stamp(0));
    assert_eq!(
        stamp(i64::MAX),
        format::Stamp { date: 127 << 9 | 12 << 5 | 31, time: 23 << 11 | 59 << 5 | 29 }
    );
}

#[test]
fn large_directories_read_back() {
    let mut tree = Tree::new(Meta::default());
    let below = directory(&mut tree, Tree::ROOT, "below");
    for n in 0..400 {
        file(&mut tree, Tree::ROOT, &format!("a file with a long name {n}"), &pattern(n));
        file(&mut tree, below, &format!("LONG{n}.TXT"), &pattern(n));
    }
    assert_reads_back(&tree, &options(8 * MIB));
    assert_reads_back(&tree, &options(64 * MIB));
}

#[test]
fn fsck_rejects_damage() {
    const BYTES_PER_SECTOR: usize = 12;
    let scratch = Scratch::new();
    for size in [2 * MIB, 20 * MIB, 40 * MIB] {
        let whole = image(&esp(600_000), &options(size));
        let fat_offset = usize::from(u16::from_le_bytes([whole[14], whole[15]])) * 512;
        for damaged in [fat_offset + 40, BYTES_PER_SECTOR] {
            let mut bytes = whole.clone();
            bytes[damaged] ^= 1;
            let path = scratch.write("fat", &bytes);
            assert!(!fsck_accepts(&path), "{size}: byte {damaged}");
        }
    }
}

/// Contents have no checksum, and fsck.fat doesn't look at them.
#[test]
fn mtools_read_a_flipped_byte() {
    let scratch = Scratch::new();
    let tree = esp(600_000);
    for size in [2 * MIB, 20 * MIB, 40 * MIB] {
        let mut bytes = image(&tree, &options(size));
        let sample = &pattern(600_000)[300_000..300_064];
        let at = bytes.windows(sample.len()).position(|window| window == sample).unwrap();
        bytes[at] ^= 1;
        let path = scratch.write("fat", &bytes);
        assert!(fsck_accepts(&path) && !mtools_read(&tree, &path), "{size}");
    }
}

#[test]
fn what_fat_can_not_hold_is_refused_by_its_path() {
    let refused = |name: &[u8], kind: InodeKind| {
        let mut tree = esp(0);
        let loader = directory(&mut tree, Tree::ROOT, "loader");
        tree.insert(
            loader,
            b"Same",
            Inode { meta: Meta::default(), kind: InodeKind::File(Content::Bytes([].into())) },
        );
        tree.insert(loader, name, Inode { meta: Meta::default(), kind });
        let error = plan(&tree, &options(8 * MIB)).unwrap_err();
        assert_eq!(*error.kind(), error::Kind::Input);
        error.to_string()
    };
    let empty = || InodeKind::File(Content::Bytes([].into()));
    assert_eq!(
        refused(b"x", InodeKind::Symlink(b"y"[..].into())),
        "/loader/x: FAT cannot hold a symbolic link"
    );
    assert_eq!(refused(b"x", InodeKind::Fifo), "/loader/x: FAT cannot hold a named pipe");
    assert_eq!(refused(b"a?", empty()), "/loader/a?: FAT allows no '?' in a name");
    assert_eq!(
        refused(b"same", empty()),
        "/loader/same: FAT cannot tell the name from \"Same\", it ignores case"
    );
}

#[test]
fn a_file_of_four_gib_is_refused() {
    let root = crate::tree::HostDir::open(Path::new("/")).unwrap();
    let host =
        |len| InodeKind::File(Content::Host(crate::tree::HostFile::new(root.clone(), b"large", len, None)));
    let mut tree = Tree::new(Meta::default());
    let id =
        tree.insert(Tree::ROOT, b"large", Inode { meta: Meta::default(), kind: host(u64::from(u32::MAX)) });
    assert!(plan(&tree, &options(5 * KIB * MIB)).is_ok());
    tree.inode_mut(id).kind = host(1 << 32);
    let error = plan(&tree, &options(5 * KIB * MIB)).unwrap_err();
    assert_eq!(error.to_string(), "/large: FAT cannot hold a file of 4 GiB, only up to 4 GiB - 1");
}

#[test]
fn holes_of_files_take_clusters_but_no_extents() {
    let root = crate::tree::HostDir::open(Path::new("/")).unwrap();
    let data = [4096..5000, 1_000_000..1_000_001];
    let host = crate::tree::HostFile::new(root, b"sparse", 2_000_000, Some(data.into()));
    let kind = InodeKind::File(Content::Host(host));
    let mut tree = Tree::new(Meta::default());
    tree.insert(Tree::ROOT, b"sparse", Inode { meta: Meta::default(), kind });
    file(&mut tree, Tree::ROOT, "tail", b"x");
    let layout = plan(&tree, &options(8 * MIB)).unwrap();
    let extents: Vec<_> = layout.extents.iter().collect();
    let [.., first, second, tail] = &extents[..] else { panic!("{layout:?}") };
    assert_eq!((first.len, second.len), (5000 - 4096, 1));
    assert_eq!(second.offset - first.offset, 1_000_000 - 4096);
    assert_eq!(tail.offset - first.offset, 2_000_000u64.next_multiple_of(KIB) - 4096);
}

/// Up to 40 directories and files; each lies in the root or in a directory before it.
fn any_tree() -> impl Strategy<Value = Tree> {
    let name = "[A-Za-z0-9._][A-Za-z0-9 ._é+=~-]{0,20}[A-Za-z0-9]";
    let node = (name, any::<proptest::sample::Index>(), proptest::option::of(0..20_000usize));
    proptest::collection::vec(node, 1..40).prop_map(|nodes| {
        let mut tree = Tree::new(Meta::default());
        let mut directories = vec![Tree::ROOT];
        for (name, parent, len) in nodes {
            let parent = *parent.get(&directories);
            let alike =
                |other: &[u8]| std::str::from_utf8(other).unwrap().to_uppercase() == name.to_uppercase();
            if tree.entries(parent).unwrap().keys().any(|other| alike(other)) {
                continue;
            }
            match len {
                Some(len) => _ = file(&mut tree, parent, &name, &pattern(len)),
                None => directories.push(directory(&mut tree, parent, &name)),
            }
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_reads_back(tree in any_tree(), size in 1..40u64, odd in 0..9u64, sector_size in 0..2u32) {
        let options = Options { sector_size: 512 << (3 * sector_size), ..options(size * MIB + odd * 517) };
        assert_reads_back(&tree, &Options { size: options.size.max(minimum_size(&tree, &options).unwrap()), ..options });
    }
}

#[test]
fn impossible_options_are_refused() {
    let tree = esp(0);
    let refused = |options: Options| plan(&tree, &options).unwrap_err().to_string();
    let good = options(8 * MIB);
    assert!(refused(Options { label: "esp".into(), ..good.clone() }).contains("label"));
    assert!(refused(Options { label: "TWELVE CHARS".into(), ..good.clone() }).contains("label"));
    assert!(refused(Options { sector_size: 1024, ..good.clone() }).contains("1024"));
    assert!(refused(Options { hidden_sectors: 1 << 32, ..good.clone() }).contains("start"));
    assert!(refused(Options { size: 4096 * MIB, kind: Some(FatType::Fat12), ..good }).contains("FAT12"));
}
