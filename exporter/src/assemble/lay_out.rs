//! The pipeline of every disk, once its tree is what goes onto it: draft, place, lay out.

use super::draft::{Draft, Parts, drafts};
use super::resolve::{Named, Resolved};
use crate::disk::gpt::BOOT_CODE_LEN;
use crate::disk::{self, ALIGNMENT, Disk, DiskLayout, Placed, Unplaced};
use crate::engine::Run;
use crate::error::{Error, Kind, Result, show_size};
use crate::hint::{Hint, Setting};
use crate::report::Part;
use crate::seed::Seed;
use crate::spec::layout::Slot;
use crate::spec::{Size, Spec};

/// Room left on a disk whose size was not asked: a quarter of what shares it, and not less than this.
const HEADROOM: u64 = 256 << 20;

/// Every byte of the disk, and what its partitions have become.
pub(super) fn lay_out(
    spec: &Spec,
    resolved: &Resolved,
    parts: Parts,
    seed: &Seed,
    run: &Run<'_>,
) -> Result<(DiskLayout, Vec<Part>)> {
    let Resolved { sector_size, partitions, .. } = resolved;
    let drafts = drafts(partitions, parts, *sector_size, run)?;
    let needs = drafts.iter().map(Draft::minimum).collect::<Result<Vec<_>>>()?;
    let requests = partitions.iter().zip(&needs).map(|(named, needed)| request(named, *needed));
    let requests = requests.collect::<Result<Vec<_>>>()?;
    let size = disk_size(spec, &requests)?;
    let roomy =
        partitions.iter().zip(&needs).map(|(named, needed)| request(named, with_room(named, *needed)));
    let roomy = roomy.collect::<Result<Vec<_>>>()?;
    // By weight alone a full partition could have all the others' room beside it.
    let requests = if disk::minimum_size(&roomy) <= size { roomy } else { requests };
    let mut disk =
        Disk { size, sector_size: *sector_size, guid: seed.uuid("disk"), boot_code: [0; BOOT_CODE_LEN] };
    let places = disk::place(&requests, size)?;
    let report = partitions.iter().zip(&needs).zip(&places);
    let report = report.map(|((named, needed), placed)| part(named, *needed, placed)).collect();
    let mut contents = Vec::new();
    for (placed, draft) in places.into_iter().zip(drafts) {
        disk.boot_code = draft.boot_code(&placed, *sector_size)?.unwrap_or(disk.boot_code);
        let content = draft.plan(&placed, *sector_size)?;
        contents.push((placed, content));
    }
    Ok((DiskLayout::new(&disk, contents)?, report))
}

fn part(named: &Named, needed: u64, placed: &Placed) -> Part {
    let Slot { file_system, mount, grow, .. } = &named.slot;
    Part { placed: placed.clone(), file_system: *file_system, mount: mount.clone(), needed, grows: *grow }
}

/// A quarter more than its content needs, for one that shares the disk, as far as it may be so large.
fn with_room(named: &Named, needed: u64) -> u64 {
    let Slot { weight, max, .. } = &named.slot;
    let room = if *weight > 0 { needed.saturating_add(needed / 4) } else { needed };
    max.map_or(room, |max| room.min(max).max(needed))
}

fn request(named: &Named, needed: u64) -> Result<Unplaced> {
    let slot = &named.slot;
    if let Some(max) = slot.max.filter(|max| *max < needed) {
        let missing = needed - max;
        let message = format!("its content needs {needed} bytes and may have {max}: {missing} bytes too few");
        return Err(Error::new(Kind::NoSpace { needed, available: max }, &slot.label, message)
            .with_hint("give the partition a larger size, or ask for min in its place"));
    }
    Ok(Unplaced {
        kind: slot.kind,
        name: slot.label.clone(),
        guid: named.guid,
        attributes: slot.attributes,
        least: needed.max(slot.min),
        most: slot.max,
        weight: slot.weight,
    })
}

/// The disk's size in bytes: as asked, if all fits; else what is needed and some head-room for those that share it.
fn disk_size(spec: &Spec, partitions: &[Unplaced]) -> Result<u64> {
    let minimum = disk::minimum_size(partitions);
    let unit = size_unit(spec);
    match spec.size {
        Some(Size(size)) if size % unit != 0 => {
            let message = format!("{size} bytes are not a multiple of {}", show_size(unit));
            let message = match spec.formats.iter().find(|format| format.size_unit() > ALIGNMENT) {
                Some(format) => format!("{message}, as a {format} disk is"),
                None => message,
            };
            let right = format!("{}M", size.div_ceil(unit) * (unit >> 20));
            let hint = Hint::from("ask for ").set(Setting::Size, right).text(", or leave the size out");
            Err(Error::new(Kind::Input, "size", message).with_hint(hint))
        }
        Some(Size(size)) if size < minimum => {
            let message = format!(
                "{} are asked for, but the content needs {}, {} bytes more",
                show_size(size),
                show_size(minimum),
                minimum - size
            );
            let least = minimum.div_ceil(unit).saturating_mul(unit) / ALIGNMENT;
            let hint = Hint::from("ask for at least ")
                .set(Setting::Size, format!("{least}M"))
                .text(", or leave the size out");
            Err(Error::new(Kind::NoSpace { needed: minimum, available: size }, "size", message)
                .with_hint(hint))
        }
        Some(Size(size)) => Ok(size),
        None => {
            let sharing = partitions.iter().filter(|partition| partition.weight > 0);
            let needs = sharing.map(|partition| partition.least).reduce(u64::saturating_add);
            let size = minimum.saturating_add(needs.map_or(0, |needs| HEADROOM.max(needs / 4)));
            Ok(size.checked_next_multiple_of(unit).unwrap_or(size))
        }
    }
}

/// Bytes that the size is a multiple of, for partitions and every format.
fn size_unit(spec: &Spec) -> u64 {
    spec.formats.iter().map(|format| format.size_unit()).fold(ALIGNMENT, u64::max)
}
