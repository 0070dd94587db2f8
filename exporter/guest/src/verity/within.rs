//! A root with its hashes behind it, in a slot. What starts it is signed and the same whichever slot it lies in, so it names none:
//! the slot is the partition that has the tree of the root hash where the hashes are to be. No other can have one.

use std::path::{Path, PathBuf};

use super::superblock::{BLOCK, Room};
use super::{Found, Host, checked, size};
use crate::grow::device::Device;
use crate::init::initramfs::root::block_devices;
use crate::init::initramfs::{there_is, wait_until};
use crate::init::modules::Modules;

impl Host {
    /// The root on one of the partitions, whose hashes begin at this byte.
    pub(super) fn within(&mut self, offset: u64, root_hash: &[u8; 32]) -> Result<Found, String> {
        let mut refused = Vec::new();
        let look = |_: &mut Modules| {
            refused.clear();
            Ok(partitions().into_iter().find_map(|path| {
                look_into(&path, offset, root_hash).map_err(|why| refused.push(why)).ok().flatten()
            }))
        };
        let found = wait_until(&self.devices, &mut self.modules, self.patience, look)?;
        found.ok_or_else(|| none(offset, &refused))
    }
}

/// Those of all disks.
fn partitions() -> Vec<PathBuf> {
    let is_partition = |name: &String| {
        Device::named(name).and_then(|device| device.partition()).is_ok_and(|partition| partition.is_some())
    };
    let names = block_devices().into_iter().filter(is_partition);
    names.map(|name| Path::new("/dev").join(name)).collect()
}

/// The root in a partition; `None`: it is too small. The error is why its bytes there are not its hashes.
fn look_into(path: &Path, offset: u64, root_hash: &[u8; 32]) -> Result<Option<Found>, String> {
    found_in(path, size(path)?, offset, root_hash)
}

fn found_in(path: &Path, size: u64, offset: u64, root_hash: &[u8; 32]) -> Result<Option<Found>, String> {
    let at = offset / BLOCK as u64;
    let Some(behind) = size.checked_sub(offset).filter(|behind| *behind >= BLOCK as u64) else {
        return Ok(None);
    };
    let superblock = checked(path, path, at, &Room { data: offset, hashes: behind }, root_hash)?;
    Ok(Some(Found { data: path.to_owned(), hashes: path.to_owned(), at, superblock }))
}

fn none(offset: u64, refused: &[String]) -> String {
    let there_is = if refused.is_empty() { there_is() } else { refused.join("; ") };
    format!("roothash=: no partition has the tree of that hash at byte {offset}: {there_is}")
}

#[cfg(test)]
mod tests {
    use super::super::superblock::tests::{SALT, superblock};
    use super::super::tree;
    use super::*;

    /// A file in the place of a slot: blocks of data, their tree of one block, and room that is left.
    fn slot(blocks: u8, first: u8) -> (Vec<u8>, u64, [u8; 32]) {
        let mut bytes: Vec<_> = (0..blocks).flat_map(|number| [number ^ first; BLOCK]).collect();
        let offset = bytes.len() as u64;
        let mut top: Vec<_> = bytes.chunks(BLOCK).flat_map(|block| tree::digest(&SALT, block)).collect();
        top.resize(BLOCK, 0);
        let mut head = superblock(blocks.into());
        head.resize(BLOCK, 0);
        bytes.extend([&head[..], &top, &[0; 3 * BLOCK]].concat());
        (bytes, offset, tree::digest(&SALT, &top))
    }

    fn look(bytes: &[u8], offset: u64, root_hash: &[u8; 32]) -> Result<Option<u64>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let found = found_in(file.path(), bytes.len() as u64, offset, root_hash)?;
        Ok(found.map(|found| found.at))
    }

    #[test]
    fn a_slot_is_known_by_its_hashes_alone() {
        let (bytes, offset, root_hash) = slot(9, 0);
        assert_eq!(look(&bytes, offset, &root_hash), Ok(Some(9)));
        // The other slot, which has another version.
        let (_, _, other) = slot(9, 1);
        assert!(look(&bytes, offset, &other).unwrap_err().contains("has another digest than roothash= says"));
        // A partition that ends before, and one that has something else there.
        assert_eq!(look(&bytes[..offset as usize + 100], offset, &root_hash), Ok(None));
        let error = look(&bytes, offset - BLOCK as u64, &root_hash).unwrap_err();
        assert!(error.contains("has no superblock of verity"), "{error}");
        let said = none(offset, &[error]);
        assert!(
            said.starts_with("roothash=: no partition has the tree of that hash at byte 36864: /"),
            "{said}"
        );
    }

    #[test]
    fn hashes_are_of_no_more_than_what_lies_before_them() {
        let (mut bytes, offset, root_hash) = slot(9, 0);
        bytes[offset as usize + 72] = 10;
        let error = look(&bytes, offset, &root_hash).unwrap_err();
        assert!(error.contains("10 blocks of data, and the partition of the root has 9"), "{error}");
    }
}
