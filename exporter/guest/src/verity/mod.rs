//! `vmimage-verity`: a program of the initramfs alone, where the root is verified. It makes the device of which the root is
//! mounted: one that gives no byte that is not of the root hash on the kernel's command line.
//!
//! ```text
//! /init ─▶ roothash= ▶ both partitions ▶ superblock ▶ block on top of the tree ▶ device mapper ─▶ /dev/mapper/root
//!                                                      └ its digest is the root hash?
//! ```
//!
//! What it prints is the device, or why there is none: `/init` says that, and the boot ends. Every other block is compared by
//! the kernel when it is read, and one that is another than was built ends the machine, with its number on the console.

mod device_mapper;
mod superblock;
mod table;
mod tree;
mod words;

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::{major, minor};
use rustix::io::Errno;

use crate::grow::device::{Device, in_file};
use crate::init::devices::Devices;
use crate::init::initramfs::root::Root;
use crate::init::initramfs::{patience, there_is, wait_for};
use crate::init::left;
use crate::init::modules::Modules;
use crate::init::words::Words;
use superblock::{BLOCK, Room, Superblock};
use table::{OnCorruption, Table};
use words::Asked;

/// What the device is called; systemd calls it so, too.
const NAME: &str = "root";
/// The folder of such devices, by their names.
const FOLDER: &str = "/dev/mapper";
/// What the device mapper and its target are in, and what the kernel asks for by the digest's name.
const MODULES: [&str; 3] = ["dm_mod", "dm_verity", "crypto-sha256"];

/// The program.
pub fn main() -> ExitCode {
    let (said, code) = match run() {
        Ok(device) => (device.display().to_string(), ExitCode::SUCCESS),
        Err(reason) => (reason, ExitCode::FAILURE),
    };
    println!("{said}");
    code
}

/// Every step, in its order.
fn run() -> Result<PathBuf, String> {
    let words = Words::read();
    let asked = Asked::parse(&words)?;
    let mut host = Host::start(&words);
    let (data, hashes) = (host.partition(&asked.data)?, host.partition(&asked.hashes)?);
    let numbers = [number(&data)?, number(&hashes)?];
    let are_one = numbers[0] == numbers[1];
    let room =
        Room::new(size(&data)?, size(&hashes)?, asked.hash_offset, are_one).map_err(in_file(&hashes))?;
    let hash_start = asked.hash_offset / BLOCK as u64;
    let superblock = checked(&data, &hashes, hash_start, &room, &asked.root_hash)?;
    MODULES.iter().for_each(|name| host.modules.load(name));
    let [data, hashes] = numbers;
    map(&Table { superblock, root_hash: asked.root_hash, data, hashes, hash_start }, asked.on_corruption)
}

/// What partitions are found by.
struct Host {
    modules: Modules,
    devices: Devices,
    patience: Duration,
}

impl Host {
    /// `/init` has loaded what the devices want that were there; what it puts off, this program leaves to it.
    fn start(words: &Words) -> Self {
        let (mut modules, devices) = (Modules::read(), Devices::listen());
        modules.put_off(left::later(words));
        devices.load(&mut modules);
        Self { modules, devices, patience: patience(words) }
    }

    /// One of the two partitions.
    fn partition(&mut self, asked: &Root) -> Result<PathBuf, String> {
        let found = wait_for(asked, &self.devices, &mut self.modules, self.patience)?;
        found.ok_or_else(|| not_there(asked, &there_is()))
    }
}

/// The names of the partitions are of the root hash, so that another hash finds none.
fn not_there(asked: &Root, there_is: &str) -> String {
    let shown = asked.to_string();
    let partition = shown.strip_prefix("root=").unwrap_or(&shown);
    if !matches!(asked, Root::PartUuid(_)) {
        return format!("roothash=: {partition}: not there; {there_is}");
    }
    format!("roothash=: no partition is {partition}: the root hash is not that of this disk; {there_is}")
}

