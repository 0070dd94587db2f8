//! A drive that tells this machine what its disk cannot know: the same JSON as on the [disk](super::told), from the drive's first
//! byte on, and nothing but padding behind it.
//!
//! It is the virtio block device that calls itself `vmimage-config`, or the one that the word `vmimage.config=` names.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::grow::device::in_file;
use crate::init::told::Told;
use crate::init::words::Words;

/// The serial number of the drive (20 bytes at most, virtio 1.3, section 5.2.6.3), and the word.
const SERIAL: &str = "vmimage-config";
const WORD: &str = "vmimage.config";
/// All block devices by name; those of virtio begin so.
const BLOCK: &str = "/sys/block";
const VIRTIO: &str = "vd";
/// The largest drive.
const MAX_LEN: u64 = 1 << 20;

/// What the drive says; nothing where there is none.
pub(crate) fn read(words: &Words) -> Result<Told, String> {
    let named = words.value(WORD).map(PathBuf::from);
    match named.or_else(|| find(Path::new(BLOCK))) {
        Some(path) => read_from(&path),
        None => Ok(Told::default()),
    }
}

/// The device with the serial number.
fn find(block: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(block).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut drives = names.filter(|name| name.starts_with(VIRTIO)).filter(|name| {
        fs::read_to_string(block.join(name).join("serial")).is_ok_and(|serial| serial.trim() == SERIAL)
    });
    drives.next().map(|name| Path::new("/dev").join(name))
}

fn read_from(path: &Path) -> Result<Told, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(in_file(path))?;
    file.take(MAX_LEN + 1).read_to_end(&mut bytes).map_err(in_file(path))?;
    if bytes.len() as u64 > MAX_LEN {
        return Err(in_file(path)("a drive that configures the machine has at most 1 MiB"));
    }
    Told::parse(document(&bytes))
        .map_err(|error| in_file(path)(format!("not what this machine can be told: {error}")))
}

/// The bytes without their padding.
fn document(bytes: &[u8]) -> &[u8] {
    let is_padding = |byte: &u8| matches!(byte, 0 | b'\n' | b'\r' | b'\t' | b' ');
    let len = bytes.iter().rposition(|byte| !is_padding(byte)).map_or(0, |last| last + 1);
    bytes.get(..len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<String>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        read_from(file.path()).map(|told| told.hostname)
    }

    #[test]
    fn padding_is_no_part_of_the_document() {
        let text = br#"{"hostname":"web"}"#;
        for padding in [&b""[..], b"\n", &[0; 494], b"\n\0\0 \t\r\n"] {
            assert_eq!(read(&[text, padding].concat()), Ok(Some("web".to_owned())));
        }
    }

    #[test]
    fn a_damaged_drive_is_an_error() {
        let text = br#"{"hostname":"web"}"#;
        for (bytes, reason) in [
            (vec![0; 512], "EOF"),
            (text[..9].to_vec(), "EOF"),
            ([&text[..], b"\0x"].concat(), "trailing"),
            (b"{\"hostname\":\"\xff\"}".to_vec(), "unicode"),
            ([&text[..], &vec![0; 1 << 20]].concat(), "at most 1 MiB"),
        ] {
            let error = read(&bytes).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        assert!(read_from(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn the_drive_is_known_by_its_serial_number() {
        let folder = tempfile::tempdir().unwrap();
        for (name, serial) in [("vda", ""), ("sda", SERIAL), ("vdb", "vmimage-config-2")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("serial"), serial).unwrap();
        }
        assert_eq!(find(folder.path()), None);
        fs::create_dir(folder.path().join("vdc")).unwrap();
        fs::write(folder.path().join("vdc/serial"), SERIAL).unwrap();
        assert_eq!(find(folder.path()), Some("/dev/vdc".into()));
    }
}
