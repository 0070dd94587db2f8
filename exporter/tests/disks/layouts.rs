//! Layouts that no profile has: what is mounted, started and grown goes by the list, and foreign tools see what it says.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use exporter::assemble::{Input, Planned, plan};
use exporter::boot;
use exporter::clone;
use exporter::container::{self, Compression, Format, write};
use exporter::disk::Placed;
use exporter::engine::Run;
use exporter::error::Kind;
use exporter::fs::{DiskBudget, FileSystem};
use exporter::report::Part;
use exporter::seed::Seed;
use exporter::spec::{Firmware, Init, Layout, Service, Size, Spec};
use exporter::tree::{Editor, Time, Tree};
use tempfile::TempDir;

use crate::inputs::{self, MIB, input};

/// The ESP first, the root in the middle with a third of the room, and behind it what grows at boot.
const SECOND: &str = r#"{ "sector-size": SECTOR, "partitions": [
    { "type": "esp", "min": "40M", "options": "" },
    { "type": "bios-boot" },
    { "type": "root", "options": "", "weight": 1 },
    { "type": "linux-generic", "label": "note", "filesystem": "none", "source": "/srv/note", "weight": 0 },
    { "type": "linux-generic", "label": "log", "mount": "/srv/log", "min": "16M", "weight": 0 },
    { "type": "srv", "options": "nodev", "weight": 2, "grow": true }
] }"#;

fn second(sector_size: u32) -> Spec {
    let layout = SECOND.replace("SECTOR", &sector_size.to_string());
    let layout: Layout = serde_json::from_str(&layout).unwrap();
    Spec { layout, formats: vec![Format::Raw], size: Some(Size(600 * MIB)), ..Spec::default() }
}

fn tree() -> Tree {
    let mut tree = inputs::debian_small();
    let mut editor = Editor::new(&mut tree, Time::default());
    editor.write_file("/srv/www/index.html", *b"hello", 0o644).unwrap();
    editor.write_file("/srv/note", *b"the bytes of a partition", 0o644).unwrap();
    let log = editor.write_file("/srv/log/today", *b"nothing", 0o640).unwrap();
    let srv = editor.mkdir_all("/srv").unwrap();
    tree.inode_mut(srv).meta.uid = 33;
    tree.inode_mut(log).meta.uid = 34;
    tree
}

/// A disk file, and where its partitions lie.
pub(crate) struct Disk {
    scratch: TempDir,
    pub(crate) parts: Vec<Part>,
    partitions: Vec<Placed>,
    pub(crate) edits: Vec<String>,
}

/// All that a disk is made from, with a boot loader that was made for its layout.
pub(crate) fn started(spec: &Spec, tree: Tree) -> Input {
    let mut input = input(tree);
    if let Some(bios) = input.boot.as_mut().and_then(|boot| boot.bios.as_mut()) {
        bios.modules = boot::core_modules(spec).into_iter().map(str::to_owned).collect();
    }
    input
}

fn refusal(spec: &Spec, tree: Tree) -> String {
    plan(spec, input(tree), &Run::silent(NonZeroUsize::MIN)).unwrap_err().to_string()
}

impl Disk {
    fn new(spec: &Spec) -> Self {
        Self::of(spec, tree())
    }

    /// With a boot loader for it.
    pub(crate) fn of(spec: &Spec, tree: Tree) -> Self {
        Self::with(spec, started(spec, tree))
    }

