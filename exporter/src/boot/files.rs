//! The boot loader files a boot stage collected: a folder with fixed names.
//!
//! ```text
//! vendor         the folder below \EFI that GRUB's built-in prefix names ("debian")
//! shim.efi       first loader, signed by Microsoft's UEFI CA (absent: GRUB is started directly)
//! grub.efi       GRUB, signed by the distribution
//! mm.efi         MokManager, which shim wants beside it
//! boot.img       GRUB's MBR code            ┐ BIOS, x86_64 only
//! core.img       GRUB's core for BIOS boot  ┘
//! ```

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::tree::{HostDir, scan};

/// No boot file is near this; a larger one is not what it claims to be.
const LARGEST: u64 = 16 << 20;

/// Boot loader files, in memory: a few MiB.
#[derive(Clone, Debug)]
pub struct BootFiles {
    /// Where they come from, for the report.
    pub origin: String,
    /// The folder below `\EFI` in which GRUB looks for its configuration.
    pub vendor: String,
    /// shim, if the distribution has one.
    pub shim: Option<Arc<[u8]>>,
    /// GRUB for UEFI.
    pub grub: Option<Arc<[u8]>>,
    /// MokManager.
    pub mok_manager: Option<Arc<[u8]>>,
    /// GRUB for BIOS.
    pub bios: Option<BiosImages>,
}

/// The two images GRUB needs to start from a BIOS.
#[derive(Clone, Debug)]
pub struct BiosImages {
    /// `boot.img`.
    pub boot: Arc<[u8]>,
    /// `core.img`.
    pub core: Arc<[u8]>,
}

impl BootFiles {
    /// The files in a folder; `None` if it is none or holds no boot loader.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        if !folder.is_dir() {
            return Ok(None);
        }
        let tree = scan(&HostDir::open(folder)?, NonZeroUsize::MIN, &mut |_| {})?;
        Self::new(&folder.display().to_string(), |name| Ok(tree.read(name, LARGEST)?.map(Arc::from)))
    }

    /// The files that `file` finds under the fixed names; `None` if there is no boot loader among them.
    ///
    /// # Errors
    /// [`Kind::Input`] if `vendor` is no folder name.
    pub fn new(origin: &str, file: impl Fn(&str) -> Result<Option<Arc<[u8]>>>) -> Result<Option<Self>> {
        let Some(vendor) = file("vendor")? else { return Ok(None) };
        let vendor = String::from_utf8_lossy(&vendor).trim().to_owned();
        if vendor.is_empty() || !vendor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err(Error::new(Kind::Input, format!("{origin}/vendor"), "not a folder name"));
        }
        Ok(Some(Self {
            origin: origin.to_owned(),
            vendor,
            shim: file("shim.efi")?,
            grub: file("grub.efi")?,
            mok_manager: file("mm.efi")?,
            bios: file("boot.img")?.zip(file("core.img")?).map(|(boot, core)| BiosImages { boot, core }),
        }))
    }
}
