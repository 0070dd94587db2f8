//! From the root in a slot to what systemd-boot starts: what the root says of its entry, as `exporter/src/assemble/slot_entry.rs`
//! has written it, and the files that the entry names. Of one with verity it is `slot_image.rs`, and there is nothing to copy.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2, sendfile};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Slot;
use super::disk::Partition;
use super::entry_name::is_plain;
use crate::grow::device::in_file;

/// Where a root says how it is started.
const RECIPE: &str = "usr/lib/vmimage/entry.json";
const RECIPE_MAX: u64 = 1 << 16;
/// What kernel-install(8) calls every kernel.
const LINUX: &str = "linux";
/// How many starts may end in no good boot, unless it is said.
const TRIES: u32 = 3;
/// What an entry says of the root that it was made of, in a comment, in front of the label that the slot had.
const MADE_OF: &str = "Root: ";
/// Bytes of files that are compared or copied at once.
const CHUNK: usize = 1 << 18;

/// What a root says.
#[derive(Debug, Deserialize)]
pub(super) struct Recipe {
    /// What names on the ESP begin with, if it has none yet.
    pub(super) token: String,
    title: String,
    /// The kernel's command line, with the variables of a slot.
    options: String,
    /// Paths in the root.
    linux: String,
    initrd: Option<String>,
    /// How many starts may end in no good boot.
    pub(super) tries: u32,
}

/// What every root says of how it is started, also one whose image comes beside it.
#[derive(Debug, Deserialize)]
pub(super) struct Start {
    /// What names on the ESP begin with, if it has none yet.
    pub(super) token: String,
    tries: u32,
}

impl Start {
    /// That of the root whose files are at `root`.
    pub(super) fn read(root: &Path) -> Result<Self, String> {
        let start: Self = said(root)?;
        if is_plain(&start.token) { Ok(start) } else { Err(damaged(root)) }
    }

    /// How many starts may end in no good boot.
    pub(super) fn tries(start: Result<Self, String>) -> u32 {
        start.map_or(TRIES, |start| start.tries)
    }
}

/// What a root says, as far as it is asked.
fn said<T: DeserializeOwned>(root: &Path) -> Result<T, String> {
    let path = root.join(RECIPE);
    let text = read(&path, RECIPE_MAX).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            format!("{}: is not there, this root was not built for systemd-boot", path.display())
        }
        _ => in_file(&path)(error),
    })?;
    serde_json::from_str(&text).map_err(in_file(&path))
}

fn damaged(root: &Path) -> String {
    format!("{}: is damaged", root.join(RECIPE).display())
}

impl Recipe {
    /// That of the root whose files are at `root`.
    pub(super) fn read(root: &Path) -> Result<Self, String> {
        let recipe: Self = said(root)?;
        let is_line = |text: &str| !text.contains(['\n', '\r']);
        let names = [Some(&*recipe.token), recipe.initrd_name()];
        let lines = [&recipe.title, &recipe.options];
        if !names.into_iter().flatten().all(is_plain) || !lines.into_iter().all(|text| is_line(text)) {
            return Err(damaged(root));
        }
        Ok(recipe)
    }

    /// Whether all files are in the folder of the slot, as the root has them.
    pub(super) fn has_files(&self, root: &Path, esp: &Path, token: &str, slot: Slot) -> Result<bool, String> {
        let folder = folder(esp, token, slot);
        for (from, name) in self.files() {
            let original = open_within(root, from)?;
            let same = File::open(folder.join(name)).and_then(|copy| are_same(&original, &copy));
            // A copy that cannot be read is none.
            if !same.unwrap_or_default() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Put them there, in the place of all that was. If that fails there is nothing: others miss the room.
    pub(super) fn copy_files(&self, root: &Path, esp: &Path, token: &str, slot: Slot) -> Result<(), String> {
        let folder = folder(esp, token, slot);
        remove(&folder)?;
        let copied = self.copy_into(&folder, root, esp);
        if copied.is_err() {
            let _ = remove(&folder);
        }
        copied
    }

    fn copy_into(&self, folder: &Path, root: &Path, esp: &Path) -> Result<(), String> {
        fs::create_dir_all(folder).map_err(in_file(folder))?;
        for (from, name) in self.files() {
            let to = folder.join(name);
            copy(&open_within(root, from)?, &to).map_err(in_file(&to))?;
        }
        for folder in folder.ancestors().take_while(|folder| folder.starts_with(esp)) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(in_file(folder))?;
        }
        Ok(())
    }

    /// The text of the entry of a slot, which is this partition.
    pub(super) fn entry(&self, token: &str, slot: Slot, partition: &Partition, version: u64) -> String {
        let Self { title, options, .. } = self;
        let (name, options) = (slot.name(), filled(options, slot, &partition.id));
        let label = one_line(&partition.label);
        let initrd = self.initrd_name().map(|initrd| format!("initrd     /{token}/{name}/{initrd}\n"));
        format!(
            "# Written by vmimage-boot.\n\
             # {MADE_OF}{label}\n\
             title      {title}, slot {name}\n\
             version    {version}\n\
             sort-key   {token}\n\
             options    {options}\n\
             linux      /{token}/{name}/{LINUX}\n{}",
            initrd.unwrap_or_default()
        )
    }

    /// Each by its path in the root and its name on the ESP.
    fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let initrd = self.initrd.as_deref().zip(self.initrd_name());
        std::iter::once((&*self.linux, LINUX)).chain(initrd)
    }

