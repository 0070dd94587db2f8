//! A machine of metal: the drivers that an initramfs of ours has for it, the microcode in front of that, and what the report
//! says of all of it.
//!
//! ```text
//! /lib/firmware/intel-ucode/*, amd-ucode/*.bin ─▶ kernel/x86/microcode/GenuineIntel.bin, AuthenticAMD.bin ─▶ an archive
//! that is not packed, in front of the initramfs: the kernel looks for it before it unpacks anything
//! ```
//!
//! Source: the kernel's documentation, "The Linux Microcode Loader" (arch/x86/microcode.rst).

use std::io::Read;

use crate::error::{Error, Kind, Result, show_size};
use crate::initramfs;
use crate::kernel::unpack;
use crate::limits::{self, Budget};
use crate::tree::initramfs::read_names;
use crate::tree::kernel::Kernel;
use crate::tree::{Content, InodeId, InodeKind, Time, Tree};

/// Drivers of what disks of real machines are on, beside those that hypervisors imitate, and of keyboards.
pub(super) const CONTROLLERS: [&str; 23] = [
    "megaraid_sas",
    "mpt3sas",
    "hpsa",
    "smartpqi",
    "aacraid",
    "mvsas",
    "isci",
    "sata_nv",
    "sata_sil24",
    "sata_mv",
    "vmd",
    "mmc_block",
    "sdhci_pci",
    "sdhci_acpi",
    "xhci_pci",
    "ehci_pci",
    "ohci_pci",
    "uhci_hcd",
    "usb_storage",
    "uas",
    "usbhid",
    "hid_generic",
    "atkbd",
];

/// Drivers of network cards of real machines.
pub const NICS: [&str; 17] = [
    "e1000",
    "e1000e",
    "igb",
    "igc",
    "ixgbe",
    "i40e",
    "ice",
    "r8169",
    "tg3",
    "bnxt_en",
    "bnx2x",
    "mlx4_en",
    "mlx5_core",
    "atlantic",
    "be2net",
    "bnx2",
    "qede",
];

/// A maker of processors.
struct Vendor {
    name: &'static str,
    /// The file that the kernel looks for.
    file: &'static str,
    /// Where its parts are: of every processor one, or of every family.
    folders: &'static [&'static str],
    /// Whether a file there is a part.
    is_part: fn(&str) -> bool,
    /// Where some distributions have the archive itself.
    archive: &'static str,
}

const VENDORS: [Vendor; 2] = [
    Vendor {
        name: "Intel",
        file: "kernel/x86/microcode/GenuineIntel.bin",
        folders: &[
            "/lib/firmware/intel-ucode",
            "/usr/lib/firmware/intel-ucode",
            "/usr/share/microcode_ctl/ucode_with_caveats/intel/intel-ucode",
        ],
        // Family, model and stepping, two digits each.
        is_part: |name| name.len() >= 8 && name.as_bytes().get(2) == Some(&b'-'),
        archive: "/boot/intel-ucode.img",
    },
    Vendor {
        name: "AMD",
        file: "kernel/x86/microcode/AuthenticAMD.bin",
        folders: &["/lib/firmware/amd-ucode", "/usr/lib/firmware/amd-ucode"],
        is_part: |name| name.starts_with("microcode_amd") && name.contains(".bin"),
        archive: "/boot/amd-ucode.img",
    },
];

/// What goes in front of an initramfs; empty, if the files have no microcode.
///
/// # Errors
/// If a part cannot be unpacked, or all of them are larger than any are.
pub(super) fn microcode(tree: &Tree, time: Time) -> Result<Vec<u8>> {
    let (mut files, mut archives) = (Vec::new(), Vec::new());
    let mut room = Budget::new("bytes of microcode", limits::MICROCODE);
    for vendor in &VENDORS {
        let parts = vendor.parts(tree, &mut room)?;
        if !parts.is_empty() {
            files.push((vendor.file, parts));
        } else if let Some(archive) = tree.read(vendor.archive, limits::MICROCODE)? {
            room.spend(archive.len() as u64).map_err(|exceeded| exceeded.at(vendor.archive))?;
            archives.extend(archive);
            archives.resize(archives.len().next_multiple_of(4), 0);
        }
    }
    if !files.is_empty() {
        archives.extend(initramfs::archive_of(&files, time)?);
    }
    Ok(archives)
}

