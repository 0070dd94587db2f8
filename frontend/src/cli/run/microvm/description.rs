//! vm.json, checked: nothing that QEMU is given comes from outside of the folder.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use exporter::container::{self, Format};
use exporter::spec::Architecture;
use serde::Deserialize;

use super::shown;
use crate::base::{Error, Result};

/// The file that describes a microVM.
const DESCRIPTION: &str = "vm.json";
/// A description that is longer is none.
const LONGEST: u64 = 1 << 20;
/// The version that this program reads.
const VERSION: u32 = 1;
/// Bytes of a command line that Linux takes on a PC (`COMMAND_LINE_SIZE` less its end).
const LONGEST_CMDLINE: usize = 2047;
/// Mebibytes, a terabyte: what is larger is a mistake.
const MOST_MEMORY: u32 = 1 << 20;

/// A microVM whose files are there.
#[derive(Debug)]
pub(super) struct Microvm {
    pub(super) architecture: Architecture,
    pub(super) cpus: u16,
    pub(super) memory_mib: u32,
    pub(super) kernel: PathBuf,
    pub(super) initramfs: Option<PathBuf>,
    pub(super) cmdline: String,
    pub(super) drives: Vec<Drive>,
    /// The names of its ports.
    pub(super) agent: String,
    pub(super) status: String,
    /// What QEMU's machine may be.
    pub(super) machines: Vec<String>,
}

/// A drive whose file is there.
#[derive(Debug)]
pub(super) struct Drive {
    pub(super) id: String,
    pub(super) file: PathBuf,
    pub(super) format: Format,
    pub(super) read_only: bool,
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    version: u32,
    #[expect(dead_code, reason = "told to users of the file")]
    name: String,
    architecture: String,
    cpus: u16,
    memory_mib: u32,
    kernel: String,
    #[expect(dead_code, reason = "for monitors that take no other kernel")]
    vmlinux: Option<String>,
    initramfs: Option<String>,
    cmdline: String,
    drives: Vec<DescribedDrive>,
    #[serde(default)]
    #[expect(dead_code, reason = "told to users of the file")]
    ports: Vec<String>,
    agent: String,
    status: String,
    machines: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DescribedDrive {
    id: String,
    file: String,
    format: String,
    read_only: bool,
}

/// Whether the folder says that it is one.
pub(in crate::cli::run) fn is_microvm(path: &Path) -> bool {
    path.join(DESCRIPTION).is_file()
}

impl Microvm {
    /// Reads the description in a folder, and finds its files.
    ///
    /// # Errors
    /// If it is none of version 1, or names what is not a file of the folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let at = shown(folder, DESCRIPTION);
        let described = read(folder).map_err(|error| Error::user(&*at).because(error))?;
        described.check(folder).map_err(|wrong| match wrong {
            Wrong::Said(message) => Error::user(format!("{at}: {message}")),
            Wrong::Other(error) => error,
        })
    }
}

fn read(folder: &Path) -> std::io::Result<Described> {
    let mut bytes = Vec::new();
    File::open(folder.join(DESCRIPTION))?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// What is wrong with a description, or with a file that it names.
enum Wrong {
    Said(String),
    Other(Error),
}

impl Described {
    fn check(self, folder: &Path) -> Result<Microvm, Wrong> {
        let must =
            |is_right: bool, message: String| if is_right { Ok(()) } else { Err(Wrong::Said(message)) };
        must(self.version == VERSION, format!("version {} is not {VERSION}", self.version))?;
        must((1..=255).contains(&self.cpus), format!("cpus: {} are not 1 to 255", self.cpus))?;
        let memory = self.memory_mib;
        must(
            (1..=MOST_MEMORY).contains(&memory),
            format!("memory_mib: {memory} are not 1 to {MOST_MEMORY}"),
        )?;
        must(
            is_line(&self.cmdline, LONGEST_CMDLINE),
            "cmdline: is not one line that a kernel takes".to_owned(),
        )?;
        let architecture = architecture(&self.architecture)
            .ok_or_else(|| Wrong::Said(format!("architecture: {:?} is not known", self.architecture)))?;
        for name in [&self.agent, &self.status] {
            must(is_word(name), format!("{name:?} is no name of a port"))?;
        }
        let drives = self.drives.into_iter().map(|drive| drive.check(folder));
        Ok(Microvm {
            architecture,
            cpus: self.cpus,
            memory_mib: memory,
            kernel: file(folder, &self.kernel)?,
            initramfs: self.initramfs.as_deref().map(|name| file(folder, name)).transpose()?,
            cmdline: self.cmdline,
            drives: drives.collect::<Result<_, _>>()?,
            agent: self.agent,
            status: self.status,
            machines: self.machines,
        })
    }
}

impl DescribedDrive {
    fn check(self, folder: &Path) -> Result<Drive, Wrong> {
        if !is_word(&self.id) {
            return Err(Wrong::Said(format!("{:?} is no id of a drive", self.id)));
        }
        let path = file(folder, &self.file)?;
        let format = match self.format.as_str() {
            "raw" => Format::Raw,
            // QEMU opens what a disk file names, and writes to some of it: one of a stranger may name any file.
            "qcow2" => match container::open(&path).map_err(|error| Wrong::Other(error.into()))? {
                (Format::Qcow2, _) => Format::Qcow2,
                _ => return Err(Wrong::Said(format!("{}: is no qcow2", self.file))),
            },
            other => {
                return Err(Wrong::Said(format!("{}: format {other:?} is neither raw nor qcow2", self.file)));
            }
        };
        Ok(Drive { id: self.id, file: path, format, read_only: self.read_only })
    }
}

fn architecture(name: &str) -> Option<Architecture> {
    [Architecture::X86_64, Architecture::Aarch64].into_iter().find(|known| known.name() == name)
}

/// A file of the folder itself: a link could lead to any other, which the machine would read or write.
fn file(folder: &Path, name: &str) -> Result<PathBuf, Wrong> {
    let mut parts = Path::new(name).components();
    let is_plain =
        matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name);
    let path = folder.join(name);
    match path.symlink_metadata() {
        _ if !is_plain => Err(Wrong::Said(format!("{name:?} is no name of a file in the folder"))),
        Ok(metadata) if metadata.is_file() => Ok(path),
        Ok(_) => Err(Wrong::Said(format!("{name}: is no regular file"))),
        Err(error) => Err(Wrong::Other(Error::user(path.display().to_string()).because(error))),
    }
}

/// What QEMU takes as an id or a name, which ends at a comma.
fn is_word(text: &str) -> bool {
    let is_of_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    matches!(text.len(), 1..=64)
        && text.bytes().all(is_of_word)
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
}

fn is_line(text: &str, longest: usize) -> bool {
    text.len() <= longest && !text.contains(char::is_control)
}