    fn initrd_name(&self) -> Option<&str> {
        self.initrd.as_deref()?.rsplit('/').next()
    }
}

/// In place of the variables that GRUB fills in for a slot.
fn filled(options: &str, slot: Slot, id: &str) -> String {
    let fill = |word: &str| match word {
        "root=$slot_root" => format!("root=PARTUUID={id}"),
        "root=/dev/disk/by-partuuid/$slot_partuuid" => format!("root=/dev/disk/by-partuuid/{id}"),
        "rauc.slot=$slot" => format!("rauc.slot={}", slot.name()),
        word => word.to_owned(),
    };
    options.split_ascii_whitespace().map(fill).collect::<Vec<_>>().join(" ")
}

/// The values of a key of an entry; systemd-boot puts those of several lines of options together.
pub(super) fn values<'a>(entry: &'a str, key: &str) -> impl Iterator<Item = &'a str> {
    let pairs = entry.lines().filter_map(|line| line.trim_start().split_once(char::is_whitespace));
    pairs.filter(move |(name, _)| *name == key).map(|(_, value)| value.trim())
}

/// The label of the root that an entry was made of, as [`one_line`] has it; `None`: it does not say.
pub(super) fn made_of(entry: &str) -> Option<&str> {
    values(entry, "#").find_map(|text| text.strip_prefix(MADE_OF))
}

/// A label as an entry has it: whoever writes a table may write line feeds into it.
pub(super) fn one_line(label: &str) -> String {
    label.replace(char::is_control, "?").trim().to_owned()
}

/// Whether an entry starts a slot.
pub(super) fn is_of(entry: &str, slot: Slot) -> bool {
    let word = format!("rauc.slot={}", slot.name());
    values(entry, "options").flat_map(str::split_ascii_whitespace).any(|own| own == word)
}

/// A text of at most so many bytes. Where sectors of a FAT were never written it may be anything, and is no error.
pub(super) fn read(path: &Path, max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn folder(esp: &Path, token: &str, slot: Slot) -> PathBuf {
    esp.join(token).join(slot.name())
}

pub(super) fn remove(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(in_file(folder)(error)),
        _ => Ok(()),
    }
}

/// A file of a root, whose links lead to places of the same root.
fn open_within(root: &Path, path: &str) -> Result<File, String> {
    let opened = || {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let root = open(root, flags | OFlags::DIRECTORY, Mode::empty())?;
        openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
    };
    opened()
        .map(File::from)
        .map_err(|error: rustix::io::Errno| format!("{}: {path}: {error}", root.display()))
}

fn copy(from: &File, to: &Path) -> io::Result<()> {
    let file = File::create(to)?;
    // From where the last one has ended.
    while sendfile(&file, from, None, CHUNK)? > 0 {}
    file.sync_all()
}

fn are_same(one: &File, other: &File) -> io::Result<bool> {
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let [mut one, mut other] = [one, other].map(|file| BufReader::with_capacity(CHUNK, file));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let len = left.len().min(right.len());
        if left[..len] != right[..len] {
            return Ok(false);
        }
        if len == 0 {
            return Ok(left.len() == right.len());
        }
        one.consume(len);
        other.consume(len);
    }
}
