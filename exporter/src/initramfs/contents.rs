//! The files of an archive in the order of their names, in which a directory comes before what is in it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::cpio::{Writer, check_size};
use crate::error::Result;
use crate::tree::Time;

/// Files by name, without a slash in front.
#[derive(Default)]
pub(super) struct Contents<'a>(BTreeMap<String, Entry<'a>>);

enum Entry<'a> {
    Directory,
    CharacterDevice(u32, (u32, u32)),
    File(u32, Cow<'a, [u8]>),
}

impl<'a> Contents<'a> {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn directory(&mut self, name: &str) {
        self.add(name, Entry::Directory);
    }

    pub(super) fn character_device(&mut self, name: &str, permissions: u32, device: (u32, u32)) {
        self.add(name, Entry::CharacterDevice(permissions, device));
    }

    /// # Errors
    /// If it is larger than an archive takes.
    pub(super) fn file(
        &mut self,
        name: &str,
        permissions: u32,
        bytes: impl Into<Cow<'a, [u8]>>,
    ) -> Result<()> {
        let bytes = bytes.into();
        check_size(name, bytes.len() as u64)?;
        self.add(name, Entry::File(permissions, bytes));
        Ok(())
    }

    /// With the directories that it is in.
    fn add(&mut self, name: &str, entry: Entry<'a>) {
        for (slash, _) in name.match_indices('/') {
            let parent = name.get(..slash).unwrap_or_default();
            self.0.entry(parent.to_owned()).or_insert(Entry::Directory);
        }
        self.0.insert(name.to_owned(), entry);
    }

    pub(super) fn archive(&self, time: Time) -> Vec<u8> {
        let mut writer = Writer::new(time);
        for (name, entry) in &self.0 {
            match entry {
                Entry::Directory => writer.directory(name),
                Entry::CharacterDevice(permissions, device) => {
                    writer.character_device(name, *permissions, *device);
                }
                Entry::File(permissions, bytes) => writer.file(name, *permissions, bytes),
            }
        }
        writer.finish()
    }
}
