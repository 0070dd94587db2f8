//! What is written against `unsquashfs`.

use super::*;
use crate::codec::Coding;
use crate::testing::{Scratch, accepts, tool};

/// A file system with these files, packed as well as they can be.
fn image(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let codecs = Codecs::new(Coding::Zstd);
    let mut image = vec![0; DATA_AT as usize];
    let files: Vec<_> =
        files.iter().map(|(name, bytes)| (*name, write(&mut image, bytes, &codecs))).collect();
    let end = image.len() as u64;
    let Tables { superblock, behind } = tables(&files, end, 1_700_000_000, &codecs).unwrap();
    image[..superblock.len()].copy_from_slice(&superblock);
    image.extend(behind);
    image.resize(image.len().next_multiple_of(4096), 0);
    image
}

fn write(image: &mut Vec<u8>, bytes: &[u8], codecs: &Codecs) -> File {
    let mut file = File::new(image.len() as u64);
    for block in bytes.chunks(BLOCK) {
        let packed = codecs.lend().unwrap().pack(block, block.len() - 1, image);
        let stored = match packed {
            _ if block.iter().all(|byte| *byte == 0) => {
                image.truncate(image.len() - packed.map_or(0, |range| range.len()));
                Stored::Zero
            }
            Some(range) => Stored::Packed(range.len()),
            None => {
                image.extend(block);
                Stored::Plain
            }
        };
        file.push(block.len(), stored);
    }
    file
}

/// Bytes that no compressor makes smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A file of many blocks of each kind, whose list of blocks takes several blocks of metadata; small ones; none.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let mut large = Vec::new();
    for round in 0..1100 {
        large.extend(vec![0; BLOCK]);
        large.extend(if round % 100 == 0 { noise(BLOCK) } else { vec![round as u8; BLOCK] });
    }
    large.extend(b"the end of the last block");
    vec![
        ("empty", Vec::new()),
        ("large", large),
        ("manifest", b"[update]\n".to_vec()),
        ("noise", noise(BLOCK + 1)),
    ]
}

#[test]
fn unsquashfs_finds_every_byte() {
    let scratch = Scratch::new();
    let path = scratch.write("image", &image(&files()));
    let out = scratch.file("out");
    let said = accepts("unsquashfs", &["-no-progress", "-d", out.to_str().unwrap(), &path]);
    assert!(said.contains("created 4 files"), "{said}");
    for (name, bytes) in files() {
        assert!(std::fs::read(out.join(name)).unwrap() == bytes, "{name}");
    }
    let told = accepts("unsquashfs", &["-s", &path]);
    for line in [
        "Compression zstd",
        "Block size 65536",
        "Number of fragments 0",
        "Number of inodes 5",
        "Number of ids 1",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let listed = accepts("unsquashfs", &["-lln", "-UTC", &path]);
    let words: Vec<Vec<_>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    let time = ["2023-11-14", "22:13"];
    for [mode, size, path] in [["drwxr-xr-x", "106", ""], ["-rw-r--r--", "9", "/manifest"]] {
        let path = format!("squashfs-root{path}");
        assert!(words.contains(&vec![mode, "0/0", size, time[0], time[1], &path]), "{listed}");
    }
}

#[test]
fn zeroes_take_no_room_and_a_damaged_block_is_met() {
    let zeroes = image(&[("zeroes", vec![0; 64 << 20])]);
    assert!(zeroes.len() <= 3 * 4096, "{}", zeroes.len());
    let scratch = Scratch::new();
    let mut bytes = image(&[("text", b"some text, again and again; ".repeat(9000))]);
    bytes[DATA_AT as usize..][..64].fill(0xff);
    let (path, out) = (scratch.write("image", &bytes), scratch.file("out"));
    let (ok, said) =
        tool("unsquashfs", &["-no-progress", "-strict-errors", "-d", out.to_str().unwrap(), &path]);
    assert!(!ok, "{said}");
}
