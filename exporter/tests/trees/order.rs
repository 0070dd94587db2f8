//! The bytes of a file system are the same whoever makes them, and in whatever order.

use exporter::extent::{Backing, Extent};

use crate::fsck::sample;
use crate::support::planned;

fn bytes(extent: Extent) -> (u64, Vec<u8>) {
    let mut bytes = vec![0; extent.len as usize];
    match &extent.source {
        Backing::Bytes(source) => bytes.copy_from_slice(source),
        Backing::Rendered { by, key } => by.render(*key, &mut bytes),
        _ => unreachable!("the tree is all in memory"),
    }
    (extent.offset, bytes)
}

#[test]
fn the_same_input_gives_the_same_bytes_in_any_order() {
    let (one, other) = (planned(sample()), planned(sample()));
    let one: Vec<_> = one.extents.iter().map(bytes).collect();
    let backwards: Vec<_> = other.extents.iter().collect();
    let mut other: Vec<_> = backwards.into_iter().rev().map(bytes).collect();
    other.reverse();
    assert!(one == other);
}
