//! A section of a unified kernel image, and what its bytes are.

use std::io::Read;
use std::sync::Arc;

use super::format::{CODE, DATA};
use super::stub::Stub;
use crate::architecture::Architecture;
use crate::error::{Error, Kind, Result};
use crate::extent::{Extent, Extents};
use crate::fs::Contents;
use crate::tree::Content;

/// What is read of a program to find its headers.
pub(super) const HEAD: u64 = 64 << 10;

/// Bytes that a section has: extents of any kind, of which a program is made that is an artifact by itself, or files, of which
/// one is made that lies in a tree.
pub trait Part: Sized {
    /// Those of a file.
    fn of_file(file: &Content) -> Self;
    /// How many there are.
    fn size(&self) -> u64;
    /// A program of `size` bytes: `head`, and each of the others at its place.
    fn program(head: Arc<[u8]>, parts: Vec<(u64, Self)>, size: u64) -> Self;
}

/// A section that the stub looks for.
pub struct Section<P = Contents> {
    /// Its name, at most eight bytes.
    pub(super) name: &'static str,
    /// Bytes in memory, where those are more than it has.
    pub(super) in_memory: u64,
    /// What it is, in the words of its header.
    pub(super) characteristics: u32,
    /// Whether it can be run where its memory is not written to as well (`NX_COMPAT`).
    pub(super) is_nx: bool,
    /// What it has, one behind the other.
    pub(super) parts: Vec<P>,
}

impl<P: Part> Section<P> {
    /// One of these bytes.
    pub fn of_bytes(name: &'static str, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::of_parts(name, vec![P::of_file(&Content::Bytes(bytes.into()))])
    }

    /// One of these parts, one behind the other.
    pub fn of_parts(name: &'static str, parts: Vec<P>) -> Self {
        Self { name, in_memory: 0, characteristics: DATA, is_nx: true, parts }
    }

    /// That of the kernel in a file, which `place` names in messages.
    ///
    /// # Errors
    /// If it is no program for UEFI on this architecture.
    pub fn of_kernel(kernel: &Content, place: &str, architecture: Architecture) -> Result<Self> {
        let head = head(kernel, place)?;
        let program = Stub::parse(&head).ok().filter(|program| program.is_for(architecture));
        let Some(program) = program else {
            let message = format!("is no program for UEFI on {architecture}, which a uki starts");
            return Err(Error::new(Kind::Unsupported, place, message)
                .with_hint("build it with CONFIG_EFI_STUB, or take a distribution's kernel"));
        };
        Ok(Self {
            name: ".linux",
            // Where the stub has the kernel run in place, it needs the room behind its bytes, too.
            in_memory: program.size_in_memory(),
            characteristics: CODE,
            is_nx: program.is_nx(),
            parts: vec![P::of_file(kernel)],
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.parts.iter().map(P::size).sum()
    }
}

/// The first bytes of a program.
pub(super) fn head(program: &Content, place: &str) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let read = program.reader()?.take(HEAD).read_to_end(&mut head);
    read.map_err(|error| Error::io(place, "cannot be read", error))?;
    Ok(head)
}

impl Part for Contents {
    fn of_file(file: &Content) -> Self {
        Self::of_file(file)
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn program(head: Arc<[u8]>, parts: Vec<(u64, Self)>, size: u64) -> Self {
        Self { size, extents: Box::new(Program { head, parts }) }
    }
}

impl Part for Content {
    fn of_file(file: &Content) -> Self {
        file.clone()
    }

    fn size(&self) -> u64 {
        self.len()
    }

    fn program(head: Arc<[u8]>, parts: Vec<(u64, Self)>, size: u64) -> Self {
        let mut end = head.len() as u64;
        let mut joined = vec![Self::Bytes(head)];
        let fill_up = |joined: &mut Vec<Self>, to: u64, end: u64| {
            // No more than an alignment has.
            let zeros = to.saturating_sub(end) as usize;
            joined.extend((zeros > 0).then(|| Self::Bytes(vec![0; zeros].into())));
        };
        for (at, part) in parts {
            fill_up(&mut joined, at, end);
            end = at + part.len();
            joined.push(part);
        }
        fill_up(&mut joined, size, end);
        Self::joined(joined)
    }
}

/// The bytes of a program.
struct Program {
    /// The stub, with other headers.
    head: Arc<[u8]>,
    /// What is behind it, and where.
    parts: Vec<(u64, Contents)>,
}

impl Extents for Program {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        let parts = self.parts.iter();
        let parts = parts.flat_map(|(at, part)| part.extents.iter().map(|extent| extent.shifted(*at)));
        Box::new(std::iter::once(Extent::bytes(0, Arc::clone(&self.head))).chain(parts))
    }
}
