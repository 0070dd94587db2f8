//! Small kernels and modules for tests.

use std::io::Write;

/// A kernel of x86_64, which tells what it is given.
pub(crate) fn vmlinux(release: &str, pvh: Option<u32>, config: Option<&str>) -> Vec<u8> {
    let notes = pvh.map_or_else(Vec::new, |entry| {
        [note(b"GNU\0", 3, b"build"), note(b"Xen\0", 6, b"linux\0"), note(b"Xen\0", 18, &entry.to_le_bytes())]
            .concat()
    });
    let mut bytes = elf_header(62, 2);
    put(&mut bytes, 32, &64_u64.to_le_bytes());
    put(&mut bytes, 54, &56_u16.to_le_bytes());
    put(&mut bytes, 56, &1_u16.to_le_bytes());
    bytes.resize(0x100, 0);
    put(&mut bytes, 64, &4_u32.to_le_bytes());
    put(&mut bytes, 64 + 8, &0x100_u64.to_le_bytes());
    put(&mut bytes, 64 + 32, &(notes.len() as u64).to_le_bytes());
    bytes.extend(notes);
    bytes.extend(format!("Linux version {release} (gcc) #1 SMP\n\0").bytes());
    if let Some(config) = config {
        bytes.extend(b"IKCFG_ST");
        bytes.extend(gzip(config.as_bytes()));
        bytes.extend(b"IKCFG_ED");
    }
    bytes
}

/// An image with this in it.
pub(crate) fn bzimage(release: &str, payload: &[u8]) -> Vec<u8> {
    const PAYLOAD: usize = 1024 + 16;
    let mut bytes = vec![0; PAYLOAD];
    put(&mut bytes, 0x1f1, &[1]);
    put(&mut bytes, 0x1fe, &[0x55, 0xaa]);
    put(&mut bytes, 0x202, b"HdrS");
    put(&mut bytes, 0x206, &0x020f_u16.to_le_bytes());
    put(&mut bytes, 0x20e, &0x100_u16.to_le_bytes());
    put(&mut bytes, 0x236, &1_u16.to_le_bytes());
    put(&mut bytes, 0x248, &16_u32.to_le_bytes());
    put(&mut bytes, 0x24c, &(payload.len() as u32).to_le_bytes());
    put(&mut bytes, 0x300, format!("{release} (me@here) #1 SMP\0").as_bytes());
    bytes.extend(payload);
    // What a signature would be.
    bytes.extend([7; 16]);
    bytes
}

/// An Image of arm64.
pub(crate) fn arm64(release: &str) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    put(&mut bytes, 56, b"ARM\x64");
    bytes.extend(format!("Linux version {release} (gcc) #1 SMP\n\0").bytes());
    bytes
}

/// A module that says this of itself, line by line.
pub(crate) fn module(info: &str) -> Vec<u8> {
    let info: Vec<u8> = info.lines().flat_map(|line| [line.as_bytes(), b"\0"].concat()).collect();
    let names = b"\0.modinfo\0.shstrtab\0";
    let mut bytes = elf_header(62, 1);
    let table = 64 + (info.len() + names.len()).next_multiple_of(8);
    put(&mut bytes, 40, &(table as u64).to_le_bytes());
    put(&mut bytes, 58, &64_u16.to_le_bytes());
    put(&mut bytes, 60, &3_u16.to_le_bytes());
    put(&mut bytes, 62, &2_u16.to_le_bytes());
    bytes.extend([&info[..], names].concat());
    bytes.resize(table, 0);
    bytes.extend(section(0, 0, 0));
    bytes.extend(section(1, 64, info.len()));
    bytes.extend(section(10, 64 + info.len(), names.len()));
    bytes
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// An ELF header of 64 bytes.
fn elf_header(machine: u16, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    put(&mut bytes, 0, b"\x7fELF\x02\x01\x01");
    put(&mut bytes, 16, &kind.to_le_bytes());
    put(&mut bytes, 18, &machine.to_le_bytes());
    bytes
}

fn section(name: u32, at: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    put(&mut bytes, 0, &name.to_le_bytes());
    put(&mut bytes, 24, &(at as u64).to_le_bytes());
    put(&mut bytes, 32, &(len as u64).to_le_bytes());
    bytes
}

fn note(name: &[u8], kind: u32, descriptor: &[u8]) -> Vec<u8> {
    let lens = [name.len() as u32, descriptor.len() as u32, kind];
    let mut bytes: Vec<u8> = lens.iter().flat_map(|len| len.to_le_bytes()).collect();
    for part in [name, descriptor] {
        bytes.extend(part);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..at + what.len()].copy_from_slice(what);
}
