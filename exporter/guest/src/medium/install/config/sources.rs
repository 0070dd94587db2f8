//! Where the configuration lies.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::{LEN_MAX, Layer, NAME, words};
use crate::grow::device::in_file;
use crate::init::initramfs::superblock::Superblock;
use crate::init::modules::Modules;
use crate::medium::Medium;
use crate::medium::words::Words;
use crate::update::source::open_web;

/// The names of a partition, or of a whole stick, that has a file for us: ours, and that of cloud-init's.
const LABELS: [&str; 2] = ["VMIMAGE", "CIDATA"];
const BLOCK: &str = "/sys/class/block";
const AT: &str = "/run/vmimage-install";
const DRIVERS: [&str; 6] = ["vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8", "ext4"];

/// All that there are, in the order in which they count.
///
/// # Errors
/// If one that was named cannot be read, or one that is there is no TOML.
pub(in crate::medium::install) fn read(medium: &mut Medium, words: &Words) -> Result<Vec<Layer>, String> {
    let mut layers = Vec::new();
    if let Some(text) = medium.small(NAME, LEN_MAX)? {
        layers.push(Layer::parse(&format!("{NAME} of the medium"), &text)?);
    }
    if let Some((device, text)) = on_a_stick() {
        layers.push(Layer::parse(&format!("{}: {NAME}", device.display()), &text)?);
    }
    if let Some(place) = &words.install {
        layers.push(Layer::parse(place, &named(place, medium)?)?);
    }
    layers.push(words::layer(&words.install_keys)?);
    Ok(layers)
}

/// By an address, or a path on the medium, or in the initramfs.
fn named(place: &str, medium: &mut Medium) -> Result<Vec<u8>, String> {
    let missing = || {
        format!(
            "vmimage.install={place}: there is nothing\nhint: it is the address of a file, or its path on the medium"
        )
    };
    if place.starts_with("http://") || place.starts_with("https://") {
        let (folder, file) =
            place.rsplit_once('/').filter(|(_, file)| !file.is_empty()).ok_or_else(missing)?;
        return open_web(folder)?.small(file, LEN_MAX)?.ok_or_else(missing);
    }
    let path = Path::new(place);
    if path.is_absolute() && path.exists() {
        return file(path).map_err(in_file(path));
    }
    let name = place.trim_start_matches('/');
    let is_name = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    let found = if is_name { medium.small(name, LEN_MAX)? } else { None };
    found.ok_or_else(missing)
}

/// The file of the first partition that is called so and has one.
fn on_a_stick() -> Option<(PathBuf, Vec<u8>)> {
    let mut names: Vec<_> = fs::read_dir(BLOCK).ok()?.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    let devices = names.into_iter().map(|name| Path::new("/dev").join(name));
    devices.filter(|device| is_ours(device)).find_map(|device| {
        let text = mounted(&device).ok()?;
        Some((device, text))
    })
}

fn is_ours(device: &Path) -> bool {
    let mut bytes = [0; 512];
    let fat = File::open(device)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .ok()
        .and_then(|()| fat_label(&bytes));
    let label = fat.or_else(|| Some(Superblock::read(device)?.label));
    label.is_some_and(|label| LABELS.iter().any(|ours| label.trim().eq_ignore_ascii_case(ours)))
}

/// What a FAT is called (Microsoft FAT specification, `BS_VolLab` and `BS_FilSysType`).
fn fat_label(sector: &[u8; 512]) -> Option<String> {
    let label = |kind: usize, label: usize| {
        sector[kind..]
            .starts_with(b"FAT")
            .then(|| String::from_utf8_lossy(&sector[label..label + 11]).trim().to_owned())
    };
    (sector[510..] == [0x55, 0xaa]).then(|| label(82, 71).or_else(|| label(54, 43)))?
}

fn mounted(device: &Path) -> Result<Vec<u8>, String> {
    fs::create_dir_all(AT).map_err(in_file(Path::new(AT)))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let attempt =
        || mount(device, AT, "vfat", flags, None).or_else(|_| mount(device, AT, "ext4", flags, None));
    let done = attempt().or_else(|_: Errno| {
        let mut modules = Modules::read();
        DRIVERS.iter().for_each(|name| modules.load(name));
        attempt()
    });
    done.map_err(in_file(device))?;
    let path = Path::new(AT).join(NAME);
    let text = file(&path).map_err(in_file(&path));
    let _ = unmount(AT, UnmountFlags::DETACH);
    text
}

fn file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(LEN_MAX + 1).read_to_end(&mut text)?;
    match text.len() as u64 > LEN_MAX {
        true => {
            Err(std::io::Error::other(format!("has more than {LEN_MAX} bytes, which no configuration has")))
        }
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fat_is_told_by_its_label() {
        let sector = |kind: usize, label: usize| {
            let mut sector = [0; 512];
            sector[kind..kind + 5].copy_from_slice(b"FAT16");
            sector[label..label + 11].copy_from_slice(b"VMIMAGE    ");
            sector[510..].copy_from_slice(&[0x55, 0xaa]);
            sector
        };
        assert_eq!(fat_label(&sector(54, 43)).as_deref(), Some("VMIMAGE"));
        assert_eq!(fat_label(&sector(82, 71)).as_deref(), Some("VMIMAGE"));
        assert_eq!(fat_label(&[0; 512]), None);
        let mut cut = sector(54, 43);
        cut[511] = 0;
        assert_eq!(fat_label(&cut), None);
    }

    #[test]
    fn a_file_is_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        fs::write(&path, vec![b'#'; LEN_MAX as usize]).unwrap();
        assert_eq!(file(&path).unwrap().len() as u64, LEN_MAX);
        fs::write(&path, vec![b'#'; LEN_MAX as usize + 1]).unwrap();
        assert!(file(&path).unwrap_err().to_string().contains("which no configuration has"));
    }
}
