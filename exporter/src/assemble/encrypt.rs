//! Encrypted partitions: their keys, and what the machine has to open them by.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::resolve::{Named, Resolved};
use crate::boot::Unlock;
use crate::disk::Placed;
use crate::error::{Error, Kind, Result};
use crate::fs::{Contents, FileSystem, luks};
use crate::machine::Materials;
use crate::machine::bind::Binding;
use crate::machine::crypttab::{Opened, OpenedBy, Opener};
use crate::spec::layout::{Content, Lock, Slot, Way};
use crate::tree::Tree;
use crate::tree::os::Os;

/// Bytes of a partition that the machine makes at its first boot: the header, and an ext4 that is worth one.
const FIRST_BOOT_MIN: u64 = luks::DATA_OFFSET + (64 << 20);

/// The volumes of the encrypted partitions, by their labels.
#[derive(Default)]
pub(super) struct Volumes(BTreeMap<String, luks::Volume>);

impl Volumes {
    /// New keys for each, which the secrets open.
    ///
    /// # Errors
    /// If a secret was not given, or is none that opens one.
    pub(super) fn new(layout: &Resolved, materials: &Materials) -> Result<Self> {
        let encrypted = layout.partitions.iter().filter_map(|named| Some((&named.slot, named.encryption()?)));
        let now = encrypted.filter_map(|(slot, (encrypt, uuid))| Some((slot, encrypt.now()?, uuid)));
        let volumes = now.map(|(slot, secret, uuid)| {
            let options = luks::Options {
                uuid,
                label: slot.label.clone(),
                sector_size: sector_size(slot, layout.sector_size),
                kdf: secret.kdf(),
            };
            let volume = luks::Volume::new(&options, &bytes(secret, materials)?)?;
            Ok((slot.label.clone(), volume))
        });
        volumes.collect::<Result<_>>().map(Self)
    }

    /// What is in a partition, encrypted if it is to be.
    pub(super) fn wrap(&mut self, named: &Named, draft: Draft) -> Draft {
        match self.0.remove(&named.slot.label) {
            Some(volume) => Draft::Encrypted(Box::new(draft), volume),
            // Whose content the machine makes.
            None if named.encryption().is_some() => Draft::Room(FIRST_BOOT_MIN),
            None => draft,
        }
    }
}

/// The largest that what lies in it can have: a FAT and an XFS have those of the disk.
fn sector_size(slot: &Slot, of_disk: u32) -> u32 {
    match slot.file_system {
        Some(FileSystem::Vfat | FileSystem::Xfs) => of_disk,
        _ => 4096,
    }
}

/// A passphrase as it is typed, and a key as it is: each for a key slot.
fn bytes<'m>(secret: &Lock, materials: &'m Materials) -> Result<Vec<&'m [u8]>> {
    let passphrase = secret.passphrase.iter().map(|id| materials.passphrase(id).map(str::as_bytes));
    passphrase.chain(secret.key.iter().map(|id| materials.secret(id))).collect()
}

/// That nothing of the image is to be where the machine makes an empty file system.
pub(super) fn require_empty(tree: &Tree, label: &str) -> Result<()> {
    let Some((name, _)) = tree.children("/").next() else { return Ok(()) };
    let name = String::from_utf8_lossy(name);
    let message =
        format!("is made at the first boot, and would be without the image's files there, such as {name}");
    Err(Error::new(Kind::Input, label, message).with_hint("say a passphrase, or have the files elsewhere"))
}

/// `draft` in the room that `volume` leaves it at this place.
pub(super) fn plan(draft: &Draft, volume: &luks::Volume, at: &Placed, sector_size: u32) -> Result<Contents> {
    // To what lies in it, it is a disk of its own.
    let inside = Placed { start: 0, size: at.size.saturating_sub(luks::DATA_OFFSET), ..at.clone() };
    let used = match draft {
        Draft::Empty => Some(Vec::new()),
        Draft::Swap(_) => Some(std::iter::once(0..4096).collect()),
        _ => None,
    };
    Ok(volume.contents(draft.plan(&inside, sector_size)?, used))
}

/// What the machine opens, in the order of the disk.
///
/// # Errors
/// If a secret was not given, or a key would lie on a root that everybody reads.
pub(super) fn opened(layout: &Resolved, materials: &Materials) -> Result<Vec<Opened>> {
    let by_key = |named: &&Named| named.encryption().is_some_and(|(encrypt, _)| encrypt.has_key());
    if let Some(named) = layout.partitions.iter().find(by_key).filter(|_| layout.root.luks.is_none()) {
        let message = "is opened by a key, which would lie on a root that everybody reads";
        return Err(Error::new(Kind::Input, &named.slot.label, message)
            .with_hint("encrypt the root, or say a passphrase"));
    }
    let encrypted = layout.partitions.iter().filter_map(|named| Some((named, named.encryption()?)));
    let opened = encrypted.map(|(Named { slot, id, .. }, (encrypt, uuid))| {
        let by = encrypt.now().map_or(Ok(OpenedBy::Tpm(*id)), |lock| opened_by(lock, materials))?;
        let opener = match &slot.content {
            Content::Root => Opener::Initramfs,
            _ if slot.is_covered => Opener::Early,
            _ => Opener::Init,
        };
        let (name, is_swap) = (slot.opened_as().to_owned(), slot.file_system == Some(FileSystem::Swap));
        let reencrypt = encrypt.now().filter(|secret| secret.reencrypt).map(Lock::kdf);
        Ok(Opened { name, uuid, by, opener, is_swap, reencrypt })
    });
    opened.collect()
}

fn opened_by(lock: &Lock, materials: &Materials) -> Result<OpenedBy> {
    let Lock { key, tang, .. } = lock;
    Ok(match (lock.way(), lock.drive(), tang, key) {
        (_, Some(drive), ..) => OpenedBy::Drive(drive),
        (Way::Tpm2, ..) => OpenedBy::Bound(Binding::Tpm),
        (Way::Tang, _, Some(tang), _) => OpenedBy::Bound(Binding::Tang(tang.clone())),
        (_, _, _, Some(id)) => OpenedBy::Key(materials.secret(id)?.to_vec()),
        _ => OpenedBy::Passphrase,
    })
}

/// That the initramfs of `os` opens an encrypted root.
///
/// # Errors
/// If no initramfs of it is known to.
pub(super) fn require_unlock(layout: &Resolved, os: &Os) -> Result<()> {
    let root = layout.partitions.iter().find(|named| named.slot.content == Content::Root);
    let Some((lock, uuid)) =
        root.and_then(Named::encryption).and_then(|(encrypt, uuid)| Some((encrypt.now()?, uuid)))
    else {
        return Ok(());
    };
    if Unlock::new(os.family, uuid, lock).is_some() {
        return Ok(());
    }
    let (by, hint) = match lock.way() {
        Way::Passphrase => (
            String::new(),
            "take Debian, Ubuntu, Fedora and its relatives, or Alpine, or encrypt another partition",
        ),
        way => (
            format!(" by {}", way.described()),
            "take Fedora or one of its relatives, have the root opened by its passphrase alone, or say this way of another \
             partition, which systemd opens",
        ),
    };
    let message = format!("is encrypted, and no initramfs of {} is known to open it{by}", os.pretty_name);
    Err(Error::new(Kind::Unsupported, "/", message).with_hint(hint))
}
