//! Volumes as xorriso, isoinfo and sgdisk read them.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::error::Kind;
use crate::testing::{Scratch, accepts, flatten, tool, write_sparse};

const GRUB: &str = "/usr/lib/grub/i386-pc";
const ID: Uuid = Uuid::from_text("0f8a1c32-6c1e-4e9b-9d6a-2f1f3b7c5d10");

fn volume() -> Volume {
    let time = Time { seconds: 1_700_000_000, nanoseconds: 0 };
    Volume { name: "web server".to_owned(), id: ID, time }
}

fn contents(bytes: Vec<u8>) -> Contents {
    Contents { size: bytes.len() as u64, extents: Box::new([Extent::bytes(0, bytes)]) }
}

/// Bytes that tell their place: a block out of order is seen.
fn pattern(len: usize) -> Vec<u8> {
    (0..len.div_ceil(4)).flat_map(|n| (n as u32 ^ 0x5a5a_0000).to_le_bytes()).take(len).collect()
}

fn entry(path: &str, bytes: Vec<u8>) -> Entry {
    Entry { path: path.to_owned(), content: contents(bytes) }
}

/// GRUB's own images, and a core of one that would only read its disc.
fn bios() -> Bios {
    let read = |name: &str| -> Arc<[u8]> {
        let read = std::fs::read(format!("{GRUB}/{name}"));
        read.unwrap_or_else(|error| panic!("grub-pc-bin must be installed: {GRUB}/{name}: {error}")).into()
    };
    let scratch = Scratch::new();
    let core = scratch.path().join("core.img").display().to_string();
    let made = ["-O", "i386-pc", "-p", "/boot/grub", "-o", &core, "biosdisk", "iso9660"];
    accepts("grub-mkimage", &made);
    let core = std::fs::read(core).unwrap().into();
    let images = BiosImages { boot: read("boot.img"), core, modules: vec!["iso9660".to_owned()] };
    Bios { images, cdboot: read("cdboot.img") }
}

fn esp() -> Contents {
    contents(pattern(3 << 20))
}

/// What a medium has, and a name that only Rock Ridge can say.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("vmimage/0f8a1c32-6c1e-4e9b-9d6a-2f1f3b7c5d10", Vec::new()),
        ("vmimage/vmlinuz", pattern(100_001)),
        ("vmimage/Ünïcode + spaces.txt", pattern(2048)),
        ("EFI/debian/grub.cfg", pattern(77)),
        ("boot/grub/grub.cfg", pattern(2049)),
        ("vmimage/disk.raw", pattern(1 << 20)),
    ]
}

fn entries() -> Vec<Entry> {
    files().into_iter().map(|(path, bytes)| entry(path, bytes)).collect()
}

fn medium() -> Layout {
    plan(&volume(), entries(), Boot { bios: Some(bios()), esp: Some(esp()) }).unwrap()
}

fn write(layout: &Layout, scratch: &Scratch) -> String {
    let path = scratch.path().join("medium.iso");
    write_sparse(&path, layout.size, layout);
    path.display().to_string()
}

/// What xorriso says of a volume; it is silent of nothing that it finds wrong.
fn xorriso(iso: &str, ask: &[&str]) -> (bool, String) {
    let mut arguments = vec!["-abort_on", "WARNING", "-return_with", "WARNING", "32", "-indev", iso];
    arguments.extend(ask);
    tool("xorriso", &arguments)
}

/// Whether `copy` has the files of a medium and what starts it, and nothing else.
fn is_copy(copy: &Path) -> bool {
    let has = |path: &str, bytes: &[u8]| std::fs::read(copy.join(path)).is_ok_and(|read| read == bytes);
    let count = Command::new("find").arg(copy).args(["-type", "f"]).output().unwrap().stdout;
    files().iter().all(|(path, bytes)| has(path, bytes))
        && has(ESP_IMAGE, &pattern(3 << 20))
        && count.iter().filter(|byte| **byte == b'\n').count() == files().len() + 3
}

