//! Where a program for UEFI has what changes when it is signed.
//!
//! Source: PE Format (<https://learn.microsoft.com/windows/win32/debug/pe-format>), "COFF File Header", "Optional Header",
//! "Section Table". Both PE32 and PE32+, whose headers differ behind what they begin with.

use std::ops::Range;

/// Where a DOS header says at which byte the signature of a PE lies.
const LFANEW: usize = 0x3c;
/// Bytes of the signature and the COFF header behind it.
const COFF: usize = 24;
/// In the COFF header, from the signature on.
const NUMBER_OF_SECTIONS: usize = 6;
const SIZE_OF_OPTIONAL_HEADER: usize = 20;
/// In the optional header.
const SIZE_OF_HEADERS: usize = 60;
const CHECK_SUM: usize = 64;
const SUBSYSTEM: usize = 68;
/// Its magic, and where it then has the number of data directories, which are right behind that.
const PE32: (u16, usize) = (0x10b, 92);
const PE32_PLUS: (u16, usize) = (0x20b, 108);
/// Which data directory is that of the signatures, and bytes of each.
const CERTIFICATES: usize = 4;
const DIRECTORY: usize = 8;
/// Bytes of an entry of the section table, and where it has how many bytes there are in the file, and from where on.
const SECTION: usize = 40;
const SIZE_OF_RAW_DATA: usize = 16;
const POINTER_TO_RAW_DATA: usize = 20;
/// More sections than Windows loads.
const SECTIONS_MAX: usize = 96;
/// `IMAGE_SUBSYSTEM_EFI_APPLICATION`, `…_BOOT_SERVICE_DRIVER` and `…_RUNTIME_DRIVER`.
const EFI: [u16; 3] = [10, 11, 12];

/// What is no program for UEFI at all.
const NONE: &str = "is no program for UEFI";

/// A program that can be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// Where the headers have the sum over the file, 4 bytes.
    pub(super) check_sum: usize,
    /// Where they have the place of the signatures, 8 bytes.
    pub(super) directory: usize,
    /// The signatures; where it has none, nothing at the end of the file.
    pub(super) signatures: Range<u64>,
}

impl Program {
    /// That in a file of `size` bytes that begins with `head`.
    ///
    /// # Errors
    /// Why it is none, or cannot be signed.
    pub(super) fn read(head: &[u8], size: u64) -> Result<Self, &'static str> {
        const CUT_OFF: &str = "is cut off: it has not all of its headers";
        let (optional, directories) = optional_header(head).ok_or(NONE)?;
        if !EFI.contains(&u16_at(head, optional + SUBSYSTEM).ok_or(NONE)?) {
            return Err(NONE);
        }
        let pe = optional - COFF;
        let optional_len = usize::from(u16_at(head, pe + SIZE_OF_OPTIONAL_HEADER).ok_or(NONE)?);
        let directory = directories + DIRECTORY * CERTIFICATES;
        let count = u32_at(head, directories - 4).ok_or(CUT_OFF)?;
        if count as usize <= CERTIFICATES || directory + DIRECTORY > optional + optional_len {
            return Err("has no place in its headers that says where signatures are");
        }
        let count = usize::from(u16_at(head, pe + NUMBER_OF_SECTIONS).ok_or(NONE)?);
        let headers = u32_at(head, optional + SIZE_OF_HEADERS).ok_or(CUT_OFF)?;
        if count > SECTIONS_MAX || (directory + DIRECTORY) as u64 > u64::from(headers) {
            return Err("has impossible headers");
        }
        let table = optional + optional_len;
        let table = head.get(table..table + SECTION * count).ok_or(CUT_OFF)?;
        let end = end_of_sections(table, headers.into())?;
        let signatures = signatures(head, directory, size).ok_or(CUT_OFF)?;
        if end > signatures.start || signatures.end > size {
            return Err("is cut off: it has not all of its sections or signatures");
        }
        if signatures.end < size || !signatures.is_empty() && !signatures.start.is_multiple_of(8) {
            return Err("has its signatures where nobody looks for them");
        }
        Ok(Self { check_sum: optional + CHECK_SUM, directory, signatures })
    }

    /// What a digest is of: all the rest.
    pub(super) fn hashed(&self) -> [Range<u64>; 3] {
        let [check_sum, directory] = [self.check_sum, self.directory].map(|at| at as u64);
        [0..check_sum, check_sum + 4..directory, directory + DIRECTORY as u64..self.signatures.start]
    }

    /// Bytes of the head that has all that changes.
    pub(super) fn head_len(&self) -> usize {
        self.directory + DIRECTORY
    }
}

/// Whether `head`, the first bytes of a file, are those of a program for UEFI.
pub fn is_program(head: &[u8]) -> bool {
    let subsystem = optional_header(head).and_then(|(optional, _)| u16_at(head, optional + SUBSYSTEM));
    subsystem.is_some_and(|subsystem| EFI.contains(&subsystem))
}

/// Where the optional header lies, and its data directories.
fn optional_header(head: &[u8]) -> Option<(usize, usize)> {
    let pe = u32_at(head, LFANEW).filter(|at| head.starts_with(b"MZ") && at.is_multiple_of(4))? as usize;
    let optional = pe.checked_add(COFF)?;
    let magic = u16_at(head, optional).filter(|_| head.get(pe..pe + 4) == Some(b"PE\0\0"))?;
    let (_, count) = [PE32, PE32_PLUS].into_iter().find(|(known, _)| *known == magic)?;
    Some((optional, optional + count + 4))
}

/// Where the last section ends. They lie one behind the other, the first behind the headers: of anything else firmware
/// and those who sign would not make the same digest.
fn end_of_sections(table: &[u8], headers: u64) -> Result<u64, &'static str> {
    let field = |entry: &[u8], at| u64::from(u32_at(entry, at).unwrap_or_default());
    let sections = table.chunks_exact(SECTION);
    let sections = sections.map(|entry| (field(entry, POINTER_TO_RAW_DATA), field(entry, SIZE_OF_RAW_DATA)));
    let mut sections: Vec<_> = sections.filter(|(_, len)| *len > 0).collect();
    sections.sort_unstable();
    sections.into_iter().try_fold(headers, |end, (start, len)| match start == end {
        true => Ok(start + len),
        false => Err("has gaps between its sections, or sections over others, which not everybody signs"),
    })
}

fn signatures(head: &[u8], directory: usize, size: u64) -> Option<Range<u64>> {
    let [start, len] = [u32_at(head, directory)?, u32_at(head, directory + 4)?].map(u64::from);
    Some(if len == 0 { size..size } else { start..start + len })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
