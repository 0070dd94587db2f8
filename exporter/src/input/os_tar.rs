//! The image of an upgrade as KubeOS has it: all that is in it is `/os.tar`, the tar of a root.
//!
//! Source: `KubeOS-Rust/kbimg`, which makes such an image `FROM scratch` with `COPY os.tar /`.

use super::Options;
use super::spool;
use crate::error::Result;
use crate::tree::{ArchiveFile, Compression, Content, InodeKind, Section, Tree};

const NAME: &[u8] = b"os.tar";

/// The tar, if a tree is such an image.
pub(super) fn find(tree: &Tree) -> Option<&Content> {
    let entries = tree.entries(Tree::ROOT)?;
    let (name, id) = entries.iter().next().filter(|_| entries.len() == 1)?;
    match &tree.inode(*id).kind {
        InodeKind::File(content) if &**name == NAME && !content.is_empty() => Some(content),
        _ => None,
    }
}

/// The same as a file that can be read anywhere: a part of a layer that is stored as it is, else kept without the layer's
/// compression.
pub(super) fn section(tar: &Content, shown: &str, options: &Options<'_>) -> Result<Section> {
    match in_place(tar) {
        Some(section) => Ok(section),
        None => spool::spool(&mut tar.reader()?, shown, options),
    }
}

fn in_place(tar: &Content) -> Option<Section> {
    match tar {
        Content::Archive(ArchiveFile::Whole { archive, offset, len })
            if archive.compression() == Compression::None =>
        {
            archive.section().part(*offset, *len)
        }
        _ => None,
    }
}