impl Vendor {
    /// All parts, one behind the other, in the order of their names.
    fn parts(&self, tree: &Tree, room: &mut Budget) -> Result<Vec<u8>> {
        let Some((folder, entries)) = self
            .folders
            .iter()
            .find_map(|folder| Some((folder, tree.resolve(folder).and_then(|id| tree.entries(id))?)))
        else {
            return Ok(Vec::new());
        };
        let mut parts = Vec::new();
        for name in entries.keys() {
            let Ok(name) = std::str::from_utf8(name) else { continue };
            let path = format!("{folder}/{name}");
            // It may be a link to another one.
            let kind = tree.resolve(&path).map(|id| &tree.inode(id).kind);
            let Some(InodeKind::File(content)) = kind.filter(|_| (self.is_part)(name)) else { continue };
            let part = unpacked(content, &path)?;
            room.spend(part.len() as u64).map_err(|exceeded| exceeded.at(&path))?;
            parts.extend(part);
        }
        Ok(parts)
    }
}

/// Firmware is packed or not, as its name says.
fn unpacked(content: &Content, path: &str) -> Result<Vec<u8>> {
    let is_packed = path.ends_with(".xz") || path.ends_with(".zst");
    let mut bytes = Vec::new();
    let read = match is_packed {
        true => unpack::unpacked(content.reader()?, limits::MICROCODE)
            .and_then(|mut reader| reader.read_to_end(&mut bytes)),
        false => content.reader()?.take(limits::MICROCODE + 1).read_to_end(&mut bytes),
    };
    read.map_err(|error| Error::new(Kind::Corrupt, path, format!("the microcode cannot be read: {error}")))?;
    Ok(bytes)
}

/// What the report says of a machine of metal that boots this kernel first: which it is, what firmware there is, and which
/// processors get microcode with the initramfs.
pub(super) fn notes(root: &Tree, kernel: &Kernel) -> Vec<String> {
    let place = "hardware = \"metal\"";
    let firmware = match firmware(root) {
        (0, _) => "no firmware in /lib/firmware: devices that want some do not work".to_owned(),
        (count, bytes) => format!("{count} files of firmware, {}", show_size(bytes)),
    };
    let vendors = kernel.initramfs.as_deref().map(|path| (path, vendors(root, path)));
    let microcode = match vendors {
        Some((path, vendors)) if !vendors.is_empty() => {
            format!("microcode of {} in {path}", vendors.join(" and "))
        }
        Some((path, _)) => format!("no microcode in {path}"),
        None => "no initramfs, and so no microcode".to_owned(),
    };
    vec![
        format!("{place}: {} of Linux {}", kernel.image, kernel.version),
        format!("{place}: {firmware}"),
        format!("{place}: {microcode}"),
    ]
}

/// Whose microcode is in front of an initramfs.
fn vendors(root: &Tree, initramfs: &str) -> Vec<&'static str> {
    let Some(InodeKind::File(content)) = root.resolve(initramfs).map(|id| &root.inode(id).kind) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    read_names(content, &mut |name| {
        let name = name.strip_prefix(b"./").unwrap_or(name);
        found
            .extend(VENDORS.iter().filter(|vendor| vendor.file.as_bytes() == name).map(|vendor| vendor.name));
        // The archives in front have nothing else.
        matches!(name, b"." | b"early_cpio") || name.starts_with(b"kernel")
    });
    found.sort_unstable_by_key(|name| VENDORS.iter().position(|vendor| vendor.name == *name));
    found.dedup();
    found
}

