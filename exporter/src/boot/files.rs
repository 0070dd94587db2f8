//! The boot loader files a boot stage collected: a folder with fixed names.
//!
//! ```text
//! vendor         the folder below \EFI that GRUB's built-in prefix names ("debian")
//! second         the name that shim starts GRUB by, if it is not grubx64.efi or grubaa64.efi ("grub.efi")
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
use crate::spec::{Architecture, Firmware};
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
    /// The name beside shim that shim starts GRUB by, if it is not the usual one.
    pub second: Option<String>,
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
    /// [`Kind::Input`] if `vendor` is no folder name, or `second` no file name.
    pub fn new(origin: &str, file: impl Fn(&str) -> Result<Option<Arc<[u8]>>>) -> Result<Option<Self>> {
        let Some(vendor) = file("vendor")? else { return Ok(None) };
        let second = file("second")?.map(|text| name(&text, origin, "second")).transpose()?;
        Ok(Some(Self {
            origin: origin.to_owned(),
            vendor: name(&vendor, origin, "vendor")?,
            second,
            shim: file("shim.efi")?,
            grub: file("grub.efi")?,
            mok_manager: file("mm.efi")?,
            bios: file("boot.img")?.zip(file("core.img")?).map(|(boot, core)| BiosImages { boot, core }),
        }))
    }

    /// Only those that the machine's firmware has a use for.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if the disk would not boot.
    pub fn for_firmware(mut self, firmware: Firmware, architecture: Architecture) -> Result<Self> {
        if !firmware.takes_bios() {
            self.bios = None;
        }
        if !firmware.takes_uefi() {
            (self.shim, self.grub, self.mok_manager) = (None, None, None);
        }
        if self.bios.is_some() || self.grub.is_some() {
            return Ok(self);
        }
        let starter = match firmware {
            Firmware::Any => "any firmware",
            Firmware::Bios => "a BIOS",
            Firmware::Uefi => "UEFI",
        };
        let lacking = format!("has no GRUB that {starter} starts on {architecture}");
        let hint = "ask for another firmware, or give other boot loader files: vmimage convert --boot DIR";
        Err(Error::new(Kind::NotFound, self.origin, lacking).with_hint(hint))
    }

    /// What can start a disk with these files: `BIOS and UEFI`.
    pub fn firmware(&self) -> &'static str {
        match (&self.bios, &self.grub) {
            (Some(_), Some(_)) => "BIOS and UEFI",
            (Some(_), None) => "BIOS",
            (None, Some(_)) => "UEFI",
            (None, None) => "nothing",
        }
    }
}

/// A name for FAT that needs no quotes in GRUB.
fn name(text: &[u8], origin: &str, file: &str) -> Result<String> {
    let text = String::from_utf8_lossy(text).trim().to_owned();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.is_empty() || text.starts_with('.') || !text.bytes().all(plain) {
        return Err(Error::new(Kind::Input, format!("{origin}/{file}"), "not a plain file name"));
    }
    Ok(text)
}
