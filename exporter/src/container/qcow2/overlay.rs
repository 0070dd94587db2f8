//! A disk over another one that has nothing of its own yet: what a machine writes goes there, and the base stays as it is.
//! And a disk read with its base below it, where somebody else says what that is.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::base::{files_of, name_base};
use super::format::BACKING_NAME_MAX;
use super::read::Reader;
use super::write::Writer;
use crate::container::{Compression, Output, raw};
use crate::engine::RawImage;
use crate::error::{Error, Kind, Result};
use crate::extent::Extent;
use crate::read_at::Shared;

/// Nothing.
const EMPTY: [Extent; 0] = [];

/// Make a disk of `size` bytes at `path` that is as `base` is. `base` is an absolute path, so the new disk may lie anywhere;
/// `driver` is what QEMU calls the base's format.
///
/// # Errors
/// [`Kind::Input`] if the path of the base is not absolute or too long, [`Kind::Unsupported`] for a disk that no qcow2 is as
/// large as, and those of writing.
pub fn create(path: &Path, base: &Path, driver: &str, size: u64) -> Result<()> {
    let name = base.as_os_str().as_bytes();
    if !base.is_absolute() || name.len() > BACKING_NAME_MAX {
        let message =
            format!("is no absolute path of at most {BACKING_NAME_MAX} bytes, and that of a base is");
        return Err(Error::new(Kind::Input, base.display().to_string(), message));
    }
    let output = Output::create(path)?;
    let writer = Writer::new(RawImage { size, extents: &EMPTY }, Compression::None, &output)?;
    writer.complete_over(|header| name_base(header, name, driver))?;
    drop(writer);
    output.persist()
}

/// The image in the qcow2 at `path` with `below` under it, whatever its header names.
///
/// # Errors
/// If it cannot be read, or is no qcow2.
pub fn open_over(path: &Path, below: Shared) -> Result<Shared> {
    let shown = path.display().to_string();
    let file = File::open(path).map_err(|error| Error::io(&shown, "cannot open the disk file", error))?;
    Ok(Arc::new(Reader::over(raw::Reader::new(file, shown)?, below)?))
}

/// The image in the qcow2 or raw disk at `path`, with the files below it that it names in its own folder.
///
/// # Errors
/// As of [`Base::open`](super::Base::open).
pub fn open_with_base(path: &Path) -> Result<Shared> {
    files_of(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;
    use crate::container;

    fn tool(program: &str, args: &[&str]) -> String {
        let output = Command::new(program).args(args).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// QEMU's own programs take it, and what they write to it is read here; the base keeps its bytes.
    #[test]
    fn a_new_disk_is_as_its_base_until_it_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("machine")).unwrap();
        let bytes: Vec<u8> =
            (0..3_000_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        fs::write(at("base.raw"), &bytes).unwrap();
        let (base, overlay) = (at("base.raw"), at("machine/overlay.qcow2"));
        // Larger than the base: what QEMU rounds a raw file up to.
        create(&overlay, &base, "raw", 4 << 20).unwrap();
        let shown = overlay.to_str().unwrap();
        assert!(tool("qemu-img", &["check", shown]).contains("No errors"));
        let info = tool("qemu-img", &["info", "--output=json", shown]);
        assert!(
            info.contains(r#""backing-filename-format": "raw""#) && info.contains(base.to_str().unwrap()),
            "{info}"
        );
        let below = || container::open(&base).unwrap().1;
        let read = |offset, len| {
            let mut out = vec![0xff; len];
            open_over(&overlay, below()).unwrap().read_at(offset, &mut out).unwrap();
            out
        };
        assert!(read(0, bytes.len()) == bytes && read(3_000_000, 1 << 20) == vec![0; 1 << 20]);
        tool("qemu-io", &["-c", "write -P 7 65536 4096", shown]);
        assert_eq!(read(65536, 4096), [7; 4096]);
        assert!(read(69632, 4096) == bytes[69632..73728]);
        assert!(fs::read(&base).unwrap() == bytes);
        assert!(tool("qemu-img", &["check", shown]).contains("No errors"));
        assert!(fs::metadata(&overlay).unwrap().len() < 1 << 20);
    }

    #[test]
    fn a_base_is_named_by_an_absolute_path() {
        let folder = tempfile::tempdir().unwrap();
        let overlay = folder.path().join("overlay.qcow2");
        let long = format!("/{}", "x/".repeat(600));
        for base in ["web.qcow2", "./web.qcow2", long.as_str()] {
            let error = create(&overlay, Path::new(base), "qcow2", 1 << 20).unwrap_err();
            assert!(error.to_string().contains("is no absolute path"), "{error}");
        }
        assert!(!overlay.exists());
        assert!(
            open_over(
                &overlay,
                Arc::new(raw::Reader::new(File::open("/etc/passwd").unwrap(), "x".into()).unwrap())
            )
            .is_err()
        );
    }

    /// A disk of the user's may lie over others of its folder, and over none elsewhere.
    #[test]
    fn a_disk_is_read_with_what_it_names_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir(at("below")).unwrap();
        fs::write(at("base.raw"), vec![5; 1 << 20]).unwrap();
        for (name, base) in
            [("over.qcow2", "base.raw"), ("twice.qcow2", "over.qcow2"), ("below/out.qcow2", "../base.raw")]
        {
            let format = if base.ends_with("raw") { "raw" } else { "qcow2" };
            tool("qemu-img", &["create", "-q", "-f", "qcow2", "-b", base, "-F", format, &at(name)]);
        }
        let mut out = [0; 4096];
        open_with_base(Path::new(&at("twice.qcow2"))).unwrap().read_at(4096, &mut out).unwrap();
        assert_eq!(out, [5; 4096]);
        let error = open_with_base(Path::new(&at("below/out.qcow2"))).map(drop).unwrap_err();
        assert!(error.to_string().contains("which is not in its folder"), "{error}");
    }
}