fn copies_out(iso: &str) -> bool {
    let scratch = Scratch::new();
    let copy = scratch.path().join("copy");
    let said = xorriso(iso, &["-osirrox", "on", "-extract", "/", copy.to_str().unwrap()]);
    let made_writable = Command::new("chmod").args(["-R", "u+w"]).arg(&copy).status();
    said.0 && made_writable.is_ok_and(|status| status.success()) && is_copy(&copy)
}

/// It says what it would repair, and then that there is nothing to repair.
fn sgdisk_is_content(disk: &str) -> bool {
    let (ok, said) = tool("sgdisk", &["-v", disk]);
    ok && said.contains("No problems found") && !said.contains("Caution")
}

/// Whether GRUB, which is what has to, finds these bytes in a file of the disk.
fn grub_reads(iso: &str, path: &str, bytes: &[u8]) -> bool {
    let output = Command::new("grub-fstest").args([iso, "cat", &format!("(loop0)/{path}")]).output();
    let output =
        output.unwrap_or_else(|error| panic!("grub-fstest (grub-common) must be installed: {error}"));
    output.status.success() && output.stdout == bytes
}

/// What isoinfo lists: `/path size block`.
fn isoinfo(iso: &str) -> String {
    accepts("isoinfo", &["-l", "-R", "-i", iso])
}

#[test]
fn extents_are_apart_and_in_order_and_files_where_they_are_said_to_be() {
    let layout = medium();
    let extents: Vec<_> = layout.iter().collect();
    assert!(extents.is_sorted_by(|one, next| one.end() <= next.offset), "{extents:?}");
    assert_eq!(extents.last().unwrap().end(), layout.size);
    let bytes = flatten(layout.size, &layout);
    for (path, content) in files().iter().filter(|(_, content)| !content.is_empty()) {
        let range = layout.file(path).unwrap();
        assert_eq!(bytes[range.start as usize..range.end as usize], *content, "{path}");
    }
    assert!(layout.file("vmimage/disk.raw").unwrap().start.is_multiple_of(64 << 10));
    assert_eq!(layout.file("vmimage/none"), None);
    assert_eq!(flatten(layout.size, &medium()), bytes);
}

