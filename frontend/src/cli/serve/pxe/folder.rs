//! The folder: its files are opened at the start, and no path is looked for after that.
//!
//! So a request can name nothing else, by whatever path or link, and a folder that is built anew is served as it was until
//! this program is started again: no machine gets half of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use exporter::spec::{Architecture, Mode};
use rustix::fs::{AtFlags, Dir, FileType, Mode as Permissions, OFlags, openat, statat};

use super::medium::{self, Medium};
use super::scripts;
use crate::base::{Error, Result};

/// What each file should be, by its digest.
const SUMS: &str = "SHA256SUMS";
/// A folder with more is something else.
const MOST_FILES: usize = 1000;
/// What is read as a whole is no longer than this.
const LONGEST_TEXT: u64 = 256 << 10;

/// What is in a file.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// As it lies in the folder.
    File(Arc<File>, u64),
    /// A script, with its server in it.
    Text(Arc<[u8]>),
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::File(_, len) => *len,
            Self::Text(text) => text.len() as u64,
        }
    }

    /// Fills `buffer` from a place on; an error if the file has become shorter.
    pub(super) fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File(file, _) => file.read_exact_at(buffer, at),
            Self::Text(text) => {
                let part = usize::try_from(at).ok().and_then(|at| text.get(at..)?.get(..buffer.len()));
                buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    /// What changes with the bytes, as HTTP wants it.
    pub(super) fn tag(&self) -> Option<String> {
        let Self::File(file, len) = self else { return None };
        let stat = file.metadata().ok()?;
        Some(format!("\"{:x}-{:x}.{:x}-{len:x}\"", stat.ino(), stat.mtime(), stat.mtime_nsec()))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        if self.len() > LONGEST_TEXT {
            return Err(Error::user(format!("{name}: is no text of a netboot folder, so long is it")));
        }
        let mut text = vec![0; self.len() as usize];
        self.read_at(0, &mut text)
            .map_err(|error| Error::user(format!("{name}: cannot be read")).because(error))?;
        Ok(text)
    }
}

/// A netboot folder that is whole.
#[derive(Debug)]
pub(in crate::cli) struct Folder {
    files: BTreeMap<String, Content>,
    medium: Medium,
    skipped: Vec<String>,
}

/// What one address serves.
#[derive(Debug)]
pub(super) struct Library(BTreeMap<String, Content>);

