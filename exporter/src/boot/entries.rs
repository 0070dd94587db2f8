//! The entries of systemd-boot on a disk: what they say, and in which order they are tried. Which slot an entry is of, and
//! what becomes of it in the machine, `exporter/guest/src/choice/entries.rs` says.
//!
//! Source: Boot Loader Specification (UAPI.1) 1.0, "Type #1 Boot Loader Specification Entries" and "Boot counting".

use std::cmp::Ordering;

use super::slots;
use crate::tree::version;

/// The file that a volume with entries has.
pub const MARK: &str = "loader/entries.srel";
/// The folder of the entries there.
pub const FOLDER: &str = "loader/entries";
/// More bytes than any entry has.
pub const ENTRY_MAX: usize = 1 << 16;

const SUFFIX: &str = ".conf";
/// Where images of kernels are, which have their version in their names: `kiosk-7-B+3-0.efi`.
const IMAGES: &str = "EFI/Linux";
const IMAGE_SUFFIX: &str = ".efi";

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name of its file.
    name: String,
    /// The slot that it starts; `None`: it is of no slot.
    pub slot: Option<&'static str>,
    /// `None`: its boot was good once, and it is tried for ever.
    pub counter: Option<Counter>,
    /// The greater it is, the earlier it is tried.
    version: String,
    /// Path of the kernel on the volume.
    pub linux: Option<String>,
    /// Path of the initramfs there.
    pub initrd: Option<String>,
    /// What the kernel is told.
    pub options: String,
}

/// The tries of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// How many it has yet.
    pub left: u32,
    /// How many were used up.
    pub done: u32,
}

impl Entry {
    /// That in a file of this name with this text; `None`: it is no entry.
    pub fn read(name: &str, text: &str) -> Option<Self> {
        let (stem, counter) = split_counter(name.strip_suffix(SUFFIX)?);
        let first = |key| values(text, key).next().map(str::to_owned);
        let options = values(text, "options").collect::<Vec<_>>().join(" ");
        Some(Self {
            name: name.to_owned(),
            slot: slot_of(stem, &options),
            counter,
            version: first("version").unwrap_or_default(),
            linux: first("linux"),
            initrd: first("initrd"),
            options,
        })
    }

    /// The image in a file with this path on the ESP, of a slot; `None`: it is none. All of it is in its name.
    pub fn of_image(path: &str) -> Option<Self> {
        let (folder, name) = path.trim_start_matches('/').rsplit_once('/')?;
        let (stem, counter) = split_counter(name.strip_suffix(IMAGE_SUFFIX)?);
        let (stem, slot) = stem.rsplit_once('-')?;
        let slot = slots::NAMES.into_iter().find(|known| *known == slot)?;
        let (_, version) = stem.rsplit_once('-').filter(|_| folder.eq_ignore_ascii_case(IMAGES))?;
        version.parse::<u64>().ok()?;
        let (name, version, slot) = (name.to_owned(), version.to_owned(), Some(slot));
        Some(Self { name, slot, counter, version, linux: None, initrd: None, options: String::new() })
    }

    /// Which of two is tried first. Those without a try left come last.
    pub fn compare(&self, other: &Self) -> Ordering {
        let is_used_up = |entry: &Self| entry.counter.is_some_and(|counter| counter.left == 0);
        let by_name = || (self.counter.is_none(), &other.name).cmp(&(other.counter.is_none(), &self.name));
        is_used_up(self)
            .cmp(&is_used_up(other))
            .then_with(|| version::compare(&other.version, &self.version))
            .then_with(by_name)
    }
}

impl Counter {
    fn read(text: &str) -> Option<Self> {
        let (left, done) = text.split_once('-').unwrap_or((text, "0"));
        // No sign, which numbers may have elsewhere.
        let number =
            |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        Some(Self { left: number(left)?, done: number(done)? })
    }
}

fn split_counter(stem: &str) -> (&str, Option<Counter>) {
    let counted = stem.rsplit_once('+').and_then(|(stem, text)| Some((stem, Counter::read(text)?)));
    counted.map_or((stem, None), |(stem, counter)| (stem, Some(counter)))
}

/// Another one whose name ends like this is of another system.
fn slot_of(stem: &str, options: &str) -> Option<&'static str> {
    let (_, name) = stem.rsplit_once('-')?;
    let slot = slots::NAMES.into_iter().find(|slot| *slot == name)?;
    let word = slots::name_word(slot);
    options.split_ascii_whitespace().any(|own| own == word).then_some(slot)
}

