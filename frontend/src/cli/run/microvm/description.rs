//! vm.json, checked: nothing that QEMU is given comes from outside of the folder.

use std::path::{Path, PathBuf};

use exporter::container::microvm::{self, DriveFormat, Vm};
use exporter::container::{self, Format};
use exporter::spec::Architecture;

use crate::base::{Error, Result};

/// The file that describes a microVM, for errors.
const DESCRIPTION: &str = "vm.json";
/// Bytes of a command line that Linux takes on a PC (`COMMAND_LINE_SIZE` less its end).
const LONGEST_CMDLINE: usize = 2047;
/// Mebibytes, a terabyte: what is larger is a mistake.
const MOST_MEMORY: u64 = 1 << 20;

/// The names of files that were moved.
const KERNEL: &str = "kernel";
const INITRAMFS: &str = "initramfs";

/// A microVM whose files are there.
#[derive(Debug)]
pub(in crate::cli::run) struct Microvm {
    pub(super) architecture: Architecture,
    pub(super) cpus: u32,
    pub(super) memory_mib: u64,
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

/// Where the bytes of a drive are.
#[derive(Debug)]
pub(in crate::cli::run) enum At {
    /// In a file.
    File(PathBuf),
    /// With a server of NBD that listens on this socket; they are only read, and writes are thrown away.
    Server(PathBuf),
}

/// A drive that is there.
#[derive(Debug)]
pub(super) struct Drive {
    pub(super) id: String,
    pub(super) at: At,
    pub(super) format: Format,
    pub(super) read_only: bool,
}

impl Microvm {
    /// Reads the description in a folder, and finds its files.
    ///
    /// # Errors
    /// If it is none that can be understood, or names what is not a file of the folder.
    pub(in crate::cli::run) fn read(folder: &Path) -> Result<Self> {
        check(Vm::read(folder)?, folder).map_err(|wrong| match wrong {
            Wrong::Said(message) => Error::user(format!("{}: {message}", folder.join(DESCRIPTION).display())),
            Wrong::Other(error) => error,
        })
    }

    /// The same with another root, of raw bytes.
    pub(in crate::cli::run) fn with_root(self, at: At) -> Self {
        let root = Drive { id: "root".to_owned(), at, format: Format::Raw, read_only: false };
        Self { drives: vec![root], ..self }
    }

    /// The same, so large.
    pub(in crate::cli::run) fn with_size(self, cpus: u32, memory_mib: u64) -> Self {
        Self { cpus, memory_mib, ..self }
    }

    /// The same with its files in another folder of their file system, each by the name of what it is.
    ///
    /// # Errors
    /// If one cannot be moved.
    pub(in crate::cli::run) fn moved_to(mut self, folder: &Path) -> Result<Self> {
        let moved = |file: &mut PathBuf, name: &str| -> Result<()> {
            let to = folder.join(name);
            std::fs::rename(&*file, &to).map_err(|error| {
                Error::user(format!("{}: cannot be moved to {}", file.display(), to.display())).because(error)
            })?;
            *file = to;
            Ok(())
        };
        moved(&mut self.kernel, KERNEL)?;
        self.initramfs.as_mut().map(|file| moved(file, INITRAMFS)).transpose()?;
        for Drive { id, at, .. } in &mut self.drives {
            if let At::File(file) = at {
                moved(file, &format!("{id}.base"))?;
            }
        }
        Ok(self)
    }

    /// The file of its first drive, which is its root.
    pub(in crate::cli::run) fn root(&self) -> Option<&Path> {
        match &self.drives.first()?.at {
            At::File(path) => Some(path),
            At::Server(_) => None,
        }
    }

    /// Whether it writes to a drive.
    pub(super) fn is_written(&self) -> bool {
        self.drives.iter().any(|drive| !drive.read_only)
    }
}

/// What is wrong with a description, or with a file that it names.
enum Wrong {
    Said(String),
    Other(Error),
}

fn check(vm: Vm, folder: &Path) -> Result<Microvm, Wrong> {
    let must = |is_right: bool, message: String| if is_right { Ok(()) } else { Err(Wrong::Said(message)) };
    must((1..=255).contains(&vm.cpus), format!("cpus: {} are not 1 to 255", vm.cpus))?;
    let memory = vm.memory_mib;
    must((1..=MOST_MEMORY).contains(&memory), format!("memory_mib: {memory} are not 1 to {MOST_MEMORY}"))?;
    let is_line = vm.cmdline.len() <= LONGEST_CMDLINE && !vm.cmdline.contains(char::is_control);
    must(is_line, "cmdline: is not one line that a kernel takes".to_owned())?;
    for name in [&vm.agent, &vm.status] {
        must(is_word(name), format!("{name:?} is no name of a port"))?;
    }
    let drives = vm.drives.into_iter().map(|drive| check_drive(drive, folder));
    Ok(Microvm {
        architecture: vm.architecture,
        cpus: vm.cpus,
        memory_mib: memory,
        kernel: file(folder, &vm.kernel)?,
        initramfs: vm.initramfs.as_deref().map(|name| initramfs(folder, name)).transpose()?,
        cmdline: vm.cmdline,
        drives: drives.collect::<Result<_, _>>()?,
        agent: vm.agent,
        status: vm.status,
        machines: vm.machines,
    })
}

fn check_drive(drive: microvm::Drive, folder: &Path) -> Result<Drive, Wrong> {
    if !is_word(&drive.id) {
        return Err(Wrong::Said(format!("{:?} is no id of a drive", drive.id)));
    }
    let path = file(folder, &drive.file)?;
    let format = match drive.format {
        DriveFormat::Raw => Format::Raw,
        // QEMU opens what a disk file names, and writes to some of it: one of a stranger may name any file.
        DriveFormat::Qcow2 => match container::open(&path).map_err(|error| Wrong::Other(error.into()))? {
            (Format::Qcow2, _) => Format::Qcow2,
            _ => return Err(Wrong::Said(format!("{}: is no qcow2", drive.file))),
        },
    };
    Ok(Drive { id: drive.id, at: At::File(path), format, read_only: drive.read_only })
}

/// For a kernel by Multiboot QEMU takes what follows a comma as one more file, of any folder.
fn initramfs(folder: &Path, name: &str) -> Result<PathBuf, Wrong> {
    let path = file(folder, name)?;
    match path.as_os_str().as_encoded_bytes().contains(&b',') {
        true => Err(Wrong::Said(format!(
            "{}: has a comma, behind which QEMU would read another file: rename it",
            path.display()
        ))),
        false => Ok(path),
    }
}

/// A file of the folder itself: a link could lead to any other, which the machine would read or write.
fn file(folder: &Path, name: &str) -> Result<PathBuf, Wrong> {
    let path = folder.join(name);
    match path.symlink_metadata() {
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