impl Folder {
    /// Opens its files.
    ///
    /// # Errors
    /// If it is no netboot folder, or lacks a part of one.
    pub(in crate::cli) fn open(path: &Path) -> Result<Self> {
        let in_folder = |error: Error| {
            let hint = error.hint().cloned();
            let error = Error::user(format!("{}: {error}", path.display()));
            hint.into_iter().fold(error, Error::with_hint)
        };
        let folder = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Permissions::empty());
        let folder = folder
            .map_err(|error| Error::user(format!("{}: cannot be opened", path.display())).because(error))?;
        Self::read(&folder).map_err(in_folder)
    }

    fn read(folder: &OwnedFd) -> Result<Self> {
        let (files, skipped) = open_files(folder)?;
        let text = |name: &str| match files.get(name) {
            Some(content) => content.read(name),
            None => Err(Error::user(format!("is no netboot folder, it has no {name}"))
                .with_hint("build one with --format netboot")),
        };
        let medium = Medium::read(&text(medium::FILE)?)?;
        let sums = text(SUMS)?;
        let sums = String::from_utf8_lossy(&sums);
        if let Some(name) = named(&sums).find(|name| !files.contains_key(*name)) {
            return Err(Error::user(format!("{name}: is missing, and {SUMS} names it"))
                .with_hint("copy or build the folder again"));
        }
        medium.check_lengths(|name| files.get(name))?;
        Ok(Self { files, medium, skipped })
    }

    pub(super) fn name(&self) -> &str {
        &self.medium.name
    }

    pub(in crate::cli) fn architecture(&self) -> Option<Architecture> {
        self.medium.architecture()
    }

    /// What an installer fetches, each file with its name and its length: what the medium is, the index of the disk, and the
    /// disk. `None` if it installs none.
    pub(in crate::cli) fn installed(&self) -> Option<[(&str, Arc<File>, u64); 3]> {
        let [disk, index] = self.medium.disk()?;
        let file = |name| match self.files.get(name)? {
            Content::File(file, len) => Some((name, Arc::clone(file), *len)),
            Content::Text(_) => None,
        };
        Some([file(medium::FILE)?, file(index)?, file(disk)?])
    }

    /// What lies in it and is not served, and why.
    pub(super) fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// The medium has this mode, and its scripts can be told.
    pub(super) fn check_mode(&self, mode: Option<Mode>) -> Result<()> {
        let Some(mode) = mode else { return Ok(()) };
        let modes = &self.medium.modes;
        if !modes.iter().any(|known| known == mode.name()) {
            let message = format!("{}: has no mode {}", self.name(), mode.name());
            return Err(Error::user(message).with_hint(format!("it has these: {}", modes.join(", "))));
        }
        match self.default_mode() {
            Some(_) => Ok(()),
            None => Err(Error::user("--mode: no script of the folder sets a mode by a line of its own")),
        }
    }

    /// Whether it is what machines do anyway.
    pub(super) fn is_default(&self, mode: Option<Mode>) -> bool {
        mode.is_none() || mode == self.default_mode()
    }

    fn default_mode(&self) -> Option<Mode> {
        [scripts::IPXE, scripts::GRUB].into_iter().find_map(|name| {
            let text = self.files.get(name)?.read(name).ok()?;
            scripts::mode(name, &String::from_utf8_lossy(&text))
        })
    }

    /// What a server at this address has.
    pub(super) fn library(&self, server: SocketAddrV4, mode: Option<Mode>) -> Result<Library> {
        let mut files = self.files.clone();
        for name in [scripts::IPXE, scripts::GRUB] {
            let Some(content) = files.get_mut(name) else { continue };
            let text = content.read(name)?;
            if let Some(script) = scripts::set(name, &String::from_utf8_lossy(&text), server, mode) {
                *content = Content::Text(script.into_bytes().into());
            }
        }
        let menu = files.get(scripts::GRUB).cloned();
        files.extend(menu.map(|menu| (scripts::GRUB_BELOW.to_owned(), menu)));
        Ok(Library(files))
    }
}

impl Library {
    /// The file of this name; slashes before it are taken for the folder.
    pub(super) fn find(&self, name: &str) -> Option<&Content> {
        self.0.get(name.trim_start_matches('/'))
    }

    pub(super) fn names(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &[u8])]) -> Self {
        let file = |(name, bytes): &(&str, &[u8])| ((*name).to_owned(), Content::Text((*bytes).into()));
        Self(files.iter().map(file).collect())
    }
}

/// The names in a list of sums: digest, two characters, name.
fn named(sums: &str) -> impl Iterator<Item = &str> {
    sums.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start_matches([' ', '*'])))
}

/// All files that lie in the folder itself; and what else does, and why it is no such file.
fn open_files(folder: &OwnedFd) -> Result<(BTreeMap<String, Content>, Vec<String>)> {
    let unreadable = |error: rustix::io::Errno| Error::user("cannot be read").because(error);
    let (mut files, mut skipped) = (BTreeMap::new(), Vec::new());
    for entry in Dir::read_from(folder).map_err(unreadable)?.take(MOST_FILES + 2) {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "." || name == ".." {
            continue;
        }
        match open_file(folder, &name)
            .map_err(|error| Error::user(format!("{name}: cannot be opened")).because(error))?
        {
            Ok(content) => drop(files.insert(name, content)),
            Err(reason) => skipped.push(format!("{name}: is not served, it is {reason}")),
        }
    }
    if files.len() + skipped.len() > MOST_FILES - 2 {
        return Err(Error::user(format!("is no netboot folder, it has {MOST_FILES} files or more")));
    }
    Ok((files, skipped))
}

