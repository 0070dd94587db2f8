//! ELF files of 64 bits, little-endian (the System V ABI's object files, elf(5)): kernels and their modules.

use std::mem::offset_of;
use std::ops::Range;

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::architecture::Architecture;

/// `Elf64_Ehdr`.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    e_ident: [u8; 16],

    e_type: U16,
    e_machine: U16,
    e_version: U32,
    e_entry: U64,

    e_phoff: U64,
    e_shoff: U64,

    e_flags: U32,
    e_ehsize: U16,
    e_phentsize: U16,
    e_phnum: U16,
    e_shentsize: U16,
    e_shnum: U16,
    e_shstrndx: U16,
}

const _: () = assert!(size_of::<Header>() == 64);
const _: () = assert!(offset_of!(Header, e_phnum) == 56);

/// What `e_ident` begins with: the magic, `ELFCLASS64`, `ELFDATA2LSB`.
const IDENT: &[u8] = b"\x7fELF\x02\x01";

/// `Elf64_Phdr`.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Segment {
    p_type: U32,
    p_flags: U32,
    p_offset: U64,

    p_vaddr: U64,
    p_paddr: U64,

    p_filesz: U64,
    p_memsz: U64,

    p_align: U64,
}

const _: () = assert!(size_of::<Segment>() == 56);

const PT_NOTE: u32 = 4;
/// Headers of segments that are looked at; a kernel has five.
const SEGMENTS: usize = 64;

/// `Elf64_Shdr`.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Section {
    sh_name: U32,
    sh_type: U32,
    sh_flags: U64,

    sh_addr: U64,
    sh_offset: U64,

    sh_size: U64,
    sh_link: U32,
    sh_info: U32,

    sh_addralign: U64,
    sh_entsize: U64,
}

const _: () = assert!(size_of::<Section>() == 64);

/// `Elf64_Nhdr`: name and descriptor follow, each filled up to four bytes.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Note {
    n_namesz: U32,
    n_descsz: U32,
    n_type: U32,
}

fn header(file: &[u8]) -> Option<&Header> {
    let (header, _) = Header::ref_from_prefix(file).ok()?;
    header.e_ident.starts_with(IDENT).then_some(header)
}

/// The machine of a file that begins so.
pub(super) fn architecture(head: &[u8]) -> Option<Architecture> {
    header(head)?;
    [Architecture::X86_64, Architecture::Aarch64].into_iter().find(|architecture| architecture.runs(head))
}

/// Where the notes of a file lie that begins so.
pub(super) fn notes(head: &[u8]) -> Vec<Range<u64>> {
    let Some(header) = header(head) else { return Vec::new() };
    let table = usize::try_from(header.e_phoff.get()).ok().and_then(|at| head.get(at..)).unwrap_or_default();
    let count = usize::from(header.e_phnum.get()).min(SEGMENTS);
    let segments = table.chunks_exact(size_of::<Segment>()).take(count);
    let notes = segments.filter_map(|bytes| Segment::ref_from_bytes(bytes).ok()).filter(|segment| {
        segment.p_type.get() == PT_NOTE && usize::from(header.e_phentsize.get()) == size_of::<Segment>()
    });
    let range = |segment: &Segment| {
        let start = segment.p_offset.get();
        start..start.saturating_add(segment.p_filesz.get())
    };
    notes.map(range).collect()
}

/// The descriptor of the first note of this name and type.
pub(super) fn note<'notes>(mut notes: &'notes [u8], name: &[u8], kind: u32) -> Option<&'notes [u8]> {
    loop {
        let (note, rest) = Note::ref_from_prefix(notes).ok()?;
        let [name_len, len] = [note.n_namesz, note.n_descsz].map(|len| len.get() as usize);
        let found = rest.get(..name_len)?;
        let rest = rest.get(name_len.checked_next_multiple_of(4)?..)?;
        let descriptor = rest.get(..len)?;
        if note.n_type.get() == kind && found == name {
            return Some(descriptor);
        }
        notes = rest.get(len.checked_next_multiple_of(4)?..)?;
    }
}

/// The bytes of the section `name` of a file; `None`: it is no such file, or has none.
pub(crate) fn section<'file>(file: &'file [u8], name: &[u8]) -> Option<&'file [u8]> {
    let header = header(file)?;
    if usize::from(header.e_shentsize.get()) != size_of::<Section>() {
        return None;
    }
    let table = file.get(usize::try_from(header.e_shoff.get()).ok()?..)?;
    let count = usize::from(header.e_shnum.get());
    let sections = || {
        let each = table.chunks_exact(size_of::<Section>()).take(count);
        each.filter_map(|bytes| Section::ref_from_bytes(bytes).ok())
    };
    let names = sections().nth(usize::from(header.e_shstrndx.get()))?.bytes(file)?;
    let is_it = |section: &&Section| {
        let at = names.get(section.sh_name.get() as usize..).unwrap_or_default();
        at.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&0))
    };
    sections().find(is_it)?.bytes(file)
}

impl Section {
    fn bytes<'file>(&self, file: &'file [u8]) -> Option<&'file [u8]> {
        let start = usize::try_from(self.sh_offset.get()).ok()?;
        let len = usize::try_from(self.sh_size.get()).ok()?;
        file.get(start..start.checked_add(len)?)
    }
}
