//! What installs the next version in a machine with two slots and a name; and who signs the update that comes of its build.

use std::sync::Arc;

use super::resolve::Resolved;
use super::update;
use crate::container::Format;
use crate::container::update::{Signer, require_one_each};
use crate::error::{Error, Kind, Result};
use crate::machine::Materials;
use crate::machine::update::{self as updater, System, Updater};
use crate::spec::Spec;
use crate::tree::os::Os;
use crate::tree::{Editor, Time, Tree};

/// The keys of `sign`, in its order. One that was not given is missed where something follows from it: by an update, and by a
/// machine that is not told in another way whom it believes.
///
/// # Errors
/// If one is missed or cannot be read as one, or two are of one kind.
pub(super) fn signers(spec: &Spec, materials: &Materials) -> Result<Vec<Signer>> {
    let is_missed = spec.formats.contains(&Format::Update) || spec.update.public_key.is_empty();
    let ids = spec.update.sign.iter().filter(|id| is_missed || materials.secrets.contains_key(*id));
    let signers = ids.map(|id| Signer::new(&format!("secret {id}"), materials.secret(id)?));
    let signers = signers.collect::<Result<Vec<_>>>()?;
    require_one_each(&signers)?;
    Ok(signers)
}

/// Have the machine install what follows. Returns a line for each thing that was done.
///
/// # Errors
/// If there is no program for it.
pub(super) fn install(
    root: &mut Tree,
    os: &Os,
    spec: &Spec,
    program: Option<Arc<[u8]>>,
    signers: &[Signer],
    layout: &Resolved,
    time: Time,
) -> Result<Vec<String>> {
    let Some(system) = system(spec, layout) else { return Ok(Vec::new()) };
    let program =
        program.filter(|program| spec.architecture.runs(program)).ok_or_else(|| no_program(spec))?;
    let public_keys = match &spec.update.public_key[..] {
        [] => signers.iter().filter_map(Signer::minisign_public_key).collect(),
        named => named.to_vec(),
    };
    let updater = Updater { program, system, update: &spec.update, public_keys: &public_keys };
    updater::install(&mut Editor::new(root, time), os.init, &updater)
}

/// What the root is, if it lies in a slot and has a name.
fn system<'a>(spec: &'a Spec, layout: &Resolved) -> Option<System<'a>> {
    if !spec.layout.has_slots() {
        return None;
    }
    Some(System {
        id: spec.image.id.as_deref()?,
        version: spec.image.version.as_deref()?,
        compatible: spec.image.compatible()?,
        architecture: spec.architecture.name(),
        loader: spec.loader.name(),
        has_kernels_beside: update::are_kernels_beside(layout),
    })
}

fn no_program(spec: &Spec) -> Error {
    let message = format!(
        "this vmimage has no vmimage-update for {}, and no other program installs an update",
        spec.architecture
    );
    Error::new(Kind::NotFound, updater::PROGRAM, message).with_hint(
        "take the vmimage of the frontend image (make out/vmimage), or leave the id and the version out",
    )
}
