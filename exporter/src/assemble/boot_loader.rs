//! What starts the machine: GRUB, whose menu is beside the kernels, or systemd-boot, whose menu and kernels are on the ESP.

use std::io::Read;

use super::grub_key::GrubKey;
use super::menu::Menu;
use super::resolve::Resolved;
use super::secure_boot::SecureBoot;
use crate::boot::{self, BiosImages, BootFiles, Entry};
use crate::error::{Error, Kind, Result};
use crate::fs::verity::RootHash;
use crate::hint::{Hint, Setting};
use crate::machine::Materials;
use crate::spec::{Firmware, Loader, Spec};
use crate::tree::os::Family;
use crate::tree::{Content, Editor, InodeKind, Time, Tree};

/// What a password of GRUB's changes.
const PASSWORD: &str =
    "GRUB: entries boot as before; to edit one and for the console it asks for the password of root";
/// More than any systemd-boot has.
const PROGRAM_MAX: u64 = 4 << 20;
/// BIOSes start from sectors of no other size.
const BIOS_SECTOR: u32 = 512;

/// The files of a boot loader.
pub(super) enum BootLoader {
    /// With shim where the distribution has one, and with a core for a BIOS; or what starts nothing but what a key has signed.
    Grub(BootFiles, Option<GrubKey>),
    /// The image's own.
    SystemdBoot { program: Content, path: String, secure_boot: SecureBoot },
}

/// Makes the files that UEFI reads, once the root hash is known; they are as large with any.
pub(super) type WithRootHash = Box<dyn Fn(RootHash) -> Result<Tree>>;

/// A boot loader with its menu.
pub(super) struct Installed {
    /// What boots by itself.
    pub(super) entry: Entry,
    /// All that UEFI reads, but what is beside it; where it is to have the root hash, with one that is none.
    pub(super) esp: Tree,
    /// The same with the root hash, if it is to have one.
    pub(super) sealed: Option<WithRootHash>,
    /// Entries and kernels, if they have a partition of their own.
    pub(super) beside: Option<Tree>,
    /// What a BIOS reads.
    pub(super) bios: Option<BiosImages>,
    /// Where it came from.
    pub(super) origin: String,
    /// What can start it.
    pub(super) firmware: &'static str,
    /// A line for each file of the root that was changed.
    pub(super) notes: Vec<String>,
}

impl BootLoader {
    /// The one that was asked for, for the firmware that can start such a disk.
    ///
    /// # Errors
    /// If it is not there.
    pub(super) fn find(
        spec: &Spec,
        layout: &Resolved,
        files: Option<BootFiles>,
        root: &Tree,
        family: Family,
        materials: &Materials,
        time: Time,
    ) -> Result<Self> {
        match spec.loader {
            Loader::Grub => grub(spec, layout, files, GrubKey::find(spec, materials, time)?),
            Loader::SystemdBoot => systemd_boot(spec, root, family, materials),
        }
    }

    /// Who signs what GRUB reads, if somebody does.
    pub(super) fn key(&self) -> Option<&GrubKey> {
        match self {
            Self::Grub(_, key) => key.as_ref(),
            Self::SystemdBoot { .. } => None,
        }
    }

    /// With the entries of `menu`, which systemd-boot may find on a partition beside the ESP.
    ///
    /// # Errors
    /// If it cannot have one of them.
    pub(super) fn install(
        self,
        menu: &Menu<'_>,
        has_partition: bool,
        editor: &mut Editor<'_>,
    ) -> Result<Installed> {
        let (architecture, time) = (menu.spec.architecture, editor.time());
        let has_verity = menu.root.has_verity;
        match self {
            Self::Grub(files, key) => {
                let (entry, mut notes) = menu.write(editor)?;
                if let Some(key) = &key {
                    notes.extend(key.sign_menu(menu, editor)?);
                }
                let (boot, lock, tries) = (menu.boot, menu.lock.clone(), menu.spec.update.tries());
                notes.extend(lock.password().map(|_| PASSWORD.to_owned()));
                let firmware = files.firmware();
                let (bios, origin) = (files.bios.clone(), files.origin.clone());
                let tree = move |root_hash| {
                    let said = (&lock, root_hash);
                    let mut tree = boot::esp_tree(&files, architecture, &boot, said, tries, time);
                    if let Some(key) = &key {
                        key.sign(&boot::stub_path(&files), &mut Editor::new(&mut tree, time))?;
                    }
                    Ok(tree)
                };
                let esp = tree(has_verity.then_some(RootHash::UNKNOWN))?;
                let sealed = has_verity.then(|| -> WithRootHash { Box::new(move |hash| tree(Some(hash))) });
                Ok(Installed { entry, esp, sealed, beside: None, bios, origin, firmware, notes })
            }
            Self::SystemdBoot { program, path, secure_boot } => {
                let (entry, mut entries, mut notes) = menu.write_type_one(editor)?;
                notes.extend(secure_boot.install(&mut entries, menu, editor.tree())?);
                let origin = format!("systemd-boot of the image ({path})");
                let (esp, beside) = if has_partition {
                    let [esp, beside] = entries.split_trees(&program, architecture, time)?;
                    (esp, Some(beside))
                } else {
                    let entries = entries.clone().with_root_hash(RootHash::UNKNOWN);
                    (entries.esp_tree(&program, architecture, time)?, None)
                };
                let tree =
                    move |hash| entries.clone().with_root_hash(hash).esp_tree(&program, architecture, time);
                let sealed = has_verity.then(|| -> WithRootHash { Box::new(tree) });
                Ok(Installed { entry, esp, sealed, beside, bios: None, origin, firmware: "UEFI", notes })
            }
        }
    }
}

