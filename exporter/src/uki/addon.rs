//! An addon: a program for UEFI that is never started, with words for the kernel. systemd-stub adds those of each addon that the
//! firmware would start, in the order of their names.
//!
//! Source: Unified Kernel Image specification (UAPI.5), "PE Addons"; systemd-stub(7), "Companion Files".

use super::{Section, plan, sbat};
use crate::architecture::Architecture;
use crate::error::Result;
use crate::tree::Content;

/// Where an image has what an addon begins with.
pub fn addon_stub_path(architecture: Architecture) -> String {
    format!("/usr/lib/systemd/boot/efi/addon{}.efi.stub", architecture.efi_suffix())
}

/// The addon with these words, which begins with `stub`, whose file `place` names in messages.
///
/// # Errors
/// If the stub is none, or has no room for them.
pub fn addon(stub: &[u8], place: &str, architecture: Architecture, cmdline: &str) -> Result<Content> {
    let sections = vec![
        Section::of_bytes(".cmdline", cmdline.as_bytes()),
        Section::of_bytes(sbat::SECTION, sbat::of_addon(stub)?),
    ];
    plan(stub, place, architecture, sections)
}
