//! Chunks → a bundle: of the disk, the root of the first slot.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::appended::Appended;
use super::manifest::{IMAGE, INDEX, MANIFEST, RootImage, manifest};
use super::sign::sign;
use super::{Bundle, LENGTH, MAX_SIGNATURE};
use crate::codec::{Codecs, Coding};
use crate::container::Update;
use crate::container::place::Place;
use crate::container::spill::Spill;
use crate::engine::{Chunk, Piece, Sink, Stored, is_zero};
use crate::error::{Error, Kind, Result};
use crate::fs::squashfs::{self, BLOCK, File, Tables};

/// Bytes of a block of the index (`block-hash-index`).
const INDEXED: usize = 4096;
/// Bytes of its digest.
const DIGEST: usize = 32;
/// Zeroes that are hashed at once.
const ZEROES: &[u8] = &[0; BLOCK];

/// Writes a bundle.
pub(in crate::container) struct Writer<'a> {
    update: &'a Update,
    bundle: &'a Bundle,
    codecs: Codecs,
    /// The digest of a block of zeroes.
    zero: [u8; DIGEST],
    /// `None` when all is written.
    parts: Mutex<Option<Parts<'a>>>,
    place: &'a dyn Place,
}

/// What is written so far.
struct Parts<'a> {
    squashfs: Appended<'a>,
    root: File,
    /// Bytes of the root.
    done: u64,
    sha256: Sha256,
    index: Spill,
}

impl<'a> Writer<'a> {
    /// A bundle of the root on a disk of `disk_size` bytes; digests lie in a file without a name in `folder` meanwhile.
    ///
    /// # Errors
    /// If the root is not on the disk, is not of whole blocks, or the temporary files cannot be made.
    pub(in crate::container) fn new(
        disk_size: u64,
        update: &'a Update,
        bundle: &'a Bundle,
        folder: &Path,
        place: &'a dyn Place,
    ) -> Result<Self> {
        update.check(disk_size)?;
        if !(update.root.end - update.root.start).is_multiple_of(INDEXED as u64) {
            let message =
                format!("the root is not of whole blocks of {INDEXED} bytes, as RAUC's index has them");
            return Err(Error::new(Kind::Unsupported, "rauc", message));
        }
        let squashfs = Appended::new(place, &bundle.salt, folder)?;
        let (root, index) = (File::new(squashfs.len()), Spill::new(folder)?);
        let parts = Parts { squashfs, root, done: 0, sha256: Sha256::new(), index };
        let zero = Sha256::digest(&ZEROES[..INDEXED]).into();
        let (codecs, parts) = (Codecs::new(Coding::Zstd), Mutex::new(Some(parts)));
        Ok(Self { update, bundle, codecs, zero, parts, place })
    }

    fn parts(&self) -> MutexGuard<'_, Option<Parts<'a>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn size(&self) -> u64 {
        self.update.root.end - self.update.root.start
    }

    /// Pack a block of a file into `packed`: what is stored of it.
    fn pack(&self, block: &[u8], packed: &mut Vec<u8>) -> Result<squashfs::Stored> {
        if is_zero(block) {
            return Ok(squashfs::Stored::Zero);
        }
        let range = self.codecs.lend()?.pack(block, block.len() - 1, packed);
        Ok(range.map_or(squashfs::Stored::Plain, |range| squashfs::Stored::Packed(range.len())))
    }

    /// Write a whole block of a file next.
    fn append(&self, block: &[u8], file: &mut File, squashfs: &mut Appended<'_>) -> Result<()> {
        let mut packed = Vec::new();
        let stored = self.pack(block, &mut packed)?;
        file.push(block.len(), stored);
        match stored {
            squashfs::Stored::Plain => squashfs.append(block),
            _ => squashfs.append(&packed),
        }
    }

