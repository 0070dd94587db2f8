//! GRUB that starts nothing but what a key has signed.
//!
//! ```text
//! GRUB with the key ─▶ \EFI\<vendor>\grub.cfg ─▶ /boot/grub/grub.cfg ─▶ kernel, initramfs
//!                      each with its signature beside it: FILE.sig
//! ```
//!
//! GRUB reads the signature of a file before the file, by the name that it opens that by, so what is opened by a link has its signature
//! beside the link. A root hash is in the first configuration, or in the menu.

use std::collections::BTreeSet;
use std::io;

use sha2::{Digest, Sha512};

use super::donor::KernelSource;
use super::menu::{self, Menu};
use super::secure_boot;
use crate::boot::{self, BootFiles};
use crate::error::{Error, Kind, Result};
use crate::machine::Materials;
use crate::pki::{Signer, openpgp};
use crate::spec::{Spec, grub};
use crate::tree::{Content, Editor, InodeKind, Time, Tree};

/// What packages of kernels run to have the menu written anew, which nobody would sign.
const MENU_HOOKS: [&str; 2] =
    ["/etc/kernel/postinst.d/zz-update-grub", "/etc/kernel/postrm.d/zz-update-grub"];

/// What a person does who has no right key.
const MAKE_ONE: &str = "GRUB knows RSA of 2048 to 4096 bits. Make a key without a passphrase, for the build alone to read: \
    gpg --batch --passphrase '' --quick-gen-key grub@example.com rsa3072 sign never, then \
    gpg --armor --export-secret-keys grub@example.com";

/// Who signs what GRUB reads.
pub(super) struct GrubKey {
    key: openpgp::Key,
    /// What a person calls it.
    place: String,
    /// When it signs, in seconds since the epoch.
    time: u32,
    /// Who signs what UEFI starts.
    signer: Option<Signer>,
}

/// All that is wrong with what was asked.
pub(super) fn require_right(spec: &Spec) -> Result<()> {
    let problems: Vec<_> =
        grub::problems(spec).into_iter().map(|(key, message)| format!("{key} {message}")).collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::new(Kind::Input, "spec", problems.join("; "))) }
}

impl GrubKey {
    /// The one that was asked for, which signs at `time`.
    ///
    /// # Errors
    /// If it was not given, or is none that GRUB knows.
    pub(super) fn find(spec: &Spec, materials: &Materials, time: Time) -> Result<Option<Self>> {
        let Some(id) = &spec.grub.key else { return Ok(None) };
        let place = format!("secret {id}");
        let wrong = |message: &str| Error::new(Kind::Input, &place, message).with_hint(MAKE_ONE);
        let text = std::str::from_utf8(materials.secret(id)?);
        let text = text.map_err(|_| wrong("is no text, and no key of GPG (--armor)"))?;
        let key = openpgp::Key::parse(text).map_err(wrong)?;
        if !key.is_rsa() {
            return Err(wrong("is a key of GPG for Ed25519, which GRUB does not know"));
        }
        let time = u32::try_from(time.seconds).unwrap_or_default();
        Ok(Some(Self { key, place, time, signer: secure_boot::signer(spec, materials)? }))
    }

    /// GRUB that knows the key, signed for UEFI if there is somebody who does.
    ///
    /// # Errors
    /// If there is none that checks signatures.
    pub(super) fn known_to(&self, files: BootFiles) -> Result<BootFiles> {
        let mut files = files.with_key(self.key.public())?;
        if let Some(program) = files.grub.take() {
            let signed = boot::signed("grub-key.efi", Content::Bytes(program), self.signer.as_ref())?;
            let mut bytes = Vec::new();
            copy("grub-key.efi", &signed, &mut bytes)?;
            files.grub = Some(bytes.into());
        }
        Ok(files)
    }

