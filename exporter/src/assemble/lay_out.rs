//! The pipeline of every disk, once its tree is what goes onto it: draft, place, lay out.

use super::draft::{Draft, Parts, drafts};
use super::previous;
use super::resolve::{Named, Resolved};
use super::seal::{self, Seal, with_hashes};
use crate::boot::BiosBoot;
use crate::boot::verity::Verified;
use crate::disk::{
    self, ALIGNMENT, BootCode, Disk, DiskLayout, PartitionKind, Placed, TableKind, Unplaced, mbr,
};
use crate::engine::Run;
use crate::error::{Error, Kind, Result, show_size};
use crate::fs::{Contents, FileSystem, ext4};
use crate::hint::{Hint, Setting};
use crate::report::Part;
use crate::spec::layout::{Content, Slot};
use crate::spec::{Size, Spec};

/// Room left on a disk whose size was not asked: a quarter of what shares it, and not less than this.
const HEADROOM: u64 = 256 << 20;

/// A disk with all of its bytes.
pub(super) struct LaidOut {
    pub(super) disk: DiskLayout,
    /// What its partitions have become.
    pub(super) partitions: Vec<Part>,
    /// The file system with the tree, if that is an ext4.
    pub(super) root: Option<ext4::Planned>,
    /// What it is checked by, if it has hashes.
    pub(super) verified: Option<Verified>,
    /// What became of the placement that was given, if one was.
    pub(super) note: Option<String>,
}

/// Every byte of the disk, and what its partitions have become. A root with hashes is read for them.
pub(super) fn lay_out(
    spec: &Spec,
    resolved: &Resolved,
    mut parts: Parts,
    seal: Option<Seal>,
    run: &Run<'_>,
) -> Result<LaidOut> {
    let Resolved { table, sector_size, partitions, .. } = resolved;
    let mut boot = boot_code(*table, &mut parts)?;
    let mut previous = std::mem::take(&mut parts.previous);
    let mut drafts = drafts(partitions, parts, *sector_size, run)?;
    let kept = previous.apply(partitions, &mut drafts);
    let minimum = |(named, draft): (&Named, &Draft)| Ok(seal::needed(named, draft.minimum()?));
    let needs = partitions.iter().zip(&drafts).map(minimum).collect::<Result<Vec<_>>>()?;
    let rooms = rooms(partitions, &needs);
    let requests = partitions.iter().zip(&rooms).map(|(named, needed)| request(*table, named, *needed));
    let requests = with_hashes(partitions, requests.collect::<Result<_>>()?);
    let roomier = with_hashes(partitions, previous::with_room(partitions, &requests, kept));
    let size = match spec.size {
        Some(_) => disk_size(spec, &requests)?,
        None => {
            disk_size(spec, &requests)?.max(disk::minimum_size(&roomier).next_multiple_of(size_unit(spec)))
        }
    };
    let roomy = partitions
        .iter()
        .zip(&rooms)
        .map(|(named, needed)| request(*table, named, with_room(named, *needed)));
    let roomy = with_hashes(partitions, roomy.collect::<Result<_>>()?);
    let roomiest = with_hashes(partitions, previous::with_room(partitions, &roomy, kept));
    // By weight alone a full partition could have all the others' room beside it.
    let preferred = [roomiest, roomy, roomier];
    let requests =
        preferred.into_iter().find(|requests| disk::minimum_size(requests) <= size).unwrap_or(requests);
    let places = disk::place(&requests, size)?;
    let open = partitions.iter().zip(needs).zip(places).zip(drafts);
    let open =
        open.map(|(((named, needed), placed), draft)| Open { named, needed, placed, draft, content: None });
    let (mut open, mut root) = (open.collect::<Vec<_>>(), None);
    // What starts it may name its hash.
    for each in open.iter_mut().filter(|each| each.named.slot.content == Content::Root) {
        each.fill(*sector_size, &mut root)?;
    }
    let verified = seal.map(|seal| seal.apply(&mut open, run)).transpose()?;
    for each in &mut open {
        boot.first = each.draft.boot_code(&each.placed, *sector_size)?.unwrap_or(boot.first);
        each.fill(*sector_size, &mut root)?;
    }
    let report = open.iter().map(|each| part(*table, each.named, each.needed, &each.placed)).collect();
    let disk = Disk { size, sector_size: *sector_size, table: *table, guid: resolved.disk, boot };
    let note = previous.note(root.as_ref());
    let contents = open.into_iter().filter_map(|each| Some((each.placed, each.content?))).collect();
    Ok(LaidOut { disk: DiskLayout::new(&disk, contents)?, partitions: report, root, verified, note })
}

