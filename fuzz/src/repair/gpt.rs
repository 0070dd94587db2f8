//! The CRCs of a GUID partition table (UEFI 2.10, section 5.3.2), in both copies.

use super::{number, put};

/// Whatever the sectors' size is.
pub(crate) fn gpt(bytes: &mut [u8]) {
    for sector in [512, 4096] {
        let backup = bytes.len().saturating_sub(sector);
        [sector, backup].into_iter().for_each(|header| copy(bytes, header, sector));
    }
}

fn copy(bytes: &mut [u8], at: usize, sector: usize) {
    if bytes.get(at..at.saturating_add(8)) != Some(b"EFI PART") {
        return;
    }
    let field = |offset: usize, width: usize| usize::try_from(number(bytes, at + offset, width)?).ok();
    let entries = || {
        let start = field(72, 8)?.checked_mul(sector)?;
        let len = field(80, 4)?.checked_mul(field(84, 4)?)?;
        bytes.get(start..start.checked_add(len)?).map(crc32fast::hash)
    };
    let (entries, size) = (entries(), field(12, 4).filter(|size| (92..=sector).contains(size)));
    if let Some(sum) = entries {
        put(bytes, at + 88, &sum.to_le_bytes());
    }
    put(bytes, at + 16, &[0; 4]);
    if let Some(header) = size.and_then(|size| bytes.get(at..at.checked_add(size)?)) {
        let sum = crc32fast::hash(header);
        put(bytes, at + 16, &sum.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_table_is_whole_again() {
        for (sector, whole) in [512, 4096].into_iter().zip(crate::targets::partition_tables()) {
            let mut damaged = whole.clone();
            gpt(&mut damaged);
            assert!(damaged == whole, "a whole one is left as it is");
            [sector + 16, sector + 88].into_iter().for_each(|at: usize| damaged[at] ^= 1);
            gpt(&mut damaged);
            assert!(damaged == whole);
        }
    }
}