/// How many files of firmware there are, and their bytes.
fn firmware(root: &Tree) -> (usize, u64) {
    let mut left: Vec<InodeId> = root.resolve("/lib/firmware").into_iter().collect();
    let (mut count, mut bytes) = (0, 0);
    while let Some(id) = left.pop() {
        match &root.inode(id).kind {
            InodeKind::Directory(entries) => left.extend(entries.values()),
            InodeKind::File(content) => (count, bytes) = (count + 1, bytes + content.len()),
            _ => {}
        }
    }
    (count, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Editor, Meta};

    fn tree(files: &[(&str, &[u8])]) -> Tree {
        let mut tree = Tree::new(Meta::default());
        for (path, bytes) in files {
            Editor::new(&mut tree, Time::default()).write_file(path, *bytes, 0o644).unwrap();
        }
        tree
    }

    /// The names and the bytes of the files of archives.
    fn files(mut archive: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let number = |archive: &[u8], field: usize| {
            let digits = std::str::from_utf8(&archive[6 + 8 * field..][..8]).unwrap();
            usize::from_str_radix(digits, 16).unwrap()
        };
        while archive.len() >= 110 {
            let (len, name_len) = (number(archive, 6), number(archive, 11));
            let name = String::from_utf8(archive[110..110 + name_len - 1].to_vec()).unwrap();
            let start = (110 + name_len).next_multiple_of(4);
            if len > 0 {
                files.push((name, archive[start..start + len].to_vec()));
            }
            archive = &archive[(start + len).next_multiple_of(4)..];
        }
        files
    }

    #[test]
    fn microcode_of_all_processors_is_in_the_files_that_the_kernel_looks_for() {
        let packed = zstd::bulk::compress(b"fam19h", 1).unwrap();
        let tree = tree(&[
            ("/lib/firmware/intel-ucode/06-8f-08", b"new"),
            ("/lib/firmware/intel-ucode/06-3c-03.initramfs", b"old"),
            ("/lib/firmware/intel-ucode/README", b"no"),
            ("/lib/firmware/amd-ucode/microcode_amd_fam19h.bin.zst", &packed),
            ("/lib/firmware/amd-ucode/microcode_amd.bin", b"first"),
            ("/lib/firmware/amd-ucode/microcode_amd_fam19h.asc", b"no"),
            ("/boot/intel-ucode.img", b"not needed"),
        ]);
        let early = microcode(&tree, Time::default()).unwrap();
        assert_eq!(
            files(&early),
            [
                ("kernel/x86/microcode/AuthenticAMD.bin".to_owned(), b"firstfam19h".to_vec()),
                ("kernel/x86/microcode/GenuineIntel.bin".to_owned(), b"oldnew".to_vec()),
            ]
        );
        assert_eq!(early.len() % 4, 0);
    }

    #[test]
    fn an_archive_of_the_distributions_is_taken_as_it_is() {
        let tree = tree(&[
            ("/boot/intel-ucode.img", b"070701"),
            ("/lib/firmware/amd-ucode/microcode_amd.bin", b"amd"),
        ]);
        let early = microcode(&tree, Time::default()).unwrap();
        assert!(early.starts_with(b"070701\0\x00070701"), "it is filled up to four bytes");
        assert_eq!(files(&early[8..]), [("kernel/x86/microcode/AuthenticAMD.bin".into(), b"amd".to_vec())]);
        assert!(microcode(&Tree::new(Meta::default()), Time::default()).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_packed_file_is_named() {
        let path = "/lib/firmware/amd-ucode/microcode_amd.bin.xz";
        let error = microcode(&tree(&[(path, b"plain")]), Time::default()).unwrap_err().to_string();
        assert!(error.starts_with(path), "{error}");
    }

    #[test]
    fn the_report_tells_what_there_is_and_what_is_missing() {
        let mut root = tree(&[("/lib/firmware/tigon/tg3.bin", b"12345"), ("/boot/vmlinuz-6.1", b"")]);
        let mut kernel = Kernel {
            version: "6.1".into(),
            image: "/boot/vmlinuz-6.1".into(),
            initramfs: None,
            modules: None,
            stable: None,
            origin: crate::tree::kernel::Origin::Under,
        };
        let told = |root: &Tree, kernel: &Kernel| notes(root, kernel).join("\n");
        let text = told(&root, &kernel);
        for line in ["/boot/vmlinuz-6.1 of Linux 6.1", "1 files of firmware, 5 bytes", "no microcode"] {
            assert!(text.contains(line), "{text}");
        }
        let early = initramfs::archive_of(&[(VENDORS[1].file, b"x".to_vec())], Time::default()).unwrap();
        let main = initramfs::archive_of(&[("bin/sh", b"x".to_vec())], Time::default()).unwrap();
        for (bytes, expected) in [
            ([&early[..], &main].concat(), "microcode of AMD in /boot/initrd"),
            (main, "no microcode in /boot/initrd"),
        ] {
            Editor::new(&mut root, Time::default()).write_file("/boot/initrd", bytes, 0o644).unwrap();
            kernel.initramfs = Some("/boot/initrd".into());
            let text = told(&root, &kernel);
            assert!(text.contains(expected), "{text}");
        }
        assert!(told(&Tree::new(Meta::default()), &kernel).contains("no firmware in /lib/firmware"));
    }
}
