//! What lies in which block.

use super::directory::Records;
use super::tree::Tree;
use crate::error::{Error, Kind, Result, show_size};
use crate::fs::iso9660::format::BLOCK;

/// A file of this many bytes begins at a multiple of them: what reads it in larger blocks than a disc has, a disk in it or
/// a page of memory, then reads none of them twice.
const ALIGNED: u64 = 64 << 10;
/// A section (6.4.3) of a file that goes on has whole blocks, and its length is a number of 32 bits.
const SECTION_MAX: u64 = (1 << 32) - BLOCK;
/// Sections of a file that Linux reads (`isofs_read_level3_size`).
const SECTIONS: u64 = 100;
/// The largest file.
pub(super) const FILE_MAX: u64 = SECTIONS * SECTION_MAX;

/// Bytes that lie together.
#[derive(Clone, Copy, Default)]
pub(super) struct Section {
    pub(super) block: u32,
    pub(super) len: u32,
}

/// A file, which lies together whatever it is to a directory.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    /// The first of its blocks; [`Places`] says that a number of 32 bits names it.
    pub(super) block: u64,
    pub(super) len: u64,
}

impl Place {
    /// The sections that a directory has of it: of an empty file one that lies nowhere.
    pub(super) fn sections(self) -> impl Iterator<Item = Section> {
        (0..self.len.div_ceil(SECTION_MAX).max(1)).map(move |number| {
            let start = number * SECTION_MAX;
            let block = (self.block + start / BLOCK) as u32;
            Section { block, len: (self.len - start).min(SECTION_MAX) as u32 }
        })
    }

    /// The first byte in the volume.
    pub(super) fn start(self) -> u64 {
        self.block * BLOCK
    }

    /// Its first block.
    pub(super) fn block(self) -> u32 {
        self.block as u32
    }
}

/// Where everything is that is named by its block.
pub(super) struct Places {
    pub(super) path_tables: [u32; 2],
    /// What explains Rock Ridge.
    pub(super) explanation: u32,
    pub(super) directories: Vec<Section>,
    pub(super) files: Vec<Place>,
    /// The first block behind all of them.
    pub(super) end: u64,
}

impl Places {
    /// From block `first` on: tables and directories of `tree`, then files of these sizes in their order.
    pub(super) fn new(tree: &Tree, sizes: &[u64], first: u64) -> Result<Self> {
        let nowhere = Self::nowhere(tree, sizes);
        let records = Records { tree, places: &nowhere, recorded: [0; 7] };
        let mut next = Next(first);
        let path_tables = records.path_tables().map(|table| next.take(table.len() as u64, BLOCK) as u32);
        let explanation = next.take(BLOCK, BLOCK) as u32;
        let directory = |number| {
            let len = records.directory(number).len();
            Section { block: next.take(len as u64, BLOCK) as u32, len: len as u32 }
        };
        let directories = (0..tree.directories.len()).map(directory).collect();
        let file = |&len: &u64| match len {
            0 => Place::default(),
            _ => Place { block: next.take(len, if len < ALIGNED { BLOCK } else { ALIGNED }), len },
        };
        let files = sizes.iter().map(file).collect();
        next.check()?;
        Ok(Self { path_tables, explanation, directories, files, end: next.0 })
    }

    /// Before anything has its place: by the sizes alone, directories are as long as they will be.
    fn nowhere(tree: &Tree, sizes: &[u64]) -> Self {
        let directories = vec![Section::default(); tree.directories.len()];
        let files = sizes.iter().map(|&len| Place { block: 0, len }).collect();
        Self { path_tables: [0; 2], explanation: 0, directories, files, end: 0 }
    }
}

/// The first block that nothing has yet.
struct Next(u64);

impl Next {
    /// Blocks for so many bytes, at a multiple of `alignment` bytes.
    fn take(&mut self, len: u64, alignment: u64) -> u64 {
        let block = self.0.next_multiple_of(alignment / BLOCK);
        self.0 = block.saturating_add(len.div_ceil(BLOCK));
        block
    }

    /// That numbers of 32 bits name all blocks, with some to spare for the end of the volume.
    fn check(&self) -> Result<()> {
        const MOST: u64 = u32::MAX as u64 - (1 << 16);
        if self.0 <= MOST {
            return Ok(());
        }
        let [needed, available] = [self.0, MOST].map(|blocks| blocks.saturating_mul(BLOCK));
        let message =
            format!("the files need {}, and an ISO reaches to {}", show_size(needed), show_size(available));
        Err(Error::new(Kind::NoSpace { needed, available }, "ISO", message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_where_a_number_ends() {
        let cut = |len| -> Vec<_> {
            let place = Place { block: 40, len };
            place.sections().map(|section| (section.block, section.len)).collect()
        };
        let most = SECTION_MAX as u32;
        assert_eq!(cut(0), [(40, 0)]);
        assert_eq!(cut(SECTION_MAX), [(40, most)]);
        assert_eq!(cut(SECTION_MAX + 1), [(40, most), (40 + most / 2048, 1)]);
        assert_eq!(cut(FILE_MAX).len(), 100);
    }

    #[test]
    fn large_files_begin_at_a_multiple_of_what_is_read_at_once() {
        let tree = Tree::new(["a", "b", "c", "d"].into_iter()).unwrap();
        let places = Places::new(&tree, &[1, ALIGNED - 1, 0, ALIGNED], 19).unwrap();
        let blocks: Vec<_> = places.files.iter().map(|place| place.block()).collect();
        assert_eq!(blocks, [23, 24, 0, 64]);
        assert_eq!(places.end, 96);
    }

    #[test]
    fn a_volume_with_more_blocks_than_have_a_number_is_refused() {
        let tree = Tree::new(["a"].into_iter()).unwrap();
        let needs = |len| {
            Places::new(&tree, &[len], 19).map(|places| places.end).map_err(|error| error.kind().clone())
        };
        assert!(needs(8 << 40).is_err_and(|kind| matches!(kind, Kind::NoSpace { .. })));
        assert!(needs(7 << 40).is_ok());
    }
}