/// A file of the folder, or what it is that is no file.
fn open_file(folder: &OwnedFd, name: &str) -> io::Result<Result<Content, &'static str>> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    if !name.bytes().all(is_plain) || name.starts_with('.') {
        return Ok(Err("of a name that is not plain"));
    }
    let file_type = FileType::from_raw_mode(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
    match file_type {
        FileType::RegularFile => {}
        FileType::Symlink => return Ok(Err("a link")),
        FileType::Directory => return Ok(Err("a directory")),
        _ => return Ok(Err("no regular file")),
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(folder, name, flags, Permissions::empty())?);
    let metadata = file.metadata()?;
    // Whoever may write to the folder could have put something else there since.
    Ok(if metadata.is_file() {
        Ok(Content::File(Arc::new(file), metadata.len()))
    } else {
        Err("no regular file")
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const MEDIUM: &str = r#"{"version":1,"name":"web","architecture":"x86-64","modes":["live","install"]}"#;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(medium::FILE, MEDIUM);
        write(SUMS, &format!("{0}  medium.json\n{0} *boot.ipxe\n", "0".repeat(64)));
        write("boot.ipxe", "#!ipxe\nset mode live\nset base ${cwduri}\n");
        folder
    }

    fn opened(folder: &Path) -> Result<Folder, String> {
        Folder::open(folder).map_err(|error| error.to_string())
    }

    #[test]
    fn only_plain_files_of_the_folder_itself_are_served() {
        let folder = folder();
        symlink("/etc/passwd", folder.path().join("passwd")).unwrap();
        symlink("boot.ipxe", folder.path().join("other.ipxe")).unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/key"), "secret").unwrap();
        fs::write(folder.path().join(".hidden"), "").unwrap();
        fs::write(folder.path().join("a b"), "").unwrap();
        let opened = opened(folder.path()).unwrap();
        assert_eq!(opened.skipped().len(), 5, "{:?}", opened.skipped());
        let library = opened.library("10.9.0.1:8080".parse().unwrap(), None).unwrap();
        for name in ["boot.ipxe", "/boot.ipxe", "//medium.json"] {
            assert!(library.find(name).is_some(), "{name}");
        }
        for name in [
            "",
            "/",
            ".",
            "..",
            "../web/boot.ipxe",
            "below/key",
            "passwd",
            "./boot.ipxe",
            "boot.ipxe/",
            "BOOT.IPXE",
        ] {
            assert!(library.find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_menu_of_grub_is_also_where_that_of_debian_looks() {
        let folder = folder();
        let server = "10.9.0.1:8080".parse().unwrap();
        let library = || opened(folder.path()).unwrap().library(server, Some(Mode::Install)).unwrap();
        assert!(library().find(scripts::GRUB_BELOW).is_none());
        let text = "set mode=live\nset server=$net_default_server\n";
        fs::write(folder.path().join(scripts::GRUB), text).unwrap();
        for name in ["grub.cfg", "/grub/grub.cfg", "grub/grub.cfg"] {
            let text = library().find(name).unwrap().read(name).unwrap();
            assert_eq!(text, b"set mode=install\nset server=10.9.0.1:8080\n", "{name}");
        }
        assert!(library().find("grub/medium.json").is_none());
    }

    #[test]
    fn a_folder_that_is_not_whole_is_refused() {
        for (name, text, part) in [
            (medium::FILE, None, "is no netboot folder, it has no medium.json"),
            (SUMS, None, "it has no SHA256SUMS"),
            ("boot.ipxe", None, "boot.ipxe: is missing, and SHA256SUMS names it"),
            (medium::FILE, Some("{"), "cannot be read"),
        ] {
            let folder = folder();
            match text {
                Some(text) => fs::write(folder.path().join(name), text).unwrap(),
                None => fs::remove_file(folder.path().join(name)).unwrap(),
            }
            let error = opened(folder.path()).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert!(opened(Path::new("/nonexistent")).unwrap_err().contains("cannot be opened"));
    }

    #[test]
    fn what_is_open_stays_as_it_was() {
        let folder = folder();
        let library = opened(folder.path()).unwrap().library("10.9.0.1:80".parse().unwrap(), None).unwrap();
        fs::remove_file(folder.path().join(medium::FILE)).unwrap();
        symlink("/etc/passwd", folder.path().join(medium::FILE)).unwrap();
        let mut bytes = vec![0; MEDIUM.len()];
        library.find(medium::FILE).unwrap().read_at(0, &mut bytes).unwrap();
        assert_eq!(bytes, MEDIUM.as_bytes());
    }

    #[test]
    fn a_mode_has_to_be_the_mediums() {
        let folder = opened(folder().path()).unwrap();
        assert!(folder.check_mode(Some(Mode::Install)).is_ok() && folder.check_mode(None).is_ok());
        assert!(folder.check_mode(Some(Mode::Rescue)).unwrap_err().to_string().contains("no mode rescue"));
        assert!(folder.is_default(Some(Mode::Live)) && folder.is_default(None));
        assert!(!folder.is_default(Some(Mode::Install)));
    }
}
