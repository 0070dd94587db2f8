//! A partition before its content is known: what was asked of it.

use std::fmt;

use serde::{Serialize, Serializer};

use super::shown_kind;
use crate::error::show_size;
use crate::fs::FileSystem;
use crate::spec::layout::Slot;
use crate::terminal::line;

/// A partition that a build would make. Its sizes, in bytes, are those that were asked for.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Its number in the table.
    pub number: u32,
    /// All that was asked of it.
    pub slot: Slot,
}

/// What programs are told of it.
#[derive(Serialize)]
struct Facts<'a> {
    number: u32,
    label: &'a str,
    #[serde(rename = "type")]
    kind: String,
    min: u64,
    max: Option<u64>,
    weight: u32,
    file_system: Option<&'static str>,
    mount: Option<&'a str>,
    grows: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    encrypted: bool,
}

impl Serialize for Expected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { number, slot } = self;
        let Slot { label, kind, file_system, mount, min, max, weight, grow, encrypt, .. } = slot;
        let facts = Facts {
            number: *number,
            label,
            kind: shown_kind((*kind).into()),
            min: *min,
            max: *max,
            weight: *weight,
            file_system: file_system.map(FileSystem::name),
            mount: mount.as_deref(),
            grows: *grow,
            encrypted: encrypt.is_some(),
        };
        facts.serialize(serializer)
    }
}

impl fmt::Display for Expected {
    /// One line, without places.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, slot } = self;
        let Slot { label, kind, file_system, mount, min, max, weight, grow, encrypt, .. } = slot;
        let kind = shown_kind((*kind).into());
        write!(f, "{number}   {:<5} {kind:<24} {}", line(label), shown_size(*min, *max, *weight > 0))?;
        write_use(f, *file_system, mount.as_deref())?;
        if encrypt.is_some() {
            f.write_str(", encrypted")?;
        }
        if *grow { f.write_str(", grows with the disk") } else { Ok(()) }
    }
}

/// `, ext4 on /srv`
fn write_use(
    f: &mut fmt::Formatter<'_>,
    file_system: Option<FileSystem>,
    mount: Option<&str>,
) -> fmt::Result {
    if let Some(file_system) = file_system {
        write!(f, ", {}", file_system.name())?;
    }
    if let Some(mount) = mount {
        write!(f, " on {}", line(mount))?;
    }
    Ok(())
}

/// `2 GiB or more`; with a share of what is left it is `2 GiB and a share`.
fn shown_size(min: u64, max: Option<u64>, shares: bool) -> String {
    let least = if min == 0 { "what it needs".to_owned() } else { show_size(min) };
    match max {
        Some(max) if max == min => least,
        Some(max) => format!("{least} to {}", show_size(max)),
        None if shares => format!("{least} and a share"),
        None if min == 0 => least,
        None => format!("{least} or more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::layout::slots;
    use crate::spec::{Layout, Spec};

    #[test]
    fn a_partition_says_what_was_asked_of_it() {
        let layout = r#"{"preset":"simple","partitions":[{"type":"esp","size":"256M"},{"type":"xbootldr"},
            {"type":"swap","min":"1G","max":"2G","encrypt":{"passphrase":"a"}},{"type":"linux-generic","filesystem":"erofs","mount":"/opt"}]}"#;
        let layout: Layout = serde_json::from_str(layout).unwrap();
        let slots = slots(&Spec { layout, ..Spec::default() });
        let lines = (1..).zip(slots).map(|(number, slot)| {
            let text = Expected { number, slot }.to_string();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        assert_eq!(
            lines.collect::<Vec<_>>(),
            [
                "1 bios bios-boot 1 MiB or more",
                "2 esp esp 256 MiB, vfat on /boot/efi",
                "3 boot xbootldr 512 MiB or more, ext4 on /boot",
                "4 swap swap 1 GiB to 2 GiB, swap, encrypted",
                "5 linux linux-generic what it needs, erofs on /opt",
                "6 root root-x86-64 what it needs and a share, ext4 on /, grows with the disk",
            ]
        );
    }
}
