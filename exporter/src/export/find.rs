//! Where the files of a machine are: its root, and the partitions that its fstab mounts.

use std::ops::Range;

use super::fstab::{self, Permissions};
use crate::disk::{self, Placed, kinds};
use crate::error::{Error, Kind, Result, show_list, show_path, show_text};
use crate::fs::{DiskBudget, VolumeId, ext4, fat, probe};
use crate::limits;
use crate::read_at::{Part, Shared};

/// A machine on a disk.
pub struct Machine {
    pub(super) disk: Shared,
    pub(super) root: Place,
    /// In the order of fstab.
    pub(super) mounts: Vec<Mounted>,
    /// What of the disk is in no file of the machine, a line each.
    pub(super) notes: Vec<String>,
    /// Bytes that the file systems have in use, as far as they say so.
    pub used: u64,
}

/// A part of the disk with a file system.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `partition 3`, `the disk`.
    pub(super) name: String,
    pub(super) range: Range<u64>,
}

/// One that is mounted.
#[derive(Debug)]
pub(super) struct Mounted {
    pub(super) place: Place,
    /// Without a slash in front.
    pub(super) path: Vec<u8>,
    pub(super) file_system: &'static str,
    /// Of files that have none.
    pub(super) permissions: Permissions,
}

/// Files that show that a file system is the root of a machine.
const SHOWS_A_ROOT: [&str; 3] = ["etc/os-release", "usr/lib/os-release", "etc/fstab"];

impl Place {
    fn of(placed: &Placed, disk: &Shared) -> Self {
        let end = placed.end().min(disk.size());
        Self { name: format!("partition {}", placed.number), range: placed.start.min(end)..end }
    }

    fn part<'d>(&self, disk: &'d Shared) -> Part<&'d (dyn crate::read_at::ReadAt + Send + Sync)> {
        Part::new(&**disk, self.range.clone())
    }

    /// The error with its place, and what to do about it.
    pub(super) fn at(&self, error: Error) -> Error {
        if !matches!(error.kind(), Kind::Unsupported | Kind::Corrupt) {
            return error;
        }
        let named = Error::new(error.kind().clone(), &self.name, error.to_string());
        match error.hint() {
            Some(hint) => named.with_hint(hint.clone()),
            None if *error.kind() == Kind::Unsupported => named.with_hint(
                "start the machine, or mount its disk, and pack the files there: \
                 tar --xattrs --acls --numeric-owner --one-file-system -C / -cf x.tar .",
            ),
            None => named,
        }
    }
}

/// The machine on `disk`. Its root is the partition with the number or the label `asked`; without that, the one that has a
/// system.
///
/// # Errors
/// `NotFound` if there is none; `Input` if there are several; `Unsupported` for a file system whose files are not read.
pub fn find(disk: Shared, asked: Option<&str>, budget: &DiskBudget) -> Result<Machine> {
    let Ok(table) = disk::read(&*disk) else {
        let root = Place { name: "the disk".into(), range: 0..disk.size() };
        if asked.is_some() {
            return Err(Error::new(Kind::Input, &root.name, "has no partitions to choose from"));
        }
        require_known(&root, &disk)?;
        return Machine { disk, root, mounts: Vec::new(), notes: Vec::new(), used: 0 }
            .with_mounts(&[], budget);
    };
    let partitions = table.partitions();
    let root = root(&disk, &partitions, asked, budget)?;
    let place = Place::of(root, &disk);
    require_known(&place, &disk)?;
    let rest: Vec<_> = partitions.iter().filter(|placed| placed.number != root.number).collect();
    Machine { disk, root: place, mounts: Vec::new(), notes: Vec::new(), used: 0 }.with_mounts(&rest, budget)
}

/// That its files are read.
fn require_known(place: &Place, disk: &Shared) -> Result<()> {
    let unknown = |message: String| Err(place.at(Error::new(Kind::Unsupported, "", message)));
    match probe::kind(&place.part(disk)).map_err(|error| place.at(error))? {
        Some("ext2" | "ext3" | "ext4" | "vfat") => Ok(()),
        Some(kind) => unknown(format!("the root is of {kind}, whose files are not read here")),
        None => unknown("there is no file system that is known".into()),
    }
}