fn values<'a>(text: &'a str, key: &str) -> impl Iterator<Item = &'a str> {
    let pairs = text.lines().filter_map(|line| line.trim_start().split_once(char::is_whitespace));
    pairs.filter(move |(name, _)| *name == key).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, version: &str) -> Entry {
        let text = format!("version {version}\noptions ro rauc.slot=A\noptions rauc.slot=B\n");
        Entry::read(name, &text).unwrap()
    }

    #[test]
    fn an_image_of_a_slot_says_all_in_its_name() {
        let image =
            |path: &str| Entry::of_image(path).map(|entry| (entry.slot, entry.counter, entry.version));
        let counter = Some(Counter { left: 2, done: 1 });
        assert_eq!(image("EFI/Linux/kiosk-2-7-B+2-1.efi"), Some((Some("B"), counter, "7".into())));
        assert_eq!(image("/efi/linux/kiosk-1-A.efi"), Some((Some("A"), None, "1".into())));
        for none in
            ["EFI/BOOT/kiosk-1-A.efi", "EFI/Linux/debian-6.1+3-0.efi", "EFI/Linux/kiosk-A.efi", "A.efi"]
        {
            assert_eq!(image(none), None, "{none}");
        }
        let entry = |name: &str| Entry::of_image(&format!("EFI/Linux/{name}")).unwrap();
        assert!(entry("kiosk-10-B+3-0.efi").compare(&entry("kiosk-9-A.efi")).is_lt());
        assert!(entry("kiosk-10-B+0-3.efi").compare(&entry("kiosk-9-A.efi")).is_gt());
    }

    #[test]
    fn an_entry_says_what_it_starts() {
        let text = "# Written by vmimage.\n\
                    title      Debian\n\
                    version    3\n\
                    options    root=PARTUUID=x ro rauc.slot=B\n \
                    linux\t/kiosk/B/linux\n\
                    initrd     /kiosk/B/initrd.img-6.1\n";
        let expected = Entry {
            name: "kiosk-B+2-1.conf".into(),
            slot: Some("B"),
            counter: Some(Counter { left: 2, done: 1 }),
            version: "3".into(),
            linux: Some("/kiosk/B/linux".into()),
            initrd: Some("/kiosk/B/initrd.img-6.1".into()),
            options: "root=PARTUUID=x ro rauc.slot=B".into(),
        };
        assert_eq!(Entry::read("kiosk-B+2-1.conf", text), Some(expected));
        // Of another system.
        assert_eq!(Entry::read("kiosk-A.conf", text).unwrap().slot, None);
        assert_eq!(Entry::read("kiosk-B+2-1.conf.tmp", text), None);
        let empty = Entry::read(".conf", "").unwrap();
        assert_eq!((empty.slot, empty.linux, &*empty.options), (None, None, ""));
    }

    #[test]
    fn a_name_says_whose_entry_it_is_and_how_often_it_is_tried() {
        let counter = |left, done| Some(Counter { left, done });
        for (name, slot, expected) in [
            ("kiosk-2-B.conf", Some("B"), None),
            ("kiosk-2-B+0.conf", Some("B"), counter(0, 0)),
            ("kiosk-2-A+3-0.conf", Some("A"), counter(3, 0)),
            ("kiosk\u{fffd}-A+4294967295-0.conf", Some("A"), counter(u32::MAX, 0)),
            ("debian-6.1.0-9-amd64+3-0.conf", None, counter(3, 0)),
            ("kiosk-A++3.conf", None, counter(3, 0)),
            // No counters: too great, or no numbers.
            ("kiosk-A+4294967296.conf", None, None),
            ("kiosk-A+0-99999999999999999999.conf", None, None),
            ("kiosk-A+-1.conf", None, None),
            ("kiosk-A+.conf", None, None),
            ("A.conf", None, None),
        ] {
            let entry = entry(name, "1");
            assert_eq!((entry.slot, entry.counter), (slot, expected), "{name}");
        }
    }

    #[test]
    fn the_greatest_version_with_a_try_left_is_tried_first() {
        let ordered = [
            entry("kiosk-B+3-0.conf", "10"),
            entry("kiosk-B.conf", "10"),
            entry("kiosk-A.conf", "9"),
            entry("kiosk-A.conf", ""),
            entry("kiosk-A+0-3.conf", "99999999999999999999999999"),
            entry("kiosk-B+0-3.conf", "11"),
            entry("kiosk-A+0-3.conf", "11"),
        ];
        for (place, one) in ordered.iter().enumerate() {
            for (other_place, other) in ordered.iter().enumerate() {
                assert_eq!(one.compare(other), place.cmp(&other_place), "{one:?} {other:?}");
            }
        }
    }
}
