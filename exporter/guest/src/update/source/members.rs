//! Where the files of an update lie in a tar that is read in parts: a layer of a registry, or a file.

use std::collections::BTreeMap;
use std::ops::Range;

use super::http::shown;
use crate::update::archive::{self, RECORD};

/// An update has eight files.
const MEMBERS: usize = 64;

/// The files of a tar of `size` bytes: where each lies in it, by name. `read` gives the bytes of a range.
pub(super) fn files(
    size: u64,
    mut read: impl FnMut(Range<u64>) -> Result<Vec<u8>, String>,
) -> Result<BTreeMap<String, Range<u64>>, String> {
    let mut files = BTreeMap::new();
    let mut at = 0;
    for _ in 0..MEMBERS {
        // The end is two records of zeroes, or just the end.
        if size.saturating_sub(at) < RECORD {
            return Ok(files);
        }
        let header = read(at..at + RECORD)?;
        let member =
            archive::next(&mut &header[..]).map_err(|why| format!("the archive {why}, at byte {at}"))?;
        let Some(member) = member else { return Ok(files) };
        let (start, name) = (at + RECORD, shown(&member.path));
        let next = start.saturating_add(member.padded());
        let end = start.saturating_add(member.len);
        if end > size {
            return Err(format!("the archive ends within {name}"));
        }
        // Other kinds hold nothing of an update. Were a file longer than its header says, no header would follow it.
        if member.is_file && files.insert(member.path, start..end).is_some() {
            return Err(format!("the archive has {name} twice"));
        }
        at = next;
    }
    Err(format!("the archive has more than the {MEMBERS} files that an update may have"))
}

#[cfg(test)]
mod tests {
    use tar::Header;

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
        let names = ["SHA256SUMS", "manifest.json", "kiosk_1.root.zst"];
        let tar = tar(&names);
        for end in [tar.len(), tar.len() - 512, tar.len() - 1024] {
            let files = of(&tar[..end]).unwrap();
            assert_eq!(files.len(), names.len());
            for name in names {
                let range = &files[name];
                let content = &tar[range.start as usize..range.end as usize];
                assert_eq!(content, name.repeat(100).as_bytes());
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
            assert!(of(&bad).unwrap_err().contains("no tar archive"), "{at}");
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
        header.set_size(1 << 50);
        header.set_cksum();
        assert!(of(header.as_bytes()).unwrap_err().contains("ends within a"));
    }
}
