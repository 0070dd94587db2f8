//! Checksums of damaged inputs, made right again where there is something to recognise.

mod disks;
mod ext4;
mod gpt;
mod llb;
mod tar;

pub(crate) use disks::{vhd, vhdx};
pub(crate) use ext4::ext4;
pub(crate) use gpt::gpt;
pub(crate) use llb::llb;
pub(crate) use tar::tar;

/// For what has no checksums.
pub(crate) fn nothing(_: &mut [u8]) {}

/// A number of `width` bytes, little endian.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(width)?)?;
    Some(field.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// Puts bytes in a place, if there is one.
fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    let field = at.checked_add(value.len()).and_then(|end| bytes.get_mut(at..end));
    field.into_iter().for_each(|field| field.copy_from_slice(value));
}
