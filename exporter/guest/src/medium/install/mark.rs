//! The first sector of a disk that is being written: it starts no machine, says so on a BIOS, and to whoever looks at it. A
//! second run takes such a disk for its own.

use super::target::Target;

/// The first bytes that are written last.
pub(super) const FIRST: usize = 64 << 10;
/// What is emptied at the end of a disk: tables and what arrays, volumes and pools keep there.
pub(super) const END: u64 = 1 << 20;

const SECTOR: usize = 512;
const TEXT: &[u8] = b"\r\nvmimage: installation not complete\r\nStart the installer again.\r\n\0";
/// Where the text begins: behind a jump over it.
const TEXT_AT: usize = 3;
const CODE_AT: usize = TEXT_AT + TEXT.len();
/// Prints the text, and stops:
///
/// ```text
///     xor ax, ax ; mov ds, ax ; mov si, 0x7c03 ; cld
/// 1:  lodsb ; test al, al ; jz 2f ; mov ah, 0x0e ; mov bx, 7 ; int 0x10 ; jmp 1b
/// 2:  hlt ; jmp 2b
/// ```
const CODE: [u8; 25] = [
    0x31, 0xc0, 0x8e, 0xd8, 0xbe, 0x03, 0x7c, 0xfc, 0xac, 0x84, 0xc0, 0x74, 0x09, 0xb4, 0x0e, 0xbb, 0x07,
    0x00, 0xcd, 0x10, 0xeb, 0xf2, 0xf4, 0xeb, 0xfd,
];

const _: () = assert!(CODE_AT + CODE.len() <= 440 && CODE_AT - 2 < 128);

/// The sector: a boot record without partitions.
fn sector() -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    sector[..TEXT_AT].copy_from_slice(&[0xeb, (CODE_AT - 2) as u8, 0x90]);
    sector[TEXT_AT..CODE_AT].copy_from_slice(TEXT);
    sector[CODE_AT..CODE_AT + CODE.len()].copy_from_slice(&CODE);
    sector[SECTOR - 2..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Whether a disk with these first bytes is one of which not all was written.
pub(super) fn is_there(first: &[u8]) -> bool {
    first.get(..SECTOR) == Some(&sector()[..])
}

/// Put it on the disk, and nothing of what was there before at its ends. From then on it starts no machine.
pub(super) fn put(target: &Target) -> Result<(), String> {
    let mut first = vec![0; FIRST];
    first[..SECTOR].copy_from_slice(&sector());
    target.write(&first, 0)?;
    target.sync(0)?;
    let end = target.len.saturating_sub(END).max(FIRST as u64);
    target.clear(end..target.len)?;
    target.sync(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_lead_where_they_should() {
        let sector = sector();
        // Over the text, by a displacement from behind the two bytes of the jump.
        assert_eq!(usize::from(sector[1]) + 2, CODE_AT);
        assert_eq!(sector[CODE_AT..CODE_AT + 2], [0x31, 0xc0]);
        let at = |byte: usize| i16::from(CODE[byte] as i8) + byte as i16 + 1;
        // To the halt, to the next letter, and to the halt again.
        assert_eq!((at(12), at(21), at(24)), (22, 8, 22));
        assert_eq!((CODE[22], CODE[8]), (0xf4, 0xac));
        assert_eq!(u16::from_le_bytes([CODE[5], CODE[6]]), 0x7c00 + TEXT_AT as u16);
    }

    #[test]
    fn it_is_no_partition_table_and_no_file_system() {
        let sector = sector();
        assert!(sector[446..510].iter().all(|byte| *byte == 0));
        // What a FAT says of its sectors there is part of the text.
        assert!(!u16::from_le_bytes([sector[11], sector[12]]).is_power_of_two());
        assert!(is_there(&sector) && !is_there(&sector[1..]) && !is_there(&[0; 512]) && !is_there(&[]));
    }
}
