//! `manifest.raucm`: what a bundle is for, in the words and the order of RAUC
//! (<https://rauc.readthedocs.io/en/latest/reference.html#manifest>).

use std::fmt::Write;

use super::appended::Verity;
use crate::container::Update;

/// The image in the bundle; what RAUC does with it follows from the end of the name and the type of the slot.
pub(super) const IMAGE: &str = "rootfs.ext4";
/// Where RAUC looks for the digests of its blocks.
pub(super) const INDEX: &str = "rootfs.ext4.block-hash-index";
/// In the squashfs, as `rauc bundle` has it there; only the signed one counts.
pub(super) const MANIFEST: &str = "manifest.raucm";

/// What it says of the image.
pub(super) struct RootImage {
    pub(super) size: u64,
    /// In hexadecimal.
    pub(super) sha256: String,
}

/// The manifest: without `verity`, as it lies in the squashfs, which cannot have its own digest; with it, to be signed.
pub(super) fn manifest(update: &Update, image: &RootImage, verity: Option<(&Verity, &[u8; 32])>) -> String {
    let (compatible, version) = (escaped(&update.compatible), escaped(&update.version));
    let mut text =
        format!("[update]\ncompatible={compatible}\nversion={version}\n\n[bundle]\nformat=verity\n");
    if let Some((verity, salt)) = verity {
        let (root, salt) = (hex(&verity.root), hex(salt));
        let _ = writeln!(text, "verity-hash={root}\nverity-salt={salt}\nverity-size={}", verity.len);
    }
    let RootImage { size, sha256 } = image;
    let _ = writeln!(
        text,
        "\n[image.rootfs]\nsha256={sha256}\nsize={size}\nfilename={IMAGE}\nadaptive=block-hash-index;"
    );
    text
}

/// As a GKeyFile has texts, RAUC's configuration as well; those with line feeds have been refused.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