    /// With all that it is made from.
    pub(crate) fn with(spec: &Spec, input: Input) -> Self {
        let scratch = TempDir::new().unwrap();
        let planned = plan(spec, input, &Run::silent(NonZeroUsize::MIN)).unwrap();
        let target = planned.target(scratch.path().join("disk"), Format::Raw, Compression::None);
        write(planned.image(), &[target], &Run::silent(NonZeroUsize::MIN)).unwrap();
        let Planned { layout, system, partitions: parts, .. } = planned;
        Self {
            scratch,
            parts,
            partitions: layout.partitions,
            edits: system.map(|system| system.edits).unwrap_or_default(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.scratch.path().join("disk")
    }

    fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        File::open(self.path()).unwrap().read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    pub(crate) fn partition(&self, name: &str) -> &Placed {
        self.partitions.iter().find(|placed| placed.name == name).unwrap()
    }

    /// A partition as a file of its own, with holes for zeroes.
    pub(crate) fn volume(&self, placed: &Placed) -> PathBuf {
        let path = self.scratch.path().join(&placed.name);
        let volume = File::create(&path).unwrap();
        volume.set_len(placed.size).unwrap();
        for offset in (0..placed.size).step_by(MIB as usize) {
            let bytes = self.read(placed.start + offset, MIB as usize);
            if bytes.iter().any(|byte| *byte != 0) {
                volume.write_all_at(&bytes, offset).unwrap();
            }
        }
        path
    }

    /// What e2fsprogs take for a partition of a disk.
    fn at(&self, placed: &Placed) -> String {
        format!("{}?offset={}", self.path().display(), placed.start)
    }

    pub(crate) fn debugfs(&self, name: &str, request: &str) -> String {
        said(Command::new("debugfs").args(["-R", request]).arg(self.at(self.partition(name))))
    }

    /// Whether the checker of a file system finds nothing wrong.
    pub(crate) fn is_whole(&self, placed: &Placed, file_system: FileSystem) -> bool {
        let mut checker = match file_system {
            FileSystem::Vfat => Command::new("fsck.fat"),
            FileSystem::Ext4 => Command::new("e2fsck"),
            FileSystem::Erofs => Command::new("fsck.erofs"),
            FileSystem::Swap => Command::new("swaplabel"),
            FileSystem::Xfs => Command::new("xfs_repair"),
            FileSystem::Btrfs => Command::new("btrfsck"),
            FileSystem::Squashfs => Command::new("unsquashfs"),
        };
        match file_system {
            FileSystem::Vfat => checker.arg("-n").arg(self.volume(placed)),
            FileSystem::Ext4 => checker.arg("-fn").arg(self.at(placed)),
            FileSystem::Erofs | FileSystem::Swap | FileSystem::Btrfs => checker.arg(self.volume(placed)),
            FileSystem::Xfs => checker.arg("-n").arg(self.volume(placed)),
            FileSystem::Squashfs => checker.arg("-s").arg(self.volume(placed)),
        };
        checker.output().unwrap().status.success()
    }
}

#[track_caller]
pub(crate) fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_second_layout_is_what_the_list_says() {
    for sector_size in [512, 4096] {
        let disk = Disk::new(&second(sector_size));
        let names: Vec<_> = disk.partitions.iter().map(|placed| &*placed.name).collect();
        assert_eq!(names, ["esp", "bios", "root", "note", "log", "srv"]);
        let size = |name| disk.partition(name).size / MIB;
        assert!(size("srv").abs_diff(2 * size("root")) <= 2, "{} and {}", size("root"), size("srv"));
        assert_eq!((size("bios"), size("note"), size("log")), (1, 1, 16));
        // FAT32 of large sectors is large.
        assert_eq!(size("esp") > 200, sector_size == 4096);
        assert_eq!(disk.partition("srv").end(), 599 * MIB);
        let grows: Vec<_> = disk.partitions.iter().filter(|placed| placed.attributes != 0).collect();
        assert_eq!(grows, [disk.partition("srv")]);
        for part in &disk.parts {
            let Part { placed, file_system: Some(file_system), .. } = part else { continue };
            assert!(disk.is_whole(placed, *file_system), "{part:?}");
        }
        let has_files = disk.parts.iter().filter(|part| part.file_system.is_some());
        assert_eq!(
            has_files.map(|part| &*part.placed.name).collect::<Vec<_>>(),
            ["esp", "root", "log", "srv"]
        );
        assert!(disk.read(disk.partition("note").start, 100).starts_with(b"the bytes of a partition\0"));
    }
}

/// The disk is as large as all of them need with a quarter more, and no share, however small, is less than that.
#[test]
fn what_shares_the_disk_has_room_in_it() {
    let mut spec = Spec { size: None, ..second(512) };
    let srv = spec.layout.partitions.last_mut().unwrap();
    srv.weight = Some(1_000_000);
    let has_room = |disk: &Disk| {
        let root = disk.parts.iter().find(|part| part.placed.name == "root").unwrap();
        root.placed.size >= root.needed + root.needed / 4
    };
    let disk = Disk::new(&spec);
    assert!(has_room(&disk), "{:?}", disk.parts);
    let least = |part: &Part| match &*part.placed.name {
        "root" | "srv" => part.needed.div_ceil(MIB),
        _ => part.placed.size / MIB,
    };
    let least: u64 = disk.parts.iter().map(least).sum();
    let tight = Spec { size: Some(Size((least + 2) * MIB)), ..spec };
    assert!(!has_room(&Disk::new(&tight)));
}

#[test]
fn every_partition_has_its_part_of_the_tree() {
    let disk = Disk::new(&second(512));
    assert!(disk.debugfs("srv", "cat /www/index.html").ends_with("hello"));
    assert!(disk.debugfs("log", "cat /today").ends_with("nothing"));
    for (name, path, owner) in [("root", "/srv", 33), ("srv", "/", 33), ("log", "/today", 34)] {
        let stat = disk.debugfs(name, &format!("stat {path}"));
        assert!(stat.contains(&format!("User: {owner:>5}")), "{name} {path}: {stat}");
    }
    let empty = |name, path| {
        let names = disk.debugfs(name, &format!("ls -p {path}"));
        names.lines().filter(|line| !line.trim().is_empty()).count() == 2
    };
    assert!(empty("root", "/srv") && empty("srv", "/log") && !empty("srv", "/www"));
    let fstab = disk.debugfs("root", "cat /etc/fstab");
    let mounts: Vec<Vec<_>> = fstab.lines().take(4).map(|line| line.split(' ').skip(1).collect()).collect();
    let expected = [
        "/ ext4 noatime 0 1",
        "/boot/efi vfat defaults 0 0",
        "/srv ext4 nodev 0 2",
        "/srv/log ext4 defaults 0 2",
    ];
    assert_eq!(mounts, expected.map(|line| line.split(' ').collect::<Vec<_>>()));
    assert!(disk.edits.iter().any(|edit| edit.ends_with("/srv grows with the disk")), "{:?}", disk.edits);
}

/// The BIOS finds GRUB wherever its partition lies; from sectors of 4096 bytes no BIOS starts.
#[test]
fn the_boot_code_names_the_place_of_its_core() {
    let place = |disk: &Disk| u64::from_le_bytes(disk.read(0x5c, 8).try_into().unwrap());
    let disk = Disk::new(&second(512));
    assert_eq!(place(&disk), disk.partition("bios").first_lba(512));
    let disk = Disk::new(&second(4096));
    assert_eq!(disk.read(0, 440), [0; 440]);
    let bios = Spec { firmware: Firmware::Bios, ..second(4096) };
    let error = refusal(&bios, tree());
    assert_eq!(error, "layout: a BIOS starts from no disk with sectors of 4096 bytes");
}

#[test]
fn what_is_not_there_or_would_not_be_mounted_is_an_error() {
    let error = |tree: Tree, spec: &Spec| refusal(spec, tree);
    let bare = error(inputs::debian_small(), &second(512));
    assert_eq!(bare, "/srv/note: is no regular file, and a partition is to have its bytes");
    let ours = Spec { init: Init::Vmimage, service: Service::Off, ..second(512) };
    assert_eq!(
        error(tree(), &ours),
        "/srv: is a partition of its own, which vmimage's own init would not mount"
    );
    for source in ["/missing", "/srv/note/x", "/etc/passwd"] {
        let layout = r#"{ "preset": "simple", "partitions": [{ "type": "srv", "source": "SOURCE" }] }"#;
        let missing = error(tree(), &server(&layout.replace("SOURCE", source), 4 << 30));
        assert!(missing.starts_with(&format!("{source}: ")), "{missing}");
    }
    let small = Spec { size: Some(Size(64 * MIB)), ..second(512) };
    assert!(error(tree(), &small).contains("64 MiB are asked for, but the content needs"));
}

/// The example of docs/layouts.md, with what each partition has.
const SERVER: &str = r#"{ "partitions": [
    { "type": "esp", "size": "256M" },
    { "type": "xbootldr", "mount": "/boot", "filesystem": "ext4", "size": "512M" },
    { "type": "root", "min": "2G" },
    { "type": "srv", "mount": "/srv", "filesystem": "ext4", "grow": true }
] }"#;

