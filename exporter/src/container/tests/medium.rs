//! Media: an ISO whose disk passes through it, and the folder that is served.

use sha2::{Digest, Sha256};
use zerocopy::IntoBytes;

use super::*;
use crate::architecture::Architecture;
use crate::boot::medium::Menu;
use crate::container::medium::{About, DIGEST, Disc, Netboot, PartitionOf, Target as Installed, index_len};
use crate::container::update::{BLOCK, Entry};
use crate::fs::{Contents, FileSystem};
use crate::iso9660::{self, Boot, Entry as IsoFile, Volume};
use crate::spec::Mode;
use crate::tree::Time;

const SIZE: u64 = 12 * MIB;

fn about() -> About {
    let root = PartitionOf { partition: 3, kind: "ext4" };
    let target = Installed {
        root,
        persist: None,
        esp: Some(1),
        loader: Some("\\EFI\\BOOT\\BOOTX64.EFI".into()),
        label: "Debian".into(),
        network: "networkd",
    };
    let id = "5b1c0a4e-9d2f-4e3b-8a76-0123456789ab".to_owned();
    About::new(id, "web".into(), "Debian GNU/Linux 12".into(), Architecture::X86_64, target)
}

fn menu() -> Menu {
    Menu {
        title: "Debian".into(),
        modes: Mode::ALL.to_vec(),
        timeout: 5,
        id: about().id,
        words: vec!["console=tty0".into()],
        linuxefi: false,
    }
}

/// The medium of a disk of so many bytes.
pub(super) fn web(size: u64) -> Medium {
    let bytes = |text: &[u8]| Contents::of_bytes(text);
    let entry = |path: &str, content| IsoFile { path: path.to_owned(), content };
    let hole = |size| Contents { size, extents: Box::new(Vec::<Extent>::new()) };
    let volume =
        Volume { name: "web".into(), id: Seed::new(b"medium").uuid("volume"), time: Time::default() };
    let entries = vec![
        entry("vmimage/vmlinuz", bytes(b"the kernel")),
        entry("vmimage/disk.raw", hole(size)),
        entry("vmimage/disk.index", hole(index_len(size))),
    ];
    let boot = Boot { bios: None, esp: Some(bytes(&[7; 70_000])) };
    let layout = iso9660::plan(&volume, entries, boot).unwrap();
    let (disk, index) = (layout.file("vmimage/disk.raw"), layout.file("vmimage/disk.index"));
    let disc = Disc::new(layout.into_contents(), disk, index).unwrap();
    let files = vec![
        ("vmlinuz".to_owned(), bytes(b"the kernel")),
        ("initramfs".to_owned(), bytes(b"the initramfs")),
        ("grub.pxe".to_owned(), bytes(b"GRUB")),
    ];
    let root = Contents { size: 300_000, extents: Box::new([Extent::bytes(100_000, noise(100_000))]) };
    let root = Some((FileSystem::Erofs, root));
    let netboot = Netboot {
        about: about(),
        ipxe: menu().of_ipxe(DIGEST),
        grub: menu().of_network(DIGEST),
        root,
        has_disk: true,
        files,
    };
    Medium { disc: Some(disc), netboot: Some(netboot) }
}

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The index of a disk whose blocks have frames as long as `len` says.
fn index(disk: &[u8], len: impl Fn(usize, &[u8]) -> usize) -> Vec<u8> {
    let blocks = disk.chunks(BLOCK).enumerate();
    blocks.flat_map(|(at, block)| Entry::of(block, len(at, block)).as_bytes().to_vec()).collect()
}

#[test]
fn an_iso_has_the_disk_as_it_is_and_its_index() {
    let scratch = Scratch::new();
    let extents = extents(SIZE);
    let disk = flatten(SIZE, &extents);
    let target = any_target(&scratch, Format::Iso);
    write_one(RawImage { size: SIZE, extents: &extents }, &target, 3);
    let read = |path: &str| -> Vec<u8> {
        let out = scratch.file("out");
        accepts(
            "xorriso",
            &["-osirrox", "on", "-indev", shown(&target), "-extract", path, out.to_str().unwrap()],
        );
        let bytes = std::fs::read(&out).unwrap();
        std::fs::remove_file(out).unwrap();
        bytes
    };
    assert!(read("/vmimage/disk.raw") == disk);
    assert_eq!(read("/vmimage/vmlinuz"), b"the kernel");
    assert!(read("/efi.img") == [7; 70_000]);
    assert!(read("/vmimage/disk.index") == index(&disk, |_, block| block.len()));
    let (format, image) = open(&target.path).unwrap();
    assert_eq!((format, image.size()), (Format::Iso, SIZE));
}