fn root<'p>(
    disk: &Shared,
    partitions: &'p [Placed],
    asked: Option<&str>,
    budget: &DiskBudget,
) -> Result<&'p Placed> {
    if let Some(asked) = asked {
        let is_asked = |placed: &&Placed| placed.number.to_string() == asked || placed.name == asked;
        return partitions.iter().find(is_asked).ok_or_else(|| {
            let all: Vec<_> = partitions.iter().map(shown).collect();
            Error::new(Kind::NotFound, "the disk", format!("has no partition {}", show_text(asked)))
                .with_hint(format!("there are {}", show_list(&all)))
        });
    }
    let is_root = |placed: &Placed| placed.kind.guid().is_some_and(kinds::is_root);
    let systems: Vec<_> = partitions.iter().filter(|placed| has_system(disk, placed, budget)).collect();
    let typed: Vec<_> = systems.iter().copied().filter(|placed| is_root(placed)).collect();
    match (&typed[..], &systems[..]) {
        ([root], _) | ([], [root]) => Ok(root),
        ([], []) => partitions.iter().find(|placed| is_root(placed)).ok_or_else(|| {
            Error::new(Kind::NotFound, "the disk", "has no partition with a system whose files are read")
                .with_hint("name the partition: --root 2")
        }),
        (typed, all) => {
            let several = if typed.is_empty() { all } else { typed };
            let names: Vec<_> = several.iter().map(|placed| shown(placed)).collect();
            let message = format!("has several partitions with a system: {}", show_list(&names));
            let number = several.first().map_or(1, |placed| placed.number);
            Err(Error::new(Kind::Input, "the disk", message)
                .with_hint(format!("name the one that is meant: --root {number}")))
        }
    }
}

fn shown(placed: &Placed) -> String {
    match &placed.name[..] {
        "" => placed.number.to_string(),
        name => format!("{} {:?}", placed.number, show_text(name)),
    }
}

fn has_system(disk: &Shared, placed: &Placed, budget: &DiskBudget) -> bool {
    let part = Place::of(placed, disk).part(disk);
    ext4::read(&part).is_ok_and(|found| found.is_some())
        && SHOWS_A_ROOT.iter().any(|path| {
            ext4::read_text(&part, path, limits::TEXT as usize, budget).is_ok_and(|text| text.is_some())
        })
}

impl Machine {
    /// With what its fstab mounts of `partitions`.
    fn with_mounts(mut self, partitions: &[&Placed], budget: &DiskBudget) -> Result<Self> {
        self.used = Volume::read(&self.root, None, &self.disk, budget)?.map_or(0, |volume| volume.used);
        let (mut volumes, mut unread) = (Vec::new(), Vec::new());
        for placed in partitions {
            match Volume::read(&Place::of(placed, &self.disk), Some(placed), &self.disk, budget) {
                Ok(volume) => volumes.extend(volume),
                Err(error) => unread.push(error),
            }
        }
        for line in self.fstab(budget)? {
            let Some(at) = volumes.iter().position(|volume| volume.is_called(&line.spec)) else {
                // It may be the one.
                if let Some(error) = unread.pop() {
                    return Err(error);
                }
                let (path, spec) = (show_path(&line.path), show_text(&line.spec));
                self.notes.push(format!("{path}: {spec} is no partition of this disk, left out"));
                continue;
            };
            let Volume { place, file_system, used, .. } = volumes.remove(at);
            self.used += used;
            self.mounts.push(Mounted { place, path: line.path, file_system, permissions: line.permissions });
        }
        self.notes.extend(unread.iter().map(|error| format!("{error}, left out")));
        let left = volumes.iter().filter(|volume| volume.file_system != "swap");
        self.notes.extend(left.map(|Volume { place, file_system, .. }| {
            format!("{}: {file_system}, which /etc/fstab mounts nowhere, left out", place.name)
        }));
        Ok(self)
    }

