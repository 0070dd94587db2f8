//! Kernels of systemd-boot as unified kernel images (entries of type 2), and what the firmware is to know of who signs them.
//!
//! ```text
//! \EFI\Linux\debian-6.12.1-amd64+3-0.efi         an image that may be tried three times, and was not yet
//! \loader\addons\console.addon.efi               words for the kernel of every image
//! \loader\keys\auto\PK.auth, KEK.auth, db.auth   for a firmware that has no keys yet
//! ```
//!
//! Counters are in the name of the image itself. Addons are those of every image, since the folder of a single one is called
//! as the image, and systemd-stub finds that no more once the counters are others.
//!
//! Source: Boot Loader Specification (UAPI.1) 1.0, "Type #2 EFI Unified Kernel Images" and "Boot counting"; systemd-stub(7),
//! "Companion Files"; systemd-boot(7), "Secure Boot".

use std::io::Read;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::esp::{file, folder};
use super::systemd_boot::TypeOne;
use crate::authenticode;
use crate::error::{Error, Result};
use crate::fs::Contents;
use crate::pki::Signer;
use crate::spec::Architecture;
use crate::spec::secure_boot::EnrollMode;
use crate::tree::{Content, InodeId, Time, Tree};
use crate::uki::{Profile, UnifiedImage};

/// What every image of a machine is made of beside what its entry says.
#[derive(Clone, Debug)]
pub struct Images {
    /// systemd's stub.
    pub stub: Arc<[u8]>,
    /// Where it is from.
    pub place: String,
    /// os-release(5).
    pub release: Vec<u8>,
    /// What the kernel is told beside its words to rescue the machine, if its init knows of that.
    pub rescue: Option<&'static str>,
    /// Files with words for the kernel of each, by their names.
    pub addons: Vec<(String, Content)>,
    /// Who signs them, if somebody does.
    pub signer: Option<Signer>,
}

/// Keys for a firmware that has none.
#[derive(Clone, Debug)]
pub struct Enroll {
    /// When they are written into it.
    pub mode: EnrollMode,
    /// The files with them, by their names: updates of variables of UEFI.
    pub files: Vec<(String, Content)>,
}

impl Images {
    /// The image of an entry.
    ///
    /// # Errors
    /// If the stub or the kernel is none that can be started so.
    pub(super) fn of(&self, entry: &TypeOne, architecture: Architecture) -> Result<Content> {
        let rescue = self.rescue.map(|words| Profile {
            id: "rescue",
            title: "rescue",
            cmdline: format!("{} {words}", entry.cmdline),
        });
        let image = UnifiedImage {
            kernel: (&entry.linux, &entry.place),
            uname: &entry.release,
            initrd: entry.initrd.as_ref().map(|(_, content)| content.clone()),
            release: self.release.clone(),
            cmdline: &entry.cmdline,
            profiles: rescue.as_slice(),
        };
        let program = image.program(&self.stub, &self.place, architecture)?;
        signed(&entry.place, program, self.signer.as_ref())
    }

    /// Into the tree with the images, whose folder `loader` is there.
    pub(super) fn add_addons(&self, tree: &mut Tree, loader: InodeId, time: Time) {
        if !self.addons.is_empty() {
            let addons = folder(tree, loader, "addons", time);
            for (name, content) in &self.addons {
                file(tree, addons, &format!("{name}.addon.efi"), content.clone(), time);
            }
        }
    }
}

impl Enroll {
    /// A hash of the names and contents of the files.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn digest(&self) -> Result<[u8; 32]> {
        let mut digest = Sha256::new();
        for (name, content) in &self.files {
            digest.update(name);
            digest.update(content.len().to_le_bytes());
            let mut bytes = Vec::new();
            let read = content.reader()?.read_to_end(&mut bytes);
            read.map_err(|error| Error::io(name, "cannot be read", error))?;
            digest.update(bytes);
        }
        Ok(digest.finalize().into())
    }

    /// Into the folder `loader` of the ESP.
    pub(super) fn add_keys(&self, tree: &mut Tree, loader: InodeId, time: Time) {
        let keys = folder(tree, loader, "keys", time);
        let auto = folder(tree, keys, "auto", time);
        for (name, content) in &self.files {
            file(tree, auto, name, content.clone(), time);
        }
    }

    /// The line of loader.conf(5).
    pub(super) fn setting(&self) -> String {
        format!("secure-boot-enroll {}\n", self.mode)
    }
}

/// A program for UEFI, which `place` names in messages, with a signature if somebody signs.
///
/// # Errors
/// If it cannot be read, or cannot be signed.
pub fn signed(place: &str, program: Content, signer: Option<&Signer>) -> Result<Content> {
    let Some(signer) = signer else { return Ok(program) };
    let signature = authenticode::sign(place, &Contents::of_file(&program), signer)?;
    Ok(match signature {
        Some(signature) => signature.of_content(program),
        None => program,
    })
}
