//! The probe's boot sector, as the assembler makes it. KVM runs a PC's guests on a PC alone.

#![allow(unsafe_code, reason = "assembly, and the linker's word for where it lies")]

/// A sector that writes 0x2a to port 0xf4 once it has been in protected and long mode, has used CPUID, FPU and SSE,
/// and has been interrupted by a timer.
#[cfg(target_arch = "x86_64")]
pub(super) fn boot_sector() -> &'static [u8; 512] {
    unsafe extern "C" {
        #[link_name = "vmimage_probe_sector"]
        static SECTOR: [u8; 512];
    }
    // SAFETY: sector.s fills 512 bytes (`.org`), which nothing writes to.
    unsafe { &SECTOR }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn boot_sector() -> &'static [u8; 512] {
    &[0; 512]
}

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .rodata.vmimage_probe, \"a\"",
    ".globl vmimage_probe_sector",
    "vmimage_probe_sector:",
    include_str!("sector.s"),
    ".code64",
    ".popsection",
    options(att_syntax)
);