#[test]
fn xorriso_reads_every_file_and_what_starts_the_volume() {
    let scratch = Scratch::new();
    let layout = medium();
    let iso = write(&layout, &scratch);
    assert!(copies_out(&iso));
    let (ok, said) =
        xorriso(&iso, &["-report_el_torito", "plain", "-report_system_area", "plain", "-pvd_info"]);
    assert!(ok, "{said}");
    for line in [
        "El Torito cat path : /boot.catalog",
        "El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4",
        "El Torito img path :   1  /eltorito.img",
        "El Torito img opts :   1  boot-info-table grub2-boot-info",
        "El Torito boot img :   2  UEFI  y   none  0x0000  0x00   6144",
        "El Torito img path :   2  /efi.img",
        "System area summary: MBR protective-msdos-label cyl-align-off GPT",
        "MBR partition      :   2   0x80  0x00            0            1",
        "GPT type GUID      :   2  28732ac11ff8d211ba4b00a0c93ec93b",
        "GPT partition path :   2  /efi.img",
        "Volume Id    : WEB_SERVER",
        "Creation Time: 2023111422132000",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
}

#[test]
fn grub_reads_the_volume_as_a_disk_and_finds_its_core() {
    let scratch = Scratch::new();
    let layout = medium();
    let iso = write(&layout, &scratch);
    for (path, bytes) in files() {
        assert!(grub_reads(&iso, path, &bytes), "{path}");
    }
    let said = accepts("grub-fstest", &[&iso, "ls", "(loop0)/vmimage"]);
    assert!(said.contains("0f8a1c32-6c1e-4e9b-9d6a-2f1f3b7c5d10") && said.contains("disk.raw"), "{said}");
    let bytes = flatten(layout.size, &layout);
    let image = layout.file(BIOS_IMAGE).unwrap().start;
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!(number(0x5c), image / 512 + 4);
    assert_eq!(number(image as usize + 2548), image / 512 + 5);
    let core = &bytes[image as usize + 2048..][..bios().images.core.len()];
    let changed = core.iter().zip(&*bios().images.core).filter(|(new, old)| new != old).count();
    assert!(changed <= 8, "{changed}");
}

#[test]
fn isoinfo_reads_names_by_rock_ridge_and_without() {
    let scratch = Scratch::new();
    let iso = write(&medium(), &scratch);
    let listed = isoinfo(&iso);
    for line in
        ["Directory listing of /EFI/debian/", "Ünïcode + spaces.txt", "0f8a1c32-6c1e-4e9b-9d6a-2f1f3b7c5d10"]
    {
        assert!(listed.contains(line), "{line:?} is not in\n{listed}");
    }
    assert!(
        listed.lines().any(|line| line.starts_with("-r--r--r--") && line.contains(" 1048576 Nov 14 2023 "))
    );
    let plain = accepts("isoinfo", &["-f", "-i", &iso]);
    assert!(plain.contains("/VMIMAGE/DISK.RAW;1") && plain.contains("/EFI.IMG;1"), "{plain}");
    let described = accepts("isoinfo", &["-d", "-i", &iso]);
    for line in [
        "Rock Ridge signatures version 1 found",
        "Volume id: WEB_SERVER",
        "Arch 0 (x86)",
        "Bootid 88 (bootable)",
    ] {
        assert!(described.contains(line), "{line:?} is not in\n{described}");
    }
}

#[test]
fn sgdisk_takes_the_volume_for_a_disk() {
    let scratch = Scratch::new();
    let layout = medium();
    let iso = write(&layout, &scratch);
    assert!(sgdisk_is_content(&iso));
    let esp = accepts("sgdisk", &["-i", "2", &iso]);
    let first = layout.file(ESP_IMAGE).unwrap().start / 512;
    assert!(
        esp.contains("(EFI system partition)") && esp.contains(&format!("First sector: {first} ")),
        "{esp}"
    );
    let active = accepts("sfdisk", &["--dump", "--label-nested", "dos", &iso]);
    assert!(active.contains("type=ee"), "{active}");
}

#[test]
fn every_reader_finds_what_is_broken() {
    let scratch = Scratch::new();
    let layout = medium();
    let good = flatten(layout.size, &layout);
    let broken = |name: &str, at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0xff;
        scratch.write(name, &bytes)
    };
    let descriptor = 16 * 2048;
    assert!(!xorriso(&broken("magic", descriptor + 1), &["-toc"]).0);
    let disk = layout.file("vmimage/disk.raw").unwrap().start as usize;
    assert!(!copies_out(&broken("content", disk + 5)));
    let core = layout.file(BIOS_IMAGE).unwrap().start as usize;
    let el_torito = |iso: &str| xorriso(iso, &["-report_el_torito", "plain"]).1;
    assert!(!el_torito(&broken("core", core + 4000)).contains("boot-info-table"));
    assert!(!el_torito(&broken("list", core + 2548)).contains("grub2-boot-info"));
    assert!(!tool("isoinfo", &["-d", "-i", &broken("isoinfo", descriptor + 1)]).1.contains("WEB_SERVER"));
    for (name, at) in [("front", 512 + 40), ("back", good.len() - 512 + 40), ("entries", 1024 + 40)] {
        assert!(!sgdisk_is_content(&broken(name, at)), "{name}");
    }
    assert!(grub_reads(&scratch.write("good", &good), "vmimage/disk.raw", &pattern(1 << 20)));
    assert!(!grub_reads(&broken("file", disk + 5), "vmimage/disk.raw", &pattern(1 << 20)));
}

