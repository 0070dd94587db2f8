//! Files of a folder in the layer of an image, read where they lie: a tar that is not packed, so that parts of it can be fetched.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::sync::Arc;

use tar::{EntryType, Header};

use super::layer::Section;

/// Bytes of a header, and what files are padded to.
const RECORD: u64 = 512;
/// Bytes that a header has for a name. Those of builds are shorter.
const NAME_MAX: usize = 100;
/// What ends an archive.
const END: u64 = 2 * RECORD;

/// Files in their order.
pub(super) struct Archive(pub(super) Vec<Member>);

/// A file, by its name in the archive.
pub(super) struct Member {
    pub(super) name: String,
    file: Arc<File>,
    len: u64,
}

impl Archive {
    /// Its bytes.
    pub(super) fn size(&self) -> u64 {
        self.0.iter().map(|member| RECORD + member.len.next_multiple_of(RECORD)).sum::<u64>() + END
    }

    /// All of it from its start.
    pub(super) fn reader(&self) -> impl Read + '_ {
        let end: Box<dyn Read + '_> = Box::new(io::repeat(0).take(END));
        self.0.iter().rev().fold(end, |rest, member| Box::new(member.reader().chain(rest)))
    }
}

impl Member {
    /// The first `len` bytes of a file.
    ///
    /// # Errors
    /// If no header has room for its name.
    pub(super) fn new(name: String, file: Arc<File>, len: u64) -> Result<Self, String> {
        match name.len() > NAME_MAX {
            true => Err(format!("{name:?} has a name of more than {NAME_MAX} bytes")),
            false => Ok(Self { name, file, len }),
        }
    }

    fn reader(&self) -> impl Read + '_ {
        let padding = self.len.next_multiple_of(RECORD) - self.len;
        let content = Section::new(&self.file, 0..self.len);
        Cursor::new(self.header()).chain(content).chain(io::repeat(0).take(padding))
    }

    /// Nothing of it is from a clock or of a user: the same files are the same layer.
    fn header(&self) -> [u8; RECORD as usize] {
        let mut header = Header::new_gnu();
        header.as_gnu_mut().expect("it is one of GNU").name[..self.name.len()]
            .copy_from_slice(self.name.as_bytes());
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(self.len);
        for set in [Header::set_uid, Header::set_gid, Header::set_mtime] {
            set(&mut header, 0);
        }
        header.set_cksum();
        *header.as_bytes()
    }
}
