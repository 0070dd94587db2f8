//! Disks of a few megabytes that would fill the memory. Alone in its program: a child's peak begins at its parent's.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use wait4::Wait4;

const SECTOR: usize = 512;
const CLUSTER: usize = 4096;
/// Where the partition starts, in sectors.
const START: usize = 2048;

/// What `inspect` or `run` says of a disk, with less than 250 MiB of memory.
fn said_of(disk: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(arguments).arg(disk).stdout(Stdio::null());
    let stderr = disk.with_extension("stderr");
    let mut child = command.stderr(fs::File::create(&stderr).unwrap()).spawn().unwrap();
    let ended = child.wait4().unwrap();
    let said = fs::read_to_string(stderr).unwrap();
    assert!(ended.status.code().is_some(), "{said}");
    let peak = ended.rusage.maxrss >> 20;
    assert!(peak < 250, "{arguments:?}: {peak} MiB");
    said
}

/// A FAT16 whose clusters a test fills, each a chain of its own.
struct Fat {
    bytes: Vec<u8>,
    root: usize,
    data: usize,
}

impl Fat {
    fn new(folder: &Path) -> Self {
        let path = folder.join("fat");
        fs::File::create(&path).unwrap().set_len(24 << 20).unwrap();
        let made = Command::new("mkfs.fat").args(["-F16", "-s8", "-r512"]).arg(&path).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut bytes = fs::read(path).unwrap();
        let word = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let (table, table_len) = (word(14) * SECTOR, word(22) * SECTOR);
        let root = table + usize::from(bytes[16]) * table_len;
        let data = root + word(17) * 32;
        bytes[table..table + table_len].fill(0xff);
        Self { bytes, root, data }
    }

    fn put_root(&mut self, entries: &[u8]) {
        self.bytes[self.root..self.root + entries.len()].copy_from_slice(entries);
    }

    fn put_cluster(&mut self, cluster: u16, entries: &[u8]) {
        let at = self.data + (usize::from(cluster) - 2) * CLUSTER;
        self.bytes[at..at + entries.len()].copy_from_slice(entries);
    }
}

/// The entry of a directory, or of an empty file.
fn short(name: &str, is_directory: bool, cluster: u16) -> Vec<u8> {
    let attribute = if is_directory { 0x10 } else { 0x20 };
    let mut entry = format!("{name:<11}").into_bytes();
    entry.push(attribute);
    entry.resize(26, 0);
    entry.extend(cluster.to_le_bytes());
    entry.resize(32, 0);
    entry
}

/// A directory with a name of 255 letters, each three bytes in UTF-8.
fn long(name: &str, cluster: u16) -> Vec<u8> {
    let units = [0x2605_u16; 260];
    let mut entries = Vec::new();
    for number in (0..20_usize).rev() {
        let last = if number == 19 { 0x40 } else { 0 };
        let mut part = [0xffff_u16; 13];
        part.copy_from_slice(&units[13 * number..13 * number + 13]);
        if number == 19 {
            part[8..].fill(0xffff);
            part[8] = 0;
        }
        let bytes: Vec<u8> = part.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        entries.push((number as u8 + 1) | last);
        entries.extend(&bytes[..10]);
        entries.extend([0x0f, 0, 0]);
        entries.extend(&bytes[10..22]);
        entries.extend([0, 0]);
        entries.extend(&bytes[22..]);
    }
    entries.extend(short(name, true, cluster));
    entries
}