/// A partition that has its place, on its way to its bytes.
pub(super) struct Open<'a> {
    pub(super) named: &'a Named,
    /// Bytes that its content needs.
    pub(super) needed: u64,
    pub(super) placed: Placed,
    pub(super) draft: Draft,
    pub(super) content: Option<Contents>,
}

impl Open<'_> {
    /// Let it have its content, unless it has one; `root` is the plan of an ext4 with the tree.
    fn fill(&mut self, sector_size: u32, root: &mut Option<ext4::Planned>) -> Result<()> {
        if self.content.is_none() {
            let room = Placed { size: seal::room(self.named, self.placed.size), ..self.placed.clone() };
            self.content = Some(match &self.draft {
                Draft::Ext4(draft) if self.named.slot.content == Content::Root => {
                    root.insert(draft.lay_out(room.size)?).contents()
                }
                draft => draft.plan(&room, sector_size)?,
            });
        }
        Ok(())
    }
}

/// Bytes that each partition is made for: those of its content, but of slots those of roots to come, half as large again.
/// Both slots have the same, whatever the disk has, since a root that fits one has to fit the other.
fn rooms(partitions: &[Named], needs: &[u64]) -> Vec<u64> {
    let find = |content| partitions.iter().zip(needs).find(move |(named, _)| named.slot.content == content);
    let slots = find(Content::Root).zip(find(Content::EmptySlot));
    let Some(((root, needed), _)) = slots else { return needs.to_vec() };
    let room = up_to_max(root, *needed, needed.saturating_add(needed / 2));
    let of = |(named, needed): (&Named, &u64)| match named.slot.content {
        Content::Root | Content::EmptySlot => room,
        _ => *needed,
    };
    partitions.iter().zip(needs).map(of).collect()
}

/// What a BIOS runs of a disk without a partition for it.
fn boot_code(table: TableKind, parts: &mut Parts) -> Result<BootCode> {
    let images = parts.bios.take_if(|_| table == TableKind::Mbr);
    let Some(images) = images else { return Ok(BootCode::default()) };
    let first = u64::from(mbr::SECTOR_SIZE);
    let BiosBoot { mbr_code, core } = BiosBoot::new(&images, 1, ALIGNMENT - first)?;
    Ok(BootCode { first: mbr_code, behind: core })
}

fn part(table: TableKind, named: &Named, needed: u64, placed: &Placed) -> Part {
    let Slot { file_system, mount, grow, encrypt, .. } = &named.slot;
    let of_table = table.limit().map(|limit| limit.saturating_sub(placed.start));
    let of_file_system = file_system.map(FileSystem::size_limit);
    let grows_to = of_table.into_iter().chain(of_file_system).min().filter(|_| *grow);
    Part {
        placed: placed.clone(),
        file_system: *file_system,
        mount: mount.clone(),
        needed,
        grows_to,
        is_encrypted: encrypt.is_some(),
    }
}

/// A quarter more than its content needs, for one that shares the disk, as far as it may be so large.
fn with_room(named: &Named, needed: u64) -> u64 {
    let room = if named.slot.weight > 0 { needed.saturating_add(needed / 4) } else { needed };
    up_to_max(named, needed, room)
}

fn up_to_max(named: &Named, needed: u64, room: u64) -> u64 {
    named.slot.max.map_or(room, |max| room.min(max).max(needed))
}

fn request(table: TableKind, named: &Named, needed: u64) -> Result<Unplaced> {
    let slot = &named.slot;
    if let Some(max) = slot.max.filter(|max| *max < needed) {
        let missing = needed - max;
        let message = format!("its content needs {needed} bytes and may have {max}: {missing} bytes too few");
        return Err(Error::new(Kind::NoSpace { needed, available: max }, &slot.label, message)
            .with_hint("give the partition a larger size, or ask for min in its place"));
    }
    let byte = mbr::kind(slot.kind, slot.file_system).filter(|_| table == TableKind::Mbr);
    Ok(Unplaced {
        kind: byte.map_or(PartitionKind::Guid(slot.kind), PartitionKind::Byte),
        name: slot.label.clone(),
        id: named.id,
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
