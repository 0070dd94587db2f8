//! Which file a machine starts, by its firmware.

use std::collections::BTreeSet;
use std::net::SocketAddrV4;

use exporter::spec::Architecture;

use super::scripts;

/// What asks to be booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Firmware {
    pub(super) kind: BootMethod,
    /// `None` of what no medium is for.
    pub(super) architecture: Option<Architecture>,
}

/// How it boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BootMethod {
    /// A BIOS: a program of its own form by TFTP.
    Bios,
    /// UEFI PXE: a program by TFTP.
    Uefi,
    /// UEFI HTTP boot: a program by HTTP.
    UefiHttp,
    /// iPXE, wherever it came from: a script by HTTP.
    Ipxe,
}

impl Firmware {
    /// By the number of its architecture (RFC 4578 with the registry of IANA, where 7 and 9 are what firmware takes them
    /// for).
    pub(super) fn by_number(number: u16) -> Option<Self> {
        use Architecture::{Aarch64, X86_64};
        let (kind, architecture) = match number {
            0 => (BootMethod::Bios, Some(X86_64)),
            7 | 9 => (BootMethod::Uefi, Some(X86_64)),
            11 => (BootMethod::Uefi, Some(Aarch64)),
            16 => (BootMethod::UefiHttp, Some(X86_64)),
            19 => (BootMethod::UefiHttp, Some(Aarch64)),
            6 | 10 => (BootMethod::Uefi, None),
            15 | 18 => (BootMethod::UefiHttp, None),
            _ => return None,
        };
        Some(Self { kind, architecture })
    }

    pub(super) fn name(self) -> String {
        let kind = match self.kind {
            BootMethod::Bios => return "BIOS".to_owned(),
            BootMethod::Uefi => "UEFI",
            BootMethod::UefiHttp => "UEFI HTTP boot",
            BootMethod::Ipxe => "iPXE",
        };
        let architecture = self.architecture.map_or("of 32 bits", Architecture::name);
        format!("{kind} {architecture}")
    }
}

/// A file, and how it is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BootFile {
    /// By TFTP from this server.
    Tftp(String),
    /// By HTTP from this address.
    Http(String),
}

impl BootFile {
    /// What a DHCP message says of it.
    pub(super) fn text(&self) -> &str {
        let (Self::Tftp(text) | Self::Http(text)) = self;
        text
    }
}

/// Kernel, initramfs and root as one program.
const UKI: &str = "netboot.efi";

/// What there is to be booted.
#[derive(Clone, Debug)]
pub(super) struct Boot {
    /// The HTTP server.
    pub(super) http: SocketAddrV4,
    pub(super) architecture: Option<Architecture>,
    pub(super) files: BTreeSet<String>,
    /// Whether UEFI may start the UKI: at once, without a menu.
    pub(super) may_start_uki: bool,
    /// Whether another server gives the addresses. GRUB looks for its files on that one (rhboot/grub2#56).
    pub(super) is_proxy: bool,
}

impl Boot {
    /// The file for a firmware; of the folder's files the first that it can start.
    pub(super) fn file(&self, firmware: Firmware) -> Option<BootFile> {
        firmware.architecture.filter(|known| self.architecture == Some(*known))?;
        let (shim, grub) = match self.architecture? {
            Architecture::X86_64 => ("shimx64.efi", "grubx64.efi"),
            Architecture::Aarch64 => ("shimaa64.efi", "grubaa64.efi"),
        };
        let names: &[&str] = match firmware.kind {
            BootMethod::Bios => &["grub.pxe"],
            BootMethod::Uefi if !self.is_proxy => &[shim, grub, UKI],
            BootMethod::Uefi | BootMethod::UefiHttp => &[UKI, shim, grub],
            BootMethod::Ipxe => &[scripts::IPXE],
        };
        let mut names = names.iter().filter(|name| self.may_start_uki || **name != UKI);
        let name = names.find(|name| self.files.contains(**name))?;
        Some(match firmware.kind {
            BootMethod::Bios | BootMethod::Uefi => BootFile::Tftp((*name).to_owned()),
            BootMethod::UefiHttp | BootMethod::Ipxe => BootFile::Http(format!("http://{}/{name}", self.http)),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn boot(files: &[&str]) -> Boot {
        Boot {
            http: SocketAddrV4::new([10, 9, 0, 1].into(), 8080),
            architecture: Some(Architecture::X86_64),
            files: files.iter().map(|name| (*name).to_owned()).collect(),
            may_start_uki: true,
            is_proxy: false,
        }
    }

    const ALL: [&str; 4] = ["grub.pxe", "shimx64.efi", "netboot.efi", "boot.ipxe"];

    #[test]
    fn each_firmware_gets_what_it_can_start() {
        let boot = boot(&ALL);
        for (number, expected) in [
            (0, Some("grub.pxe")),
            (7, Some("shimx64.efi")),
            (9, Some("shimx64.efi")),
            (16, Some("http://10.9.0.1:8080/netboot.efi")),
            (6, None),
            (11, None),
            (19, None),
        ] {
            let file = boot.file(Firmware::by_number(number).unwrap());
            assert_eq!(file.as_ref().map(BootFile::text), expected, "{number}");
        }
        assert_eq!(Firmware::by_number(0xffff), None);
        let ipxe = Firmware { kind: BootMethod::Ipxe, architecture: Some(Architecture::X86_64) };
        assert_eq!(boot.file(ipxe), Some(BootFile::Http("http://10.9.0.1:8080/boot.ipxe".to_owned())));
    }

    #[test]
    fn what_may_not_start_at_once_comes_by_the_menu() {
        let http = Firmware::by_number(16).unwrap();
        let shim = Some(BootFile::Http("http://10.9.0.1:8080/shimx64.efi".to_owned()));
        assert_eq!(Boot { may_start_uki: false, ..boot(&ALL) }.file(http), shim);
        assert_eq!(boot(&["shimx64.efi"]).file(http), shim, "there is no UKI");
        let uefi = Firmware::by_number(7).unwrap();
        let proxy = Boot { is_proxy: true, ..boot(&ALL) };
        assert_eq!(proxy.file(uefi), Some(BootFile::Tftp("netboot.efi".to_owned())));
        let signed = Boot { may_start_uki: false, ..proxy }.file(uefi);
        assert_eq!(signed, Some(BootFile::Tftp("shimx64.efi".to_owned())));
        assert_eq!(
            boot(&["netboot.efi", "grubx64.efi"]).file(uefi),
            Some(BootFile::Tftp("grubx64.efi".to_owned()))
        );
        assert_eq!(Boot { may_start_uki: false, ..boot(&["netboot.efi"]) }.file(http), None);
    }
}
