//! A program → the same with one signature more.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use cms::cert::x509::der::Tag;
use cms::cert::x509::der::asn1::Any;
use cms::signed_data::EncapsulatedContentInfo;
use sha2::{Digest, Sha256};

use super::digest::{ALIGNMENT, Read, fold, read, refused};
use super::indirect_data::{self, INDIRECT_DATA};
use super::{TABLE_MAX, table, verify};
use crate::error::{Error, Result};
use crate::extent::{Extent, Extents};
use crate::fs::Contents;
use crate::pki::{Attributes, Signed, Signer, to_der};
use crate::tree::Content;

/// What a program becomes signed by.
#[derive(Debug)]
pub struct Signature {
    /// Its first bytes, which say where the signatures are.
    head: Arc<[u8]>,
    /// Where the tail begins, which is the end of what is signed.
    at: u64,
    /// All signatures, and zeroes before them.
    tail: Arc<[u8]>,
}

/// Sign the program in `file`, which `place` names in messages; `None` if this signer has signed it already.
///
/// # Errors
/// [`Kind::Input`](crate::Kind::Input) if it is no program for UEFI or cannot be signed; if the signer refuses.
pub fn sign(place: &str, file: &Contents, signer: &Signer) -> Result<Option<Signature>> {
    let read = read(place, file)?;
    let found = verify::found(&read).map_err(|why| refused(place, why))?;
    if found.iter().any(|found| found.is_good_by(signer.certificates())) {
        return Ok(None);
    }
    let tail = tail(&read, &message(&read, signer)?);
    if tail.len() as u64 > TABLE_MAX || read.program.signatures.start + TABLE_MAX > u64::from(u32::MAX) {
        return Err(refused(place, "would be larger than a signed program may be"));
    }
    let at = read.program.signatures.start;
    Ok(Some(Signature { head: head(&read, at, &tail).into(), at, tail: tail.into() }))
}

/// The message of a new signature.
fn message(read: &Read, signer: &Signer) -> Result<Vec<u8>> {
    let content = indirect_data::encode(&read.sha256);
    // Of what is in the SEQUENCE alone.
    let digest = Sha256::digest(&content).into();
    let content =
        Any::new(Tag::Sequence, content).map_err(|error| refused("signature", &error.to_string()))?;
    let content = EncapsulatedContentInfo { econtent_type: INDIRECT_DATA, econtent: Some(content) };
    // Without a time, that the same program is signed by the same bytes.
    let attributes = Attributes { content_type: INDIRECT_DATA, digest, time: None };
    to_der(&signer.signed_data(content, &Signed::Attributes(attributes))?)
}

/// What lies behind what is signed: zeroes, the signatures that there are, the new one.
fn tail(read: &Read, message: &[u8]) -> Vec<u8> {
    let end = read.program.signatures.start;
    let mut tail = vec![0; (end.next_multiple_of(ALIGNMENT) - end) as usize];
    tail.extend_from_slice(&read.table);
    let len = (end.next_multiple_of(ALIGNMENT) - end) + (read.table.len() as u64).next_multiple_of(ALIGNMENT);
    tail.resize(len as usize, 0);
    tail.extend(table::entry(message));
    tail
}

/// The head that says where the signatures in `tail`, which begins at `at`, are.
fn head(read: &Read, at: u64, tail: &[u8]) -> Vec<u8> {
    let start = at.next_multiple_of(ALIGNMENT);
    // Both are far below 4 GiB: that was looked at.
    let [start, len] = [start, at + tail.len() as u64 - start].map(|number| (number as u32).to_le_bytes());
    let directory = [start, len].concat();
    let sum = fold(fold(read.sum, &directory), tail_words(at, tail));
    let sum = (sum + at + tail.len() as u64) as u32;
    let mut head = read.head.clone();
    head[read.program.check_sum..][..4].copy_from_slice(&sum.to_le_bytes());
    head[read.program.directory..][..8].copy_from_slice(&directory);
    head
}

/// The tail from its first whole word on: if the file ended within one, the rest of that is zero.
fn tail_words(at: u64, tail: &[u8]) -> &[u8] {
    &tail[usize::from(!at.is_multiple_of(2))..]
}

impl Signature {
    /// The file with it.
    #[must_use]
    pub fn of(self, file: Contents) -> Contents {
        let size = self.at + self.tail.len() as u64;
        Contents { size, extents: Box::new(SignedFile { signature: self, file }) }
    }

    /// The same of a file that lies in a tree.
    #[must_use]
    pub fn of_content(self, file: Content) -> Content {
        let Self { head, at, tail } = self;
        let rest = file.cut(head.len() as u64..at);
        Content::joined(vec![Content::Bytes(head), rest, Content::Bytes(tail)])
    }

    /// Write it into the file that was signed, called `place` in messages.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn write(&self, file: &File, place: &str) -> Result<()> {
        let failed = |error| Error::io(place, "cannot write the signature", error);
        file.set_len(self.at).map_err(failed)?;
        file.write_all_at(&self.head, 0).map_err(failed)?;
        file.write_all_at(&self.tail, self.at).map_err(failed)
    }
}

/// A file that is signed.
struct SignedFile {
    signature: Signature,
    file: Contents,
}

impl Extents for SignedFile {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        let Signature { head, at, tail } = &self.signature;
        let behind = head.len() as u64..*at;
        let rest = self.file.extents.iter().filter_map(move |extent| extent.within(&behind));
        let head = std::iter::once(Extent::bytes(0, Arc::clone(head)));
        Box::new(head.chain(rest).chain([Extent::bytes(*at, Arc::clone(tail))]))
    }
}
