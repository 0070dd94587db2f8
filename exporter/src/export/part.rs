//! A file or a directory of a machine, out of its disk: a tar of it alone, by a name of one's own.
//!
//! The way to it is gone as the machine would: through links, of which a few dozen may lead to each other. What it leads to
//! itself is not followed. Other directories are not read.

use std::collections::BTreeMap;
use std::io::Write;

use super::{Export, Exported, Writer, joined};
use crate::error::{Error, Kind, Result, show_path};
use crate::fs::files::{FileKind, Met, Step};
use crate::image::pax;

/// Links that may be on the way to a file, as in Linux (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;
/// Further names, in what is copied, of files that lie elsewhere.
const ELSEWHERE_MAX: usize = 10_000;

/// What is copied, and what was met on the way to it.
pub(super) struct Only {
    /// Without a slash in front.
    path: Vec<u8>,
    /// The name that it has in the tar.
    name: Vec<u8>,
    /// What was found at the path.
    found: Option<Found>,
    /// Files elsewhere, by the name under which each was met first, and the names in the tar that are theirs.
    elsewhere: Elsewhere,
    /// How many names these are.
    names: usize,
}

type Elsewhere = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

enum Found {
    It,
    /// A link on the way: where it is, and where it leads.
    Link(Vec<u8>, Vec<u8>),
    /// A file where a directory should be.
    NoDirectory,
}

/// Where a file lies from what is copied.
pub(super) enum Place {
    /// On the way to it, or beside it.
    Outside(Step),
    /// It, or in it: its path in the tar.
    Inside(Vec<u8>),
}

impl Export<'_> {
    /// Write a tar of what is at `path`, an absolute one: a file, or a directory with all that is in it. Its name in the tar is
    /// `name`. Holes are zeros in it.
    ///
    /// # Errors
    /// `NotFound` if there is nothing; those of [`write_tar`](Export::write_tar).
    pub fn write_part(
        &self,
        path: &[u8],
        name: &[u8],
        out: &mut dyn Write,
        seen: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Exported> {
        let mut exported = Exported::default();
        let mut path = clean(path);
        for _ in 0..LINKS_MAX {
            let part = Only::new(path.clone(), name.to_owned());
            let mut writer = Writer { part: Some(part), ..self.writer(out, seen) };
            writer.walk()?;
            let only = writer.part.take();
            exported.add(writer.finish());
            let (found, elsewhere) = only.map(|only| (only.found, only.elsewhere)).unwrap_or_default();
            match found {
                Some(Found::It) => {
                    self.write_elsewhere(elsewhere, out, seen, &mut exported)?;
                    return put(out, &pax::END).map(|()| exported);
                }
                Some(Found::Link(at, target)) => path = follow(&path, &at, &target),
                Some(Found::NoDirectory) | None => return Err(missing(&path)),
            }
        }
        Err(Error::new(Kind::NotFound, show_path(&path), "lies behind too many links"))
    }

    /// Files with further names in what was copied: once by the first of these, and the others as links to that.
    fn write_elsewhere(
        &self,
        elsewhere: Elsewhere,
        out: &mut dyn Write,
        seen: &mut dyn FnMut(u64) -> Result<()>,
        exported: &mut Exported,
    ) -> Result<()> {
        for (path, names) in elsewhere {
            let Some((name, others)) = names.split_first() else { continue };
            let part = Only::new(path, name.clone());
            let mut writer = Writer { part: Some(part), ..self.writer(out, seen) };
            writer.walk()?;
            exported.add(writer.finish());
            for other in others {
                let header = pax::header(other, &crate::tree::Meta::default(), pax::MemberKind::Link(name))?;
                put(out, &header)?;
                exported.files += 1;
            }
        }
        Ok(())
    }
}

impl Only {
    fn new(path: Vec<u8>, name: Vec<u8>) -> Self {
        Self { path, name, found: None, elsewhere: Elsewhere::new(), names: 0 }
    }

