//! Random layouts of random trees: what foreign tools see on the disk is what was planned.

use std::path::Path;
use std::process::Command;

use exporter::disk::{Placed, kinds};
use exporter::report::Part;
use exporter::seed::Seed;
use exporter::spec::{Size, Spec};
use exporter::tree::{Editor, Time, Tree};
use serde_json::Value;

use crate::inputs::{self, MIB};
use crate::layouts::{Disk, said};

/// Numbers that are the same in every run.
struct Numbers {
    seed: Seed,
    drawn: u32,
}

impl Numbers {
    fn new(case: u32) -> Self {
        Self { seed: Seed::new(&case.to_le_bytes()), drawn: 0 }
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.drawn += 1;
        self.seed.serial(&self.drawn.to_string()) % limit
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u32) as usize]
    }
}

/// Partitions that a layout may have besides those that every machine needs.
const FURTHER: [&str; 7] = ["home", "srv", "var", "tmp", "swap", "linux-generic", "linux-generic"];

fn partition(kind: &str, at: u32, numbers: &mut Numbers) -> String {
    let mut keys = vec![format!(r#""type": "{kind}", "label": "{kind:.8}{at}""#)];
    if kind == "linux-generic" {
        let (path, bytes) = (format!("/opt/data{at}"), format!("/opt/raw{at}"));
        keys.push(match numbers.below(5) {
            0 => r#""filesystem": "none""#.to_owned(),
            1 => format!(r#""filesystem": "none", "source": "{bytes}""#),
            2 => format!(r#""filesystem": "vfat", "mount": "{path}""#),
            3 => format!(r#""filesystem": "erofs", "mount": "{path}""#),
            _ => format!(r#""mount": "{path}""#),
        });
    }
    // Which has no least size by itself.
    let how = if kind == "swap" { 0 } else { numbers.below(5) };
    let limit = match how {
        0 => Some(format!(r#""size": "{}M""#, 40 + numbers.below(60))),
        1 => Some(format!(r#""min": "{}M", "weight": 0"#, 8 + numbers.below(60))),
        2 => Some(format!(r#""max": "{}M""#, 50 + numbers.below(60))),
        3 => Some(format!(r#""weight": {}"#, numbers.below(3000))),
        _ => None,
    };
    // The least FAT32 of large sectors is 257 MiB.
    let is_fat = keys.iter().any(|key| key.contains("vfat"));
    keys.extend(limit.filter(|_| !is_fat));
    let is_read_only = numbers.below(4) == 0 && kind != "swap";
    keys.extend(is_read_only.then(|| r#""read-only": true"#.to_owned()));
    keys.extend((numbers.below(4) == 0).then(|| r#""attributes": ["no-auto"]"#.to_owned()));
    format!("{{ {} }}", keys.join(", "))
}

fn spec(numbers: &mut Numbers) -> Spec {
    let further: Vec<_> = (0..).zip(FURTHER).filter(|_| numbers.below(2) == 0).collect();
    let further = further.into_iter().map(|(at, kind)| partition(kind, at, numbers)).collect::<Vec<_>>();
    let preset = numbers.one_of(&["simple", "split-boot", "split-boot-vfat"]);
    let sector_size = numbers.one_of(&["512", "512", "4096"]);
    let layout = format!(
        r#"{{ "preset": "{preset}", "sector-size": {sector_size}, "partitions": [{}] }}"#,
        further.join(", ")
    );
    let layout = serde_json::from_str(&layout).unwrap_or_else(|error| panic!("{layout}: {error}"));
    let size = (numbers.below(2) == 0).then(|| Size(u64::from(2500 + numbers.below(2000)) * MIB));
    Spec { layout, size, ..Spec::default() }
}

fn tree(numbers: &mut Numbers) -> Tree {
    let mut tree = inputs::debian_small();
    let mut editor = Editor::new(&mut tree, Time::default());
    for at in 0..7 {
        editor.write_file(format!("/opt/raw{at}"), vec![at; 1000], 0o644).unwrap();
        editor.mkdir_all(format!("/opt/data{at}")).unwrap();
    }
    for at in 0..numbers.below(200) {
        let folder =
            numbers.one_of(&["/home/ada", "/srv", "/var/lib/db", "/var/tmp", "/opt/data5", "/opt/data6"]);
        let bytes = vec![b'a'; numbers.below(100_000) as usize];
        let file = editor.write_file(format!("{folder}/file{at}"), bytes, 0o640).unwrap();
        editor.meta_mut(file).uid = numbers.below(3000);
    }
    tree
}

/// A disk as a device of this machine, with sectors of this size.
struct Device(String);

impl Device {
    fn new(disk: &Path, sector_size: u32) -> Self {
        let mut losetup = Command::new("losetup");
        losetup.args(["--find", "--show", "--sector-size", &sector_size.to_string()]);
        Self(said(losetup.arg(disk)).trim().to_owned())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        said(Command::new("losetup").args(["--detach", &self.0]));
    }
}

/// What sfdisk tells of a partition: first byte, size, type, GUID, name.
fn told_by_sfdisk(device: &Device, sector_size: u32) -> Vec<(u64, u64, String, String, String)> {
    let table = said(Command::new("sfdisk").args(["--json", &device.0]));
    let table: Value = serde_json::from_str(&table).unwrap();
    let sector = u64::from(sector_size);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let told = table["partitiontable"]["partitions"].as_array().unwrap().iter().map(|partition| {
        let bytes = |key: &str| partition[key].as_u64().unwrap() * sector;
        let [kind, guid, name] = ["type", "uuid", "name"].map(|key| text(&partition[key]));
        (bytes("start"), bytes("size"), kind.to_lowercase(), guid.to_lowercase(), name)
    });
    told.collect()
}

fn planned(placed: &Placed) -> (u64, u64, String, String, String) {
    let Placed { start, size, kind, guid, name, .. } = placed;
    (*start, *size, kind.to_string(), guid.to_string(), name.clone())
}

/// What blkid tells of a file system: its type and its label.
fn told_by_blkid(disk: &Path, placed: &Placed) -> (String, String) {
    let mut blkid = Command::new("blkid");
    blkid.args(["-p", "-o", "export", "-O", &placed.start.to_string(), "-S", &placed.size.to_string()]);
    let told = said(blkid.arg(disk));
    let value = |key: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().to_owned()
    };
    (value("TYPE"), value("LABEL"))
}

fn agrees(case: u32) {
    let numbers = &mut Numbers::new(case);
    let spec = spec(numbers);
    let disk = Disk::of(&spec, tree(numbers));
    let path = disk.path();
    let sector_size = spec.layout.sector_size.bytes();
    let device = Device::new(&path, sector_size);
    let verdict = said(Command::new("sgdisk").args(["-v", &device.0]));
    assert!(verdict.contains("No problems found"), "{case}: {verdict}");
    let expected: Vec<_> = disk.parts.iter().map(|part| planned(&part.placed)).collect();
    assert_eq!(told_by_sfdisk(&device, sector_size), expected, "{case}");
    drop(device);
    for Part { placed, file_system, mount, needed, grows } in &disk.parts {
        assert!(*needed <= placed.size, "{case}: {}", placed.name);
        assert_eq!(*grows, placed.attributes & kinds::GROW_FILE_SYSTEM != 0, "{case}: {}", placed.name);
        let Some(file_system) = file_system else { continue };
        let label = match file_system.name() {
            "vfat" => placed.name.to_uppercase(),
            _ => placed.name.clone(),
        };
        assert_eq!(told_by_blkid(&path, placed), (file_system.name().to_owned(), label), "{case}");
        assert!(disk.is_whole(placed, *file_system), "{case}: {} on {mount:?}", placed.name);
    }
}

#[test]
fn foreign_tools_see_what_was_planned() {
    (0..8).for_each(agrees);
}

#[test]
#[ignore = "long: make matrix"]
fn foreign_tools_see_what_was_planned_of_many_layouts() {
    (8..208).for_each(agrees);
}