    /// Write the root's neighbours, the tables, the tree and the signature.
    fn complete(&self, mut parts: Parts<'_>) -> Result<()> {
        parts.zeroes(self.size(), &self.zero)?;
        let Parts { mut squashfs, root, sha256, index, .. } = parts;
        let image = RootImage { size: self.size(), sha256: format!("{:x}", sha256.finalize()) };

        let mut digests = File::new(squashfs.len());
        index.read(BLOCK, |block| self.append(block, &mut digests, &mut squashfs))?;
        let mut inner = File::new(squashfs.len());
        self.append(manifest(self.update, &image, None).as_bytes(), &mut inner, &mut squashfs)?;

        let files = [(MANIFEST, inner), (IMAGE, root), (INDEX, digests)];
        // 32 bits are what there is for it, up to the year 2106.
        let time = u32::try_from(self.bundle.time.max(0)).unwrap_or(u32::MAX);
        let Tables { superblock, behind } = squashfs::tables(&files, squashfs.len(), time, &self.codecs)?;
        squashfs.append(&behind)?;
        let verity = squashfs.finish(&superblock)?;

        let signed = manifest(self.update, &image, Some((&verity, &self.bundle.salt)));
        let signature = sign(&self.bundle.signer, signed.as_bytes(), self.bundle.time)?;
        let len = signature.len() as u64;
        if len > MAX_SIGNATURE {
            let message =
                format!("the signature has {len} bytes, and RAUC reads no more than {MAX_SIGNATURE}");
            return Err(Error::new(Kind::Unsupported, "rauc", message)
                .with_hint("leave certificates out that are not needed to check it"));
        }
        self.place.write_at(&signature, verity.end)?;
        self.place.write_at(&len.to_be_bytes(), verity.end + len)?;
        self.place.set_len(verity.end + len + LENGTH)
    }
}

impl Parts<'_> {
    /// Have zeroes up to the byte `end` of the root.
    fn zeroes(&mut self, end: u64, digest: &[u8; DIGEST]) -> Result<()> {
        let digests = digest.repeat(BLOCK / INDEXED);
        while self.done < end {
            let len = (end - self.done).min(BLOCK as u64) as usize;
            self.root.push(len, squashfs::Stored::Zero);
            self.sha256.update(&ZEROES[..len]);
            self.index.append(&digests[..len / INDEXED * DIGEST])?;
            self.done += len as u64;
        }
        Ok(())
    }
}

impl Sink for Writer<'_> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let Some(chunk) = chunk.within(&self.update.root) else { return Ok(()) };
        // In front of what is packed, and of no piece: they are not written, and wait there for the index.
        stored.packed.extend(chunk.bytes().chunks(INDEXED).flat_map(Sha256::digest));
        for (start, block) in (0..).step_by(BLOCK).zip(chunk.bytes().chunks(BLOCK)) {
            let at = stored.packed.len();
            let packed = match self.pack(block, &mut stored.packed)? {
                squashfs::Stored::Plain => None,
                squashfs::Stored::Packed(_) | squashfs::Stored::Zero => Some(at..stored.packed.len()),
            };
            stored.pieces.push(Piece { packed, ..Piece::plain(start..start + block.len()) });
        }
        Ok(())
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let Some(chunk) = chunk.within(&self.update.root) else { return Ok(()) };
        let mut parts = self.parts();
        let Some(parts) = parts.as_mut() else { return Ok(()) };
        parts.zeroes(chunk.offset, &self.zero)?;
        let digests = chunk.bytes().len() / INDEXED * DIGEST;
        parts.index.append(&stored.packed[..digests])?;
        parts.sha256.update(chunk.bytes());
        for Piece { plain, packed, .. } in &stored.pieces {
            let (bytes, kind) = match packed {
                Some(range) if range.is_empty() => (&[][..], squashfs::Stored::Zero),
                Some(range) => (&stored.packed[range.clone()], squashfs::Stored::Packed(range.len())),
                None => (&chunk.bytes()[plain.clone()], squashfs::Stored::Plain),
            };
            parts.squashfs.append(bytes)?;
            parts.root.push(plain.len(), kind);
        }
        parts.done = chunk.offset + chunk.bytes().len() as u64;
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        let parts = self.parts().take();
        parts.map_or(Ok(()), |parts| self.complete(parts))
    }
}
