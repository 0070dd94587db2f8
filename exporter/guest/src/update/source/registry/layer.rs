//! Where the files of an update lie in a tar that is read in parts.

use std::collections::BTreeMap;
use std::ops::Range;

use tar::{EntryType, Header};

/// A header, and what all contents are filled up to.
const BLOCK: u64 = 512;
/// An update has seven files.
const HEADERS: usize = 64;
/// The longest name that does not fit its header.
const NAME_MAX: u64 = 4096;

/// The files of a tar of `size` bytes: where each lies in it, by name. `read` gives the bytes of a range.
pub(in super::super) fn files(
    size: u64,
    mut read: impl FnMut(Range<u64>) -> Result<Vec<u8>, String>,
) -> Result<BTreeMap<String, Range<u64>>, String> {
    let mut files = BTreeMap::new();
    let mut long_name = None;
    let mut at = 0;
    for _ in 0..HEADERS {
        // The end is two blocks of zeroes, or just the end.
        if size.saturating_sub(at) < BLOCK {
            return Ok(files);
        }
        let bytes = read(at..at + BLOCK)?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(files);
        }
        let (kind, name, len) = header(&bytes).ok_or_else(|| format!("the layer is no tar at byte {at}"))?;
        let start = at + BLOCK;
        let end = start.checked_add(len).filter(|end| *end <= size);
        let end = end.ok_or_else(|| format!("the layer ends within {}", super::shown(&name)))?;
        if kind == EntryType::GNULongName && len <= NAME_MAX {
            let name = String::from_utf8_lossy(&read(start..end)?).trim_end_matches('\0').to_owned();
            long_name = Some(name);
        } else if kind == EntryType::Regular {
            let name = long_name.take().unwrap_or(name);
            let name = name.trim_start_matches("./");
            if files.insert(name.to_owned(), start..end).is_some() {
                return Err(format!("the layer has {} twice", super::shown(name)));
            }
        }
        // Other kinds hold nothing of an update. Were a file longer than its header says, no header would follow it.
        at = end.next_multiple_of(BLOCK);
    }
    Err(format!("the layer has more than the {HEADERS} files that an update may have"))
}

/// What follows a header, its name, and how many bytes it has; `None` where its sum is wrong.
fn header(bytes: &[u8]) -> Option<(EntryType, String, u64)> {
    let header = Header::from_byte_slice(<&[u8; 512]>::try_from(bytes).ok()?);
    let mut summed = header.clone();
    summed.set_cksum();
    (summed.cksum().ok()? == header.cksum().ok()?).then_some(())?;
    let name = String::from_utf8(header.path_bytes().into_owned()).ok()?;
    Some((header.entry_type(), name, header.entry_size().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(names: &[&str]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = Header::new_gnu();
            header.set_size(name.len() as u64 * 100);
            tar.append_data(&mut header, name, &*name.repeat(100).into_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn of(tar: &[u8]) -> Result<BTreeMap<String, Range<u64>>, String> {
        let read = |range: Range<u64>| Ok(tar[range.start as usize..range.end as usize].to_vec());
        files(tar.len() as u64, read)
    }

    #[test]
    fn each_file_is_found_where_it_lies() {
        let long = "k".repeat(150);
        let names = ["SHA256SUMS", "manifest.json", &long, "./kiosk_1.root.zst"];
        let tar = tar(&names);
        for end in [tar.len(), tar.len() - 512, tar.len() - 1024] {
            let files = of(&tar[..end]).unwrap();
            assert_eq!(files.len(), names.len());
            for name in names {
                let range = &files[name.trim_start_matches("./")];
                let content = &tar[range.start as usize..range.end as usize];
                assert!(
                    content.len() >= 1000 && content == name.trim_start_matches("./").repeat(100).as_bytes()
                        || content == name.repeat(100).as_bytes()
                );
            }
        }
        assert_eq!(of(&[]), Ok(BTreeMap::new()));
    }

    #[test]
    fn what_is_no_tar_is_refused() {
        let good = tar(&["a", "b"]);
        for at in [0, 124, 148, 1024] {
            let mut bad = good.clone();
            bad[at] ^= 0x11;
            assert!(of(&bad).unwrap_err().contains("no tar"), "{at}");
        }
        assert!(of(&good[..550]).unwrap_err().contains("ends within a"));
        assert!(of(&tar(&["a", "a"])).unwrap_err().contains("twice"));
        let many: Vec<_> = (0..65).map(|number| number.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(of(&tar(&many)).unwrap_err().contains("more than"));
        let failing = |_: Range<u64>| Err("cut".to_owned());
        assert_eq!(files(1024, failing), Err("cut".to_owned()));
    }

    #[test]
    fn a_size_that_no_disk_has_is_refused() {
        let mut header = Header::new_gnu();
        header.set_path("a").unwrap();
        header.set_size(u64::MAX >> 1);
        header.set_cksum();
        assert!(of(header.as_bytes()).unwrap_err().contains("ends within a"));
    }
}
