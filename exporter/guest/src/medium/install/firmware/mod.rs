//! The firmware's list of what it can start: an entry for the installed system, first in the order (UEFI 2.10, section 3.1).
//!
//! Variables are files of efivarfs: four bytes of attributes, and the value
//! (<https://docs.kernel.org/filesystems/efivarfs.html>).

mod option;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use super::closing::Partition;
use crate::grow::device::in_file;
use crate::init::modules::Modules;
pub(super) use option::LoadOption;

/// Where a machine that was started by UEFI says so, and where its variables are.
const EFI: &str = "/sys/firmware/efi";
const VARIABLES: &str = "/sys/firmware/efi/efivars";
/// `EFI_GLOBAL_VARIABLE` (UEFI 2.10, section 3.3).
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Kept, and for boot services and the running system (UEFI 2.10, section 8.2.1).
const ATTRIBUTES: [u8; 4] = [7, 0, 0, 0];
/// The most that a variable of these has here.
const LEN_MAX: u64 = 64 << 10;

/// Have the firmware start `loader` of the partition first. Returns what was done; `None`: it knows no such list.
///
/// # Errors
/// If it does not take it.
pub(super) fn register(label: &str, partition: &Partition, loader: &str) -> Result<Option<String>, String> {
    if !Path::new(EFI).exists() {
        return Ok(None);
    }
    let Some(option) = LoadOption::new(label, partition, loader) else { return Ok(None) };
    let variables = Variables { folder: VARIABLES.into() };
    variables.open()?;
    variables.put_first(&option).map(Some)
}

/// Those of the firmware.
struct Variables {
    folder: PathBuf,
}

impl Variables {
    fn open(&self) -> Result<(), String> {
        let is_there = || fs::read_dir(&self.folder).is_ok_and(|mut entries| entries.next().is_some());
        if is_there() {
            return Ok(());
        }
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let attempt = || mount("efivarfs", &self.folder, "efivarfs", flags, None);
        let done = attempt().or_else(|error| match error {
            Errno::NODEV => {
                Modules::read().load("efivarfs");
                attempt()
            }
            error => Err(error),
        });
        done.map_err(in_file(&self.folder))
    }

    /// An entry of the same content is used again, so that installing again leaves no others behind.
    fn put_first(&self, option: &LoadOption) -> Result<String, String> {
        let bytes = option.bytes();
        let number = match self.entries().find(|number| self.read(&entry(*number)).as_ref() == Some(&bytes)) {
            Some(number) => number,
            None => {
                let free = (0..=u16::MAX).find(|number| !self.path(&entry(*number)).exists());
                let free = free.ok_or("the firmware's list of boot entries is full")?;
                self.write(&entry(free), &bytes)?;
                free
            }
        };
        let mut order = vec![number];
        order.extend(self.order().into_iter().filter(|other| *other != number));
        let order: Vec<_> = order.into_iter().flat_map(u16::to_le_bytes).collect();
        self.write("BootOrder", &order)?;
        Ok(format!("{}: {}, the first that the firmware starts", entry(number), option.label))
    }

    /// The numbers of all entries.
    fn entries(&self) -> impl Iterator<Item = u16> {
        let names = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        names.filter_map(|name| {
            let name = name.file_name().into_string().ok()?;
            let digits = name.strip_prefix("Boot")?.strip_suffix(GLOBAL)?.strip_suffix('-')?;
            (digits.len() == 4).then(|| u16::from_str_radix(digits, 16).ok())?
        })
    }

    /// Numbers of entries (UEFI 2.10, section 3.1.1).
    fn order(&self) -> Vec<u16> {
        let bytes = self.read("BootOrder").unwrap_or_default();
        bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-{GLOBAL}"))
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.path(name);
        if fs::metadata(&path).ok()?.len() > LEN_MAX {
            return None;
        }
        fs::read(&path).ok()?.get(ATTRIBUTES.len()..).map(<[u8]>::to_vec)
    }

    /// In one call, as the kernel takes a value.
    fn write(&self, name: &str, value: &[u8]) -> Result<(), String> {
        let path = self.path(name);
        let bytes = [&ATTRIBUTES, value].concat();
        let written =
            File::options().write(true).create(true).truncate(false).open(&path).and_then(|mut file| {
                let len = file.write(&bytes)?;
                if len < bytes.len() {
                    return Err(std::io::Error::other("was taken in parts"));
                }
                Ok(())
            });
        written.map_err(in_file(&path))
    }
}

/// `Boot0001`
fn entry(number: u16) -> String {
    format!("Boot{number:04X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(label: &str) -> LoadOption {
        let partition = Partition { number: 1, place: 1 << 20..2 << 20, id: Some([7; 16]), sector: 512 };
        LoadOption::new(label, &partition, "\\EFI\\debian\\shimx64.efi").unwrap()
    }

    #[test]
    fn an_entry_is_the_first_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let variables = Variables { folder: folder.path().to_owned() };
        variables.write("Boot0000", b"another").unwrap();
        // Of another vendor, and one that is no entry.
        fs::write(folder.path().join("Boot0001-00000000-93ca-11d2-aa0d-00e098032b8c"), [7, 0, 0, 0]).unwrap();
        variables.write("BootNext", &[9, 0]).unwrap();
        variables.write("BootOrder", &[0, 0, 9, 0]).unwrap();
        let said = variables.put_first(&option("Debian")).unwrap();
        assert_eq!(said, "Boot0001: Debian, the first that the firmware starts");
        assert_eq!(variables.order(), [1, 0, 9]);
        let written = fs::read(variables.path("Boot0001")).unwrap();
        assert_eq!((&written[..4], &written[4..]), (&ATTRIBUTES[..], &*option("Debian").bytes()));
        // Once more, and another one.
        variables.put_first(&option("Debian")).unwrap();
        assert_eq!((variables.order(), variables.entries().count()), (vec![1, 0, 9], 2));
        variables.put_first(&option("Alpine")).unwrap();
        assert_eq!(variables.order(), [2, 1, 0, 9]);
    }

    #[test]
    fn a_firmware_without_an_order_gets_one() {
        let folder = tempfile::tempdir().unwrap();
        let variables = Variables { folder: folder.path().to_owned() };
        variables.put_first(&option("Debian")).unwrap();
        assert_eq!(variables.order(), [0]);
        let none = Variables { folder: folder.path().join("none") };
        assert!(none.put_first(&option("Debian")).is_err());
    }
}