    /// The lines of its fstab.
    fn fstab(&self, budget: &DiskBudget) -> Result<Vec<fstab::Line>> {
        let part = self.root.part(&self.disk);
        let text = match ext4::read(&part).map_err(|error| self.root.at(error))? {
            Some(_) => ext4::read_text(&part, "etc/fstab", limits::TEXT as usize, budget),
            None => Ok(None),
        };
        let text = text.map_err(|error| self.root.at(error))?.unwrap_or_default();
        Ok(fstab::parse(&String::from_utf8_lossy(&text)))
    }
}

/// A file system, and what lines of fstab may call it.
struct Volume {
    place: Place,
    file_system: &'static str,
    names: Vec<String>,
    used: u64,
}

impl Volume {
    /// `None` if there is none.
    fn read(
        place: &Place,
        placed: Option<&Placed>,
        disk: &Shared,
        budget: &DiskBudget,
    ) -> Result<Option<Self>> {
        let part = place.part(disk);
        let Some(file_system) = probe::kind(&part).map_err(|error| place.at(error))? else { return Ok(None) };
        let (mut names, mut used) = (Vec::new(), 0);
        let mut named = |id: VolumeId, label: &str| {
            names.push(format!("UUID={id}"));
            names.extend((!label.is_empty()).then(|| format!("LABEL={label}")));
        };
        if file_system == "vfat" {
            let found = fat::read(&part, budget).map_err(|error| place.at(error))?;
            named(VolumeId::Serial(found.serial), &found.label);
            used = found.size.saturating_sub(found.free);
        } else if let Some(found) = ext4::read(&part).map_err(|error| place.at(error))? {
            named(VolumeId::Uuid(found.uuid), &found.label);
            used = found.size.saturating_sub(found.free.unwrap_or(0));
        }
        if let Some(placed) = placed {
            names.push(format!("PARTUUID={}", placed.id));
            names.extend((!placed.name.is_empty()).then(|| format!("PARTLABEL={}", placed.name)));
        }
        Ok(Some(Self { place: place.clone(), file_system, names, used }))
    }

    /// UUIDs are written in either case.
    fn is_called(&self, spec: &str) -> bool {
        let link = spec.strip_prefix("/dev/disk/by-").and_then(|link| link.split_once('/'));
        let spec = match link {
            Some((by, name)) => format!("{}={}", by.to_ascii_uppercase(), unescaped(name)),
            None => spec.to_owned(),
        };
        let is_id = spec.starts_with("UUID=") || spec.starts_with("PARTUUID=");
        self.names.iter().any(|name| *name == spec || is_id && name.eq_ignore_ascii_case(&spec))
    }
}

/// The name of a link that udev has made: `\x20` is a space, and so with all that it takes for unsafe.
fn unescaped(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match digits.zip(part.get(2..)) {
            Some((byte, rest)) => bytes.extend([&[byte], rest.as_bytes()].concat()),
            None => bytes.extend([b"\\x", part.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_called_by_its_tags_and_by_the_links_of_udev() {
        let place = Place { name: "partition 1".into(), range: 0..1 };
        let names = ["UUID=1234-ABCD", "LABEL=a b", "PARTUUID=0a0b", "PARTLABEL=my/esp"];
        let volume = Volume { place, file_system: "vfat", names: names.map(str::to_owned).into(), used: 0 };
        for spec in [
            "UUID=1234-abcd",
            "LABEL=a b",
            "/dev/disk/by-uuid/1234-ABCD",
            "/dev/disk/by-partuuid/0A0B",
            r"/dev/disk/by-label/a\x20b",
            r"/dev/disk/by-partlabel/my\x2fesp",
        ] {
            assert!(volume.is_called(spec), "{spec}");
        }
        for spec in
            ["LABEL=A B", "/dev/disk/by-label/a", "/dev/disk/by-id/a b", "/dev/disk/by-label", "/dev/sda1"]
        {
            assert!(!volume.is_called(spec), "{spec}");
        }
        assert_eq!(unescaped(r"\x\x2\xzz\x41"), r"\x\x2\xzzA");
    }
}
