//! Kernels as unified kernel images, who signs what UEFI starts, and the keys that a firmware is given.

use std::io::Read;

use super::boot_loader::release;
use super::menu::Menu;
use super::microvm::uki::{os_release, stub};
use super::own_initramfs;
use super::slot_image;
use crate::boot::systemd_boot;
use crate::boot::{self, Enroll, Images};
use crate::error::{Error, Kind, Result};
use crate::machine::Materials;
use crate::pki::{Certificates, Signer};
use crate::secure_boot::{Update, Variable};
use crate::spec::secure_boot::{EnrollMode, problems};
use crate::spec::{Architecture, Spec};
use crate::tree::os::Init;
use crate::tree::{Content, InodeKind, Tree};
use crate::uki;

/// More than any firmware has room for in a variable.
const VARIABLE_MAX: u64 = 64 << 10;
/// The first systemd-boot that knows in which machines writing keys is safe.
const IF_SAFE_SINCE: u32 = 253;
/// More than any stub of an addon has.
const STUB_MAX: u64 = 1 << 20;
/// What an image says of the addons that have to be there; `vmimage-init` reads both words.
const DEMANDED: &str = "vmimage.addons";
/// What an addon says of itself.
const TAKEN: &str = "vmimage.addon";

/// What is asked beside the menu of systemd-boot.
pub(super) struct SecureBoot {
    signer: Option<Signer>,
    /// systemd's stub with its place, where kernels become images.
    stub: Option<(Vec<u8>, String)>,
    addons: Vec<(String, Content)>,
    enroll: Option<Enroll>,
}

/// All that is wrong with what was asked.
pub(super) fn require_right(spec: &Spec) -> Result<()> {
    let problems = problems(spec).into_iter().map(|(key, message)| format!("{key} {message}"));
    let problems: Vec<_> = problems.collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::new(Kind::Input, "spec", problems.join("; "))) }
}

impl SecureBoot {
    /// What there is of it in the image and among the `materials`.
    ///
    /// # Errors
    /// If something is not there, or is not what it is said to be.
    pub(super) fn find(
        spec: &Spec,
        root: &Tree,
        program: (&Content, &str),
        materials: &Materials,
    ) -> Result<Self> {
        let signer = signer(spec, materials)?;
        let stub = spec.starts_ukis().then(|| stub(root, None, spec.architecture)).transpose()?;
        let stub = stub.map(|stub| (stub.bytes, stub.path));
        let enroll = enroll(spec, materials)?;
        if let Some(enroll) = &enroll {
            require_mode(enroll.mode, program)?;
        }
        Ok(Self { addons: addons(spec, root, signer.as_ref())?, signer, stub, enroll })
    }

    /// A program with the signature, if there is a key.
    pub(super) fn signed(&self, path: &str, program: Content) -> Result<Content> {
        boot::signed(path, program, self.signer.as_ref())
    }

    /// Have the entries become images, and the keys lie beside them. Returns a line for each.
    ///
    /// # Errors
    /// If os-release cannot be read.
    pub(super) fn install(
        self,
        entries: &mut systemd_boot::Menu,
        menu: &Menu<'_>,
        root: &Tree,
    ) -> Result<Vec<String>> {
        let Self { signer, stub, addons, enroll } = self;
        let mut notes = Vec::new();
        if let Some((bytes, place)) = stub {
            let rescue = rescue(menu.os.init).filter(|_| uki::knows_profiles(&bytes));
            notes.push(profiles(rescue, menu.os.init));
            notes.push(kernels_to_come(signer.is_some()).to_owned());
            notes.extend(addons.iter().map(|(name, _)| addon_note(menu.spec, name)));
            demand(entries, menu.spec, &addons);
            let release = os_release(root, menu.spec)?;
            let release = match menu.root.is_slot {
                true => slot_image::release(&release, &menu.spec.image, menu.os),
                false => release,
            };
            let signer = signer.clone();
            entries.images = Some(Images { stub: bytes.into(), place, release, rescue, addons, signer });
        }
        notes.extend(signer.map(|signer| {
            format!("Secure Boot: all that UEFI starts is signed by {}", signer.certificates().subject())
        }));
        notes.extend(enroll.as_ref().map(|enroll| {
            let names: Vec<_> = enroll.files.iter().map(|(name, _)| &**name).collect();
            format!("Secure Boot: a firmware without keys is given {} ({})", names.join(", "), enroll.mode)
        }));
        entries.enroll = enroll;
        Ok(notes)
    }
}

/// Whether a machine does not start without the addons that it was built with: our initramfs looks for them.
fn are_demanded(spec: &Spec) -> bool {
    own_initramfs::is_asked(spec)
}

/// Name the addons on the command line of each image, whose initramfs compares that with what [they say](addons).
fn demand(entries: &mut systemd_boot::Menu, spec: &Spec, addons: &[(String, Content)]) {
    if addons.is_empty() || !are_demanded(spec) {
        return;
    }
    let names: Vec<_> = addons.iter().map(|(name, _)| name.as_str()).collect();
    for entry in &mut entries.entries {
        entry.cmdline.push_str(&format!(" {DEMANDED}={}", names.join(",")));
    }
}

fn addon_note(spec: &Spec, name: &str) -> String {
    let without = match are_demanded(spec) {
        true => "the machine does not start without it",
        false => "if it is altered, the machine starts without its words",
    };
    format!("unified kernel images: addon {name}, {without}")
}