#[test]
fn a_disc_of_another_disk_is_refused() {
    let scratch = Scratch::new();
    let target = any_target(&scratch, Format::Iso);
    let extents = extents(3 * MIB);
    let image = RawImage { size: 3 * MIB, extents: &extents };
    let error = write(image, std::slice::from_ref(&target), &run(1)).unwrap_err();
    assert_eq!(error.to_string(), "iso: was planned for a disk of another size");
    let none = Target { medium: None, ..target };
    let error = write(image, &[none], &run(1)).unwrap_err().to_string();
    assert!(error.ends_with("iso comes of the build of a machine, and this is none"), "{error}");
}

#[test]
fn a_folder_says_what_is_in_it_by_digests() {
    let scratch = Scratch::new();
    let extents = extents(SIZE);
    let disk = flatten(SIZE, &extents);
    let target = any_target(&scratch, Format::Netboot);
    write_one(RawImage { size: SIZE, extents: &extents }, &target, 2);
    let files = contents(&target.path);
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "SHA256SUMS",
        "boot.ipxe",
        "disk.index",
        "disk.zst",
        "grub.cfg",
        "grub.pxe",
        "initramfs",
        "medium.json",
        "root.erofs",
        "vmlinuz",
    ];
    assert_eq!(names, expected);
    let file = |wanted: &str| files.iter().find(|(name, _)| name == wanted).unwrap().1.clone();
    assert!(zstd::decode_all(&*file("disk.zst")).unwrap() == disk);
    let entries = file("disk.index");
    let frame = |at: usize| {
        let bytes: [u8; 4] = entries[at * 36 + 32..][..4].try_into().unwrap();
        u32::from_le_bytes(bytes) as usize
    };
    assert!(entries == index(&disk, |at, _| frame(at)));
    let sums = String::from_utf8(file("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), names.len() - 1);
    for name in &names[1..] {
        assert!(sums.contains(&format!("{}  {name}\n", hex(&file(name)))), "{name}: {sums}");
    }
    let about: serde_json::Value = serde_json::from_slice(&file("medium.json")).unwrap();
    let root = serde_json::json!({
        "file": "root.erofs", "bytes": 300_000, "sha256": hex(&file("root.erofs")), "type": "erofs",
    });
    assert_eq!((&about["version"], &about["root"]), (&1.into(), &root));
    assert_eq!((&about["architecture"], &about["target"]["esp"]), (&"x86-64".into(), &1.into()));
    assert_eq!((&about["disk"]["bytes"], &about["disk"]["packed"]), (&SIZE.into(), &true.into()));
    assert_eq!(about["disk"]["index_sha256"], hex(&entries));
    let digest = format!("vmimage.digest={}", hex(&file("medium.json")));
    for script in ["boot.ipxe", "grub.cfg"] {
        assert!(String::from_utf8(file(script)).unwrap().contains(&digest), "{script}");
    }
    assert_eq!(identify(&target.path).unwrap(), (Format::Netboot, None));
    assert_eq!(*disk_file(&target.path).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_medium_without_an_installer_has_no_disk_to_install() {
    let scratch = Scratch::new();
    let target = any_target(&scratch, Format::Netboot);
    let netboot = Netboot { has_disk: false, root: None, ..web(SIZE).netboot.unwrap() };
    let medium = Some(Arc::new(Medium { disc: None, netboot: Some(netboot) }));
    let extents = extents(SIZE);
    write_one(RawImage { size: SIZE, extents: &extents }, &Target { medium, ..target.clone() }, 2);
    let names: Vec<_> = contents(&target.path).into_iter().map(|(name, _)| name).collect();
    let expected = ["SHA256SUMS", "boot.ipxe", "grub.cfg", "grub.pxe", "initramfs", "medium.json", "vmlinuz"];
    assert_eq!(names, expected);
}
