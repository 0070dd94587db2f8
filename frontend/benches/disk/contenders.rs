//! What others make a disk with: programs that are run, never code that is linked.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::measure::{self, Usage};
use crate::trees::Tree;

/// Ours: `tree` becomes the disk `output`, whose extension says the format.
pub(crate) fn ours(tree: &Path, output: &Path, compression: Option<&str>) -> Result<Usage> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(["convert", "--no-install", "--profile", "data"]).arg(tree).arg("-o").arg(output);
    command.args(compression.map(|name| ["--compression", name]).into_iter().flatten());
    measure::run(&mut command)
}

/// What makes another disk file of a raw disk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Converter {
    /// Nothing: raw is what was asked.
    None,
    /// `qemu-img convert` with these options.
    QemuImg(&'static [&'static str]),
    /// `zstd -1` on every processor.
    Zstd,
}

impl Converter {
    pub(crate) fn run(self, raw: &Path, output: &Path) -> Result<Usage> {
        match self {
            Self::None => Ok(Usage::default()),
            Self::QemuImg(options) => {
                let mut command = Command::new("qemu-img");
                command.args(["convert", "-f", "raw"]).args(options).arg(raw).arg(output);
                measure::run(&mut command)
            }
            Self::Zstd => {
                measure::run(Command::new("zstd").args(["-q", "-1", "-T0", "-o"]).arg(output).arg(raw))
            }
        }
    }
}

/// A way from a tree to a raw disk that is not ours.
pub(crate) enum Contender {
    /// `mke2fs -d`: the reference.
    Mke2fs,
    /// A file system that the kernel mounts and `cp` fills.
    Loop,
    /// libguestfs: the same, but in a virtual machine.
    VirtMakeFs,
    /// The crate's example `mkfs`, at this path.
    Mkext4(PathBuf),
}

impl Contender {
    /// Those that this machine has, beside the reference; the others are told.
    pub(crate) fn installed(work: &Path) -> Vec<Self> {
        let mut found = vec![Self::Loop];
        match Command::new("virt-make-fs").arg("--version").output() {
            Ok(_) => found.push(Self::VirtMakeFs),
            Err(_) => eprintln!("bench: skipped: virt-make-fs is not installed (libguestfs-tools)"),
        }
        match install_mkext4(work) {
            Ok(program) => found.push(Self::Mkext4(program)),
            Err(error) => eprintln!("bench: skipped: the mkext4 crate cannot be installed: {error}"),
        }
        found
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Mke2fs => "mke2fs -d",
            Self::Loop => "loop device",
            Self::VirtMakeFs => "virt-make-fs",
            Self::Mkext4(_) => "mkext4 0.0.3",
        }
    }

    /// Make the raw disk `output` of `tree`.
    pub(crate) fn run(&self, tree: &Tree, output: &Path) -> Result<Usage> {
        match self {
            Self::Mke2fs => {
                let mut command = Command::new("mke2fs");
                command.args(["-q", "-t", "ext4", "-d"]).arg(&tree.path).arg(output);
                measure::run(command.arg(format!("{}k", tree.disk_size() >> 10)))
            }
            Self::Loop => by_loop(&["mkfs.ext4", "-q"], Some(&tree.path), tree.disk_size(), output),
            Self::VirtMakeFs => {
                let mut command = Command::new("virt-make-fs");
                command.args(["--format=raw", "--type=ext4"]);
                measure::run(command.arg(format!("--size={}", tree.disk_size())).arg(&tree.path).arg(output))
            }
            Self::Mkext4(program) => {
                let mut command = Command::new(program);
                measure::run(command.arg(&tree.path).arg(output).arg(tree.disk_size().to_string()))
            }
        }
    }
}

/// Make a file system on a loop device by this program with its options, as large as a file of `size` bytes, and copy the
/// files of `tree` into it.
pub(crate) fn by_loop(command: &[&str], tree: Option<&Path>, size: u64, output: &Path) -> Result<Usage> {
    File::create(output)?.set_len(size)?;
    let (program, options) = command.split_first().ok_or("a loop device without a program")?;
    let device = LoopDevice::attach(output)?;
    let made = measure::run(Command::new(program).args(options).arg(&device.name))?;
    let filled = tree.map(|tree| fill(&device.name, tree)).transpose()?.unwrap_or_default();
    Ok(device.attached + made + filled + device.detach()?)
}

fn fill(device: &str, tree: &Path) -> Result<Usage> {
    let mount_point = tempfile::tempdir()?;
    let mounted = measure::run(Command::new("mount").arg(device).arg(mount_point.path()))?;
    let guard = Mounted(mount_point.path());
    let copied = measure::run(Command::new("cp").args(["-a", "-T"]).arg(tree).arg(mount_point.path()))?;
    Ok(mounted + copied + guard.unmount()?)
}

/// A loop device, detached at the latest when this is dropped.
struct LoopDevice {
    name: String,
    /// What it took.
    attached: Usage,
}

impl LoopDevice {
    fn attach(file: &Path) -> Result<Self> {
        let free = Command::new("losetup").arg("--find").output()?;
        let name = String::from_utf8(free.stdout)?.trim().to_owned();
        let attached = measure::run(Command::new("losetup").arg(&name).arg(file))?;
        Ok(Self { name, attached })
    }

    fn detach(self) -> Result<Usage> {
        let usage = measure::run(Command::new("losetup").arg("--detach").arg(&self.name))?;
        std::mem::forget(self);
        Ok(usage)
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // Not by `measure::run`, which does nothing any more after an interrupt.
        let _ = Command::new("losetup").arg("--detach").arg(&self.name).status();
    }
}

/// A mount point, unmounted at the latest when this is dropped.
struct Mounted<'a>(&'a Path);

impl Mounted<'_> {
    fn unmount(self) -> Result<Usage> {
        let usage = measure::run(Command::new("umount").arg(self.0))?;
        std::mem::forget(self);
        Ok(usage)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // Not by `measure::run`, which does nothing any more after an interrupt.
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// The crate has no program, but an example of one: built from crates.io, for the bench only.
fn install_mkext4(work: &Path) -> Result<PathBuf> {
    let root = work.join("mkext4");
    let program = root.join("bin/mkfs");
    if !program.exists() {
        eprintln!("bench: installing the example of the mkext4 crate");
        let mut command = Command::new("cargo");
        command.args(["install", "--quiet", "mkext4", "--version", "=0.0.3", "--example", "mkfs", "--root"]);
        measure::run(command.arg(&root))?;
    }
    Ok(program)
}
