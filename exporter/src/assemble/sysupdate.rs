//! The updates of a build for systemd-sysupdate, which is told of them where systemd-boot starts two slots.

use crate::container::update::Signer;
use crate::error::Result;
use crate::machine::sysupdate::{self, Updates};
use crate::spec::{Loader, Spec};
use crate::tree::os::Os;
use crate::tree::{Editor, Time, Tree};

/// Have it take them, if the machine has it. Returns a line for each thing that was done.
///
/// # Errors
/// If something is in the way of what is written.
pub(super) fn install(
    root: &mut Tree,
    os: &Os,
    spec: &Spec,
    signers: &[Signer],
    time: Time,
) -> Result<Vec<String>> {
    let has_entries = spec.layout.has_slots() && spec.loader == Loader::SystemdBoot;
    let (Some(id), Some(version), true) = (&spec.image.id, &spec.image.version, has_entries) else {
        return Ok(Vec::new());
    };
    let update = &spec.update;
    let keyring = signers.iter().find_map(Signer::gpg_keyring);
    let updates = Updates {
        id,
        version,
        from: update.from.as_deref(),
        keyring: keyring.as_deref(),
        lacks_keys: signers.len() < update.sign.len(),
        has_images: spec.layout.has_verity(),
        has_certificates: [&update.ca, &update.certificate].into_iter().any(Option::is_some),
    };
    sysupdate::install(&mut Editor::new(root, time), os.init, &updates)
}
