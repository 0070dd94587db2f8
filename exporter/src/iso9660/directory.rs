//! Directories and path tables as they lie on the volume.

use zerocopy::IntoBytes;

use super::place::{Places, Section};
use super::rock_ridge::{self, SystemUse};
use super::tree::{Child, Node, Tree};
use crate::fs::iso9660::format::{BLOCK, Both16, DirectoryRecord, PathTableRecordL, PathTableRecordM};

/// The identifiers of the first two records of a directory (7.6.2).
const ITSELF: [u8; 1] = [0];
const PARENT: [u8; 1] = [1];

/// What all records have in common.
pub(super) struct Records<'a> {
    pub(super) tree: &'a Tree,
    pub(super) places: &'a Places,
    /// When everything was made.
    pub(super) recorded: [u8; 7],
}

impl Records<'_> {
    /// The directory with this number: whole blocks, and no record lies in two (6.8.1.1).
    pub(super) fn directory(&self, number: usize) -> Vec<u8> {
        let directory = &self.tree.directories[number];
        let mut records = Blocks(Vec::new());
        let own = match number {
            0 => SystemUse::of_root(directory.links(), self.recorded, self.places.explanation),
            _ => self.of_directory(number),
        };
        records.push(self.record(&ITSELF, self.places.directories[number], DirectoryRecord::DIRECTORY, &own));
        let above = directory.parent;
        let section = self.places.directories[above];
        records.push(self.record(&PARENT, section, DirectoryRecord::DIRECTORY, &self.of_directory(above)));
        for child in &directory.children {
            self.child(child, &mut records);
        }
        records.finish()
    }

    /// One record, but for a file in several sections, which has one of each (6.5.1).
    fn child(&self, child: &Child, records: &mut Blocks) {
        let identifier = child.identifier.bytes();
        match child.node {
            Node::Directory(number) => {
                let system_use = self.of_directory(number).named(&child.name);
                let section = self.places.directories[number];
                records.push(self.record(&identifier, section, DirectoryRecord::DIRECTORY, &system_use));
            }
            Node::File(number) => {
                let system_use = SystemUse::new(rock_ridge::FILE, 1, self.recorded).named(&child.name);
                let mut sections = self.places.files[number].sections().peekable();
                while let Some(section) = sections.next() {
                    let flags = if sections.peek().is_some() { DirectoryRecord::MULTI_EXTENT } else { 0 };
                    records.push(self.record(&identifier, section, flags, &system_use));
                }
            }
        }
    }

    fn of_directory(&self, number: usize) -> SystemUse {
        SystemUse::new(rock_ridge::DIRECTORY, self.tree.directories[number].links(), self.recorded)
    }

    fn record(&self, identifier: &[u8], section: Section, flags: u8, system_use: &SystemUse) -> Vec<u8> {
        let mut bytes = self.head(identifier, section, flags).as_bytes().to_vec();
        bytes.extend_from_slice(identifier);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes.extend_from_slice(system_use.bytes());
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        // The limits of names keep it under 256.
        bytes[0] = bytes.len() as u8;
        bytes
    }

    fn head(&self, identifier: &[u8], section: Section, flags: u8) -> DirectoryRecord {
        DirectoryRecord {
            length: size_of::<DirectoryRecord>() as u8 + 1,
            extended_attribute_length: 0,
            extent: section.block.into(),
            data_length: section.len.into(),
            recorded: self.recorded,
            flags,
            file_unit_size: 0,
            interleave_gap_size: 0,
            volume_sequence_number: Both16::from(1),
            identifier_length: identifier.len() as u8,
        }
    }

    /// The root as the volume descriptor has it, with nothing behind.
    pub(super) fn root(&self) -> DirectoryRecord {
        self.head(&ITSELF, self.places.directories[0], DirectoryRecord::DIRECTORY)
    }

    /// The path tables of both types (6.9); both are as long.
    pub(super) fn path_tables(&self) -> [Vec<u8>; 2] {
        let mut tables = [Vec::new(), Vec::new()];
        for (directory, place) in self.tree.directories.iter().zip(&self.places.directories) {
            let identifier = directory.identifier.as_ref().map_or(ITSELF.to_vec(), |it| it.bytes());
            let (identifier_length, extended_attribute_length) = (identifier.len() as u8, 0);
            // The tree has no more directories than this can say.
            let (extent, parent) = (place.block, directory.parent as u16 + 1);
            let little = PathTableRecordL {
                identifier_length,
                extended_attribute_length,
                extent: extent.into(),
                parent: parent.into(),
            };
            let big = PathTableRecordM {
                identifier_length,
                extended_attribute_length,
                extent: extent.into(),
                parent: parent.into(),
            };
            for (table, head) in tables.iter_mut().zip([little.as_bytes(), big.as_bytes()]) {
                table.extend_from_slice(head);
                table.extend_from_slice(&identifier);
                table.resize(table.len().next_multiple_of(2), 0);
            }
        }
        tables
    }
}

/// Records, none of which lies in two blocks.
struct Blocks(Vec<u8>);

impl Blocks {
    fn push(&mut self, record: Vec<u8>) {
        let end_of_block = self.0.len().next_multiple_of(BLOCK as usize);
        if self.0.len() + record.len() > end_of_block && self.0.len() < end_of_block {
            self.0.resize(end_of_block, 0);
        }
        self.0.extend(record);
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(BLOCK as usize), 0);
        self.0
    }
}
