//! A disk of files: the tree as it is.

use super::draft::Parts;
use super::elsewhere::Elsewhere;
use super::lay_out::lay_out;
use super::resolve::Resolved;
use super::{Input, Planned, appliance, disk_file, latest_time, seed};
use crate::engine::Run;
use crate::error::Result;
use crate::spec::Spec;

pub(super) fn plan(spec: &Spec, input: Input, run: &Run<'_>) -> Result<Planned> {
    let Input { root, materials, mkfs, .. } = input;
    let time = latest_time(&root);
    let elsewhere = Elsewhere::find(spec, &materials, time)?;
    let seed = seed(spec, &root, elsewhere.digest()?)?;
    let resolved = Resolved::new(spec, &seed, &root)?;
    let parts = Parts { root, elsewhere, esp: None, kernels: None, bios: None, mkfs, time };
    let (layout, partitions) = lay_out(spec, &resolved, parts, run)?;
    Ok(Planned {
        layout,
        partitions,
        id: disk_file(&seed),
        appliance: appliance(spec),
        update: None,
        system: None,
    })
}
