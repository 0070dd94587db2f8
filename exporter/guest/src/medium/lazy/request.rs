//! What the kernel asks of a network block device, and what it is answered (linux/nbd.h): numbers are big-endian.
//!
//! ```text
//! kernel ─▶ magic, type, cookie, from, len ─▶ us        us ─▶ magic, error, cookie ─▶ bytes ─▶ kernel
//! ```

use std::ops::Range;

use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;
/// The low half of a type; the high one are flags.
const COMMAND: u32 = 0xffff;
const READ: u32 = 0;
const WRITE: u32 = 1;
const DISCONNECT: u32 = 2;
const FLUSH: u32 = 3;
/// The most that is read at once: the kernel's own bound (`NBD_MAX_SECTORS` is lower).
pub(super) const LEN_MAX: u32 = 32 << 20;

/// `struct nbd_request`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct NbdRequest {
    magic: U32,
    r#type: U32,
    cookie: [u8; 8],
    from: U64,
    len: U32,
}

/// `struct nbd_reply`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct NbdReply {
    magic: U32,
    error: U32,
    cookie: [u8; 8],
}

const _: () = assert!(size_of::<NbdRequest>() == 28 && size_of::<NbdReply>() == 16);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Read(Range<u64>),
    /// Nothing is ever written.
    Flush,
    Disconnect,
    /// What this device does not do.
    Refused(Errno),
}

/// Error numbers of Linux, as the protocol has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errno {
    Permission = 1,
    Io = 5,
    Invalid = 22,
}

impl NbdRequest {
    /// What is asked of a device of `size` bytes.
    ///
    /// # Errors
    /// If both sides do not speak of the same any more: nothing that comes then can be understood.
    pub(super) fn command(&self, size: u64) -> Result<Command, String> {
        if self.magic.get() != REQUEST_MAGIC {
            return Err("the kernel's request makes no sense".to_owned());
        }
        let (from, len) = (self.from.get(), self.len.get());
        Ok(match self.r#type.get() & COMMAND {
            READ => match from.checked_add(len.into()).filter(|end| *end <= size && len <= LEN_MAX) {
                Some(end) => Command::Read(from..end),
                None => Command::Refused(Errno::Invalid),
            },
            // Its bytes follow, of which nothing may be taken for a request.
            WRITE if len > 0 => return Err("the kernel writes to a device that is only read".to_owned()),
            WRITE => Command::Refused(Errno::Permission),
            DISCONNECT => Command::Disconnect,
            FLUSH => Command::Flush,
            _ => Command::Refused(Errno::Invalid),
        })
    }

    pub(super) fn reply(&self, error: Option<Errno>) -> NbdReply {
        let error = error.map_or(0, |error| error as u32);
        NbdReply { magic: REPLY_MAGIC.into(), error: error.into(), cookie: self.cookie }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    pub(in super::super) fn request(kind: u32, from: u64, len: u32) -> NbdRequest {
        NbdRequest {
            magic: REQUEST_MAGIC.into(),
            r#type: kind.into(),
            cookie: *b"a cookie",
            from: from.into(),
            len: len.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::request;
    use super::*;

    #[test]
    fn requests_are_those_of_the_kernel() {
        let bytes = request(0x0001_0000, 4096, 512);
        assert_eq!(bytes.as_bytes()[..8], [0x25, 0x60, 0x95, 0x13, 0, 1, 0, 0]);
        assert_eq!(bytes.command(8192), Ok(Command::Read(4096..4608)));
        assert_eq!(request(2, 0, 0).command(0), Ok(Command::Disconnect));
        assert_eq!(request(3, 0, 0).command(0), Ok(Command::Flush));
        let reply = bytes.reply(Some(Errno::Io));
        assert_eq!(reply.as_bytes(), b"\x67\x44\x66\x98\0\0\0\x05a cookie");
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let refused = |request: NbdRequest| request.command(8192);
        for (from, len) in [(8192, 1), (8000, 512), (u64::MAX, 2), (0, LEN_MAX + 1), (0, u32::MAX)] {
            assert_eq!(refused(request(0, from, len)), Ok(Command::Refused(Errno::Invalid)), "{from} {len}");
        }
        assert_eq!(refused(request(0, 8192, 0)), Ok(Command::Read(8192..8192)));
        for kind in [4, 5, 6, 7, 0xffff] {
            assert_eq!(refused(request(kind, 0, 512)), Ok(Command::Refused(Errno::Invalid)));
        }
        assert_eq!(refused(request(1, 0, 0)), Ok(Command::Refused(Errno::Permission)));
    }

    #[test]
    fn who_does_not_speak_the_protocol_is_not_listened_to() {
        let mut odd = request(0, 0, 512);
        odd.magic = REPLY_MAGIC.into();
        assert!(odd.command(8192).unwrap_err().contains("no sense"));
        assert!(request(1, 0, 512).command(8192).unwrap_err().contains("writes"));
    }
}
