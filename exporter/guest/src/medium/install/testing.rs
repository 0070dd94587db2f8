//! Media, machines and people for tests.

use std::cell::RefCell;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::disks::Places;
use super::image::Image;
use super::person::Person;
use crate::medium::manifest::Manifest;
use crate::update::index::BLOCK;
use crate::update::source::{Source, open_folder};
use crate::update::sums::sha;

pub(super) const MIB: u64 = 1 << 20;

/// A disk with a GPT: an ESP and a root, blocks of all kinds, and a last one that is short.
pub(super) fn disk() -> Vec<u8> {
    let len = 3 * MIB as usize + 4096;
    let mut disk = vec![0; len];
    let data = (MIB as usize..2 * MIB as usize).filter(|at| at / BLOCK % 3 != 1);
    data.for_each(|at| disk[at] = ((at * 7) >> 5) as u8 | 1);
    disk[2 * MIB as usize + BLOCK..][..5].copy_from_slice(b"alone");
    let last = (len / 512 - 1) as u64;
    let mut entries = vec![0; 128 * 128];
    for (number, (kind, first, end)) in
        [([1; 16], 2048, 3071), ([2; 16], 3072_u64, 5119_u64)].into_iter().enumerate()
    {
        let entry = &mut entries[number * 128..][..128];
        entry[..16].copy_from_slice(&kind);
        entry[16..32].copy_from_slice(&[number as u8 + 7; 16]);
        entry[32..40].copy_from_slice(&u64::to_le_bytes(first));
        entry[40..48].copy_from_slice(&end.to_le_bytes());
    }
    for (own, other, at) in [(1, last, 2), (last, 1, last - 32)] {
        let header = header(own, other, at, last - 33, &entries);
        disk[own as usize * 512..][..92].copy_from_slice(&header);
        disk[at as usize * 512..][..entries.len()].copy_from_slice(&entries);
    }
    disk[446 + 4] = 0xee;
    disk[446 + 8..446 + 12].copy_from_slice(&1_u32.to_le_bytes());
    disk[446 + 12..446 + 16].copy_from_slice(&(last as u32).to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

/// UEFI 2.10, table 5.5.
fn header(own: u64, other: u64, entries_at: u64, last_usable: u64, entries: &[u8]) -> Vec<u8> {
    let mut header = b"EFI PART\0\0\x01\0\x5c\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    for number in [own, other, 34, last_usable] {
        header.extend(number.to_le_bytes());
    }
    header.extend([9; 16]);
    header.extend(entries_at.to_le_bytes());
    for number in [128, 128, crc32fast::hash(entries)] {
        header.extend(u32::to_le_bytes(number));
    }
    let sum = crc32fast::hash(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    header
}

/// A folder with a disk.
pub(super) struct Medium {
    folder: TempDir,
    pub(super) manifest: Manifest,
}

impl Medium {
    pub(super) fn new(disk: &[u8], is_packed: bool) -> Self {
        let (mut frames, mut index) = (Vec::new(), Vec::new());
        for block in disk.chunks(BLOCK) {
            let frame = if is_packed { zstd::bulk::compress(block, 1).unwrap() } else { block.to_vec() };
            index.extend(sha(block));
            index.extend((frame.len() as u32).to_le_bytes());
            frames.extend(frame);
        }
        let file = if is_packed { "disk.zst" } else { "disk.raw" };
        let digest: String = Sha256::digest(&index).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = json!({"version": 1, "id": "x", "name": "web", "disk": {"file": file, "bytes": disk.len(),
            "packed": is_packed, "index": "disk.index", "index_sha256": digest, "sector_size": 512}});
        let text = text.to_string();
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in
            [(file, &frames), ("disk.index", &index), ("medium.json", &text.clone().into_bytes())]
        {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        Self { folder, manifest: Manifest::parse(text.as_bytes()).unwrap() }
    }

    pub(super) fn image(&self) -> Image {
        Image::of(&self.manifest).unwrap()
    }

    pub(super) fn source(&self) -> Box<dyn Source> {
        open_folder(self.folder.path())
    }

    pub(super) fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).unwrap()
    }

    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.file(name);
        change(&mut bytes);
        fs::write(self.folder.path().join(name), bytes).unwrap();
    }
}

/// A machine of files.
pub(super) struct Machine(TempDir);

/// A disk of it in sysfs.
pub(super) struct Described(PathBuf);

impl Machine {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sys/block")).unwrap();
        fs::create_dir_all(folder.path().join("dev")).unwrap();
        Self(folder)
    }

    pub(super) fn places(&self) -> Places {
        let at = |name: &str| self.0.path().join(name);
        Places { sys: at("sys"), dev: at("dev"), mounts: at("mountinfo") }
    }

    /// A disk of zeroes, or what is known of it already.
    pub(super) fn disk(&self, name: &str, bytes: u64) -> Described {
        let disk = Described(self.0.path().join("sys/block").join(name));
        fs::create_dir_all(disk.0.join("device")).unwrap();
        disk.set("size", &(bytes / 512).to_string()).set("ro", "0\n");
        // Of large ones nobody reads what is on them.
        if bytes <= 64 * MIB {
            let path = self.0.path().join("dev").join(name);
            File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .unwrap()
                .set_len(bytes)
                .unwrap();
        }
        disk
    }

    pub(super) fn write(&self, name: &str, at: u64, bytes: &[u8]) {
        let path = self.0.path().join("dev").join(name);
        File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
    }

    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path().join("dev").join(name)).unwrap()
    }

    pub(super) fn mounted(&self, line: &str) {
        fs::write(self.0.path().join("mountinfo"), format!("{line}\n")).unwrap();
    }

    pub(super) fn remove(&self, path: &str) {
        fs::remove_dir_all(self.0.path().join("sys").join(path)).unwrap();
    }

    /// A disk of which nothing but its name is left.
    pub(super) fn remove_disk(&self, name: &str) {
        fs::remove_file(self.0.path().join("dev").join(name)).unwrap();
    }
}

impl Described {
    pub(super) fn set(&self, attribute: &str, text: &str) -> &Self {
        let path = self.0.join(attribute);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }
}

/// Somebody who gives these answers, and then none.
pub(super) struct Answers {
    answers: RefCell<Vec<String>>,
    said: RefCell<Vec<String>>,
}

impl Answers {
    pub(super) fn new(answers: &[&str]) -> Self {
        let answers = answers.iter().rev().map(|answer| (*answer).to_owned()).collect();
        Self { answers: RefCell::new(answers), said: RefCell::default() }
    }

    /// What they were told.
    pub(super) fn said(&self) -> Vec<String> {
        self.said.borrow().clone()
    }
}

impl Person for Answers {
    fn say(&self, line: &str) {
        self.said.borrow_mut().push(line.to_owned());
    }

    fn ask(&self, question: &str) -> Result<String, String> {
        self.say(question);
        self.answers
            .borrow_mut()
            .pop()
            .ok_or_else(|| "there is no console on which somebody could answer".to_owned())
    }
}
