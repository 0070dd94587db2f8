//! What the root of the medium's disk is called in its partition table: a machine that was installed from there has it, too.

use std::io::Read;

use super::super::Medium;
use super::super::checked::{BLOCK, ENTRY};
use super::super::manifest::Disk;
use crate::grow::table;

/// Where the index says how long a frame is.
const LEN_AT: usize = 32;
/// What a frame may have beyond the block.
const FRAME_MAX: u32 = (64 << 10) + 1024;

/// `None` where the medium has no disk, or its table cannot be read: then nothing is known of who was installed from it.
pub(super) fn of_root(medium: &mut Medium) -> Option<String> {
    let disk = medium.manifest.disk.clone()?;
    let number = medium.manifest.target.as_ref()?.root.number;
    let start = first_block(medium, &disk).ok()?;
    let read = |at: u64, len: usize| {
        let range = usize::try_from(at).ok().and_then(|at| Some(at..at.checked_add(len)?));
        let bytes = range.and_then(|range| start.get(range)).map(<[u8]>::to_vec);
        bytes.ok_or_else(|| "the table is longer than a block".to_owned())
    };
    table::partition_id(disk.sector_size.into(), number, read).ok()?
}

fn first_block(medium: &mut Medium, disk: &Disk) -> Result<Vec<u8>, String> {
    let len = disk.bytes.min(BLOCK);
    if !disk.packed {
        return all(medium.open(&disk.file, 0..len)?);
    }
    let entry = all(medium.open(&disk.index, 0..ENTRY)?)?;
    let frame_len = entry.get(LEN_AT..).and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?)));
    let frame_len = frame_len.filter(|len| *len <= FRAME_MAX).ok_or("the index has an impossible frame")?;
    let frame = all(medium.open(&disk.file, 0..frame_len.into())?)?;
    zstd::bulk::decompress(&frame, BLOCK as usize).map_err(|error| error.to_string())
}

fn all(mut reader: Box<dyn Read + '_>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map(|_| bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::super::super::manifest::Manifest;
    use super::*;
    use crate::update::source::open_folder;

    const GUID: &str = "5b1c0a4e-9d2f-4e3b-8a76-0123456789ab";

    /// A medium with a disk whose second partition has that id.
    fn medium(is_packed: bool) -> (tempfile::TempDir, Medium) {
        let folder = tempfile::tempdir().unwrap();
        let raw = folder.path().join("disk.raw");
        fs::File::create(&raw).unwrap().set_len(8 << 20).unwrap();
        let made = Command::new("sgdisk")
            .args(["-n1:0:+1M", "-n2:0:+1M", "-u", &format!("2:{GUID}")])
            .arg(&raw)
            .output();
        assert!(made.unwrap().status.success());
        let block = fs::read(&raw).unwrap()[..BLOCK as usize].to_vec();
        let frame = zstd::bulk::compress(&block, 3).unwrap();
        fs::write(folder.path().join("disk.zst"), &frame).unwrap();
        let entry = [&[0; 32][..], &(frame.len() as u32).to_le_bytes()].concat();
        fs::write(folder.path().join("disk.index"), entry).unwrap();
        let file = if is_packed { "disk.zst" } else { "disk.raw" };
        let text = format!(
            r#"{{"version":1,"id":"x","name":"web","disk":{{"file":"{file}","bytes":8388608,"packed":{is_packed},
            "index":"disk.index"}},"target":{{"root":{{"partition":2,"type":"ext4"}}}}}}"#
        );
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let files = open_folder(folder.path());
        (folder, Medium { manifest, files, disk: None })
    }

    #[test]
    fn the_roots_id_is_read_from_the_disk() {
        for is_packed in [false, true] {
            let (_folder, mut medium) = medium(is_packed);
            assert_eq!(of_root(&mut medium).as_deref(), Some(GUID), "{is_packed}");
            medium.manifest.target.as_mut().unwrap().root.number = 3;
            assert_eq!(of_root(&mut medium), None);
        }
    }

    #[test]
    fn a_disk_that_lies_has_none() {
        let (folder, mut medium) = medium(true);
        for len in [0, 7, FRAME_MAX + 1, u32::MAX] {
            fs::write(folder.path().join("disk.index"), [&[0; 32][..], &len.to_le_bytes()].concat()).unwrap();
            assert_eq!(of_root(&mut medium), None, "{len}");
        }
        medium.manifest.disk = None;
        assert_eq!(of_root(&mut medium), None);
    }
}
