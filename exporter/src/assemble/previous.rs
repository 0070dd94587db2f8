//! The placement of an earlier build, which the root keeps to as far as it fits, and the one for the next. What does not
//! fit is no error, but said.

use std::sync::Arc;

use super::draft::Draft;
use super::resolve::{Named, Resolved};
use super::seal;
use crate::container::Format;
use crate::disk::Unplaced;
use crate::error::{Error, Kind, Result};
use crate::fs::FileSystem;
use crate::fs::ext4::{Placement, Planned};
use crate::machine::Materials;
use crate::spec::Spec;
use crate::spec::layout::Content;

/// Room that a root had without need, which is not held against it.
const SLACK: u64 = 512 << 20;

/// A placement that was given.
#[derive(Default)]
pub(super) struct Previous {
    placement: Option<Placement>,
    /// Why it is not kept to.
    refused: Option<String>,
    was_given: bool,
}

impl Previous {
    /// The placement among `materials`, if one was given. The names of the root in `layout` are those that are in it.
    pub(super) fn read(materials: &Materials, layout: &mut Resolved) -> Self {
        let Some(packed) = &materials.placement else { return Self::default() };
        let refused = |why: String| Self { placement: None, refused: Some(why), was_given: true };
        if layout.root.file_system != FileSystem::Ext4 {
            return refused(format!("the root is {}", layout.root.file_system.name()));
        }
        match Placement::read(packed) {
            Ok(placement) => {
                layout.keep_names(&placement);
                Self { placement: Some(placement), refused: None, was_given: true }
            }
            Err(error) => refused(error.to_string()),
        }
    }

    /// Have the draft of the root keep to it; the size that this takes.
    pub(super) fn apply(&mut self, partitions: &[Named], drafts: &mut [Draft]) -> Option<u64> {
        let placement = self.placement.take()?;
        let mut all = partitions.iter().zip(drafts);
        let (named, root) = all.find_map(|(named, draft)| match draft {
            Draft::Ext4(draft) if named.slot.content == Content::Root => Some((named, draft)),
            _ => None,
        })?;
        self.refused = root.keep(&placement).err();
        Some(seal::needed(named, root.kept_size()?))
    }

    /// What became of it, in a line.
    pub(super) fn note(&self, root: Option<&Planned>) -> Option<String> {
        let why = match root.and_then(Planned::stayed) {
            Some(stayed) => {
                let (inodes, of) = (stayed.inodes, stayed.of);
                return Some(format!(
                    "placement: {inodes} of {of} files are where the earlier build had them"
                ));
            }
            None => self.refused.as_deref().unwrap_or("the root has less room than it had"),
        };
        self.was_given.then(|| format!("placement: not kept to, all is placed anew: {why}"))
    }
}

/// The same with the room that the root had, as far as it may have that and would have half of it anyway: a placement is
/// no reason for a disk that is far too large.
pub(super) fn with_room(partitions: &[Named], requests: &[Unplaced], kept: Option<u64>) -> Vec<Unplaced> {
    let is_root = |named: &Named| matches!(named.slot.content, Content::Root | Content::EmptySlot);
    let of = |(named, request): (&Named, &Unplaced)| {
        let may = |size: &u64| {
            let is_near = *size <= request.least.saturating_add(SLACK).saturating_mul(2);
            is_near && request.most.is_none_or(|most| *size <= most)
        };
        let least = kept.filter(|_| is_root(named)).filter(may).unwrap_or_default();
        Unplaced { least: request.least.max(least), ..request.clone() }
    };
    partitions.iter().zip(requests).map(of).collect()
}

/// The placement of this build, if an artifact has it.
///
/// # Errors
/// If it cannot be packed.
pub(super) fn next(spec: &Spec, root: Option<&Planned>) -> Result<Option<Arc<[u8]>>> {
    let is_asked = spec.formats.iter().any(|format| matches!(format, Format::Update | Format::Placement));
    let placement = root.filter(|_| is_asked).map(Planned::placement).transpose()?;
    Ok(placement.map(Into::into))
}

/// That there is none for what has no root of a machine.
///
/// # Errors
/// If there is.
pub(super) fn refuse(materials: &Materials) -> Result<()> {
    if materials.placement.is_none() {
        return Ok(());
    }
    let message = "is of the root of a machine, and this is a disk of files";
    Err(Error::new(Kind::Unsupported, "placement", message)
        .with_hint("leave the placement of the last build out"))
}