#[test]
fn a_volume_starts_by_what_it_has() {
    let scratch = Scratch::new();
    for (boot, images) in [
        (Boot { bios: None, esp: Some(esp()) }, &["UEFI"][..]),
        (Boot { bios: Some(bios()), esp: None }, &["BIOS"]),
        (Boot::default(), &[]),
    ] {
        let layout = plan(&volume(), entries(), boot).unwrap();
        let iso = write(&layout, &scratch);
        let (ok, said) = xorriso(&iso, &["-report_el_torito", "plain", "-report_system_area", "plain"]);
        assert!(ok && said.contains("System area summary: MBR protective-msdos-label"), "{said}");
        assert_eq!(said.matches("El Torito boot img").count(), images.len(), "{said}");
        assert!(images.iter().all(|image| said.contains(&format!("1  {image}  y   none"))), "{said}");
        assert!(sgdisk_is_content(&iso));
    }
}

/// Five gigabytes, of which the first and the last bytes are not zero.
#[test]
fn a_file_of_more_than_4_gib_is_one_file() {
    let scratch = Scratch::new();
    let size = (5 << 30) + 1;
    let extents = [Extent::bytes(0, vec![1; 4096]), Extent::bytes(size - 3, vec![2; 3])];
    let content = Contents { size, extents: Box::new(extents) };
    let large = Entry { path: "vmimage/disk.raw".to_owned(), content };
    let layout = plan(&volume(), vec![large, entry("last", pattern(9))], Boot::default()).unwrap();
    let iso = write(&layout, &scratch);
    let (ok, said) =
        xorriso(&iso, &["-find", "/vmimage/disk.raw", "-exec", "report_lba", "--", "-lsl", "/vmimage"]);
    assert!(ok && said.contains(&format!(" {size} ")), "{said}");
    assert_eq!(said.matches("File data lba:").count(), 2, "{said}");
    let end = layout.file("vmimage/disk.raw").unwrap().end;
    assert!(layout.file("last").unwrap().start >= end);
    assert!(grub_reads(&iso, "last", &pattern(9)));
    let skip = (size - 4).to_string();
    let end =
        Command::new("grub-fstest").args(["-s", &skip, &iso, "cat", "(loop0)/vmimage/disk.raw"]).output();
    assert_eq!(end.unwrap().stdout, [0, 2, 2, 2]);
}

#[test]
fn directories_of_many_blocks_are_read() {
    let scratch = Scratch::new();
    let name = |number: usize| format!("folder/{:03}-{}", number, "long name ".repeat(9));
    let many = (0..200).map(|number| entry(&name(number), pattern(number))).collect();
    let layout = plan(&volume(), many, Boot::default()).unwrap();
    let iso = write(&layout, &scratch);
    let listed = isoinfo(&iso);
    assert!((0..200).all(|number| listed.contains(&name(number)["folder/".len()..])), "{listed}");
    let (ok, said) = xorriso(&iso, &["-find", "/folder", "-type", "f"]);
    assert!(ok && said.matches("/folder/").count() == 200, "{said}");
}

#[test]
fn what_cannot_be_written_is_refused_by_its_name() {
    let none = |size| Contents { size, extents: Box::new(Vec::new()) };
    let refused = |path: &str, size, boot| {
        let entries = vec![Entry { path: path.to_owned(), content: none(size) }];
        let error = plan(&volume(), entries, boot).unwrap_err();
        assert_eq!(error.kind(), &Kind::Input);
        error.to_string()
    };
    let text = refused("a/disk.raw", 400 << 30, Boot::default());
    assert_eq!(text, "a/disk.raw: has 429496729600 bytes, and a file of an ISO has at most 429496524800");
    let boot = || Boot { bios: Some(bios()), esp: None };
    assert_eq!(refused("eltorito.img", 1, boot()), "eltorito.img: is there twice");
    let boot = Boot { bios: None, esp: Some(none(0)) };
    assert_eq!(refused("a", 1, boot), "efi.img: is empty, and UEFI starts from what is in it");
    let cut = Bios { cdboot: vec![0; 2047].into(), ..bios() };
    let boot = Boot { bios: Some(cut), esp: None };
    assert_eq!(refused("a", 1, boot), "cdboot.img: is of 2047 bytes, and GRUB's has 2048");
}