fn grub(
    spec: &Spec,
    layout: &Resolved,
    files: Option<BootFiles>,
    key: Option<GrubKey>,
) -> Result<BootLoader> {
    let firmware = if layout.sector_size == BIOS_SECTOR { spec.firmware } else { Firmware::Uefi };
    let mut files = files.ok_or_else(no_grub)?;
    if let Some(key) = &key {
        files = key.known_to(files)?;
    }
    let files = files.for_firmware(firmware, spec.architecture)?;
    if let Some(bios) = &files.bios {
        bios.require(&boot::core_modules(spec))?;
    }
    Ok(BootLoader::Grub(files, key))
}

fn no_grub() -> Error {
    Error::new(
        Kind::NotFound,
        "boot loader",
        "the distribution has none that is known, and this vmimage none of its own",
    )
    .with_hint(
        "take the vmimage of the frontend image (make out/vmimage), or a folder with one: vmimage convert --boot DIR",
    )
}

fn systemd_boot(spec: &Spec, root: &Tree, family: Family, materials: &Materials) -> Result<BootLoader> {
    let mut paths = boot::systemd_boot::programs(spec.architecture);
    if spec.secure_boot.key.is_some() {
        // To be signed by a key of one's own: best the one that nobody has signed.
        paths.reverse();
    }
    let found = paths.iter().find_map(|path| match &root.inode(root.resolve(path)?).kind {
        InodeKind::File(program) => Some((program.clone(), path.clone())),
        _ => None,
    });
    if let Some((program, path)) = found {
        require_order(spec, &program, &path)?;
        let secure_boot = SecureBoot::find(spec, root, (&program, &path), materials)?;
        let program = secure_boot.signed(&path, program)?;
        return Ok(BootLoader::SystemdBoot { program, path, secure_boot });
    }
    let package = match family {
        Family::RedHat => "systemd-boot-unsigned",
        Family::Arch => "systemd",
        Family::Debian | Family::Suse | Family::Alpine | Family::Other => "systemd-boot",
    };
    let [_, program] = boot::systemd_boot::programs(spec.architecture);
    let hint = Hint::from("install it: ").set(Setting::Install, package);
    Err(Error::new(Kind::NotFound, program, "is not there: the image has no systemd-boot").with_hint(hint))
}

/// Which systemd a systemd-boot is of; `None`: it does not say.
pub(super) fn release(program: &Content, path: &str) -> Result<Option<u32>> {
    let mut bytes = Vec::new();
    let read = program.reader()?.take(PROGRAM_MAX).read_to_end(&mut bytes);
    read.map_err(|error| Error::io(path, "cannot be read", error))?;
    Ok(boot::systemd_boot::release(&bytes))
}

/// One that knows no order of entries would start slot B whenever it may.
fn require_order(spec: &Spec, program: &Content, path: &str) -> Result<()> {
    if !spec.layout.has_slots() {
        return Ok(());
    }
    let since = boot::systemd_boot::ORDERS_SINCE;
    match release(program, path)?.filter(|release| *release < since) {
        None => Ok(()),
        Some(release) => {
            let message = format!(
                "is systemd-boot {release}, which has no order for slots: {since} and later have one"
            );
            let hint = Hint::from("take a later release of the distribution, or GRUB: leave out ");
            Err(Error::new(Kind::Unsupported, path, message).with_hint(hint.name(Setting::Loader)))
        }
    }
}