fn profiles(rescue: Option<&str>, init: Option<Init>) -> String {
    let none = |why: &str| format!("unified kernel images: no profile for a rescue, {why}");
    match (rescue, init) {
        (Some(words), _) => format!("unified kernel images: profiles normal and rescue ({words})"),
        (None, Some(Init::Systemd)) => none("systemd's stub is older than 257"),
        (None, _) => none("which is systemd's: another init may give a shell to whoever asks for it"),
    }
}

fn kernels_to_come(is_signed: bool) -> &'static str {
    match is_signed {
        true => "kernels to come: the next image brings them, nobody signs one in the machine",
        false => {
            "kernels to come: the next image brings them, an upgrade in the machine changes no image of the ESP"
        }
    }
}

/// What has an init end in a shell for the administrator. Of the others, some ask nobody for a password where root has none.
fn rescue(init: Option<Init>) -> Option<&'static str> {
    (init == Some(Init::Systemd)).then_some("systemd.unit=rescue.target")
}

/// Who signs, if there is a key.
///
/// # Errors
/// If it was not given, is none, or not that of the certificate.
pub(super) fn signer(spec: &Spec, materials: &Materials) -> Result<Option<Signer>> {
    let asked = &spec.secure_boot;
    let (Some(path), Some(key)) = (&asked.certificate, &asked.key) else { return Ok(None) };
    let certificates = Certificates::read(path, &materials.text(path)?)?;
    Signer::new(certificates, &format!("secret {key}"), materials.secret(key)?).map(Some)
}

/// The files with words for the kernel of every image; in front of them each says its name, where that is looked for.
fn addons(spec: &Spec, root: &Tree, signer: Option<&Signer>) -> Result<Vec<(String, Content)>> {
    if spec.secure_boot.addons.is_empty() {
        return Ok(Vec::new());
    }
    let path = uki::addon_stub_path(spec.architecture);
    let stub = addon_stub(root, &path, spec.architecture)?;
    let addon = |(name, words): (&String, &String)| {
        let said = if are_demanded(spec) { format!("{TAKEN}={name} {words}") } else { words.clone() };
        let addon = uki::addon(&stub, &path, spec.architecture, &said)?;
        Ok((name.clone(), boot::signed(name, addon, signer)?))
    };
    spec.secure_boot.addons.iter().map(addon).collect()
}

fn addon_stub(root: &Tree, path: &str, architecture: Architecture) -> Result<Vec<u8>> {
    let Some(InodeKind::File(content)) = root.resolve(path).map(|id| &root.inode(id).kind) else {
        let message =
            format!("is not there: an addon for {architecture} begins with it, and systemd has it since 254");
        return Err(Error::new(Kind::NotFound, path, message)
            .with_hint("leave out addons of [secure-boot]: cmdline has words for the kernel, too"));
    };
    let mut bytes = Vec::new();
    let read = content.reader()?.take(STUB_MAX).read_to_end(&mut bytes);
    read.map_err(|error| Error::io(path, "cannot be read", error))?;
    Ok(bytes)
}

/// The keys that a firmware is given.
///
/// # Errors
/// If one is missed, or is no variable that a firmware takes.
pub(super) fn enroll(spec: &Spec, materials: &Materials) -> Result<Option<Enroll>> {
    let Some(folder) = &spec.secure_boot.enroll else { return Ok(None) };
    let mut files = Vec::new();
    for variable in Variable::ALL {
        let name = format!("{}.auth", variable.name());
        let path = format!("{folder}/{name}");
        // Which programs are not believed, a firmware need not be told.
        if variable != Variable::Dbx || materials.context.lookup(&path).is_some() {
            files.push((name, update(&path, materials)?));
        }
    }
    Ok(Some(Enroll { mode: spec.secure_boot.enroll_mode, files }))
}

/// A variable with its signature and its time, as `SetVariable()` takes it.
fn update(path: &str, materials: &Materials) -> Result<Content> {
    const MADE_BY: &str = "vmimage keys generate makes these files, and sign-efi-sig-list of efitools does";
    let id = materials.file(path)?;
    let refused = |message: &str| Error::new(Kind::Input, path, message).with_hint(MADE_BY);
    let InodeKind::File(content) = &materials.context.inode(id).kind else {
        return Err(refused("is no file"));
    };
    if content.len() > VARIABLE_MAX {
        return Err(refused("is larger than the variables of any firmware"));
    }
    let mut bytes = Vec::new();
    let read = content.reader()?.read_to_end(&mut bytes);
    read.map_err(|error| Error::io(path, "cannot be read", error))?;
    Update::read(path, &bytes).map_err(|error| error.with_hint(MADE_BY))?;
    Ok(Content::Bytes(bytes.into()))
}

fn require_mode(mode: EnrollMode, (program, path): (&Content, &str)) -> Result<()> {
    let old = release(program, path)?.filter(|release| *release < IF_SAFE_SINCE);
    let Some(old) = old.filter(|_| mode == EnrollMode::IfSafe) else { return Ok(()) };
    let message = format!("is systemd-boot {old}, which does not know in which machines giving keys is safe");
    Err(Error::new(Kind::Unsupported, path, message)
        .with_hint("take a later release of the distribution, or the mode force or manual (enroll-mode of [secure-boot])"))
}