/// What the superblock says, if the tree behind it is that of the root hash, and both are as large as it says.
fn checked(
    data: &Path,
    hashes: &Path,
    hash_start: u64,
    room: &Room,
    root_hash: &[u8; 32],
) -> Result<Superblock, String> {
    let superblock = Superblock::parse(&block(hashes, hash_start)?, room).map_err(in_file(hashes))?;
    // A tree over one block has none of its own: that block's digest is the root hash.
    let top = if superblock.has_tree() { block(hashes, hash_start + 1) } else { block(data, 0) };
    match superblock.digest(&top?) == *root_hash {
        true => Ok(superblock),
        false => Err(in_file(hashes)(
            "the block on top of the tree of hashes has another digest than roothash= says: the root hash is not that of \
             this disk, or the disk was altered",
        )),
    }
}

/// Have the kernel make the device. Those of its first years with verity cannot panic, but restart.
fn map(table: &Table, asked: Option<OnCorruption>) -> Result<PathBuf, String> {
    let device = device_mapper::create(NAME, &table.id(NAME))?;
    let wishes = asked.map_or(vec![OnCorruption::Panic, OnCorruption::Restart], |wish| vec![wish]);
    let mut loaded = Err(Errno::INVAL);
    for wish in wishes {
        loaded = device_mapper::load(NAME, table.sectors(), &table.parameters(wish));
        if loaded != Err(Errno::INVAL) {
            break;
        }
    }
    loaded.map_err(|error| refused(&error))?;
    device_mapper::resume(NAME)?;
    link(minor(device))
}

fn refused(error: &Errno) -> String {
    format!(
        "{FOLDER}/{NAME}: the kernel takes no table of verity: {error}: it has no dm-verity with SHA-256, nor the initramfs \
         its modules, or it says above what it does not know"
    )
}

/// The name of the device beside that of the kernel, as udev makes it later.
fn link(number: u32) -> Result<PathBuf, String> {
    let path = Path::new(FOLDER).join(NAME);
    match symlink(format!("../dm-{number}"), &path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(in_file(&path)(error)),
        _ => Ok(path),
    }
}

/// The kernel's number of a block device, as tables have it.
fn number(path: &Path) -> Result<String, String> {
    let number = std::fs::metadata(path).map_err(in_file(path))?.rdev();
    Ok(format!("{}:{}", major(number), minor(number)))
}

/// The bytes of a block device.
fn size(path: &Path) -> Result<u64, String> {
    Device::named(path.file_name().unwrap_or_default())?.size()
}

fn block(path: &Path, number: u64) -> Result<[u8; BLOCK], String> {
    let mut block = [0; BLOCK];
    let file = File::open(path).map_err(in_file(path))?;
    file.read_exact_at(&mut block, number * BLOCK as u64).map_err(in_file(path))?;
    Ok(block)
}

