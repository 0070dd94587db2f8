//! A root for a disk that somebody else lays out, as KubeOS does: what was asked of the machine itself, and nothing of a disk.

use super::machine::settle_time;
use super::seed;
use crate::error::Result;
use crate::machine::{self, Materials};
use crate::spec::{Network, Spec};
use crate::tree::{Editor, Tree, os};

/// What of `spec` such a root gets: its name and version, users, files, services and the like, and a network if one is asked
/// for.
pub fn of_root(spec: &Spec) -> Spec {
    Spec {
        name: spec.name.clone(),
        architecture: spec.architecture,
        hostname: spec.hostname.clone(),
        image: spec.image.clone(),
        network: spec.network.clone(),
        setup: spec.setup.clone(),
        source_date_epoch: spec.source_date_epoch,
        ..Spec::default()
    }
}

/// Set `root` up with what [`of_root`] leaves. Returns a line for each change; no line has a secret in it.
///
/// # Errors
/// What contradicts the image, and what `materials` lack.
pub fn set_up(spec: &Spec, root: &mut Tree, materials: &Materials) -> Result<Vec<String>> {
    let os = os::detect(root)?;
    let (time, mut notes) = settle_time(root, spec);
    let seed = seed(spec, root, materials.digest(&spec.setup)?)?;
    let editor = &mut Editor::new(root, time);
    if spec.hostname.is_some() {
        notes.extend(machine::write_hostname(editor, spec.hostname.as_deref(), &os)?);
    }
    if spec.network != Network::default() {
        notes.extend(machine::configure_network(editor, &os, &spec.network)?);
    }
    notes.extend(machine::os_release::write(editor, &spec.image)?);
    notes.extend(machine::set_up(editor, &os, &spec.setup, materials, &seed)?);
    Ok(notes)
}
