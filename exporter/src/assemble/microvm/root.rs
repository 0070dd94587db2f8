//! The file system of a microVM's root, which lies by itself: how large it is, and where its bytes are from.

use crate::assemble::draft::{Parts, drafts};
use crate::assemble::elsewhere::Elsewhere;
use crate::assemble::encrypt::Volumes;
use crate::assemble::previous::Previous;
use crate::assemble::resolve::Resolved;
use crate::disk::{PartitionKind, Placed, mbr};
use crate::engine::Run;
use crate::error::{Error, Kind, Result, show_size};
use crate::fs::Contents;
use crate::hint::{Hint, Setting};
use crate::report::Part;
use crate::spec::layout::Slot;
use crate::spec::{Size, Spec};
use crate::tree::{Time, Tree};

/// A size is a multiple of this: a block of every file system that is made.
const BLOCK: u64 = 4096;
/// That of a root whose size was not asked.
const UNIT: u64 = 1 << 20;
/// Room left on a root that is written to: a quarter of what is on it, and not less than this.
const HEADROOM: u64 = 64 << 20;

/// A root that only has to be written.
pub(super) struct Root {
    /// As of a disk that is this and nothing else.
    pub(super) placed: Placed,
    pub(super) contents: Contents,
    /// What the report says of it.
    pub(super) part: Part,
}

impl Root {
    /// That of `tree`.
    ///
    /// # Errors
    /// If it does not fit into what was asked for.
    pub(super) fn plan(
        spec: &Spec,
        layout: &Resolved,
        tree: Tree,
        time: Time,
        run: &Run<'_>,
    ) -> Result<Self> {
        let parts = Parts {
            root: tree,
            elsewhere: Elsewhere::default(),
            esp: None,
            kernels: None,
            bios: None,
            mkfs: None,
            time,
            previous: Previous::default(),
            volumes: Volumes::default(),
        };
        let made = drafts(&layout.partitions, parts, mbr::SECTOR_SIZE, run)?;
        let only = layout.partitions.first().zip(made.first());
        let (named, draft) = only.ok_or_else(|| Error::new(Kind::Input, "layout", "has no root"))?;
        let needed = draft.minimum()?;
        let slot = &named.slot;
        let placed = Placed {
            number: 1,
            start: 0,
            size: size(spec, slot, needed)?,
            kind: PartitionKind::Guid(slot.kind),
            id: named.id,
            attributes: 0,
            name: slot.label.clone(),
        };
        let contents = draft.plan(&placed, mbr::SECTOR_SIZE)?;
        let part = Part {
            placed: placed.clone(),
            file_system: slot.file_system,
            mount: slot.mount.clone(),
            needed,
            grows_to: None,
            is_encrypted: false,
        };
        Ok(Self { placed, contents, part })
    }
}

/// As large as asked, else as large as its content needs, with head-room if it is written to.
fn size(spec: &Spec, slot: &Slot, needed: u64) -> Result<u64> {
    let least = needed.max(slot.min).next_multiple_of(BLOCK);
    let room =
        if slot.read_only { least } else { needed.saturating_add(HEADROOM.max(needed / 4)).max(least) };
    let size = match spec.size {
        Some(Size(size)) => size,
        None if slot.read_only && slot.min <= needed => least,
        None => {
            let most = slot.max.map_or(u64::MAX, |max| max.max(least) / BLOCK * BLOCK);
            room.next_multiple_of(UNIT).min(most)
        }
    };
    let most = slot.max.unwrap_or(u64::MAX);
    if !size.is_multiple_of(BLOCK) {
        let message = format!("{size} bytes are not a multiple of {}", show_size(BLOCK));
        return Err(Error::new(Kind::Input, "size", message));
    }
    if size < least || size > most {
        let (needed, available) = (least, size.min(most));
        let message = format!(
            "{} are asked for, but the root needs {}, {} bytes more",
            show_size(available),
            show_size(needed),
            needed.saturating_sub(available)
        );
        let hint = Hint::from("ask for at least ").set(Setting::Size, format!("{}M", needed.div_ceil(UNIT)));
        return Err(Error::new(Kind::NoSpace { needed, available }, "size", message)
            .with_hint(hint.text(", or leave the size out")));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::layout::slots;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_root_is_as_large_as_asked_or_as_it_needs() {
        let of = |size: &str, partition: &str, needed: u64| {
            let text = format!(
                r#"{{"profile":"microvm","formats":["microvm"]{size},
                    "layout":{{"partitions":[{{"type":"root"{partition}}}]}}}}"#
            );
            let spec: Spec = serde_json::from_str(&text).unwrap();
            super::size(&spec, &slots(&spec)[0], needed).map_err(|error| error.to_string())
        };
        let erofs = r#","filesystem":"erofs""#;
        for (size, partition, needed, expected) in [
            ("", "", 10 * MIB, 74 * MIB),
            ("", "", 800 * MIB, 1000 * MIB),
            ("", r#","min":"512M""#, 10 * MIB, 512 * MIB),
            ("", r#","max":"32M""#, 10 * MIB, 32 * MIB),
            ("", r#","size":"128M""#, 10 * MIB, 128 * MIB),
            (r#","size":"1G""#, "", 10 * MIB, 1024 * MIB),
            ("", erofs, 3 * MIB + 4096, 3 * MIB + 4096),
        ] {
            assert_eq!(of(size, partition, needed), Ok(expected), "{size} {partition}");
        }
        for (size, partition, why) in [
            (r#","size":"8M""#, "", "size: 8 MiB are asked for, but the root needs 10 MiB"),
            (r#","size":"20000001""#, "", "size: 20000001 bytes are not a multiple of 4 KiB"),
            ("", r#","max":"8M""#, "size: 8 MiB are asked for, but the root needs 10 MiB"),
            (r#","size":"64M""#, r#","max":"32M""#, "size: 32 MiB are asked for"),
        ] {
            let said = of(size, partition, 10 * MIB).unwrap_err();
            assert!(said.starts_with(why), "{said}");
        }
    }
}
