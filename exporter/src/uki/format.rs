//! The structures of a program for UEFI that are read and changed here.
//!
//! Source: PE Format (<https://learn.microsoft.com/windows/win32/debug/pe-format>), "COFF File Header", "Optional Header",
//! "Section Table".

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(super) const DOS_MAGIC: [u8; 2] = *b"MZ";
/// Where a DOS header says at which byte the signature lies.
pub(super) const LFANEW: usize = 0x3c;
pub(super) const SIGNATURE: [u8; 4] = *b"PE\0\0";
/// `IMAGE_FILE_MACHINE_AMD64`
pub(super) const AMD64: u16 = 0x8664;
/// `IMAGE_FILE_MACHINE_ARM64`
pub(super) const ARM64: u16 = 0xaa64;
/// The magic of an optional header of PE32+.
pub(super) const PE32_PLUS: u16 = 0x20b;
/// `IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ`
pub(super) const DATA: u32 = 0x4000_0040;
/// `IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_READ`: a kernel, which an old stub runs where it lies.
pub(super) const CODE: u32 = 0x4000_0020;
/// `IMAGE_FILE_LOCAL_SYMS_STRIPPED`
pub(super) const NO_SYMBOLS: u16 = 0x0008;
/// `IMAGE_DLLCHARACTERISTICS_NX_COMPAT`: no part of its memory has to be written to and run.
pub(super) const NX_COMPAT: u16 = 0x0100;
/// The data directory of certificates.
pub(super) const CERTIFICATES: usize = 4;

/// The signature and the COFF header behind it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct CoffHeader {
    pub(super) signature: [u8; 4],
    pub(super) machine: U16,
    pub(super) number_of_sections: U16,
    pub(super) time_date_stamp: U32,
    pub(super) pointer_to_symbol_table: U32,
    pub(super) number_of_symbols: U32,
    pub(super) size_of_optional_header: U16,
    pub(super) characteristics: U16,
}

/// The optional header of PE32+, up to the data directories.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct OptionalHeader {
    pub(super) magic: U16,
    pub(super) linker_version: [u8; 2],
    pub(super) size_of_code: U32,
    pub(super) size_of_initialized_data: U32,
    pub(super) size_of_uninitialized_data: U32,
    pub(super) address_of_entry_point: U32,
    pub(super) base_of_code: U32,
    pub(super) image_base: U64,
    pub(super) section_alignment: U32,
    pub(super) file_alignment: U32,
    pub(super) versions: [U16; 6],
    pub(super) win32_version_value: U32,
    pub(super) size_of_image: U32,
    pub(super) size_of_headers: U32,
    pub(super) check_sum: U32,
    pub(super) subsystem: U16,
    pub(super) dll_characteristics: U16,
    pub(super) size_of_stack_reserve: U64,
    pub(super) size_of_stack_commit: U64,
    pub(super) size_of_heap_reserve: U64,
    pub(super) size_of_heap_commit: U64,
    pub(super) loader_flags: U32,
    pub(super) number_of_rva_and_sizes: U32,
}

/// A data directory.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct DataDirectory {
    pub(super) address: U32,
    pub(super) size: U32,
}

/// An entry of the section table.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SectionHeader {
    /// Filled up with NULs.
    pub(super) name: [u8; 8],
    pub(super) virtual_size: U32,
    pub(super) virtual_address: U32,
    pub(super) size_of_raw_data: U32,
    pub(super) pointer_to_raw_data: U32,
    pub(super) pointer_to_relocations: U32,
    pub(super) pointer_to_linenumbers: U32,
    pub(super) number_of_relocations: U16,
    pub(super) number_of_linenumbers: U16,
    pub(super) characteristics: U32,
}

const _: () = assert!(size_of::<CoffHeader>() == 24);
const _: () = assert!(size_of::<OptionalHeader>() == 112);
const _: () = assert!(std::mem::offset_of!(OptionalHeader, size_of_image) == 56);
const _: () = assert!(std::mem::offset_of!(OptionalHeader, check_sum) == 64);
const _: () = assert!(size_of::<SectionHeader>() == 40);
