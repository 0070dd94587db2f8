//! Identities as texts name them.

use std::collections::HashMap;

use crate::disk::PartitionId;
use crate::fs::VolumeId;
use crate::seed::Uuid;

/// Bytes of a UUID, of a partition of an MBR and of a serial number, as texts have them.
const LENGTHS: [usize; 3] = [36, 11, 9];

/// Identities of a disk and those of its copy, as long as each other. There may be thousands: they are looked up.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<Vec<u8>, Vec<u8>>);

impl Names {
    pub(super) fn add_uuid(&mut self, old: Uuid, new: Uuid) {
        let (old, new) = (old.to_string(), new.to_string());
        self.add(&old, &new);
        self.add(&old.to_uppercase(), &new.to_uppercase());
    }

    /// A FAT serial number. In upper case first, as Linux has it: one without letters looks the same in both.
    pub(super) fn add_serial(&mut self, old: u32, new: u32) {
        let [old, new] = [old, new].map(|serial| VolumeId::Serial(serial).to_string());
        self.add(&old, &new);
        self.add(&old.to_lowercase(), &new.to_lowercase());
    }

    pub(super) fn add_partition(&mut self, old: PartitionId, new: PartitionId) {
        let (old, new) = (old.to_string(), new.to_string());
        self.add(&old, &new);
        self.add(&old.to_uppercase(), &new.to_uppercase());
    }

    /// The first new name counts.
    fn add(&mut self, old: &str, new: &str) {
        self.0.entry(old.into()).or_insert_with(|| new.into());
    }

    /// The text with the new names, if it has old ones. What is no text stays as it is.
    pub(super) fn replace(&self, text: &[u8]) -> Option<Vec<u8>> {
        if text.contains(&0) {
            return None;
        }
        let mut new_text = Vec::with_capacity(text.len());
        while let Some(byte) = text.get(new_text.len()) {
            match LENGTHS.iter().find_map(|len| self.0.get(word(text, new_text.len(), *len)?)) {
                Some(new) => new_text.extend_from_slice(new),
                None => new_text.push(*byte),
            }
        }
        (new_text != text).then_some(new_text)
    }
}

/// The word of `len` bytes at `at`, if it is no part of something longer: a serial number may look like a part of a
/// UUID.
fn word(text: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    let (word, after) = text.get(at..)?.split_at_checked(len)?;
    (!before.is_some_and(goes_on) && !after.first().is_some_and(goes_on)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Uuid = Uuid::from_text("aede9863-7540-41d8-b37a-05393e693b29");
    const NEW: Uuid = Uuid::from_text("01234567-89ab-4def-8123-456789abcdef");

    #[test]
    fn every_way_to_write_a_name_is_found_and_nothing_else() {
        let mut names = Names::default();
        names.add_uuid(OLD, NEW);
        names.add_serial(0x9863_7540, 0x1234_abcd);
        let replace =
            |text: &str| names.replace(text.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        let fstab = format!("UUID={OLD} / ext4\nUUID=9863-7540 /boot/efi vfat\n");
        assert_eq!(replace(&fstab), Some(format!("UUID={NEW} / ext4\nUUID=1234-ABCD /boot/efi vfat\n")));
        let upper = OLD.to_string().to_uppercase();
        assert_eq!(replace(&upper), Some(NEW.to_string().to_uppercase()));
        assert_eq!(replace(&format!("x{OLD}")), None);
        assert_eq!(replace(&format!("{OLD}-1")), None);
        assert_eq!(replace(&format!("{OLD}\0")), None);
        assert_eq!(replace("19863-7540 9863-754"), None);
        assert_eq!(replace(""), None);
    }
}
