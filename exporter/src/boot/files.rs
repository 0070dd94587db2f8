//! The boot loader files a boot stage collected: a folder with fixed names.
//!
//! ```text
//! vendor         the folder below \EFI that GRUB's built-in prefix names ("debian")
//! second         the name that shim starts GRUB by, if it is not grubx64.efi or grubaa64.efi ("grub.efi")
//! shim.efi       first loader, signed by Microsoft's UEFI CA (absent: GRUB is started directly)
//! grub.efi       GRUB, signed by the distribution
//! mm.efi         MokManager, which shim wants beside it
//! boot.img       GRUB's MBR code            ┐ BIOS, x86_64 only
//! core.img       GRUB's core for BIOS boot  │
//! modules        those of its modules that read tables and file systems ┘
//! core-key.img   the same core, and GRUB for UEFI, with room for a public key: they   ┐ where they
//! grub-key.efi   read nothing that its secret half has not signed                       ┘ are asked for
//! cdboot.img     what loads that core from an optical disc      ┐
//! grub.pxe       GRUB for a BIOS that starts over the network   │ for media
//! grubnet.efi    GRUB for UEFI that does, signed                ┘
//! ```

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::hint::{Hint, Setting};
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
    /// What media start by.
    pub media: MediumFiles,
    /// GRUB that checks signatures.
    pub checking: CheckingFiles,
}

/// GRUB that checks signatures, as [`BootFiles::with_key`] takes it.
#[derive(Clone, Debug, Default)]
pub struct CheckingFiles {
    /// The core for a BIOS.
    pub core: Option<Arc<[u8]>>,
    /// GRUB for UEFI.
    pub grub: Option<Arc<[u8]>>,
}

/// What starts a machine from no disk.
#[derive(Clone, Debug, Default)]
pub struct MediumFiles {
    /// `cdboot.img`, which loads the core for BIOS from an optical disc.
    pub cdboot: Option<Arc<[u8]>>,
    /// GRUB for a BIOS that starts over the network.
    pub pxe: Option<Arc<[u8]>>,
    /// GRUB for UEFI that starts over the network.
    pub net: Option<Arc<[u8]>>,
}

/// The two images GRUB needs to start from a BIOS.
#[derive(Clone, Debug)]
pub struct BiosImages {
    /// `boot.img`.
    pub boot: Arc<[u8]>,
    /// `core.img`.
    pub core: Arc<[u8]>,
    /// Those of its modules that read tables and file systems.
    pub modules: Vec<String>,
}

impl BiosImages {
    /// What a core without a list has: that of the usual layout.
    pub const USUAL_MODULES: [&str; 3] = ["part_gpt", "fat", "ext2"];

    /// That the core reads what has to be read with these modules.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if it lacks one of them.
    pub fn require(&self, modules: &[&str]) -> Result<()> {
        let has = |module: &str| self.modules.iter().any(|known| known == module);
        match modules.iter().find(|module| !has(module)) {
            Some(lacking) => {
                let message = format!("was made for another layout: it lacks GRUB's module {lacking}");
                let hint =
                    "ask for the layout in vmimage.toml or by a flag, not by a label of the image, or for ";
                let hint = Hint::from(hint).set(Setting::Firmware, "uefi");
                Err(Error::new(Kind::NotFound, "core.img", message).with_hint(hint))
            }
            None => Ok(()),
        }
    }
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
            bios: match file("boot.img")?.zip(file("core.img")?) {
                Some((boot, core)) => Some(BiosImages { boot, core, modules: modules(file("modules")?) }),
                None => None,
            },
            media: MediumFiles {
                cdboot: file("cdboot.img")?,
                pxe: file("grub.pxe")?,
                net: file("grubnet.efi")?,
            },
            checking: CheckingFiles { core: file("core-key.img")?, grub: file("grub-key.efi")? },
        }))
    }

    /// Only those that the machine's firmware has a use for.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if the disk would not boot.
    pub fn for_firmware(mut self, firmware: Firmware, architecture: Architecture) -> Result<Self> {
        if !firmware.takes_bios() {
            (self.bios, self.media.cdboot, self.media.pxe) = (None, None, None);
        }
        if !firmware.takes_uefi() {
            (self.shim, self.grub, self.mok_manager, self.media.net) = (None, None, None, None);
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

fn modules(list: Option<Arc<[u8]>>) -> Vec<String> {
    match list {
        Some(list) => String::from_utf8_lossy(&list).split_whitespace().map(str::to_owned).collect(),
        None => BiosImages::USUAL_MODULES.map(str::to_owned).to_vec(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_without_a_list_is_that_of_the_usual_layout() {
        let bios = |list: Option<&str>| {
            let find = |name: &str| match name {
                "vendor" => Ok(Some(Arc::from(&b"debian"[..]))),
                "boot.img" | "core.img" => Ok(Some(Arc::from(&b"x"[..]))),
                "modules" => Ok(list.map(|list| Arc::from(list.as_bytes()))),
                _ => Ok(None),
            };
            BootFiles::new("here", find).unwrap().unwrap().bios.unwrap()
        };
        assert!(bios(None).require(&BiosImages::USUAL_MODULES).is_ok());
        let error = bios(None).require(&["part_msdos", "fat"]).unwrap_err();
        assert!(error.to_string().ends_with("it lacks GRUB's module part_msdos") && error.hint().is_some());
        assert!(bios(Some("part_msdos fat\n")).require(&["part_msdos", "fat"]).is_ok());
        assert!(bios(Some("")).require(&["fat"]).is_err());
    }
}
