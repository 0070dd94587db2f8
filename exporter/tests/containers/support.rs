//! What the tests share: contents that shrink and contents that don't, the formats there are, and mounts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use exporter::container::{Compression, Format};

pub(crate) const MIB: u64 = 1 << 20;

/// Bytes in which no compressor finds anything, so that every format stores them as they are.
pub(crate) fn noise(len: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len.div_ceil(8)).flat_map(|_| next()).take(len as usize).collect()
}

/// Lines that shrink.
pub(crate) fn text(len: u64) -> Vec<u8> {
    let line = |n: u64| format!("line {} of a text that shrinks\n", n * n).into_bytes();
    (0..).flat_map(line).take(len as usize).collect()
}

/// Every format of disks with every compression it has.
pub(crate) fn variants() -> impl Iterator<Item = (Format, Compression)> {
    let of = |&format: &Format| format.compressions().iter().map(move |&compression| (format, compression));
    Format::ALL.iter().filter(|format| format.is_disk()).flat_map(of)
}

/// The files of an artifact by their names, with their bytes: one file, or those of a folder.
pub(crate) fn contents(artifact: &Path) -> Vec<(String, Vec<u8>)> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    if artifact.is_file() {
        return vec![(name(artifact), std::fs::read(artifact).unwrap())];
    }
    let files = std::fs::read_dir(artifact).unwrap().map(|entry| entry.unwrap().path());
    let mut contents: Vec<_> = files.map(|file| (name(&file), std::fs::read(file).unwrap())).collect();
    contents.sort();
    contents
}

/// Run a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A mount that goes away with the value.
pub(crate) struct Mount(PathBuf);

impl Mount {
    pub(crate) fn new(arguments: &[&str], at: PathBuf) -> Self {
        std::fs::create_dir(&at).unwrap();
        run(Command::new("mount").args(arguments).arg(&at));
        Self(at)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
