//! The sums in the headers of tars (POSIX.1-1988).

use super::put;

const BLOCK: usize = 512;
const SIZE: std::ops::Range<usize> = 124..136;
const SUM: std::ops::Range<usize> = 148..156;

/// Every header that is found from one to the next.
pub(crate) fn tar(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = bytes.get_mut(at..at + BLOCK) {
        at += BLOCK;
        if header.iter().all(|&byte| byte == 0) {
            continue;
        }
        put(header, SUM.start, b"        ");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        put(header, SUM.start, format!("{sum:07o}\0").as_bytes());
        let content = size(&header[SIZE]).filter(|size| *size <= bytes.len()).unwrap_or(0);
        at += content.next_multiple_of(BLOCK);
    }
}

fn size(field: &[u8]) -> Option<usize> {
    let digits: Vec<_> = field.iter().copied().take_while(u8::is_ascii_digit).collect();
    usize::from_str_radix(std::str::from_utf8(&digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_header_is_whole_again() {
        let mut builder = ::tar::Builder::new(Vec::new());
        for name in ["first", "second"] {
            let mut header = ::tar::Header::new_ustar();
            header.set_size(700);
            builder.append_data(&mut header, name, &[7; 700][..]).unwrap();
        }
        let whole = builder.into_inner().unwrap();
        let names = |bytes: &[u8]| {
            let mut archive = ::tar::Archive::new(bytes);
            let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned());
            names.collect::<Vec<_>>()
        };
        let mut damaged = whole.clone();
        damaged[3 * BLOCK] = b'S';
        tar(&mut damaged);
        assert_eq!(names(&damaged), ["first", "Second"].map(std::path::PathBuf::from));
        damaged[3 * BLOCK] = b's';
        tar(&mut damaged);
        assert!(damaged == whole);
    }
}
