//! What is served: a disk as it is, or one that is planned of files.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use exporter::container::{self, Format};
use exporter::engine::View;
use exporter::read_at::Shared;

use super::Args;
use crate::base::make::threads;
use crate::base::{Error, Meter, Result, interrupt};

/// Opens what was named. Signals set the flag that comes with it.
///
/// # Errors
/// If it is neither, or lacks what a disk needs; if a disk that is there already is to be another one.
pub(super) fn open(args: &Args, meter: &Meter) -> Result<(Shared, Arc<AtomicBool>)> {
    let path = Path::new(&args.source);
    if is_disk(path)? {
        refuse_wishes(args)?;
        return Ok((container::open_watched(path)?.1, interrupt::flag()?));
    }
    let spool = std::env::temp_dir();
    let (planned, stop) = args.what().plan(args.threads.unwrap_or_else(threads), meter, &spool)?;
    Ok((Arc::new(View::new(planned.image(), &spool)), stop))
}

/// Whether a disk lies there, and no files of which one could be made. A tar is told by its magic number, a root file system
/// by being a directory; what is in neither is a raw disk.
fn is_disk(path: &Path) -> Result<bool> {
    if path.is_dir() {
        return Ok(has_disk(path));
    }
    if !path.is_file() {
        return Ok(false);
    }
    Ok(match container::identify(path)?.0 {
        Format::RawGz | Format::RawZst | Format::Gce => false,
        Format::Raw => !is_tar(path),
        _ => true,
    })
}

/// Whether a folder is an artifact of ours, one without a disk in it among them: its error says what it is.
fn has_disk(path: &Path) -> bool {
    match container::disk_file(path) {
        Ok(_) => true,
        Err(_) => container::identify(path).is_ok_and(|(format, _)| format != Format::Ovf),
    }
}

/// `magic` of a header (pax(1), "ustar Interchange Format"), where the first sector has no signature of a boot record behind it.
fn is_tar(path: &Path) -> bool {
    let mut sector = [0; 512];
    let is_read = File::open(path).and_then(|file| file.read_exact_at(&mut sector, 0)).is_ok();
    is_read && sector[257..262] == *b"ustar" && sector[510..] != [0x55, 0xaa]
}

/// A disk that is there is as it is.
fn refuse_wishes(args: &Args) -> Result<()> {
    let wish = args.disk.wishes().first().map(|wish| wish.flag());
    let config = args.files.config.as_ref().map(|_| "--config".to_owned());
    match wish.or(config) {
        None => Ok(()),
        Some(flag) => Err(Error::user(format!("{flag}: {} is a disk already", args.source.display()))
            .with_hint("leave it out, or name the files that a disk is to be made of")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_told_from_files_of_which_one_is_made() {
        let scratch = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = scratch.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let mut tar = vec![0; 10_240];
        tar[257..262].copy_from_slice(b"ustar");
        let mut bootable = tar.clone();
        bootable[510..512].copy_from_slice(&[0x55, 0xaa]);
        std::fs::create_dir(scratch.path().join("root")).unwrap();
        for (path, expected) in [
            (write("a.tar", &tar), false),
            (write("boot.raw", &bootable), true),
            (write("a.raw", &[7; 4096]), true),
            (write("empty", b""), true),
            (write("a.tar.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\0"), false),
            (scratch.path().join("root"), false),
            (scratch.path().join("none"), false),
        ] {
            assert_eq!(is_disk(&path).unwrap(), expected, "{path:?}");
        }
    }
}