    /// Let the menu stay as it is signed: it names kernels and no links to the newest, and no package writes another. Returns a
    /// line for each thing that was done.
    ///
    /// # Errors
    /// If a kernel cannot be signed for UEFI.
    pub(super) fn settle(
        &self,
        root: &mut Tree,
        source: &mut KernelSource,
        spec: &Spec,
    ) -> Result<Vec<String>> {
        let KernelSource { kernel, others, .. } = source;
        for kernel in std::iter::once(kernel).chain(others) {
            kernel.stable = None;
            if spec.firmware.takes_uefi() {
                self.sign_for_uefi(root, &kernel.image)?;
            }
        }
        let mut editor = Editor::new(root, Time::default());
        let mut notes = Vec::new();
        for hook in MENU_HOOKS {
            if editor.tree().lookup(hook).is_some() {
                editor.remove(hook);
                notes.push(format!("{hook}: left out, nobody signs a menu in the machine"));
            }
        }
        Ok(notes)
    }

    /// GRUB of some distributions has the firmware check the kernel.
    fn sign_for_uefi(&self, root: &mut Tree, path: &str) -> Result<()> {
        let Some(id) = root.resolve(path).filter(|_| self.signer.is_some()) else { return Ok(()) };
        if let InodeKind::File(content) = &mut root.inode_mut(id).kind {
            *content = boot::signed(path, content.clone(), self.signer.as_ref())?;
        }
        Ok(())
    }

    /// Put signatures beside the menu, and all that it names. Returns a line for what follows from it.
    ///
    /// # Errors
    /// If one of the files cannot be read, or the menu reads what no signature can be of.
    pub(super) fn sign_menu(&self, menu: &Menu<'_>, editor: &mut Editor<'_>) -> Result<Vec<String>> {
        if menu.ignites.is_some() {
            let message =
                "is read by GRUB, and changed by the first boot of Ignition: no signature stays right";
            return Err(Error::new(Kind::Unsupported, boot::FIRST_BOOT, message)
                .with_hint("take Ignition out of the image, or leave out key of [grub]"));
        }
        let ((first, _), others) = menu.entries(editor.tree());
        let entries = std::iter::once(first).chain(others.into_iter().map(|(entry, _)| entry));
        let named = entries.flat_map(|entry| std::iter::once(entry.kernel).chain(entry.initramfs));
        let paths: BTreeSet<_> = named.chain(Some(menu::PATH.to_owned())).collect();
        paths.iter().try_for_each(|path| self.sign(path, editor))?;
        let uefi = menu.spec.firmware.takes_uefi().then(|| self.note_of_uefi());
        let saved = menu
            .defaults
            .is_saved
            .then(|| "GRUB_DEFAULT: saved in a file that nobody signs, the first entry boots".to_owned());
        Ok([self.note(), KERNELS_TO_COME.to_owned()].into_iter().chain(uefi).chain(saved).collect())
    }

    /// Put the signature of a file beside it.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be read.
    pub(super) fn sign(&self, path: &str, editor: &mut Editor<'_>) -> Result<()> {
        let tree = editor.tree();
        let Some(InodeKind::File(content)) = tree.resolve(path).map(|id| &tree.inode(id).kind) else {
            return Err(Error::new(Kind::NotFound, path, "is no file, and GRUB would read it"));
        };
        let mut hash = Sha512::new();
        copy(path, content, &mut hash)?;
        let signature = self.key.sign(hash, self.time);
        let signature = signature.map_err(|message| Error::new(Kind::Input, &self.place, message))?;
        editor.write_file(format!("{path}.sig"), signature, 0o644).map(drop)
    }

    /// Whether the firmware checks GRUB, if it is UEFI.
    pub(super) fn is_signed(&self) -> bool {
        self.signer.is_some()
    }

    fn note(&self) -> String {
        let name = self.key.name();
        format!("GRUB: reads nothing but what the key {name} has signed, and nobody edits an entry")
    }

    fn note_of_uefi(&self) -> String {
        match &self.signer {
            Some(signer) => {
                let by = &signer.certificates().signer().tbs_certificate.subject;
                format!("Secure Boot: GRUB and the kernels are signed by {by}")
            }
            None => {
                "Secure Boot: has to be off, no firmware knows who has made this GRUB, and shim is left out"
                    .to_owned()
            }
        }
    }
}

const KERNELS_TO_COME: &str =
    "kernels to come: the next image brings them, nobody signs one in the machine, nor a menu of update-grub";

fn copy(path: &str, content: &Content, to: &mut impl io::Write) -> Result<()> {
    let copied = content.reader().map(|mut reader| io::copy(&mut reader, to))?;
    copied.map(drop).map_err(|error| Error::io(path, "cannot be read", error))
}