fn server(layout: &str, size: u64) -> Spec {
    Spec { layout: serde_json::from_str(layout).unwrap(), size: Some(Size(size)), ..Spec::default() }
}

#[test]
fn a_boot_partition_has_kernel_and_menu_and_the_root_has_none_of_them() {
    let disk = Disk::new(&server(SERVER, 8 << 30));
    let sizes: Vec<_> = disk.partitions.iter().map(|placed| (&*placed.name, placed.size / MIB)).collect();
    let rest = (8 << 10) - 2 - 1 - 256 - 512;
    let half = rest / 2;
    assert_eq!(sizes, [("bios", 1), ("esp", 256), ("boot", 512), ("root", half), ("srv", rest - half)]);
    let menu = disk.debugfs("boot", "cat /grub/grub.cfg");
    assert!(menu.contains("\tlinux /vmlinuz root=UUID="), "{menu}");
    let names = |name, path| disk.debugfs(name, &format!("ls -p {path}"));
    assert!(names("boot", "/").contains("/vmlinuz/") && names("boot", "/").contains("/efi/"));
    assert_eq!(names("root", "/boot").lines().filter(|line| !line.trim().is_empty()).count(), 2);
    let fstab = disk.debugfs("root", "cat /etc/fstab");
    let points: Vec<_> = fstab.lines().take(4).map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(points, ["/", "/boot", "/boot/efi", "/srv"]);
    let esp = format!("{}@@{}", disk.path().display(), disk.partition("esp").start);
    let stub = said(Command::new("mtype").args(["-i", &esp, "::/EFI/debian/grub.cfg"]));
    assert!(stub.contains("set prefix=($root)'/grub'"), "{stub}");
    let boot = fstab.lines().nth(1).unwrap().split(' ').next().unwrap().trim_start_matches("UUID=");
    assert!(stub.contains(&format!("search.fs_uuid {boot} root $disk")), "{stub}");
}

