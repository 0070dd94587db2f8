//! The stub that a unified kernel image begins with: its headers, and room in them for sections.

use std::ops::Range;

use zerocopy::{FromBytes, IntoBytes};

use super::format::{
    AMD64, ARM64, CERTIFICATES, CODE, CoffHeader, DOS_MAGIC, DataDirectory, LFANEW, NO_SYMBOLS, NX_COMPAT,
    OptionalHeader, PE32_PLUS, SIGNATURE, SectionHeader,
};
use crate::architecture::Architecture;

/// More than any stub has.
const SECTIONS_MAX: usize = 96;
/// Sections lie at multiples of pages; no linker asks for more than these.
const ALIGNMENT_MAX: u32 = 1 << 16;

/// The headers of a program for UEFI.
pub(super) struct Stub {
    coff: CoffHeader,
    coff_at: usize,
    optional: OptionalHeader,
    sections: Vec<SectionHeader>,
    /// How many are its own.
    own: usize,
    is_signed: bool,
}

impl Stub {
    /// Those that `bytes`, which may be the first part of a file, begin with.
    ///
    /// # Errors
    /// Why it is no such program.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        const NONE: &str = "is no program for UEFI";
        if !bytes.starts_with(&DOS_MAGIC) {
            return Err(NONE);
        }
        let at = bytes.get(LFANEW..LFANEW + 4).and_then(|at| at.try_into().ok()).map(u32::from_le_bytes);
        let coff_at = at.and_then(|at| usize::try_from(at).ok()).ok_or(NONE)?;
        let rest = bytes.get(coff_at..).ok_or(NONE)?;
        let (coff, rest) = CoffHeader::read_from_prefix(rest).map_err(|_| NONE)?;
        let optional = rest.get(..usize::from(coff.size_of_optional_header.get())).ok_or(NONE)?;
        let table = rest.get(optional.len()..).unwrap_or_default();
        let (optional, directories) = OptionalHeader::read_from_prefix(optional).map_err(|_| NONE)?;
        if coff.signature != SIGNATURE || optional.magic.get() != PE32_PLUS {
            return Err(NONE);
        }
        let count = usize::from(coff.number_of_sections.get());
        let sections = table.chunks_exact(size_of::<SectionHeader>()).take(count);
        let sections: Vec<_> =
            sections.filter_map(|bytes| SectionHeader::read_from_bytes(bytes).ok()).collect();
        if sections.len() != count || count > SECTIONS_MAX {
            return Err("is cut off, or has far too many sections");
        }
        let certificates = directories.chunks_exact(size_of::<DataDirectory>()).nth(CERTIFICATES);
        let certificates = certificates.and_then(|bytes| DataDirectory::read_from_bytes(bytes).ok());
        let is_signed = certificates.is_some_and(|directory| directory.size.get() != 0);
        Ok(Self { coff, coff_at, optional, own: sections.len(), sections, is_signed })
    }

    /// Whether it has a section of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.sections.iter().any(|section| shown(section) == name.as_bytes())
    }

    /// Where in the file the bytes of a section lie.
    pub(super) fn file_range(&self, name: &str) -> Option<Range<u64>> {
        let section = self.sections.iter().find(|section| shown(section) == name.as_bytes())?;
        let start = u64::from(section.pointer_to_raw_data.get());
        let len = section.size_of_raw_data.get().min(section.virtual_size.get());
        Some(start..start + u64::from(len))
    }

    /// Call its section of this name something else.
    pub(super) fn rename(&mut self, name: &str, other: &str) {
        let found = self.sections.iter_mut().find(|section| shown(section) == name.as_bytes());
        if let Some(section) = found {
            section.name = [0; 8];
            section.name.iter_mut().zip(other.bytes()).for_each(|(to, byte)| *to = byte);
        }
    }

    /// Whether none of its memory has to be written to and run.
    pub(super) fn is_nx(&self) -> bool {
        self.optional.dll_characteristics.get() & NX_COMPAT != 0
    }

    /// Firmware that keeps to it would not start what is within: both have to say the same.
    pub(super) fn clear_nx(&mut self) {
        self.optional.dll_characteristics = (self.optional.dll_characteristics.get() & !NX_COMPAT).into();
    }

    /// The bytes of `stub` without a table of symbols behind its sections, which an old one has: what lies between sections
    /// is part of no section, and so of no signature's digest.
    pub(super) fn without_symbols<'a>(&mut self, stub: &'a [u8]) -> &'a [u8] {
        let at = self.coff.pointer_to_symbol_table.get() as usize;
        let end = self.sections.iter().map(end_in_file).max().unwrap_or_default();
        match stub.get(..at).filter(|rest| at != 0 && rest.len() as u64 >= end) {
            Some(rest) => {
                self.coff.pointer_to_symbol_table = 0.into();
                self.coff.number_of_symbols = 0.into();
                self.coff.characteristics = (self.coff.characteristics.get() | NO_SYMBOLS).into();
                rest
            }
            None => stub,
        }
    }

    pub(super) fn is_for(&self, architecture: Architecture) -> bool {
        let machine = match architecture {
            Architecture::X86_64 => AMD64,
            Architecture::Aarch64 => ARM64,
        };
        self.coff.machine.get() == machine
    }

    /// That sections of these names can be added to the file, which has `len` bytes.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check(&self, names: &[&str], len: u64) -> Result<(), String> {
        if self.sections.iter().any(|section| end_in_file(section) > len) {
            return Err("is cut off: it has not all of its sections".into());
        }
        if self.is_signed {
            return Err("is signed, and is not what was signed with sections behind it".into());
        }
        let is_alignment = |value: u32| value.is_power_of_two() && value <= ALIGNMENT_MAX;
        let alignments = [self.optional.section_alignment.get(), self.optional.file_alignment.get()];
        if !alignments.into_iter().all(is_alignment) {
            return Err("says of its sections that they lie at odd places".into());
        }
        let has = |name: &&&str| self.sections.iter().any(|section| shown(section) == name.as_bytes());
        if let Some(name) = names.iter().find(has) {
            return Err(format!("has a section {name} already: it is a unified kernel image itself"));
        }
        let table_end = self.table_at() + size_of::<SectionHeader>() * (self.sections.len() + names.len());
        let first = self.sections.iter().filter(|section| section.size_of_raw_data.get() > 0);
        let first = first.map(|section| section.pointer_to_raw_data.get()).min().unwrap_or(u32::MAX);
        let room = first.min(self.optional.size_of_headers.get());
        if table_end as u64 > u64::from(room) {
            return Err(format!("has no room for {} sections more in its headers", names.len()));
        }
        Ok(())
    }

    /// Bytes of memory that it takes, with what it only clears.
    pub(super) fn size_in_memory(&self) -> u64 {
        self.optional.size_of_image.get().into()
    }

    /// What each section in the file begins at a multiple of.
    pub(super) fn file_alignment(&self) -> u64 {
        u64::from(self.optional.file_alignment.get()).max(1)
    }

    /// Where in memory there is room for another section.
    pub(super) fn end_in_memory(&self) -> u64 {
        let end = |section: &SectionHeader| {
            u64::from(section.virtual_address.get()) + u64::from(section.virtual_size.get())
        };
        let end = self.sections.iter().map(end).max().unwrap_or_default();
        end.next_multiple_of(u64::from(self.optional.section_alignment.get()).max(1))
    }

    pub(super) fn add(&mut self, section: SectionHeader) {
        self.sections.push(section);
    }

    /// The bytes of the stub, with headers that tell of all sections.
    pub(super) fn head(&self, stub: &[u8]) -> Vec<u8> {
        let added = self.sections.get(self.own..).unwrap_or_default();
        let mut coff = self.coff;
        coff.number_of_sections = (self.sections.len() as u16).into();
        let mut optional = self.optional;
        let of = |is_code: bool, sum: u32| {
            let added = added.iter().filter(|section| (section.characteristics.get() == CODE) == is_code);
            added.fold(sum, |sum, section| sum.saturating_add(section.virtual_size.get()))
        };
        optional.size_of_code = of(true, optional.size_of_code.get()).into();
        optional.size_of_initialized_data = of(false, optional.size_of_initialized_data.get()).into();
        // What is looked at lies below 4 GiB, and this is its last page.
        optional.size_of_image = u32::try_from(self.end_in_memory()).unwrap_or(u32::MAX).into();
        // UEFI reads none.
        optional.check_sum = 0.into();
        let mut bytes = stub.to_vec();
        write(&mut bytes, self.coff_at, coff.as_bytes());
        write(&mut bytes, self.coff_at + size_of::<CoffHeader>(), optional.as_bytes());
        write(&mut bytes, self.table_at(), self.sections.as_bytes());
        bytes
    }

    fn table_at(&self) -> usize {
        self.coff_at + size_of::<CoffHeader>() + usize::from(self.coff.size_of_optional_header.get())
    }
}

fn end_in_file(section: &SectionHeader) -> u64 {
    u64::from(section.pointer_to_raw_data.get()) + u64::from(section.size_of_raw_data.get())
}

/// The name of a section without what fills it up.
fn shown(section: &SectionHeader) -> &[u8] {
    let len = section.name.iter().position(|byte| *byte == 0).unwrap_or(section.name.len());
    section.name.get(..len).unwrap_or_default()
}

fn write(bytes: &mut [u8], at: usize, what: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + what.len()) {
        place.copy_from_slice(what);
    }
}
