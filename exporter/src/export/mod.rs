//! The files of a machine, out of its disk: the way back from a disk to an archive, or to an image of a container.
//!
//! ```text
//! disk ─▶ partition table ─▶ root ─▶ /etc/fstab ─▶ which partition is mounted where ─┐
//! tar ◀─ members, in the order of their names, each directory before what is in it ◀─┴─ all files, read once
//! ```
//!
//! Owners, modes, times to the nanosecond, extended attributes, ACLs, hard links, holes and devices are those of the disk.
//! Nothing is mounted, no byte of the disk is trusted, and memory does not grow with it.

mod find;
mod fstab;
mod member;
mod noticed;
mod part;

use std::io::Write;

use crate::error::{Error, Result};
use crate::fs::files::{FileKind, Met, Step, walk};
use crate::fs::{DiskBudget, FileSystem};
use crate::image::layer;
use crate::image::pax::{self, MemberKind};
use crate::read_at::{Part, Shared};
use crate::tree::Meta;
pub use find::{Machine, find};
use find::{Mounted, Place};
use fstab::Permissions;
pub use noticed::Noticed;
use part::Only;

/// What is done with the files.
pub struct Export<'a> {
    /// The machine that they are of.
    pub machine: &'a Machine,
    /// What reading the disk may cost.
    pub budget: &'a DiskBudget,
    /// Whether the tar is a layer of an image, in which some names mean something else.
    pub is_layer: bool,
}

/// What was exported.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// Files, directories and all else.
    pub files: u64,
    /// Bytes of contents.
    pub bytes: u64,
    /// What is said of the machine in its files.
    pub noticed: Noticed,
    /// What is not in the tar, a line each.
    pub notes: Vec<String>,
}

impl Export<'_> {
    /// Write all files as a tar. `seen` is told of the bytes of contents, of each file once at least, and may end it.
    ///
    /// # Errors
    /// `Unsupported` for a file system whose files are not read, or that was not unmounted; `Corrupt` for one that breaks its
    /// format; `Io` for `out`; what `seen` says.
    pub fn write_tar(
        &self,
        out: &mut dyn Write,
        seen: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Exported> {
        let mut writer = self.writer(out, seen);
        writer.walk()?;
        writer.put(&pax::END)?;
        Ok(writer.finish())
    }

    fn writer<'a>(
        &'a self,
        out: &'a mut dyn Write,
        seen: &'a mut dyn FnMut(u64) -> Result<()>,
    ) -> Writer<'a> {
        Writer {
            export: self,
            out,
            seen,
            mounts: self.machine.mounts.iter().map(Some).collect(),
            sockets: 0,
            exported: Exported { notes: self.machine.notes.clone(), ..Exported::default() },
            part: None,
        }
    }
}

/// A tar that is being written.
struct Writer<'a> {
    export: &'a Export<'a>,
    out: &'a mut dyn Write,
    seen: &'a mut dyn FnMut(u64) -> Result<()>,
    /// Those that were not met yet.
    mounts: Vec<Option<&'a Mounted>>,
    sockets: u64,
    exported: Exported,
    /// What alone is written.
    part: Option<Only>,
}

impl<'a> Writer<'a> {
    /// Go over all files.
    fn walk(&mut self) -> Result<()> {
        self.volume(&self.export.machine.root, b"", None)
    }

    /// All files of a volume, below `prefix`, with `permissions` where it has none of its own.
    fn volume(&mut self, place: &Place, prefix: &[u8], permissions: Option<Permissions>) -> Result<()> {
        let disk: Shared = self.export.machine.disk.clone();
        let part = Part::new(&*disk, place.range.clone());
        let budget = self.export.budget;
        walk(&part, budget, &mut |met| self.member(prefix, met, permissions)).map_err(|error| place.at(error))
    }

    fn member(&mut self, prefix: &[u8], met: &Met<'_>, permissions: Option<Permissions>) -> Result<Step> {
        // There may be millions without contents.
        (self.seen)(0)?;
        let path = &joined(prefix, met.path);
        let place = match &mut self.part {
            Some(part) => part.place(path, prefix, met)?,
            None => part::Place::Inside(path.clone()),
        };
        if matches!(place, part::Place::Outside(Step::Over)) {
            return Ok(Step::Over);
        }
        if !met.path.is_empty()
            && matches!(met.kind, FileKind::Directory)
            && let Some(mounted) = self.mounted_on(path)
        {
            let of_fat = mounted.file_system == FileSystem::Vfat.name();
            self.volume(&mounted.place, path, of_fat.then_some(mounted.permissions))?;
            return Ok(Step::Over);
        }
        let name = match place {
            part::Place::Outside(step) => return Ok(step),
            part::Place::Inside(name) => name,
        };
        if self.export.is_layer {
            layer::check_name(path.rsplit(|&byte| byte == b'/').next().unwrap_or_default(), path)?;
        }
        let meta = match permissions {
            Some(permissions) => &Meta { permissions: permissions.of_kind(&met.kind), ..met.meta.clone() },
            None => met.meta,
        };
        self.write(&name, meta, prefix, &met.kind)?;
        Ok(Step::Into)
    }

    /// What is mounted there, once.
    fn mounted_on(&mut self, path: &[u8]) -> Option<&'a Mounted> {
        let found =
            self.mounts.iter_mut().find(|mounted| mounted.is_some_and(|mounted| mounted.path == path));
        found.and_then(Option::take)
    }

    fn write(&mut self, path: &[u8], meta: &Meta, prefix: &[u8], kind: &FileKind<'_>) -> Result<()> {
        let first;
        let kind = match *kind {
            FileKind::File { len, content } => {
                self.exported.files += 1;
                return self.file(path, meta, len, content);
            }
            FileKind::Socket | FileKind::Link { is_socket: true, .. } => {
                // Archives have none, and one without the program that made it is of no use.
                self.sockets += 1;
                return Ok(());
            }
            FileKind::Directory => MemberKind::Directory,
            FileKind::Link { first: target, is_socket: false } => {
                let path = joined(prefix, target);
                first = self.part.as_ref().map_or(path.clone(), |part| part.name_of(&path));
                MemberKind::Link(&first)
            }
            FileKind::Symlink(target) => MemberKind::Symlink(target),
            FileKind::Fifo => MemberKind::Fifo,
            FileKind::CharDevice(device) => MemberKind::CharDevice(device),
            FileKind::BlockDevice(device) => MemberKind::BlockDevice(device),
        };
        self.exported.files += 1;
        let name: &[u8] = if path.is_empty() { b"./" } else { path };
        let header = pax::header(name, meta, kind)?;
        self.put(&header)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|error| Error::io("the tar", "cannot be written", error))
    }

    fn finish(self) -> Exported {
        let Self { mut exported, mounts, sockets, .. } = self;
        let missed = mounts.into_iter().flatten();
        exported.notes.extend(missed.map(|mounted| {
            let path = crate::error::show_path(&mounted.path);
            format!("{path}: {} is to be mounted there, and there is no such directory", mounted.place.name)
        }));
        exported.notes.extend((sockets > 0).then(|| format!("sockets: {sockets}, which no archive has")));
        exported
    }
}

fn joined(prefix: &[u8], path: &[u8]) -> Vec<u8> {
    match (prefix, path) {
        (b"", path) => path.to_vec(),
        (prefix, b"") => prefix.to_vec(),
        (prefix, path) => [prefix, path].join(&b'/'),
    }
}
