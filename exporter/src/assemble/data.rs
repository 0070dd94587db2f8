//! A disk of files: the tree as it is.

use super::draft::Parts;
use super::elsewhere::Elsewhere;
use super::encrypt::Volumes;
use super::lay_out::{LaidOut, lay_out};
use super::previous::{self, Previous};
use super::resolve::Resolved;
use super::{Input, Planned, appliance, disk_file, latest_time, seed};
use crate::engine::Run;
use crate::error::Result;
use crate::spec::Spec;

pub(super) fn plan(spec: &Spec, input: Input, run: &Run<'_>) -> Result<Planned> {
    let Input { root, materials, mkfs, .. } = input;
    previous::refuse(&materials)?;
    let time = latest_time(&root);
    let elsewhere = Elsewhere::find(spec, &materials, time)?;
    let seed = seed(spec, &root, elsewhere.digest()?)?;
    let resolved = Resolved::new(spec, &seed, &root)?;
    let previous = Previous::default();
    let volumes = Volumes::new(&resolved, &materials)?;
    let parts =
        Parts { root, elsewhere, esp: None, kernels: None, bios: None, mkfs, time, previous, volumes };
    let LaidOut { disk, partitions, .. } = lay_out(spec, &resolved, parts, None, run)?;
    Ok(Planned {
        layout: disk,
        partitions,
        id: disk_file(&seed),
        appliance: appliance(spec),
        update: None,
        placement: None,
        microvm: None,
        medium: None,
        system: None,
    })
}
