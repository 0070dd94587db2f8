//! What is asked of a TFTP server.

use std::ops::RangeInclusive;

use super::opcode;

/// Seconds that may be agreed on of the 255 that RFC 2349 has: for so many, and several times over, a client that is gone
/// takes the room of another.
const TIMEOUTS: RangeInclusive<u8> = 1..=10;

/// A file that is asked for.
#[derive(Debug, PartialEq)]
pub(in super::super) struct ReadRequest {
    pub(in super::super) name: String,
    pub(in super::super) options: Options,
}

/// Options with values that can be; all others are as if they had not been sent (RFC 2347).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in super::super) struct Options {
    /// Bytes of a block (RFC 2348).
    pub(super) block_size: Option<u16>,
    /// Until something is sent again, in seconds (RFC 2349).
    pub(super) timeout: Option<u8>,
    /// How long is the file? (RFC 2349)
    pub(super) size: bool,
    /// Blocks that are sent before an answer is waited for (RFC 7440).
    pub(super) window: Option<u16>,
}

/// Why there is no file (RFC 1350, appendix I).
#[derive(Debug, PartialEq)]
pub(in super::super) struct Refusal {
    code: u16,
    pub(super) message: &'static str,
}

impl Refusal {
    pub(super) fn not_found() -> Self {
        Self { code: 1, message: "not found" }
    }

    pub(in super::super) fn to_bytes(&self) -> Vec<u8> {
        let numbers = [opcode::ERROR.to_be_bytes(), self.code.to_be_bytes()].concat();
        [&numbers, self.message.as_bytes(), &[0]].concat()
    }
}

/// Reads a request. An error without a refusal is one that is not answered: no request at all.
pub(in super::super) fn read(message: &[u8]) -> Result<ReadRequest, Option<Refusal>> {
    let (code, rest) = message.split_first_chunk().ok_or(None)?;
    match u16::from_be_bytes(*code) {
        opcode::READ => {}
        opcode::WRITE => return Err(Some(Refusal { code: 2, message: "nothing is written here" })),
        _ => return Err(None),
    }
    let mut texts = texts(rest).ok_or(None)?.into_iter();
    let (name, mode) = (texts.next().ok_or(None)?, texts.next().ok_or(None)?);
    if !mode.eq_ignore_ascii_case("octet") {
        return Err(Some(Refusal { code: 4, message: "only mode octet is known" }));
    }
    let mut options = Options::default();
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        options.set(name, value);
    }
    Ok(ReadRequest { name: name.to_owned(), options })
}

/// Texts with a zero behind each; `None` if the last has none, or one is no text.
fn texts(bytes: &[u8]) -> Option<Vec<&str>> {
    let bytes = bytes.strip_suffix(&[0])?;
    bytes.split(|byte| *byte == 0).map(|text| std::str::from_utf8(text).ok()).collect()
}

impl Options {
    fn set(&mut self, name: &str, value: &str) {
        let number = || value.parse::<u16>().ok();
        match name.to_ascii_lowercase().as_str() {
            "blksize" => self.block_size = number().filter(|size| (8..=65464).contains(size)),
            "timeout" => self.timeout = value.parse().ok().filter(|seconds| TIMEOUTS.contains(seconds)),
            "tsize" => self.size = true,
            "windowsize" => self.window = number().filter(|blocks| *blocks > 0),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &[u8]) -> Result<ReadRequest, Option<Refusal>> {
        read(&[&[0, 1], text].concat())
    }

    #[test]
    fn a_request_has_a_name_a_mode_and_options() {
        let request =
            asked(b"/grub.pxe\0OCTET\0tsize\x000\0blksize\x001468\0new\0x\0WindowSize\x0016\0timeout\x002\0")
                .unwrap();
        assert_eq!(request.name, "/grub.pxe");
        let expected = Options { block_size: Some(1468), timeout: Some(2), size: true, window: Some(16) };
        assert_eq!(request.options, expected);
        assert_eq!(asked(b"a\0octet\0").unwrap().options, Options::default());
        assert_eq!(asked(b"a\0octet\0timeout\x0010\0").unwrap().options.timeout, Some(10));
    }

    #[test]
    fn values_that_cannot_be_are_as_if_they_had_not_been_sent() {
        for text in [
            &b"a\0octet\0blksize\x007\0"[..],
            b"a\0octet\0blksize\x0065465\0",
            b"a\0octet\0blksize\x0099999999999999999999\0",
            b"a\0octet\0blksize\0-1\0",
            b"a\0octet\0windowsize\x000\0",
            b"a\0octet\0timeout\x000\0timeout\x0011\0timeout\x00255\0timeout\x00256\0",
            b"a\0octet\0blksize\0",
        ] {
            assert_eq!(asked(text).unwrap().options, Options::default(), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_request_is_not_answered() {
        for message in [
            &b""[..],
            b"\0",
            b"\0\x01",
            b"\0\x01a",
            b"\0\x01a\0",
            b"\0\x01a\0octet",
            b"\0\x01\xff\0octet\0",
            b"\0\x03\0\x01data",
            b"\0\x05\0\x01gone\0",
        ] {
            assert_eq!(read(message), Err(None), "{}", message.escape_ascii());
        }
    }

    #[test]
    fn writing_and_other_modes_are_refused() {
        let code = |message: &[u8]| read(message).unwrap_err().unwrap().to_bytes()[3];
        assert_eq!(code(b"\0\x02a\0octet\0"), 2);
        assert_eq!(code(b"\0\x01a\0netascii\0"), 4);
        assert_eq!(Refusal::not_found().to_bytes(), *b"\0\x05\0\x01not found\0");
    }
}
