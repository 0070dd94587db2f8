//! The name of an entry, which has the counters of systemd-boot: `kiosk-B+2-1.conf` has two tries left, and one was used up. That
//! of an image (type 2) has the version, too: `kiosk-7-B+2-1.efi`.
//!
//! Source: Boot Loader Specification (UAPI.1) 1.0, "Boot counting".

use std::str::FromStr;

use super::Slot;

const SUFFIX: &str = ".conf";
const IMAGE_SUFFIX: &str = ".efi";

/// The name of the entry of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryName {
    /// What the names of entries begin with.
    pub(super) token: String,
    /// Of an image: the greater it is, the earlier it is tried.
    pub(super) version: Option<u64>,
    pub(super) slot: Slot,
    /// `None`: its boot was good once, and it is tried for ever.
    pub(super) counter: Option<Counter>,
}

/// Its tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    pub(super) left: u32,
    pub(super) done: u32,
}

impl EntryName {
    /// `None`: it is of no slot.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (stem, is_image) = match name.strip_suffix(SUFFIX) {
            Some(stem) => (stem, false),
            None => (name.strip_suffix(IMAGE_SUFFIX)?, true),
        };
        let counted = stem.rsplit_once('+').and_then(|(stem, text)| Some((stem, Counter::parse(text)?)));
        let (stem, counter) = counted.map_or((stem, None), |(stem, counter)| (stem, Some(counter)));
        let (stem, slot) = stem.rsplit_once('-')?;
        let (token, version) = match is_image {
            true => stem.rsplit_once('-').and_then(|(token, text)| Some((token, Some(number(text)?))))?,
            false => (stem, None),
        };
        let slot = Slot::named(slot).filter(|_| is_plain(token))?;
        Some(Self { token: token.to_owned(), version, slot, counter })
    }

    /// The name of its file.
    pub(super) fn file(&self) -> String {
        let counter = match self.counter {
            None => String::new(),
            // As systemd-bless-boot(8) writes it.
            Some(Counter { left, done: 0 }) if left == 0 => format!("+{left}"),
            Some(Counter { left, done }) => format!("+{left}-{done}"),
        };
        let (token, slot) = (&self.token, self.slot.name());
        match self.version {
            Some(version) => format!("{token}-{version}-{slot}{counter}{IMAGE_SUFFIX}"),
            None => format!("{token}-{slot}{counter}{SUFFIX}"),
        }
    }

    /// What comes first in the order in which entries are tried, the greater `version` before the other.
    pub(super) fn rank(&self, version: u64) -> impl Ord + use<> {
        let is_used_up = self.counter.is_some_and(|counter| counter.left == 0);
        (is_used_up, std::cmp::Reverse(version), self.counter.is_none())
    }
}

impl Counter {
    fn parse(text: &str) -> Option<Self> {
        let (left, done) = text.split_once('-').unwrap_or((text, "0"));
        Some(Self { left: number(left)?, done: number(done)? })
    }
}

/// Without a sign, which numbers may have elsewhere.
fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a FAT takes it for the name of a file or a folder, and an entry as part of a path. Releases of Debian's kernels have
/// a `+`.
pub(super) fn is_plain(name: &str) -> bool {
    let is_of_fat = |byte: u8| byte.is_ascii_graphic() && !br#""*/:<>?\|"#.contains(&byte);
    !name.is_empty() && !name.ends_with('.') && name.bytes().all(is_of_fat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_entry_it_is_and_how_often_it_is_tried() {
        let name = |counter| EntryName { token: "kiosk-2".into(), version: None, slot: Slot::B, counter };
        let counter = |left, done| Some(Counter { left, done });
        for (text, counter) in [
            ("kiosk-2-B.conf", None),
            ("kiosk-2-B+0.conf", counter(0, 0)),
            ("kiosk-2-B+3-0.conf", counter(3, 0)),
            ("kiosk-2-B+2-1.conf", counter(2, 1)),
            ("kiosk-2-B+0-14.conf", counter(0, 14)),
        ] {
            assert_eq!(EntryName::parse(text), Some(name(counter)), "{text}");
            assert_eq!(name(counter).file(), text);
        }
        assert_eq!(EntryName::parse("kiosk-2-B+3.conf"), Some(name(counter(3, 0))));
    }

    #[test]
    fn the_name_of_an_image_has_its_version_in_front_of_the_slot() {
        let counter = Some(Counter { left: 2, done: 1 });
        let name = |version, counter| EntryName { token: "kiosk-2".into(), version, slot: Slot::B, counter };
        for (text, name) in [
            ("kiosk-2-7-B+2-1.efi", name(Some(7), counter)),
            ("kiosk-2-18446744073709551615-B.efi", name(Some(u64::MAX), None)),
        ] {
            assert_eq!(EntryName::parse(text), Some(name.clone()), "{text}");
            assert_eq!(name.file(), text);
        }
        for text in [
            "kiosk-B.efi",
            "kiosk-x-B.efi",
            "kiosk-+7-B.efi",
            "7-B.efi",
            "-7-B.efi",
            "kiosk--B.efi",
            "kiosk-7-C.efi",
        ] {
            assert_eq!(EntryName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_of_no_slot_is_left_alone() {
        for text in [
            "debian-6.1.0-9-amd64+3-0.conf",
            "kiosk-B.tmp",
            "kiosk-B+.conf",
            "kiosk-B++3.conf",
            "kiosk-B+3-.conf",
            "kiosk-B+x.conf",
            "kiosk-C.conf",
            "B.conf",
            "-B.conf",
            "..-B.conf",
            "my kiosk-B.conf",
            ".conf",
            "",
        ] {
            assert_eq!(EntryName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_are_those_that_a_fat_has() {
        for name in ["kiosk", "initrd.img-6.12.38+deb13-amd64", "initramfs-6.1~rc1.img", "a=b,c"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", ".", "..", "kiosk.", "a b", "a/b", r"a\b", "a:b", "k\u{fc}che", "a\n"] {
            assert!(!is_plain(name), "{name:?}");
        }
    }
}
