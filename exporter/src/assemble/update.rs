//! The update that comes of the build of a machine with two slots: the root of the first, and what starts that beside it.

use std::sync::Arc;

use super::boot_loader::WithRootHash;
use super::donor::KernelSource;
use super::resolve::Resolved;
use super::slots;
use crate::boot::BootVolume;
use crate::boot::slots::Slots;
use crate::boot::verity::Verified;
use crate::container::rauc::Bundle;
use crate::container::update::{Archive, Signer};
use crate::container::{Format, Update};
use crate::disk::DiskLayout;
use crate::error::{Error, Kind, Result};
use crate::spec::{Spec, update};
use crate::tree::{Content, InodeKind, Time, Tree};

/// That an update that is asked for can be called something.
///
/// # Errors
/// What is missing.
pub(super) fn require_name(spec: &Spec) -> Result<()> {
    let Some((key, message)) = update::unnamed(spec) else { return Ok(()) };
    Err(Error::new(Kind::Input, key, message)
        .with_hint("name it in vmimage.toml: image.id = \"kiosk\", image.version = \"1.4.0\""))
}

/// What the image of a root is called in an update, as `vmimage-boot` looks for it.
const IMAGE: &str = "image.efi";

/// Whether what starts a root comes beside it: kernels that GRUB reads there, or an image that has its root hash.
pub(super) fn are_kernels_beside(layout: &Resolved) -> bool {
    layout.root.is_slot && layout.root.has_verity || reads_kernels_beside(layout)
}

fn reads_kernels_beside(layout: &Resolved) -> bool {
    matches!(layout.boot, BootVolume::Slots(Slots { kernels: Some(_), .. }))
}

/// The kernels and the menu of a root that GRUB does not read, if there is to be an update.
///
/// # Errors
/// If one of them is not there, or has too long a path.
pub(super) fn kernels(
    spec: &Spec,
    root: &Tree,
    source: &KernelSource,
    layout: &Resolved,
) -> Result<Option<Archive>> {
    if !reads_kernels_beside(layout) || !spec.formats.contains(&Format::Update) {
        return Ok(None);
    }
    let mut archive = Archive::default();
    for path in slots::beside(source) {
        match root.resolve(path).map(|id| &root.inode(id).kind) {
            Some(InodeKind::File(content)) => archive.add(path.trim_start_matches('/'), content)?,
            _ => return Err(Error::new(Kind::NotFound, path, "is no file")),
        }
    }
    Ok(Some(archive))
}

/// The image of a root, if it has one and there is to be an update.
///
/// # Errors
/// If it cannot be made.
pub(super) fn image(
    spec: &Spec,
    image: Option<WithRootHash<Content>>,
    verified: Option<Verified>,
) -> Result<Option<Archive>> {
    let image = image.zip(verified).filter(|_| spec.formats.contains(&Format::Update));
    let Some((image, verified)) = image else { return Ok(None) };
    let mut archive = Archive::default();
    archive.add(IMAGE, &image(verified)?)?;
    Ok(Some(archive))
}

/// What an update has beside its root.
pub(super) struct Beside {
    /// What starts that.
    pub(super) kernels: Option<Archive>,
    /// Who signs.
    pub(super) signers: Vec<Signer>,
    /// Where its files lie, for the next build.
    pub(super) placement: Option<Arc<[u8]>>,
    /// Whether systemd-sysupdate takes it.
    pub(super) has_gzip: bool,
    /// What signs a bundle for RAUC, if there is to be one.
    pub(super) bundle: Option<Bundle>,
}

/// The update of what was built at `time`, if the machine has slots and a name.
pub(super) fn of(
    spec: &Spec,
    layout: &Resolved,
    disk: &DiskLayout,
    beside: Beside,
    time: Time,
) -> Option<Update> {
    let BootVolume::Slots(Slots { numbers: [first, _], .. }) = layout.boot else { return None };
    let Beside { kernels, signers, placement, bundle, has_gzip } = beside;
    Some(Update {
        id: spec.image.id.clone()?,
        version: spec.image.version.clone()?,
        compatible: spec.image.compatible()?.to_owned(),
        architecture: spec.architecture,
        loader: spec.loader.name(),
        root: disk.content(first)?,
        kernels,
        has_gzip,
        time: time.seconds.try_into().unwrap_or_default(),
        signers,
        placement,
        bundle,
    })
}
