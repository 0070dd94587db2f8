//! A reader of qcow2 files with Zstandard, after QEMU's specification only
//! (<https://www.qemu.org/docs/master/interop/qcow2.html>): 7-Zip knows no such clusters.

use std::io::Read;

/// Bits 9 to 55 of an entry of a table: where in the file.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// Bit 62 of an L2 entry.
const IS_COMPRESSED: u64 = 1 << 62;
/// Bit 0 of an L2 entry: the cluster reads as zeroes.
const IS_ZERO: u64 = 1;

/// The image in a file; an error says what is wrong with it.
pub(crate) fn read(file: &[u8]) -> Result<Vec<u8>, String> {
    if be32(file, 0) != u32::from_be_bytes(*b"QFI\xfb") || be32(file, 4) != 3 || file[104] != 1 {
        return Err("not a qcow2 file of version 3 with Zstandard".to_owned());
    }
    let cluster_bits = be32(file, 20);
    let (size, l1_table) = (be64(file, 24), be64(file, 40));
    let cluster = 1usize << cluster_bits;
    let entries = cluster / 8;
    let mut image = vec![0; (size as usize).next_multiple_of(cluster)];
    for (number, out) in image.chunks_mut(cluster).enumerate() {
        let l2_table = be64(file, l1_table as usize + number / entries * 8) & OFFSET;
        if l2_table == 0 {
            continue;
        }
        let entry = be64(file, l2_table as usize + number % entries * 8);
        if entry & IS_COMPRESSED != 0 {
            decompress(file, entry, cluster_bits, out).map_err(|error| format!("{number}: {error}"))?;
        } else if entry & OFFSET != 0 && entry & IS_ZERO == 0 {
            out.copy_from_slice(&file[(entry & OFFSET) as usize..][..cluster]);
        }
    }
    image.truncate(size as usize);
    Ok(image)
}

/// A cluster that begins at any byte and fills some sectors, of which the last may hold the next one too.
fn decompress(file: &[u8], entry: u64, cluster_bits: u32, out: &mut [u8]) -> std::io::Result<()> {
    let offset_bits = 62 - (cluster_bits - 8);
    let offset = entry & ((1 << offset_bits) - 1);
    let sectors = ((entry & (IS_COMPRESSED - 1)) >> offset_bits) + 1;
    let end = (offset / 512 + sectors) * 512;
    let stored = &file[offset as usize..file.len().min(end as usize)];
    zstd::Decoder::with_buffer(stored)?.single_frame().read_exact(out)
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}