/// For BIOSes that start nothing else, and UEFI finds the ESP by its type.
const MBR: &str =
    r#"{ "table": "mbr", "preset": "split-boot", "partitions": [{ "type": "srv", "grow": true }] }"#;

#[test]
fn an_mbr_has_grub_in_front_of_its_partitions() {
    let spec = server(MBR, 4 << 30);
    let core = input(tree()).boot.unwrap().bios.unwrap().core;
    let refused = plan(&spec, input(tree()), &Run::silent(NonZeroUsize::MIN)).unwrap_err().to_string();
    assert_eq!(refused, "core.img: was made for another layout: it lacks GRUB's module part_msdos");
    let disk = Disk::new(&spec);
    let kinds: Vec<_> = disk.parts.iter().map(|part| part.placed.kind.to_string()).collect();
    assert_eq!(kinds, ["0xef", "0xea", "0x83", "0x83"]);
    assert_eq!(disk.read(0x5c, 8), 1_u64.to_le_bytes());
    let in_gap = disk.read(512, core.len());
    assert_eq!(in_gap[512..], core[512..]);
    assert_eq!(in_gap[0x1f4..0x1fc], 2_u64.to_le_bytes());
    let parts = &disk.parts;
    assert_eq!(parts[3].grows_to, Some((2 << 40) - parts[3].placed.start));
    let listed = said(Command::new("fdisk").args(["-l", "-o", "Device,Boot,Type"]).arg(disk.path()));
    let active: Vec<_> = listed.lines().filter(|line| line.starts_with('/') && line.contains('*')).collect();
    assert!(active.len() == 1 && active[0].contains("disk2"), "{listed}");
    let (_, opened) = container::open(&disk.path()).unwrap();
    let copy = clone::plan(opened, &Seed::new(b"copy"), &DiskBudget::new(1 << 30)).unwrap();
    let signature = |id: &str| id.split('-').next().unwrap().to_owned();
    let old = signature(&parts[0].placed.id.to_string());
    assert!(copy.notes.iter().any(|note| note.starts_with(&format!("disk: {old} -> "))), "{:?}", copy.notes);
}

const SWAP: &str = r#"{ "preset": "simple", "partitions": [{ "type": "swap", "size": "64M" }] }"#;