/// What is read of a disk: its superblock, and what follows from it.
#[cfg(feature = "fuzz")]
pub(crate) fn fuzz(bytes: &[u8], data: u64, hashes: u64) -> Result<(), String> {
    let superblock = Superblock::parse(bytes, &Room { data, hashes })?;
    let table = Table {
        superblock,
        root_hash: [0; 32],
        data: "254:2".to_owned(),
        hashes: "254:3".to_owned(),
        hash_start: 0,
    };
    assert!(table.sectors() <= data / 512, "it ends behind its data");
    assert!(table.superblock.tree_blocks() < hashes / BLOCK as u64, "it ends behind its tree");
    let parameters = table.parameters(OnCorruption::Panic);
    assert!(parameters.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{parameters}");
    assert_eq!(parameters.split(' ').count(), 12, "{parameters}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::superblock::tests::{SALT, superblock};
    use super::*;

    /// Files in the place of both partitions: so many blocks of data, and the tree of one level over them.
    fn disk(blocks: u8) -> (tempfile::TempDir, [u8; 32]) {
        let folder = tempfile::tempdir().unwrap();
        let data: Vec<_> = (0..blocks).flat_map(|number| [number; BLOCK]).collect();
        let head = superblock(blocks.into());
        let digests = |bytes: &[u8]| -> Vec<u8> {
            let mut level: Vec<_> =
                bytes.chunks(BLOCK).flat_map(|block| tree::digest(&SALT, block)).collect();
            level.resize(level.len().next_multiple_of(BLOCK), 0);
            level
        };
        let top = if blocks > 1 { digests(&data) } else { data.clone() };
        let mut hashes = head;
        hashes.resize(BLOCK, 0);
        if blocks > 1 {
            hashes.extend(&top);
        }
        std::fs::write(folder.path().join("data"), data).unwrap();
        std::fs::write(folder.path().join("hashes"), hashes).unwrap();
        (folder, tree::digest(&SALT, &top))
    }

    fn check(folder: &Path, root_hash: &[u8; 32]) -> Result<Superblock, String> {
        let [data, hashes] = ["data", "hashes"].map(|name| folder.join(name));
        let len = |path: &Path| std::fs::metadata(path).unwrap().len();
        let room = Room { data: len(&data), hashes: len(&hashes) };
        checked(&data, &hashes, 0, &room, root_hash)
    }

    #[test]
    fn of_one_file_the_hashes_lie_behind_the_data() {
        for blocks in [1, 2, 100] {
            let (folder, root_hash) = disk(blocks);
            let [data, hashes] =
                ["data", "hashes"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
            let (both, start) = (folder.path().join("both"), u64::from(blocks));
            std::fs::write(&both, [data, hashes].concat()).unwrap();
            let len = std::fs::metadata(&both).unwrap().len();
            let room = Room::new(len, len, start << 12, true).unwrap();
            let found = checked(&both, &both, start, &room, &root_hash).unwrap();
            assert_eq!(found.data_blocks, start);
            let error = checked(&both, &both, start - 1, &room, &root_hash).unwrap_err();
            assert!(error.contains("has no superblock of verity"), "{error}");
        }
    }

    #[test]
    fn a_disk_is_that_of_its_root_hash_alone() {
        for blocks in [1, 2, 128] {
            let (folder, root_hash) = disk(blocks);
            check(folder.path(), &root_hash).unwrap();
            let mut other = root_hash;
            other[31] ^= 1;
            let error = check(folder.path(), &other).unwrap_err();
            assert!(error.contains("the root hash is not that of this disk"), "{error}");
        }
    }

    #[test]
    fn a_byte_of_the_block_on_top_makes_it_another_disk() {
        let (folder, root_hash) = disk(100);
        let path = folder.path().join("hashes");
        let whole = std::fs::read(&path).unwrap();
        for at in [BLOCK, BLOCK + 99 * 32, 2 * BLOCK - 1, 88] {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            std::fs::write(&path, bytes).unwrap();
            let error = check(folder.path(), &root_hash).unwrap_err();
            assert!(error.contains("the disk was altered"), "{at}: {error}");
        }
    }

    #[test]
    fn what_ends_before_its_tree_is_named() {
        let (folder, root_hash) = disk(2);
        let path = folder.path().join("hashes");
        let whole = std::fs::read(&path).unwrap();
        for len in [0, 512, BLOCK, 2 * BLOCK - 1] {
            std::fs::write(&path, &whole[..len]).unwrap();
            let error = check(folder.path(), &root_hash).unwrap_err();
            assert!(error.starts_with(&*path.to_string_lossy()), "{error}");
        }
    }

    #[test]
    fn a_partition_that_is_not_there_is_named_with_the_hash() {
        let error = not_there(&Root::parse("PARTUUID=00-01").unwrap(), "there is no disk");
        assert_eq!(
            error,
            "roothash=: no partition is PARTUUID=00-01: the root hash is not that of this disk; there is no disk"
        );
        let named = not_there(&Root::parse("/dev/vda").unwrap(), "there is no disk");
        assert_eq!(named, "roothash=: /dev/vda: not there; there is no disk");
    }
}
