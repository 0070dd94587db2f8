//! The names in an initramfs: cpio archives of the format `newc` one after another, the last of them compressed as a
//! rule (initramfs-buffer-format of the kernel's documentation).

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result};

use flate2::bufread::MultiGzDecoder;

use super::Content;
use crate::limits::{Budget, INITRAMFS_NAMES, PATH, USUAL_WINDOW};

/// More than a kernel would unpack into the memory of a small machine.
const LIMIT: u64 = 2 << 30;
/// The window of a frame: no tool that packs one asks for more, though the kernel takes it.
const WINDOW_LOG: u32 = USUAL_WINDOW.ilog2();
/// What a name takes beside its bytes.
const NAME: u64 = 64;
const HEADER: usize = 110;
const TRAILER: &[u8] = b"TRAILER!!!";

/// Tell every name to `visit`, until it says that it has seen enough. Whether all were told that it wanted: what is
/// compressed with something else than gzip or zstd, or breaks the format, is not read.
pub(crate) fn read_names(content: &Content, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    let Ok(reader) = content.reader() else { return false };
    let mut names = Budget::new("bytes of names in an initramfs", INITRAMFS_NAMES);
    let mut visit = |name: &[u8]| {
        names.spend(NAME + name.len() as u64).map_err(|exceeded| Error::other(exceeded.to_string()))?;
        Ok(visit(name))
    };
    archives(&mut BufReader::new(reader), true, &mut visit).is_ok()
}

/// Told of a name; whether more is wanted.
type Visit<'a> = &'a mut dyn FnMut(&[u8]) -> Result<bool>;

fn archives(reader: &mut dyn BufRead, may_be_packed: bool, visit: Visit<'_>) -> Result<()> {
    loop {
        skip_zeros(reader)?;
        match reader.fill_buf()? {
            [] => return Ok(()),
            [b'0', b'7', ..] => {
                if !archive(reader, visit)? {
                    return Ok(());
                }
            }
            [0x1f, 0x8b, ..] if may_be_packed => return unpacked(MultiGzDecoder::new(reader), visit),
            [0x28, 0xb5, ..] if may_be_packed => {
                let mut decoder = zstd::Decoder::with_buffer(reader)?;
                decoder.window_log_max(WINDOW_LOG)?;
                return unpacked(decoder, visit);
            }
            _ => return Err(Error::from(ErrorKind::Unsupported)),
        }
    }
}

fn unpacked(reader: impl Read, visit: Visit<'_>) -> Result<()> {
    archives(&mut BufReader::with_capacity(256 << 10, reader.take(LIMIT)), false, visit)
}

fn skip_zeros(reader: &mut dyn BufRead) -> Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let zeros = buffer.iter().take_while(|&&byte| byte == 0).count();
        let is_end = zeros < buffer.len() || buffer.is_empty();
        reader.consume(zeros);
        if is_end {
            return Ok(());
        }
    }
}

/// One archive up to its trailer; whether more is wanted.
fn archive(reader: &mut dyn BufRead, visit: Visit<'_>) -> Result<bool> {
    loop {
        let mut header = [0; HEADER];
        reader.read_exact(&mut header)?;
        if !matches!(&header[..6], b"070701" | b"070702") {
            return Err(Error::from(ErrorKind::InvalidData));
        }
        let (size, name_size) = (field(&header, 6)?, field(&header, 11)?);
        if name_size > PATH as u64 + 1 {
            return Err(Error::from(ErrorKind::InvalidData));
        }
        let mut name = Vec::new();
        // Name and content each end on a multiple of four bytes, counted from the header.
        let padded = (HEADER as u64 + name_size).next_multiple_of(4) - HEADER as u64;
        reader.take(padded).read_to_end(&mut name)?;
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        skip(reader, size.next_multiple_of(4))?;
        if name == TRAILER {
            return Ok(true);
        }
        if !visit(name)? {
            return Ok(false);
        }
    }
}