/// 64,000 files at the end of `depth` directories of long names.
fn long_paths(folder: &Path, depth: u16) -> Vec<u8> {
    let mut fat = Fat::new(folder);
    fat.put_root(&long("D0", 2));
    for level in 1..depth {
        fat.put_cluster(level + 1, &long("D", level + 2));
    }
    // One directory of 64 others, each of those with 8 more.
    let first = depth + 1;
    let list = |count: u16, from: u16| -> Vec<u8> {
        (0..count).flat_map(|number| short(&format!("E{number}"), true, from + number)).collect()
    };
    fat.put_cluster(first, &list(64, first + 1));
    let files: Vec<u8> = (0..128).flat_map(|number| short(&format!("F{number}"), false, 0)).collect();
    for outer in 0..64 {
        let from = first + 65 + 8 * outer;
        fat.put_cluster(first + 1 + outer, &list(8, from));
        (0..8).for_each(|inner| fat.put_cluster(from + inner, &files));
    }
    fat.bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

/// A disk with so many entries for one EFI system partition.
fn disk(folder: &TempDir, name: &str, volume: &[u8], entries: usize) -> PathBuf {
    let sectors = START + volume.len() / SECTOR + START;
    let mut table = vec![0; entries * 128];
    for (number, entry) in table.chunks_exact_mut(128).enumerate() {
        entry[..16].copy_from_slice(&[
            0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
        ]);
        entry[16] = number as u8 + 1;
        entry[32..40].copy_from_slice(&(START as u64).to_le_bytes());
        entry[40..48].copy_from_slice(&((START + volume.len() / SECTOR - 1) as u64).to_le_bytes());
    }
    let mut header = b"EFI PART\0\0\x01\0\x5c\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    for number in [1, sectors as u64 - 1, 34, sectors as u64 - 34, 0, 0, 2] {
        header.extend(number.to_le_bytes());
    }
    for number in [entries as u32, 128, crc32(&table)] {
        header.extend(number.to_le_bytes());
    }
    let sum = crc32(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    let mut bytes = vec![0; sectors * SECTOR];
    bytes[SECTOR..SECTOR + header.len()].copy_from_slice(&header);
    bytes[2 * SECTOR..2 * SECTOR + table.len()].copy_from_slice(&table);
    bytes[START * SECTOR..START * SECTOR + volume.len()].copy_from_slice(volume);
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn paths_of_a_boot_partition_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    // Paths of 3.8 KB, and of 6 KB.
    for (depth, refused) in
        [(5, "bytes of paths that a machine may start from"), (8, "a path is longer than")]
    {
        let volume = long_paths(folder.path(), depth);
        for entries in [1, 64] {
            let disk = disk(&folder, &format!("{depth}-{entries}.raw"), &volume, entries);
            for arguments in [&["inspect"][..], &["inspect", "--json"]] {
                let said = said_of(&disk, arguments);
                assert!(said.contains(refused), "{depth} {entries}: {}", &said[..said.len().min(1000)]);
            }
            said_of(&disk, &["run", "--dry-run", "--accel", "tcg"]);
        }
    }
}

/// As the tables of the tests above have it, a disk is read: nothing else is wrong with it.
#[test]
fn a_boot_partition_of_as_many_entries_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut fat = Fat::new(folder.path());
    fat.put_root(&[short("EFI", true, 2), long("D", 3)].concat());
    fat.put_cluster(2, &short("GRUB    EFI", false, 0));
    let disk = disk(&folder, "whole.raw", &fat.bytes, 1);
    let output = Command::new(env!("CARGO_BIN_EXE_vmimage")).arg("inspect").arg(disk).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("  UEFI           EFI/GRUB.EFI\n"), "{text}");
}

/// Files of 4 GiB whose one cluster leads to itself, in 200 GiB that are not there.
#[test]
fn a_chain_that_leads_to_itself_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loop.raw");
    fs::File::create(&path).unwrap().set_len(200 << 30).unwrap();
    let made = Command::new("mkfs.fat").args(["-F32", "-s128"]).arg(&path).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let file = fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut boot = [0; SECTOR];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut boot, 0).unwrap();
    let reserved = u64::from(u16::from_le_bytes([boot[14], boot[15]])) * SECTOR as u64;
    let table = u64::from(u32::from_le_bytes([boot[36], boot[37], boot[38], boot[39]])) * SECTOR as u64;
    let data = reserved + u64::from(boot[16]) * table;
    let put = |at: u64, bytes: &[u8]| std::os::unix::fs::FileExt::write_all_at(&file, bytes, at).unwrap();
    put(reserved + 12, &3_u32.to_le_bytes());
    let entries: Vec<u8> = (0..128)
        .flat_map(|number| {
            let mut entry = short(&format!("F{number}"), false, 3);
            entry[28..].fill(0xff);
            entry
        })
        .collect();
    put(data, &entries);
    let said = said_of(&path, &["inspect", "--json"]);
    assert!(said.contains("cluster 3 is in use twice"), "{said}");
}

/// Whoever runs a disk has not asked for any other file to be read, or written.
#[test]
fn a_disk_that_names_other_files_is_not_run() {
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, vec![1; 1 << 20]).unwrap();
    let qemu_img = |arguments: &[&str]| {
        let made = Command::new("qemu-img").args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", "secret", "-F", "raw", "backing"]);
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", "data_file=secret,data_file_raw=on", "data", "1M"]);
    qemu_img(&["create", "-q", "-f", "qcow2", "whole", "1M"]);
    for (disk, part) in [("backing", "backing files"), ("data", "data")] {
        let said = said_of(&folder.path().join(disk), &["run", "--dry-run"]);
        assert!(said.starts_with("error: ") && said.contains(part), "{disk}: {said}");
    }
    assert_eq!(said_of(&folder.path().join("whole"), &["run", "--dry-run", "--bios"]), "");
}
