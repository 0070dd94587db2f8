//! Random layouts of random trees: what foreign tools see on the disk is what was planned.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use exporter::disk::{PartitionKind, Placed, TableKind, kinds};
use exporter::fs::FileSystem;
use exporter::report::Part;
use exporter::seed::Seed;
use exporter::spec::{Size, Spec};
use exporter::tree::{Editor, Time, Tree};
use serde_json::Value;
use tempfile::TempDir;

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

fn partition(kind: &str, at: u32, table: TableKind, numbers: &mut Numbers) -> String {
    let is_gpt = table == TableKind::Gpt;
    let mut keys = vec![format!(r#""type": "{kind}", "label": "{kind:.8}{at}""#)];
    if kind == "linux-generic" {
        let (path, bytes) = (format!("/opt/data{at}"), format!("/opt/raw{at}"));
        // An MBR has no label for what has no file system.
        let first = if is_gpt { 0 } else { 2 };
        keys.push(match first + numbers.below(5 - first) {
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
    let has_attributes = numbers.below(4) == 0 && is_gpt;
    keys.extend(has_attributes.then(|| r#""attributes": ["no-auto"]"#.to_owned()));
    format!("{{ {} }}", keys.join(", "))
}

fn spec(numbers: &mut Numbers) -> Spec {
    let (table, sector_size) = match numbers.below(4) {
        0 => (TableKind::Mbr, "512"),
        1 => (TableKind::Gpt, "4096"),
        _ => (TableKind::Gpt, "512"),
    };
    let presets = ["simple", "split-boot", "split-boot-vfat", "ab"];
    // Slots are found by what an MBR has not.
    let presets = if table == TableKind::Mbr { &presets[..3] } else { &presets[..] };
    let preset = numbers.one_of(presets);
    // Of the four of an MBR the preset has two or three.
    let most = match (table, preset) {
        (TableKind::Gpt, _) => FURTHER.len(),
        (TableKind::Mbr, "simple") => 2,
        (TableKind::Mbr, _) => 1,
    };
    let mut further: Vec<_> = (0..).zip(FURTHER).filter(|_| numbers.below(2) == 0).collect();
    while further.len() > most {
        further.remove(numbers.below(further.len() as u32) as usize);
    }
    let further: Vec<_> = further.into_iter().map(|(at, kind)| partition(kind, at, table, numbers)).collect();
    let layout = format!(
        r#"{{ "preset": "{preset}", "table": "{}", "sector-size": {sector_size}, "partitions": [{}] }}"#,
        table.name(),
        further.join(", ")
    );
    let layout = serde_json::from_str(&layout).unwrap_or_else(|error| panic!("{layout}: {error}"));
    let size = (numbers.below(2) == 0).then(|| Size(u64::from(2500 + numbers.below(2000)) * MIB));
    Spec { layout, size, ..Spec::default() }
}

/// A file of the image, whose bytes are all the same.
struct Drawn {
    path: String,
    len: usize,
    uid: u32,
}

const FOLDERS: [&str; 7] =
    ["/home/ada", "/srv", "/srv/deep/er", "/var/lib/db", "/var/tmp", "/opt/data5", "/opt/data6"];

fn files(numbers: &mut Numbers) -> Vec<Drawn> {
    let count = numbers.below(200);
    let file = |at| Drawn {
        path: format!("{}/file{at}", numbers.one_of(&FOLDERS)),
        len: numbers.below(100_000) as usize,
        uid: numbers.below(3000),
    };
    (0..count).map(file).collect()
}

fn tree(files: &[Drawn]) -> Tree {
    let mut tree = inputs::debian_small();
    let mut editor = Editor::new(&mut tree, Time::default());
    for at in 0..7 {
        editor.write_file(format!("/opt/raw{at}"), vec![at; 1000], 0o644).unwrap();
        editor.mkdir_all(format!("/opt/data{at}")).unwrap();
    }
    for Drawn { path, len, uid } in files {
        let file = editor.write_file(path, vec![b'a'; *len], 0o640).unwrap();
        editor.meta_mut(file).uid = *uid;
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

/// What foreign tools tell of a partition: first byte, size, type, identity, name.
type Told = (u64, u64, String, String, String);

fn told_by_sfdisk(device: &Device, sector_size: u32) -> Vec<Told> {
    let table = said(Command::new("sfdisk").args(["--json", &device.0]));
    let table: Value = serde_json::from_str(&table).unwrap();
    let sector = u64::from(sector_size);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = table["partitiontable"]["partitions"].as_array().unwrap().iter().map(|partition| {
        let bytes = |key: &str| partition[key].as_u64().unwrap() * sector;
        let [kind, guid, name] = ["type", "uuid", "name"].map(|key| text(&partition[key]));
        (bytes("start"), bytes("size"), kind.to_lowercase(), guid.to_lowercase(), name)
    });
    told.collect()
}

/// The identities of partitions, as Linux has them.
fn told_by_partx(device: &Device) -> Vec<String> {
    let mut partx = Command::new("partx");
    let told = said(partx.args(["--show", "--noheadings", "--output", "UUID", &device.0]));
    told.lines().map(|line| line.trim().to_owned()).collect()
}

/// The same as sfdisk shows them: types of an MBR as bare digits, and neither identities nor names.
fn planned(placed: &Placed) -> Told {
    let Placed { start, size, kind, id, name, .. } = placed;
    match kind {
        PartitionKind::Guid(guid) => (*start, *size, guid.to_string(), id.to_string(), name.clone()),
        PartitionKind::Byte(byte) => (*start, *size, format!("{byte:x}"), String::new(), String::new()),
    }
}

/// Whether systemd-repart finds the partitions that it is told of, and nothing to do.
fn repart_agrees(disk: &Path, parts: &[Part]) -> bool {
    let definitions = TempDir::new().unwrap();
    for Placed { number, size, kind, id, name, .. } in parts.iter().map(|part| &part.placed) {
        let text = format!(
            "[Partition]\nType={kind}\nLabel={name}\nUUID={id}\nSizeMinBytes={size}\nSizeMaxBytes={size}\n"
        );
        std::fs::write(definitions.path().join(format!("{number:03}.conf")), text).unwrap();
    }
    let mut repart = Command::new("systemd-repart");
    repart.args(["--dry-run=yes", "--json=short", "--definitions"]).arg(definitions.path()).arg(disk);
    let output = repart.output().unwrap();
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let plan = plan.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_found = |(part, planned): (&Part, &Value)| {
        let Placed { start, size, .. } = part.placed;
        planned["activity"] == "unchanged" && planned["offset"] == start && planned["raw_size"] == size
    };
    output.status.success() && plan.len() == parts.len() && parts.iter().zip(plan).all(is_found)
}

/// The file systems of a disk where its machine has them, mounted by the kernel of this one, which knows no FAT.
struct Mounted {
    root: TempDir,
    points: Vec<PathBuf>,
}

impl Mounted {
    fn new(disk: &Path, parts: &[Part]) -> Self {
        let mut mounts: Vec<_> = parts.iter().filter_map(|part| Some((part.mount.as_ref()?, part))).collect();
        mounts.sort_by_key(|(mount, _)| *mount);
        let mut mounted = Self { root: TempDir::new().unwrap(), points: Vec::new() };
        for (mount, Part { placed, file_system, .. }) in mounts {
            let name = file_system.unwrap().name();
            if name != "vfat" {
                let options = format!("ro,loop,offset={},sizelimit={}", placed.start, placed.size);
                let point = mounted.root.path().join(mount.trim_start_matches('/'));
                said(Command::new("mount").args(["-t", name, "-o", &options]).arg(disk).arg(&point));
                mounted.points.push(point);
            }
        }
        mounted
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for point in self.points.iter().rev() {
            said(Command::new("umount").arg(point));
        }
    }
}

/// Every file is on the partition that it belongs to, with its owner and all of its bytes.
fn assert_has_files(case: u32, disk: &Path, parts: &[Part], files: &[Drawn]) {
    let mounted = Mounted::new(disk, parts);
    for Drawn { path, len, uid } in files {
        let expected = vec![b'a'; *len];
        let is_above = |mount: &str| mount == "/" || path.starts_with(&format!("{mount}/"));
        let above = parts.iter().filter(|part| part.mount.as_deref().is_some_and(is_above));
        let on = above.max_by_key(|part| part.mount.as_ref().unwrap().len()).unwrap();
        if on.file_system == Some(FileSystem::Vfat) {
            let image = format!("{}@@{}", disk.display(), on.placed.start);
            let file = path.strip_prefix(on.mount.as_deref().unwrap()).unwrap();
            let bytes = Command::new("mtype").args(["-i", &image, &format!("::{file}")]).output().unwrap();
            assert!(bytes.stdout == expected, "{case}: {path} on {}", on.placed.name);
        } else {
            let file = mounted.root.path().join(path.trim_start_matches('/'));
            assert!(std::fs::read(&file).unwrap() == expected, "{case}: {path} on {}", on.placed.name);
            assert_eq!(file.metadata().unwrap().uid(), *uid, "{case}: {path} on {}", on.placed.name);
        }
    }
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
    let (spec, files) = (spec(numbers), files(numbers));
    let disk = Disk::of(&spec, tree(&files));
    let path = disk.path();
    let sector_size = spec.layout.sector_size.bytes();
    let device = Device::new(&path, sector_size);
    if spec.layout.table == TableKind::Gpt {
        let verdict = said(Command::new("sgdisk").args(["-v", &device.0]));
        assert!(verdict.contains("No problems found"), "{case}: {verdict}");
        // Systemd before 254 knows no other sectors.
        assert!(sector_size != 512 || repart_agrees(&path, &disk.parts), "{case}");
    }
    said(Command::new("sfdisk").args(["--verify", &device.0]));
    let expected: Vec<_> = disk.parts.iter().map(|part| planned(&part.placed)).collect();
    assert_eq!(told_by_sfdisk(&device, sector_size), expected, "{case}");
    let expected: Vec<_> = disk.parts.iter().map(|part| part.placed.id.to_string()).collect();
    assert_eq!(told_by_partx(&device), expected, "{case}");
    drop(device);
    assert_has_files(case, &path, &disk.parts, &files);
    for Part { placed, file_system, mount, needed, grows_to, .. } in &disk.parts {
        assert!(*needed <= placed.size, "{case}: {}", placed.name);
        assert_eq!(
            grows_to.is_some(),
            placed.attributes & kinds::GROW_FILE_SYSTEM != 0,
            "{case}: {}",
            placed.name
        );
        let Some(file_system) = file_system else { continue };
        let label = match (file_system.name(), &*placed.name) {
            ("vfat", name) => name.to_uppercase(),
            // A root may be copied into the other slot.
            (_, "root-a") => "root".to_owned(),
            (_, name) => name.to_owned(),
        };
        assert_eq!(told_by_blkid(&path, placed), (file_system.name().to_owned(), label), "{case}");
        assert!(disk.is_whole(placed, *file_system), "{case}: {} on {mount:?}", placed.name);
    }
}

/// The judges above must be able to say no.
#[test]
fn other_partitions_than_planned_are_seen() {
    let files = [Drawn { path: "/srv/file".to_owned(), len: 10, uid: 7 }];
    let layout = serde_json::from_str(
        r#"{ "partitions": [{ "type": "esp" }, { "type": "root" }, { "type": "srv" }] }"#,
    );
    let disk = Disk::of(&Spec { layout: layout.unwrap(), ..Spec::default() }, tree(&files));
    let path = disk.path();
    assert!(repart_agrees(&path, &disk.parts));
    assert_has_files(0, &path, &disk.parts, &files);
    let mut others = disk.parts.clone();
    others.last_mut().unwrap().placed.size += MIB;
    assert!(!repart_agrees(&path, &others), "one is smaller than it should be");
    let mut others = disk.parts.clone();
    others.push(others[3].clone());
    assert!(!repart_agrees(&path, &others), "one is missing");
    let fewer = Mounted::new(&path, &disk.parts[..3]);
    assert!(!fewer.root.path().join("srv/file").exists(), "it is not on the root");
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