/// One of the thirteen numbers after the magic, of eight hexadecimal digits each.
fn field(header: &[u8; HEADER], index: usize) -> Result<u64> {
    let digits = std::str::from_utf8(&header[6 + 8 * index..][..8]).ok();
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| ErrorKind::InvalidData.into())
}

fn skip(reader: &mut dyn BufRead, len: u64) -> Result<()> {
    let skipped = std::io::copy(&mut reader.take(len), &mut std::io::sink())?;
    if skipped < len { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;

    /// An archive of empty files.
    pub(crate) fn cpio(names: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in names.iter().copied().chain(["TRAILER!!!"]) {
            // A content, to be skipped: the name again.
            let size = if name == "TRAILER!!!" { 0 } else { name.len() };
            let mut numbers = [0; 13];
            (numbers[6], numbers[11]) = (size, name.len() + 1);
            let numbers: String = numbers.iter().map(|number| format!("{number:08x}")).collect();
            bytes.extend(format!("070701{numbers}{name}\0").bytes());
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend(&name.as_bytes()[..size]);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn names(bytes: Vec<u8>) -> Option<String> {
        let mut names = Vec::new();
        let mut visit = |name: &[u8]| {
            names.push(String::from_utf8(name.to_vec()).unwrap());
            true
        };
        read_names(&Content::Bytes(bytes.into()), &mut visit).then(|| names.join(" "))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn archives_follow_one_another_and_the_last_is_compressed() {
        let (early, main) = (cpio(&["kernel/x86", "a"]), cpio(&["init", "lib/modules/6.1/ext4.ko"]));
        let padded = [&early[..], &[0; 512]].concat();
        let zstd = zstd::encode_all(&main[..], 1).unwrap();
        for packed in [main.clone(), gzip(&main), zstd] {
            assert_eq!(names(packed.clone()).unwrap(), "init lib/modules/6.1/ext4.ko");
            let all = names([&padded[..], &packed].concat()).unwrap();
            assert_eq!(all, "kernel/x86 a init lib/modules/6.1/ext4.ko");
        }
        assert_eq!(names(Vec::new()).unwrap(), "");
    }

    #[test]
    fn what_can_not_be_read_says_nothing() {
        let cut = cpio(&["a"])[..100].to_vec();
        let mut long = cpio(&["a"]);
        // The size of the name.
        long[95] = b'f';
        for bytes in [b"\xfd7zXZ\0".to_vec(), b"\x02\x21\x4c\x18".to_vec(), b"initramfs".to_vec(), cut, long]
        {
            assert_eq!(names(bytes), None);
        }
    }

    #[test]
    fn names_and_windows_of_one_are_limited() {
        let names = |count: usize| {
            let names: Vec<_> = (0..count).map(|number| format!("lib/modules/{number:01000}.ko")).collect();
            cpio(&names.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let seen = |bytes: Vec<u8>| {
            let mut seen = 0_u64;
            let content = Content::Bytes(gzip(&bytes).into());
            let is_whole = read_names(&content, &mut |name| {
                seen += name.len() as u64;
                true
            });
            (is_whole, seen)
        };
        assert!(seen(names(15_000)).0);
        let (is_whole, bytes) = seen(names(20_000));
        assert!(!is_whole && bytes <= INITRAMFS_NAMES, "{bytes}");
        for (log, is_read) in [(25, true), (26, false)] {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(log).unwrap();
            encoder.write_all(&cpio(&["init"])).unwrap();
            let packed = Content::Bytes(encoder.finish().unwrap().into());
            assert_eq!(read_names(&packed, &mut |_| true), is_read, "{log}");
        }
    }

    #[test]
    fn who_has_seen_enough_is_told_no_more() {
        let mut seen = 0;
        let mut visit = |_: &[u8]| {
            seen += 1;
            false
        };
        assert!(read_names(&Content::Bytes(cpio(&["a", "b"]).into()), &mut visit));
        assert_eq!(seen, 1);
    }
}
