//! The placement of an earlier build: a file, or one in the folder of an update.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use exporter::fs::ext4::PACKED_MAX;

use super::{Error, Result};

/// What the name of such a file ends in.
pub(crate) const EXTENSION: &str = ".placement";

/// What is in the placement at `path`. What it says is checked by whoever keeps to it.
///
/// # Errors
/// If there is none, or not only one, or it is too large.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let file = if path.is_dir() { find(path)? } else { path.to_owned() };
    let mut bytes = Vec::new();
    let read = File::open(&file).and_then(|file| file.take(PACKED_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(&file, error))?;
    if bytes.len() as u64 > PACKED_MAX {
        let message = format!("{}: is larger than any placement of a build", file.display());
        return Err(Error::user(message).with_hint("name the file that ends in .placement, or its folder"));
    }
    Ok(bytes)
}

/// The one placement in a folder.
fn find(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| unreadable(folder, error))?;
    let is_one = |path: &PathBuf| path.as_os_str().as_encoded_bytes().ends_with(EXTENSION.as_bytes());
    let mut found: Vec<_> = entries.iter().map(fs::DirEntry::path).filter(is_one).collect();
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => {
            let message = format!("{}: holds no placement of a build", folder.display());
            Err(Error::user(message).with_hint("it is in the folder of an update whose root is an ext4"))
        }
        (Some(_), false) => {
            let message = format!("{}: holds placements of several builds", folder.display());
            Err(Error::user(message).with_hint("name the file of the last one"))
        }
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::user(format!("{}: cannot be read", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_placement() {
        let folder = tempfile::tempdir().unwrap();
        let refused = || read(folder.path()).unwrap_err().to_string();
        assert!(refused().ends_with(": holds no placement of a build"));
        fs::write(folder.path().join("kiosk_1.root.zst"), "root").unwrap();
        let one = folder.path().join("kiosk_1.root.placement");
        fs::write(&one, "one").unwrap();
        assert_eq!((read(folder.path()).unwrap(), read(&one).unwrap()), (b"one".to_vec(), b"one".to_vec()));
        fs::write(folder.path().join("kiosk_2.root.placement"), "two").unwrap();
        assert!(refused().ends_with(": holds placements of several builds"));
        assert!(read(&folder.path().join("missing")).is_err());
        File::create(&one).unwrap().set_len(PACKED_MAX + 1).unwrap();
        assert!(read(&one).unwrap_err().to_string().ends_with("is larger than any placement of a build"));
    }
}