    /// Where what is met at `path` lies; what is on the way to what is copied is noted. `prefix` is where its volume is
    /// mounted.
    pub(super) fn place(&mut self, path: &[u8], prefix: &[u8], met: &Met<'_>) -> Result<Place> {
        if below(path, &self.path).is_some() {
            self.found = Some(Found::It);
            let name = self.name_of(path);
            if let FileKind::Link { first, is_socket: false } = met.kind
                && below(&joined(prefix, first), &self.path).is_none()
            {
                return self.add_elsewhere(joined(prefix, first), name).map(|()| Place::Outside(Step::Over));
            }
            return Ok(Place::Inside(name));
        }
        if below(&self.path, path).is_none() {
            return Ok(Place::Outside(Step::Over));
        }
        Ok(Place::Outside(match met.kind {
            FileKind::Directory => Step::Into,
            FileKind::Symlink(target) => {
                self.found = Some(Found::Link(path.to_owned(), target.to_owned()));
                Step::Over
            }
            _ => {
                self.found = Some(Found::NoDirectory);
                Step::Over
            }
        }))
    }

    fn add_elsewhere(&mut self, first: Vec<u8>, name: Vec<u8>) -> Result<()> {
        self.names += 1;
        if self.names > ELSEWHERE_MAX {
            let message = format!("has more than {ELSEWHERE_MAX} further names of files that lie elsewhere");
            return Err(Error::new(Kind::Unsupported, show_path(&self.path), message));
        }
        self.elsewhere.entry(first).or_default().push(name);
        Ok(())
    }

    /// The name in the tar of a file that is copied.
    pub(super) fn name_of(&self, path: &[u8]) -> Vec<u8> {
        let rest = below(path, &self.path).unwrap_or_default();
        joined(&self.name, rest.strip_prefix(b"/").unwrap_or(rest))
    }
}

impl Exported {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.notes = other.notes;
    }
}

/// What of `path` follows behind `folder`, if it is that or in it.
fn below<'p>(path: &'p [u8], folder: &[u8]) -> Option<&'p [u8]> {
    match folder {
        // The root: what follows is in front of a slash that is not there.
        b"" => Some(path),
        folder => path.strip_prefix(folder).filter(|rest| rest.is_empty() || rest.starts_with(b"/")),
    }
}

/// The path as files are met by: no slash in front, no `.` and no `..`.
fn clean(path: &[u8]) -> Vec<u8> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join(&b'/')
}

/// The path with where the link at `at` leads in its place.
fn follow(path: &[u8], at: &[u8], target: &[u8]) -> Vec<u8> {
    let rest = below(path, at).unwrap_or_default();
    let folder = at.iter().rposition(|&byte| byte == b'/').and_then(|end| at.get(..end)).unwrap_or_default();
    let base: &[u8] = if target.starts_with(b"/") { b"" } else { folder };
    clean(&[base, b"/", target, rest].concat())
}

fn missing(path: &[u8]) -> Error {
    Error::new(Kind::NotFound, show_path(path), "is not there")
}

fn put(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(|error| Error::io("the tar", "cannot be written", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_met_without_what_leads_around() {
        for (path, expected) in [
            ("/etc//nginx/./conf.d/", "etc/nginx/conf.d"),
            ("/", ""),
            ("/../etc/../usr", "usr"),
            ("/a/b/../../..", ""),
        ] {
            assert_eq!(clean(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn links_on_the_way_are_gone_through() {
        for (path, at, target, expected) in [
            ("bin/sh", "bin", "usr/bin", "usr/bin/sh"),
            ("var/run/x", "var/run", "/run", "run/x"),
            ("a/b/c", "a/b", "../d", "d/c"),
            ("a/b/c", "a/b", "../../../../d", "d/c"),
        ] {
            let [path, at, target] = [path, at, target].map(str::as_bytes);
            assert_eq!(follow(path, at, target), expected.as_bytes());
        }
    }

    #[test]
    fn what_begins_alike_is_not_below() {
        assert_eq!(below(b"etc/nginx", b"etc"), Some(&b"/nginx"[..]));
        assert_eq!(below(b"etc", b"etc"), Some(&b""[..]));
        assert_eq!(below(b"etcetera", b"etc"), None);
        assert_eq!(below(b"etc", b""), Some(&b"etc"[..]));
    }
}
