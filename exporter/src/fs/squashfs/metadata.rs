//! A table of metadata: blocks of 8 KiB, each packed by itself and with its length in front.

use crate::codec::Lent;

/// Bytes of a block, unpacked (`SQUASHFS_METADATA_SIZE`).
const BLOCK: usize = 8192;
/// Of a block that is not packed, the bit of its length that says so (`SQUASHFS_COMPRESSED_BIT`).
const PLAIN: u16 = 1 << 15;

/// Where something lies in a table.
#[derive(Clone, Copy)]
pub(super) struct Position {
    /// Where its block begins, in bytes from the start of the table, as it is packed.
    pub(super) block: u32,
    /// Where it begins in that block, unpacked.
    pub(super) offset: u16,
}

/// A table that is being made.
#[derive(Default)]
pub(super) struct Metadata {
    packed: Vec<u8>,
    /// The block that is not full yet.
    open: Vec<u8>,
}

impl Metadata {
    /// Where the next bytes go.
    pub(super) fn position(&self) -> Position {
        Position { block: self.packed.len() as u32, offset: self.open.len() as u16 }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8], codec: &mut Lent<'_>) {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(BLOCK - self.open.len()));
            self.open.extend(now);
            if self.open.len() == BLOCK {
                self.close(codec);
            }
            bytes = rest;
        }
    }

    fn close(&mut self, codec: &mut Lent<'_>) {
        let mut packed = Vec::new();
        // Smaller, or it stays as it is.
        let len = codec.pack(&self.open, self.open.len() - 1, &mut packed).map(|range| range.len() as u16);
        let (len, bytes) = match len {
            Some(len) => (len, &packed),
            None => (self.open.len() as u16 | PLAIN, &self.open),
        };
        self.packed.extend(len.to_le_bytes());
        self.packed.extend(bytes);
        self.open.clear();
    }

    /// All of it, packed.
    pub(super) fn finish(mut self, codec: &mut Lent<'_>) -> Vec<u8> {
        if !self.open.is_empty() {
            self.close(codec);
        }
        self.packed
    }
}
