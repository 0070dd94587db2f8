//! bzImages of x86 ("The Linux/x86 Boot Protocol", boot.rst of the kernel's documentation).
//!
//! ```text
//! boot sector │ set-up, of setup_sects sectors │ protected-mode kernel
//!   at 0x1f1: SetupHeader                        └─ payload_offset ─▶ payload │
//! ```

use std::mem::offset_of;

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::{Recognised, release};
use crate::architecture::Architecture;

/// Where the header lies.
const AT: usize = 0x1f1;
const SECTOR: u64 = 512;
/// `boot_flag`.
const BOOT_FLAG: u16 = 0xaa55;
/// The first version of the protocol that tells of a payload.
const HAS_PAYLOAD: u16 = 0x0208;
/// The first that tells what else the kernel can do.
const HAS_XLOADFLAGS: u16 = 0x020c;
/// `XLF_KERNEL_64`: there is an entry for 64 bits.
const KERNEL_64: u16 = 1;

/// "The Real-Mode Kernel Header", as far as it is read.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SetupHeader {
    setup_sects: u8,
    root_flags: U16,
    syssize: U32,
    ram_size: U16,
    vid_mode: U16,
    root_dev: U16,
    boot_flag: U16,

    jump: U16,
    header: [u8; 4],
    version: U16,
    realmode_swtch: U32,
    start_sys_seg: U16,
    kernel_version: U16,

    type_of_loader: u8,
    loadflags: u8,
    setup_move_size: U16,
    code32_start: U32,
    ramdisk_image: U32,
    ramdisk_size: U32,

    bootsect_kludge: U32,
    heap_end_ptr: U16,
    ext_loader_ver: u8,
    ext_loader_type: u8,
    cmd_line_ptr: U32,
    initrd_addr_max: U32,

    kernel_alignment: U32,
    relocatable_kernel: u8,
    min_alignment: u8,
    xloadflags: U16,
    cmdline_size: U32,
    hardware_subarch: U32,

    hardware_subarch_data: U64,
    payload_offset: U32,
    payload_length: U32,
}

const _: () = assert!(AT + offset_of!(SetupHeader, boot_flag) == 0x1fe);
const _: () = assert!(AT + offset_of!(SetupHeader, header) == 0x202);
const _: () = assert!(AT + offset_of!(SetupHeader, kernel_version) == 0x20e);
const _: () = assert!(AT + offset_of!(SetupHeader, xloadflags) == 0x236);
const _: () = assert!(AT + offset_of!(SetupHeader, payload_offset) == 0x248);

/// What a file of `len` bytes with this head is; `None`: no bzImage.
pub(super) fn read(head: &[u8], len: u64) -> Result<Option<Recognised>, String> {
    let Some((header, _)) = head.get(AT..).and_then(|bytes| SetupHeader::ref_from_prefix(bytes).ok()) else {
        return Ok(None);
    };
    if header.header != *b"HdrS" || header.boot_flag.get() != BOOT_FLAG {
        return Ok(None);
    }
    let version = header.version.get();
    if version < HAS_PAYLOAD {
        return Err(format!(
            "is a kernel for protocol {}.{:02}, before 2.08 of 2008",
            version >> 8,
            version & 0xff
        ));
    }
    if version < HAS_XLOADFLAGS || header.xloadflags.get() & KERNEL_64 == 0 {
        return Err("is a kernel of 32 bits".into());
    }
    let payload = header.payload(len)?;
    Ok(Some(Recognised {
        release: header.release(head),
        ..Recognised::packed(Architecture::X86_64, payload)
    }))
}

impl SetupHeader {
    fn payload(&self, len: u64) -> Result<std::ops::Range<u64>, String> {
        // "For backwards compatibility, if the setup_sects field contains 0, the real value is 4."
        let sectors = if self.setup_sects == 0 { 4 } else { u64::from(self.setup_sects) };
        let start = (sectors + 1) * SECTOR + u64::from(self.payload_offset.get());
        let end = start + u64::from(self.payload_length.get());
        if self.payload_offset.get() == 0 || self.payload_length.get() == 0 {
            return Err("is a bzImage with nothing packed in it".into());
        }
        if end > len {
            return Err(format!("is cut off: a bzImage of at least {end} bytes has only {len}"));
        }
        Ok(start..end)
    }

    /// What its text begins with, if it has one.
    fn release(&self, head: &[u8]) -> Option<String> {
        let at = usize::from(self.kernel_version.get());
        release(head.get(0x200 + at..).filter(|_| at != 0)?)
    }
}