#[test]
fn a_swap_partition_lies_in_front_of_the_root_and_is_used() {
    let disk = Disk::new(&server(SWAP, 600 * MIB));
    let names: Vec<_> = disk.parts.iter().map(|part| (&*part.placed.name, part.placed.size / MIB)).collect();
    assert_eq!(names, [("bios", 1), ("esp", 64), ("swap", 64), ("root", 469)]);
    let swap = &disk.parts[2];
    assert!(disk.is_whole(&swap.placed, FileSystem::Swap) && swap.mount.is_none());
    let fstab = disk.debugfs("root", "cat /etc/fstab");
    assert!(fstab.lines().any(|line| line.ends_with(" none swap sw 0 0")), "{fstab}");
    let menu = disk.debugfs("root", "cat /boot/grub/grub.cfg");
    assert!(menu.contains(" noresume"), "{menu}");
}

#[test]
fn a_copy_of_a_disk_starts_from_its_own_boot_partition() {
    let disk = Disk::new(&server(SERVER, 4 << 30));
    let (_, opened) = container::open(&disk.path()).unwrap();
    let copy = clone::plan(opened, &Seed::new(b"copy"), &DiskBudget::new(1 << 30)).unwrap();
    for (partition, file) in [(2, "/EFI/debian/grub.cfg"), (3, "/grub/grub.cfg"), (4, "/etc/fstab")] {
        let expected = format!("partition {partition}: {file}: names the new ones");
        assert!(copy.notes.contains(&expected), "{expected}: {:?}", copy.notes);
    }
}

#[test]
fn one_byte_too_little_is_an_error_that_says_so() {
    let run = Run::silent(NonZeroUsize::MIN);
    let plan = |layout: &str, size| plan(&server(layout, size), input(tree()), &run);
    let error = |layout: &str, size| plan(layout, size).unwrap_err();
    let needed = plan(SERVER, 8 << 30).unwrap().partitions[4].needed;
    let max = |max: u64| SERVER.replace(r#""grow": true"#, &format!(r#""max": "{max}""#));
    assert!(plan(&max(needed), 8 << 30).is_ok());
    let said = error(&max(needed - 1), 8 << 30).to_string();
    assert!(said.starts_with("srv: its content needs ") && said.ends_with(": 1 bytes too few"), "{said}");
    let whole = |units: u64| units.div_ceil(MIB) * MIB;
    let least = (2 + 1 + 256 + 512 + 2048) * MIB + whole(needed);
    assert!(plan(SERVER, least).is_ok());
    let said = error(SERVER, least - MIB).to_string();
    assert!(said.ends_with(", 1048576 bytes more"), "{said}");
}

/// What a file system needs by itself, whatever is in it.
#[test]
fn a_partition_too_small_for_its_file_system_is_named_with_what_it_needs() {
    for (partition, needs) in [
        (r#"{ "type": "esp", "size": "32M" }"#, 33 * MIB),
        (r#"{ "type": "linux-generic", "size": "32M", "filesystem": "vfat", "mount": "/data" }"#, 33 * MIB),
        (r#"{ "type": "home", "size": "64K" }"#, 5 * MIB),
        (r#"{ "type": "swap", "size": "32K" }"#, 40 << 10),
    ] {
        let layout = format!(r#"{{ "preset": "simple", "partitions": [{partition}] }}"#);
        let mut tree = tree();
        Editor::new(&mut tree, Time::default()).mkdir_all("/data").unwrap();
        let error =
            plan(&server(&layout, 4 << 30), input(tree), &Run::silent(NonZeroUsize::MIN)).unwrap_err();
        let Kind::NoSpace { needed, .. } = *error.kind() else { panic!("{error}") };
        assert!(needed <= needs && needed > needs / 4 * 3, "{partition}: {needed}");
        assert!(error.to_string().contains(&needed.to_string()) && error.hint().is_some(), "{error}");
    }
}

/// The checkers above must be able to say no.
#[test]
fn a_damaged_volume_is_seen() {
    let disk = Disk::new(&server(SWAP, 600 * MIB));
    for (name, file_system, offset) in [
        ("esp", FileSystem::Vfat, 14),
        ("root", FileSystem::Ext4, 1024 + 0x28),
        ("swap", FileSystem::Swap, 4086),
    ] {
        let placed = disk.partition(name);
        let file = File::options().write(true).open(disk.path()).unwrap();
        file.write_all_at(&[0xee], placed.start + offset).unwrap();
        assert!(!disk.is_whole(placed, file_system), "{name}");
    }
}
