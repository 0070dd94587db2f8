//! Ways in for `make fuzz`: what programs inside the machine read of networks and disks. Where something accepted
//! does not keep its promises, they panic.

use std::time::Duration;

use crate::grow::ext4::Size;
use crate::grow::table::{self, Growth};
use crate::init::{dhcp, netlink};
use crate::medium;
use crate::update;
use crate::verity;

/// Who has asked, in the answers of [`dhcp`].
pub const XID: u32 = 7;
/// The address of its hardware.
pub const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// Reads the answer of a DHCP server.
///
/// # Errors
/// If it grants nothing.
pub fn dhcp(bytes: &[u8]) -> Result<(), String> {
    let lease = dhcp::lease(bytes, XID, MAC).ok_or("it grants nothing")?;
    assert!(lease.prefix <= 32 && lease.routes.iter().all(|route| route.prefix <= 32));
    assert!(
        Duration::ZERO < lease.renewal
            && lease.renewal <= lease.rebinding
            && lease.rebinding <= lease.duration
    );
    assert!(lease.resolver.domain.iter().all(|domain| !domain.contains(char::is_whitespace)));
    Ok(())
}

/// Asks a web server for a small file and for a part of a large one; its answers come one after the other.
///
/// # Errors
/// Why they do not come.
pub fn update_server(answers: &[u8]) -> Result<(), String> {
    update::fuzz::server(answers)
}

/// Reads the layer of an update in a registry.
///
/// # Errors
/// If it is no tar.
pub fn update_layer(tar: &[u8]) -> Result<(), String> {
    update::fuzz::layer(tar)
}

/// Reads what the installer is told, `install.toml`.
///
/// # Errors
/// What of it cannot be.
pub fn install_config(text: &[u8]) -> Result<(), String> {
    medium::install::fuzz::config(text)
}

/// Reads of a medium what the installer does before it writes: the first block of the disk, how long its index is in two bytes, that
/// index, and `medium.json`.
///
/// # Errors
/// What of it is refused.
pub fn install_medium(input: &[u8]) -> Result<(), String> {
    medium::install::fuzz::medium(input)
}

/// Reads what a name server answers to the question 7 for the address of `u.example`.
///
/// # Errors
/// If it answers something else.
pub fn names(answer: &[u8]) -> Result<(), String> {
    update::fuzz::names(answer)
}

/// Reads the kernel's answer to a request.
///
/// # Errors
/// If it says that there is one.
pub fn netlink(bytes: &[u8]) -> Result<(), String> {
    netlink::result(bytes).map_err(|error| error.to_string())
}

/// Grows partition `number` of a disk to `size` bytes: what is written, by its place.
///
/// # Errors
/// Why it is left alone.
pub fn grow(disk: &[u8], block: u64, number: u32, size: u64) -> Result<Vec<(u64, Vec<u8>)>, String> {
    let read = |at: u64, len: usize| {
        let start = usize::try_from(at).ok();
        let bytes = start.and_then(|start| disk.get(start..start.checked_add(len)?));
        bytes.map(<[u8]>::to_vec).ok_or_else(|| "the disk ends before".to_owned())
    };
    let Growth { start, len, writes } =
        table::grow(block, number, size, read)?.map_err(|refusal| format!("{refusal:?}"))?;
    assert!(start.checked_add(len).is_some_and(|end| end <= size), "the partition ends on the disk");
    let is_inside =
        |(at, bytes): &(u64, Vec<u8>)| at.checked_add(bytes.len() as u64).is_some_and(|end| end <= size);
    assert!(writes.iter().all(is_inside), "nothing is written beyond the disk");
    Ok(writes)
}

/// The size of an ext4 in bytes, of the start of its superblock.
///
/// # Errors
/// If it is none.
pub fn ext4_size(superblock: &[u8]) -> Result<u64, String> {
    Ok(Size::parse(superblock)?.bytes())
}

/// Reads the files of an update in an archive.
///
/// # Errors
/// What is wrong with the first that is not accepted.
pub fn update(archive: &[u8]) -> Result<(), String> {
    update::hostile::read(archive)
}

/// Reads the superblock in front of a tree of hashes, in a partition of so many bytes beside one with `data` bytes.
///
/// # Errors
/// What of it is refused.
pub fn verity(superblock: &[u8], data: u64, hashes: u64) -> Result<(), String> {
    verity::fuzz(superblock, data, hashes)
}
