//! Layouts that no profile has: what is mounted, started and grown goes by the list, and foreign tools see what it says.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use exporter::assemble::{Planned, plan};
use exporter::container::{Compression, Format, Target, write};
use exporter::disk::Placed;
use exporter::engine::Run;
use exporter::spec::{Firmware, Init, Layout, Service, Size, Spec};
use exporter::tree::{Editor, Time, Tree};
use tempfile::TempDir;

use crate::inputs::{self, MIB, input};

/// The ESP first, the root in the middle with a third of the room, and behind it what grows at boot.
const SECOND: &str = r#"{ "sector-size": SECTOR, "partitions": [
    { "label": "esp", "type": "esp", "content": "esp", "mount": "/boot/efi", "min": "40M" },
    { "label": "bios", "type": "bios-boot", "content": "bios-core", "min": "1M" },
    { "label": "root", "type": "root-x86-64", "content": "root", "mount": "/", "weight": 1 },
    { "label": "note", "type": "linux-generic", "content": { "file": "/srv/note" } },
    { "label": "log", "type": "linux-generic", "content": { "subtree": "/srv/log" }, "mount": "/srv/log", "min": "16M" },
    { "label": "srv", "type": "srv", "content": { "subtree": "/srv" }, "mount": "/srv", "options": "nodev",
      "weight": 2, "grow": true }
] }"#;

fn second(sector_size: u32) -> Spec {
    let layout = SECOND.replace("SECTOR", &sector_size.to_string());
    let layout: Layout = serde_json::from_str(&layout).unwrap();
    Spec { layout: Some(layout), formats: vec![Format::Raw], size: Some(Size(600 * MIB)), ..Spec::default() }
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
struct Disk {
    scratch: TempDir,
    partitions: Vec<Placed>,
    edits: Vec<String>,
}

impl Disk {
    fn new(spec: &Spec) -> Self {
        let scratch = TempDir::new().unwrap();
        let planned = plan(spec, input(tree())).unwrap();
        let Planned { layout, id, appliance, system } = planned;
        let target = Target {
            path: scratch.path().join("disk"),
            format: Format::Raw,
            compression: Compression::None,
            id,
            appliance,
            sparse: false,
        };
        write(layout.image(), &[target], &Run::silent(NonZeroUsize::MIN)).unwrap();
        Self { scratch, partitions: layout.partitions, edits: system.unwrap().edits }
    }

    fn path(&self) -> PathBuf {
        self.scratch.path().join("disk")
    }

    fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        File::open(self.path()).unwrap().read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    fn partition(&self, name: &str) -> &Placed {
        self.partitions.iter().find(|placed| placed.name == name).unwrap()
    }

    /// A partition as a file of its own.
    fn volume(&self, name: &str) -> PathBuf {
        let placed = self.partition(name);
        let path = self.scratch.path().join(name);
        std::fs::write(&path, self.read(placed.start, placed.size as usize)).unwrap();
        path
    }

    fn debugfs(&self, name: &str, request: &str) -> String {
        said(Command::new("debugfs").args(["-R", request]).arg(self.volume(name)))
    }
}

#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn is_whole(volume: &Path) -> bool {
    let checker = if volume.ends_with("esp") { ["fsck.fat", "-n"] } else { ["e2fsck", "-fn"] };
    Command::new(checker[0]).arg(checker[1]).arg(volume).output().unwrap().status.success()
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
        for name in ["esp", "root", "log", "srv"] {
            assert!(is_whole(&disk.volume(name)), "{name} in sectors of {sector_size}");
        }
        assert!(disk.read(disk.partition("note").start, 100).starts_with(b"the bytes of a partition\0"));
    }
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
    let error = plan(&bios, input(tree())).unwrap_err().to_string();
    assert_eq!(error, "firmware: a BIOS starts from no disk with sectors of 4096 bytes");
}

#[test]
fn what_is_not_there_or_would_not_be_mounted_is_an_error() {
    let error = |tree: Tree, spec: &Spec| plan(spec, input(tree)).unwrap_err().to_string();
    let bare = error(inputs::debian_small(), &second(512));
    assert_eq!(bare, "/srv/note: is no regular file, and a partition is to have its bytes");
    let ours = Spec { init: Init::Vmimage, service: Service::Off, ..second(512) };
    assert_eq!(
        error(tree(), &ours),
        "/srv: is a partition of its own, which vmimage's own init would not mount"
    );
    let small = Spec { size: Some(Size(64 * MIB)), ..second(512) };
    assert!(error(tree(), &small).contains("64 MiB are asked for, but the content needs"));
}

/// The checkers above must be able to say no.
#[test]
fn a_damaged_volume_is_seen() {
    let disk = Disk::new(&second(512));
    for (name, offset) in [("esp", 14), ("srv", 1024 + 0x28)] {
        let volume = disk.volume(name);
        File::options().write(true).open(&volume).unwrap().write_all_at(&[0xee], offset).unwrap();
        assert!(!is_whole(&volume), "{name}");
    }
}
