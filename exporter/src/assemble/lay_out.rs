//! The pipeline of every disk, once its tree is what goes onto it: draft, place, lay out.

use super::draft::{Draft, Parts, drafts};
use super::resolve::{Named, Resolved};
use crate::disk::gpt::BOOT_CODE_LEN;
use crate::disk::{self, ALIGNMENT, Disk, DiskLayout, Request, kinds};
use crate::error::{Error, Kind, Result, show_size};
use crate::seed::Seed;
use crate::spec::{Size, Spec};

/// Room left on a disk whose size was not asked: a quarter of what shares it, and not less than this.
const HEADROOM: u64 = 256 << 20;

/// Every byte of the disk.
pub(super) fn lay_out(spec: &Spec, resolved: &Resolved, parts: Parts, seed: &Seed) -> Result<DiskLayout> {
    let Resolved { sector_size, partitions, .. } = resolved;
    let drafts = drafts(partitions, parts, *sector_size)?;
    let requests = partitions.iter().zip(&drafts).map(|(named, draft)| request(named, draft));
    let requests = requests.collect::<Result<Vec<_>>>()?;
    let size = disk_size(spec, &requests)?;
    let mut disk =
        Disk { size, sector_size: *sector_size, guid: seed.uuid("disk"), boot_code: [0; BOOT_CODE_LEN] };
    let mut contents = Vec::new();
    for (placed, draft) in disk::place(&requests, size)?.into_iter().zip(drafts) {
        disk.boot_code = draft.boot_code(&placed, *sector_size)?.unwrap_or(disk.boot_code);
        let content = draft.plan(&placed, *sector_size)?;
        contents.push((placed, content));
    }
    DiskLayout::new(&disk, contents)
}

fn request(named: &Named, draft: &Draft) -> Result<Request> {
    let asked = &named.asked;
    let grows = if asked.grow { kinds::GROW_FILE_SYSTEM } else { 0 };
    Ok(Request {
        kind: asked.kind,
        name: asked.label.clone(),
        guid: named.guid,
        attributes: asked.attributes | grows,
        least: draft.minimum()?.max(asked.min.map_or(0, |Size(min)| min)),
        weight: asked.weight,
    })
}

/// The disk's size in bytes: as asked, if all fits; else what is needed and some head-room for those that share it.
fn disk_size(spec: &Spec, partitions: &[Request]) -> Result<u64> {
    let minimum = disk::minimum_size(partitions);
    let unit = size_unit(spec);
    match spec.size {
        Some(Size(size)) if size % unit != 0 => {
            let message = format!("{size} bytes are not a multiple of {}", show_size(unit));
            let message = match spec.formats.iter().find(|format| format.size_unit() > ALIGNMENT) {
                Some(format) => format!("{message}, as a {format} disk is"),
                None => message,
            };
            let hint =
                format!("ask for --size {}M, or leave the size out", size.div_ceil(unit) * (unit >> 20));
            Err(Error::new(Kind::Input, "size", message).with_hint(hint))
        }
        Some(Size(size)) if size < minimum => {
            let message =
                format!("{} are asked for, but the content needs {}", show_size(size), show_size(minimum));
            let least = minimum.div_ceil(unit).saturating_mul(unit) / ALIGNMENT;
            let hint = format!("ask for at least --size {least}M, or leave the size out");
            Err(Error::new(Kind::NoSpace { needed: minimum, available: size }, "size", message)
                .with_hint(hint))
        }
        Some(Size(size)) => Ok(size),
        None => {
            let sharing = partitions.iter().filter(|partition| partition.weight > 0);
            let needs = sharing.map(|partition| partition.least).fold(0, u64::saturating_add);
            let size = minimum.saturating_add(HEADROOM.max(needs / 4));
            Ok(size.checked_next_multiple_of(unit).unwrap_or(size))
        }
    }
}

/// Bytes that the size is a multiple of, for partitions and every format.
fn size_unit(spec: &Spec) -> u64 {
    spec.formats.iter().map(|format| format.size_unit()).fold(ALIGNMENT, u64::max)
}
