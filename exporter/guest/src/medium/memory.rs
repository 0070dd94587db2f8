//! Files in memory: a tmpfs of just the size that is needed, since what it takes no program has.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};
use sha2::{Digest, Sha256};

use super::console::Consoles;
use super::disks::show_size;
use super::progress::Progress;
use crate::grow::device::in_file;

/// Where it is mounted.
const AT: &str = "/ram";
const NAME: &str = "root";
/// What a system needs beside it to come up at all, and what the file system takes for itself.
const LEFT: u64 = 128 << 20;
const OVERHEAD: u64 = 1 << 20;
const BUFFER: usize = 1 << 20;
const MEMORY: &str = "/proc/meminfo";

/// The bytes of `from`, which are `len`, as a file in memory, and their SHA-256 in hexadecimal digits.
///
/// # Errors
/// If there is too little memory, or they do not come.
pub(super) fn copy(mut from: impl Read, len: u64, consoles: &Consoles) -> Result<(PathBuf, String), String> {
    require(len, &fs::read_to_string(MEMORY).unwrap_or_default())?;
    let folder = Path::new(AT);
    fs::create_dir_all(folder).map_err(in_file(folder))?;
    let options = CString::new(format!("mode=700,size={}", len + OVERHEAD)).map_err(in_file(folder))?;
    mount("tmpfs", folder, "tmpfs", MountFlags::NODEV | MountFlags::NOSUID, Some(&*options))
        .map_err(in_file(folder))?;
    let path = folder.join(NAME);
    let digest = fill(&path, &mut from, len, Progress::start(consoles, "root into memory", len))?;
    Ok((path, digest))
}

fn fill(path: &Path, from: &mut impl Read, len: u64, mut progress: Progress<'_>) -> Result<String, String> {
    let mut file = File::create(path).map_err(in_file(path))?;
    let (mut left, mut digest, mut buffer) = (len, Sha256::new(), vec![0; BUFFER]);
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let part = buffer.get_mut(..most).unwrap_or_default();
        from.read_exact(part).map_err(|error| format!("the root, at byte {}: {error}", len - left))?;
        file.write_all(part).map_err(in_file(path))?;
        digest.update(&*part);
        progress.add(part.len());
        left -= part.len() as u64;
    }
    Ok(hexadecimal(&digest.finalize()))
}

/// That so many bytes fit into the memory of the machine.
fn require(len: u64, meminfo: &str) -> Result<(), String> {
    let available = meminfo.lines().find_map(|line| {
        let kibibytes: u64 = line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse().ok()?;
        kibibytes.checked_mul(1024)
    });
    match available {
        Some(available) if len.saturating_add(LEFT) > available => Err(format!(
            "the root has {}, and {} of memory are free: it does not fit\nhint: give the machine more memory, or read the \
             root where it is (a disc without vmimage.ram, a web server with vmimage.lazy)",
            show_size(len),
            show_size(available)
        )),
        _ => Ok(()),
    }
}

/// Lower-case digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_begun() {
        let memory = "MemTotal: 2000000 kB\nMemFree: 1 kB\nMemAvailable:    1048576 kB\n";
        assert_eq!(require((1 << 30) - LEFT, memory), Ok(()));
        let error = require((1 << 30) - LEFT + 1, memory).unwrap_err();
        assert!(error.contains("1.0 GiB of memory are free") && error.contains("hint: "), "{error}");
        assert_eq!(require(u64::MAX, ""), Ok(()), "a kernel that does not tell");
        assert!(require(u64::MAX, memory).is_err());
    }

    #[test]
    fn a_copy_is_whole_and_known_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root");
        let consoles = Consoles::none();
        let bytes = vec![7; 3 * BUFFER + 5];
        let progress = || Progress::start(&consoles, "root", bytes.len() as u64);
        let digest = fill(&path, &mut &bytes[..], bytes.len() as u64, progress()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(digest, hexadecimal(&Sha256::digest(&bytes)));
        let error = fill(&path, &mut &bytes[..BUFFER + 1], bytes.len() as u64, progress()).unwrap_err();
        assert!(error.starts_with("the root, at byte 1048576"), "{error}");
    }
}
