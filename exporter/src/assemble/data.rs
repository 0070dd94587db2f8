//! A disk of files: one partition with the tree as it is.

use std::sync::Arc;

use super::{Ids, Planned, SECTOR_SIZE, appliance, disk_size, latest_time, root_options};
use crate::disk::{self, Disk, DiskLayout, Request, kinds};
use crate::error::Result;
use crate::fs::ext4;
use crate::spec::Spec;
use crate::tree::Tree;

const LABEL: &str = "data";

pub(super) fn plan(spec: &Spec, root: Tree) -> Result<Planned> {
    let time = latest_time(&root);
    let ids = Ids::new(spec, &root, None)?;
    let root = Arc::new(root);
    let draft = ext4::Draft::new(&root, &root_options(&ids, LABEL, time))?;
    let needs = draft.minimum_size()?;
    let partition = Request {
        kind: kinds::LINUX_GENERIC,
        name: LABEL.to_owned(),
        guid: ids.seed.uuid("data partition"),
        attributes: kinds::GROW_FILE_SYSTEM,
        size: needs,
    };
    let size = disk_size(spec, std::slice::from_ref(&partition), needs)?;
    let placed = disk::place(&[partition], size)?;
    let layout = draft.plan(placed.first().map_or(needs, |placed| placed.size))?;
    let disk = Disk { size, sector_size: SECTOR_SIZE, guid: ids.seed.uuid("disk"), boot_code: [0; 440] };
    let layout = DiskLayout::new(&disk, placed.into_iter().zip([layout]).collect())?;
    Ok(Planned { layout, id: ids.disk_file(), appliance: appliance(spec), system: None })
}
