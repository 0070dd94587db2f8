//! The trees of the exporter's table: real files, made once and then left as they are.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::floor::Floor;
use crate::{Result, measure};

/// Content of the tree of this machine's own files, in bytes; less if there are not so many.
const USR_BYTES: u64 = 2_000_000_000;
const USR_BYTES_QUICK: u64 = 100_000_000;
/// Where they come from, in this order.
const USR: [&str; 3] = ["/usr/share", "/usr/bin", "/usr/lib"];

/// A tree, and how large it is.
pub(crate) struct Tree {
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) entries: u64,
    /// Bytes of regular files, each hard link counted.
    pub(crate) bytes: u64,
}

impl Tree {
    /// A Debian root with a kernel and systemd: what most disks are made of.
    pub(crate) fn debian(work: &Path) -> Result<Self> {
        Self::make("Debian root", work.join("trees/debian"), |path| {
            let mut command = Command::new("mmdebstrap");
            // With apt's lists and packages, which images often forget to remove.
            command.args(["--variant=minbase", "--skip=cleanup/apt"]);
            command.args(["--include=linux-image-cloud-amd64,systemd", "bookworm"]);
            measure::run(command.arg(path)).map(drop)
        })
    }

    /// Many more files: the first 2 GB of what this machine has under `/usr`.
    pub(crate) fn usr(work: &Path, quick: bool) -> Result<Self> {
        let (name, limit) = if quick { ("usr-quick", USR_BYTES_QUICK) } else { ("usr", USR_BYTES) };
        Self::make("/usr files", work.join("trees").join(name), |path| copy_usr(path, limit))
    }

    /// The tree at `path`, made there if it is not there yet.
    fn make(name: &'static str, path: PathBuf, make: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        if !path.exists() {
            eprintln!("bench: making the tree {}", path.display());
            let part = path.with_extension("part");
            if part.exists() {
                std::fs::remove_dir_all(&part)?;
            }
            std::fs::create_dir_all(&part)?;
            make(&part)?;
            std::fs::rename(&part, &path)?;
        }
        let (mut entries, mut bytes) = (0, 0);
        walk(&path, &mut |_, metadata| {
            entries += 1;
            bytes += if metadata.is_file() { metadata.len() } else { 0 };
            Ok(true)
        })?;
        Ok(Self { name, path, entries, bytes })
    }

    /// Read all of it, so that the disk has no part in what comes next.
    pub(crate) fn warm(&self) -> Result<()> {
        warm(&self.path)
    }

    /// Room for a file system of it, in bytes, as a careful user would reckon.
    pub(crate) fn disk_size(&self) -> u64 {
        let blocks = self.bytes + self.entries * 4096;
        (blocks + (blocks / 4).max(256 << 20)).next_multiple_of(1 << 20)
    }
}

/// Read all files below `path`.
pub(crate) fn warm(path: &Path) -> Result<()> {
    measure::run(&mut Floor::Read.command(path, Path::new("/dev/null"))?).map(drop)
}

/// Visit what is below `directory`, sorted by name, until `visit` says no.
fn walk(directory: &Path, visit: &mut impl FnMut(&Path, &std::fs::Metadata) -> Result<bool>) -> Result<bool> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        paths.push(entry?.path());
    }
    paths.sort();
    for path in paths {
        let metadata = path.symlink_metadata()?;
        if !visit(&path, &metadata)? || metadata.is_dir() && !walk(&path, visit)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Copy the first `limit` bytes of [`USR`], in the order of the names, by way of tar for all that files have.
fn copy_usr(to: &Path, limit: u64) -> Result<()> {
    let pack = "tar --create --directory / --no-recursion --xattrs --acls --null --files-from -";
    let unpack = "tar --extract --preserve-permissions --numeric-owner --xattrs --acls --directory \"$0\"";
    let mut copy = Command::new("bash");
    copy.args(["-o", "pipefail", "-c"]).arg(format!("{pack} | {unpack}")).arg(to).stdin(Stdio::piped());
    let mut copy = copy.spawn()?;
    let mut names = std::io::BufWriter::new(copy.stdin.take().ok_or("tar has no input")?);
    let mut bytes = 0;
    for directory in USR {
        walk(Path::new(directory), &mut |path, metadata| {
            names.write_all(path.strip_prefix("/")?.as_os_str().as_bytes())?;
            names.write_all(b"\0")?;
            bytes += if metadata.is_file() { metadata.size() } else { 0 };
            Ok(bytes < limit)
        })?;
    }
    names.flush()?;
    drop(names);
    match copy.wait()?.success() {
        true => Ok(()),
        false => Err(format!("{}: cannot be filled from /usr", to.display()).into()),
    }
}
